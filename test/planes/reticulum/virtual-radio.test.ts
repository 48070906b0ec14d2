/** What the radio plane promises in seconds and airtime, over the whole stack in virtual time. */
import assert from "node:assert/strict";
import { reticulum } from "../../../planes/index.ts";
import { type AuthorityTrust, NO_TRUST } from "../../../spine/index.ts";
import { keyOf } from "../../helpers/mesh-harness.ts";
import { SlowLine, START_MS, VirtualMesh, type VirtualNode } from "../../helpers/virtual-mesh.ts";

/** About 1200 bit/s in a band with a tenth of the time. */
const LORA: reticulum.RadioSettings = {
  frequencyHz: 869_525_000,
  bandwidthHz: 250_000,
  spreadingFactor: 11,
  codingRate: 5,
  txPowerDbm: 14,
  airtimeShort: 0,
  airtimeLong: 0,
};
const HOUR_MS = 3_600_000;

interface RigOptions {
  readonly groupKey?: Uint8Array;
  /** Of the gateway. */
  readonly clockErrorMs?: number;
}

/** Everybody follows the first node made. */
const boss = keyOf(1_000).issuer;
const trust: AuthorityTrust = {
  ...NO_TRUST,
  revokers: new Map([[boss, { scopes: new Set(["node", "key", "token", "bundle"] as const), quorum: 1 }]]),
  named: new Set([boss]),
};
const victim = keyOf(7).issuer;

function allKnow(nodes: readonly VirtualNode[]): void {
  for (const node of nodes) node.allow(...nodes.filter((other) => other !== node));
}
const upLinks = (node: VirtualNode): number => node.plane.counters()["links"] as number;

describe("the radio plane in virtual time", function () {
  this.timeout(120_000);
  let mesh: VirtualMesh;
  beforeEach(() => {
    mesh = new VirtualMesh(1);
  });
  afterEach(() => mesh.stop());

  /** A fast line between `boss` and the gateway, LoRa between the gateway and the leaves. */
  async function gatewayRig(leaves: number, duty: number, options: RigOptions = {}) {
    const group = options.groupKey === undefined ? {} : { groupKey: options.groupKey };
    const ether = new reticulum.RadioEther({ clock: mesh.clock, chance: () => mesh.rng.float() });
    const cable = new SlowLine(mesh, 10_000_000);
    const airOf = (radio: { air: (bytes: number) => number }) => (wire: string) =>
      wire.startsWith("lora") ? { airtimeMs: radio.air, duty } : undefined;
    const source = await mesh.node("source", [cable.interface("cable-a")], { trust });
    const gatewayRadio = mesh.radio(ether, "lora-gateway", LORA);
    const gateway = await mesh.node("gateway", [cable.interface("cable-b"), gatewayRadio.interface], {
      trust,
      plane: { airOf: airOf(gatewayRadio), ...group },
      ...(options.clockErrorMs === undefined ? {} : { clockErrorMs: options.clockErrorMs }),
    });
    const off: { node: VirtualNode; radio: ReturnType<VirtualMesh["radio"]> }[] = [];
    for (let i = 0; i < leaves; i++) {
      const radio = mesh.radio(ether, `lora-leaf${i}`, LORA);
      const plane = { airOf: airOf(radio), ...group };
      off.push({ radio, node: await mesh.node(`leaf${i}`, [radio.interface], { trust, plane }) });
    }
    allKnow(mesh.nodes);
    for (const node of mesh.nodes) await node.start();
    await gateway.plane.addPeer(source.address);
    for (const { node } of off) await node.plane.addPeer(gateway.address);
    const linked = await mesh.run(2 * HOUR_MS, () => upLinks(gateway) === 1 + leaves);
    assert.ok(linked, `the gateway has ${upLinks(gateway)} links`);
    await mesh.run(HOUR_MS / 2);
    return { ether, source, gateway, gatewayRadio, off };
  }

  it("takes a revocation to an off-grid node within 10 s when everything else has used up its air", async () => {
    const { source, gateway, off } = await gatewayRig(1, 0.01);
    const leaf = off[0]?.node as VirtualNode;
    // What the gateway publishes meanwhile uses up what ordinary facts may.
    for (let i = 0; i < 60; i++) {
      gateway.note(i);
      await mesh.run(12_000);
    }
    const status = Object.values(gateway.plane.radio())[0];
    assert.ok(status !== undefined && status.usedMs > 0.79 * status.allowedMs, "ordinary facts have air left");
    const revocation = source.revoke(victim);
    assert.ok(await mesh.run(HOUR_MS, () => leaf.has(revocation)));
    const took = (leaf.storedAt.get(revocation.hash) as number) - (gateway.storedAt.get(revocation.hash) as number);
    assert.ok(took < 10_000, `${took} ms after the gateway had it`);
  });

  it("sends a revocation over 5 bit/s within 12 min, and heartbeats and attestations not at all", async () => {
    const line = new SlowLine(mesh, 5);
    const source = await mesh.node("source", [line.interface("line-a")], { trust });
    const far = await mesh.node("far", [line.interface("line-b")], { trust });
    allKnow(mesh.nodes);
    for (const node of mesh.nodes) await node.start();
    await source.plane.addPeer(far.address);
    // Both announce themselves at start: 528 s each on this line.
    await mesh.run(HOUR_MS, () => source.station.endpoint.path(far.plane.destination.hash) !== undefined);
    await mesh.run(HOUR_MS);
    assert.equal(upLinks(source), 0, "a link on such a line");
    const begun = line.bytes;
    const idle = source.note(1, "heartbeat");
    source.note(2, "node_attestation");
    await mesh.run(HOUR_MS / 4);
    assert.equal(line.bytes, begun, "something was sent for a heartbeat");
    const at = mesh.clock.now();
    const revocation = source.revoke(victim);
    assert.ok(await mesh.run(HOUR_MS, () => far.has(revocation)));
    const tookS = ((far.storedAt.get(revocation.hash) as number) - at) / 1000;
    assert.ok(tookS < 12 * 60, `${tookS} s`);
    assert.ok(!far.has(idle));
    assert.ok(await mesh.run(HOUR_MS, () => source.deliveries.length === 1), "no proof came back");
    assert.deepEqual(
      source.deliveries.map(({ way, state }) => [way, state]),
      [["packet", "delivered"]],
    );
  });

  it("puts an envelope for several neighbours on the air once, and repairs what one of them missed", async () => {
    const { source, gateway, gatewayRadio, off } = await gatewayRig(3, 0.1);
    const before = gatewayRadio.radio.counters.get("sent") ?? 0;
    // One neighbour is deaf just then.
    const [first, second, third] = off.map(({ node }) => node) as [VirtualNode, VirtualNode, VirtualNode];
    off[2]?.radio.off();
    const revocation = source.revoke(victim);
    assert.ok(await mesh.run(60_000, () => first.has(revocation) && second.has(revocation)));
    assert.equal((gatewayRadio.radio.counters.get("sent") ?? 0) - before <= 2, true);
    assert.equal(gateway.plane.counters()["air_sent"], 1);
    assert.ok(!third.has(revocation));
    off[2]?.radio.on();
    assert.ok(await mesh.run(10 * 60_000, () => third.has(revocation)), "not repaired");
    assert.equal(gateway.plane.counters()["air_repaired"], 1);
    assert.equal(gateway.plane.counters()["air_sent"], 1);
  });

  it("relays a revocation through a gateway whose clock stands in 1970", async () => {
    const { source, gateway, off } = await gatewayRig(1, 0.1, { clockErrorMs: -START_MS });
    const leaf = off[0]?.node as VirtualNode;
    const revocation = source.revoke(victim);
    assert.ok(await mesh.run(60_000, () => leaf.has(revocation)), `the gateway has it: ${gateway.has(revocation)}`);
  });
});
