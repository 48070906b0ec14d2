/**
 * The broadcasts that a flooding plane has heard: each is taken once, and passed on when the node has accepted it. Used by
 * the planes that have no gossip protocol beneath them.
 */
import { createHash } from "node:crypto";
import { type LinkId, toHex } from "../spine/index.ts";

/** Remembered broadcasts; the oldest is forgotten first. */
const MAX_SEEN = 4_096;
/** Broadcasts that wait for the node's verdict; no more are taken meanwhile. */
const MAX_PENDING = 1_024;

export interface HeardGossip {
  readonly link: LinkId;
  readonly data: Uint8Array;
}

export class GossipMemory {
  readonly #seen = new Set<string>();
  readonly #pending = new Map<string, HeardGossip>();

  /** Hex of the SHA-256. */
  static idOf(data: Uint8Array): string {
    return toHex(createHash("sha256").update(data).digest());
  }
  /** It was not taken after all: it may be heard again. */
  forget(id: string): void {
    this.#seen.delete(id);
  }
  get isFull(): boolean {
    return this.#pending.size >= MAX_PENDING;
  }
  /** False if it was heard or sent before. */
  remember(id: string): boolean {
    if (this.#seen.has(id)) return false;
    this.#seen.add(id);
    for (const oldest of this.#seen) {
      if (this.#seen.size <= MAX_SEEN) break;
      this.#seen.delete(oldest);
    }
    return true;
  }
  /** Keeps it until the verdict; the caller has looked at `isFull`. */
  hold(id: string, heard: HeardGossip): void {
    this.#pending.set(id, heard);
  }
  /** What waits for a verdict under that id, once. */
  take(id: string): HeardGossip | undefined {
    const heard = this.#pending.get(id);
    this.#pending.delete(id);
    return heard;
  }
  clear(): void {
    this.#pending.clear();
  }
}
