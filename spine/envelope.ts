/** Envelopes: draft → seal → open. Wire format: spec/spine.md section 4; limits and one spelling: rules 1. */
import { concatBytes, utf8, utf8Text } from "./bytes.ts";
import { assertPortable, canonicalText } from "./canonical.ts";
import { SpineError } from "./errors.ts";
import { isEnvelopeHash, isIssuer, parseIssuer, signatureText } from "./identity.ts";
import { isJsonObject, type Json, type JsonObject, parseJson } from "./lossless.ts";
import type { Claim, EnvelopeHash, Issuer, Millis, Sha256Hex } from "./ports.ts";
import { ENVELOPE_SCHEMA } from "./tags.ts";
import { parseTime } from "./time.ts";

/** Largest canonical JSON text of a whole envelope, bytes. */
export const MAX_ENVELOPE_BYTES = 65_536;

/**
 * An envelope whose every field was checked and whose hash was recomputed. Whether its *signature* was verified is
 * said by whoever holds it (`EnvelopeState`), never by this type.
 */
export interface Envelope {
  /** Lower case, even when the signing bytes spell it otherwise. */
  readonly issuer: Issuer;
  /** 0 to 2^53 − 1. */
  readonly seq: number;
  readonly prev: EnvelopeHash | null;
  /** As signed: RFC 3339. */
  readonly issuedAt: string;
  readonly issuedAtMs: Millis;
  /** `fact.schema`, or "" when the fact names none. */
  readonly factSchema: string;
  readonly hash: EnvelopeHash;
  /** Canonical JSON of the envelope without its top-level `envelope_hash` and `signature`. */
  readonly signingBytes: Uint8Array;
  /** 64 bytes. */
  readonly signature: Uint8Array;
}

/** An envelope that only lacks its signature over `signingBytes`. */
export type Draft = Omit<Envelope, "signature">;

export interface DraftInput {
  readonly issuer: Issuer;
  /** 1 to 2^53 − 1. */
  readonly seq: number;
  /** Null exactly when `seq` is 1. */
  readonly prev: EnvelopeHash | null;
  /** RFC 3339. */
  readonly issuedAt: string;
  /** A plain object with a non-empty `schema` string. */
  readonly fact: JsonObject;
  readonly capabilityToken?: JsonObject | null;
}

/** `"envelope_hash":"0x…",` and `,"signature":"0x…"`. */
const HASH_AND_SIGNATURE_BYTES = 85 + 145;

/** Length of the canonical JSON of the whole envelope. */
export function envelopeSizeBytes(signingBytes: Uint8Array): number {
  return signingBytes.length + HASH_AND_SIGNATURE_BYTES;
}

/** Throws `envelope_size` when the whole envelope would exceed MAX_ENVELOPE_BYTES. */
export function checkEnvelopeSize(signingBytes: Uint8Array): void {
  const size = envelopeSizeBytes(signingBytes);
  if (size > MAX_ENVELOPE_BYTES)
    throw new SpineError("envelope_size", `envelope of ${size} bytes, limit ${MAX_ENVELOPE_BYTES}`);
}

/**
 * Lays out what the issuer signs. Throws `not_portable`, `fact_invalid`, `envelope_size`, `envelope_time`,
 * `envelope_field`, `issuer_syntax`, `seq_range` or `chain_head_invalid`.
 */
export function draftEnvelope(input: DraftInput, sha256Hex: Sha256Hex): Draft {
  const { issuer, seq, prev, issuedAt, fact } = input;
  const token: JsonObject | null = input.capabilityToken ?? null;
  if (!isIssuer(issuer)) throw new SpineError("issuer_syntax", `not an issuer id: ${String(issuer).slice(0, 100)}`);
  if (!Number.isSafeInteger(seq) || seq < 1) throw new SpineError("seq_range", `seq ${seq}`);
  if (prev !== null && !isEnvelopeHash(prev)) throw new SpineError("envelope_field", "prev is neither null nor a hash");
  if ((seq === 1) !== (prev === null))
    throw new SpineError("chain_head_invalid", `seq ${seq} ${prev === null ? "needs" : "must not have"} a prev hash`);
  const issuedAtMs: Millis | undefined = parseTime(issuedAt);
  if (issuedAtMs === undefined) throw new SpineError("envelope_time", `issued_at ${JSON.stringify(issuedAt)}`);
  if (!isJsonObject(fact)) throw new SpineError("fact_invalid", "the fact is not a JSON object");
  const factSchema: Json | undefined = fact["schema"];
  if (typeof factSchema !== "string" || factSchema === "")
    throw new SpineError("fact_invalid", "fact.schema is not a non-empty string");
  if (token !== null && !isJsonObject(token))
    throw new SpineError("envelope_field", "capability_token is neither null nor an object");
  assertPortable(fact, "fact");
  assertPortable(token, "capability_token");
  const signingBytes: Uint8Array = utf8(
    `{"capability_token":${canonicalText(token)},"fact":${canonicalText(fact)},"issued_at":"${issuedAt}",` +
      `"issuer":"${issuer}","prev_envelope_hash":${prev === null ? "null" : `"${prev}"`},` +
      `"schema":"${ENVELOPE_SCHEMA}","seq":${seq}}`,
  );
  checkEnvelopeSize(signingBytes);
  const hash: EnvelopeHash = `0x${sha256Hex(signingBytes)}`;
  return { issuer, seq, prev, issuedAt, issuedAtMs, factSchema, hash, signingBytes };
}

/** Adds the signature (64 bytes, else `signature_syntax`). Does not verify it. */
export function sealEnvelope(draft: Draft, signature: Uint8Array): Envelope {
  if (signature.length !== 64)
    throw new SpineError("signature_syntax", `signature of ${signature.length} bytes, expected 64`);
  const { issuer, seq, prev, issuedAt, issuedAtMs, factSchema, hash, signingBytes } = draft;
  return { issuer, seq, prev, issuedAt, issuedAtMs, factSchema, hash, signingBytes, signature };
}

const HEAD_NULL_TOKEN: Uint8Array = utf8('{"capability_token":null,');
const HEAD_NO_TOKEN: Uint8Array = utf8("{");
const FACT_KEY: Uint8Array = utf8('"fact":');

function startsWith(bytes: Uint8Array, at: number, expected: Uint8Array): boolean {
  for (let i = 0; i < expected.length; i++) if (bytes[at + i] !== expected[i]) return false;
  return true;
}

/** Where `envelope_hash` goes in the usual layout, or undefined. */
function hashPlace(envelope: Envelope): number | undefined {
  const { signingBytes, seq } = envelope;
  const tail: Uint8Array = utf8(`,"schema":"${ENVELOPE_SCHEMA}","seq":${seq}}`);
  // One closing brace and a digit before it: this `seq` is the last key of the envelope itself.
  if (!startsWith(signingBytes, signingBytes.length - tail.length, tail)) return undefined;
  for (const head of [HEAD_NULL_TOKEN, HEAD_NO_TOKEN])
    if (startsWith(signingBytes, 0, head) && startsWith(signingBytes, head.length, FACT_KEY)) return head.length;
  return undefined;
}

/** Canonical JSON of the whole envelope in UTF-8: its one spelling on disk, in exports and in gossip (rules 1). */
export function envelopeBytes(envelope: Envelope): Uint8Array {
  const { signingBytes, hash } = envelope;
  const place: number | undefined = hashPlace(envelope);
  const signature: string = signatureText(envelope.signature);
  if (place !== undefined)
    return concatBytes(
      signingBytes.subarray(0, place),
      utf8(`"envelope_hash":"${hash}",`),
      signingBytes.subarray(place, signingBytes.length - 1),
      utf8(`,"signature":"${signature}"}`),
    );
  const signed = parseJson(signingBytes) as JsonObject;
  const c1 = canonicalText(signed) === utf8Text(signingBytes) ? "raw" : "escaped";
  const whole: Record<string, Json> = Object.assign(Object.create(null), signed);
  whole["envelope_hash"] = hash;
  whole["signature"] = signature;
  return utf8(canonicalText(whole, c1));
}

/** `envelopeBytes` as text. */
export function envelopeText(envelope: Envelope): string {
  return utf8Text(envelopeBytes(envelope));
}

/** What a `Verifier` checks for this envelope. */
export function claimOf(envelope: Envelope): Claim {
  return { key: parseIssuer(envelope.issuer), message: envelope.signingBytes, signature: envelope.signature };
}

/** The fact, parsed anew from the signing bytes. */
export function factOf(envelope: Envelope): Json {
  return (parseJson(envelope.signingBytes) as JsonObject)["fact"] as Json;
}
