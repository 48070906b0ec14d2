/** Retention on a real store: which facts go, which stay, that proofs remain, and that a crash in between is made good. */
import assert from "node:assert/strict";
import { join } from "node:path";
import {
  expiresAt,
  initDir,
  LogTree,
  nodeDir,
  planPruning,
  type RetentionOptions,
  type RetentionRules,
  Runtime,
  resolveConfig,
  retentionNow,
  runRetention,
  treeHasher,
} from "../../node/index.ts";
import { type Envelope, fromHex, type JsonObject, verifyInclusion } from "../../spine/index.ts";
import { chainBy, keyOf } from "../helpers/mesh-harness.ts";
import { assertCleanStore } from "../helpers/store-check.ts";
import { temporaryFolders } from "../helpers/temporary.ts";

const DAY = 86_400_000;
const NOW = Date.now();
const ADA = keyOf(1);
const REVOCATION: JsonObject = {
  schema: "aegis.spine.fact.revocation.v1",
  fact_id: "rev_1",
  bundle_hash: `0x${"12".repeat(32)}`,
  reason: "test",
  revoked_at: "2026-01-01T00:00:00Z",
};
const RULES: RetentionRules = { kinds: new Map([["heartbeat", 30]]), defaultDays: 0 };

/** 300 heartbeats, one a day up to now, with two revocations and, from seq 250 on, notes among them. */
function chain(): Envelope[] {
  return chainBy(ADA, 300, (seq) => {
    const issuedAtMs = NOW - (300 - seq) * DAY;
    if (seq === 1 || seq === 100) return { fact: REVOCATION, issuedAtMs };
    if (seq >= 250 && seq % 10 === 0) return { fact: { schema: "aegis.spine.fact.note.v1", text: "kept" }, issuedAtMs };
    return { issuedAtMs };
  });
}

describe("retention", function () {
  this.timeout(30_000);
  const folder = temporaryFolders();
  const { signal } = new AbortController();

  async function open(dir: ReturnType<typeof nodeDir>): Promise<Runtime> {
    const config = resolveConfig({ file: { planes: { libp2p: { enabled: false } } }, env: {}, flags: {} });
    return Runtime.open({ dir, config, onEvent: () => undefined });
  }
  async function holder() {
    const dir = nodeDir(join(await folder(), "node"));
    await initDir(dir, { open: false, forceNew: false });
    const runtime = await open(dir);
    await runtime.admit(ADA.issuer, "allowed");
    const outcomes = await runtime.driver.offer(chain());
    assert.ok(outcomes.every((outcome) => outcome === "added"));
    return { dir, runtime };
  }
  function optionsOf(runtime: Runtime, over: Partial<RetentionOptions> = {}): RetentionOptions {
    const { store, driver, issuer } = runtime;
    return {
      ...{ store, driver, issuer },
      rules: RULES,
      own: false,
      now: () => NOW,
      onPruned: () => undefined,
      ...over,
    };
  }
  const spans = (runtime: Runtime) => runtime.driver.mesh.issuer(ADA.issuer)?.ranges.map(({ from, to }) => [from, to]);
  /** Heads are what retention takes the time from; an import brings none. */
  async function withHead(runtime: Runtime): Promise<void> {
    await runtime.publisher.publish([{ schema: "aegis.spine.fact.note.v1", text: "now" }]);
    while (runtime.driver.mesh.load.commits > 0) await new Promise((resolve) => setTimeout(resolve, 5));
    await runtime.driver.settled();
  }

  it("knows how long each kind lasts", () => {
    assert.equal(expiresAt(RULES, "aegis.spine.fact.heartbeat.v1", 0), 30 * DAY);
    assert.equal(expiresAt(RULES, "clawdstrike.spine.fact.heartbeat.v1", 0), 30 * DAY);
    assert.equal(expiresAt(RULES, "aegis.spine.fact.note.v1", 0), Number.POSITIVE_INFINITY);
    const all = {
      kinds: new Map([
        ["revocation", 1],
        ["my.own.schema", 2],
      ]),
      defaultDays: 7,
    };
    assert.equal(expiresAt(all, "aegis.spine.fact.note.v1", 0), 7 * DAY);
    assert.equal(expiresAt(all, "my.own.schema", 0), 2 * DAY);
    for (const kind of ["revocation", "genesis", "succession", "node_attestation"])
      assert.equal(expiresAt(all, `aegis.spine.fact.${kind}.v1`, 0), Number.POSITIVE_INFINITY);
  });

  it("goes by no clock that runs years ahead of what the mesh says", () => {
    const heads = [
      { issuer: "a", sentAt: NOW / 1000 - 60 },
      { issuer: "self", sentAt: NOW / 1000 + 1e9 },
    ];
    const options = { issuer: "self", own: false, now: () => NOW + 1_000 * DAY };
    assert.equal(retentionNow(heads, options), NOW - 60_000 + DAY);
    assert.equal(retentionNow(heads, { ...options, now: () => NOW }), NOW);
    assert.equal(retentionNow([], options), DAY);
  });

  it("prunes what outlived its kind, keeps what acts, and announces it", async () => {
    const { dir, runtime } = await holder();
    await withHead(runtime);
    const pruned: number[] = [];
    const options = optionsOf(runtime, { own: true, onPruned: (_, below, removed) => pruned.push(below, removed) });
    await runRetention(options, signal);
    assert.deepEqual(spans(runtime), [
      [1, 1],
      [100, 100],
      [250, 300],
    ]);
    assert.deepEqual(pruned, [250, 247]);
    assert.equal(runtime.driver.mesh.issuer(ADA.issuer)?.prunedBelow, 250);
    await runRetention(options, signal);
    assert.equal(pruned.length, 2, "nothing more to do");
    const [again] = await runtime.driver.offer(chain().slice(4, 5));
    assert.equal(again, "duplicate");
    await runtime.close();
    await assertCleanStore(dir.path);
    const later = await open(dir);
    assert.equal((await later.store.at(ADA.issuer, 100))?.seq, 100);
    await later.close();
  });

  it("leaves every proof as it was", async () => {
    const { runtime } = await holder();
    await withHead(runtime);
    const size = (await runtime.store.load()).logSize;
    const before = new LogTree(runtime.store);
    await before.advance(size);
    const root = before.root(size);
    await runRetention(optionsOf(runtime, { own: true }), signal);
    const gone = chain()[49] as Envelope;
    assert.equal(await runtime.store.envelope(gone.hash), undefined);
    const index = (await runtime.store.locate(gone.hash))?.leafIndex as number;
    const after = new LogTree(runtime.store);
    await after.advance(size);
    assert.deepEqual(after.root(size), root);
    const leaf = treeHasher.leaf(fromHex(gone.hash.slice(2), 32));
    verifyInclusion(treeHasher, { leafHash: leaf, index, size, path: after.inclusion(index, size), root });
    await runtime.close();
  });

  it("finishes after a crash between record and store", async () => {
    const { dir, runtime } = await holder();
    const record = runtime.driver.mesh.issuer(ADA.issuer);
    assert.ok(record);
    const plan = await planPruning(runtime.store, record, RULES, NOW);
    assert.ok(plan);
    await runtime.driver.change({ type: "prune", issuer: ADA.issuer, plan });
    await runtime.close();
    await assertCleanStore(dir.path);
    const again = await open(dir);
    assert.ok(await again.store.at(ADA.issuer, 50));
    await runRetention(optionsOf(again), signal);
    assert.equal(await again.store.at(ADA.issuer, 50), undefined);
    assert.ok(await again.store.at(ADA.issuer, 100));
    await again.close();
    await assertCleanStore(dir.path);
  });

  it("stops before more would have to stay than ranges can name, and prunes no few", async () => {
    const { runtime } = await holder();
    const record = runtime.driver.mesh.issuer(ADA.issuer);
    assert.ok(record);
    assert.equal(await planPruning(runtime.store, record, RULES, NOW - 230 * DAY), undefined);
    const short = { kinds: new Map(), defaultDays: 1 };
    const plan = await planPruning(runtime.store, record, short, NOW + 10 * DAY);
    assert.deepEqual([plan?.below, plan?.kept.length], [300, 2], "the newest stays");
    await runtime.close();
  });
});
