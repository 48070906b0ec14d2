/** Remembers packet hashes so that each packet is taken once (spec/reticulum.md section 10.1). Used by `endpoint.ts`. */

/** Two generations: the older is forgotten when the newer is full. */
export class PacketFilter {
  readonly #capacity: number;
  #current = new Set<string>();
  #previous = new Set<string>();
  /** `capacity`: hashes per generation. */
  constructor(capacity: number = 32_768) {
    this.#capacity = capacity;
  }
  has(key: string): boolean {
    return this.#current.has(key) || this.#previous.has(key);
  }
  add(key: string): void {
    if (this.#current.size >= this.#capacity) {
      this.#previous = this.#current;
      this.#current = new Set();
    }
    this.#current.add(key);
  }
}
