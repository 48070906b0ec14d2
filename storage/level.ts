/** The durable store, on LevelDB: lifecycle and the commit queue. Layout: `keys.ts`; reads and writes: `level-reader.ts`, `level-writer.ts`. */
import { readdir, stat } from "node:fs/promises";
import { join } from "node:path";
import {
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
  STORED_TILE_BYTES,
  type StoredTile,
} from "../spine/index.ts";
import { checkEngine } from "./check.ts";
import type { CheckOptions, CheckReport } from "./check-report.ts";
import { dumpEngine } from "./dump.ts";
import { tileKey } from "./keys.ts";
import { type Engine, type EngineBatch, engineError, newBatch, openEngine, tableBytes } from "./level-engine.ts";
import { LevelIndex } from "./level-index.ts";
import { LevelReader } from "./level-reader.ts";
import { LevelWriter } from "./level-writer.ts";
import { migrate } from "./migrate.ts";
import type { Location, Store, StoredEnvelope, StoredRow, StoreUsage } from "./store.ts";
import { decodeTile } from "./values.ts";
import { type VettedCommit, vetCommit } from "./vet.ts";

/** Commits that wait while another is written are written together, up to about this many record bytes. */
const GROUP_BYTES = 4 << 20;

/** Everything that exists only while the directory is open. */
interface Opened {
  readonly engine: Engine;
  readonly index: LevelIndex;
  readonly writer: LevelWriter;
}

/** One waiting write. `encode` fills the batch or throws; nothing of a job that threw is in the batch. */
interface Job {
  readonly bytes: number;
  /** Must be the first of its batch, because it reads what others write. */
  settled(opened: Opened): boolean;
  encode(opened: Opened, batch: EngineBatch): Promise<void>;
  resolve(): void;
  reject(error: SpineError): void;
}

export class LevelStore implements Store {
  readonly #directory: string;
  readonly #queue: Job[] = [];
  #opened: Opened | undefined;
  #opening: Promise<void> | undefined;
  #closing: Promise<void> | undefined;
  #pumping: Promise<void> | undefined;
  /** Set by the first failed write: what is on disk is known again only after reopening. */
  #failed: SpineError | undefined;

  /** Touches nothing until `open`. */
  constructor(directory: string) {
    this.#directory = directory;
  }

  async open(): Promise<void> {
    await this.#closing;
    this.#opening ??= this.#open().catch((caught: unknown) => {
      this.#opening = undefined;
      throw caught;
    });
    await this.#opening;
  }

  async #open(): Promise<void> {
    const engine = await openEngine(this.#directory);
    try {
      await migrate(engine);
      const index = await LevelIndex.load(engine);
      this.#failed = undefined;
      this.#opened = { engine, index, writer: new LevelWriter(engine, index) };
    } catch (caught) {
      await engine.close();
      throw engineError(caught, this.#directory);
    }
  }

  load(): Promise<Snapshot> {
    return this.#read((reader) => reader.load());
  }

  async commit(commit: Commit): Promise<void> {
    this.#require();
    let vetted: VettedCommit;
    try {
      vetted = vetCommit(commit);
    } catch (caught) {
      // Refused in its turn: commits called before are written, an overwrite stops those called after.
      const refuse = () => Promise.reject(caught);
      return this.#enqueue(0, () => false, refuse);
    }
    const encode: Job["encode"] = async ({ writer }, batch) => writer.encode(await writer.prepare(vetted), batch);
    await this.#enqueue(vetted.bytes, ({ writer }) => writer.needsSettled(vetted), encode);
  }

  locate(hash: EnvelopeHash): Promise<Location | undefined> {
    return this.#read((reader) => reader.locate(hash));
  }

  envelope(hash: EnvelopeHash): Promise<StoredEnvelope | undefined> {
    return this.#read((reader) => reader.envelope(hash));
  }

  at(issuer: Issuer, seq: number): Promise<StoredEnvelope | undefined> {
    return this.#read((reader) => reader.at(issuer, seq));
  }

  runs(issuer: Issuer, from: number, to: number): AsyncGenerator<Run> {
    return this.#stream((reader) => reader.runs(issuer, from, to));
  }

  records(issuer: Issuer, from: number, to: number) {
    return this.#stream(async function* (reader) {
      for await (const block of reader.blocks(issuer, from, to)) {
        yield { from: block.firstSeq, count: block.count, records: block.records, states: block.states };
      }
    });
  }

  head(issuer: Issuer): Promise<Head | undefined> {
    return this.#read((reader) => reader.head(issuer));
  }

  forks(): Promise<readonly ForkRecord[]> {
    return this.#read((reader) => reader.forks());
  }

  unverified(limit: number): Promise<readonly Run[]> {
    return this.#read((reader) => reader.unverified(limit));
  }

  leaves(from: number, limit: number): Promise<readonly EnvelopeHash[]> {
    return this.#read((reader) => reader.leaves(from, limit));
  }

  row(table: RowTable, key: string): Promise<Uint8Array | undefined> {
    return this.#read((reader) => reader.row(table, key));
  }

  rows(table: RowTable, prefix = ""): AsyncGenerator<StoredRow> {
    return this.#stream((reader) => reader.rows(table, prefix));
  }

  leafBytes(from: number, limit: number): Promise<Uint8Array> {
    return this.#read((reader) => reader.leafBytes(from, limit));
  }

  async putTiles(tiles: readonly StoredTile[]): Promise<void> {
    const encode: Job["encode"] = async ({ writer }, batch) => writer.putTiles(tiles, batch);
    const never = () => false;
    await this.#enqueue(tiles.length * STORED_TILE_BYTES, never, encode);
  }

  tile(level: number, index: number): Uint8Array | undefined {
    const { engine } = this.#require();
    const key = tileKey(level, index);
    try {
      const value = engine.getSync(key);
      return value === undefined ? undefined : decodeTile(key, value);
    } catch (caught) {
      throw engineError(caught, this.#directory);
    }
  }

  tileCount(): Promise<number> {
    return this.#read((reader) => reader.tileCount());
  }

  async prune(issuer: Issuer, below: number, limit: number, kept: readonly Span[] = []): Promise<number> {
    let removed = 0;
    const settled = () => true;
    await this.#enqueue(0, settled, async ({ writer }, batch) => {
      removed = await writer.prune(issuer, { below, limit, kept }, batch);
    });
    return removed;
  }

  async usage(): Promise<StoreUsage> {
    const envelopes = await this.#read((reader) => reader.count());
    const { engine } = this.#require();
    try {
      return { envelopes, bytes: (await tableBytes(engine)) + (await journalBytes(this.#directory)) };
    } catch (caught) {
      throw engineError(caught, this.#directory);
    }
  }

  /** One moment of everything stored, for a backup; see `dump.ts`. Ends early when the store closes. */
  async *dump(): AsyncGenerator<Uint8Array> {
    for await (const piece of dumpEngine(this.#require().engine)) {
      yield piece;
      this.#require();
    }
  }

  /** `checkStore` beside the running store: one moment of it, nothing repaired. */
  async check(options: Omit<CheckOptions, "repair">): Promise<CheckReport> {
    return checkEngine(this.#require().engine, { ...options, repair: false });
  }

  close(): Promise<void> {
    this.#closing ??= this.#close().finally(() => {
      this.#closing = undefined;
    });
    return this.#closing;
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }

  async #close(): Promise<void> {
    try {
      await this.#opening;
    } catch {
      return;
    }
    const opened = this.#opened;
    this.#opened = undefined;
    this.#opening = undefined;
    await this.#pumping;
    try {
      await opened?.engine.close();
    } catch (caught) {
      throw engineError(caught, this.#directory);
    }
  }

  #require(): Opened {
    if (this.#opened === undefined) throw new SpineError("store_closed", `${this.#directory} is not open`);
    return this.#opened;
  }

  async #read<T>(read: (reader: LevelReader) => Promise<T>): Promise<T> {
    const { engine, index } = this.#require();
    try {
      await using reader = new LevelReader(engine, index);
      return await read(reader);
    } catch (caught) {
      throw engineError(caught, this.#directory);
    }
  }

  async *#stream<T>(read: (reader: LevelReader) => AsyncGenerator<T>): AsyncGenerator<T> {
    const { engine, index } = this.#require();
    try {
      await using reader = new LevelReader(engine, index);
      for await (const item of read(reader)) {
        yield item;
        this.#require();
      }
    } catch (caught) {
      throw engineError(caught, this.#directory);
    }
  }

  #enqueue(bytes: number, settled: Job["settled"], encode: Job["encode"]): Promise<void> {
    const opened = this.#require();
    return new Promise((resolve, reject) => {
      this.#queue.push({ bytes, settled, encode, resolve, reject });
      this.#pumping ??= this.#pump(opened);
    });
  }

  /** Writes what waits until nothing does: one synced batch for all commits that came in during the previous one. */
  async #pump(opened: Opened): Promise<void> {
    while (this.#queue.length > 0) {
      const batch = newBatch(opened.engine);
      const group: Job[] = [];
      try {
        await this.#fill(opened, batch, group);
        if (batch.length > 0) await batch.write({ sync: true });
        else await batch.close();
        for (const job of group) job.resolve();
      } catch (caught) {
        this.#failed = engineError(caught, this.#directory);
        for (const job of group) job.reject(this.#failed);
      }
    }
    // In the same turn as the last look at the queue: a write that comes later starts the next pump.
    this.#pumping = undefined;
  }

  async #fill(opened: Opened, batch: EngineBatch, group: Job[]): Promise<void> {
    let bytes = 0;
    for (let job = this.#queue[0]; job !== undefined && bytes < GROUP_BYTES; job = this.#queue[0]) {
      if (group.length > 0 && job.settled(opened)) return;
      this.#queue.shift();
      try {
        if (this.#failed !== undefined) throw this.#failed;
        await job.encode(opened, batch);
        group.push(job);
        bytes += job.bytes;
      } catch (caught) {
        const error = engineError(caught, this.#directory);
        if (error.code === "store_failed" || error.code === "store_full") this.#failed = error;
        job.reject(error);
      }
    }
  }
}

/** The engine's estimate leaves out its journal. */
async function journalBytes(directory: string): Promise<number> {
  let bytes = 0;
  for (const name of await readdir(directory)) {
    if (name.endsWith(".log"))
      bytes += await stat(join(directory, name)).then(
        (found) => found.size,
        () => 0,
      );
  }
  return bytes;
}
