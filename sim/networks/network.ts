/** What the world asks of every virtual network. */
import type { Envelope, EnvelopeHash, LinkId, Tier, Verdict } from "../../spine/index.ts";
import type { SimPeer } from "../peer.ts";
import type { NodeAir } from "../result.ts";

export interface Traffic {
  frames: number;
  bytes: number;
}

export interface SimNetwork {
  readonly name: string;
  readonly type: "stream" | "broker" | "radio";
  /** Plane name as the daemon has it: disclosure goes by it. */
  readonly plane: string;
  readonly traffic: Traffic;
  /** Indexes of members, ascending. */
  readonly members: readonly number[];
  /** A node is up again, has gone down, or what separates nodes has changed. */
  started(peer: SimPeer): void;
  stopped(index: number): void;
  barriersChanged(): void;
  /** Broker: a member has something new on its disk. */
  stored?(index: number): void;
  /** Gives data to the broadcast medium, if there is one. */
  broadcast(from: number, data: Uint8Array, tier: Tier): void;
  /** Keeps an urgent envelope for peers who are away, where the plane stores and forwards. */
  leave?(from: number, envelope: Envelope, tier: Tier): void;
  /** Radio without links: says to a peer what the member holds, and hands it what it lacks. */
  state?(index: number, peer: string, body: Uint8Array): void;
  hand?(index: number, peer: string, envelope: Envelope, tier: Tier): void;
  judged(index: number, link: LinkId, id: string, verdict: Verdict): void;
  hangUp(index: number, link: LinkId): void;
  penalise(index: number, link: LinkId, code: string): void;
  /** Radio: milliseconds on the air of all members. */
  airtimeMs?(): number;
  /** Radio: airtime of the smallest packet that carries an envelope. */
  packetMs?(hash: EnvelopeHash): number;
  /** Radio: bytes that wait before the air of a member, beside those in its links' queues. */
  waitingBytes?(index: number): number;
  nodeAir?(index: number): Omit<NodeAir, "bound_airtime_ms"> | null;
  /** Pairs that can talk now, as they count for reports. */
  links(): Iterable<readonly [number, number]>;
  /** Pairs that must come to hold the same if nothing disturbs them: those of `links` if omitted. */
  joined?(): Iterable<readonly [number, number]>;
}
