/**
 * Checks a commit before anything of it is written, so that encoding cannot fail half-way. Shared by all stores.
 * Malformed commits are defects of the caller (`internal`); overwriting is refused with `store_failed`.
 */
import {
  Admission,
  asSpineError,
  type Commit,
  type EnvelopeHash,
  EnvelopeState,
  type HaveRange,
  type Issuer,
  MAX_ROW_KEY_BYTES,
  MAX_ROW_VALUE_BYTES,
  type Row,
  RowTable,
  type Run,
  recordOffsets,
  SIGNATURE_BYTES,
  SpineError,
  type StateChange,
} from "../spine/index.ts";
import { replaceSignature } from "./block.ts";
import { HASH_BYTES } from "./keys.ts";
import { putHash, hashBytes as vetHash } from "./values.ts";

const ROW_TABLES: ReadonlySet<number> = new Set(Object.values(RowTable));

/** A run that was checked, with what checking found. */
export interface VettedRun {
  readonly issuer: Issuer;
  readonly from: number;
  readonly to: number;
  readonly records: Uint8Array;
  /** Where each record begins, and the end of the last. */
  readonly offsets: Uint32Array;
  readonly states: Uint8Array;
  readonly hashes: readonly EnvelopeHash[];
  /** The same, 32 bytes each. */
  readonly hashBytes: Uint8Array;
}

export interface VettedCommit {
  readonly commit: Commit;
  readonly runs: readonly VettedRun[];
  /** Changes of envelopes that were stored before this commit. */
  readonly changes: readonly StateChange[];
  /** Record bytes, for grouping. */
  readonly bytes: number;
}

/** Throws `internal` on a malformed commit and `store_failed` on one whose runs overlap each other. */
export function vetCommit(commit: Commit): VettedCommit {
  const runs = commit.runs.map(vetRun);
  refuseOverlapWithin(runs);
  for (const head of commit.heads) {
    vetSeq(head.seq);
    vetHash(head.hash);
    if (head.signature.length !== SIGNATURE_BYTES) throw defect(`head signature of ${head.signature.length} bytes`);
    if (!Number.isSafeInteger(head.sentAt) || head.sentAt < 0) throw defect(`head sent at ${head.sentAt}`);
  }
  for (const record of commit.issuers) {
    if (!(record.admission in Admission)) throw defect(`admission ${record.admission}`);
    vetSeq(record.prunedBelow);
    if (record.frozenAt !== null) vetSeq(record.frozenAt);
    record.ranges.forEach(vetRange);
  }
  for (const fork of commit.forks) vetSeq(fork.seq);
  for (const change of commit.states) {
    vetSeq(change.seq);
    vetState(change.state);
    if (change.signature !== undefined && change.signature.length !== SIGNATURE_BYTES) {
      throw defect(`signature of ${change.signature.length} bytes`);
    }
  }
  commit.rows.forEach(vetRow);
  let bytes = 0;
  for (const run of runs) bytes += run.records.length;
  if (commit.states.length === 0) return { commit, runs, changes: [], bytes };
  return { commit, ...applyWithin(runs, commit.states), bytes };
}

/** A change applied to the states and records of consecutive envelopes; copies what it changes. */
export function applyChange(
  piece: { readonly states: Uint8Array; readonly records: Uint8Array },
  offsets: Uint32Array,
  index: number,
  change: StateChange,
): { states: Uint8Array; records: Uint8Array } {
  const states = new Uint8Array(piece.states);
  states[index] = change.state;
  const records =
    change.signature === undefined ? piece.records : replaceSignature(piece.records, offsets, index, change.signature);
  return { states, records };
}

/** States and signatures that a commit changes in its own runs are changed before they are written. */
function applyWithin(runs: readonly VettedRun[], states: readonly StateChange[]) {
  const applied = [...runs];
  const changes: StateChange[] = [];
  for (const change of states) {
    const at = applied.findIndex(
      (run) => run.issuer === change.issuer && run.from <= change.seq && change.seq <= run.to,
    );
    const run = applied[at];
    if (run === undefined) changes.push(change);
    else applied[at] = { ...run, ...applyChange(run, run.offsets, change.seq - run.from, change) };
  }
  return { runs: applied, changes };
}

function vetRun(run: Run): VettedRun {
  const count = run.hashes.length;
  if (count === 0 || run.states.length !== count) {
    throw defect(`run of ${count} hashes and ${run.states.length} states`);
  }
  const to = run.from + count - 1;
  vetSeq(run.from);
  vetSeq(to);
  for (const state of run.states) vetState(state);
  const hashBytes = new Uint8Array(count * HASH_BYTES);
  for (let i = 0; i < count; i++) {
    if (!putHash(hashBytes, i * HASH_BYTES, run.hashes[i] as string)) throw defect("not an envelope hash in a run");
  }
  const offsets = offsetsOf(run.records, count);
  const { issuer, from, hashes, records, states } = run;
  return { issuer, from, to, hashes, hashBytes, records, offsets, states };
}

function offsetsOf(records: Uint8Array, count: number): Uint32Array {
  try {
    return recordOffsets(records, count);
  } catch (cause) {
    throw new SpineError("internal", `run with malformed records: ${asSpineError(cause).message}`, { cause });
  }
}

function refuseOverlapWithin(runs: readonly VettedRun[]): void {
  if (runs.length < 2) return;
  const ordered = [...runs].sort((a, b) => (a.issuer === b.issuer ? a.from - b.from : a.issuer < b.issuer ? -1 : 1));
  ordered.reduce((below, run) => {
    if (below.issuer === run.issuer && run.from <= below.to) throw overwriteError(run.issuer, run.from);
    return run;
  });
}

/** The refusal of a run that would overwrite a stored envelope. */
export function overwriteError(issuer: Issuer, seq: number): SpineError {
  return new SpineError("store_failed", `refused to overwrite ${issuer} seq ${seq}`);
}

function vetRange(range: HaveRange): void {
  vetSeq(range.from);
  vetSeq(range.to);
  if (range.to < range.from) throw defect(`have-range ${range.from} to ${range.to}`);
  vetHash(range.last);
  if (range.prev !== null) vetHash(range.prev);
}

function vetRow({ table, key, value }: Row): void {
  if (!ROW_TABLES.has(table)) throw defect(`row table ${table}`);
  const length = Buffer.byteLength(key, "utf8");
  if (length === 0 || length > MAX_ROW_KEY_BYTES) throw defect(`row key of ${length} bytes`);
  if (value !== null && value.length > MAX_ROW_VALUE_BYTES) throw defect(`row value of ${value.length} bytes`);
}

function vetSeq(seq: number): void {
  if (!Number.isSafeInteger(seq) || seq < 0) throw defect(`seq ${seq}`);
}

function vetState(state: number): void {
  if (!Number.isInteger(state) || state < 0 || state > EnvelopeState.unsigned) throw defect(`envelope state ${state}`);
}

function defect(what: string): SpineError {
  return new SpineError("internal", `malformed commit: ${what}`);
}
