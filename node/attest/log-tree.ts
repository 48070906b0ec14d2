/**
 * The log's tree over the store's leaves (rules 9, RFC 6962). Leaves are appended by the commits themselves, in the
 * batch of their envelopes; tiles follow behind, because they are a function of the leaves and nothing reads them before
 * a checkpoint or a proof asks. One owner: the log keeper and the proofs share one instance.
 */
import {
  planConsistency,
  planInclusion,
  proveFromPlan,
  publicTile,
  rootFromNodes,
  SpineError,
  STORED_TILE_BYTES,
  type StoredTile,
  TILE_WIDTH,
  TileBuilder,
  TREE_HASH_BYTES,
  tileWidth,
} from "../../spine/index.ts";
import type { Store } from "../../storage/index.ts";
import { treeHasher } from "../hash.ts";

/** Leaves hashed in one turn of the event loop: about a millisecond of work. */
const LEAVES_PER_TURN = 512;
/** Leaves read and tiles written at a time. */
const LEAVES_PER_READ = 8_192;
/**
 * Full tiles kept in memory, 16 KB each. Proofs of leaves anywhere share the tiles above the leaves' own: those have room of
 * their own, enough for 16,777,216 leaves, so that such a proof reads one tile.
 */
const CACHED_LEAF_TILES = 64;
const CACHED_UPPER_TILES = 258;

export class LogTree {
  readonly #store: Store;
  readonly #leafTiles = new Map<number, Uint8Array>();
  readonly #upperTiles = new Map<number, Uint8Array>();
  #builder: TileBuilder | undefined;
  #working: Promise<unknown> = Promise.resolve();

  constructor(store: Store) {
    this.#store = store;
  }

  /** Leaves hashed so far; 0 before the first `advance`. Proofs are made for trees up to this size. */
  get size(): number {
    return this.#builder?.size ?? 0;
  }

  /**
   * Hashes every leaf below `size` that was not yet, in small steps between which everything else runs. Rejects with
   * `proof_index` when the store holds fewer leaves, and with the store's codes.
   */
  advance(size: number, signal?: AbortSignal): Promise<void> {
    const next = this.#working.then(() => this.#advance(size, signal));
    this.#working = next.catch(() => {});
    return next;
  }

  async #advance(size: number, signal: AbortSignal | undefined): Promise<void> {
    try {
      const builder = await this.#restored();
      while (builder.size < size) {
        signal?.throwIfAborted();
        const leaves = await this.#store.leafBytes(builder.size, Math.min(LEAVES_PER_READ, size - builder.size));
        if (leaves.length === 0) throw new SpineError("proof_index", `the log has ${builder.size} leaves, not ${size}`);
        await this.#hash(builder, leaves, signal);
        const full = builder.fullTiles();
        if (full.length > 0) await this.#keep(builder, full);
      }
    } catch (error) {
      // Ahead of the disk, perhaps: what is stored says where to go on.
      this.#builder = undefined;
      throw error;
    }
  }

  async #hash(builder: TileBuilder, leaves: Uint8Array, signal: AbortSignal | undefined): Promise<void> {
    for (let at = 0, count = 1; at < leaves.length; at += TREE_HASH_BYTES, count++) {
      builder.append(treeHasher.leaf(leaves.subarray(at, at + TREE_HASH_BYTES)));
      if (count % LEAVES_PER_TURN !== 0) continue;
      await new Promise((resolve) => setImmediate(resolve));
      signal?.throwIfAborted();
    }
  }

  async #keep(builder: TileBuilder, full: readonly StoredTile[]): Promise<void> {
    await this.#store.putTiles(full);
    builder.tilesStored(full.length);
  }

  /** After a start: the tiles that are kept, and nothing behind them. */
  async #restored(): Promise<TileBuilder> {
    if (this.#builder !== undefined) return this.#builder;
    const size = (await this.#store.tileCount()) * TILE_WIDTH;
    this.#builder = TileBuilder.restore(treeHasher, size, [], this.#tile);
    return this.#builder;
  }

  /** Root of the first `size` leaves; throws `proof_index` beyond what was hashed. */
  root(size: number): Uint8Array {
    this.#reach(size);
    return rootFromNodes(treeHasher, size, this.#nodes());
  }

  /** Path of leaf `index` in the tree of `size` leaves, leaf side first. Throws `proof_index`. */
  inclusion(index: number, size: number): Uint8Array[] {
    this.#reach(size);
    return proveFromPlan(treeHasher, planInclusion(index, size), this.#nodes());
  }

  /** Throws `proof_index` unless 1 ≤ first ≤ second ≤ `size`. */
  consistency(first: number, second: number): Uint8Array[] {
    this.#reach(second);
    return proveFromPlan(treeHasher, planConsistency(first, second), this.#nodes());
  }

  /** The public tile (c2sp.org/tlog-tiles) of the first `width` hashes; throws `proof_index` when it is not complete. */
  publicTile(level: number, index: number, width: number): Uint8Array {
    const builder = this.#reach(0);
    if (width > tileWidth(builder.size, level, index)) throw new SpineError("proof_index", "no such tile yet");
    const stored = tileWidth(builder.size, level, index) === TILE_WIDTH;
    const hashes = stored ? publicTile(this.#fullTile(builder, level, index)) : builder.openTile(level);
    return hashes.subarray(0, width * TREE_HASH_BYTES);
  }

  #reach(size: number): TileBuilder {
    if (this.#builder === undefined || size > this.#builder.size) {
      throw new SpineError("proof_index", `a tree of ${size} leaves is not hashed yet`);
    }
    return this.#builder;
  }

  #nodes() {
    return this.#reach(0).reader(this.#tile);
  }

  #fullTile(builder: TileBuilder, level: number, index: number): Uint8Array {
    const fresh = builder.fullTiles().find((tile) => tile.level === level && tile.index === index);
    return fresh?.bytes ?? this.#tile(level, index);
  }

  /** A full tile, of the few used last or from the store. */
  readonly #tile = (level: number, index: number): Uint8Array => {
    const [cache, most] = level === 0 ? [this.#leafTiles, CACHED_LEAF_TILES] : [this.#upperTiles, CACHED_UPPER_TILES];
    const key = level * 2 ** 46 + index;
    const cached = cache.get(key);
    if (cached !== undefined) {
      cache.delete(key);
      cache.set(key, cached);
      return cached;
    }
    const bytes = this.#store.tile(level, index);
    if (bytes?.length !== STORED_TILE_BYTES) throw new SpineError("store_corrupt", `tile ${level}/${index} is missing`);
    cache.set(key, bytes);
    const [oldest] = cache.keys();
    if (cache.size > most && oldest !== undefined) cache.delete(oldest);
    return bytes;
  };
}
