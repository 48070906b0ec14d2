/** Signed head announcements: an issuer's statement of the hash at its newest seq (spec/spine.md section 8.1, rules 4). */
import { type ByteReader, type ByteWriter, fromHex, toHex, utf8 } from "./bytes.ts";
import { SpineError } from "./errors.ts";
import { isEnvelopeHash, issuerOf, keyBytesOf, parseIssuer, parseSignature, signatureText } from "./identity.ts";
import { isJsonObject, type Json, type JsonObject, parseJson } from "./lossless.ts";
import type { Claim, EnvelopeHash, Issuer } from "./ports.ts";
import { HEAD_SCHEMA } from "./tags.ts";
import { formatTime, MAX_TIME_SECONDS, parseTime } from "./time.ts";

export interface Head {
  readonly issuer: Issuer;
  readonly seq: number;
  readonly hash: EnvelopeHash;
  /** Whole seconds since the Unix epoch; the wire spells it `YYYY-MM-DDThh:mm:ssZ`. */
  readonly sentAt: number;
  /** 64 bytes over the canonical JSON of the announcement without `signature`. */
  readonly signature: Uint8Array;
}

/** A head that only lacks its signature over `signingBytes`. */
export interface HeadDraft extends Omit<Head, "signature"> {
  readonly signingBytes: Uint8Array;
}

/** Longest JSON text of a head that is parsed, bytes or characters; the canonical one has at most 400. */
export const MAX_HEAD_INPUT = 4096;

const FIELDS: readonly string[] = ["head_hash", "issuer", "schema", "sent_at", "seq", "signature"];

function unsignedText(head: Omit<Head, "signature">): string {
  return (
    `{"head_hash":"${head.hash}","issuer":"${head.issuer}","schema":"${HEAD_SCHEMA}",` +
    `"sent_at":"${formatTime(head.sentAt)}","seq":${head.seq}`
  );
}

/** What the issuer signs. */
export function headSigningBytes(head: Omit<Head, "signature">): Uint8Array {
  return utf8(`${unsignedText(head)}}`);
}

/** Canonical JSON of the announcement: its one spelling in gossip, and what the parent implementation expects. */
export function headText(head: Head): string {
  return `${unsignedText(head)},"signature":"${signatureText(head.signature)}"}`;
}

function checkHead(head: Omit<Head, "signature">): void {
  keyBytesOf(head.issuer);
  if (!isEnvelopeHash(head.hash))
    throw new SpineError("head_field", "head_hash is not 0x and 64 lower-case hex digits");
  if (!Number.isSafeInteger(head.seq) || head.seq < 0) throw new SpineError("head_field", `seq ${head.seq}`);
  if (!Number.isInteger(head.sentAt) || head.sentAt < 0 || head.sentAt > MAX_TIME_SECONDS)
    throw new SpineError("head_field", `sent_at ${head.sentAt} is no time between 1970 and 9999`);
}

/** Throws `head_field`, `issuer_syntax` or `public_key_invalid`. */
export function draftHead(head: Omit<Head, "signature">): HeadDraft {
  checkHead(head);
  const { issuer, seq, hash, sentAt } = head;
  return { issuer, seq, hash, sentAt, signingBytes: headSigningBytes(head) };
}

/** Adds the signature (64 bytes, else `signature_syntax`). Does not verify it. */
export function sealHead(draft: HeadDraft, signature: Uint8Array): Head {
  if (signature.length !== 64)
    throw new SpineError("signature_syntax", `signature of ${signature.length} bytes, expected 64`);
  return { issuer: draft.issuer, seq: draft.seq, hash: draft.hash, sentAt: draft.sentAt, signature };
}

function stringField(object: JsonObject, key: string): string {
  const value: Json | undefined = object[key];
  if (typeof value !== "string")
    throw new SpineError("head_field", `${key} is ${value === undefined ? "missing" : "not a string"}`);
  return value;
}

/** As `openHead`, for a value that was parsed already. */
export function openHeadValue(value: Json): Head {
  if (!isJsonObject(value)) throw new SpineError("head_field", "a head announcement is a JSON object");
  const unknown: string | undefined = Object.keys(value).find((key) => !FIELDS.includes(key));
  if (unknown !== undefined)
    throw new SpineError("head_field", `unknown field ${JSON.stringify(unknown.slice(0, 100))}`);
  if (stringField(value, "schema") !== HEAD_SCHEMA) throw new SpineError("head_field", `schema is not ${HEAD_SCHEMA}`);
  const seq: Json | undefined = value["seq"];
  if (typeof seq !== "number") throw new SpineError("head_field", "seq is not an integer up to 2^53 − 1");
  const sentAtText: string = stringField(value, "sent_at");
  const sentAt = (parseTime(sentAtText) ?? Number.NaN) / 1000;
  const head = { issuer: stringField(value, "issuer"), seq, hash: stringField(value, "head_hash"), sentAt };
  checkHead(head);
  if (formatTime(sentAt) !== sentAtText)
    throw new SpineError("head_field", "sent_at is not of the form YYYY-MM-DDThh:mm:ssZ");
  return { ...head, signature: parseSignature(stringField(value, "signature")) };
}

/**
 * Reads the JSON of an announcement in any spacing and order. Since the binary form carries only the five fields, all
 * else must have its one spelling: no unknown field, `sent_at` in whole seconds with `Z`, lower-case hex (but the
 * signature's). Throws the json codes, `head_field`, `issuer_syntax`, `public_key_invalid` or `signature_syntax`.
 * Does not verify the signature.
 */
export function openHead(input: string | Uint8Array): Head {
  if (input.length > MAX_HEAD_INPUT)
    throw new SpineError("head_field", `text of ${input.length} bytes, limit ${MAX_HEAD_INPUT}`);
  return openHeadValue(parseJson(input));
}

/** What a `Verifier` checks for this head. */
export function headClaim(head: Head): Claim {
  return { key: parseIssuer(head.issuer), message: headSigningBytes(head), signature: head.signature };
}

/** Compact form: key 32, seq varint, hash 32, sent_at varint, signature 64; 138 bytes at most. */
export function writeHead(writer: ByteWriter, head: Head): void {
  writer
    .bytes(keyBytesOf(head.issuer))
    .varint(head.seq)
    .bytes(fromHex(head.hash.slice(2), 32));
  writer.varint(head.sentAt).bytes(head.signature);
}

/** Throws `frame_syntax`, `head_field` or `public_key_invalid`. The signature is a copy, so the frame may be reused. */
export function readHead(reader: ByteReader): Head {
  const issuer: Issuer = issuerOf(reader.bytes(32));
  const seq = reader.varint();
  const hash: EnvelopeHash = `0x${toHex(reader.bytes(32))}`;
  const sentAt = reader.varint();
  const head = { issuer, seq, hash, sentAt };
  checkHead(head);
  return { ...head, signature: new Uint8Array(reader.bytes(64)) };
}
