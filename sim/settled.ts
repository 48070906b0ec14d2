/**
 * What must hold once nothing has happened for a while: nodes that can reach each other hold the same, judge the same, and
 * their trees have the roots they say. Looked at when a run ends.
 */
import { revokedItemText } from "../spine/index.ts";
import type { Setup } from "./engine/setup.ts";
import type { SimPeer } from "./peer.ts";

/** Streams settle within this. */
const SETTLE_MS = 60_000;
/** Radios tell of what is not urgent with their announces: hop by hop, a good quarter of an hour each, and some are lost. */
const RADIO_SETTLE_MS = 4 * 3_600_000;

export function checkSettled(setup: Setup): void {
  const { world } = setup;
  world.invariants.wholeChains();
  for (const keeper of setup.keepers.values()) if (keeper.peer.running) keeper.check();
  const quietMs = world.elapsedMs - setup.disturbedAtMs;
  if (quietMs < SETTLE_MS) return;
  for (const group of connected(setup, quietMs >= RADIO_SETTLE_MS)) {
    if (group.length < 2) continue;
    sameEnvelopes(setup, group);
    sameAuthority(setup, group);
  }
}

/** A node hangs up on a revoked key as soon as it is proven: such a link comes up again and again and carries nothing. */
function refuses({ mesh }: SimPeer, { issuer }: SimPeer): boolean {
  return mesh?.authority.isRevoked(issuer) === true;
}

/** Running nodes that links join, directly or through others; on radios too if they had the time. */
function connected(setup: Setup, withRadios: boolean): SimPeer[][] {
  const { world } = setup;
  const parent = world.peers.map(({ index }) => index);
  const find = (index: number): number => {
    let root = index;
    while (parent[root] !== root) root = parent[root] as number;
    parent[index] = root;
    return root;
  };
  for (const network of world.networks.values()) {
    if (network.type === "radio" && !withRadios) continue;
    for (const [a, b] of network.joined?.() ?? network.links()) {
      if (!world.peer(a).running || !world.peer(b).running) continue;
      if (!refuses(world.peer(a), world.peer(b)) && !refuses(world.peer(b), world.peer(a))) parent[find(a)] = find(b);
    }
  }
  const groups = new Map<number, SimPeer[]>();
  for (const peer of world.peers) {
    if (!peer.running) continue;
    const root = find(peer.index);
    const group = groups.get(root);
    if (group === undefined) groups.set(root, [peer]);
    else group.push(peer);
  }
  return [...groups.values()];
}

/** No envelope is lost that a connected node should hold. */
function sameEnvelopes({ world, tracker, names }: Setup, group: readonly SimPeer[]): void {
  if (tracker.missing === 0) return;
  const members = new Set(group.map(({ index }) => index));
  for (const one of tracker.all()) {
    if (one.missing === 0 || isCut(group, world.peer(one.by).issuer, one.seq)) continue;
    const holders = group.filter(({ index }) => one.held.has(index));
    if (holders.length === 0) continue;
    const without = group.find(({ index }) => one.audience.has(index) && !one.held.has(index));
    if (without === undefined || !members.has(without.index)) continue;
    const [holder] = holders as [SimPeer];
    const what = `${names.nameOf(without.index)} lacks seq ${one.seq} of ${names.nameOf(one.by)}`;
    world.invariants.fail(
      "nothing is missing where it can be had",
      `${what}, which ${names.nameOf(holder.index)} holds`,
      without.index,
      holder.index,
    );
  }
}
/** What a frozen or revoked key wrote above the cut is not passed on. */
function isCut(group: readonly SimPeer[], issuer: string, seq: number): boolean {
  return group.some(({ disk, mesh }) => {
    const frozenAt = disk.record(issuer)?.frozenAt ?? Number.POSITIVE_INFINITY;
    const cut = mesh?.authority.cutOf(issuer) ?? Number.POSITIVE_INFINITY;
    return seq >= Math.min(frozenAt, cut);
  });
}

/** Frozen and revoked sets are equal where trust is. */
function sameAuthority({ world, names }: Setup, group: readonly SimPeer[]): void {
  const seen = new Map<unknown, { readonly peer: SimPeer; readonly text: string }>();
  for (const peer of group) {
    const { mesh, disk } = peer;
    if (mesh === undefined) continue;
    const frozen = [...disk.frozen()].map(([issuer, seq]) => `${issuer} ${seq}`).sort();
    const revoked = [...mesh.authority.revoked()].map(revokedItemText).sort();
    const text = JSON.stringify([frozen, revoked]);
    const trust = JSON.stringify([...peer.trusted.revokers.keys()]);
    const first = seen.get(trust);
    if (first === undefined) seen.set(trust, { peer, text });
    else if (first.text !== text) {
      const who = `${names.nameOf(peer.index)} and ${names.nameOf(first.peer.index)}`;
      world.invariants.fail("frozen and revoked sets are equal after healing", who, peer.index, first.peer.index);
    }
  }
}
