/**
 * Signatures inside a fact or token: made by a key that is not the envelope's issuer, over the canonical JSON of the
 * object without its signature fields. Used by `token.ts`, `revocation.ts` and `succession.ts`; layouts: `tags.ts`.
 */
import { fromHex, utf8 } from "./bytes.ts";
import { canonicalText } from "./canonical.ts";
import { SpineError } from "./errors.ts";
import { isEnvelopeHash, isIssuer, isStrictKey, parseIssuer, parseSignature } from "./identity.ts";
import { isJsonObject, type Json, type JsonObject } from "./lossless.ts";
import type { Claim, EnvelopeHash, Issuer } from "./ports.ts";
import { parseTime } from "./time.ts";

const KEY_TEXT = /^[0-9a-f]{64}$/;

/** The canonical bytes of `object` without the named top-level fields. */
export function bytesWithout(object: JsonObject, fields: readonly string[]): Uint8Array {
  const rest: Record<string, Json> = Object.create(null);
  for (const [key, value] of Object.entries(object)) if (!fields.includes(key)) rest[key] = value;
  return utf8(canonicalText(rest));
}

function refuse(message: string): never {
  throw new SpineError("fact_invalid", message);
}

/** The fields below throw `fact_invalid` naming the field. */
export function textField(object: JsonObject, key: string): string {
  const value: Json | undefined = object[key];
  return typeof value === "string" ? value : refuse(`fact.${key} is not a string`);
}

/** An issuer id in its one spelling whose key an honest signer can have. */
export function issuerField(object: JsonObject, key: string): Issuer {
  const text = textField(object, key);
  return isIssuer(text) && isStrictKey(parseIssuer(text)) ? text : refuse(`fact.${key} is no issuer id`);
}

/** 32 bytes as 64 lower-case hex digits: a public key that is not an issuer's. */
export function keyField(object: JsonObject, key: string): Uint8Array {
  const text = textField(object, key);
  const bytes: Uint8Array = KEY_TEXT.test(text) ? fromHex(text, 32) : refuse(`fact.${key} is no key of 64 hex digits`);
  return isStrictKey(bytes) ? bytes : refuse(`fact.${key} is a key that no honest signer has`);
}

export function hashField(object: JsonObject, key: string): EnvelopeHash {
  const text = textField(object, key);
  return isEnvelopeHash(text) ? text : refuse(`fact.${key} is no hash`);
}

/** From 0 to 2^53 − 1. */
export function seqField(object: JsonObject, key: string): number {
  const value: Json | undefined = object[key];
  return typeof value === "number" && Number.isSafeInteger(value) && value >= 0
    ? value
    : refuse(`fact.${key} is no seq`);
}

/** Milliseconds since the epoch. */
export function timeField(object: JsonObject, key: string): number {
  return parseTime(textField(object, key)) ?? refuse(`fact.${key} is no RFC 3339 time`);
}

/** What a Verifier checks for a signature over `message` that stands in a field of `object`. */
export function fieldClaim(object: JsonObject, field: string, key: Uint8Array, message: Uint8Array): Claim {
  try {
    return { key, message, signature: parseSignature(textField(object, field)) };
  } catch (cause) {
    if (cause instanceof SpineError && cause.code === "fact_invalid") throw cause;
    throw new SpineError("fact_invalid", `fact.${field} is no signature`, { cause });
  }
}

/** The fact as an object; throws `fact_invalid`. */
export function factObject(fact: Json): JsonObject {
  return isJsonObject(fact) ? fact : refuse("fact is not an object");
}
