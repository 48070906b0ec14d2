/**
 * Turns vetted commits and retention into one chained batch. Refusals happen in `prepare`, which reads; `encode` only
 * writes into the batch and cannot fail half-way. Called by the level store, one batch at a time.
 */
import {
  EnvelopeState,
  type Issuer,
  type Span,
  type StateChange,
  type StoredTile,
  subtractSpans,
} from "../spine/index.ts";
import { type Block, blockOffsets, cutBlocks, encodeBlock, encodeStates, sliceBlock } from "./block.ts";
import {
  blockKey,
  HASH_BYTES,
  LOCATION_KEY_BYTES,
  leafKey,
  Meta,
  metaKey,
  numberKey,
  Prefix,
  rowKey,
  tileKey,
} from "./keys.ts";
import type { Engine, EngineBatch } from "./level-engine.ts";
import { blockStart, type IssuerSlot, type LevelIndex } from "./level-index.ts";
import { LevelReader } from "./level-reader.ts";
import { cutSpan } from "./prune.ts";
import { RangePages } from "./range-pages.ts";
import { seal } from "./seal.ts";
import { vetTile } from "./tree-hasher.ts";
import {
  encodeFork,
  encodeHead,
  encodeLocation,
  encodeName,
  encodeNumber,
  encodePointer,
  encodePruneMark,
  locationBuffer,
} from "./values.ts";
import { applyChange, overwriteError, type VettedCommit, type VettedRun } from "./vet.ts";

/** Hashes under one leaves key. */
const LEAVES_PER_ENTRY = 256;
const MAX_SEQ = Number.MAX_SAFE_INTEGER;

/** A stored block as a commit changes it. */
interface ChangedBlock {
  readonly before: Block;
  readonly states: Uint8Array;
  readonly records: Uint8Array;
}

export interface PruneOrder {
  readonly below: number;
  readonly limit: number;
  /** Stays, ascending and disjoint. */
  readonly kept: readonly Span[];
}

export interface PreparedCommit {
  readonly vetted: VettedCommit;
  readonly changed: readonly ChangedBlock[];
}

export class LevelWriter {
  readonly #engine: Engine;
  readonly #index: LevelIndex;
  readonly #locationKey = new Uint8Array(LOCATION_KEY_BYTES);
  readonly #location = locationBuffer();
  readonly #pages = new RangePages();

  constructor(engine: Engine, index: LevelIndex) {
    this.#engine = engine;
    this.#index = index;
    this.#locationKey[0] = Prefix.location;
  }

  /** Whether `prepare` must read what earlier commits of an unwritten batch might change. */
  needsSettled(vetted: VettedCommit): boolean {
    if (vetted.changes.length > 0) return true;
    return vetted.runs.some((run) => {
      const top = this.#index.find(run.issuer)?.top;
      return top !== undefined && run.from <= top;
    });
  }

  /** Rejects with `store_failed` if a run overlaps stored envelopes or lies below the issuer's prune mark. */
  async prepare(vetted: VettedCommit): Promise<PreparedCommit> {
    for (const run of vetted.runs) await this.#refuseOverwrite(run);
    return { vetted, changed: vetted.changes.length === 0 ? [] : await this.#changedBlocks(vetted.changes) };
  }

  encode(prepared: PreparedCommit, batch: EngineBatch): void {
    const { commit, runs } = prepared.vetted;
    const firstLeaf = this.#index.logSize;
    for (const run of runs) this.#encodeRun(run, this.#slot(run.issuer, batch), batch);
    this.#encodeLeaves(firstLeaf, runs, batch);
    for (const record of commit.issuers) this.#pages.put(this.#slot(record.issuer, batch).no, record, batch);
    for (const head of commit.heads) {
      const key = numberKey(Prefix.head, this.#slot(head.issuer, batch).no);
      batch.put(key, encodeHead(key, head));
    }
    for (const fork of commit.forks) {
      const key = numberKey(Prefix.fork, this.#slot(fork.issuer, batch).no);
      batch.put(key, encodeFork(key, fork));
    }
    for (const block of prepared.changed) this.#encodeChanged(block, batch);
    for (const row of commit.rows) {
      const key = rowKey(row.table, row.key);
      if (row.value === null) batch.del(key);
      else batch.put(key, seal(key, row.value));
    }
  }

  /** Throws `internal` for a tile beyond the leaves written so far, and then puts none. */
  putTiles(tiles: readonly StoredTile[], batch: EngineBatch): void {
    for (const tile of tiles) vetTile(tile, this.#index.logSize);
    for (const { level, index, bytes } of tiles) {
      const key = tileKey(level, index);
      batch.put(key, seal(key, bytes));
    }
  }

  /**
   * Puts the removal of at most `limit` envelopes of `issuer` below `below` into the batch; resolves with their number.
   * What stays of a block is written anew under its own first seq.
   */
  async prune(issuer: Issuer, { below, limit, kept }: PruneOrder, batch: EngineBatch): Promise<number> {
    const slot = this.#index.find(issuer);
    if (slot === undefined || limit <= 0 || below <= slot.pruned.below) return 0;
    let removed = 0;
    let mark = slot.pruned.below;
    await using reader = new LevelReader(this.#engine, this.#index);
    for await (const block of reader.blocks(issuer, mark, MAX_SEQ, true)) {
      const whole = { from: block.firstSeq, to: block.firstSeq + block.count - 1 };
      if (whole.from >= below || removed >= limit) break;
      const cut = cutSpan({ from: whole.from, to: Math.min(whole.to, below - 1) }, kept, limit - removed);
      if (cut.count > 0) {
        this.#removeBlock(block, batch);
        for (const { from, to } of subtractSpans([whole], cut.gone))
          this.#putBlock(sliceBlock(block, from - whole.from, to - whole.from + 1), batch);
      }
      removed += cut.count;
      mark = cut.mark;
    }
    if (removed === 0) return 0;
    slot.pruned = { below: mark, count: slot.pruned.count + removed };
    const key = numberKey(Prefix.pruned, slot.no);
    batch.put(key, encodePruneMark(key, slot.pruned));
    return removed;
  }

  async #refuseOverwrite(run: VettedRun): Promise<void> {
    const slot = this.#index.find(run.issuer);
    if (slot === undefined) return;
    slot.top ??= await this.#readTop(slot);
    if (run.from > slot.top) return;
    if (run.from < slot.pruned.below) throw overwriteError(run.issuer, run.from);
    const start = await blockStart(this.#engine, slot.no, run.to);
    if (start < 0) return;
    const end = start + (await this.#countAt(slot, start)) - 1;
    if (end >= run.from) throw overwriteError(run.issuer, Math.max(run.from, start));
  }

  async #readTop(slot: IssuerSlot): Promise<number> {
    const start = await blockStart(this.#engine, slot.no, MAX_SEQ);
    const stored = start < 0 ? -1 : start + (await this.#countAt(slot, start)) - 1;
    return Math.max(stored, slot.pruned.below - 1);
  }

  async #countAt(slot: IssuerSlot, firstSeq: number): Promise<number> {
    await using reader = new LevelReader(this.#engine, this.#index);
    return (await reader.block(slot.no, firstSeq))?.count ?? 0;
  }

  /** Changes of envelopes that are not stored (any more) are dropped: retention may have been faster. */
  async #changedBlocks(changes: readonly StateChange[]): Promise<readonly ChangedBlock[]> {
    await using reader = new LevelReader(this.#engine, this.#index);
    const found = new Map<string, ChangedBlock>();
    let last: ChangedBlock | undefined;
    for (const change of changes) {
      const slot = this.#index.find(change.issuer);
      if (slot === undefined) continue;
      if (last === undefined || !holds(last.before, slot.no, change.seq)) {
        const before = await reader.block(slot.no, change.seq);
        if (before === undefined) continue;
        last = found.get(`${slot.no}/${before.firstSeq}`) ?? { before, states: before.states, records: before.records };
      }
      const index = change.seq - last.before.firstSeq;
      last = { before: last.before, ...applyChange(last, blockOffsets(last.before), index, change) };
      found.set(`${slot.no}/${last.before.firstSeq}`, last);
    }
    return [...found.values()];
  }

  #slot(issuer: Issuer, batch: EngineBatch): IssuerSlot {
    const known = this.#index.find(issuer);
    if (known !== undefined) return known;
    const slot = this.#index.assign(issuer);
    const key = numberKey(Prefix.name, slot.no);
    batch.put(key, encodeName(key, issuer));
    return slot;
  }

  #encodeRun(run: VettedRun, slot: IssuerSlot, batch: EngineBatch): void {
    let start = 0;
    for (const end of cutBlocks(run.offsets)) {
      this.#putBlock(
        {
          issuerNo: slot.no,
          firstSeq: run.from + start,
          count: end - start,
          firstLeaf: this.#index.logSize + start,
          states: run.states.subarray(start, end),
          records: run.records.subarray(run.offsets[start], run.offsets[end]),
        },
        batch,
      );
      start = end;
    }
    for (let i = 0; i < start; i++) {
      this.#locationKey.set(run.hashBytes.subarray(i * HASH_BYTES, (i + 1) * HASH_BYTES), 1);
      encodeLocation(this.#locationKey, this.#location, slot.no, run.from + i, this.#index.logSize + i);
      batch.put(this.#locationKey, this.#location);
    }
    this.#index.logSize += start;
    slot.top = Math.max(slot.top ?? -1, run.to);
  }

  #encodeLeaves(firstLeaf: number, runs: readonly VettedRun[], batch: EngineBatch): void {
    if (runs.length === 0) return;
    const [only] = runs;
    const hashes =
      runs.length === 1 && only !== undefined ? only.hashBytes : Buffer.concat(runs.map((run) => run.hashBytes));
    const step = LEAVES_PER_ENTRY * HASH_BYTES;
    for (let at = 0; at < hashes.length; at += step) {
      const key = leafKey(Prefix.leaves, firstLeaf + at / HASH_BYTES);
      batch.put(key, seal(key, hashes.subarray(at, at + step)));
    }
    const key = metaKey(Meta.logSize);
    batch.put(key, encodeNumber(key, this.#index.logSize));
  }

  #putBlock(block: Block, batch: EngineBatch): void {
    const key = blockKey(Prefix.block, block.issuerNo, block.firstSeq);
    batch.put(key, encodeBlock(key, block.firstLeaf, block.states, block.records));
    if (block.states.includes(EnvelopeState.chain)) this.#putPointer(block, batch);
  }

  #removeBlock(block: Block, batch: EngineBatch): void {
    batch.del(blockKey(Prefix.block, block.issuerNo, block.firstSeq));
    batch.del(blockKey(Prefix.states, block.issuerNo, block.firstSeq));
    if (block.states.includes(EnvelopeState.chain)) batch.del(leafKey(Prefix.unverified, block.firstLeaf));
  }

  /** States are kept beside the block, so that verifying in idle time does not write the records a second time. */
  #encodeChanged(changed: ChangedBlock, batch: EngineBatch): void {
    const { before, states, records } = changed;
    const stateKey = blockKey(Prefix.states, before.issuerNo, before.firstSeq);
    if (records === before.records) {
      batch.put(stateKey, encodeStates(stateKey, states));
    } else {
      const key = blockKey(Prefix.block, before.issuerNo, before.firstSeq);
      batch.put(key, encodeBlock(key, before.firstLeaf, states, records));
      batch.del(stateKey);
    }
    if (states.includes(EnvelopeState.chain)) this.#putPointer(before, batch);
    else if (before.states.includes(EnvelopeState.chain)) batch.del(leafKey(Prefix.unverified, before.firstLeaf));
  }

  #putPointer(block: Block, batch: EngineBatch): void {
    const key = leafKey(Prefix.unverified, block.firstLeaf);
    batch.put(key, encodePointer(key, block.issuerNo, block.firstSeq));
  }
}

function holds(block: Block, issuerNo: number, seq: number): boolean {
  return block.issuerNo === issuerNo && block.firstSeq <= seq && seq < block.firstSeq + block.count;
}
