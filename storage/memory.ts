/**
 * The store's twin in memory, with the same promises but durability across processes. Cheap enough for thousands of
 * instances; what was committed survives `crash` and `close`, as a disk does. Called by tests and the simulator.
 */
import {
  asSpineError,
  type Commit,
  type EnvelopeHash,
  type ForkRecord,
  type Head,
  type Issuer,
  type RowTable,
  type Run,
  type Snapshot,
  type Span,
  SpineError,
  type StoredTile,
} from "../spine/index.ts";
import { MemoryTables } from "./memory-tables.ts";
import type { Location, Store, StoredEnvelope, StoredRow, StoreUsage } from "./store.ts";

export class MemoryStore implements Store {
  readonly #tables = new MemoryTables();
  /** Counts openings while open, undefined while closed: what began in one opening must not go on in the next. */
  #opening: number | undefined;
  #openings = 0;
  #failed: SpineError | undefined;
  #nextFault: "store_failed" | "store_full" | undefined;

  async open(): Promise<void> {
    this.openNow();
  }

  /** `open` without a promise. */
  openNow(): void {
    if (this.#opening !== undefined) return;
    this.#opening = ++this.#openings;
    this.#failed = undefined;
  }

  /** Loses power: commits that are not yet resolved reject with `store_closed` and leave nothing behind. */
  crash(): void {
    this.#opening = undefined;
  }

  /** Makes the next commit reject with `code`, as a bad disk would. */
  failNext(code: "store_failed" | "store_full"): void {
    this.#nextFault = code;
  }

  /** The contents, for synchronous reads by a driver in virtual time. Throws `store_closed`. */
  get tables(): MemoryTables {
    this.#require();
    return this.#tables;
  }

  /** `commit` without a promise: durable when it returns. Throws what `commit` rejects with. */
  commitNow(commit: Commit): void {
    this.#require();
    this.#change(() => this.#tables.commit(commit));
  }

  async load(): Promise<Snapshot> {
    return this.tables.load();
  }

  async commit(commit: Commit): Promise<void> {
    const opening = this.#require();
    // Applied in a later turn, as on a disk: a crash in between loses it.
    await undefined;
    this.#require(opening);
    this.commitNow(commit);
  }

  async locate(hash: EnvelopeHash): Promise<Location | undefined> {
    return this.tables.locate(hash);
  }

  async envelope(hash: EnvelopeHash): Promise<StoredEnvelope | undefined> {
    const found = this.tables.locate(hash);
    return found === undefined ? undefined : this.#tables.at(found.issuer, found.seq);
  }

  async at(issuer: Issuer, seq: number): Promise<StoredEnvelope | undefined> {
    return this.tables.at(issuer, seq);
  }

  async *runs(issuer: Issuer, from: number, to: number): AsyncGenerator<Run> {
    const opening = this.#require();
    for (const run of this.#tables.runs(issuer, from, to)) {
      yield run;
      this.#require(opening);
    }
  }

  async *records(issuer: Issuer, from: number, to: number) {
    for await (const run of this.runs(issuer, from, to)) {
      yield { from: run.from, count: run.hashes.length, records: run.records, states: run.states };
    }
  }

  async head(issuer: Issuer): Promise<Head | undefined> {
    return this.tables.head(issuer);
  }

  async forks(): Promise<readonly ForkRecord[]> {
    return this.tables.forks();
  }

  async unverified(limit: number): Promise<readonly Run[]> {
    return this.tables.unverified(limit);
  }

  async leaves(from: number, limit: number): Promise<readonly EnvelopeHash[]> {
    return this.tables.leaves(from, limit);
  }

  async row(table: RowTable, key: string): Promise<Uint8Array | undefined> {
    return this.tables.row(table, key);
  }

  async *rows(table: RowTable, prefix = ""): AsyncGenerator<StoredRow> {
    const opening = this.#require();
    for (const row of this.#tables.rows(table, prefix)) {
      yield row;
      this.#require(opening);
    }
  }

  async leafBytes(from: number, limit: number): Promise<Uint8Array> {
    return this.tables.leafBytes(from, limit);
  }

  async putTiles(tiles: readonly StoredTile[]): Promise<void> {
    const opening = this.#require();
    await undefined;
    this.#require(opening);
    this.#change(() => this.#tables.putTiles(tiles));
  }

  tile(level: number, index: number): Uint8Array | undefined {
    return this.tables.tile(level, index);
  }

  async tileCount(): Promise<number> {
    return this.tables.tileCount;
  }

  async prune(issuer: Issuer, below: number, limit: number, kept: readonly Span[] = []): Promise<number> {
    const opening = this.#require();
    await undefined;
    this.#require(opening);
    return this.#change(() => this.#tables.prune(issuer, below, limit, kept));
  }

  async usage(): Promise<StoreUsage> {
    return { envelopes: this.tables.envelopes, bytes: 0 };
  }

  async close(): Promise<void> {
    // Commits called before apply in the turns before this one goes on.
    await undefined;
    this.#opening = undefined;
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }

  #require(opening?: number): number {
    if (this.#opening === undefined || (opening !== undefined && opening !== this.#opening)) {
      throw new SpineError("store_closed", "the memory store is not open");
    }
    return this.#opening;
  }

  #change<T>(change: () => T): T {
    if (this.#failed !== undefined) throw this.#failed;
    try {
      if (this.#nextFault !== undefined) throw new SpineError(this.#nextFault, "simulated fault");
      return change();
    } catch (caught) {
      const error = asSpineError(caught);
      this.#nextFault = undefined;
      if (error.code === "store_failed" || error.code === "store_full") this.#failed = error;
      throw error;
    }
  }
}
