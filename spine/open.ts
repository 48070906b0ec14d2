/**
 * Opening envelopes of others: every field checked, the hash recomputed, the signature left to a `Verifier`.
 * spec/spine.md section 4 and rules 1. Called for JSON from outside and for the signing bytes of wire and disk.
 */
import { utf8, utf8Text } from "./bytes.ts";
import { canonicalText, hasC1, withC1Escaped } from "./canonical.ts";
import { checkEnvelopeSize, type Envelope, MAX_ENVELOPE_BYTES } from "./envelope.ts";
import { SpineError } from "./errors.ts";
import { foreignIssuer, isEnvelopeHash, isStrictKey, parseIssuer, parseSignature } from "./identity.ts";
import { isJsonObject, type Json, type JsonObject, parseJson } from "./lossless.ts";
import type { EnvelopeHash, Issuer, Millis, Sha256Hex } from "./ports.ts";
import { scanSigningBytes } from "./scan.ts";
import { ENVELOPE_SCHEMA } from "./tags.ts";
import { parseTime } from "./time.ts";
import { readWholeEnvelope } from "./whole-envelope.ts";

/** Escapes and spaces may blow a canonical text up; beyond this nothing is even parsed. Bytes or characters. */
export const MAX_ENVELOPE_INPUT: number = 4 * MAX_ENVELOPE_BYTES;

type Fields = Omit<Envelope, "hash" | "signingBytes" | "signature">;

function text(object: JsonObject, key: string): string {
  const value: Json | undefined = object[key];
  if (typeof value !== "string")
    throw new SpineError("envelope_field", `${key} is ${value === undefined ? "missing" : "not a string"}`);
  return value;
}

function seqOf(object: JsonObject): number {
  const seq: Json | undefined = object["seq"];
  if (typeof seq === "bigint") throw new SpineError("seq_range", `seq ${seq}`);
  if (typeof seq !== "number" || !Number.isInteger(seq))
    throw new SpineError("envelope_field", "seq is not an integer");
  if (seq < 0 || seq > Number.MAX_SAFE_INTEGER) throw new SpineError("seq_range", `seq ${seq}`);
  return seq;
}

function prevOf(object: JsonObject): EnvelopeHash | null {
  const prev: Json | undefined = object["prev_envelope_hash"];
  if (prev === null) return null;
  if (typeof prev !== "string" || !isEnvelopeHash(prev))
    throw new SpineError("envelope_field", "prev_envelope_hash is neither null nor 0x and 64 lower-case hex digits");
  return prev;
}

/** Throws unless every signed field has its documented type. */
function fieldsOf(value: Json): Fields {
  if (!isJsonObject(value)) throw new SpineError("envelope_field", "an envelope is a JSON object");
  const schema: string = text(value, "schema");
  if (schema !== ENVELOPE_SCHEMA)
    throw new SpineError("envelope_schema", `schema ${JSON.stringify(schema.slice(0, 100))}`);
  const issuer: Issuer = foreignIssuer(text(value, "issuer"));
  if (!isStrictKey(parseIssuer(issuer)))
    throw new SpineError("public_key_invalid", `the key of ${issuer} is of small order or not canonical`);
  const seq = seqOf(value);
  const prev: EnvelopeHash | null = prevOf(value);
  const issuedAt: string = text(value, "issued_at");
  const issuedAtMs: Millis | undefined = parseTime(issuedAt);
  if (issuedAtMs === undefined)
    throw new SpineError("envelope_time", `issued_at ${JSON.stringify(issuedAt.slice(0, 100))}`);
  const token: Json | undefined = value["capability_token"];
  if (token !== undefined && token !== null && !isJsonObject(token))
    throw new SpineError("envelope_field", "capability_token is neither null nor an object");
  const fact: Json | undefined = value["fact"];
  if (fact === undefined) throw new SpineError("envelope_field", "fact is missing");
  // Any JSON value is a fact of others: refusing one would cut off the rest of its issuer's chain.
  const factSchema: Json | undefined = isJsonObject(fact) ? fact["schema"] : undefined;
  return { issuer, seq, prev, issuedAt, issuedAtMs, factSchema: typeof factSchema === "string" ? factSchema : "" };
}

/** As `openEnvelope`, for a value that was parsed as part of something larger. */
export function openEnvelopeValue(value: Json, sha256Hex: Sha256Hex): Envelope {
  const fields: Fields = fieldsOf(value);
  const { envelope_hash: _hash, signature: _signature, ...signed } = value as JsonObject;
  const claimed: string = text(value as JsonObject, "envelope_hash");
  const signature: Uint8Array = parseSignature(text(value as JsonObject, "signature"));
  const raw: string = canonicalText(signed);
  // The claimed hash says which spelling of DEL and C1 was signed. Every Rust signer escapes, so that is tried first.
  for (const spelling of hasC1(raw) ? [withC1Escaped(raw), raw] : [raw]) {
    const signingBytes: Uint8Array = utf8(spelling);
    checkEnvelopeSize(signingBytes);
    const hash: EnvelopeHash = `0x${sha256Hex(signingBytes)}`;
    if (hash === claimed) return { ...fields, hash, signingBytes, signature };
  }
  throw new SpineError("hash_mismatch", `envelope_hash ${claimed.slice(0, 66)} of ${fields.issuer} seq ${fields.seq}`);
}

/**
 * Opens the JSON of a whole envelope in any spelling. Throws the json codes, `envelope_*`, `issuer_syntax`,
 * `public_key_invalid`, `seq_range`, `signature_syntax` or `hash_mismatch`. Does not verify the signature.
 */
export function openEnvelope(input: string | Uint8Array, sha256Hex: Sha256Hex): Envelope {
  if (input.length > MAX_ENVELOPE_INPUT)
    throw new SpineError("envelope_size", `text of ${input.length} bytes, limit ${MAX_ENVELOPE_INPUT}`);
  const usual = typeof input === "string" ? undefined : readWholeEnvelope(input, sha256Hex);
  if (usual !== undefined) return usual;
  return openEnvelopeValue(parseJson(input), sha256Hex);
}

/** The parser's answer to what the scanner found unusual; throws `json_not_canonical` for another spelling. */
function readSigningBytes(signingBytes: Uint8Array): Fields {
  const value: Json = parseJson(signingBytes);
  const fields: Fields = fieldsOf(value);
  for (const key of ["envelope_hash", "signature"])
    if ((value as JsonObject)[key] !== undefined)
      throw new SpineError("envelope_field", `${key} is not part of the signing bytes`);
  const given: string = utf8Text(signingBytes);
  const raw: string = canonicalText(value);
  if (raw !== given && withC1Escaped(raw) !== given)
    throw new SpineError("json_not_canonical", `signing bytes of ${fields.issuer} seq ${fields.seq}`);
  return fields;
}

/**
 * Opens the form of wire and disk: canonical signing bytes and a 64-byte signature. Keeps both arrays, uncopied.
 * `expectedHash`, if given, must be the hash. Throws as `openEnvelope`, and `json_not_canonical`. Does not verify the signature.
 */
export function openSigningBytes(
  signingBytes: Uint8Array,
  signature: Uint8Array,
  sha256Hex: Sha256Hex,
  expectedHash?: EnvelopeHash,
): Envelope {
  checkEnvelopeSize(signingBytes);
  if (signature.length !== 64)
    throw new SpineError("signature_syntax", `signature of ${signature.length} bytes, expected 64`);
  const fields: Fields = scanSigningBytes(signingBytes, 0, signingBytes.length) ?? readSigningBytes(signingBytes);
  const { issuer, seq, prev, issuedAt, issuedAtMs, factSchema } = fields;
  const hash: EnvelopeHash = `0x${sha256Hex(signingBytes)}`;
  if (expectedHash !== undefined && hash !== expectedHash)
    throw new SpineError("hash_mismatch", `${hash} instead of ${expectedHash} for ${issuer} seq ${seq}`);
  return { issuer, seq, prev, issuedAt, issuedAtMs, factSchema, hash, signingBytes, signature };
}
