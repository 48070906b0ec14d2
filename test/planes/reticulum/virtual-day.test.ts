/**
 * Ten nodes on one ether whose links come and go, with loss, over the whole stack in virtual time: 24 hours in the long
 * form. Nothing is lost, no duty cycle is exceeded, and the air used is set against the least that could do.
 */
import assert from "node:assert/strict";
import { reticulum } from "../../../planes/index.ts";
import { type Envelope, encodeCompact } from "../../../spine/index.ts";
import { VirtualMesh, type VirtualNode, type VirtualRadio } from "../../helpers/virtual-mesh.ts";
import { AirAccount } from "./air-account.ts";
import { airOf, allKnow, HOUR_MS, LORA, trust } from "./virtual-rig.ts";

const LONG = process.env["SPINE_LONG"] === "1";
const HOURS = LONG ? 24 : 1;
const NODES = 10;
const DUTY = 0.1;
const LOSS = 0.05;
/** A link is away so often, and changes that often. */
const AWAY = 0.15;
const CHANGE_MS = 20 * 60_000;
const FACT_MS = 10 * 60_000;
const SETTINGS: reticulum.RadioSettings = { ...LORA, bandwidthHz: 125_000, spreadingFactor: 8 };
const HEADER_BYTES = 19;
/** Not set against the bound. */
const APART: ReadonlySet<string> = new Set(["proofs", "announces", "retries"]);

describe("ten nodes on one ether", function () {
  this.timeout(LONG ? 3_600_000 : 120_000);

  it(`lose nothing in ${HOURS} hours of loss and links that come and go, within their duty cycles`, async () => {
    const mesh = new VirtualMesh(10);
    const away = new Set<string>();
    const pair = (a: string, b: string): string => (a < b ? `${a} ${b}` : `${b} ${a}`);
    const attenuationDb = (from: string, to: string): number => (away.has(pair(from, to)) ? 300 : 100);
    const ether = new reticulum.RadioEther({
      ...{ clock: mesh.clock, chance: () => mesh.rng.float(), loss: LOSS },
      attenuationDb,
    });
    const groupKey = mesh.rng.bytes(64);
    const nodes: { node: VirtualNode; radio: VirtualRadio }[] = [];
    for (let i = 0; i < NODES; i++) {
      const radio = mesh.radio(ether, `lora-${i}`, SETTINGS);
      const plane = { airOf: airOf(radio, DUTY), groupKey, discover: true };
      nodes.push({ radio, node: await mesh.node(`n${i}`, [radio.interface], { trust, plane }) });
    }
    allKnow(mesh.nodes);
    const account = new AirAccount();
    account.start();
    for (const { node, radio } of nodes) {
      await node.start();
      account.watch(radio);
    }
    const change = (): void => {
      away.clear();
      for (let a = 0; a < NODES; a++)
        for (let b = a + 1; b < NODES; b++) if (mesh.rng.float() < AWAY) away.add(pair(`lora-${a}`, `lora-${b}`));
      mesh.clock.schedule(mesh.clock.now() + CHANGE_MS, change);
    };
    change();
    await mesh.run(HOUR_MS);
    const before = new Map(account.used);
    const published: Envelope[] = [];
    const end = mesh.clock.now() + HOURS * HOUR_MS;
    for (let n = 0; mesh.clock.now() < end; n++) {
      const { node } = mesh.rng.pick(nodes);
      const kind = mesh.rng.pick(["run", "run", "heartbeat", "incident", "policy_delta"] as const);
      published.push(node.note(n, kind));
      await mesh.run((FACT_MS / NODES) * (0.5 + mesh.rng.float()));
    }
    const all = (): boolean => nodes.every(({ node }) => published.every((one) => node.has(one)));
    const complete = await mesh.run(4 * HOUR_MS, all);
    const missing = nodes.map(({ node }) => published.filter((one) => !node.has(one)).length);
    assert.ok(complete, `missing: ${missing}`);
    for (const { node, radio } of nodes) {
      const [status] = Object.values(node.plane.radio());
      assert.ok(status !== undefined && status.usedMs <= status.allowedMs, `${node.name} used ${status?.usedMs} ms`);
      assert.ok(radio.radio.ledger.long(mesh.clock.now()) <= DUTY + 0.001);
    }
    const [{ radio }] = nodes as [(typeof nodes)[number]];
    const bound = published.reduce((sum, one) => {
      const bytes = (encodeCompact(one) as Uint8Array).length + HEADER_BYTES;
      return sum + (NODES - 1) * radio.air(bytes);
    }, 0);
    const used = new Map([...account.used].map(([purpose, ms]) => [purpose, ms - (before.get(purpose) ?? 0)]));
    const spent = [...used].filter(([purpose]) => !APART.has(purpose)).reduce((sum, [, ms]) => sum + ms, 0);
    const total = [...used.values()].reduce((sum, ms) => sum + ms, 0);
    const figures = {
      ...Object.fromEntries([...used].map(([purpose, ms]) => [purpose, Math.round(ms / 1000)])),
      bound: Math.round(bound / 1000),
      ratio: (spent / bound).toFixed(2),
      total: (total / bound).toFixed(2),
    };
    const delays = published
      .flatMap((one) => nodes.map(({ node }) => (node.storedAt.get(one.hash) as number) - one.issuedAtMs))
      .sort((a, b) => a - b);
    const parts = [0.5, 0.9, 0.99, 1];
    const delayS = parts.map((part) => Math.round((delays[Math.ceil(part * delays.length) - 1] as number) / 1000));
    if (LONG) console.log("      stored after, s, median, 90 %, 99 %, all:", ...delayS);
    if (LONG) console.log(`      ${published.length} envelopes`, figures);
    account.stop();
    assert.ok(spent <= 1.5 * bound, JSON.stringify(figures));
    await mesh.stop();
  });
});
