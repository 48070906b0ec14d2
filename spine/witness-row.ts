/**
 * What a witness remembers of one log: the largest tree it signed and the last message of each encoding. Rows are
 * stored as text, guarded by their digests outside the store, and locked after a restore (rules 7 and 9).
 */
import { equalBytes, fromHex, toHex } from "./bytes.ts";
import { canonicalText } from "./canonical.ts";
import { type CheckpointStatement, checkpointHash, parseStatement, statementText } from "./checkpoint.ts";
import { cosignatureMessage } from "./cosignature.ts";
import { SpineError } from "./errors.ts";
import { parseSignature, signatureText } from "./identity.ts";
import { isJsonObject, type Json, type JsonObject, parseJson } from "./lossless.ts";
import { TREE_HASH_BYTES, type TreeHasher } from "./merkle.ts";
import { formatNote, type NoteSignature, parseNote } from "./note.ts";
import type { Sha256 } from "./ports.ts";
import { witnessMessage } from "./tags.ts";
import { parseTreeHead } from "./tree-head.ts";

export interface WitnessRow {
  /** Grows by one with each change; a store compares it before it replaces a row. */
  readonly revision: number;
  /** Leaves of the largest tree signed in either encoding, or where first contact starts. */
  readonly size: number;
  /** 32 bytes. */
  readonly root: Uint8Array;
  /** Last statement signed, with the log's own signature on its request: evidence if the log denies it. */
  readonly statement: { readonly statement: CheckpointStatement; readonly logSignature: Uint8Array } | null;
  readonly note: WitnessedNote | null;
  /** Null in normal work. After a restore: what must be shown before anything is signed. */
  readonly restored: WitnessMark | "unknown" | null;
}

/** Last note signed: its text, when (POSIX seconds), and the log's own verified signature lines. */
export interface WitnessedNote {
  readonly text: string;
  readonly timestamp: number;
  readonly logSignatures: readonly NoteSignature[];
}

/** A row's high-water mark, kept outside the store and its backups: SHA-256 of the last message of each encoding. */
export interface WitnessMark {
  readonly revision: number;
  readonly statement: Uint8Array | null;
  readonly note: Uint8Array | null;
}

/** A log's row before its first request. */
export function startRow(hasher: TreeHasher, pin: { size: number; root: Uint8Array } | null): WitnessRow {
  const { size, root } = pin ?? { size: 0, root: hasher.emptyRoot };
  return { revision: 0, size, root, statement: null, note: null, restored: null };
}

export function witnessMark(sha256: Sha256, row: WitnessRow): WitnessMark {
  const { revision, statement, note } = row;
  return {
    revision,
    statement: statement === null ? null : sha256(witnessMessage(checkpointHash(sha256, statement.statement))),
    note: note === null ? null : sha256(cosignatureMessage(note.timestamp, note.text)),
  };
}

/**
 * Compares a row read from disk (`startRow` where only its mark is left) with its mark; undefined: the mark is lost. A row
 * behind its mark came from a backup and is locked; one ahead of it is the newest, as marks are written after rows. Call
 * it for every row at start, and before the first mark is written.
 */
export function guardRow(sha256: Sha256, row: WitnessRow, mark: WitnessMark | undefined): WitnessRow {
  if (mark === undefined || row.restored === "unknown") return { ...row, restored: "unknown" };
  return row.revision > mark.revision ? row : lockUntil(sha256, row, mark);
}

/** Locked until the row holds the very messages of `mark`; a row that gets there continues above the mark. */
function lockUntil(sha256: Sha256, row: WitnessRow, mark: WitnessMark): WitnessRow {
  const held = witnessMark(sha256, row);
  if (!isSameDigest(held.statement, mark.statement) || !isSameDigest(held.note, mark.note)) {
    return { ...row, restored: mark };
  }
  if (row.restored === null && row.revision === mark.revision) return row;
  return { ...row, revision: Math.max(row.revision, mark.revision) + 1, restored: null };
}

function isSameDigest(a: Uint8Array | null, b: Uint8Array | null): boolean {
  return a === null || b === null ? a === b : equalBytes(a, b);
}

/** One of this witness's own co-signatures, verified by the caller against its own key. */
export type ShownCosignature =
  | { readonly type: "statement"; readonly statement: CheckpointStatement; readonly logSignature: Uint8Array }
  | ({ readonly type: "note" } & WitnessedNote);

/**
 * Takes over what was shown when it is ahead of the row, and unlocks the row once both missing messages were seen. With
 * the mark lost nothing shown can be known to be the last: only `confirmRow` unlocks then.
 */
export function showCosignature(sha256: Sha256, row: WitnessRow, shown: ShownCosignature): WitnessRow {
  if (row.restored === null) return row;
  const { size, root } = shown.type === "statement" ? shown.statement : parseTreeHead(shown.text);
  const isAhead =
    shown.type === "statement"
      ? shown.statement.seq > (row.statement?.statement.seq ?? 0)
      : size > (row.note === null ? -1 : parseTreeHead(row.note.text).size) ||
        shown.timestamp > (row.note?.timestamp ?? 0);
  if (!isAhead) return row;
  const lifted: WitnessRow = {
    ...row,
    revision: row.revision + 1,
    size: Math.max(row.size, size),
    root: size > row.size ? root : row.root,
    ...(shown.type === "statement"
      ? { statement: { statement: shown.statement, logSignature: shown.logSignature } }
      : { note: { text: shown.text, timestamp: shown.timestamp, logSignatures: shown.logSignatures } }),
  };
  return row.restored === "unknown" ? lifted : lockUntil(sha256, lifted, row.restored);
}

/** The operator's word that this row is the last state. */
export function confirmRow(row: WitnessRow): WitnessRow {
  return { ...row, revision: row.revision + 1, restored: null };
}

function digestText(digest: Uint8Array | null): string | null {
  return digest === null ? null : toHex(digest);
}

export function encodeWitnessRow(row: WitnessRow): string {
  const { statement, note, restored } = row;
  return canonicalText({
    note:
      note === null
        ? null
        : { note: formatNote({ text: note.text, signatures: note.logSignatures }), timestamp: note.timestamp },
    restored:
      restored === null || restored === "unknown"
        ? restored
        : {
            note: digestText(restored.note),
            revision: restored.revision,
            statement: digestText(restored.statement),
          },
    revision: row.revision,
    root: toHex(row.root),
    size: row.size,
    statement:
      statement === null
        ? null
        : { log_signature: signatureText(statement.logSignature), text: statementText(statement.statement) },
  });
}

/** Throws `store_corrupt` for anything but what `encodeWitnessRow` writes. */
export function decodeWitnessRow(text: string): WitnessRow {
  try {
    const row = decodeRow(parseJson(text));
    if (encodeWitnessRow(row) === text) return row;
  } catch (cause) {
    throw new SpineError("store_corrupt", "witness row", { cause });
  }
  throw new SpineError("store_corrupt", "witness row is not in its one spelling");
}

function decodeRow(value: Json): WitnessRow {
  const row = object(value);
  const { note, restored, statement } = row;
  return {
    revision: number(row["revision"]),
    size: number(row["size"]),
    root: fromHex(text(row["root"]), TREE_HASH_BYTES),
    note: note === null ? null : decodeNote(object(note)),
    statement:
      statement === null
        ? null
        : {
            statement: parseStatement(text(object(statement)["text"])),
            logSignature: parseSignature(text(object(statement)["log_signature"])),
          },
    restored:
      restored === null || restored === "unknown"
        ? restored
        : {
            revision: number(object(restored)["revision"]),
            statement: digest(object(restored)["statement"]),
            note: digest(object(restored)["note"]),
          },
  };
}

function decodeNote(value: JsonObject): WitnessedNote {
  const { text: body, signatures } = parseNote(text(value["note"]));
  parseTreeHead(body);
  return { text: body, timestamp: number(value["timestamp"]), logSignatures: signatures };
}

function digest(value: Json | undefined): Uint8Array | null {
  return value === null ? null : fromHex(text(value), TREE_HASH_BYTES);
}

function object(value: Json | undefined): JsonObject {
  if (!isJsonObject(value)) throw new SpineError("store_corrupt", "not an object");
  return value;
}

function text(value: Json | undefined): string {
  if (typeof value !== "string") throw new SpineError("store_corrupt", "not a string");
  return value;
}

function number(value: Json | undefined): number {
  if (typeof value !== "number" || !Number.isSafeInteger(value) || value < 0) {
    throw new SpineError("store_corrupt", "not a whole number");
  }
  return value;
}
