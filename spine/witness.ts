/**
 * The witness's judgement, pure: one row per log for both encodings of a tree head (rules 9). Requests are first opened
 * (their log's signature checked), then decided against the row under the caller's lock; the row of a "sign" decision
 * must be durable before its message is signed. Ed25519 being deterministic, a repeat yields the same bytes.
 */
import { type AddCheckpointRequest, parseAddCheckpoint } from "./add-checkpoint.ts";
import { equalBytes, toHex, utf8 } from "./bytes.ts";
import {
  type CheckpointStatement,
  checkpointHash,
  checkpointHashText,
  statementText,
  witnessRequestClaim,
} from "./checkpoint.ts";
import { cosignatureMessage } from "./cosignature.ts";
import { asSpineError, type ErrorCode, SpineError } from "./errors.ts";
import { parseIssuer } from "./identity.ts";
import type { TreeHasher } from "./merkle.ts";
import { verifyConsistency } from "./merkle-verify.ts";
import { formatNote, type NoteSignature, parseSignatureLines, verifyNote } from "./note.ts";
import type { Issuer, Sha256, Verifier } from "./ports.ts";
import { witnessMessage } from "./tags.ts";
import { type NoteKey, NoteKeyType, noteKey } from "./vkey.ts";
import { startRow, type WitnessedNote, type WitnessRow } from "./witness-row.ts";

/** A log this witness may sign for: the operator's word. Both encodings share the row named by `logId`. */
export interface WitnessedLog {
  readonly logId: Issuer;
  /** Origin and keys of its notes; null and empty when it has only statements. */
  readonly origin: string | null;
  readonly noteKeys: readonly NoteKey[];
  /** Where first contact may start instead of the empty tree. */
  readonly pin: { readonly size: number; readonly root: Uint8Array } | null;
}

/** A log whose notes are signed by its one log key, as ours are; a foreign log's id is the issuer id of its note key. */
export function witnessedLog(
  sha256: Sha256,
  logId: Issuer,
  origin: string | null,
  pin: WitnessedLog["pin"] = null,
): WitnessedLog {
  const noteKeys = origin === null ? [] : [noteKey(sha256, origin, NoteKeyType.ed25519, parseIssuer(logId))];
  return { logId, origin, noteKeys, pin };
}

/** Root of the first `size` leaves when this node holds them itself, else undefined. */
export type OwnRoot = (size: number) => Uint8Array | undefined;

/** A request whose log signature was verified. Only the `open…` functions make one. */
export interface OpenedNote {
  readonly type: "note";
  readonly log: WitnessedLog;
  readonly request: AddCheckpointRequest;
  /** The verified ones, at least one. */
  readonly logSignatures: readonly NoteSignature[];
}
export interface OpenedStatement {
  readonly type: "statement";
  readonly log: WitnessedLog;
  readonly statement: CheckpointStatement;
  /** 64 bytes by the log's key over the witness request message. */
  readonly logSignature: Uint8Array;
  readonly oldSize: number;
  readonly proof: readonly Uint8Array[];
}

export type WitnessDecision =
  /** Make `row` durable, then sign `message`. */
  | { readonly outcome: "sign"; readonly row: WitnessRow; readonly message: Uint8Array }
  /** Signed before: sign `message` again, which gives the identical answer. */
  | { readonly outcome: "repeat"; readonly row: WitnessRow; readonly message: Uint8Array }
  /** `row` is where the witness stands; with `log_conflict` the request and the row are evidence. */
  | { readonly outcome: "refuse"; readonly row: WitnessRow; readonly code: ErrorCode; readonly reason: string };

/**
 * Reads and authenticates an add-checkpoint body. Rejects with `note_syntax` or `tree_head_invalid` (malformed),
 * `log_not_allowed` (unknown origin), `note_unsigned` or `note_signature`.
 */
export async function openAddCheckpoint(
  body: string,
  logs: readonly WitnessedLog[],
  verifier: Verifier,
): Promise<OpenedNote> {
  const request = parseAddCheckpoint(body);
  const log = logs.find((known) => known.origin === request.head.origin);
  if (log === undefined) throw new SpineError("log_not_allowed", "unknown log");
  let signatures: ReturnType<typeof parseSignatureLines>;
  try {
    signatures = parseSignatureLines(request.signatureBlock);
  } catch (cause) {
    throw new SpineError("note_signature", "invalid signature: malformed line", { cause });
  }
  const verified = await verifyNote({ text: request.text, signatures }, log.noteKeys, verifier);
  return { type: "note", log, request, logSignatures: verified.map((signature) => signature.line) };
}

/** Authenticates a statement request. Rejects with `log_not_allowed` or `signature_invalid`. */
export async function openStatementRequest(
  sha256: Sha256,
  request: Omit<OpenedStatement, "type" | "log">,
  logs: readonly WitnessedLog[],
  verifier: Verifier,
): Promise<OpenedStatement> {
  const log = logs.find((known) => known.logId === request.statement.logId);
  if (log === undefined) throw new SpineError("log_not_allowed", "unknown log");
  const claim = witnessRequestClaim(sha256, request.statement, request.logSignature);
  const [isValid] = await verifier.verify([claim]);
  if (isValid !== true) throw new SpineError("signature_invalid", "the log did not sign this request");
  return { type: "statement", log, ...request };
}

/** `now`: whole POSIX seconds. `row` undefined: first contact. Never throws for a request's content. */
export function decideNote(
  hasher: TreeHasher,
  opened: OpenedNote,
  stored: WitnessRow | undefined,
  now: number,
  ownRoot?: OwnRoot,
): WitnessDecision {
  const { log, request } = opened;
  const row = stored ?? startRow(hasher, log.pin);
  const { text, head } = request;
  const refusal = judgeTree(hasher, row, request.oldSize, head, request.proof, ownRoot);
  if (refusal !== undefined) return refusal;
  if (row.note?.text === text) {
    return { outcome: "repeat", row, message: cosignatureMessage(row.note.timestamp, text) };
  }
  const timestamp = Math.max(now, row.note?.timestamp ?? 0);
  const next: WitnessRow = {
    ...row,
    revision: row.revision + 1,
    size: head.size,
    root: head.root,
    note: { text, timestamp, logSignatures: opened.logSignatures },
  };
  return { outcome: "sign", row: next, message: cosignatureMessage(timestamp, text) };
}

/** Never throws for a request's content. */
export function decideStatement(
  sha256: Sha256,
  hasher: TreeHasher,
  opened: OpenedStatement,
  stored: WitnessRow | undefined,
  ownRoot?: OwnRoot,
): WitnessDecision {
  const { log, statement, logSignature } = opened;
  const row = stored ?? startRow(hasher, log.pin);
  if (row.restored !== null) return refuse(row, "witness_restored", "restored; show the last co-signature first");
  const message = witnessMessage(checkpointHash(sha256, statement));
  const last = row.statement?.statement;
  if (last !== undefined) {
    if (statementText(last) === statementText(statement)) return { outcome: "repeat", row, message };
    if (statement.seq === last.seq) return refuse(row, "log_conflict", `another checkpoint ${last.seq} was signed`);
    if (statement.seq < last.seq) return refuse(row, "witness_stale", `checkpoint ${last.seq} was signed already`);
    if (statement.seq === last.seq + 1 && statement.prev !== checkpointHashText(sha256, last)) {
      return refuse(row, "log_conflict", `checkpoint ${statement.seq} does not follow the ${last.seq} that was signed`);
    }
  }
  const refusal = judgeTree(hasher, row, opened.oldSize, statement, opened.proof, ownRoot);
  if (refusal !== undefined) return refusal;
  const next: WitnessRow = {
    ...row,
    revision: row.revision + 1,
    size: statement.size,
    root: statement.root,
    statement: { statement, logSignature },
  };
  return { outcome: "sign", row: next, message };
}

/** Path of a log's latest co-signed checkpoint below a witness's monitoring prefix. */
export function monitoringPath(sha256: Sha256, origin: string): string {
  return `${toHex(sha256(utf8(origin)))}/checkpoint`;
}

/** What is served there: log and witness signatures; `cosignature` is the line returned to the log. */
export function monitoredNote(note: WitnessedNote, cosignature: NoteSignature): string {
  return formatNote({ text: note.text, signatures: [...note.logSignatures, cosignature] });
}

/** Whether a tree head may follow the row; both encodings pass through here. */
function judgeTree(
  hasher: TreeHasher,
  row: WitnessRow,
  oldSize: number,
  head: { readonly size: number; readonly root: Uint8Array },
  proof: readonly Uint8Array[],
  ownRoot: OwnRoot | undefined,
): WitnessDecision | undefined {
  if (row.restored !== null) return refuse(row, "witness_restored", "restored; show the last co-signature first");
  if (oldSize > head.size) return refuse(row, "proof_index", "old size above the checkpoint's");
  if (oldSize !== row.size) return refuse(row, "witness_stale", `the last tree signed has ${row.size} leaves`);
  if (head.size === 0 && !equalBytes(head.root, hasher.emptyRoot)) {
    return refuse(row, "proof_mismatch", "not the root of the empty tree");
  }
  if (row.size === head.size || row.size === 0) {
    if (proof.length > 0) return refuse(row, "proof_shape", "a consistency proof where none is possible");
    if (row.size === head.size && !equalBytes(row.root, head.root)) {
      return refuse(row, "log_conflict", `another root of ${row.size} leaves was signed`);
    }
    return undefined;
  }
  if (proof.length === 0 && ownRoot !== undefined) {
    const [first, second] = [ownRoot(row.size), ownRoot(head.size)];
    if (first && second && equalBytes(first, row.root) && equalBytes(second, head.root)) return undefined;
  }
  try {
    const { size: first, root: firstRoot } = row;
    verifyConsistency(hasher, { first, second: head.size, firstRoot, secondRoot: head.root, proof });
    return undefined;
  } catch (caught) {
    const error = asSpineError(caught);
    return refuse(row, error.code, `consistency proof: ${error.message}`);
  }
}

function refuse(row: WitnessRow, code: ErrorCode, reason: string): WitnessDecision {
  return { outcome: "refuse", row, code, reason };
}
