/** Nodes on emulated radios for the tests in virtual time: who they are, whom they follow, how they are joined. */
import assert from "node:assert/strict";
import { reticulum } from "../../../planes/index.ts";
import { type AuthorityTrust, NO_TRUST } from "../../../spine/index.ts";
import { keyOf } from "../../helpers/mesh-harness.ts";
import { SlowLine, type VirtualMesh, type VirtualNode, type VirtualRadio } from "../../helpers/virtual-mesh.ts";

/** About 1200 bit/s. */
export const LORA: reticulum.RadioSettings = {
  frequencyHz: 869_525_000,
  bandwidthHz: 250_000,
  spreadingFactor: 11,
  codingRate: 5,
  txPowerDbm: 14,
  airtimeShort: 0,
  airtimeLong: 0,
};
export const HOUR_MS = 3_600_000;

/** Everybody follows the first node made. */
const boss = keyOf(1_000).issuer;
export const trust: AuthorityTrust = {
  ...NO_TRUST,
  revokers: new Map([[boss, { scopes: new Set(["node", "key", "token", "bundle"] as const), quorum: 1 }]]),
  named: new Set([boss]),
};
/** Whom it revokes. */
export const victim = keyOf(7).issuer;

export function allKnow(nodes: readonly VirtualNode[]): void {
  for (const node of nodes) node.allow(...nodes.filter((other) => other !== node));
}
export const upLinks = (node: VirtualNode): number => node.plane.counters()["links"] as number;

export interface RigOptions {
  readonly leaves: number;
  readonly duty: number;
  readonly groupKey?: Uint8Array;
  /** Of the gateway's clock. */
  readonly clockErrorMs?: number;
  /** How long they are left alone at first. */
  readonly settleMs?: number;
}
export interface Rig {
  readonly ether: reticulum.RadioEther;
  readonly source: VirtualNode;
  readonly gateway: VirtualNode;
  readonly gatewayRadio: VirtualRadio;
  readonly leaves: readonly { readonly node: VirtualNode; readonly radio: VirtualRadio }[];
}

/** The air of a radio, for the plane. */
export function airOf(radio: VirtualRadio, duty: number): (wire: string) => reticulum.Air | undefined {
  return (wire) => (wire.startsWith("lora") ? { airtimeMs: radio.air, duty } : undefined);
}

/** A fast line between a source and the gateway, radio between the gateway and the leaves; all linked. */
export async function radioRig(mesh: VirtualMesh, options: RigOptions): Promise<Rig> {
  const { leaves: count, duty, clockErrorMs } = options;
  const group = options.groupKey === undefined ? {} : { groupKey: options.groupKey };
  const ether = new reticulum.RadioEther({ clock: mesh.clock, chance: () => mesh.rng.float() });
  const cable = new SlowLine(mesh, 10_000_000);
  const source = await mesh.node("source", [cable.interface("cable-a")], { trust });
  const gatewayRadio = mesh.radio(ether, "lora-gateway", LORA);
  const gateway = await mesh.node("gateway", [cable.interface("cable-b"), gatewayRadio.interface], {
    trust,
    plane: { airOf: airOf(gatewayRadio, duty), ...group },
    ...(clockErrorMs === undefined ? {} : { clockErrorMs }),
  });
  const leaves: { node: VirtualNode; radio: VirtualRadio }[] = [];
  for (let i = 0; i < count; i++) {
    const radio = mesh.radio(ether, `lora-leaf${i}`, LORA);
    const plane = { airOf: airOf(radio, duty), ...group };
    leaves.push({ radio, node: await mesh.node(`leaf${i}`, [radio.interface], { trust, plane }) });
  }
  allKnow(mesh.nodes);
  for (const node of mesh.nodes) await node.start();
  await gateway.plane.addPeer(source.address);
  for (const { node } of leaves) await node.plane.addPeer(gateway.address);
  const linked = await mesh.run(2 * HOUR_MS, () => upLinks(gateway) === 1 + count);
  assert.ok(linked, `the gateway has ${upLinks(gateway)} links`);
  await mesh.run(options.settleMs ?? HOUR_MS / 2);
  return { ether, source, gateway, gatewayRadio, leaves };
}
