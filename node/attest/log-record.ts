/**
 * One checkpoint of the own log as its rows keep it: both encodings, the co-signatures collected, and the sealed envelope
 * once there is one. Rows of table `log`: `intent` before anyone sees it, `latest` once published, `late/SEQ` for
 * co-signatures that came later. Used by the log keeper and the proofs.
 */
import {
  type CheckpointStatement,
  canonicalText,
  formatSignatureLine,
  isJsonObject,
  type Json,
  type JsonObject,
  type NoteSignature,
  parseJson,
  parseSignatureLines,
  parseStatement,
  type Row,
  RowTable,
  readWitnessLines,
  SpineError,
  statementText,
  utf8,
  utf8Text,
  type WitnessLine,
  writeWitnessLines,
} from "../../spine/index.ts";

export interface Cosignatures {
  /** Of the statement. */
  readonly lines: readonly WitnessLine[];
  /** Of the note. */
  readonly notes: readonly NoteSignature[];
}

export interface CheckpointRecord extends Cosignatures {
  readonly statement: CheckpointStatement;
  /** The note's text: the same tree head. */
  readonly text: string;
  /** The log's own signature line. */
  readonly logLine: NoteSignature;
  /** Canonical JSON of the sealed envelope; null before the quorum. */
  readonly envelope: string | null;
}

export const NO_COSIGNATURES: Cosignatures = { lines: [], notes: [] };
const SEQ_DIGITS = 16;

export function lateKey(seq: number): string {
  return `late/${String(seq).padStart(SEQ_DIGITS, "0")}`;
}

function cosignaturesJson({ lines, notes }: Cosignatures): JsonObject {
  return { notes: notes.map(formatSignatureLine).join(""), witnesses: writeWitnessLines(lines) };
}

function readCosignatures(value: JsonObject): Cosignatures {
  const notes = text(value["notes"]);
  return { lines: readWitnessLines(value["witnesses"]), notes: notes === "" ? [] : parseSignatureLines(notes) };
}

export function recordRow(key: "intent" | "latest", record: CheckpointRecord | null): Row {
  if (record === null) return { table: RowTable.log, key, value: null };
  const value = canonicalText({
    ...cosignaturesJson(record),
    envelope: record.envelope,
    log_line: formatSignatureLine(record.logLine),
    statement: statementText(record.statement),
    text: record.text,
  });
  return { table: RowTable.log, key, value: utf8(value) };
}

export function lateRow(seq: number, cosignatures: Cosignatures | null): Row {
  const value = cosignatures === null ? null : utf8(canonicalText(cosignaturesJson(cosignatures)));
  return { table: RowTable.log, key: lateKey(seq), value };
}

/** Throws `store_corrupt`. */
export function readRecord(value: Uint8Array): CheckpointRecord {
  return readRow(value, (row) => {
    const [logLine] = parseSignatureLines(text(row["log_line"]));
    const envelope = row["envelope"] ?? null;
    return {
      ...readCosignatures(row),
      statement: parseStatement(text(row["statement"])),
      text: text(row["text"]),
      logLine: logLine as NoteSignature,
      envelope: envelope === null ? null : text(envelope),
    };
  });
}

/** Throws `store_corrupt`. */
export function readLate(value: Uint8Array): Cosignatures {
  return readRow(value, readCosignatures);
}

function readRow<T>(value: Uint8Array, read: (row: JsonObject) => T): T {
  try {
    const row = parseJson(utf8Text(value));
    if (!isJsonObject(row)) throw new SpineError("store_corrupt", "no object");
    return read(row);
  } catch (cause) {
    throw new SpineError("store_corrupt", "a row of the log cannot be read", { cause });
  }
}

function text(value: Json | undefined): string {
  if (typeof value !== "string") throw new SpineError("store_corrupt", "not a string");
  return value;
}
