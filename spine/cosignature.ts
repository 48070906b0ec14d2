/** Timestamped witness co-signatures, cosignature/v1 (c2sp.org/tlog-cosignature): type 0x04, u64 seconds then Ed25519. */
import { concatBytes, utf8 } from "./bytes.ts";
import { SpineError } from "./errors.ts";
import { COSIGNATURE_HEADER } from "./tags.ts";

const COSIGNATURE_BYTES = 72;

/** Bytes a witness signs: "when it was the largest consistent tree it had seen", then the whole note text. */
export function cosignatureMessage(timestamp: number, noteText: string): Uint8Array {
  if (!Number.isSafeInteger(timestamp) || timestamp < 0) throw new SpineError("internal", `timestamp ${timestamp}`);
  return utf8(`${COSIGNATURE_HEADER}\ntime ${timestamp}\n${noteText}`);
}

/** The signature field of a witness's line. */
export function joinCosignature(timestamp: number, signature: Uint8Array): Uint8Array {
  const seconds = new Uint8Array(8);
  for (let i = 7, rest = timestamp; i >= 0; i--, rest = Math.floor(rest / 256)) seconds[i] = rest % 256;
  return concatBytes(seconds, signature);
}

/** Undefined unless 72 bytes with a time below 2^53. */
export function splitCosignature(bytes: Uint8Array): { timestamp: number; signature: Uint8Array } | undefined {
  if (bytes.length !== COSIGNATURE_BYTES) return undefined;
  const timestamp = bytes.subarray(0, 8).reduce((value, byte) => value * 256 + byte, 0);
  return Number.isSafeInteger(timestamp) ? { timestamp, signature: bytes.subarray(8) } : undefined;
}
