/**
 * Holds re-sent announces to a share of each wire's bitrate (spec/reticulum.md section 8, "Bandwidth cap"). One queue per
 * wire; what waits goes out fewest hops first, then oldest. Used by `transport.ts`.
 */
import type { Millis } from "../../../spine/index.ts";
import type { StackContext, Wire } from "./context.ts";
import { announceCapOf } from "./wire-policy.ts";

const MAX_WAITING = 4096;
const LIFETIME_MS = 86_400_000;

export interface QueuedAnnounce {
  /** Destination hash in hex: one announce of each waits, the newest emission. */
  readonly key: string;
  readonly raw: Uint8Array;
  readonly hops: number;
  readonly emittedSeconds: number;
}

interface Waiting extends QueuedAnnounce {
  readonly since: Millis;
}

export class AnnounceQueue {
  readonly #context: StackContext;
  readonly #wire: Wire;
  readonly #waiting = new Map<string, Waiting>();
  #allowedAt: Millis = 0;
  #cancelTimer: (() => void) | undefined;
  constructor(context: StackContext, wire: Wire) {
    this.#context = context;
    this.#wire = wire;
  }
  get size(): number {
    return this.#waiting.size;
  }
  /** Sends at once when the wire's share allows, else waits. */
  offer(announce: QueuedAnnounce): void {
    const now = this.#context.now();
    if (this.#waiting.size === 0 && now >= this.#allowedAt) {
      this.#send(announce, now);
      return;
    }
    const earlier = this.#waiting.get(announce.key);
    if (earlier !== undefined && earlier.emittedSeconds > announce.emittedSeconds) return;
    if (earlier === undefined && this.#waiting.size >= MAX_WAITING) {
      this.#context.count("drop_announce_queue");
      return;
    }
    this.#waiting.set(announce.key, { ...announce, since: earlier?.since ?? now });
    this.#arm();
  }
  /** The wire is gone. */
  clear(): void {
    this.#cancelTimer?.();
    this.#cancelTimer = undefined;
    this.#waiting.clear();
  }
  #send(announce: QueuedAnnounce, now: Millis): void {
    this.#context.transmit(announce.raw, this.#wire.id);
    this.#context.count("announces_forwarded");
    const airMs = (announce.raw.length * 8 * 1000) / this.#wire.bitrate;
    this.#allowedAt = now + airMs / announceCapOf(this.#wire);
  }
  #arm(): void {
    this.#cancelTimer ??= this.#context.schedule(this.#allowedAt, () => {
      this.#cancelTimer = undefined;
      this.#release();
    });
  }
  #release(): void {
    const now = this.#context.now();
    let next: Waiting | undefined;
    for (const [key, entry] of this.#waiting) {
      if (now - entry.since > LIFETIME_MS) {
        this.#waiting.delete(key);
        this.#context.count("drop_announce_queue");
      } else if (
        next === undefined ||
        entry.hops < next.hops ||
        (entry.hops === next.hops && entry.since < next.since)
      ) {
        next = entry;
      }
    }
    if (next === undefined) return;
    this.#waiting.delete(next.key);
    this.#send(next, now);
    if (this.#waiting.size > 0) this.#arm();
  }
}
