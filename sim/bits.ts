/** A growing set of small numbers, one bit each. */

const WORD_BITS = 32;

export class Bits {
  #words: Uint32Array;
  #count = 0;
  constructor(size = 128) {
    this.#words = new Uint32Array(Math.ceil(size / WORD_BITS));
  }
  get count(): number {
    return this.#count;
  }
  has(index: number): boolean {
    return (((this.#words[index >>> 5] ?? 0) >>> (index % WORD_BITS)) & 1) === 1;
  }
  /** False if it was there. */
  add(index: number): boolean {
    const word = index >>> 5;
    if (word >= this.#words.length) {
      const larger = new Uint32Array(Math.max(2 * this.#words.length, word + 1));
      larger.set(this.#words);
      this.#words = larger;
    }
    const bit = 1 << (index % WORD_BITS);
    const before = this.#words[word] as number;
    if ((before & bit) !== 0) return false;
    this.#words[word] = before | bit;
    this.#count++;
    return true;
  }
  delete(index: number): boolean {
    if (!this.has(index)) return false;
    const word = index >>> 5;
    this.#words[word] = (this.#words[word] as number) & ~(1 << (index % WORD_BITS));
    this.#count--;
    return true;
  }
}
