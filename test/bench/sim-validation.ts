/**
 * The simulated ether beside the one that Python's unmodified RNodeInterface drives: two stations send a packet each to a
 * third at the same moment and wait for its proof. Medians of delivery time and airtime over forty seeds. Takes about
 * two minutes of real time; needs `test/peers/setup-rns.sh` and socat.
 */
import { reticulum } from "../../planes/index.ts";
import { Rng, VirtualClock } from "../../sim/index.ts";
import { VirtualRadioInterface } from "../../sim/networks/radio-interface.ts";
import { radio } from "../../sim/scenarios/parts.ts";
import type { Clock } from "../../spine/index.ts";
import { Pty } from "../peers/pty.ts";
import { EmulatedRNode } from "../peers/rnode.ts";
import { RnsNode } from "../peers/rns.ts";
import type { Bench, BenchResult } from "./run.ts";

const SEEDS = 40;
const PAYLOAD_BYTES = 200;
const MODULATION = { frequencyHz: 867_200_000, bandwidthHz: 250_000, spreadingFactor: 7, codingRate: 5 };
const TX_POWER_DBM = 14;
/** The reference gives a receipt two seconds. */
const TRIAL_MS = 2_500;

interface Trial {
  /** Of each proved packet. */
  readonly tookMs: readonly number[];
  readonly airMs: number;
}

const realClock: Clock = {
  now: () => performance.now(),
  schedule: (at, task) => {
    const timer = setTimeout(task, Math.max(0, at - performance.now()));
    return () => clearTimeout(timer);
  },
};
const sleep = (ms: number): Promise<void> => new Promise((resolve) => setTimeout(resolve, ms));

async function python(): Promise<Trial[]> {
  let rng = new Rng(0);
  let airMs = 0;
  const ether = new reticulum.RadioEther({
    clock: realClock,
    chance: () => rng.float(),
    onAir: ({ start, end }) => {
      airMs += end - start;
    },
  });
  const devices = ["a", "b", "c"].map((name) => new EmulatedRNode(ether, name));
  const ptys: Pty[] = [];
  const nodes: RnsNode[] = [];
  try {
    for (const device of devices) {
      const pty = await Pty.open(await device.listen());
      ptys.push(pty);
      const { frequencyHz, bandwidthHz, spreadingFactor, codingRate } = MODULATION;
      const settings = `frequency = ${frequencyHz}\nbandwidth = ${bandwidthHz}\ntxpower = ${TX_POWER_DBM}\n`;
      const rest = `spreadingfactor = ${spreadingFactor}\ncodingrate = ${codingRate}\n`;
      const head = `[[rnode]]\ntype = RNodeInterface\nenabled = Yes\nport = ${pty.near}\nflow_control = False\n`;
      nodes.push(await RnsNode.start(`${head}${settings}${rest}`));
    }
    const [a, b, c] = nodes as [RnsNode, RnsNode, RnsNode];
    while (devices.some(({ radio: device }) => device.settings === undefined)) await sleep(100);
    await sleep(3_000);
    await b.do({ do: "announce" }, "announced");
    for (const node of [a, c]) await node.wait("announce", ({ hash }) => hash === b.hash, 20_000);
    const trials: Trial[] = [];
    for (let seed = 1; seed <= SEEDS; seed++) {
      rng = new Rng(seed);
      airMs = 0;
      const data = "00".repeat(PAYLOAD_BYTES);
      for (const node of [a, c]) node.send({ do: "packet", hash: b.hash, app: "interop", aspects: ["python"], data });
      const ends = await Promise.all([a, c].map((node) => node.wait("proved|unproved", undefined, 10_000)));
      await sleep(300);
      const tookMs = ends.filter(({ event }) => event === "proved").map(({ took }) => took * 1000);
      trials.push({ tookMs, airMs });
    }
    return trials;
  } finally {
    for (const node of nodes) await node.stop();
    for (const pty of ptys) await pty.close();
    for (const device of devices) await device.close();
  }
}

/** The same stations and packets in virtual time, from the same seeds. */
async function simulated(): Promise<Trial[]> {
  const trials: Trial[] = [];
  for (let seed = 1; seed <= SEEDS; seed++) {
    const clock = new VirtualClock(0);
    let rng = new Rng(seed);
    let airMs = 0;
    const ether = new reticulum.RadioEther({
      clock,
      chance: () => rng.float(),
      onAir: ({ start, end }) => {
        airMs += end - start;
      },
    });
    const random = (length: number): Uint8Array => rng.bytes(length);
    const settings = radio("lora", { ...MODULATION, txPowerDbm: TX_POWER_DBM, duty: 1 });
    const stations = [0, 1, 2].map(
      (index) =>
        new reticulum.Station({ random, clock, unixMs: () => 1.7e12 + clock.now() }, [
          new VirtualRadioInterface(ether, index, settings, {
            touched: () => undefined,
            received: () => undefined,
            tier: () => undefined,
          }),
        ]),
    );
    const [a, b, c] = stations as [reticulum.Station, reticulum.Station, reticulum.Station];
    for (const station of stations) await station.start();
    const identity = reticulum.Identity.create(random);
    const about = { type: reticulum.SINGLE, appName: "interop", aspects: ["python"], identity } as const;
    const destination = new reticulum.Destination(about);
    destination.proofs = "all";
    b.act(() => {
      b.endpoint.register(destination);
      b.endpoint.announce(destination);
    });
    while (clock.step(10_000)) await Promise.resolve();
    rng = new Rng(seed);
    airMs = 0;
    const begun = clock.now();
    const tookMs: number[] = [];
    for (const station of [a, c]) {
      const receipt = station.act(() => station.endpoint.send(destination.hash, new Uint8Array(PAYLOAD_BYTES)));
      receipt.onDelivered = () => tookMs.push(clock.now() - begun);
    }
    while (clock.step(begun + TRIAL_MS)) await Promise.resolve();
    trials.push({ tookMs, airMs });
  }
  return trials;
}

function median(values: readonly number[]): number {
  const sorted = values.toSorted((x, y) => x - y);
  return sorted[Math.floor(sorted.length / 2)] ?? Number.NaN;
}

export const benchSimValidation: Bench = async (): Promise<BenchResult> => {
  const [real, virtual] = [await python(), await simulated()];
  const figures: Record<string, number | string | boolean> = { seeds: SEEDS };
  for (const [name, trials] of [
    ["reference", real],
    ["simulated", virtual],
  ] as const) {
    figures[`${name}_delivery_ms`] = Math.round(median(trials.flatMap(({ tookMs }) => tookMs)));
    figures[`${name}_airtime_ms`] = Math.round(median(trials.map(({ airMs }) => airMs)));
    figures[`${name}_proved`] = trials.reduce((sum, { tookMs }) => sum + tookMs.length, 0);
  }
  const share = (what: string): number =>
    Number(((figures[`simulated_${what}`] as number) / (figures[`reference_${what}`] as number)).toFixed(3));
  return {
    bench: "sim-validation",
    figures: {
      ...figures,
      delivery_ratio: share("delivery_ms"),
      airtime_ratio: share("airtime_ms"),
      peer: "rns 1.4.2",
    },
  };
};
