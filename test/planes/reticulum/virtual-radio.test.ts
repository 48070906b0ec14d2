/** What the radio plane promises in seconds and airtime, over the whole stack in virtual time. */
import assert from "node:assert/strict";
import { SlowLine, START_MS, VirtualMesh, type VirtualNode } from "../../helpers/virtual-mesh.ts";
import { allKnow, HOUR_MS, radioRig, trust, upLinks, victim } from "./virtual-rig.ts";

describe("the radio plane in virtual time", function () {
  this.timeout(120_000);
  let mesh: VirtualMesh;
  beforeEach(() => {
    mesh = new VirtualMesh(1);
  });
  afterEach(() => mesh.stop());

  it("takes a revocation to an off-grid node within 10 s when everything else has used up its air", async () => {
    const { source, gateway, leaves } = await radioRig(mesh, { leaves: 1, duty: 0.01 });
    const leaf = leaves[0]?.node as VirtualNode;
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
    const { source, gateway, gatewayRadio, leaves } = await radioRig(mesh, { leaves: 3, duty: 0.1 });
    const before = gatewayRadio.radio.counters.get("sent") ?? 0;
    // One neighbour is deaf just then.
    const [first, second, third] = leaves.map(({ node }) => node) as [VirtualNode, VirtualNode, VirtualNode];
    leaves[2]?.radio.off();
    const revocation = source.revoke(victim);
    assert.ok(await mesh.run(60_000, () => first.has(revocation) && second.has(revocation)));
    assert.equal((gatewayRadio.radio.counters.get("sent") ?? 0) - before <= 2, true);
    assert.equal(gateway.plane.counters()["air_sent"], 1);
    assert.ok(!third.has(revocation));
    leaves[2]?.radio.on();
    assert.ok(await mesh.run(10 * 60_000, () => third.has(revocation)), "not repaired");
    assert.equal(gateway.plane.counters()["air_repaired"], 1);
    assert.equal(gateway.plane.counters()["air_sent"], 1);
  });

  it("relays a revocation through a gateway whose clock stands in 1970", async () => {
    const { source, gateway, leaves } = await radioRig(mesh, { leaves: 1, duty: 0.1, clockErrorMs: -START_MS });
    const leaf = leaves[0]?.node as VirtualNode;
    const revocation = source.revoke(victim);
    assert.ok(await mesh.run(60_000, () => leaf.has(revocation)), `the gateway has it: ${gateway.has(revocation)}`);
  });
});
