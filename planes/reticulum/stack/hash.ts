/** Hashes as Reticulum cuts them (spec/reticulum.md section 1). Used throughout `stack/`. */
import { sha256 } from "./crypto.ts";

/** Bytes of an address, packet id, link id, request id or path hash. */
export const ADDRESS_BYTES = 16;

const NAME_SLOTS = 2048;
const names: (string | undefined)[] = new Array(NAME_SLOTS).fill(undefined);
const named = new Uint8Array(NAME_SLOTS * ADDRESS_BYTES);

/** The 16 bytes at `at` in hex: what the tables of the packet path are keyed by. Names that come again and again are made once. */
export function addressHexAt(bytes: Uint8Array, at: number): string {
  const slot = ((bytes[at] as number) | ((bytes[at + 1] as number) << 8)) & (NAME_SLOTS - 1);
  const from = slot * ADDRESS_BYTES;
  const name = names[slot];
  if (name !== undefined && sameAt(bytes, at, named, from)) return name;
  const made = Buffer.from(bytes.buffer, bytes.byteOffset + at, ADDRESS_BYTES).toString("hex");
  for (let i = 0; i < ADDRESS_BYTES; i++) named[from + i] = bytes[at + i] as number;
  names[slot] = made;
  return made;
}

/** Are the 16 bytes the same? */
export function sameAt(a: Uint8Array, aAt: number, b: Uint8Array, bAt: number): boolean {
  for (let i = 0; i < ADDRESS_BYTES; i++) if (a[aAt + i] !== b[bAt + i]) return false;
  return true;
}

/** SHA-256 cut to 16 bytes. */
export function truncatedHash(bytes: Uint8Array): Uint8Array {
  return sha256(bytes).subarray(0, ADDRESS_BYTES);
}
