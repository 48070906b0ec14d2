/** What the stateful parts of the stack share: time, randomness, sending, counting. Made by `endpoint.ts`. */
import type { Millis, Random } from "../../../spine/index.ts";
import type { Ifac } from "./ifac.ts";
import { NETWORK_MTU } from "./packet.ts";
import type { WirePolicy } from "./wire-policy.ts";

/** One attached interface as the stack sees it. */
export interface Wire {
  /** Unique within the endpoint. */
  readonly id: string;
  /** Bits per second, for timeouts. */
  readonly bitrate: number;
  /** Largest packet, bytes; links use it only when the interface chose or fixed it, else they stay at 500. */
  readonly hardwareMtu: number;
  readonly signalsMtu: boolean;
  readonly ifac?: Ifac | undefined;
  readonly policy?: WirePolicy | undefined;
  /**
   * A stream has one peer, and the frames it brings belong to the endpoint, which may change them; on a network and on a line (radio or serial, the default) others may hear and repeat what is
   * sent; on a line the medium itself limits bursts.
   */
  readonly medium?: "stream" | "network" | "line";
  /** The id will not come back: the wire of one client or discovered peer. */
  readonly transient?: boolean;
  /** The display name under which the other side may know this connection again after it broke. */
  readonly tunnelName?: string | undefined;
}

/** The packet in memory that may be changed: itself, when nobody else can have it. */
export function ownedFrame(raw: Uint8Array, wire: Wire): Uint8Array {
  return wire.medium === "stream" || wire.ifac !== undefined ? raw : raw.slice();
}

/** The MTU that links over this wire may have. */
export function wireLinkMtu(wire: Wire): number {
  return wire.signalsMtu ? Math.max(NETWORK_MTU, wire.hardwareMtu) : NETWORK_MTU;
}

/** Why something was dropped or given up, and what was done: names for metrics, a closed set. */
export type CounterName =
  | "packets_received"
  | "packets_sent"
  | "bytes_received"
  | "bytes_sent"
  | "announces_accepted"
  | "drop_access_code"
  | "drop_malformed"
  | "drop_not_for_us"
  | "drop_duplicate"
  | "drop_hops"
  | "drop_unknown_destination"
  | "drop_undecryptable"
  | "drop_announce_invalid"
  | "drop_announce_key_changed"
  | "drop_announce_stale"
  | "drop_proof_invalid"
  | "drop_proof_unknown"
  | "drop_link_unknown"
  | "drop_link_refused"
  | "drop_link_wire"
  | "drop_resource_invalid"
  | "drop_resource_refused"
  | "drop_resource_part"
  | "drop_request_refused"
  | "drop_channel"
  | "drop_path_request"
  | "drop_table_full"
  | "drop_no_wire"
  | "drop_no_path"
  | "drop_link_hops"
  | "drop_rate_limited"
  | "drop_held_announce"
  | "drop_announce_queue"
  | "drop_tunnel"
  | "drop_echo"
  | "packets_forwarded"
  | "links_forwarded"
  | "announces_forwarded"
  | "announces_blocked"
  | "announces_held"
  | "path_answers"
  | "path_searches"
  | "handler_failed";

export interface StackContext {
  now(): Millis;
  readonly random: Random;
  /** Runs `task` at or after `at`; returns a function that cancels it. */
  schedule(at: Millis, task: () => void): () => void;
  /**
   * Queues a packet for one wire; counted as dropped when the wire is gone. One that a transport node will repeat is
   * remembered, so that its echo is not taken for the peer's.
   */
  transmit(raw: Uint8Array, wireId: string, repeated?: boolean): void;
  count(name: CounterName, by?: number): void;
  /** Runs an application callback; what it throws is counted and reported, never passed on. */
  notify(task: () => void): void;
}
