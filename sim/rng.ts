/** Seeded randomness of the simulator: xoshiro128** (Blackman, Vigna 2018). Same seed, same numbers, on every machine. */

export class Rng {
  readonly #state: Uint32Array;
  constructor(seed: number) {
    // SplitMix32 spreads a small seed over the whole state.
    let mix = seed >>> 0;
    this.#state = Uint32Array.from({ length: 4 }, () => {
      mix = (mix + 0x9e3779b9) >>> 0;
      let z = mix;
      z = Math.imul(z ^ (z >>> 16), 0x85ebca6b);
      z = Math.imul(z ^ (z >>> 13), 0xc2b2ae35);
      return (z ^ (z >>> 16)) >>> 0;
    });
  }
  /** 0 to 2^32 − 1. */
  next(): number {
    const s = this.#state as unknown as [number, number, number, number];
    const mixed = Math.imul(s[1], 5);
    const result = Math.imul((mixed << 7) | (mixed >>> 25), 9) >>> 0;
    const shifted = s[1] << 9;
    s[2] ^= s[0];
    s[3] ^= s[1];
    s[1] ^= s[2];
    s[0] ^= s[3];
    s[2] ^= shifted;
    s[3] = (s[3] << 11) | (s[3] >>> 21);
    return result;
  }
  /** 0 ≤ x < 1. */
  float(): number {
    return this.next() / 4_294_967_296;
  }
  /** low ≤ x < high, whole. */
  integer(low: number, high: number): number {
    return low + Math.floor(this.float() * (high - low));
  }
  bytes(length: number): Uint8Array {
    return Uint8Array.from({ length }, () => this.next() & 255);
  }
  pick<T>(items: readonly T[]): T {
    return items[this.integer(0, items.length)] as T;
  }
}
