/** Reads of the level store. One reader per call: it holds a snapshot, so that each call sees one moment of the store. */
import { hash } from "node:crypto";
import {
  type EnvelopeHash,
  type EnvelopeState,
  type ForkRecord,
  type Head,
  type Issuer,
  type IssuerRecord,
  type RowTable,
  type Run,
  type Snapshot,
  SpineError,
  splitRecord,
} from "../spine/index.ts";
import { type Block, blockOffsets, chainStretches, decodeBlock, decodeStates, sliceBlock } from "./block.ts";
import {
  blockKey,
  HASH_BYTES,
  leafKey,
  locationKey,
  Meta,
  metaKey,
  numberKey,
  Prefix,
  prefixRange,
  readBlockKey,
  readLeafKey,
  readNumberKey,
  readRowKey,
  readTileKey,
  rowKey,
  tileKey,
} from "./keys.ts";
import { type Engine, type EngineSnapshot, READ_AHEAD_BYTES } from "./level-engine.ts";
import type { LevelIndex } from "./level-index.ts";
import { readPages } from "./range-pages.ts";
import { unseal } from "./seal.ts";
import type { Location, StoredEnvelope, StoredRow } from "./store.ts";
import {
  decodeFork,
  decodeHead,
  decodeLeaves,
  decodeLocation,
  decodeNumber,
  decodePointer,
  decodePruneMark,
  decodeRecord,
  hashBytes,
  hashText,
} from "./values.ts";

/** Which keys an iterator visits. */
interface Range {
  readonly gte: Uint8Array;
  readonly lt?: Uint8Array;
  readonly lte?: Uint8Array;
  readonly reverse?: boolean;
  readonly limit?: number;
}

export class LevelReader implements AsyncDisposable {
  readonly #engine: Engine;
  readonly #index: LevelIndex;
  readonly #snapshot: EngineSnapshot;

  constructor(engine: Engine, index: LevelIndex) {
    this.#engine = engine;
    this.#index = index;
    this.#snapshot = engine.snapshot();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#snapshot.close();
  }

  async load(): Promise<Snapshot> {
    const issuers: IssuerRecord[] = [];
    const heads: Head[] = [];
    for await (const [key, value] of this.#entries(prefixRange(Prefix.record))) {
      const stored = decodeRecord(key, value, this.#issuerOf(key));
      issuers.push(await readPages(stored, readNumberKey(key), (page) => this.#get(page)));
    }
    for await (const [key, value] of this.#entries(prefixRange(Prefix.head))) {
      heads.push(decodeHead(key, value, this.#issuerOf(key)));
    }
    return { issuers, heads, forks: await this.forks(), logSize: await this.#logSize() };
  }

  /** Envelopes stored now: those ever committed less those pruned. */
  async count(): Promise<number> {
    let count = await this.#logSize();
    for await (const [key, value] of this.#entries(prefixRange(Prefix.pruned))) {
      count -= decodePruneMark(key, value).count;
    }
    return count;
  }

  async #logSize(): Promise<number> {
    const key = metaKey(Meta.logSize);
    const value = await this.#get(key);
    return value === undefined ? 0 : decodeNumber(key, value);
  }

  async forks(): Promise<readonly ForkRecord[]> {
    const forks: ForkRecord[] = [];
    for await (const [key, value] of this.#entries(prefixRange(Prefix.fork))) {
      forks.push(decodeFork(key, value, this.#issuerOf(key)));
    }
    return forks;
  }

  async head(issuer: Issuer): Promise<Head | undefined> {
    const slot = this.#index.find(issuer);
    if (slot === undefined) return undefined;
    const key = numberKey(Prefix.head, slot.no);
    const value = await this.#get(key);
    return value === undefined ? undefined : decodeHead(key, value, issuer);
  }

  async locate(wanted: EnvelopeHash): Promise<Location | undefined> {
    const key = locationKey(hashBytes(wanted));
    const value = await this.#get(key);
    if (value === undefined) return undefined;
    const { issuerNo, seq, leafIndex } = decodeLocation(key, value);
    return { issuer: this.#index.issuerOf(issuerNo), seq, leafIndex };
  }

  async envelope(wanted: EnvelopeHash): Promise<StoredEnvelope | undefined> {
    const location = await this.locate(wanted);
    if (location === undefined) return undefined;
    const stored = await this.at(location.issuer, location.seq);
    if (stored !== undefined && stored.hash !== wanted) {
      throw new SpineError("store_corrupt", `location of ${wanted} points to ${stored.hash}`);
    }
    return stored;
  }

  async at(issuer: Issuer, seq: number): Promise<StoredEnvelope | undefined> {
    const slot = this.#index.find(issuer);
    const block = slot === undefined ? undefined : await this.block(slot.no, seq);
    if (block === undefined) return undefined;
    const at = seq - block.firstSeq;
    const offsets = blockOffsets(block);
    const leafIndex = block.firstLeaf + at;
    const { signingBytes, signature } = splitRecord(block.records, offsets[at] as number, offsets[at + 1] as number);
    const state = block.states[at] as EnvelopeState;
    return { issuer, seq, leafIndex, hash: contentHash(signingBytes), signingBytes, signature, state };
  }

  /** The block that holds `seq`, with its present states. */
  async block(issuerNo: number, seq: number): Promise<Block | undefined> {
    const range = { gte: blockKey(Prefix.block, issuerNo, 0), lte: blockKey(Prefix.block, issuerNo, seq) };
    for await (const [key, value] of this.#entries({ ...range, reverse: true, limit: 1 })) {
      const { firstSeq } = readBlockKey(key);
      const block = decodeBlock(key, value, issuerNo, firstSeq);
      return seq < firstSeq + block.count ? this.#withStates(block) : undefined;
    }
    return undefined;
  }

  /** Blocks within `from..to`, trimmed, ascending; states as committed unless `withStates`. */
  async *blocks(issuer: Issuer, from: number, to: number, withStates = false): AsyncGenerator<Block> {
    const slot = this.#index.find(issuer);
    if (slot === undefined || from > to) return;
    const lowest = { gte: blockKey(Prefix.block, slot.no, 0), lte: blockKey(Prefix.block, slot.no, from) };
    let start = lowest.lte;
    for await (const key of this.#keys({ ...lowest, reverse: true, limit: 1 })) start = key;
    const states = withStates ? this.#changedStates(start, slot.no, to) : undefined;
    try {
      for await (const [key, value] of this.#entries({ gte: start, lte: blockKey(Prefix.block, slot.no, to) })) {
        const { firstSeq } = readBlockKey(key);
        const block = decodeBlock(key, value, slot.no, firstSeq);
        const first = Math.max(from - firstSeq, 0);
        const end = Math.min(to - firstSeq + 1, block.count);
        if (first >= end) continue;
        yield sliceBlock(states === undefined ? block : await states.apply(block), first, end);
      }
    } finally {
      await states?.close();
    }
  }

  async *runs(issuer: Issuer, from: number, to: number): AsyncGenerator<Run> {
    for await (const block of this.blocks(issuer, from, to, true)) yield toRun(issuer, block);
  }

  async unverified(limit: number): Promise<readonly Run[]> {
    const runs: Run[] = [];
    let left = limit;
    if (left <= 0) return runs;
    for await (const [key, value] of this.#entries(prefixRange(Prefix.unverified))) {
      const { issuerNo, firstSeq } = decodePointer(key, value);
      const block = await this.block(issuerNo, firstSeq);
      if (block === undefined) throw new SpineError("store_corrupt", `no block at ${issuerNo}/${firstSeq}`);
      for (const [start, end] of chainStretches(block.states)) {
        const piece = sliceBlock(block, start, Math.min(end, start + left));
        runs.push(toRun(this.#index.issuerOf(issuerNo), piece));
        left -= piece.count;
        if (left === 0) return runs;
      }
    }
    return runs;
  }

  async leaves(from: number, limit: number): Promise<readonly EnvelopeHash[]> {
    const bytes = await this.leafBytes(from, limit);
    return Array.from({ length: bytes.length / HASH_BYTES }, (_, i) => hashText(bytes, i * HASH_BYTES));
  }

  async leafBytes(from: number, limit: number): Promise<Uint8Array> {
    const pieces: Uint8Array[] = [];
    let [next, left] = [from, limit];
    for await (const { first, bytes } of this.#leafEntries(from)) {
      if (left <= 0) break;
      if (first > next) throw new SpineError("store_corrupt", `leaf ${next} is missing`);
      const start = (next - first) * HASH_BYTES;
      if (start >= bytes.length) break;
      const piece = bytes.subarray(start, start + left * HASH_BYTES);
      pieces.push(piece);
      next += piece.length / HASH_BYTES;
      left -= piece.length / HASH_BYTES;
    }
    return Buffer.concat(pieces);
  }

  /** Entries of leaves, from the one that holds leaf `from` on. */
  async *#leafEntries(from: number): AsyncGenerator<{ readonly first: number; readonly bytes: Uint8Array }> {
    const lowest = { gte: leafKey(Prefix.leaves, 0), lte: leafKey(Prefix.leaves, from) };
    let start: Uint8Array | undefined;
    for await (const key of this.#keys({ ...lowest, reverse: true, limit: 1 })) start = key;
    if (start === undefined) return;
    for await (const [key, value] of this.#entries({ gte: start, lt: prefixRange(Prefix.leaves).lt })) {
      yield { first: readLeafKey(key), bytes: decodeLeaves(key, value) };
    }
  }

  /** Full tiles at level 0. */
  async tileCount(): Promise<number> {
    const range = { gte: tileKey(0, 0), lt: tileKey(1, 0) };
    for await (const key of this.#keys({ ...range, reverse: true, limit: 1 })) return readTileKey(key).index + 1;
    return 0;
  }

  async #withStates(block: Block): Promise<Block> {
    const key = blockKey(Prefix.states, block.issuerNo, block.firstSeq);
    const value = await this.#get(key);
    return value === undefined ? block : { ...block, states: decodeStates(key, value, block.count) };
  }

  /** Walks the changed states beside the blocks from `start` on: a lookup for each block would cost more than the blocks. */
  #changedStates(start: Uint8Array, issuerNo: number, to: number) {
    const { firstSeq } = readBlockKey(start);
    const gte = blockKey(Prefix.states, issuerNo, firstSeq);
    const entries = this.#entries({ gte, lte: blockKey(Prefix.states, issuerNo, to) });
    let next: Promise<[Uint8Array, Uint8Array] | undefined> | undefined;
    return {
      async apply(block: Block): Promise<Block> {
        next ??= entries.next();
        let entry = await next;
        while (entry !== undefined && readBlockKey(entry[0]).firstSeq < block.firstSeq) {
          next = entries.next();
          entry = await next;
        }
        if (entry === undefined || readBlockKey(entry[0]).firstSeq !== block.firstSeq) return block;
        return { ...block, states: decodeStates(entry[0], entry[1], block.count) };
      },
      close: () => entries.close(),
    };
  }

  async row(table: RowTable, rowName: string): Promise<Uint8Array | undefined> {
    const key = rowKey(table, rowName);
    const value = await this.#get(key);
    return value === undefined ? undefined : unseal(key, value).slice();
  }

  async *rows(table: RowTable, prefix: string): AsyncGenerator<StoredRow> {
    const gte = rowKey(table, prefix);
    // No key in UTF-8 holds the byte 0xff.
    for await (const [key, value] of this.#entries({ gte, lt: Uint8Array.of(...gte, 0xff) })) {
      yield { key: readRowKey(key).key, value: unseal(key, value).slice() };
    }
  }

  #issuerOf(key: Uint8Array): Issuer {
    return this.#index.issuerOf(readNumberKey(key));
  }

  #get(key: Uint8Array): Promise<Uint8Array | undefined> {
    return this.#engine.get(key, { snapshot: this.#snapshot });
  }
  #entries(range: Range) {
    return this.#engine.iterator<Uint8Array, Uint8Array>({
      ...range,
      snapshot: this.#snapshot,
      highWaterMarkBytes: READ_AHEAD_BYTES,
    });
  }

  #keys(range: Range) {
    return this.#engine.keys<Uint8Array>({ ...range, snapshot: this.#snapshot });
  }
}

/** An envelope's hash is what its signing bytes hash to; recomputing it is cheaper than a second lookup, and proves them. */
function contentHash(signingBytes: Uint8Array): EnvelopeHash {
  return `0x${hash("sha256", signingBytes)}`;
}

function toRun(issuer: Issuer, block: Block): Run {
  const offsets = blockOffsets(block);
  const hashes = Array.from({ length: block.count }, (_, i) =>
    contentHash(splitRecord(block.records, offsets[i] as number, offsets[i + 1] as number).signingBytes),
  );
  return { issuer, from: block.firstSeq, hashes, records: block.records, states: block.states };
}
