/**
 * What waits to be sent on one link: a queue per priority tier under one byte bound, with a byte budget for slow
 * links. The highest tier always goes first; within a tier first in, first out. Pure; used by every driver.
 */
import type { Tier } from "./fact.ts";
import type { Millis } from "./ports.ts";
import { TokenBucket } from "./quota.ts";

export const TIERS: readonly Tier[] = [1, 2, 3, 4, 5, 6, 7];
/** Protocol messages (hello, inventories, requests) go beside incidents: small, and everything waits for them. */
export const CONTROL_TIER: Tier = 3;

export interface OutboxOptions {
  /** Most bytes kept; beyond it the least urgent, newest frames are dropped and counted. Tier 1 is never dropped for others. */
  readonly maxBytes: number;
  /** Bits per second; Infinity = no budget. */
  readonly bitrate: number;
}

export class Outbox {
  readonly #maxBytes: number;
  readonly #budget: TokenBucket | undefined;
  readonly #queues: Uint8Array[][] = TIERS.map(() => []);
  #bytes = 0;
  /** Frames dropped because the queue was full. */
  dropped: number = 0;
  /** Tier of the frame taken last. */
  takenTier: Tier = CONTROL_TIER;
  constructor(options: OutboxOptions, now: Millis) {
    this.#maxBytes = options.maxBytes;
    // Two seconds of the link's rate, but at least one full packet, may go out at once.
    const bytesPerSecond = options.bitrate / 8;
    this.#budget = Number.isFinite(bytesPerSecond)
      ? new TokenBucket(bytesPerSecond, Math.max(512, 2 * bytesPerSecond), now)
      : undefined;
  }
  get bytes(): number {
    return this.#bytes;
  }
  get length(): number {
    return this.#queues.reduce((sum, queue) => sum + queue.length, 0);
  }
  /** Queues a frame; false if it (rather than something less urgent) was dropped. */
  push(frame: Uint8Array, tier: Tier): boolean {
    for (const victim of [...TIERS].reverse()) {
      if (victim <= tier) break;
      const queue = this.#queues[victim - 1] as Uint8Array[];
      while (this.#bytes + frame.length > this.#maxBytes && queue.length > 0) {
        this.#bytes -= (queue.pop() as Uint8Array).length;
        this.dropped++;
      }
    }
    if (this.#bytes + frame.length > this.#maxBytes && this.#bytes > 0) {
      this.dropped++;
      return false;
    }
    (this.#queues[tier - 1] as Uint8Array[]).push(frame);
    this.#bytes += frame.length;
    return true;
  }
  /** A frame of tier 1, whatever the budget says: for planes that have a budget of their own for it. */
  takeUrgent(): Uint8Array | undefined {
    const frame = this.#queues[0]?.shift();
    if (frame !== undefined) this.#bytes -= frame.length;
    return frame;
  }
  /** The next frame to send, or undefined if nothing waits or the budget is used up (then see `readyAt`). */
  take(now: Millis): Uint8Array | undefined {
    const at = this.#queues.findIndex((candidate) => candidate.length > 0);
    const queue = this.#queues[at];
    if (queue === undefined) return undefined;
    const frame = queue[0] as Uint8Array;
    if (this.#budget !== undefined) {
      if (this.#budget.readyAt(frame.length, now) > now) return undefined;
      this.#budget.charge(frame.length, now);
    }
    queue.shift();
    this.takenTier = TIERS[at] as Tier;
    this.#bytes -= frame.length;
    return frame;
  }
  /** When the next frame may be sent; undefined if nothing waits. */
  readyAt(now: Millis): Millis | undefined {
    const frame = this.#queues.find((candidate) => candidate.length > 0)?.[0];
    if (frame === undefined) return undefined;
    return this.#budget === undefined ? now : this.#budget.readyAt(frame.length, now);
  }
}
