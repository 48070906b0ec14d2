/** Links of others that run through this node (spec/reticulum.md sections 10.3 and 10.4). Used by `transport.ts`. */
import type { Millis } from "../../../spine/index.ts";

const LINK_IDLE_MS = 900_000;
const MAX_ENTRIES = 8192;
const TOUCH_MS = 1000;

export interface LinkEntry {
  readonly destination: Uint8Array;
  readonly inWire: string;
  readonly outWire: string;
  /** Hops the request had taken, and has left, at this node. */
  readonly takenHops: number;
  remainingHops: number;
  validated: boolean;
  /** When it is dropped if nobody has proved the link. */
  readonly proofBy: Millis;
  usedAt: Millis;
  movedAt: Millis;
  cancelTimer: (() => void) | undefined;
}

/** Bounded: links not yet proved make room first; with all proved and in use, a new one is refused. */
export class LinkTable {
  evictions = 0;
  readonly #byId = new Map<string, LinkEntry>();
  get size(): number {
    return this.#byId.size;
  }
  get(key: string): LinkEntry | undefined {
    return this.#byId.get(key);
  }
  /** False when the table is full of links in use. */
  add(key: string, entry: LinkEntry, now: Millis): boolean {
    if (this.#byId.size >= MAX_ENTRIES) {
      this.expire(now);
      if (this.#byId.size >= MAX_ENTRIES && !this.#dropUnproved()) return false;
    }
    this.delete(key);
    this.#byId.set(key, entry);
    return true;
  }
  /** The link carries something; its place in the order of use is up to a second old. */
  touch(key: string, entry: LinkEntry, now: Millis): void {
    entry.usedAt = now;
    if (now - entry.movedAt < TOUCH_MS) return;
    entry.movedAt = now;
    this.#byId.delete(key);
    this.#byId.set(key, entry);
  }
  delete(key: string): void {
    this.#byId.get(key)?.cancelTimer?.();
    this.#byId.delete(key);
  }
  #dropUnproved(): boolean {
    for (const [key, entry] of this.#byId) {
      if (entry.validated) continue;
      this.delete(key);
      this.evictions++;
      return true;
    }
    return false;
  }
  expire(now: Millis): void {
    for (const [key, entry] of this.#byId) {
      if (now - entry.movedAt <= LINK_IDLE_MS) return;
      if (now - entry.usedAt > LINK_IDLE_MS) this.delete(key);
    }
  }
  dropWire(wireId: string): void {
    for (const [key, entry] of this.#byId) {
      if (entry.inWire === wireId || entry.outWire === wireId) this.delete(key);
    }
  }
  entries(): IterableIterator<[string, LinkEntry]> {
    return this.#byId.entries();
  }
}
