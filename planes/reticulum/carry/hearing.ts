/**
 * What a node hears besides the frames of its links: gossip of neighbours, and envelopes or heads that come on no link, by
 * packet, announce, broadcast or mail. Each is taken once, within bounds, and given to the core. Owned by `plane.ts`.
 */
import {
  BoundedMap,
  type Clock,
  type GossipMessage,
  isFragment,
  type LinkId,
  type Millis,
  Reassembler,
  TokenBucket,
} from "../../../spine/index.ts";
import type { EventQueue } from "../../event-queue.ts";
import { GossipMemory, type HeardGossip } from "../../gossip-memory.ts";
import { canonicalBytes, openSpelling } from "./spellings.ts";

/** What strangers may send is bounded. */
const MAX_SEEN = 1_024;
const STRAYS = { perSecond: 20, burst: 200 };

export interface HearingCounts {
  gossip_received: number;
  gossip_dropped: number;
  messages_malformed: number;
  packets_received: number;
  strays: number;
  strays_dropped: number;
}

export class Hearing {
  readonly #name: string;
  readonly #queue: EventQueue;
  readonly #clock: Clock;
  readonly #counts: HearingCounts;
  readonly #heard = new GossipMemory();
  readonly #parts = new Reassembler("short");
  readonly #strays: TokenBucket;
  readonly #seen = new BoundedMap<string, { readonly wire: string; readonly at: Millis }>(MAX_SEEN);

  /** `name` is the plane's. */
  constructor(name: string, queue: EventQueue, clock: Clock, counts: HearingCounts) {
    this.#name = name;
    this.#queue = queue;
    this.#clock = clock;
    this.#counts = counts;
    this.#strays = new TokenBucket(STRAYS.perSecond, STRAYS.burst, clock.now());
  }

  /** False if it was heard or sent before. */
  remember(data: Uint8Array): boolean {
    return this.#heard.remember(GossipMemory.idOf(data));
  }
  /** What waits for a verdict under that id, once. */
  judged(id: string): HeardGossip | undefined {
    return this.#heard.take(id);
  }

  gossip(link: LinkId, data: Uint8Array): void {
    const id = GossipMemory.idOf(data);
    if (!this.#heard.remember(id)) return;
    if (this.#heard.isFull) {
      this.#counts.gossip_dropped++;
      return;
    }
    this.#counts.gossip_received++;
    this.#heard.hold(id, { link, data });
    this.#queue.push({ type: "gossip", link, id, data }, data.length);
  }

  /** A packet to this node's destination: an envelope or a head in any spelling, whole or in parts. */
  packet(data: Uint8Array): void {
    this.#counts.packets_received++;
    try {
      const whole = isFragment(data) ? this.#parts.add("packet", data, this.#clock.now()) : data;
      if (whole !== undefined) this.spelling("packet", whole);
    } catch {
      this.#counts.messages_malformed++;
    }
  }
  /** The message, unless the bytes are neither an envelope nor a head. */
  spelling(how: string, bytes: Uint8Array): GossipMessage | undefined {
    try {
      const message = openSpelling(bytes);
      this.stray(this.via(how), message);
      return message;
    } catch {
      this.#counts.messages_malformed++;
      return undefined;
    }
  }
  via(how: string): string {
    return `${this.#name}:${how}`;
  }
  stray(via: string, message: GossipMessage): void {
    const data = canonicalBytes(message);
    const id = GossipMemory.idOf(data);
    if (!this.#heard.remember(id)) return;
    if (this.#heard.isFull || !this.#strays.take(1, this.#clock.now())) {
      this.#heard.forget(id);
      this.#counts.strays_dropped++;
      return;
    }
    this.#counts.strays++;
    this.#heard.hold(id, { link: via, data });
    this.#queue.push({ type: "stray", via, id, data }, data.length);
  }

  /** A peer was heard on a wire, whatever it said. */
  from(peer: string, wire: string): void {
    this.#seen.set(peer, { wire, at: this.#clock.now() });
  }
  /** Peers heard on a wire, and how long ago. */
  neighbours(wire: string): { readonly peer: string; readonly agoMs: Millis }[] {
    const now = this.#clock.now();
    const here = [...this.#seen.entries()].filter(([, seen]) => seen.wire === wire);
    return here.map(([peer, { at }]) => ({ peer, agoMs: Math.max(0, now - at) }));
  }

  /**
   * Whether a peer is one of the next `count` after `own` in the circle of those heard on a wire. Others that cannot be
   * reached (`isHard`) do not count.
   */
  follows(own: string, peer: string, wire: string, count: number, isHard: (peer: string) => boolean): boolean {
    let circle = 1;
    let before = 0;
    for (const [one, seen] of this.#seen.entries()) {
      if (seen.wire !== wire || one === peer || isHard(one)) continue;
      circle++;
      if (own < peer ? one > own && one < peer : one > own || one < peer) before++;
    }
    // Of two that follow each other the smaller dials.
    return before < count && (circle > count || own < peer);
  }

  clear(): void {
    this.#heard.clear();
  }
}
