/** Catching up over a line of 5 bit/s, over the whole stack in virtual time: by packets alone, revocations first, within their share. */
import assert from "node:assert/strict";
import { PROOF } from "../../../planes/reticulum/stack/packet.ts";
import { SlowLine, VirtualMesh, type VirtualNode } from "../../helpers/virtual-mesh.ts";
import { allKnow, HOUR_MS, trust, upLinks, victim } from "./virtual-rig.ts";

const BITRATE = 5;
const PACKET_TYPE = 0x03;

describe("catching up over 5 bit/s", function () {
  this.timeout(120_000);
  let mesh: VirtualMesh;
  let line: SlowLine;
  beforeEach(() => {
    mesh = new VirtualMesh(5);
    line = new SlowLine(mesh, BITRATE);
  });
  afterEach(() => mesh.stop());

  async function node(name: string, after?: VirtualNode): Promise<VirtualNode> {
    const options = after === undefined ? { trust } : { trust, after };
    return await mesh.node(name, [line.interface(`${name}-${mesh.nodes.length}`)], options);
  }
  const knows = (one: VirtualNode, other: VirtualNode): boolean =>
    one.station.endpoint.path(other.plane.destination.hash) !== undefined;

  it("brings what was missed to a node that was off, although its neighbour has been started anew since", async () => {
    let [near, far] = [await node("near"), await node("far")];
    allKnow(mesh.nodes);
    for (const one of [near, far]) await one.start();
    await near.plane.addPeer(far.address);
    await far.plane.addPeer(near.address);
    await mesh.run(6 * HOUR_MS);
    assert.ok(knows(near, far) && knows(far, near));
    await far.stop();
    near.note(1, "log_checkpoint");
    const newest = near.note(2, "log_checkpoint");
    const revocation = near.revoke(victim);
    near.note(3, "incident");
    await mesh.run(HOUR_MS);
    // Whatever it had in mind for the far end is forgotten.
    await near.stop();
    near = await node("near", near);
    await near.start();
    await near.plane.addPeer(far.address);
    await mesh.run(HOUR_MS);
    far = await node("far", far);
    allKnow([near, far]);
    await far.start();
    await far.plane.addPeer(near.address);
    const at = mesh.clock.now();
    assert.ok(await mesh.run(12 * HOUR_MS, () => far.has(revocation) && far.has(newest)), `held: ${far.order.length}`);
    const tookS = ([...far.storedAt.values()] as number[]).map((then) => Math.round((then - at) / 1000));
    if (process.env["SPINE_LONG"] === "1") console.log("      after its start, s:", tookS);
    assert.deepEqual(
      far.order,
      [revocation.hash, newest.hash],
      "revocations first, and of a log the newest checkpoint alone",
    );
    assert.equal(upLinks(near) + upLinks(far), 0);
    assert.ok((tookS[0] as number) < 3 * 3_600, `${tookS}`);
  });

  it("costs a few packets a day while nothing is lacking", async () => {
    const [near, far] = [await node("near"), await node("far")];
    allKnow(mesh.nodes);
    for (const one of [near, far]) await one.start();
    await near.plane.addPeer(far.address);
    await far.plane.addPeer(near.address);
    const revocation = near.revoke(victim);
    assert.ok(await mesh.run(12 * HOUR_MS, () => far.has(revocation)));
    await mesh.run(6 * HOUR_MS);
    const statements = (): number =>
      [near, far].reduce((sum, { plane }) => sum + (plane.counters()["statements_sent"] as number), 0);
    const before = statements();
    const packets = near.plane.counters()["packets_sent"];
    await mesh.run(24 * HOUR_MS);
    const said = statements() - before;
    assert.ok(said >= 3 && said <= 6, `${said} statements in 24 hours`);
    assert.equal(near.plane.counters()["packets_sent"], packets);
  });

  it("takes statements of named peers alone, and lets nobody else make it speak", async () => {
    const [near, far] = [await node("near"), await node("far")];
    const stranger = await node("stranger");
    line.haste = 100;
    allKnow(mesh.nodes);
    for (const one of [near, far, stranger]) await one.start();
    await near.plane.addPeer(far.address);
    await stranger.plane.addPeer(near.address);
    near.revoke(victim);
    await mesh.run(24 * HOUR_MS);
    // The far end and the stranger name themselves by the far one's first bytes, with a code that is no code.
    const forged = Uint8Array.of(
      0xc5,
      ...far.plane.destination.hash.subarray(0, 4),
      ...mesh.rng.bytes(6),
      0,
      1,
      0,
      0,
      0,
    );
    const hash = near.plane.destination.hash;
    let proofs = 0;
    line.tap = (frame) => {
      if (((frame[0] as number) & PACKET_TYPE) === PROOF) proofs++;
      return true;
    };
    const refused = near.plane.counters()["statements_refused"] as number;
    const sent = near.plane.counters()["packets_sent"];
    for (let i = 0; i < 5; i++) stranger.station.act(() => stranger.station.endpoint.send(hash, forged));
    await mesh.run(HOUR_MS / 2);
    assert.equal((near.plane.counters()["statements_refused"] as number) - refused, 5);
    assert.equal(proofs, 0, "what is no statement of a named peer is not proved");
    assert.equal(near.plane.counters()["packets_sent"], sent);
  });
});
