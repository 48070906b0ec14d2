/** The durable home of envelopes and protocol state. Promises are stated here; `storeContract` checks them. */
import type {
  Commit,
  EnvelopeHash,
  EnvelopeState,
  ForkRecord,
  Head,
  Issuer,
  RowTable,
  Run,
  Snapshot,
  Span,
  StoredPiece,
  StoredTile,
} from "../spine/index.ts";

/** Where an envelope stands. */
export interface Location {
  readonly issuer: Issuer;
  readonly seq: number;
  /** Position in commit order, from 0. Never changes, never reused. */
  readonly leafIndex: number;
}

/** One stored envelope: the record's parts and how its authenticity is known. */
export interface StoredEnvelope extends Location {
  readonly hash: EnvelopeHash;
  readonly signingBytes: Uint8Array;
  readonly signature: Uint8Array;
  readonly state: EnvelopeState;
}

export interface StoredRow {
  readonly key: string;
  readonly value: Uint8Array;
}

export interface StoreUsage {
  readonly envelopes: number;
  /** Bytes on disk, estimated by the engine; 0 for memory. */
  readonly bytes: number;
}

/**
 * Concurrency: any number of readers; `commit` calls are applied in call order. A reader sees a commit wholly or not
 * at all. Every method rejects with `store_closed` before `open` resolved and after `close` was called, with
 * `store_failed` on an I/O error, `store_full` when the disk is full and `store_corrupt` on bytes that cannot be.
 */
export interface Store extends AsyncDisposable {
  /** Takes the directory's lock (`store_locked` if held) and migrates forward (`store_version` if too new). Idempotent. */
  open(): Promise<void>;
  /** Heads, have-ranges, fork proofs, log size: cost grows with issuers, not with envelopes. */
  load(): Promise<Snapshot>;
  /**
   * Resolved = all of it is on disk (fsync) and visible; rejected = none of it is. After a rejection with
   * `store_failed` or `store_full` the store refuses further commits until reopened. Refuses with `store_failed` a
   * run that would overwrite a stored (issuer, seq): nothing stored is ever overwritten.
   */
  commit(commit: Commit): Promise<void>;
  locate(hash: EnvelopeHash): Promise<Location | undefined>;
  envelope(hash: EnvelopeHash): Promise<StoredEnvelope | undefined>;
  at(issuer: Issuer, seq: number): Promise<StoredEnvelope | undefined>;
  /** Stored pieces within from..to, both included, ascending, trimmed to the range; holes are skipped. */
  runs(issuer: Issuer, from: number, to: number): AsyncIterable<Run>;
  /** Like `runs` without hashes: for serving. */
  records(issuer: Issuer, from: number, to: number): AsyncIterable<StoredPiece>;
  head(issuer: Issuer): Promise<Head | undefined>;
  forks(): Promise<readonly ForkRecord[]>;
  /** Runs that hold envelopes in state `chain`, oldest first, at most `limit` envelopes; for idle verification. */
  unverified(limit: number): Promise<readonly Run[]>;
  /** Envelope hashes in commit order from leaf `from`, at most `limit`. */
  leaves(from: number, limit: number): Promise<readonly EnvelopeHash[]>;
  /** The same as raw bytes, 32 each. */
  leafBytes(from: number, limit: number): Promise<Uint8Array>;
  /**
   * Keeps full tiles of the tree over `leaves`: derived data, written behind the commits. All or nothing, on disk when
   * resolved; a tile that is there already is written again. Rejects with `internal` for a tile beyond the leaves.
   */
  putTiles(tiles: readonly StoredTile[]): Promise<void>;
  /** A kept tile's bytes. Synchronous: a proof reads a few, and a hop to another thread costs more than a read. */
  tile(level: number, index: number): Uint8Array | undefined;
  /** Full tiles kept at level 0. They are written in order, so that these are the first ones. */
  tileCount(): Promise<number>;
  /**
   * Retention: removes envelopes of `issuer` below `below`, at most `limit`, all but those in `kept` (ascending, disjoint);
   * leaves and locations of hashes stay. Returns how many; 0 = nothing is left to remove.
   */
  prune(issuer: Issuer, below: number, limit: number, kept?: readonly Span[]): Promise<number>;
  /** The value of one row, or undefined. */
  row(table: RowTable, key: string): Promise<Uint8Array | undefined>;
  /** The rows of a table whose keys begin with `prefix`, in the byte order of their keys. */
  rows(table: RowTable, prefix?: string): AsyncIterable<StoredRow>;
  usage(): Promise<StoreUsage>;
  /** Waits for running reads and the running commit, then releases the lock. Idempotent. */
  close(): Promise<void>;
}
