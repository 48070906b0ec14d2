/**
 * Messages between logs, witnesses and followers of logs, carried in `attest` frames on any plane: witness requests and
 * replies, newest heads of followed logs, the evidence asked for when two views differ, split-view and inclusion proofs.
 */
import { ByteReader, ByteWriter, fromHex, toHex, utf8, utf8Text } from "./bytes.ts";
import { MAX_ENVELOPE_BYTES } from "./envelope.ts";
import { SpineError } from "./errors.ts";
import { issuerOf, parseIssuer } from "./identity.ts";
import { TREE_HASH_BYTES } from "./merkle.ts";
import { MAX_NOTE_BYTES } from "./note.ts";
import type { EnvelopeHash, Issuer } from "./ports.ts";

/** Most logs in one list of heads. */
export const MAX_LOG_HEADS = 256;

/** Most proofs in one message, and asked for in one. */
export const MAX_PROOFS = 16;
/** A tree of more leaves than there are seqs. */
const MAX_PATH = 53;

/** Where an envelope stands in a log, under one of its checkpoints. */
export interface LeafProof {
  readonly hash: EnvelopeHash;
  readonly index: number;
  /** Sibling hashes of 32 bytes, from the leaf to the root. */
  readonly path: readonly Uint8Array[];
}

/** Newest checkpoint of a log as its sender holds it: a claim of 72 bytes at most. */
export interface LogHeadClaim {
  readonly logId: Issuer;
  /** checkpoint_seq. */
  readonly seq: number;
  /** `0x` hash of the checkpoint's envelope. */
  readonly hash: string;
}

export type AttestMessage =
  /** `body` is a witness request (`witness-frame.ts`); `request` the asker's own number. */
  | { readonly type: "witness-request"; readonly request: number; readonly body: Uint8Array }
  | { readonly type: "witness-reply"; readonly request: number; readonly body: Uint8Array }
  | { readonly type: "log-heads"; readonly heads: readonly LogHeadClaim[] }
  /** Asks for the checkpoint envelope with this seq. */
  | { readonly type: "ask-checkpoint"; readonly logId: Issuer; readonly seq: number }
  /** A whole checkpoint envelope, canonical JSON. */
  | { readonly type: "checkpoint"; readonly text: string }
  /** To a witness that was restored: its own last co-signatures (`witness-frame.ts`), answered by a reply. */
  | { readonly type: "show-cosignature"; readonly request: number; readonly body: Uint8Array }
  /** `split-view.ts`. */
  | { readonly type: "split-view"; readonly proof: Uint8Array }
  /** Asks for inclusion proofs under the checkpoint with this seq, which the asker holds. */
  | {
      readonly type: "ask-proofs";
      readonly logId: Issuer;
      readonly seq: number;
      readonly hashes: readonly EnvelopeHash[];
    }
  /** Those that the sender can give, under a checkpoint that may be another than asked for. */
  | { readonly type: "proofs"; readonly logId: Issuer; readonly seq: number; readonly proofs: readonly LeafProof[] };

const TYPES: readonly AttestMessage["type"][] = [
  "witness-request",
  "witness-reply",
  "log-heads",
  "ask-checkpoint",
  "checkpoint",
  "split-view",
  "show-cosignature",
  "ask-proofs",
  "proofs",
];
/** A request carries a note and a consistency proof. */
const MAX_BODY_BYTES = 2 * MAX_NOTE_BYTES;

export function encodeAttestMessage(message: AttestMessage): Uint8Array {
  const writer = new ByteWriter().u8(TYPES.indexOf(message.type) + 1);
  switch (message.type) {
    case "witness-request":
    case "witness-reply":
    case "show-cosignature":
      return writer.varint(message.request).block(message.body).finish();
    case "log-heads":
      writer.varint(message.heads.length);
      for (const { logId, seq, hash } of message.heads) {
        writer
          .bytes(parseIssuer(logId))
          .varint(seq)
          .bytes(fromHex(hash.slice(2), 32));
      }
      return writer.finish();
    case "ask-checkpoint":
      return writer.bytes(parseIssuer(message.logId)).varint(message.seq).finish();
    case "checkpoint":
      return writer.block(utf8(message.text)).finish();
    case "split-view":
      return writer.block(message.proof).finish();
    case "ask-proofs":
      writer.bytes(parseIssuer(message.logId)).varint(message.seq).u8(message.hashes.length);
      for (const hash of message.hashes) writer.bytes(fromHex(hash.slice(2), 32));
      return writer.finish();
    case "proofs":
      writer.bytes(parseIssuer(message.logId)).varint(message.seq).u8(message.proofs.length);
      for (const { hash, index, path } of message.proofs) {
        writer
          .bytes(fromHex(hash.slice(2), 32))
          .varint(index)
          .u8(path.length);
        for (const sibling of path) writer.bytes(sibling);
      }
      return writer.finish();
  }
}

/** Throws `frame_syntax`, or the byte reader's codes with blame on the sender. */
export function decodeAttestMessage(bytes: Uint8Array): AttestMessage {
  const reader = new ByteReader(bytes);
  const message = readBody(TYPES[reader.u8() - 1], reader);
  reader.end();
  return message;
}

function readBody(type: AttestMessage["type"] | undefined, reader: ByteReader): AttestMessage {
  switch (type) {
    case "witness-request":
    case "witness-reply":
    case "show-cosignature":
      return { type, request: reader.varint(), body: reader.block(MAX_BODY_BYTES) };
    case "log-heads": {
      const count = reader.varint();
      if (count > MAX_LOG_HEADS) throw new SpineError("frame_syntax", `${count} log heads`);
      const heads = Array.from({ length: count }, () => readHead(reader));
      return { type, heads };
    }
    case "ask-checkpoint":
      return { type, logId: issuerOf(reader.bytes(32)), seq: reader.varint() };
    case "checkpoint":
      return { type, text: utf8Text(reader.block(MAX_ENVELOPE_BYTES)) };
    case "split-view":
      return { type, proof: reader.block(2 * MAX_ENVELOPE_BYTES + 64) };
    case "ask-proofs": {
      const [logId, seq] = [issuerOf(reader.bytes(32)), reader.varint()];
      return { type, logId, seq, hashes: readList(reader, MAX_PROOFS, "hashes", () => readHash(reader)) };
    }
    case "proofs": {
      const [logId, seq] = [issuerOf(reader.bytes(32)), reader.varint()];
      return { type, logId, seq, proofs: readList(reader, MAX_PROOFS, "proofs", () => readProof(reader)) };
    }
    default:
      throw new SpineError("frame_syntax", "unknown log message");
  }
}

function readList<T>(reader: ByteReader, most: number, what: string, read: () => T): T[] {
  const count = reader.u8();
  if (count > most) throw new SpineError("frame_syntax", `${count} ${what}`);
  return Array.from({ length: count }, read);
}

const readHash = (reader: ByteReader): EnvelopeHash => `0x${toHex(reader.bytes(32))}`;

function readProof(reader: ByteReader): LeafProof {
  const [hash, index] = [readHash(reader), reader.varint()];
  return { hash, index, path: readList(reader, MAX_PATH, "hashes of a path", () => reader.bytes(TREE_HASH_BYTES)) };
}

function readHead(reader: ByteReader): LogHeadClaim {
  return { logId: issuerOf(reader.bytes(32)), seq: reader.varint(), hash: readHash(reader) };
}
