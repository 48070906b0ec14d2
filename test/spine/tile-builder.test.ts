/** The growing log: stored tiles, restarts at any size, proofs out of tiles, memory that stays flat. */
import assert from "node:assert/strict";
import fc from "fast-check";
import {
  concatBytes,
  planConsistency,
  planInclusion,
  proveFromPlan,
  publicTile,
  SpineError,
  STORED_TILE_BYTES,
  type StoredTileReader,
  TileBuilder,
  tilesAtLevel,
  utf8,
  verifyConsistency,
  verifyInclusion,
} from "../../spine/index.ts";
import { hasher, sha256 } from "../helpers/crypto.ts";
import { TestTree } from "../helpers/tree.ts";

const SIZE = 66_500;

describe("tile builder", () => {
  const leaves = Array.from({ length: SIZE }, (_, i) => sha256(utf8(`leaf/${i}`)));
  const hashes = leaves.map((leaf) => hasher.leaf(leaf));
  const tree = new TestTree(leaves);
  const disk = new Map<string, Uint8Array>();
  const read: StoredTileReader = (level, index) => {
    const bytes = disk.get(`${level}/${index}`);
    assert.ok(bytes, `tile ${level}/${index} was never stored`);
    return bytes;
  };
  const store = (builder: TileBuilder): void => {
    const tiles = builder.fullTiles();
    for (const { level, index, bytes } of tiles) {
      assert.equal(bytes.length, STORED_TILE_BYTES);
      assert.ok(!disk.has(`${level}/${index}`), "a stored tile is never written again");
      disk.set(`${level}/${index}`, Uint8Array.from(bytes));
    }
    builder.tilesStored(tiles.length);
  };
  const builder = new TileBuilder(hasher);

  before(() => {
    for (const hash of hashes) {
      builder.append(hash);
      if (builder.size % 100 === 0) store(builder);
    }
    assert.ok(builder.fullTiles().length <= 2);
    store(builder);
  });

  it("has the tree's root and stores every full tile once", () => {
    assert.deepEqual(builder.root(), tree.root());
    for (let level = 0; level < 3; level++) {
      const { full, partial } = tilesAtLevel(SIZE, level);
      for (let index = 0; index < full; index++) {
        const nodes = Array.from({ length: 256 }, (_, i) => tree.read(8 * level, index * 256 + i));
        assert.deepEqual(publicTile(read(level, index)), concatBytes(...nodes));
      }
      assert.equal(builder.openTile(level).length, partial * 32);
      assert.ok(!disk.has(`${level}/${full}`));
    }
    assert.equal(builder.openTile(3).length, 0);
  });

  it("proves leaves and sizes out of tiles and open nodes", () => {
    const reader = builder.reader(read);
    fc.assert(
      fc.property(fc.nat({ max: SIZE - 1 }), (index) => {
        const path = proveFromPlan(hasher, planInclusion(index, SIZE), reader);
        verifyInclusion(hasher, { leafHash: hashes[index] as Uint8Array, index, size: SIZE, path, root: tree.root() });
        const first = index + 1;
        const proof = proveFromPlan(hasher, planConsistency(first, SIZE), reader);
        const [firstRoot, secondRoot] = [tree.root(first), tree.root()];
        verifyConsistency(hasher, { first, second: SIZE, firstRoot, secondRoot, proof });
      }),
    );
    assert.throws(() => reader(0, SIZE), { code: "proof_index" });
    assert.throws(() => reader(17, 0), { code: "proof_index" });
  });

  it("continues after a restart at any size as if it had never stopped", () => {
    const edges = [0, 1, 255, 256, 257, 511, 512, 65_535, 65_536, 65_537, 65_792];
    const sizes = fc.oneof(fc.constantFrom(...edges), fc.nat({ max: SIZE - 600 }));
    fc.assert(
      fc.property(sizes, fc.integer({ min: 0, max: 600 }), (size, more) => {
        const restored = TileBuilder.restore(hasher, size, hashes.slice(size - (size % 256), size), read);
        assert.deepEqual(restored.root(), tree.root(size));
        for (let i = size; i < size + more; i++) restored.append(hashes[i] as Uint8Array);
        assert.deepEqual(restored.root(), tree.root(size + more));
        for (const { level, index, bytes } of restored.fullTiles()) assert.deepEqual(bytes, read(level, index));
        if (size + more === 0) return;
        const reader = restored.reader(read);
        for (const index of [0, Math.floor((size + more) / 2), size + more - 1]) {
          const path = proveFromPlan(hasher, planInclusion(index, size + more), reader);
          assert.deepEqual(path, tree.inclusion(index, size + more));
        }
      }),
    );
  });

  it("refuses to restore from what does not fit", () => {
    const isCorrupt = (error: unknown): boolean => error instanceof SpineError && error.code === "store_corrupt";
    assert.throws(() => TileBuilder.restore(hasher, 257, [], read), isCorrupt);
    assert.throws(() => TileBuilder.restore(hasher, 256, [], () => new Uint8Array(8192)), isCorrupt);
    assert.throws(() => builder.reader(() => new Uint8Array(3))(0, 0), isCorrupt);
  });
});
