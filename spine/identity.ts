/**
 * Issuer ids, hash and seed texts, and the strictness rule for Ed25519 keys and signatures that stands before every
 * library's verify. spec/spine.md section 3.
 */
import { fromHex, toHex } from "./bytes.ts";
import { SpineError } from "./errors.ts";
import type { EnvelopeHash, Issuer } from "./ports.ts";
import { BoundedMap } from "./quota.ts";
import { ISSUER_PREFIX } from "./tags.ts";

const STRICT_ISSUER = /^aegis:ed25519:[0-9a-f]{64}$/;
const ANY_CASE_ISSUER = /^aegis:ed25519:[0-9a-fA-F]{64}$/;
const STRICT_HASH = /^0x[0-9a-f]{64}$/;
const LOOSE_HASH = /^(?:0[xX])?([0-9a-fA-F]{64})$/;
const SIGNATURE_TEXT = /^(?:0x)?([0-9a-fA-F]{128})$/;

/** The issuer id of a 32-byte public key. */
export function issuerOf(publicKey: Uint8Array): Issuer {
  if (publicKey.length !== 32)
    throw new SpineError("issuer_syntax", `public key of ${publicKey.length} bytes, expected 32`);
  return ISSUER_PREFIX + toHex(publicKey);
}

export function isIssuer(text: string): text is Issuer {
  return STRICT_ISSUER.test(text);
}

/** The 32-byte key of an issuer id in its one spelling, lower case; throws `issuer_syntax`. */
export function parseIssuer(text: string): Uint8Array {
  if (!STRICT_ISSUER.test(text)) throw new SpineError("issuer_syntax", `not an issuer id: ${text.slice(0, 100)}`);
  return fromHex(text.slice(ISSUER_PREFIX.length), 32);
}

/** Keys of issuers seen lately. */
const MAX_KEYS = 4_096;
const keys = new BoundedMap<Issuer, Uint8Array>(MAX_KEYS);

/** As `parseIssuer`, and strict, else `public_key_invalid`. The bytes are shared: for copying out of only. */
export function keyBytesOf(issuer: Issuer): Uint8Array {
  const known = keys.get(issuer);
  if (known !== undefined) return known;
  const key = parseIssuer(issuer);
  if (!isStrictKey(key))
    throw new SpineError("public_key_invalid", `the key of ${issuer} is of small order or not canonical`);
  keys.set(issuer, key);
  return key;
}

/** For objects signed elsewhere: hex of any case is read, and the lower-cased id returned. Throws `issuer_syntax`. */
export function foreignIssuer(text: string): Issuer {
  if (!ANY_CASE_ISSUER.test(text)) throw new SpineError("issuer_syntax", `not an issuer id: ${text.slice(0, 100)}`);
  return ISSUER_PREFIX + text.slice(ISSUER_PREFIX.length).toLowerCase();
}

/** True for the one spelling of a hash: `0x` and 64 lower-case hex digits. */
export function isEnvelopeHash(text: string): text is EnvelopeHash {
  return STRICT_HASH.test(text);
}

/** Upstream's hash normalisation: trims, takes any hex case with or without `0x`/`0X`; undefined if it is no hash. */
export function normalizeHash(text: string): EnvelopeHash | undefined {
  const match = LOOSE_HASH.exec(text.trim());
  return match === null ? undefined : `0x${(match[1] as string).toLowerCase()}`;
}

/** Upstream's seed normalisation: trims and drops `0x`/`0X`; neither case nor length is touched. */
export function normalizeSeed(text: string): string {
  const trimmed: string = text.trim();
  return trimmed.startsWith("0x") || trimmed.startsWith("0X") ? trimmed.slice(2) : trimmed;
}

/** The 32 bytes of a seed text; throws `hex_syntax`. */
export function parseSeed(text: string): Uint8Array {
  return fromHex(normalizeSeed(text), 32);
}

/** Upstream's index key of a policy (spec/spine.md section 9.4). */
export function policyKey(hash: string): string | undefined {
  const normal: EnvelopeHash | undefined = normalizeHash(hash);
  return normal === undefined ? undefined : `policy.${normal}`;
}

/** Upstream's index prefix of the receipt verifications of one envelope. */
export function receiptVerificationPrefix(hash: string): string | undefined {
  const normal: EnvelopeHash | undefined = normalizeHash(hash);
  return normal === undefined ? undefined : `receipt_verification.${normal}.`;
}

/** The 64 bytes of a signature text: 128 hex digits of any case, `0x` optional. Throws `signature_syntax`. */
export function parseSignature(text: string): Uint8Array {
  const match = SIGNATURE_TEXT.exec(text);
  if (match === null) throw new SpineError("signature_syntax", `not a signature of 128 hex digits (${text.length})`);
  return fromHex(match[1] as string, 64);
}

/** The one spelling of a signature. */
export function signatureText(signature: Uint8Array): string {
  return `0x${toHex(signature)}`;
}

/** The y coordinates of all eight points of small order, little endian, without sign bit. */
const SMALL_ORDER_Y: readonly Uint8Array[] = [
  "0000000000000000000000000000000000000000000000000000000000000000",
  "0100000000000000000000000000000000000000000000000000000000000000",
  "ecffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
  "26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc05",
  "c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac037a",
].map((hex) => fromHex(hex, 32));
/** The group order 2^252 + 27742317777372353535851937790883648493, little endian. */
const GROUP_ORDER: Uint8Array = fromHex("edd3f55c1a631258d69cf7a2def9de1400000000000000000000000000000010", 32);

/** y ≥ 2^255 − 19 (sign bit ignored): an encoding that a canonical writer never makes. */
function isReducible(bytes: Uint8Array, at: number): boolean {
  if (((bytes[at + 31] as number) & 0x7f) !== 0x7f) return false;
  for (let i = 1; i < 31; i++) if (bytes[at + i] !== 0xff) return false;
  return (bytes[at] as number) >= 0xed;
}

function isSmallOrder(bytes: Uint8Array, at: number): boolean {
  return SMALL_ORDER_Y.some((y) => {
    for (let i = 0; i < 31; i++) if (bytes[at + i] !== y[i]) return false;
    return ((bytes[at + 31] as number) & 0x7f) === y[31];
  });
}

/**
 * False for keys that no honest signer has: wrong length, y ≥ p, small order. (x = 0 with a sign bit occurs only at
 * small order.) Whether y is on the curve is left to the library. The verdict depends on the key alone: cache it.
 */
export function isStrictKey(key: Uint8Array): boolean {
  return key.length === 32 && !isReducible(key, 0) && !isSmallOrder(key, 0);
}

/** False for signatures that no honest signer makes: wrong length, S ≥ L, R of small order or with y ≥ p. */
export function isStrictSignature(signature: Uint8Array): boolean {
  if (signature.length !== 64 || isReducible(signature, 0) || isSmallOrder(signature, 0)) return false;
  for (let i = 31; i >= 0; i--) {
    const difference = (signature[32 + i] as number) - (GROUP_ORDER[i] as number);
    if (difference !== 0) return difference < 0;
  }
  return false;
}
