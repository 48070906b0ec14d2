/** Tile paths, widths, bundles and reading proofs out of public tiles. */
import assert from "node:assert/strict";
import fc from "fast-check";
import {
  concatBytes,
  decodeEntryBundle,
  encodeEntryBundle,
  Frontier,
  frontierNodes,
  parseTilePath,
  planConsistency,
  planInclusion,
  proveFromPlan,
  SpineError,
  type TileSource,
  tileHashReader,
  tileHashReaderAsync,
  tilePath,
  tilesAtLevel,
  tilesBetween,
  tileWidth,
  utf8,
  verifyInclusion,
} from "../../spine/index.ts";
import { hasher, sha256 } from "../helpers/crypto.ts";
import { describeShared, sharedBytes, sharedJson } from "../helpers/shared.ts";

interface TileFile {
  tilePaths: {
    fromSpec: { index: number; path: string }[];
    derived: { index: number; path: string }[];
    treeTiles: { size: number; tiles: Record<string, { full: number; partial: number }> }[];
  };
}

describeShared("tile vectors", ["vectors/tlog/vectors.json", "vectors/tlog/tessera-testdata-log"], () => {
  const { tilePaths } = sharedJson<TileFile>("vectors/tlog/vectors.json");
  it("writes and reads the listed paths", () => {
    for (const { index, path } of [...tilePaths.fromSpec, ...tilePaths.derived]) {
      assert.equal(tilePath({ level: 0, index, width: 256 }), `tile/0/${path}`);
      assert.equal(tilePath({ level: "entries", index, width: 3 }), `tile/entries/${path}.p/3`);
      assert.deepEqual(parseTilePath(`tile/0/${path}`), { level: 0, index, width: 256 });
    }
  });
  it("counts full and partial tiles", () => {
    for (const { size, tiles } of tilePaths.treeTiles) {
      for (const [level, widths] of Object.entries(tiles)) assert.deepEqual(tilesAtLevel(size, Number(level)), widths);
    }
  });
  it("reads a foreign log: 15 bundles, 15 tiles", () => {
    for (let size = 1; size <= 15; size++) {
      const folder = "vectors/tlog/tessera-testdata-log";
      const entries = decodeEntryBundle(
        sharedBytes(`${folder}/${tilePath({ level: "entries", index: 0, width: size })}`),
        size,
      );
      const hashes = sharedBytes(`${folder}/${tilePath({ level: 0, index: 0, width: size })}`);
      assert.deepEqual(concatBytes(...entries.map((entry) => hasher.leaf(entry))), hashes);
      assert.deepEqual(encodeEntryBundle(entries), sharedBytes(`${folder}/tile/entries/000.p/${size}`));
      const read = tileHashReader(hasher, () => hashes);
      const frontier = new Frontier(
        hasher,
        size,
        frontierNodes(size).map((node) => read(node.level, node.index)),
      );
      const [, , root] = new TextDecoder().decode(sharedBytes(`${folder}/checkpoint.${size}`)).split("\n");
      assert.equal(Buffer.from(frontier.root()).toString("base64"), root);
    }
  });
});

describe("tiles", () => {
  /** Public tiles of a tree: only every eighth level is kept. */
  function tilesOf(size: number): { source: TileSource; root: Uint8Array } {
    const rows = new Map<number, Uint8Array[]>();
    const frontier = new Frontier(hasher);
    for (let i = 0; i < size; i++) {
      frontier.append(hasher.leaf(sha256(utf8(String(i)))), (level, _, hash) => {
        if (level % 8 === 0) rows.set(level / 8, [...(level === 0 ? [] : (rows.get(level / 8) ?? [])), hash]);
        if (level === 0) leaves.push(hash);
      });
    }
    rows.set(0, leaves);
    const source: TileSource = (level, index, count) => {
      assert.ok(count <= tileWidth(size, level, index), `tile ${level}/${index} holds fewer than ${count}`);
      return concatBytes(...(rows.get(level) ?? []).slice(index * 256, index * 256 + count));
    };
    return { source, root: frontier.root() };
  }
  const leaves: Uint8Array[] = [];
  beforeEach(() => {
    leaves.length = 0;
  });

  it("serves every node a proof needs", async () => {
    const size = 70_000;
    const { source, root } = tilesOf(size);
    const read = tileHashReader(hasher, source);
    for (const index of [0, 255, 256, 65_535, 65_536, 69_887, 69_999]) {
      const path = proveFromPlan(hasher, planInclusion(index, size), read);
      verifyInclusion(hasher, { leafHash: read(0, index), index, size, path, root });
    }
    proveFromPlan(hasher, planConsistency(65_537, size), read);
    const readAsync = tileHashReaderAsync(hasher, async (level, index, count) => source(level, index, count));
    assert.deepEqual(await readAsync(9, 3), read(9, 3));
  });

  it("refuses tiles that are too short and entries that are too long", () => {
    const read = tileHashReader(hasher, () => new Uint8Array(64));
    assert.throws(() => read(0, 2), { code: "proof_shape" });
    assert.throws(() => encodeEntryBundle([new Uint8Array(65_536)]), { code: "proof_shape" });
  });

  it("lists what a growing tree has to write", () => {
    assert.deepEqual(tilesBetween(0, 1), [{ level: 0, index: 0, width: 1 }]);
    assert.deepEqual(tilesBetween(255, 513), [
      { level: 0, index: 0, width: 256 },
      { level: 0, index: 1, width: 256 },
      { level: 0, index: 2, width: 1 },
      { level: 1, index: 0, width: 2 },
    ]);
    assert.deepEqual(tilesBetween(7, 7), []);
  });

  it("reads back the paths it writes and no other spelling", () => {
    const level = fc.oneof(fc.integer({ min: 0, max: 63 }), fc.constant("entries" as const));
    const index = fc.maxSafeNat();
    const tile = fc.record({ level, index, width: fc.integer({ min: 1, max: 256 }) }, { noNullPrototype: true });
    fc.assert(fc.property(tile, (t) => assert.deepEqual(parseTilePath(tilePath(t)), t)));
    const strange = ["tile/0/0", "tile/00/000", "tile/64/000", "tile/0/x000/001", "tile/0/000.p/0", "tile/0/000.p/256"];
    for (const path of [...strange, "tile/0/x1/000", "tile/0/000/", "/tile/0/000", "tile/0/001/000", "tile/-1/000"]) {
      assert.throws(() => parseTilePath(path), { code: "tile_path" }, path);
    }
    fc.assert(
      fc.property(fc.string(), (text) => assert.throws(() => parseTilePath(`tile/${text}`), { code: "tile_path" })),
    );
  });

  it("reads back bundles and throws only coded errors on other bytes", () => {
    fc.assert(
      fc.property(fc.array(fc.uint8Array({ maxLength: 300 }), { maxLength: 256 }), (entries) => {
        assert.deepEqual(decodeEntryBundle(encodeEntryBundle(entries), entries.length), entries);
      }),
    );
    fc.assert(
      fc.property(fc.uint8Array(), fc.integer({ min: 0, max: 256 }), (bytes, width) => {
        try {
          assert.deepEqual(encodeEntryBundle(decodeEntryBundle(bytes, width)), bytes);
        } catch (error) {
          assert.ok(error instanceof SpineError && error.code === "proof_shape", String(error));
        }
      }),
    );
  });
});
