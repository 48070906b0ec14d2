/** What the radio plane promises in seconds and airtime, over the whole stack in virtual time. */
import assert from "node:assert/strict";
import { reticulum } from "../../../planes/index.ts";
import { type AuthorityTrust, NO_TRUST } from "../../../spine/index.ts";
import { keyOf } from "../../helpers/mesh-harness.ts";
import { SlowLine, VirtualMesh, type VirtualNode } from "../../helpers/virtual-mesh.ts";

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
  async function gatewayRig(leaves: number, duty: number, options: { readonly groupKey?: Uint8Array } = {}) {
    const ether = new reticulum.RadioEther({ clock: mesh.clock, chance: () => mesh.rng.float() });
    const cable = new SlowLine(mesh, 10_000_000);
    const airOf = (radio: { air: (bytes: number) => number }) => (wire: string) =>
      wire.startsWith("lora") ? { airtimeMs: radio.air, duty } : undefined;
    const source = await mesh.node("source", [cable.interface("cable-a")], { trust });
    const gatewayRadio = mesh.radio(ether, "lora-gateway", LORA);
    const gateway = await mesh.node("gateway", [cable.interface("cable-b"), gatewayRadio.interface], {
      trust,
      plane: { airOf: airOf(gatewayRadio), ...options },
    });
    const off: { node: VirtualNode; radio: ReturnType<VirtualMesh["radio"]> }[] = [];
    for (let i = 0; i < leaves; i++) {
      const radio = mesh.radio(ether, `lora-leaf${i}`, LORA);
      const plane = { airOf: airOf(radio), ...options };
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
    for (let i = 0; i < 300; i++) {
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
});
