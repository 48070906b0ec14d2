/**
 * Grows a log into stored tiles: 256 hashes and the 255 nodes above them, so that a proof costs one read a tile. Memory
 * is one open tile a level (16 KB each, at most 7 levels). The log keeper feeds it and writes what it completes in the
 * commit of the leaves themselves.
 */
import { SpineError } from "./errors.ts";
import { Frontier, TREE_HASH_BYTES, type TreeHasher } from "./merkle.ts";
import type { HashReader } from "./merkle-prove.ts";
import { TILE_HEIGHT, TILE_WIDTH } from "./tile.ts";

const STORED_HASHES = 2 * TILE_WIDTH - 1;
/** Rows from the 256 hashes (first 8,192 bytes: the public tile) up to the tile's root (last 32 bytes). */
export const STORED_TILE_BYTES: number = STORED_HASHES * TREE_HASH_BYTES;

/** A full tile; never written again. */
export interface StoredTile {
  /** Tile level: its first row are nodes of tree level 8 · `level`. */
  readonly level: number;
  readonly index: number;
  /** STORED_TILE_BYTES. */
  readonly bytes: Uint8Array;
}

/** Answers a full tile's STORED_TILE_BYTES, or throws a coded error. */
export type StoredTileReader = (level: number, index: number) => Uint8Array;

/** Where a stored tree node stands: tile level and index, and its byte offset in the tile. */
function placeOf(level: number, index: number): { level: number; index: number; offset: number } {
  const row = level % TILE_HEIGHT;
  const rowWidth = TILE_WIDTH / 2 ** row;
  const position = 2 * (TILE_WIDTH - rowWidth) + (index % rowWidth);
  return {
    level: Math.floor(level / TILE_HEIGHT),
    index: Math.floor(index / rowWidth),
    offset: position * TREE_HASH_BYTES,
  };
}

/** Mutable, one owner. After a failed commit it is ahead of the disk: drop it and restore. */
export class TileBuilder {
  #frontier: Frontier;
  /** The open tile of each level; undefined while empty. */
  readonly #open: (Uint8Array | undefined)[] = [];
  /** Completed and not yet known to be stored, oldest first. */
  readonly #full: StoredTile[] = [];
  constructor(hasher: TreeHasher) {
    this.#frontier = new Frontier(hasher);
  }

  /**
   * As it was at `size` leaves: `pending` are the leaf hashes behind the last full tile (size mod 256 of them), all else
   * comes from full tiles, at most 255 reads a level. Throws `store_corrupt` when they do not fit the size.
   */
  static restore(
    hasher: TreeHasher,
    size: number,
    pending: readonly Uint8Array[],
    read: StoredTileReader,
  ): TileBuilder {
    const builder = new TileBuilder(hasher);
    if (pending.length !== size % TILE_WIDTH) {
      throw new SpineError("store_corrupt", `${pending.length} pending leaves for a log of ${size}`);
    }
    const frontier: Uint8Array[] = [];
    for (let level = 0, hashes: number = size; hashes > 0; level++, hashes = Math.floor(hashes / TILE_WIDTH)) {
      const base = hashes - (hashes % TILE_WIDTH);
      const row = new Frontier(hasher);
      for (let i = base; i < hashes; i++) {
        const hash = level === 0 ? pending[i - base] : rootOf(read(level - 1, i));
        row.append(hash as Uint8Array, (above, index, node) => {
          builder.#put(level * TILE_HEIGHT + above, base / 2 ** above + index, node);
        });
      }
      frontier.unshift(...row.hashes());
    }
    builder.#frontier = new Frontier(hasher, size, frontier);
    return builder;
  }

  get size(): number {
    return this.#frontier.size;
  }
  root(): Uint8Array {
    return this.#frontier.root();
  }

  /** One leaf hash, 32 bytes. */
  append(leafHash: Uint8Array): void {
    this.#frontier.append(leafHash, (level, index, hash) => {
      if (level > 0 && level % TILE_HEIGHT === 0) this.#close(level / TILE_HEIGHT - 1, index, hash);
      this.#put(level, index, hash);
    });
  }

  /** Tiles to write with the leaves that completed them, oldest first; readable here until `tilesStored`. */
  fullTiles(): readonly StoredTile[] {
    return [...this.#full];
  }

  /** The oldest `count` of `fullTiles` are durable. */
  tilesStored(count: number): void {
    this.#full.splice(0, count);
  }

  /** A complete node of the open tiles; undefined when it stands in a full one or is not complete. A copy. */
  read(level: number, index: number): Uint8Array | undefined {
    if ((index + 1) * 2 ** level > this.size) return undefined;
    const place = placeOf(level, index);
    const isOpen = place.index === Math.floor(this.#lastHash(place.level) / TILE_WIDTH);
    return isOpen ? this.#open[place.level]?.slice(place.offset, place.offset + TREE_HASH_BYTES) : undefined;
  }

  /** Any complete node: from the open tiles, the full ones still held, or the store. Throws `proof_index` for others. */
  reader(read: StoredTileReader): HashReader {
    return (level, index) => {
      if ((index + 1) * 2 ** level > this.size)
        throw new SpineError("proof_index", `node ${level}/${index} is not complete`);
      const open = this.read(level, index);
      if (open !== undefined) return open;
      const place = placeOf(level, index);
      const fresh = this.#full.find((tile) => tile.level === place.level && tile.index === place.index);
      const bytes = fresh?.bytes ?? read(place.level, place.index);
      if (bytes.length !== STORED_TILE_BYTES) throw new SpineError("store_corrupt", `tile of ${bytes.length} bytes`);
      return bytes.subarray(place.offset, place.offset + TREE_HASH_BYTES);
    };
  }

  /** The open tile's hashes as the public tile of this size serves them; empty when there is none. */
  openTile(level: number): Uint8Array {
    const width = this.#lastHash(level) % TILE_WIDTH;
    return this.#open[level]?.slice(0, width * TREE_HASH_BYTES) ?? new Uint8Array();
  }

  /** Hashes of a tile level's first row, in all. */
  #lastHash(tileLevel: number): number {
    return Math.floor(this.size / TILE_WIDTH ** tileLevel);
  }

  #put(level: number, index: number, hash: Uint8Array): void {
    const place = placeOf(level, index);
    let open: Uint8Array | undefined = this.#open[place.level];
    if (open === undefined) {
      open = new Uint8Array(STORED_TILE_BYTES);
      this.#open[place.level] = open;
    }
    open.set(hash, place.offset);
  }

  #close(level: number, index: number, root: Uint8Array): void {
    const bytes = this.#open[level] as Uint8Array;
    bytes.set(root, STORED_TILE_BYTES - TREE_HASH_BYTES);
    this.#full.push({ level, index, bytes });
    this.#open[level] = undefined;
  }
}

/** The public tile (c2sp.org/tlog-tiles) inside a stored one. */
export function publicTile(stored: Uint8Array): Uint8Array {
  return stored.subarray(0, TILE_WIDTH * TREE_HASH_BYTES);
}

function rootOf(stored: Uint8Array): Uint8Array {
  if (stored.length !== STORED_TILE_BYTES) throw new SpineError("store_corrupt", `tile of ${stored.length} bytes`);
  return stored.subarray(STORED_TILE_BYTES - TREE_HASH_BYTES);
}
