/**
 * The enclave over wireguard-go in two namespaces: frames through the plane beside a bare TCP stream in the same tunnel,
 * turn by turn, and how long a change of one peer takes with 500 of them. Needs root and /dev/net/tun.
 */
import type { ChildProcess } from "node:child_process";
import { randomBytes } from "node:crypto";
import { createInterface } from "node:readline";
import { wireguard } from "../../planes/index.ts";
import { toHex } from "../../spine/index.ts";
import { EnclaveRig, type HelperProcess, type Site, sh } from "../peers/enclave-rig.ts";
import { median, quantile } from "./helper-process.ts";
import type { BenchResult } from "./run.ts";

const ROUNDS = 7;
const BYTES = 32 * 1_024 * 1_024;
const PEERS = 500;
const CHANGES = 60;

class End {
  readonly #lines: AsyncIterator<string>;
  readonly #child: ChildProcess;
  constructor(rig: EnclaveRig, site: Site, helper: HelperProcess, host: number) {
    const script = new URL("enclave-node.js", import.meta.url).pathname;
    const args = [script, helper.socket, helper.interfaceName, String(host), `${site.underlay}:51820`];
    this.#child = rig.spawn(site, process.execPath, args);
    this.#child.stderr?.pipe(process.stderr);
    this.#lines = createInterface({ input: this.#child.stdout as NodeJS.ReadableStream })[Symbol.asyncIterator]();
  }
  send(command: object): void {
    this.#child.stdin?.write(`${JSON.stringify(command)}\n`);
  }
  async next<T>(): Promise<T> {
    const { value, done } = await this.#lines.next();
    if (done === true) throw new Error("an end of the bench went away");
    return JSON.parse(value as string) as T;
  }
  end(): void {
    this.#child.stdin?.end();
  }
}

async function throughput(rig: EnclaveRig): Promise<Record<string, number>> {
  const [siteA, siteB] = [rig.site("a"), rig.site("b")];
  const a = new End(rig, siteA, await rig.helper(siteA), 1);
  const b = new End(rig, siteB, await rig.helper(siteB), 2);
  const [{ card: cardA }, { card: cardB }] = [await a.next<{ card: string }>(), await b.next<{ card: string }>()];
  a.send({ do: "peer", card: cardB });
  b.send({ do: "peer", card: cardA });
  await a.next();
  await b.next();
  const rate = async (command: object): Promise<number> => {
    a.send({ ...command, bytes: BYTES });
    return BYTES / 1e6 / (await a.next<{ seconds: number }>()).seconds;
  };
  const [plane, tcp]: [number[], number[]] = [[], []];
  for (let i = 0; i <= ROUNDS; i++) {
    const pair = { plane: 0, tcp: 0 };
    for (const kind of i % 2 === 0 ? (["plane", "tcp"] as const) : (["tcp", "plane"] as const)) {
      pair[kind] = await rate({ do: kind, to: "10.77.0.2" });
    }
    // The first round warms up.
    if (i === 0) continue;
    plane.push(pair.plane);
    tcp.push(pair.tcp);
  }
  a.end();
  b.end();
  return {
    plane_mb_per_second: median(plane),
    tcp_in_tunnel_mb_per_second: median(tcp),
    ratio: median(plane.map((one, i) => one / (tcp[i] as number))),
  };
}

async function peerChanges(rig: EnclaveRig): Promise<Record<string, number>> {
  const site = rig.site("c");
  const helper = await rig.helper(site, { network: "10.80.0.0/16" });
  const privateKey = new Uint8Array(randomBytes(32));
  const device = new wireguard.HelperClient({
    socketPath: helper.socket,
    interfaceName: helper.interfaceName,
    owned: true,
  });
  const keeper = new wireguard.Keeper({
    device,
    settings: { privateKey, address: "10.80.0.1/16", listenPort: 51_820, mtuBytes: 1_420 },
    publicKey: toHex(wireguard.publicKeyOf(privateKey)),
    network: wireguard.parseNetwork("10.80.0.0/16"),
    ownAddress: "10.80.0.1",
    pollMs: 60_000,
    retryMinMs: 100,
    retryMaxMs: 1_000,
    now: Date.now,
    random: Math.random,
    log: () => undefined,
    changed: () => settled(),
  });
  let settled: () => void = () => {};
  const wish = async (peers: readonly wireguard.KeptPeer[]): Promise<number> => {
    const start = performance.now();
    keeper.want(peers);
    while (!keeper.settled) {
      await new Promise<void>((resolve) => {
        settled = resolve;
      });
    }
    return performance.now() - start;
  };
  const peers = Array.from({ length: PEERS + CHANGES }, (_, i): wireguard.KeptPeer => {
    const address = `10.80.${1 + (i >> 8)}.${i & 255}`;
    return { publicKey: toHex(randomBytes(32)), nextKey: null, address, endpoints: [], keepaliveSeconds: 0 };
  });
  await keeper.start();
  const all = await wish(peers.slice(0, PEERS));
  const [added, removed]: [number[], number[]] = [[], []];
  for (let i = 0; i < CHANGES; i++) {
    added.push(await wish(peers.slice(0, PEERS + 1 + i)));
  }
  for (let i = CHANGES; i > 0; i--) removed.push(await wish(peers.slice(0, PEERS + i - 1)));
  const held = (await sh("wg", "show", helper.interfaceName, "peers")).trim().split("\n").length;
  await keeper.stop();
  if (held !== PEERS) throw new Error(`${held} peers instead of ${PEERS}`);
  return {
    peers: PEERS,
    first_500_ms: all,
    add_one_p50_ms: median(added),
    add_one_p99_ms: quantile(added, 0.99),
    remove_one_p50_ms: median(removed),
    remove_one_p99_ms: quantile(removed, 0.99),
  };
}

export async function benchEnclave(): Promise<BenchResult> {
  const rig = new EnclaveRig();
  try {
    await rig.setUp("a", "b", "c");
    return { bench: "enclave", figures: { ...(await throughput(rig)), ...(await peerChanges(rig)) } };
  } finally {
    await rig.tearDown();
  }
}
