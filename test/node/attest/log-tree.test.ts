/** The log's tree over stored leaves: equal to RFC 6962 whatever was hashed when, restart-safe at every write. */
import assert from "node:assert/strict";
import { cp } from "node:fs/promises";
import { fileURLToPath } from "node:url";
import { LogTree, treeHasher } from "../../../node/index.ts";
import {
  equalBytes,
  fromHex,
  tileHashReader,
  tileWidth,
  verifyConsistency,
  verifyInclusion,
} from "../../../spine/index.ts";
import { checkStore, LevelStore, MemoryStore, type Store } from "../../../storage/index.ts";
import { NOTHING } from "../../contract/store-model.ts";
import { rejectsWith } from "../../helpers/expect.ts";
import { nodeVerifier, openSynthetic, SyntheticIssuer, sha256Hex } from "../../helpers/synthetic.ts";
import { temporaryFolders } from "../../helpers/temporary.ts";
import { TestTree } from "../../helpers/tree.ts";

const options = { verifier: nodeVerifier, sha256Hex, openSigningBytes: openSynthetic };
const FIXTURE = fileURLToPath(new URL("../../../../test/fixtures/store-v1/store", import.meta.url));

async function grow(store: Store, ada: SyntheticIssuer, count: number): Promise<void> {
  await store.commit({ ...NOTHING, runs: [ada.next(count, { signed: false })] });
}

/** The tree of the same leaves, hashed independently. */
async function expectedTree(store: Store): Promise<TestTree> {
  const leaves = await store.leaves(0, 1_000_000);
  return new TestTree(leaves.map((hash) => fromHex(hash.slice(2))));
}

function checkProofs(tree: LogTree, expected: TestTree, sizes: readonly number[]): void {
  for (const size of sizes) {
    const root = tree.root(size);
    assert.ok(equalBytes(root, expected.root(size)), `root of ${size}`);
    for (const index of [0, size >> 1, size - 1]) {
      const path = tree.inclusion(index, size);
      verifyInclusion(treeHasher, { leafHash: expected.read(0, index), index, size, path, root });
    }
    for (const first of [1, (size >> 1) + 1, size]) {
      const proof = tree.consistency(first, size);
      const firstRoot = tree.root(first);
      verifyConsistency(treeHasher, { first, second: size, firstRoot, secondRoot: root, proof });
    }
  }
}

describe("log tree", () => {
  const folder = temporaryFolders();

  it("equals the tree of the leaves at every size, whatever was hashed in which steps", async () => {
    const store = new MemoryStore();
    await store.open();
    const ada = new SyntheticIssuer("ada");
    const tree = new LogTree(store);
    const steps = [1, 2, 253, 1, 255, 600, 1, 4000];
    for (const count of steps) {
      await grow(store, ada, count);
      await tree.advance(ada.hashes.length);
      assert.equal(tree.size, ada.hashes.length);
    }
    const expected = await expectedTree(store);
    checkProofs(tree, expected, [1, 2, 3, 255, 256, 257, 511, 512, 513, 1112, 5113]);
    const read = tileHashReader(treeHasher, (level, index, width) => tree.publicTile(level, index, width));
    for (const [level, index] of [
      [0, 5112],
      [3, 600],
      [8, 3],
      [9, 8],
      [10, 3],
      [12, 0],
    ] as const) {
      assert.ok(equalBytes(read(level, index), expected.read(level, index)), `node ${level}/${index}`);
    }
    assert.equal(await store.tileCount(), 19);
  });

  it("refuses sizes and tiles that are not hashed yet, and sizes beyond the log", async () => {
    const store = new MemoryStore();
    await store.open();
    await grow(store, new SyntheticIssuer("ada"), 300);
    const tree = new LogTree(store);
    await rejectsWith("proof_index", async () => tree.root(1));
    await tree.advance(280);
    assert.equal(tree.size, 280);
    await rejectsWith("proof_index", async () => tree.root(281));
    await rejectsWith("proof_index", async () => tree.inclusion(280, 280));
    await rejectsWith("proof_index", async () => tree.consistency(0, 280));
    await rejectsWith("proof_index", async () => tree.publicTile(0, 1, tileWidth(280, 0, 1) + 1));
    await rejectsWith("proof_index", async () => tree.publicTile(1, 0, 2));
    await rejectsWith("proof_index", () => tree.advance(301));
    await tree.advance(300);
    assert.equal(tree.size, 300);
  });

  it("goes on after a failed write and after a stop from what is stored", async () => {
    const store = new MemoryStore();
    await store.open();
    const ada = new SyntheticIssuer("ada");
    await grow(store, ada, 10_000);
    const tree = new LogTree(store);
    const stop = new AbortController();
    const stopped = tree.advance(10_000, stop.signal);
    stop.abort(new Error("stopped"));
    await assert.rejects(stopped, /stopped/);
    store.failNext("store_full");
    await rejectsWith("store_full", () => tree.advance(10_000));
    await store.close();
    await store.open();
    await tree.advance(10_000);
    checkProofs(tree, await expectedTree(store), [256, 9_999, 10_000]);
  });

  it("is the same after a stop behind any tile write", async function () {
    this.timeout(20_000);
    const store = new MemoryStore();
    await store.open();
    const ada = new SyntheticIssuer("ada");
    await grow(store, ada, 256 * 5 + 7);
    const expected = await expectedTree(store);
    // Every prefix of the tiles that may be on disk when the process is killed.
    for (let kept = 0; kept <= 5; kept++) {
      const cut = new MemoryStore();
      await cut.open();
      const again = new SyntheticIssuer("ada");
      await grow(cut, again, 256 * 5 + 7);
      const first = new LogTree(cut);
      await first.advance(256 * kept);
      assert.equal(await cut.tileCount(), kept);
      const tree = new LogTree(cut);
      await tree.advance(256 * 5 + 7);
      checkProofs(tree, expected, [1, 256 * kept + 1, 256 * 5, 256 * 5 + 7]);
    }
  });

  it("hashes the log of a store of format 1 and passes its check", async () => {
    const directory = await folder();
    await cp(FIXTURE, directory, { recursive: true });
    const store = new LevelStore(directory);
    await store.open();
    const { logSize } = await store.load();
    assert.ok(logSize > 0);
    const tree = new LogTree(store);
    await tree.advance(logSize);
    checkProofs(tree, await expectedTree(store), [1, logSize]);
    await store.close();
    assert.deepEqual((await checkStore(directory, options)).findings, []);
  });
});
