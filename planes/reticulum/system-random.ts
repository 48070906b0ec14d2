/** Randomness of the operating system for stations, drawn in blocks: an IV costs no call. Used by the daemon and the tests. */
import { randomFillSync } from "node:crypto";
import type { Random } from "../../spine/index.ts";

const BLOCK_BYTES = 4096;
const block = new Uint8Array(BLOCK_BYTES);
let at = BLOCK_BYTES;

export const systemRandom: Random = (length) => {
  if (length > BLOCK_BYTES / 4) return randomFillSync(new Uint8Array(length));
  if (at + length > BLOCK_BYTES) {
    randomFillSync(block);
    at = 0;
  }
  const bytes = block.slice(at, at + length);
  // What was given out is nobody else's.
  block.fill(0, at, at + length);
  at += length;
  return bytes;
};
