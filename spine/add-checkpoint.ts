/**
 * The public witness protocol's messages (c2sp.org/tlog-witness): `add-checkpoint` requests and answers, read and written
 * by witness and client alike. Bytes only; HTTP lives in the daemon.
 */
import { fromBase64, toBase64 } from "./base64.ts";
import { type ErrorCode, SpineError } from "./errors.ts";
import { TREE_HASH_BYTES } from "./merkle.ts";
import { formatSignatureLine, MAX_NOTE_BYTES, type NoteSignature, parseSignatureLines, splitNote } from "./note.ts";
import { parseDecimal, parseTreeHead, type TreeHead } from "./tree-head.ts";

/** Most hashes in a request's consistency proof. */
export const MAX_REQUEST_HASHES = 63;
/** Longest checkpoint text taken; a witness keeps the last one of each log. Characters. */
export const MAX_CHECKPOINT_TEXT = 8_192;
/** Content type of a 409 answer's body. */
export const TLOG_SIZE_TYPE = "text/x.tlog.size";

export interface AddCheckpointRequest {
  /** Size the log believes the witness last signed. */
  readonly oldSize: number;
  readonly proof: readonly Uint8Array[];
  readonly head: TreeHead;
  /** The checkpoint's note text, as signed. */
  readonly text: string;
  /** Its signature lines, unparsed: a malformed one is a wrong signature (403), not a wrong request. */
  readonly signatureBlock: string;
}

export function formatAddCheckpoint(oldSize: number, proof: readonly Uint8Array[], note: string): string {
  return `old ${oldSize}\n${proof.map((hash) => `${toBase64(hash)}\n`).join("")}\n${note}`;
}

/** Throws `note_syntax` or `tree_head_invalid` (status 400). */
export function parseAddCheckpoint(body: string): AddCheckpointRequest {
  const limit = MAX_NOTE_BYTES + MAX_REQUEST_HASHES * 45 + 32;
  const end = body.indexOf("\n\n");
  if (body.length > limit || end < 0) throw new SpineError("note_syntax", "no empty line before the checkpoint");
  const [first, ...hashes] = body.slice(0, end).split("\n");
  if (!first?.startsWith("old ")) throw new SpineError("note_syntax", "the request does not begin with `old`");
  if (hashes.length > MAX_REQUEST_HASHES) throw new SpineError("note_syntax", `${hashes.length} proof hashes`);
  const proof = hashes.map((line) => {
    const hash = fromBase64(line);
    if (hash?.length !== TREE_HASH_BYTES) throw new SpineError("note_syntax", "a proof line is not base64 of 32 bytes");
    return hash;
  });
  const { text, block } = splitNote(body.slice(end + 2));
  if (text.length > MAX_CHECKPOINT_TEXT) throw new SpineError("note_syntax", `checkpoint text of ${text.length}`);
  const oldSize = parseDecimal(first.slice(4), "tree_head_invalid");
  return { oldSize, proof, head: parseTreeHead(text), text, signatureBlock: block };
}

export interface WitnessAnswer {
  readonly status: number;
  readonly contentType: string;
  readonly body: string;
}

const STATUS: Partial<Readonly<Record<ErrorCode, number>>> = {
  note_syntax: 400,
  tree_head_invalid: 400,
  proof_index: 400,
  note_unsigned: 403,
  note_signature: 403,
  log_not_allowed: 404,
  witness_stale: 409,
  proof_shape: 422,
  proof_mismatch: 422,
  log_conflict: 422,
  rate_limited: 429,
  witness_restored: 503,
};

/** `size` is the witness's own latest, which a client that is behind (`witness_stale`) needs. */
export function refusalAnswer(code: ErrorCode, reason: string, size: number): WitnessAnswer {
  const status = STATUS[code] ?? 500;
  if (status === 409) return { status, contentType: TLOG_SIZE_TYPE, body: `${size}\n` };
  return { status, contentType: "text/plain; charset=utf-8", body: `${reason}\n` };
}

export function cosignedAnswer(lines: readonly NoteSignature[]): WitnessAnswer {
  return { status: 200, contentType: "text/plain; charset=utf-8", body: lines.map(formatSignatureLine).join("") };
}

/** What a client learns: co-signature lines to check, the size to retry from, or a refusal to report. */
export type AddCheckpointOutcome =
  | { readonly type: "cosigned"; readonly lines: readonly NoteSignature[] }
  | { readonly type: "retry"; readonly size: number }
  | { readonly type: "refused"; readonly status: number };

/** Throws `note_syntax` or `tree_head_invalid` when the witness's answer is not one. */
export function parseWitnessAnswer(status: number, body: string): AddCheckpointOutcome {
  if (status === 200) return { type: "cosigned", lines: parseSignatureLines(body) };
  if (status !== 409) return { type: "refused", status };
  if (!body.endsWith("\n")) throw new SpineError("tree_head_invalid", "a size ends in a line feed");
  return { type: "retry", size: parseDecimal(body.slice(0, -1), "tree_head_invalid") };
}
