/** The way back of proofs: which packet came from where and went whither (spec/reticulum.md section 10.5). Used by `transport.ts`. */
import type { Millis } from "../../../spine/index.ts";

const LIFETIME_MS = 480_000;
const MAX_ENTRIES = 32_768;

export interface ReverseEntry {
  readonly inWire: string;
  readonly outWire: string;
  readonly at: Millis;
}

/** Two generations, so that nothing is deleted one by one: when the newer is full or old, the older is forgotten. */
export class ReverseTable {
  /** Generations forgotten before their time. */
  evictions = 0;
  #current = new Map<string, ReverseEntry>();
  #previous = new Map<string, ReverseEntry>();
  #since: Millis = 0;
  get size(): number {
    return this.#current.size + this.#previous.size;
  }
  /** `key`: of the truncated packet hash. */
  add(key: string, entry: ReverseEntry): void {
    if (this.#current.size >= MAX_ENTRIES / 2 || entry.at - this.#since >= LIFETIME_MS) this.#rotate(entry.at);
    this.#current.set(key, entry);
  }
  #rotate(now: Millis): void {
    if (this.#previous.size > 0 && now - this.#since < LIFETIME_MS) this.evictions++;
    this.#previous = now - this.#since < 2 * LIFETIME_MS ? this.#current : new Map();
    this.#current = new Map();
    this.#since = now;
  }
  /** The entry, which is used up, when the proof came from where the packet went. */
  take(key: string, fromWire: string, now: Millis): ReverseEntry | undefined {
    for (const generation of [this.#current, this.#previous]) {
      const entry = generation.get(key);
      if (entry === undefined) continue;
      if (entry.outWire !== fromWire) return undefined;
      generation.delete(key);
      return now - entry.at < LIFETIME_MS ? entry : undefined;
    }
    return undefined;
  }
  entries(): readonly (readonly [string, ReverseEntry])[] {
    return [...this.#previous, ...this.#current];
  }
  expire(now: Millis): void {
    if (now - this.#since >= LIFETIME_MS) this.#rotate(now);
    for (const generation of [this.#previous, this.#current]) {
      for (const [key, entry] of generation) if (now - entry.at >= LIFETIME_MS) generation.delete(key);
    }
  }
  dropWire(wireId: string): void {
    for (const generation of [this.#current, this.#previous]) {
      for (const [key, entry] of generation) {
        if (entry.inWire === wireId || entry.outWire === wireId) generation.delete(key);
      }
    }
  }
}
