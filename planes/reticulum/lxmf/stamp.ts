/**
 * Proof of work on messages, uploads and peerings (spec/reticulum.md section 21.4). The heavy parts run in a worker, see
 * `stamp-pool.ts`; this file only computes.
 */
import { createHash, type Hash, hkdfSync } from "node:crypto";
import { pack } from "../stack/msgpack.ts";

const BLOCK_BYTES = 256;
export const STAMP_BYTES = 32;

/** What a stamp is for decides how much memory-hard work precedes the search. */
export const ROUNDS = { message: 3000, propagation: 1000, peering: 25 } as const;

/** SHA-256 over the work block of `material`, ready to take a stamp. 3000 rounds take tens of milliseconds. */
export function workState(material: Uint8Array, rounds: number): Hash {
  const state = createHash("sha256");
  for (let n = 0; n < rounds; n++) {
    const salt = createHash("sha256").update(material).update(pack(n)).digest();
    state.update(new Uint8Array(hkdfSync("sha256", material, salt, "", BLOCK_BYTES)));
  }
  return state;
}

/** Leading zero bits of the stamp's hash. */
export function stampValue(state: Hash, stamp: Uint8Array): number {
  const digest = state.copy().update(stamp).digest();
  let bits = 0;
  for (const byte of digest) {
    if (byte !== 0) return bits + Math.clz32(byte) - 24;
    bits += 8;
  }
  return bits;
}

/** `value` of the spec's inequality hash ≤ 2^(256 − cost): a value of `cost` bits, or exactly the power of two. */
export function stampIsValid(state: Hash, stamp: Uint8Array, cost: number): boolean {
  const value = stampValue(state, stamp);
  if (value >= cost || cost <= 0) return true;
  if (value !== cost - 1) return false;
  const digest = state.copy().update(stamp).digest();
  const at = Math.floor(value / 8);
  return digest.every((byte, i) => (i === at ? byte === 0x80 >> (value % 8) : byte === 0));
}

/** The stamp made from a ticket: T(ticket ‖ message hash), 16 bytes. */
export function ticketStamp(ticket: Uint8Array, messageHash: Uint8Array): Uint8Array {
  return new Uint8Array(createHash("sha256").update(ticket).update(messageHash).digest()).slice(0, 16);
}
