/**
 * Witness requests and replies as bytes for any plane (rules 9): a statement with its log's signature, or the very bytes
 * of the public witness protocol. Bodies only; frames and their kinds stand in the wire codec.
 */
import { MAX_REQUEST_HASHES } from "./add-checkpoint.ts";
import { ByteReader, ByteWriter, utf8, utf8Text } from "./bytes.ts";
import { type CheckpointStatement, parseStatement, statementText, type WitnessLine } from "./checkpoint.ts";
import { asSpineError, ERRORS, type ErrorCode, SpineError } from "./errors.ts";
import { issuerOf, parseIssuer } from "./identity.ts";
import { TREE_HASH_BYTES } from "./merkle.ts";
import { MAX_NOTE_BYTES } from "./note.ts";

const VERSION = 1;
const MAX_STATEMENT_BYTES = 2_048;
const MAX_CODE_BYTES = 64;

export type WitnessRequest =
  | {
      readonly type: "statement";
      readonly statement: CheckpointStatement;
      /** 64 bytes by the log over the witness request message. */
      readonly logSignature: Uint8Array;
      /** Size the log believes the witness last signed. */
      readonly oldSize: number;
      readonly proof: readonly Uint8Array[];
    }
  /** An add-checkpoint body. */
  | { readonly type: "note"; readonly body: string };

export type WitnessReply =
  | { readonly type: "signed"; readonly line: WitnessLine }
  /** An add-checkpoint answer. */
  | { readonly type: "answer"; readonly status: number; readonly body: string }
  /** Where the witness stands, to retry from: leaves and checkpoint_seq (0: none). */
  | { readonly type: "refused"; readonly code: ErrorCode; readonly size: number; readonly seq: number };

export function encodeWitnessRequest(request: WitnessRequest): Uint8Array {
  const writer = new ByteWriter().u8(VERSION);
  if (request.type === "note") return writer.u8(2).block(utf8(request.body)).finish();
  writer
    .u8(1)
    .block(utf8(statementText(request.statement)))
    .bytes(request.logSignature);
  writer.varint(request.oldSize).u8(request.proof.length);
  for (const hash of request.proof) writer.bytes(hash);
  return writer.finish();
}

/** Throws `frame_syntax` for anything that is not exactly one request. */
export function decodeWitnessRequest(bytes: Uint8Array): WitnessRequest {
  return decode(bytes, (reader, kind) => {
    if (kind === 2) return { type: "note", body: utf8Text(reader.block(2 * MAX_NOTE_BYTES)) };
    if (kind !== 1) throw new SpineError("frame_syntax", `witness request of kind ${kind}`);
    const text = utf8Text(reader.block(MAX_STATEMENT_BYTES));
    const statement = parseStatement(text);
    if (statementText(statement) !== text) throw new SpineError("frame_syntax", "statement is not canonical");
    const logSignature = reader.bytes(64);
    const oldSize = reader.varint();
    const count = reader.u8();
    if (count > MAX_REQUEST_HASHES) throw new SpineError("frame_syntax", `${count} proof hashes`);
    const proof = Array.from({ length: count }, () => reader.bytes(TREE_HASH_BYTES));
    return { type: "statement", statement, logSignature, oldSize, proof };
  });
}

export function encodeWitnessReply(reply: WitnessReply): Uint8Array {
  const writer = new ByteWriter().u8(VERSION);
  if (reply.type === "signed")
    return writer.u8(1).bytes(parseIssuer(reply.line.witness)).bytes(reply.line.signature).finish();
  if (reply.type === "answer") return writer.u8(2).u16(reply.status).block(utf8(reply.body)).finish();
  return writer.u8(3).block(utf8(reply.code)).varint(reply.size).varint(reply.seq).finish();
}

/** Throws `frame_syntax` for anything that is not exactly one reply. */
export function decodeWitnessReply(bytes: Uint8Array): WitnessReply {
  return decode(bytes, (reader, kind) => {
    if (kind === 1)
      return { type: "signed", line: { witness: issuerOf(reader.bytes(32)), signature: reader.bytes(64) } };
    if (kind === 2) return { type: "answer", status: reader.u16(), body: utf8Text(reader.block(MAX_NOTE_BYTES)) };
    if (kind !== 3) throw new SpineError("frame_syntax", `witness reply of kind ${kind}`);
    const code = utf8Text(reader.block(MAX_CODE_BYTES));
    if (!Object.hasOwn(ERRORS, code)) throw new SpineError("frame_syntax", "unknown code");
    return { type: "refused", code: code as ErrorCode, size: reader.varint(), seq: reader.varint() };
  });
}

/** One of a witness's own co-signatures, shown to it after a restore. */
export type CosignatureShown =
  | {
      readonly type: "statement";
      readonly statement: CheckpointStatement;
      /** By the log over the witness request message, and by the witness over the statement: 64 bytes each. */
      readonly logSignature: Uint8Array;
      readonly signature: Uint8Array;
    }
  /** A note with the log's and the witness's lines. */
  | { readonly type: "note"; readonly note: string };

export function encodeCosignatureShown(shown: CosignatureShown): Uint8Array {
  const writer = new ByteWriter().u8(VERSION);
  if (shown.type === "note") return writer.u8(2).block(utf8(shown.note)).finish();
  return writer
    .u8(1)
    .block(utf8(statementText(shown.statement)))
    .bytes(shown.logSignature)
    .bytes(shown.signature)
    .finish();
}

/** Throws `frame_syntax` for anything that is not exactly one co-signature. */
export function decodeCosignatureShown(bytes: Uint8Array): CosignatureShown {
  return decode(bytes, (reader, kind) => {
    if (kind === 2) return { type: "note", note: utf8Text(reader.block(MAX_NOTE_BYTES)) };
    if (kind !== 1) throw new SpineError("frame_syntax", `shown co-signature of kind ${kind}`);
    const text = utf8Text(reader.block(MAX_STATEMENT_BYTES));
    const statement = parseStatement(text);
    if (statementText(statement) !== text) throw new SpineError("frame_syntax", "statement is not canonical");
    return { type: "statement", statement, logSignature: reader.bytes(64), signature: reader.bytes(64) };
  });
}

function decode<T>(bytes: Uint8Array, body: (reader: ByteReader, kind: number) => T): T {
  try {
    const reader = new ByteReader(bytes);
    const version = reader.u8();
    if (version !== VERSION) throw new SpineError("frame_syntax", `witness message version ${version}`);
    const value = body(reader, reader.u8());
    reader.end();
    return value;
  } catch (caught) {
    const error = asSpineError(caught);
    if (error.code === "internal" || error.code === "frame_syntax") throw error;
    throw new SpineError("frame_syntax", error.message, { cause: error });
  }
}
