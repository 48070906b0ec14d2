/**
 * What must change on an interface so that its peers are exactly those wanted: pure. The control protocol moves an
 * address from one peer to another without a word, so every change is checked against what the interface holds.
 */
import { BoundedMap, SpineError } from "../../spine/index.ts";
import type { DeviceState, PeerChange, PeerState } from "./device.ts";
import {
  type Address,
  contains,
  formatNetwork,
  isSingle,
  type Network,
  networkOf,
  overlaps,
  parseAddress,
  parseNetwork,
  singleOf,
} from "./ip.ts";

export interface WantedPeer {
  /** Lower-case hex of 32 bytes. */
  readonly publicKey: string;
  /** The key it is about to change to: let in beside the old one, with no address until it has shaken hands. */
  readonly nextKey: string | null;
  /** Its one address inside the enclave. */
  readonly address: string;
  /** Where to send when nothing else is known; null = it calls us. */
  readonly endpoint: string | null;
  readonly keepaliveSeconds: number;
}

export interface PlanInput {
  readonly wanted: readonly WantedPeer[];
  readonly actual: DeviceState;
  /** Of the enclave, and of this node in it. */
  readonly network: Network;
  readonly ownAddress: string;
  readonly ownKeys: readonly string[];
  /** Endpoint last given to the interface, by key: a peer that roamed since is left where it is. */
  readonly given: ReadonlyMap<string, string>;
}

export interface RefusedPeer {
  readonly publicKey: string;
  readonly reason: string;
}

export interface Plan {
  /** In an order in which each is valid after those before it. */
  readonly changes: readonly PeerChange[];
  /** Wanted but not let in. */
  readonly refused: readonly RefusedPeer[];
}

type Put = Extract<PeerChange, { type: "put" }>;

const singles = new BoundedMap<string, string>(8_192);
/** An address as what one peer may use, ADDRESS/32 or /128. */
function singleText(address: string): string {
  const known = singles.get(address);
  if (known !== undefined) return known;
  const single = singleOf(parseAddress(address));
  singles.set(address, single);
  return single;
}

/** Says what is wrong with a wanted peer by itself; undefined if nothing. */
function fault(peer: WantedPeer, { network, ownAddress, ownKeys }: PlanInput): string | undefined {
  let address: Address;
  try {
    address = parseAddress(peer.address);
  } catch {
    return `${peer.address.slice(0, 60)} is not one address`;
  }
  if (!contains(network, address)) return `${peer.address} is outside ${formatNetwork(network)}`;
  if (address.value === parseAddress(ownAddress).value) return `${peer.address} is this node's own address`;
  const keys = [peer.publicKey, ...(peer.nextKey === null ? [] : [peer.nextKey])];
  if (keys.some((key) => ownKeys.includes(key))) return "it announced this node's own key";
  if (keys.some((key) => !/^[0-9a-f]{64}$/.test(key) || /^0+$/.test(key))) return "its key is not 32 bytes of hex";
  return undefined;
}

/** The peers that can be let in together: of two with one key or address the earlier in the list stays. */
function admissible(input: PlanInput): { readonly kept: readonly WantedPeer[]; readonly refused: RefusedPeer[] } {
  const [keys, addresses] = [new Set<string>(), new Set<string>()];
  const kept: WantedPeer[] = [];
  const refused: RefusedPeer[] = [];
  for (const peer of input.wanted) {
    const wrong = fault(peer, input);
    if (wrong !== undefined) {
      refused.push({ publicKey: peer.publicKey, reason: wrong });
      continue;
    }
    const single = singleText(peer.address);
    const own = [peer.publicKey, ...(peer.nextKey === null || peer.nextKey === peer.publicKey ? [] : [peer.nextKey])];
    const clash = addresses.has(single)
      ? `another peer has ${peer.address}`
      : own.some((key) => keys.has(key))
        ? "another peer has its key"
        : "";
    if (clash !== "") {
      refused.push({ publicKey: peer.publicKey, reason: clash });
      continue;
    }
    addresses.add(single);
    for (const key of own) keys.add(key);
    kept.push({ ...peer, nextKey: own[1] ?? null });
  }
  return { kept, refused };
}

/** The entries of one peer: while it changes keys there are two, and the new one takes over once it has shaken hands. */
function entries(peer: WantedPeer, actual: ReadonlyMap<string, PeerState>): Put[] {
  const put = (publicKey: string, allowedIp: string | null, takesFrom: string | null): Put => ({
    type: "put",
    publicKey,
    allowedIp,
    takesFrom,
    endpoint: peer.endpoint,
    keepaliveSeconds: peer.keepaliveSeconds,
  });
  const single = singleText(peer.address);
  if (peer.nextKey === null) return [put(peer.publicKey, single, null)];
  const changed = (actual.get(peer.nextKey)?.handshakeAtMs ?? 0) > (actual.get(peer.publicKey)?.handshakeAtMs ?? 0);
  if (changed) return [put(peer.nextKey, single, peer.publicKey)];
  return [put(peer.publicKey, single, null), { ...put(peer.nextKey, null, null), keepaliveSeconds: 0 }];
}

/** Pure. Adopted interfaces are never planned for. */
export function planPeers(input: PlanInput): Plan {
  const { kept, refused } = admissible(input);
  const actual = new Map(input.actual.peers.map((peer) => [peer.publicKey, peer]));
  const targets = kept.flatMap((peer) => entries(peer, actual));
  const wantedKeys = new Set(targets.map(({ publicKey }) => publicKey));
  const moves = targets.filter(({ takesFrom }) => takesFrom !== null && actual.has(takesFrom));
  const movedFrom = new Set(moves.map(({ takesFrom }) => takesFrom as string));
  const removals: PeerChange[] = [];
  const lateRemovals: PeerChange[] = [];
  for (const { publicKey } of input.actual.peers) {
    if (wantedKeys.has(publicKey)) continue;
    (movedFrom.has(publicKey) ? lateRemovals : removals).push({ type: "remove", publicKey });
  }
  const shrinking: PeerChange[] = [];
  const growing: PeerChange[] = [];
  for (const target of targets) {
    const change = difference(target, actual.get(target.publicKey), input.given);
    if (change === undefined) continue;
    const held = actual.get(target.publicKey)?.allowedIps ?? [];
    const gives = held.some((ip) => ip !== target.allowedIp);
    // What it holds wrongly is let go first, on its own, when what it should hold is still another's.
    if (gives && target.allowedIp !== null && !held.includes(target.allowedIp)) {
      shrinking.push({ ...change, allowedIp: null, takesFrom: null });
      growing.push(change);
    } else (gives ? shrinking : growing).push(change);
  }
  return { changes: [...removals, ...shrinking, ...growing, ...lateRemovals], refused };
}

function difference(target: Put, peer: PeerState | undefined, given: ReadonlyMap<string, string>): Put | undefined {
  const { publicKey, allowedIp, keepaliveSeconds } = target;
  if (peer === undefined) return target;
  const tell = target.endpoint !== null && (peer.endpoint === null || given.get(publicKey) !== target.endpoint);
  const endpoint = tell && target.endpoint !== peer.endpoint ? target.endpoint : null;
  const [held, ...more] = peer.allowedIps;
  const same = more.length === 0 && (held ?? null) === allowedIp && peer.keepaliveSeconds === keepaliveSeconds;
  return same && endpoint === null ? undefined : { ...target, endpoint };
}

/** Throws `enclave_address` when `change` would take from another peer, or give more than one address of `network`. */
export function guardChange(change: PeerChange, state: DeviceState, network: Network): void {
  if (change.type === "remove" || change.allowedIp === null) return;
  const wanted = parseNetwork(change.allowedIp);
  if (!isSingle(wanted)) throw new SpineError("enclave_address", `${change.allowedIp} is not one address`);
  if (!contains(network, wanted)) {
    throw new SpineError("enclave_address", `${change.allowedIp} is outside ${formatNetwork(network)}`);
  }
  for (const { publicKey, allowedIps } of state.peers) {
    if (publicKey === change.publicKey || publicKey === change.takesFrom) continue;
    if (allowedIps.some((ip) => overlaps(networkOf(ip), wanted))) {
      throw new SpineError("enclave_address", `${change.allowedIp} belongs to the peer ${publicKey.slice(0, 8)}…`);
    }
  }
}

/** What the interface should hold after `change`; compared with what it says. */
export function afterChange(state: DeviceState, change: PeerChange): DeviceState {
  const others = state.peers.filter(({ publicKey }) => publicKey !== change.publicKey);
  if (change.type === "remove") return { ...state, peers: others };
  const { publicKey, allowedIp, keepaliveSeconds } = change;
  const before = state.peers.find((peer) => peer.publicKey === publicKey);
  const peer: PeerState = {
    publicKey,
    allowedIps: allowedIp === null ? [] : [allowedIp],
    endpoint: change.endpoint ?? before?.endpoint ?? null,
    keepaliveSeconds,
    handshakeAtMs: before?.handshakeAtMs ?? 0,
    rxBytes: before?.rxBytes ?? 0,
    txBytes: before?.txBytes ?? 0,
  };
  const left = others.map((one) => ({ ...one, allowedIps: one.allowedIps.filter((ip) => ip !== allowedIp) }));
  return { ...state, peers: [...left, peer] };
}
