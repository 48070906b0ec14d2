/** Which way and how far a destination is, as announces tell (spec/reticulum.md section 9). Used by the endpoint and transport. */
import { type Millis, toHex } from "../../../spine/index.ts";
import type { Announce } from "./announce.ts";
import type { Wire } from "./context.ts";
import { pathLifetimeMs } from "./wire-policy.ts";

const MAX_PATHS = 16_384;
const MAX_RANDOM_HASHES = 64;
const HEX_BYTES = 2;
/** A path's use is noted at most this often. */
const TOUCH_MS = 1000;
/** How far back eviction looks for a path that never carried anything. */
const EVICTION_SCAN = 256;
/** An emission this far ahead of our clock was made by a wrong clock; 600 s. */
const FUTURE_MS = 600_000;

/** What of an announce is kept to answer path requests. */
export interface CachedAnnounce {
  readonly data: Uint8Array;
  /** The announce carries a ratchet. */
  readonly contextFlag: boolean;
}

export interface PathEntry {
  /** Transport node, or the destination itself when it was heard directly. */
  readonly nextHop: Uint8Array;
  /** 1 = heard directly. */
  readonly hops: number;
  readonly wireId: string;
  readonly expiresAt: Millis;
  readonly lifetimeMs: Millis;
  /** Of the announces heard, as hex, oldest first. */
  readonly randomHashes: readonly string[];
  /** A link over this path was not answered: another way of the same emission may replace it. */
  readonly unresponsive: boolean;
  /** It carried something. */
  readonly used: boolean;
  readonly touchedAt: Millis;
  readonly gravity: number;
  readonly announce: CachedAnnounce | undefined;
}

type Writable<T> = { -readonly [K in keyof T]: T[K] };

/** The newest emission among random hashes in hex, unix seconds; those after `limit` count only when there is no other. */
function latestEmission(randomHashes: readonly string[], limit: number = Number.POSITIVE_INFINITY): number {
  let latest = 0;
  let beyond = 0;
  for (const hex of randomHashes) {
    const emitted = Number.parseInt(hex.slice(5 * HEX_BYTES), 16);
    if (emitted <= limit) latest = Math.max(latest, emitted);
    else beyond = Math.max(beyond, emitted);
  }
  return latest > 0 ? latest : beyond;
}

export interface HeardPath {
  readonly announce: Announce;
  /** Counted, 1 = heard directly. */
  readonly hops: number;
  readonly wire: Wire;
  readonly nextHop: Uint8Array;
  readonly cached?: CachedAnnounce;
}

/** Bounded: among the paths unused longest, one that never carried anything makes room. */
export class PathTable {
  /** Times an entry made room for another. */
  evictions = 0;
  readonly #byHash = new Map<string, Writable<PathEntry>>();
  get size(): number {
    return this.#byHash.size;
  }
  get(hash: Uint8Array, now: Millis): PathEntry | undefined {
    return this.getByHex(toHex(hash), now);
  }
  getByHex(key: string, now: Millis): PathEntry | undefined {
    const entry = this.#byHash.get(key);
    return entry !== undefined && entry.expiresAt > now ? entry : undefined;
  }
  /**
   * Whether an announce that came over `hops` hops shall replace what is known. `unixMs` is the wall clock: an emission
   * from the future must not freeze a path once its sender's clock is right.
   */
  accepts(announce: Announce, hops: number, now: Millis, unixMs: Millis = now, gravity = 0): boolean {
    const entry = this.#byHash.get(toHex(announce.destination));
    if (entry === undefined) return true;
    const unseen = !entry.randomHashes.includes(toHex(announce.randomHash));
    const emitted = announce.emittedSeconds;
    const future = (unixMs + FUTURE_MS) / 1000;
    const latest = latestEmission(entry.randomHashes, future);
    if (unseen && latest > future && emitted <= future) return true;
    if (hops <= entry.hops) return (unseen && emitted > latest) || (emitted === latest && gravity > entry.gravity);
    if (emitted === latest && entry.unresponsive) return true;
    return unseen && (entry.expiresAt <= now || emitted > latest);
  }
  /** Is it another announce of the second in which the newest was made? It says nothing new of the way, but may of the destination. */
  isSibling(announce: Announce): boolean {
    const entry = this.#byHash.get(toHex(announce.destination));
    if (entry === undefined || entry.randomHashes.includes(toHex(announce.randomHash))) return false;
    return announce.emittedSeconds === latestEmission(entry.randomHashes);
  }
  /** From now on its repetition is none. */
  noteSibling(announce: Announce): void {
    const entry = this.#byHash.get(toHex(announce.destination));
    if (entry === undefined) return;
    entry.randomHashes = [...entry.randomHashes, toHex(announce.randomHash)].slice(-MAX_RANDOM_HASHES);
  }
  learn(heard: HeardPath, now: Millis): void {
    const { announce, hops, wire, nextHop, cached } = heard;
    const key = toHex(announce.destination);
    const earlier = this.#byHash.get(key);
    const random = toHex(announce.randomHash);
    const seen = (earlier?.randomHashes ?? []).filter((hash) => hash !== random);
    this.#byHash.delete(key);
    const lifetimeMs = pathLifetimeMs(wire);
    this.#insert(key, {
      nextHop: nextHop.slice(),
      hops,
      wireId: wire.id,
      expiresAt: now + lifetimeMs,
      lifetimeMs,
      randomHashes: [...seen, random].slice(-MAX_RANDOM_HASHES),
      unresponsive: false,
      used: earlier?.used ?? false,
      touchedAt: now,
      gravity: wire.policy?.gravity ?? 0,
      announce: cached,
    });
  }
  #insert(key: string, entry: Writable<PathEntry>): void {
    if (this.#byHash.size >= MAX_PATHS) this.#evict();
    this.#byHash.set(key, entry);
  }
  #evict(): void {
    this.evictions++;
    let scanned = 0;
    let victim: string | undefined;
    for (const [key, entry] of this.#byHash) {
      victim ??= key;
      if (!entry.used) {
        victim = key;
        break;
      }
      if (++scanned >= EVICTION_SCAN) break;
    }
    if (victim !== undefined) this.#byHash.delete(victim);
  }
  /** The path carries a packet: it lives on. */
  touch(key: string, now: Millis): void {
    const entry = this.#byHash.get(key);
    if (entry === undefined || (entry.used && now - entry.touchedAt < TOUCH_MS)) return;
    entry.used = true;
    entry.touchedAt = now;
    entry.expiresAt = now + entry.lifetimeMs;
    this.#byHash.delete(key);
    this.#byHash.set(key, entry);
  }
  /** A link over this path died: the next announce may replace it, whatever its length. */
  expire(hash: Uint8Array): void {
    const entry = this.#byHash.get(toHex(hash));
    if (entry === undefined) return;
    entry.expiresAt = 0;
    entry.unresponsive = true;
  }
  markUnresponsive(key: string): void {
    const entry = this.#byHash.get(key);
    if (entry !== undefined) entry.unresponsive = true;
  }
  drop(hash: Uint8Array): boolean {
    return this.#byHash.delete(toHex(hash));
  }
  /** Paths vanish with their interface; returns them, by hash in hex. */
  dropWire(wireId: string): Map<string, PathEntry> {
    const gone = new Map<string, PathEntry>();
    for (const [key, entry] of this.#byHash) {
      if (entry.wireId !== wireId) continue;
      this.#byHash.delete(key);
      gone.set(key, entry);
    }
    return gone;
  }
  /** Takes back what `dropWire` or a file gave, on a wire that is there again; shorter or newer paths stay. */
  restore(paths: ReadonlyMap<string, PathEntry>, wireId: string, now: Millis): void {
    for (const [key, entry] of paths) {
      const current = this.#byHash.get(key);
      if (current !== undefined) {
        const newer = latestEmission(current.randomHashes) > latestEmission(entry.randomHashes);
        if (newer || (current.expiresAt > now && current.hops <= entry.hops)) continue;
        this.#byHash.delete(key);
      }
      this.#insert(key, { ...entry, wireId });
    }
  }
  entries(): IterableIterator<[string, PathEntry]> {
    return this.#byHash.entries();
  }
}
