/** Hashes as Reticulum cuts them (spec/reticulum.md section 1). Used throughout `stack/`. */
import { sha256 } from "./crypto.ts";

/** Bytes of an address, packet id, link id, request id or path hash. */
export const ADDRESS_BYTES = 16;

/** SHA-256 cut to 16 bytes. */
export function truncatedHash(bytes: Uint8Array): Uint8Array {
  return sha256(bytes).subarray(0, ADDRESS_BYTES);
}
