/**
 * Tiles of 256 hashes and entry bundles: paths, widths and contents (c2sp.org/tlog-tiles). Storage writes tiles by these
 * coordinates and the HTTP face serves them under `/tlog/`.
 */
import { SpineError } from "./errors.ts";
import { checkTreeSize, TREE_HASH_BYTES, type TreeHasher } from "./merkle.ts";
import type { AsyncHashReader, HashReader } from "./merkle-prove.ts";

/** Hashes in a full tile, entries in a full bundle. */
export const TILE_WIDTH = 256;
/** Tree levels covered by one tile level. */
export const TILE_HEIGHT = 8;
const MAX_TILE_LEVEL = 63;

export interface TileCoordinate {
  /** Tile level 0 to 63, or "entries" for the bundles of leaf contents. */
  readonly level: number | "entries";
  readonly index: number;
  /** Hashes or entries in it, 1 to 256; 256 is a full tile. */
  readonly width: number;
}

/** How many of a level's tiles are full, and how wide the partial one behind them is (0 = none). */
export function tilesAtLevel(size: number, level: number): { full: number; partial: number } {
  checkTreeSize(size);
  const hashes = Math.floor(size / TILE_WIDTH ** level);
  return { full: Math.floor(hashes / TILE_WIDTH), partial: hashes % TILE_WIDTH };
}

/** Width of one tile in a tree of `size` leaves, 0 when the tree does not reach it. */
export function tileWidth(size: number, level: number | "entries", index: number): number {
  const { full, partial } = tilesAtLevel(size, level === "entries" ? 0 : level);
  if (index < full) return TILE_WIDTH;
  return index === full ? partial : 0;
}

/** Every tile that is new or wider in a tree of `second` leaves than in one of `first`; bundles not included. */
export function tilesBetween(first: number, second: number): TileCoordinate[] {
  const tiles: TileCoordinate[] = [];
  for (let level = 0; second >= TILE_WIDTH ** level; level++) {
    const before = Math.floor(first / TILE_WIDTH ** level);
    const { full, partial } = tilesAtLevel(second, level);
    if (before === full * TILE_WIDTH + partial) continue;
    for (let index = Math.floor(before / TILE_WIDTH); index < full; index++) {
      tiles.push({ level, index, width: TILE_WIDTH });
    }
    if (partial > 0) tiles.push({ level, index: full, width: partial });
  }
  return tiles;
}

/** Where a tree node is found: its tile's level and index, and the run of that tile's hashes it is the root of. */
export function tileOfNode(
  level: number,
  index: number,
): { level: number; index: number; offset: number; count: number } {
  const count = 2 ** (level % TILE_HEIGHT);
  const first = index * count;
  return {
    level: Math.floor(level / TILE_HEIGHT),
    index: Math.floor(first / TILE_WIDTH),
    offset: first % TILE_WIDTH,
    count,
  };
}

/** Path below the log's prefix, such as `tile/0/x001/234` or `tile/entries/000.p/7`. */
export function tilePath(tile: TileCoordinate): string {
  const groups: string[] = [];
  let rest: number = tile.index;
  do {
    groups.unshift(String(rest % 1000).padStart(3, "0"));
    rest = Math.floor(rest / 1000);
  } while (rest > 0);
  const index = groups.map((group, i) => (i < groups.length - 1 ? `x${group}` : group)).join("/");
  return `tile/${tile.level}/${index}${tile.width < TILE_WIDTH ? `.p/${tile.width}` : ""}`;
}

const PATH = /^tile\/(entries|0|[1-9][0-9]?)\/((?:x[0-9]{3}\/){0,5}[0-9]{3})(?:\.p\/([1-9][0-9]{0,2}))?$/;

/** Only the one spelling `tilePath` writes; throws `tile_path`. */
export function parseTilePath(path: string): TileCoordinate {
  const match = PATH.exec(path);
  if (match === null) throw new SpineError("tile_path", "not a tile path");
  const level = match[1] === "entries" ? "entries" : Number(match[1]);
  const index = Number((match[2] as string).replaceAll(/[x/]/g, ""));
  const width = match[3] === undefined ? TILE_WIDTH : Number(match[3]);
  const tile: TileCoordinate = { level, index, width };
  const isLevelBad = level !== "entries" && level > MAX_TILE_LEVEL;
  if (isLevelBad || !Number.isSafeInteger(index) || tilePath(tile) !== path) {
    throw new SpineError("tile_path", "tile path out of range or not in its one spelling");
  }
  return tile;
}

/** A bundle: each entry (at most 65,535 bytes) behind its u16 big-endian length. Ours are 32-byte envelope hashes. */
export function encodeEntryBundle(entries: readonly Uint8Array[]): Uint8Array {
  const out = new Uint8Array(entries.reduce((sum, entry) => sum + 2 + entry.length, 0));
  let at = 0;
  for (const entry of entries) {
    if (entry.length > 65_535) throw new SpineError("proof_shape", `entry of ${entry.length} bytes`);
    out[at] = entry.length >>> 8;
    out[at + 1] = entry.length & 255;
    out.set(entry, at + 2);
    at += 2 + entry.length;
  }
  return out;
}

/** Throws `proof_shape` unless the bytes hold exactly `width` entries. */
export function decodeEntryBundle(bytes: Uint8Array, width: number): Uint8Array[] {
  const entries: Uint8Array[] = [];
  let at = 0;
  while (at < bytes.length && entries.length < width) {
    const length = (bytes[at] as number) * 256 + (bytes[at + 1] ?? 0);
    if (at + 2 + length > bytes.length) throw new SpineError("proof_shape", "entry bundle ends early");
    entries.push(bytes.subarray(at + 2, at + 2 + length));
    at += 2 + length;
  }
  if (at !== bytes.length || entries.length !== width) {
    throw new SpineError("proof_shape", `entry bundle does not hold ${width} entries`);
  }
  return entries;
}

/** Answers at least the first `count` hashes of a tile (32 bytes each), or throws a coded error. */
export type TileSource = (level: number, index: number, count: number) => Uint8Array;
export type AsyncTileSource = (level: number, index: number, count: number) => Promise<Uint8Array>;

/** Reads nodes from public tiles, which hold only every eighth level; the levels between are hashed on the way. */
export function tileHashReader(hasher: TreeHasher, source: TileSource): HashReader {
  return (level, index) => {
    const node = tileOfNode(level, index);
    return subtreeOfTile(hasher, source(node.level, node.index, node.offset + node.count), node);
  };
}

export function tileHashReaderAsync(hasher: TreeHasher, source: AsyncTileSource): AsyncHashReader {
  return async (level, index) => {
    const node = tileOfNode(level, index);
    return subtreeOfTile(hasher, await source(node.level, node.index, node.offset + node.count), node);
  };
}

function subtreeOfTile(hasher: TreeHasher, tile: Uint8Array, node: { offset: number; count: number }): Uint8Array {
  if (tile.length < (node.offset + node.count) * TREE_HASH_BYTES) {
    throw new SpineError("proof_shape", `tile of ${tile.length} bytes is too short`);
  }
  let row = Array.from({ length: node.count }, (_, i) => {
    const at = (node.offset + i) * TREE_HASH_BYTES;
    return tile.subarray(at, at + TREE_HASH_BYTES);
  });
  while (row.length > 1) {
    const below = row;
    row = Array.from({ length: below.length / 2 }, (_, i) =>
      hasher.node(below[2 * i] as Uint8Array, below[2 * i + 1] as Uint8Array),
    );
  }
  return row[0] as Uint8Array;
}
