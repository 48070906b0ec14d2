/**
 * The compact codec: an envelope or a head in as few bytes as a radio deserves, expanding to the same canonical JSON
 * and hash. What the receiver is known to hold (the issuer, the envelope before) may be left out. Layout: WIRE.md;
 * rules 1 and 10. Called by planes of narrow links and by `spine envelope encode|decode`.
 */
import { ByteReader, ByteWriter, compareBytes, equalBytes, fromHex, toHex, utf8 } from "./bytes.ts";
import { canonicalText } from "./canonical.ts";
import { ValueReader, type ValueScope, writeValue } from "./compact-value.ts";
import { type Envelope, MAX_ENVELOPE_BYTES } from "./envelope.ts";
import { SpineError } from "./errors.ts";
import { draftHead, type Head, sealHead } from "./head.ts";
import { issuerOf, parseIssuer } from "./identity.ts";
import { type Json, type JsonObject, parseJson } from "./lossless.ts";
import { openSigningBytes } from "./open.ts";
import type { EnvelopeHash, Issuer, Sha256Hex } from "./ports.ts";
import { ENVELOPE_SCHEMA } from "./tags.ts";
import { formatTime, parseTime } from "./time.ts";

/** First byte of a compact envelope and of a compact head: no UTF-8 text begins with them. */
export const COMPACT_ENVELOPE = 0xc1;
export const COMPACT_HEAD = 0xc0;

/** How the issuer is named: in full, by whom the link or destination belongs to, or by the first bytes of its key. */
export type IssuerReference = "full" | "link" | "prefix";

/** What the receiver is known to have. */
export interface CompactReferences {
  readonly issuer: IssuerReference;
  /** The receiver holds the envelope before this one. */
  readonly previous: boolean;
}

/** Nothing is known of the receiver. */
export const COLD: CompactReferences = { issuer: "full", previous: false };

/** How a receiver resolves what was left out. */
export interface CompactContext {
  /** Whose link or destination this came from, by a verified binding. */
  readonly linkIssuer?: Issuer | undefined;
  /** The one known issuer whose key begins so; undefined if there is none or more than one. */
  readonly issuerByPrefix?: (prefix: Uint8Array) => Issuer | undefined;
  readonly hashAt?: (issuer: Issuer, seq: number) => EnvelopeHash | undefined;
}

/** Bytes of a key that name a known issuer. */
export const ISSUER_PREFIX_BYTES = 4;

const ISSUER_FORMS: readonly IssuerReference[] = ["full", "link", "prefix"];
const PREV_NULL = 0;
const PREV_FULL = 1;
const PREV_KNOWN = 2;
const TOKEN_NULL = 0;
const TOKEN_ABSENT = 1;
const TOKEN_PRESENT = 2;
const TIME_IN_SECONDS = 0x40;
const MAX_U32 = 0xffff_ffff;
const SIGNED_KEYS = ["capability_token", "fact", "issued_at", "issuer", "prev_envelope_hash", "schema", "seq"];

/** Seconds since the Unix epoch if `text` is a time in whole seconds, UTC, that four bytes hold. */
function wholeSeconds(text: string): number | undefined {
  const millis: number | undefined = parseTime(text);
  if (millis === undefined || millis < 0 || millis % 1000 !== 0 || millis / 1000 > MAX_U32) return undefined;
  return formatTime(millis / 1000) === text ? millis / 1000 : undefined;
}

function writeIssuer(writer: ByteWriter, issuer: Issuer, form: IssuerReference): void {
  const key: Uint8Array = parseIssuer(issuer);
  if (form === "full") writer.bytes(key);
  else if (form === "prefix") writer.bytes(key.subarray(0, ISSUER_PREFIX_BYTES));
}

function readIssuer(reader: ByteReader, form: IssuerReference, context: CompactContext): Issuer {
  if (form === "full") return issuerOf(reader.bytes(32));
  const prefix: Uint8Array | undefined = form === "prefix" ? reader.bytes(ISSUER_PREFIX_BYTES) : undefined;
  const issuer: Issuer | undefined = prefix === undefined ? context.linkIssuer : context.issuerByPrefix?.(prefix);
  if (issuer === undefined) throw new SpineError("compact_reference", `issuer by ${form} is not known here`);
  if (prefix !== undefined && compareBytes(parseIssuer(issuer).subarray(0, ISSUER_PREFIX_BYTES), prefix) !== 0)
    throw new SpineError("internal", "the issuer found does not have the prefix asked for");
  return issuer;
}

/**
 * The compact form, or undefined when the envelope has something this codec does not carry (unknown top-level fields,
 * upper-case hex, another spelling): then its JSON is sent.
 */
export function encodeCompact(envelope: Envelope, references: CompactReferences = COLD): Uint8Array | undefined {
  const value = parseJson(envelope.signingBytes) as JsonObject;
  if (Object.keys(value).some((key) => !SIGNED_KEYS.includes(key))) return undefined;
  if (value["issuer"] !== envelope.issuer || !equalBytes(utf8(canonicalText(value)), envelope.signingBytes)) {
    return undefined;
  }
  const token: Json | undefined = value["capability_token"];
  const tokenForm = token === undefined ? TOKEN_ABSENT : token === null ? TOKEN_NULL : TOKEN_PRESENT;
  const prevForm = envelope.prev === null ? PREV_NULL : references.previous ? PREV_KNOWN : PREV_FULL;
  const issuedAt: number | undefined = wholeSeconds(envelope.issuedAt);
  const scope: ValueScope = { issuer: envelope.issuer, issuedAt };
  const writer = new ByteWriter(512).u8(COMPACT_ENVELOPE);
  const time = issuedAt === undefined ? 0 : TIME_IN_SECONDS;
  writer.u8(ISSUER_FORMS.indexOf(references.issuer) | (prevForm << 2) | (tokenForm << 4) | time);
  writeIssuer(writer, envelope.issuer, references.issuer);
  writer.varint(envelope.seq);
  if (prevForm === PREV_FULL) writer.bytes(fromHex((envelope.prev as string).slice(2), 32));
  if (issuedAt === undefined) writer.block(utf8(envelope.issuedAt));
  else writer.u32(issuedAt);
  if (tokenForm === TOKEN_PRESENT) writeValue(writer, token as Json, scope);
  writeValue(writer, value["fact"] as Json, scope);
  const bytes: Uint8Array = writer.bytes(envelope.signature).finish();
  return bytes.length <= MAX_ENVELOPE_BYTES ? bytes : undefined;
}

/**
 * Expands a compact envelope; its hash is recomputed, its signature left to a `Verifier`. Throws `compact_reference`
 * when something left out is not known here (ask for the full form; nobody is to blame), `frame_syntax` for any
 * spelling but the one `encodeCompact` has, and what `openSigningBytes` throws.
 */
export function decodeCompact(bytes: Uint8Array, context: CompactContext, sha256Hex: Sha256Hex): Envelope {
  if (bytes.length > MAX_ENVELOPE_BYTES)
    throw new SpineError("frame_size", `compact envelope of ${bytes.length} bytes`);
  const reader = new ByteReader(bytes);
  if (reader.u8() !== COMPACT_ENVELOPE) throw new SpineError("frame_syntax", "not a compact envelope");
  const flags = reader.u8();
  const form: IssuerReference | undefined = ISSUER_FORMS[flags & 3];
  const [prevForm, tokenForm] = [(flags >> 2) & 3, (flags >> 4) & 3];
  if (form === undefined || prevForm > PREV_KNOWN || tokenForm > TOKEN_PRESENT || flags >= 0x80)
    throw new SpineError("frame_syntax", `compact flags ${flags}`);
  const issuer: Issuer = readIssuer(reader, form, context);
  const seq = reader.varint();
  let prev: EnvelopeHash | null | undefined = null;
  if (prevForm === PREV_FULL) prev = `0x${toHex(reader.bytes(32))}`;
  else if (prevForm === PREV_KNOWN) prev = context.hashAt?.(issuer, seq - 1);
  if (prev === undefined) throw new SpineError("compact_reference", `${issuer} seq ${seq - 1} is not held here`);
  const issuedAtText: string = (flags & TIME_IN_SECONDS) === 0 ? readText(reader.block(64)) : formatTime(reader.u32());
  const scope: ValueScope = { issuer, issuedAt: wholeSeconds(issuedAtText) };
  const values = new ValueReader(reader, scope);
  const token: Json | undefined =
    tokenForm === TOKEN_PRESENT ? values.read() : tokenForm === TOKEN_NULL ? null : undefined;
  const fact: Json = values.read();
  const signature = new Uint8Array(reader.bytes(64));
  reader.end();
  const value: Record<string, Json> = {
    fact,
    issued_at: issuedAtText,
    issuer,
    prev_envelope_hash: prev,
    schema: ENVELOPE_SCHEMA,
    seq,
  };
  if (token !== undefined) value["capability_token"] = token;
  const envelope: Envelope = openSigningBytes(utf8(canonicalText(value)), signature, sha256Hex);
  const again: Uint8Array | undefined = encodeCompact(envelope, { issuer: form, previous: prevForm === PREV_KNOWN });
  if (again === undefined || !equalBytes(again, bytes))
    throw new SpineError("frame_syntax", "not the one compact spelling of this envelope");
  return envelope;
}

function readText(bytes: Uint8Array): string {
  let text = "";
  for (const byte of bytes) {
    if (byte < 0x20 || byte > 0x7e) throw new SpineError("frame_syntax", "a time that is not plain text");
    text += String.fromCharCode(byte);
  }
  return text;
}

/** A head: 101 to 109 bytes by link, 32 more in full. */
export function encodeCompactHead(head: Head, issuer: IssuerReference = "full"): Uint8Array {
  const writer = new ByteWriter(160).u8(COMPACT_HEAD).u8(ISSUER_FORMS.indexOf(issuer));
  writeIssuer(writer, head.issuer, issuer);
  writer
    .varint(head.seq)
    .bytes(fromHex(head.hash.slice(2), 32))
    .varint(head.sentAt);
  return writer.bytes(head.signature).finish();
}

/** Throws `frame_syntax`, `compact_reference`, `head_field` or `public_key_invalid`. Does not verify the signature. */
export function decodeCompactHead(bytes: Uint8Array, context: CompactContext): Head {
  const reader = new ByteReader(bytes);
  if (reader.u8() !== COMPACT_HEAD) throw new SpineError("frame_syntax", "not a compact head");
  const form: IssuerReference | undefined = ISSUER_FORMS[reader.u8()];
  if (form === undefined) throw new SpineError("frame_syntax", "a compact head with unknown flags");
  const issuer: Issuer = readIssuer(reader, form, context);
  const seq = reader.varint();
  const hash: EnvelopeHash = `0x${toHex(reader.bytes(32))}`;
  const draft = draftHead({ issuer, seq, hash, sentAt: reader.varint() });
  const signature = new Uint8Array(reader.bytes(64));
  reader.end();
  return sealHead(draft, signature);
}
