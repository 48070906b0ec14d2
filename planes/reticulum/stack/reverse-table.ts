/** The way back of proofs: which packet came from where and went whither (spec/reticulum.md section 10.5). Used by `transport.ts`. */
import type { Millis } from "../../../spine/index.ts";

const LIFETIME_MS = 480_000;
const MAX_ENTRIES = 32_768;

export interface ReverseEntry {
  readonly inWire: string;
  readonly outWire: string;
  readonly at: Millis;
}

/** In the order of time; bounded: the oldest entry makes room. */
export class ReverseTable {
  evictions = 0;
  readonly #byHash = new Map<string, ReverseEntry>();
  get size(): number {
    return this.#byHash.size;
  }
  /** `key`: truncated packet hash in hex. */
  add(key: string, entry: ReverseEntry): void {
    this.expire(entry.at);
    if (this.#byHash.size >= MAX_ENTRIES) {
      const [oldest] = this.#byHash.keys();
      if (oldest !== undefined) this.#byHash.delete(oldest);
      this.evictions++;
    }
    this.#byHash.set(key, entry);
  }
  /** The entry, which is used up, when the proof came from where the packet went. */
  take(key: string, fromWire: string, now: Millis): ReverseEntry | undefined {
    const entry = this.#byHash.get(key);
    if (entry === undefined || entry.outWire !== fromWire) return undefined;
    this.#byHash.delete(key);
    return now - entry.at < LIFETIME_MS ? entry : undefined;
  }
  expire(now: Millis): void {
    for (const [key, entry] of this.#byHash) {
      if (now - entry.at < LIFETIME_MS) return;
      this.#byHash.delete(key);
    }
  }
  dropWire(wireId: string): void {
    for (const [key, entry] of this.#byHash) {
      if (entry.inWire === wireId || entry.outWire === wireId) this.#byHash.delete(key);
    }
  }
}
