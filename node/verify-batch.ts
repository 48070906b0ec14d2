/** Checks packed claims with node:crypto and a bounded cache of key objects. Runs on the main thread and in workers. */
import { createPublicKey, type KeyObject, verify } from "node:crypto";
import { type Claim, isStrictKey, isStrictSignature } from "../spine/index.ts";

/** Key objects kept; about 0.8 KB each. The least recently used goes first. */
export const MAX_CACHED_KEYS = 10_000;

/** A function that gives one claim's verdict and remembers the keys it saw. */
export function createClaimCheck(maxKeys: number = MAX_CACHED_KEYS): (claim: Claim) => boolean {
  // null: refused by the strictness rule, remembered just as well.
  const keys = new Map<string, KeyObject | null>();
  const keyObject = (bytes: Uint8Array): KeyObject | null => {
    const raw = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length);
    const name = raw.toString("latin1");
    const known = keys.get(name);
    if (known !== undefined) {
      keys.delete(name);
      keys.set(name, known);
      return known;
    }
    const made = isStrictKey(bytes)
      ? createPublicKey({ key: { kty: "OKP", crv: "Ed25519", x: raw.toString("base64url") }, format: "jwk" })
      : null;
    keys.set(name, made);
    if (keys.size > maxKeys) keys.delete(keys.keys().next().value as string);
    return made;
  };
  return ({ key, message, signature }) => {
    if (key.length !== 32 || !isStrictSignature(signature)) return false;
    const object = keyObject(key);
    return object !== null && verify(null, message, object, signature);
  };
}

/** Per claim: 32 bytes key, 64 bytes signature, u32 little-endian message length, message. */
const FIXED_BYTES = 100;

/** One buffer of its own, so that it can be transferred to a worker. Keys and signatures must have their sizes. */
export function packClaims(claims: readonly Claim[]): ArrayBuffer {
  let length = 0;
  for (const claim of claims) length += FIXED_BYTES + claim.message.length;
  const packed = new Uint8Array(length);
  const view = new DataView(packed.buffer);
  let at = 0;
  for (const { key, signature, message } of claims) {
    packed.set(key, at);
    packed.set(signature, at + 32);
    view.setUint32(at + 96, message.length, true);
    packed.set(message, at + FIXED_BYTES);
    at += FIXED_BYTES + message.length;
  }
  return packed.buffer;
}

/** Verdicts of a packed batch, one byte each. */
export function checkPacked(buffer: ArrayBuffer, check: (claim: Claim) => boolean): Uint8Array<ArrayBuffer> {
  const bytes = Buffer.from(buffer);
  const verdicts: number[] = [];
  for (let at = 0; at < bytes.length; ) {
    const end = at + FIXED_BYTES + bytes.readUInt32LE(at + 96);
    const key = bytes.subarray(at, at + 32);
    const signature = bytes.subarray(at + 32, at + 96);
    verdicts.push(check({ key, signature, message: bytes.subarray(at + FIXED_BYTES, end) }) ? 1 : 0);
    at = end;
  }
  return Uint8Array.from(verdicts);
}
