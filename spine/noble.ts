/**
 * The pure implementations of the crypto ports, for simulation, tests and browsers. The equation is the cofactorless
 * one of upstream and OpenSSL, after the strictness rule; the library's own verify is cofactored and would accept more.
 */
import { etc, getPublicKey, hashes, Point, sign } from "@noble/ed25519";
import { sha256, sha512 } from "@noble/hashes/sha2.js";
import { concatBytes, equalBytes, toHex } from "./bytes.ts";
import { isStrictKey, isStrictSignature, issuerOf } from "./identity.ts";
import type { Claim, Sha256Hex, Signer, Verifier } from "./ports.ts";

hashes.sha512 = sha512;

export const nobleSha256Hex: Sha256Hex = (bytes: Uint8Array): string => toHex(sha256(bytes));

function littleEndian(bytes: Uint8Array): bigint {
  return BigInt(`0x${toHex(bytes.toReversed())}`);
}

/** One strict, cofactorless verification; false for malformed keys and signatures, never throws. */
export function nobleVerify(claim: Claim): boolean {
  const { key, message, signature } = claim;
  if (!isStrictKey(key) || !isStrictSignature(signature)) return false;
  const r: Uint8Array = signature.subarray(0, 32);
  try {
    const k = etc.mod(littleEndian(sha512(concatBytes(r, key, message))), Point.CURVE().n);
    const s = littleEndian(signature.subarray(32));
    const expected = Point.BASE.multiply(s, false).add(Point.fromBytes(key).negate().multiply(k, false));
    return equalBytes(expected.toBytes(), r);
  } catch {
    return false;
  }
}

export const nobleVerifier: Verifier = {
  verify: (batch: readonly Claim[]): Promise<readonly boolean[]> => Promise.resolve(batch.map(nobleVerify)),
};

/** A signer from a 32-byte seed (RFC 8032). */
export function nobleSigner(seed: Uint8Array): Signer {
  return { issuer: issuerOf(getPublicKey(seed)), sign: (message: Uint8Array): Uint8Array => sign(message, seed) };
}
