/** RFC 6962 hashing with native SHA-256 and the bounds of stored tiles. Called by the stores, the store check and the log keeper. */
import { hash } from "node:crypto";
import { type Sha256, SpineError, STORED_TILE_BYTES, type StoredTile, TILE_WIDTH, TreeHasher } from "../spine/index.ts";

const HASH_BYTES = 32;

/** As text of one byte a character: half the time of a Buffer. */
export const sha256: Sha256 = (bytes) => {
  const text = hash("sha256", bytes, "binary");
  const out = new Uint8Array(HASH_BYTES);
  for (let i = 0; i < HASH_BYTES; i++) out[i] = text.charCodeAt(i);
  return out;
};

/** Synchronous and so shared. */
export const treeHasher: TreeHasher = new TreeHasher(sha256);

/** Leaves below the end of a tile. */
export function tileEnd(level: number, index: number): number {
  return (index + 1) * TILE_WIDTH ** (level + 1);
}

/** Throws `internal`: only complete tiles over stored leaves are kept. */
export function vetTile({ level, index, bytes }: StoredTile, logSize: number): void {
  if (bytes.length !== STORED_TILE_BYTES || tileEnd(level, index) > logSize) {
    throw new SpineError("internal", `tile ${level}/${index} of ${bytes.length} bytes in a log of ${logSize} leaves`);
  }
}
