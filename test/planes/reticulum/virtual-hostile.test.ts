/** Strangers on the air: forged broadcasts, borrowed senders, floods. Over the whole stack in virtual time. */
import assert from "node:assert/strict";
import { reticulum } from "../../../planes/index.ts";
import { concatBytes, encodeCompact, fromHex } from "../../../spine/index.ts";
import { envelopeBy, keyOf } from "../../helpers/mesh-harness.ts";
import { VirtualMesh, type VirtualNode } from "../../helpers/virtual-mesh.ts";
import { HOUR_MS, LORA, type Rig, radioRig, upLinks, victim } from "./virtual-rig.ts";

const NODE_COUNT = 3;

/** Sends what it likes to everybody, in the clear. */
class Stranger {
  readonly #station: reticulum.Station;
  readonly #air = new reticulum.Destination({ type: reticulum.PLAIN, appName: "aegis", aspects: ["spine", "air"] });
  constructor(mesh: VirtualMesh, wire: reticulum.Interface) {
    const random = (length: number): Uint8Array => mesh.rng.bytes(length);
    this.#station = new reticulum.Station({ random, clock: mesh.clock, unixMs: () => mesh.clock.now() }, [wire]);
  }
  start(): Promise<void> {
    return this.#station.start();
  }
  broadcast(sender: string, content: Uint8Array): void {
    const data = concatBytes(fromHex(sender.slice(0, 8)), content);
    this.#station.act(() => this.#station.endpoint.sendTo(this.#air, data));
  }
}

describe("strangers on the air", function () {
  this.timeout(60_000);
  let mesh: VirtualMesh;
  let rig: Rig;
  let stranger: Stranger;
  beforeEach(async () => {
    mesh = new VirtualMesh(2);
    rig = await radioRig(mesh, { leaves: NODE_COUNT, duty: 0.1 });
    const radio = mesh.radio(rig.ether, "lora-stranger", LORA);
    stranger = new Stranger(mesh, radio.interface);
    await stranger.start();
  });
  afterEach(() => mesh.stop());
  const leaves = (): VirtualNode[] => rig.leaves.map(({ node }) => node);

  it("cannot keep a revocation away by broadcasting it with a false signature before", async () => {
    // The gateway's radio is off while the stranger, who saw the envelope elsewhere, is faster.
    rig.gatewayRadio.off();
    const real = rig.source.revoke(victim);
    await mesh.run(5_000);
    const signature = real.signature.slice();
    signature[3] = (signature[3] as number) ^ 1;
    const forged = encodeCompact({ ...real, signature }) as Uint8Array;
    stranger.broadcast(rig.gateway.plane.destination.hex, forged);
    await mesh.run(30_000);
    assert.ok(leaves().every((leaf) => (leaf.plane.counters()["air_received"] as number) === 1));
    rig.gatewayRadio.on();
    assert.ok(await mesh.run(HOUR_MS / 2, () => leaves().every((leaf) => leaf.has(real))), "it was kept away");
  });

  it("cannot keep a revocation from a neighbour by sending it in the neighbour's name", async () => {
    const [deaf, ...others] = rig.leaves;
    deaf?.radio.off();
    rig.gatewayRadio.off();
    const real = rig.source.revoke(victim);
    await mesh.run(5_000);
    // All others, and the gateway, hear the true envelope in the name of the one that cannot.
    rig.gatewayRadio.on();
    stranger.broadcast(deaf?.node.plane.destination.hex as string, encodeCompact(real) as Uint8Array);
    await mesh.run(60_000, () => others.every(({ node }) => node.has(real)));
    deaf?.radio.on();
    assert.ok(await mesh.run(HOUR_MS / 2, () => deaf?.node.has(real) === true), "the neighbour never got it");
  });

  it("cannot push out what is real with made-up envelopes, nor make a node hold them", async () => {
    const key = keyOf(66);
    for (let i = 0; i < 60; i++) {
      const fact = { schema: "clawdstrike.spine.fact.run.v1", n: i };
      stranger.broadcast("00000000", encodeCompact(envelopeBy(key, { seq: 1, prev: null, fact })) as Uint8Array);
      await mesh.run(2_000);
    }
    const real = rig.source.revoke(victim);
    assert.ok(await mesh.run(HOUR_MS / 2, () => leaves().every((leaf) => leaf.has(real))));
    for (const leaf of leaves()) assert.ok(leaf.order.length <= 2, `${leaf.order.length} stored`);
    assert.equal(upLinks(rig.gateway), 1 + NODE_COUNT);
  });
});
