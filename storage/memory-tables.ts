/**
 * The memory store's contents, synchronous. Pieces are never changed once stored, only replaced, so that a reader may
 * keep them. Called by `memory.ts` and, through it, by the simulator.
 */
import {
  type Commit,
  type EnvelopeHash,
  EnvelopeState,
  type ForkRecord,
  type Head,
  type Issuer,
  type IssuerRecord,
  type Row,
  type RowTable,
  type Run,
  recordOffsets,
  type Snapshot,
  type Span,
  type StateChange,
  type StoredTile,
  sliceRun,
  splitRecord,
  subtractSpans,
} from "../spine/index.ts";
import { chainStretches } from "./block.ts";
import { cutSpan } from "./prune.ts";
import type { Location, StoredEnvelope, StoredRow } from "./store.ts";
import { vetTile } from "./tree-hasher.ts";
import { hashBytes } from "./values.ts";
import { applyChange, overwriteError, type VettedRun, vetCommit } from "./vet.ts";

/** A stored run; leaf indices are consecutive. */
interface Piece extends Run {
  readonly firstLeaf: number;
}

interface Shelf {
  /** Ascending, disjoint. */
  pieces: Piece[];
  /** Nothing below is stored or taken again. */
  prunedBelow: number;
}

export class MemoryTables {
  readonly #shelves = new Map<Issuer, Shelf>();
  readonly #records = new Map<Issuer, IssuerRecord>();
  readonly #heads = new Map<Issuer, Head>();
  readonly #forks = new Map<Issuer, ForkRecord>();
  readonly #locations = new Map<EnvelopeHash, Location>();
  readonly #leaves: EnvelopeHash[] = [];
  readonly #rows = new Map<RowTable, Map<string, Uint8Array>>();
  readonly #tiles = new Map<string, Uint8Array>();
  #pruned = 0;

  get envelopes(): number {
    return this.#leaves.length - this.#pruned;
  }

  /** All or nothing: throws `store_failed` on an overwrite and `internal` on a malformed commit, before any change. */
  commit(commit: Commit): void {
    const { runs, changes } = vetCommit(commit);
    for (const run of runs) this.#refuseOverwrite(run);
    for (const run of runs) this.#addRun(run);
    for (const record of commit.issuers) this.#records.set(record.issuer, record);
    for (const head of commit.heads) this.#heads.set(head.issuer, head);
    for (const fork of commit.forks) this.#forks.set(fork.issuer, fork);
    for (const change of changes) this.#change(change);
    for (const row of commit.rows) this.#putRow(row);
  }

  #putRow({ table, key, value }: Row): void {
    const rows = this.#rows.get(table) ?? new Map<string, Uint8Array>();
    this.#rows.set(table, rows);
    if (value === null) rows.delete(key);
    else rows.set(key, new Uint8Array(value));
  }

  row(table: RowTable, key: string): Uint8Array | undefined {
    return this.#rows.get(table)?.get(key)?.slice();
  }

  rows(table: RowTable, prefix: string): readonly StoredRow[] {
    const found = [...(this.#rows.get(table) ?? [])].filter(([key]) => key.startsWith(prefix));
    const inBytes = found.map(([key, value]) => ({ key, value: value.slice(), bytes: Buffer.from(key, "utf8") }));
    return inBytes.sort((a, b) => Buffer.compare(a.bytes, b.bytes)).map(({ key, value }) => ({ key, value }));
  }

  load(): Snapshot {
    return {
      issuers: [...this.#records.values()],
      heads: [...this.#heads.values()],
      forks: this.forks(),
      logSize: this.#leaves.length,
    };
  }

  locate(hash: EnvelopeHash): Location | undefined {
    return this.#locations.get(hash);
  }

  at(issuer: Issuer, seq: number): StoredEnvelope | undefined {
    const piece = this.#pieceAt(issuer, seq);
    if (piece === undefined) return undefined;
    const index = seq - piece.from;
    const offsets = recordOffsets(piece.records, piece.hashes.length);
    const { signingBytes, signature } = splitRecord(
      piece.records,
      offsets[index] as number,
      offsets[index + 1] as number,
    );
    const hash = piece.hashes[index] as EnvelopeHash;
    const state = piece.states[index] as EnvelopeState;
    return { issuer, seq, leafIndex: piece.firstLeaf + index, hash, signingBytes, signature, state };
  }

  /** Stored pieces within `from..to`, trimmed. */
  runs(issuer: Issuer, from: number, to: number): readonly Run[] {
    const pieces = this.#shelves.get(issuer)?.pieces ?? [];
    const found: Run[] = [];
    for (let i = firstEndingAt(pieces, from); i < pieces.length && (pieces[i] as Piece).from <= to; i++) {
      const run = sliceRun(pieces[i] as Piece, from, to);
      if (run !== undefined) found.push(bareRun(run));
    }
    return found;
  }

  head(issuer: Issuer): Head | undefined {
    return this.#heads.get(issuer);
  }

  forks(): readonly ForkRecord[] {
    return [...this.#forks.values()];
  }

  unverified(limit: number): readonly Run[] {
    const held: Piece[] = [];
    for (const shelf of this.#shelves.values()) {
      for (const piece of shelf.pieces) if (piece.states.includes(EnvelopeState.chain)) held.push(piece);
    }
    held.sort((a, b) => a.firstLeaf - b.firstLeaf);
    const found: Run[] = [];
    let left = limit;
    for (const piece of held) {
      for (const [start, end] of chainStretches(piece.states)) {
        if (left <= 0) return found;
        const to = Math.min(end, start + left) - 1;
        found.push(bareRun(sliceRun(piece, piece.from + start, piece.from + to) as Run));
        left -= to - start + 1;
      }
    }
    return found;
  }

  leaves(from: number, limit: number): readonly EnvelopeHash[] {
    return this.#leaves.slice(from, from + Math.max(limit, 0));
  }

  leafBytes(from: number, limit: number): Uint8Array {
    return Buffer.concat(this.leaves(from, limit).map(hashBytes));
  }

  putTiles(tiles: readonly StoredTile[]): void {
    for (const tile of tiles) vetTile(tile, this.#leaves.length);
    for (const { level, index, bytes } of tiles) this.#tiles.set(`${level}/${index}`, new Uint8Array(bytes));
  }

  tile(level: number, index: number): Uint8Array | undefined {
    return this.#tiles.get(`${level}/${index}`)?.slice();
  }

  get tileCount(): number {
    let count = 0;
    while (this.#tiles.has(`0/${count}`)) count++;
    return count;
  }

  prune(issuer: Issuer, below: number, limit: number, kept: readonly Span[] = []): number {
    const shelf = this.#shelves.get(issuer);
    if (shelf === undefined) return 0;
    let removed = 0;
    let mark = shelf.prunedBelow;
    const pieces: Piece[] = [];
    for (const piece of shelf.pieces) {
      const whole = { from: piece.from, to: piece.from + piece.hashes.length - 1 };
      if (whole.from < shelf.prunedBelow || whole.from >= below || removed >= limit) {
        pieces.push(piece);
        continue;
      }
      const cut = cutSpan({ from: whole.from, to: Math.min(whole.to, below - 1) }, kept, limit - removed);
      for (const span of subtractSpans([whole], cut.gone)) {
        const rest = sliceRun(piece, span.from, span.to) as Run;
        pieces.push({ ...rest, firstLeaf: piece.firstLeaf + span.from - piece.from });
      }
      removed += cut.count;
      mark = cut.mark;
    }
    if (removed === 0) return 0;
    shelf.pieces = pieces;
    shelf.prunedBelow = mark;
    this.#pruned += removed;
    return removed;
  }

  #refuseOverwrite(run: VettedRun): void {
    const shelf = this.#shelves.get(run.issuer);
    if (shelf === undefined) return;
    if (run.from < shelf.prunedBelow) throw overwriteError(run.issuer, run.from);
    const next = shelf.pieces[firstEndingAt(shelf.pieces, run.from)];
    if (next !== undefined && next.from <= run.to) throw overwriteError(run.issuer, Math.max(run.from, next.from));
  }

  #addRun(run: VettedRun): void {
    const firstLeaf = this.#leaves.length;
    run.hashes.forEach((hash, index) => {
      this.#locations.set(hash, { issuer: run.issuer, seq: run.from + index, leafIndex: firstLeaf + index });
      this.#leaves.push(hash);
    });
    const { issuer, from, hashes } = run;
    const piece: Piece = {
      issuer,
      from,
      hashes: [...hashes],
      records: new Uint8Array(run.records),
      states: new Uint8Array(run.states),
      firstLeaf,
    };
    const shelf = this.#shelves.get(issuer) ?? { pieces: [], prunedBelow: 0 };
    this.#shelves.set(issuer, shelf);
    shelf.pieces.splice(firstEndingAt(shelf.pieces, from), 0, piece);
  }

  /** Changes of envelopes that are not stored (any more) are dropped. */
  #change(change: StateChange): void {
    const piece = this.#pieceAt(change.issuer, change.seq);
    const shelf = this.#shelves.get(change.issuer);
    if (piece === undefined || shelf === undefined) return;
    const offsets = recordOffsets(piece.records, piece.hashes.length);
    const changed = { ...piece, ...applyChange(piece, offsets, change.seq - piece.from, change) };
    shelf.pieces[firstEndingAt(shelf.pieces, change.seq)] = changed;
  }

  #pieceAt(issuer: Issuer, seq: number): Piece | undefined {
    const pieces = this.#shelves.get(issuer)?.pieces ?? [];
    const piece = pieces[firstEndingAt(pieces, seq)];
    return piece !== undefined && piece.from <= seq ? piece : undefined;
  }
}

/** Index of the first piece that ends at or after `seq`; the length if none does. */
function firstEndingAt(pieces: readonly Piece[], seq: number): number {
  let low = 0;
  let high = pieces.length;
  while (low < high) {
    const middle = (low + high) >>> 1;
    const piece = pieces[middle] as Piece;
    if (piece.from + piece.hashes.length - 1 < seq) low = middle + 1;
    else high = middle;
  }
  return low;
}

function bareRun({ issuer, from, hashes, records, states }: Run): Run {
  return { issuer, from, hashes, records, states };
}
