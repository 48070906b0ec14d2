/** Token buckets and bounded tables: the limits that keep one peer from using up a node. Pure; `now` is an input. */
import type { Millis } from "./ports.ts";

/** `ratePerSecond` tokens flow in, at most `burst` are kept. Starts full. */
export class TokenBucket {
  readonly #ratePerMs: number;
  readonly #burst: number;
  #tokens: number;
  #at: Millis;
  constructor(ratePerSecond: number, burst: number, now: Millis) {
    this.#ratePerMs = ratePerSecond / 1000;
    this.#burst = burst;
    this.#tokens = burst;
    this.#at = now;
  }
  #refill(now: Millis): void {
    // A clock that steps back neither grants nor takes tokens.
    if (now > this.#at) this.#tokens = Math.min(this.#burst, this.#tokens + (now - this.#at) * this.#ratePerMs);
    this.#at = now;
  }
  /** Takes `cost` tokens if there are that many. */
  take(cost: number, now: Millis): boolean {
    this.#refill(now);
    if (this.#tokens < cost) return false;
    this.#tokens -= cost;
    return true;
  }
  /** Takes tokens even into debt: for work already done. */
  charge(cost: number, now: Millis): void {
    this.#refill(now);
    this.#tokens -= cost;
  }
  /** When `cost` tokens will be there; `now` if they are. */
  readyAt(cost: number, now: Millis): Millis {
    this.#refill(now);
    const lacking = Math.min(cost, this.#burst) - this.#tokens;
    return lacking <= 0 ? now : now + Math.ceil(lacking / this.#ratePerMs);
  }
}

/** A map that forgets the entry least recently set or touched when it is full. `dropped` counts what it forgot. */
export class BoundedMap<K, V> {
  readonly #limit: number;
  readonly #entries = new Map<K, V>();
  dropped: number = 0;
  constructor(limit: number) {
    this.#limit = limit;
  }
  get size(): number {
    return this.#entries.size;
  }
  get(key: K): V | undefined {
    return this.#entries.get(key);
  }
  has(key: K): boolean {
    return this.#entries.has(key);
  }
  set(key: K, value: V): void {
    this.#entries.delete(key);
    this.#entries.set(key, value);
    if (this.#entries.size <= this.#limit) return;
    const oldest = this.#entries.keys().next();
    if (!oldest.done) this.#entries.delete(oldest.value);
    this.dropped++;
  }
  delete(key: K): boolean {
    return this.#entries.delete(key);
  }
  clear(): void {
    this.#entries.clear();
  }
  entries(): IterableIterator<[K, V]> {
    return this.#entries.entries();
  }
}
