/**
 * Group commit: whatever waits while one synced write runs goes into the next one. Order is kept, results come back
 * in order, and the bytes waiting are bounded by whoever asks `room()` before producing more. Used by the driver.
 */
import { type Commit, type ForkRecord, type Head, type Issuer, type IssuerRecord, SpineError } from "../spine/index.ts";
import type { Store } from "../storage/index.ts";

export interface CommitterOptions {
  readonly store: Store;
  /** Called in order for each commit that is on disk. */
  readonly onCommitted: (id: number) => void;
  /** The store refused: nothing later is written either. Called once. */
  readonly onFatal: (error: unknown) => void;
  /** Waits this long for more before a synced write (SD cards); 0 = write at once. */
  readonly delayMs: number;
}

/** Above this many waiting bytes `room()` waits. */
const MAX_WAITING_BYTES = 8 * 1_048_576;
/** Most bytes in one write: bounds the memory of a batch. */
const MAX_BATCH_BYTES = 4 * 1_048_576;

interface Waiting {
  readonly id: number;
  readonly commit: Commit;
  readonly bytes: number;
}

function sizeOf(commit: Commit): number {
  const rows = commit.rows.reduce((sum, { value }) => sum + 64 + (value?.length ?? 0), 512);
  return commit.runs.reduce((sum, run) => sum + run.records.length, rows);
}

/** One commit that has the effect of many in order: runs in order, the last word on everything else. */
export function mergeCommits(commits: readonly Commit[]): Commit {
  if (commits.length === 1) return commits[0] as Commit;
  const heads = new Map<Issuer, Head>();
  const issuers = new Map<Issuer, IssuerRecord>();
  const forks = new Map<Issuer, ForkRecord>();
  for (const commit of commits) {
    for (const head of commit.heads) heads.set(head.issuer, head);
    for (const record of commit.issuers) issuers.set(record.issuer, record);
    for (const fork of commit.forks) forks.set(fork.issuer, fork);
  }
  return {
    runs: commits.flatMap(({ runs }) => runs),
    heads: [...heads.values()],
    issuers: [...issuers.values()],
    forks: [...forks.values()],
    states: commits.flatMap(({ states }) => states),
    rows: commits.flatMap(({ rows }) => rows),
  };
}

export class Committer {
  readonly #options: CommitterOptions;
  #waiting: Waiting[] = [];
  #waitingBytes = 0;
  #running: Promise<void> | undefined;
  #failed = false;
  #wakers: (() => void)[] = [];
  #added = 0;
  #done = 0;
  #barriers: { readonly at: number; readonly resolve: () => void }[] = [];
  /** Synced writes so far. */
  writes = 0;

  constructor(options: CommitterOptions) {
    this.#options = options;
  }
  get waitingBytes(): number {
    return this.#waitingBytes;
  }

  add(id: number, commit: Commit): void {
    const bytes = sizeOf(commit);
    this.#added++;
    this.#waiting.push({ id, commit, bytes });
    this.#waitingBytes += bytes;
    this.#running ??= this.#run();
  }

  /** Resolves when more work may be produced; rejects with `store_failed` after a fatal error. */
  async room(): Promise<void> {
    while (this.#waitingBytes > MAX_WAITING_BYTES && !this.#failed) {
      await new Promise<void>((resolve) => this.#wakers.push(resolve));
    }
    if (this.#failed) throw new SpineError("store_failed", "the store no longer accepts writes");
  }

  /** Resolves when everything added so far is on disk, or the store has failed. Later work does not delay it. */
  barrier(): Promise<void> {
    if (this.#done === this.#added || this.#failed) return Promise.resolve();
    return new Promise((resolve) => this.#barriers.push({ at: this.#added, resolve }));
  }

  #release(): void {
    for (const wake of this.#wakers.splice(0)) wake();
    const due = this.#barriers.filter(({ at }) => at <= this.#done || this.#failed);
    this.#barriers = this.#barriers.filter((barrier) => !due.includes(barrier));
    for (const { resolve } of due) resolve();
  }

  async #run(): Promise<void> {
    // A turn of the event loop lets the rest of one burst join the first write.
    await new Promise((resolve) => setImmediate(resolve));
    try {
      while (this.#waiting.length > 0) {
        if (this.#options.delayMs > 0) await new Promise((resolve) => setTimeout(resolve, this.#options.delayMs));
        const batch = this.#takeBatch();
        await this.#options.store.commit(mergeCommits(batch.map(({ commit }) => commit)));
        this.writes++;
        for (const { bytes } of batch) this.#waitingBytes -= bytes;
        this.#done += batch.length;
        for (const { id } of batch) this.#options.onCommitted(id);
        this.#release();
      }
    } catch (error) {
      this.#failed = true;
      this.#release();
      this.#options.onFatal(error);
    } finally {
      this.#running = undefined;
    }
  }

  #takeBatch(): Waiting[] {
    let bytes = 0;
    let count = 0;
    while (count < this.#waiting.length && (count === 0 || bytes < MAX_BATCH_BYTES)) {
      bytes += (this.#waiting[count] as Waiting).bytes;
      count++;
    }
    return this.#waiting.splice(0, count);
  }
}
