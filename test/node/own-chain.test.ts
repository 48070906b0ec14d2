/** The keeper of the own chain: what it decides from store, mark, row and alarm, and how publishing waits for it. */
import assert from "node:assert/strict";
import { readdir, rm, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { createHighWater, type NodeDir, nodeDir, OwnChainKeeper, readHighWater } from "../../node/index.ts";
import { NOTHING_SIGNED, runOf } from "../../spine/index.ts";
import { MemoryStore } from "../../storage/index.ts";
import { chainBy, keyOf } from "../helpers/mesh-harness.ts";
import { temporaryFolders } from "../helpers/temporary.ts";

const KEY = keyOf(1);
const CHAIN = chainBy(KEY, 10);

describe("keeper of the own chain", () => {
  const folder = temporaryFolders();

  async function storeOf(count: number, frozenAt: number | null = null): Promise<MemoryStore> {
    const store = new MemoryStore();
    await store.open();
    const envelopes = CHAIN.slice(0, count);
    const last = envelopes.at(-1);
    const ranges = last === undefined ? [] : [{ from: 1, to: count, prev: null, last: last.hash }];
    const record = { issuer: KEY.issuer, admission: "own", ranges, prunedBelow: 0, frozenAt } as const;
    const runs = count === 0 ? [] : [runOf(envelopes)];
    await store.commit({ runs, heads: [], issuers: [record], forks: [], states: [], rows: [] });
    return store;
  }

  interface Over {
    readonly acceptForkRisk?: boolean;
    readonly willAsk?: boolean;
  }
  async function keeper(dir: NodeDir, store: MemoryStore, over: Over = {}) {
    const options = { dir, store, snapshot: await store.load(), issuer: KEY.issuer, onNote: () => undefined };
    return OwnChainKeeper.open({ ...options, acceptForkRisk: false, willAsk: true, ...over });
  }
  /** A node whose key was just made. */
  async function born() {
    const dir = nodeDir(await folder());
    await createHighWater(dir.highWater, "issuer", KEY.issuer, NOTHING_SIGNED);
    return dir;
  }
  /** A node that signed `count` envelopes and was stopped. */
  async function lived(count: number) {
    const dir = await born();
    const one = await keeper(dir, await storeOf(0));
    one.on({ type: "stored", run: runOf(CHAIN.slice(0, count)), link: null, isReal: true });
    await one.close();
    return dir;
  }
  /** A store of this many envelopes beside which a mark was kept. */
  async function keptStore(count: number): Promise<MemoryStore> {
    const store = await storeOf(count);
    await (await keeper(nodeDir(await folder()), store)).close();
    return store;
  }

  it("signs with a new key, whose mark is there before its chain", async () => {
    const one = await keeper(await born(), await storeOf(0));
    assert.equal(one.gate(), undefined);
    await one.close();
  });

  it("asks with a key that was restored alone, before anything is signed", async () => {
    for (const store of [await storeOf(0), await keptStore(0)]) {
      const one = await keeper(nodeDir(await folder()), store);
      assert.deepEqual([one.start.begin, one.start.acceptForkRisk], ["ask", false]);
      await one.close();
      const offline = await keeper(nodeDir(await folder()), store, { willAsk: false });
      await assert.rejects(offline.gate() as Promise<void>, { code: "fork_risk" });
      await offline.close();
    }
  });

  it("signs at or above the mark, asks below it", async () => {
    for (const [stored, begin] of [
      [5, "sign"],
      [7, "sign"],
      [4, "ask"],
      [0, "ask"],
    ] as const) {
      const dir = await lived(5);
      const one = await keeper(dir, await keptStore(stored));
      assert.deepEqual([one.start.begin, one.start.highWater?.seq], [begin, 5], `stored ${stored}`);
      await one.close();
      const { mark } = await readHighWater(dir.highWater, "issuer", KEY.issuer);
      assert.equal(mark?.seq, Math.max(5, stored));
    }
  });

  it("asks beside a missing mark or garbage, unless no mark was ever kept", async () => {
    const store = await keptStore(5);
    for (const damage of [rm, (path: string) => writeFile(path, "garbage")]) {
      const dir = await lived(5);
      await damage(dir.highWater);
      const one = await keeper(dir, store);
      assert.deepEqual([one.start.begin, one.start.acceptForkRisk], ["ask", false]);
      await one.close();
    }
    const dir = nodeDir(await folder());
    const old = await storeOf(5);
    const online = await keeper(dir, old);
    assert.deepEqual([online.start.begin, online.start.acceptForkRisk], ["ask", true]);
    await online.close();
    const offline = await keeper(nodeDir(await folder()), await storeOf(5), { willAsk: false });
    assert.equal(offline.gate(), undefined);
    await offline.close();
  });

  it("holds publishing back until the core knows, and says why when it refuses", async () => {
    const one = await keeper(await lived(5), await keptStore(3));
    const waiting = one.gate();
    assert.ok(waiting);
    one.on({ type: "own-chain", phase: "asking", top: null, answers: 0, sentAt: 0 });
    one.on({ type: "own-chain", phase: "refused", top: null, answers: 1, sentAt: 0 });
    await assert.rejects(waiting, { code: "fork_risk" });
    await assert.rejects(one.gate() as Promise<void>, /seq 3, but seq 5 was signed.*1 of 2 peers/);
    assert.match(one.warnings().join(), /Nothing is signed/);
    one.on({
      type: "own-chain",
      phase: "signing",
      top: { seq: 9, hash: CHAIN[8]?.hash as string },
      answers: 2,
      sentAt: 7,
    });
    assert.deepEqual([one.gate(), one.warnings(), one.seenSeconds], [undefined, [], 7]);
    await one.close();
  });

  it("raises the mark to where the chain goes on, before anything is signed", async () => {
    const dir = await lived(5);
    const one = await keeper(dir, await keptStore(3));
    one.on({
      type: "own-chain",
      phase: "signing",
      top: { seq: 9, hash: CHAIN[8]?.hash as string },
      answers: 2,
      sentAt: 7,
    });
    await one.close();
    assert.equal((await readHighWater(dir.highWater, "issuer", KEY.issuer)).mark?.seq, 9);
  });

  it("remembers the alarm over restarts until the operator clears it; a proven fork is never cleared", async () => {
    const dir = await lived(5);
    const one = await keeper(dir, await keptStore(5));
    one.on({ type: "own-key-conflict", seq: 6 });
    one.on({ type: "own-key-conflict", seq: 7 });
    await assert.rejects(one.gate() as Promise<void>, { code: "own_key_conflict" });
    await one.close();
    assert.ok((await readdir(dir.path)).includes("own-key-alarm"));
    const two = await keeper(dir, await keptStore(5));
    assert.deepEqual([two.start.begin, two.conflictAt], ["stopped", 6]);
    await two.close();
    const three = await keeper(dir, await keptStore(5), { acceptForkRisk: true });
    assert.equal(three.start.begin, "ask");
    await three.close();
    assert.equal((await readdir(dir.path)).includes("own-key-alarm"), false);
    const frozen = await keeper(dir, await storeOf(5, 4), { acceptForkRisk: true });
    assert.equal(frozen.start.begin, "stopped");
    await frozen.close();
    await writeFile(join(dir.path, "own-key-alarm"), "");
    const empty = await keeper(dir, await keptStore(5));
    assert.equal(empty.start.begin, "stopped");
    await empty.close();
  });
});
