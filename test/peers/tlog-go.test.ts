/** Our log read by an independent verifier: the Go project's sumdb packages (`setup-tlog-go.sh` builds the program). */
import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join, resolve } from "node:path";
import {
  encodeEntryBundle,
  formatNote,
  formatNoteKey,
  formatTreeHead,
  NoteKeyType,
  noteKey,
  publicTile,
  type StoredTile,
  TILE_WIDTH,
  TileBuilder,
  tilePath,
  tilesAtLevel,
  toBase64,
  utf8,
} from "../../spine/index.ts";
import { hasher, namedKey, sha256 } from "../helpers/crypto.ts";
import { TestTree } from "../helpers/tree.ts";

const ROOT = resolve(import.meta.dirname, "../../..");
const PROGRAM = join(process.env["SPINE_PEERS_DIR"] ?? join(ROOT, ".peers"), "tlogcheck");
const ORIGIN = "log.example/spine";

/** A log of `size` leaves as files: checkpoint, tiles, entry bundles. Returns the tree behind it. */
function writeLog(folder: string, size: number): TestTree {
  const write = (path: string, bytes: Uint8Array | string): void => {
    mkdirSync(dirname(join(folder, path)), { recursive: true });
    writeFileSync(join(folder, path), bytes);
  };
  const leaves = Array.from({ length: size }, (_, i) => sha256(utf8(`go/${i}`)));
  const builder = new TileBuilder(hasher);
  for (const leaf of leaves) builder.append(hasher.leaf(leaf));
  const full: readonly StoredTile[] = builder.fullTiles();
  for (const { level, index, bytes } of full) write(tilePath({ level, index, width: TILE_WIDTH }), publicTile(bytes));
  for (let level = 0; builder.openTile(level).length > 0 || tilesAtLevel(size, level).full > 0; level++) {
    const { full: index, partial: width } = tilesAtLevel(size, level);
    if (width > 0) write(tilePath({ level, index, width }), builder.openTile(level));
  }
  for (let start = 0; start < size; start += TILE_WIDTH) {
    const entries = leaves.slice(start, start + TILE_WIDTH);
    const tile = { level: "entries" as const, index: start / TILE_WIDTH, width: entries.length };
    write(tilePath(tile), encodeEntryBundle(entries));
  }
  const text = formatTreeHead({ origin: ORIGIN, size, root: builder.root(), extensions: [] });
  const log = namedKey("go-log");
  const { name, keyId } = noteKey(sha256, ORIGIN, NoteKeyType.ed25519, log.publicKey);
  write("checkpoint", formatNote({ text, signatures: [{ name, keyId, signature: log.sign(utf8(text)) }] }));
  return new TestTree(leaves);
}

const sampleOf = (size: number): number[] => [
  ...new Set([0, 1, 254, 255, 256, 257, Math.floor(size / 3), 65_535, 65_536, size - 2, size - 1]),
];

function writeCases(folder: string, tree: TestTree): number {
  const indexes = sampleOf(tree.size).filter((index) => index >= 0 && index < tree.size);
  const cases = {
    vkey: formatNoteKey(noteKey(sha256, ORIGIN, NoteKeyType.ed25519, namedKey("go-log").publicKey)),
    inclusion: indexes.map((index) => ({
      index,
      leaf: toBase64(tree.read(0, index)),
      path: tree.inclusion(index).map(toBase64),
    })),
    consistency: indexes.map((index) => ({
      first: index + 1,
      root: toBase64(tree.root(index + 1)),
      proof: tree.consistency(index + 1).map(toBase64),
    })),
  };
  writeFileSync(join(folder, "cases.json"), JSON.stringify(cases));
  return indexes.length;
}

describe("Go's transparency-log packages", () => {
  const missing = `needs ${PROGRAM}: run test/peers/setup-tlog-go.sh`;
  if (!existsSync(PROGRAM)) {
    if (process.env["SPINE_REQUIRE_PEERS"] === "1") {
      it(missing, () => {
        throw new Error(missing);
      });
    } else it.skip(missing);
    return;
  }

  let folder = "";
  beforeEach(() => {
    folder = mkdtempSync(join(tmpdir(), "spine-tlog-"));
  });
  afterEach(() => rmSync(folder, { recursive: true }));

  for (const size of [1, 2, 255, 256, 257, 1000, 66_000]) {
    it(`read our log of ${size} leaves and make the same proofs`, () => {
      const count = writeCases(folder, writeLog(folder, size));
      const answer = JSON.parse(execFileSync(PROGRAM, [folder], { encoding: "utf8" })) as Record<string, number>;
      assert.deepEqual(answer, { size, inclusion: count, consistency: count });
    });
  }

  it("refuse it when one byte of a tile or of the checkpoint is changed", () => {
    const tree = writeLog(folder, 300);
    writeCases(folder, tree);
    for (const path of ["checkpoint", "tile/0/000", "tile/0/001.p/44", "tile/entries/000"]) {
      const good = readFileSync(join(folder, path));
      const bad = Buffer.from(good);
      bad[20] = (bad[20] as number) ^ 1;
      writeFileSync(join(folder, path), bad);
      assert.throws(() => execFileSync(PROGRAM, [folder], { stdio: "pipe" }), path);
      writeFileSync(join(folder, path), good);
    }
    execFileSync(PROGRAM, [folder], { stdio: "pipe" });
  });
});
