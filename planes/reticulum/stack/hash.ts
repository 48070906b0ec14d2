/** Hashes as Reticulum cuts them (spec/reticulum.md section 1). Used throughout `stack/`. */
import { sha256 } from "./crypto.ts";

/** Bytes of an address, packet id, link id, request id or path hash. */
export const ADDRESS_BYTES = 16;

/** Of an address or a hash's first 16 bytes: what the tables of the packet path are keyed by in hex, made fast. */
export function addressHex(bytes: Uint8Array): string {
  return Buffer.from(bytes.buffer, bytes.byteOffset, ADDRESS_BYTES).toString("hex");
}

/** SHA-256 cut to 16 bytes. */
export function truncatedHash(bytes: Uint8Array): Uint8Array {
  return sha256(bytes).subarray(0, ADDRESS_BYTES);
}
