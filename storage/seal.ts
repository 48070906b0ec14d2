/**
 * The frame of every stored value: a version byte, the payload, a CRC-32 over key, version and payload. The engine
 * reads without checking its own checksums, so damage must show here; the key is covered because a damaged key would
 * otherwise move a sound value to another place.
 */
import { crc32 } from "node:zlib";
import { SpineError, toHex } from "../spine/index.ts";
import { getU32, putU32 } from "./keys.ts";

/** Version of the payload encodings of this file's callers. */
const VALUE_VERSION = 1;
/** Where the payload begins in a sealed value. */
export const PAYLOAD_AT = 1;
/** What sealing adds to a payload. */
export const SEAL_BYTES = 5;

/** A copy of `payload`, sealed under `key`. */
export function seal(key: Uint8Array, payload: Uint8Array): Uint8Array {
  const value = new Uint8Array(payload.length + SEAL_BYTES);
  value.set(payload, PAYLOAD_AT);
  return finishSeal(key, value);
}

/** Seals in place a value whose payload already stands at PAYLOAD_AT, with 4 bytes free behind it. */
export function finishSeal(key: Uint8Array, value: Uint8Array): Uint8Array {
  value[0] = VALUE_VERSION;
  const end = value.length - 4;
  putU32(value, end, crc32(value.subarray(0, end), crc32(key)));
  return value;
}

/** The payload, a view. Throws `store_corrupt` if any bit of key or value changed. */
export function unseal(key: Uint8Array, value: Uint8Array): Uint8Array {
  const end = value.length - 4;
  if (end < 1 || crc32(value.subarray(0, end), crc32(key)) !== getU32(value, end)) {
    throw new SpineError("store_corrupt", `damaged entry ${toHex(key)}`);
  }
  if (value[0] !== VALUE_VERSION) {
    throw new SpineError("store_corrupt", `entry ${toHex(key)} has the unknown version ${value[0]}`);
  }
  // The engine hands over Buffers, whose `slice` is a view where ours is a copy.
  return new Uint8Array(value.buffer, value.byteOffset + PAYLOAD_AT, end - PAYLOAD_AT);
}

/** Runs a decoder over a sealed payload: whatever it throws becomes `store_corrupt`, naming the entry. */
export function decodeSealed<T>(key: Uint8Array, value: Uint8Array, decode: (payload: Uint8Array) => T): T {
  const payload = unseal(key, value);
  try {
    return decode(payload);
  } catch (cause) {
    throw new SpineError("store_corrupt", `undecodable entry ${toHex(key)}`, { cause });
  }
}
