/** Which way and how far a destination is, as announces tell (spec/reticulum.md section 9.1). Used by `endpoint.ts`. */
import { type Millis, toHex } from "../../../spine/index.ts";
import type { Announce } from "./announce.ts";
import { emissionSeconds } from "./announce.ts";

const EXPIRY_MS = 604_800_000;
const MAX_PATHS = 16_384;
const MAX_RANDOM_HASHES = 64;
const HEX_BYTES = 2;

export interface PathEntry {
  /** Transport node, or the destination itself when it was heard directly. */
  readonly nextHop: Uint8Array;
  /** 1 = heard directly. */
  readonly hops: number;
  readonly wireId: string;
  readonly expiresAt: Millis;
  /** Of the announces heard, as hex, oldest first. */
  readonly randomHashes: readonly string[];
  readonly unresponsive: boolean;
}

function latestEmission(randomHashes: readonly string[]): number {
  let latest = 0;
  for (const hex of randomHashes) latest = Math.max(latest, Number.parseInt(hex.slice(5 * HEX_BYTES), 16));
  return latest;
}

/** Bounded: the path unused longest makes room. */
export class PathTable {
  readonly #byHash = new Map<string, PathEntry>();
  get size(): number {
    return this.#byHash.size;
  }
  get(hash: Uint8Array, now: Millis): PathEntry | undefined {
    const entry = this.#byHash.get(toHex(hash));
    return entry !== undefined && entry.expiresAt > now ? entry : undefined;
  }
  /** Whether an announce that came over `hops` hops shall replace what is known. */
  accepts(announce: Announce, hops: number, now: Millis): boolean {
    const entry = this.#byHash.get(toHex(announce.destination));
    if (entry === undefined) return true;
    const unseen = !entry.randomHashes.includes(toHex(announce.randomHash));
    const emitted = emissionSeconds(announce.randomHash);
    const latest = latestEmission(entry.randomHashes);
    if (hops <= entry.hops) return unseen && emitted > latest;
    if (entry.expiresAt <= now || emitted > latest) return unseen;
    return emitted === latest && entry.unresponsive;
  }
  learn(announce: Announce, hops: number, nextHop: Uint8Array, wireId: string, now: Millis): void {
    const key = toHex(announce.destination);
    const seen = this.#byHash.get(key)?.randomHashes ?? [];
    const random = toHex(announce.randomHash);
    const randomHashes = (seen.includes(random) ? seen : [...seen, random]).slice(-MAX_RANDOM_HASHES);
    this.#byHash.delete(key);
    const [oldest] = this.#byHash.keys();
    if (this.#byHash.size >= MAX_PATHS && oldest !== undefined) this.#byHash.delete(oldest);
    const expiresAt = now + EXPIRY_MS;
    this.#byHash.set(key, { nextHop: nextHop.slice(), hops, wireId, expiresAt, randomHashes, unresponsive: false });
  }
  /** A link over this path died: the next announce may replace it, whatever its length. */
  expire(hash: Uint8Array): void {
    const key = toHex(hash);
    const entry = this.#byHash.get(key);
    if (entry !== undefined) this.#byHash.set(key, { ...entry, expiresAt: 0, unresponsive: true });
  }
  /** Paths vanish with their interface. */
  dropWire(wireId: string): void {
    for (const [key, entry] of this.#byHash) if (entry.wireId === wireId) this.#byHash.delete(key);
  }
  entries(): IterableIterator<[string, PathEntry]> {
    return this.#byHash.entries();
  }
}
