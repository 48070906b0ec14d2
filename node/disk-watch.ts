/**
 * The disk high-water mark (rules 14): long before the disk is full nothing more of others is taken, so that the rest is
 * left for the node's own facts and for revocations. Looks every few seconds; the core is told of each change.
 */
import { statfs } from "node:fs/promises";

export interface DiskRoom {
  readonly freeBytes: number;
  readonly totalBytes: number;
  /** Below this nothing of others is stored. */
  readonly reserveBytes: number;
  readonly storeBytes: number;
  /** Most bytes the store may have before nothing of others is stored; 0 = any. */
  readonly storeLimitBytes: number;
}

/** ok: ample. low: said, nothing refused yet. full: nothing of others is taken. */
export type DiskState = "ok" | "low" | "full";

export interface DiskWatchOptions {
  /** Where the store is. */
  readonly path: string;
  /** Kept free at least; never more than a tenth of the disk. */
  readonly keepFreeBytes: number;
  readonly storeLimitBytes: number;
  readonly storeBytes: () => Promise<number>;
  /** Told at each change, and once at start. */
  readonly onChange: (state: DiskState, room: DiskRoom) => void;
}

const LOOK_MS = 2_000;
/** Said from twice the reserve on; taken again only when a quarter more than the reserve is free: no flapping. */
const LOW_FACTOR = 2;
const AGAIN_FACTOR = 1.25;
const LOW_SHARE = 0.9;
const AGAIN_SHARE = 0.95;

/** Pure: the next state from what is measured and the one before. */
export function judgeDisk(room: DiskRoom, before: DiskState): DiskState {
  const { freeBytes, reserveBytes, storeBytes, storeLimitBytes } = room;
  const isLimited = storeLimitBytes > 0;
  const [reserve, limit] =
    before === "full" ? [reserveBytes * AGAIN_FACTOR, storeLimitBytes * AGAIN_SHARE] : [reserveBytes, storeLimitBytes];
  if (freeBytes < reserve || (isLimited && storeBytes >= limit)) return "full";
  const isLow = freeBytes < reserveBytes * LOW_FACTOR || (isLimited && storeBytes >= storeLimitBytes * LOW_SHARE);
  return isLow ? "low" : "ok";
}

export class DiskWatch {
  readonly #options: DiskWatchOptions;
  #state: DiskState | undefined;
  #room: DiskRoom | undefined;

  constructor(options: DiskWatchOptions) {
    this.#options = options;
  }
  get state(): DiskState {
    return this.#state ?? "ok";
  }
  get room(): DiskRoom | undefined {
    return this.#room;
  }

  /** Measures once. A file system that tells nothing counts as ample: the store itself still says when it is full. */
  async look(): Promise<void> {
    const { path, keepFreeBytes, storeLimitBytes, storeBytes, onChange } = this.#options;
    const found = await statfs(path).catch(() => undefined);
    const totalBytes = found === undefined ? 0 : found.blocks * found.bsize;
    const room: DiskRoom = {
      freeBytes: found === undefined ? Number.POSITIVE_INFINITY : found.bavail * found.bsize,
      totalBytes,
      reserveBytes: Math.min(keepFreeBytes, totalBytes / 10),
      storeBytes: storeLimitBytes > 0 ? await storeBytes() : 0,
      storeLimitBytes,
    };
    this.#room = room;
    const next = judgeDisk(room, this.state);
    if (next === this.#state) return;
    this.#state = next;
    onChange(next, room);
  }

  /** Looks again and again until the signal aborts. */
  async run(signal: AbortSignal): Promise<void> {
    while (!signal.aborted) {
      await this.look();
      await pause(LOOK_MS, signal);
    }
  }

  /** What the operator should know, at most one sentence. */
  warnings(): string[] {
    const room = this.#room;
    if (this.state === "ok" || room === undefined) return [];
    const isLimit = room.storeLimitBytes > 0 && room.storeBytes >= room.storeLimitBytes * LOW_SHARE;
    const left = isLimit
      ? `the store has ${mib(room.storeBytes)} of ${mib(room.storeLimitBytes)} MiB`
      : `${mib(room.freeBytes)} MiB of ${mib(room.totalBytes)} are free`;
    return this.state === "full"
      ? [`The disk is nearly full (${left}): nothing of other issuers is stored but what is urgent.`]
      : [`The disk gets full (${left}): below ${mib(room.reserveBytes)} MiB free nothing of other issuers is stored.`];
  }
}

function mib(bytes: number): number {
  return Math.floor(bytes / 1_048_576);
}

/** Resolves after `ms` or when the signal aborts. */
export function pause(ms: number, signal: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    if (signal.aborted) return resolve();
    const done = (): void => {
      clearTimeout(timer);
      signal.removeEventListener("abort", done);
      resolve();
    };
    const timer = setTimeout(done, ms);
    signal.addEventListener("abort", done, { once: true });
  });
}
