/** Remembers packet hashes so that each packet is taken once (spec/reticulum.md section 10.1). Used by `endpoint.ts`. */
import { type HashKey, keyOf } from "./hash-key.ts";

const SLOTS_PER_HASH = 2;

/** One generation: an open-addressed table of the first 64 bits of each hash. */
class Generation {
  readonly #words: Uint32Array;
  readonly #mask: number;
  size = 0;
  constructor(slots: number) {
    this.#words = new Uint32Array(2 * slots);
    this.#mask = slots - 1;
  }
  has(high: number, low: number): boolean {
    const words = this.#words;
    for (let slot = low & this.#mask; ; slot = (slot + 1) & this.#mask) {
      const there = words[2 * slot] as number;
      if (there === high && words[2 * slot + 1] === low) return true;
      if (there === 0) return false;
    }
  }
  add(high: number, low: number): void {
    const words = this.#words;
    let slot = low & this.#mask;
    while (words[2 * slot] !== 0) slot = (slot + 1) & this.#mask;
    words[2 * slot] = high;
    words[2 * slot + 1] = low;
    this.size++;
  }
}

/** Two generations: the older is forgotten when the newer is full. Takes no memory before the first hash. */
export class HashFilter {
  readonly #capacity: number;
  readonly #slots: number;
  #current: Generation | undefined;
  #previous: Generation | undefined;
  /** `capacity`: hashes per generation, a power of two. */
  constructor(capacity: number) {
    this.#capacity = capacity;
    this.#slots = SLOTS_PER_HASH * capacity;
  }
  has(hash: Uint8Array): boolean {
    return this.hasKey(keyOf(hash));
  }
  hasKey({ high, low }: HashKey): boolean {
    return this.#current?.has(high, low) === true || this.#previous?.has(high, low) === true;
  }
  /** False when it was there already. */
  add(hash: Uint8Array): boolean {
    return this.addKey(keyOf(hash));
  }
  addKey(key: HashKey): boolean {
    if (this.hasKey(key)) return false;
    if (this.#current === undefined || this.#current.size >= this.#capacity) {
      this.#previous = this.#current;
      this.#current = new Generation(this.#slots);
    }
    this.#current.add(key.high, key.low);
    return true;
  }
}
