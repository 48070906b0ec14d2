/** Every kind of damage is found by the store check, and what can be derived is rebuilt. */
import assert from "node:assert/strict";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { EnvelopeState, equalBytes, type Run, splitRecord, TileBuilder, walkRecords } from "../../spine/index.ts";
import { encodeBlock } from "../../storage/block.ts";
import { type CheckReport, checkStore, type FindingCode, LevelStore } from "../../storage/index.ts";
import {
  blockKey,
  leafKey,
  locationKey,
  Meta,
  metaKey,
  numberKey,
  Prefix,
  prefixRange,
  tileKey,
} from "../../storage/keys.ts";
import { type Engine, openEngine } from "../../storage/level-engine.ts";
import { seal } from "../../storage/seal.ts";
import { treeHasher } from "../../storage/tree-hasher.ts";
import { encodeHead, encodeNumber, encodePointer, hashBytes } from "../../storage/values.ts";
import { NOTHING } from "../contract/store-model.ts";
import { collect, rejectsWith } from "../helpers/expect.ts";
import { nodeVerifier, openSynthetic, SyntheticIssuer, sha256Hex } from "../helpers/synthetic.ts";

const ADA = 0;
const options = { verifier: nodeVerifier, sha256Hex, openSigningBytes: openSynthetic };

describe("store check", () => {
  let directory: string;
  let ada: SyntheticIssuer;
  let bob: SyntheticIssuer;

  /** Ada: 1..100 verified, 101..150 by chain; Bob: 5 of which 2 are pruned. */
  beforeEach(async () => {
    directory = await mkdtemp(join(tmpdir(), "spine-check-"));
    ada = new SyntheticIssuer("ada");
    bob = new SyntheticIssuer("bob");
    await using store = new LevelStore(directory);
    await store.open();
    await store.commit({ ...NOTHING, runs: [ada.next(100), bob.next(5)], issuers: [bob.record([1, 5])] });
    await store.commit({
      ...NOTHING,
      runs: [ada.next(50, { state: EnvelopeState.chain })],
      issuers: [ada.record([1, 150])],
      heads: [ada.head(150), bob.head(5)],
      forks: [{ issuer: ada.issuer, seq: 140, proof: Uint8Array.of(1) }],
    });
    await store.commit({ ...NOTHING, states: [{ issuer: ada.issuer, seq: 101, state: EnvelopeState.signature }] });
    await store.commit({ ...NOTHING, issuers: [{ ...bob.record([3, 5]), prunedBelow: 3 }] });
    assert.equal(await store.prune(bob.issuer, 3, 9), 2);
  });
  afterEach(() => rm(directory, { recursive: true, force: true }));

  async function damage(change: (engine: Engine) => Promise<unknown>): Promise<void> {
    const engine = await openEngine(directory);
    await change(engine);
    await engine.close();
  }

  async function contents(): Promise<{ runs: Run[]; leaves: readonly string[] }> {
    await using store = new LevelStore(directory);
    await store.open();
    const runs = [
      ...(await collect(store.runs(ada.issuer, 0, 999))),
      ...(await collect(store.runs(bob.issuer, 0, 999))),
    ];
    return { runs, leaves: await store.leaves(0, 999) };
  }

  function codes(report: CheckReport): FindingCode[] {
    return [...new Set(report.findings.map(({ code }) => code))].sort();
  }

  it("finds nothing wrong with a sound store, closed or open", async () => {
    let progress = 0;
    const report = await checkStore(directory, { ...options, onProgress: () => progress++ });
    assert.deepEqual(report, { envelopes: 153, findings: [], moreFindings: 0, repaired: 0 });
    assert.equal(progress, 0);
    await using store = new LevelStore(directory);
    await store.open();
    assert.deepEqual((await store.check(options)).findings, []);
    await rejectsWith("store_locked", () => checkStore(directory, options));
  });

  it("stops when told to", async () => {
    await assert.rejects(
      checkStore(directory, { ...options, signal: AbortSignal.abort(new Error("enough")) }),
      /enough/,
    );
  });

  const flip = async (engine: Engine, key: Uint8Array) => {
    const value = Uint8Array.from((await engine.get(key)) ?? assert.fail("no such entry"));
    value[value.length >> 1] = (value[value.length >> 1] as number) ^ 4;
    await engine.put(key, value);
  };
  const block = (seq: number) => blockKey(Prefix.block, ADA, seq);
  const location = (seq: number) => locationKey(hashBytes(ada.hashes[seq - 1] as string));

  /** Damage that repair undoes completely: the same contents, and a second check that finds nothing. */
  const derived: Record<string, [FindingCode[], (engine: Engine) => Promise<unknown>]> = {
    "a lost location": [["location_wrong"], (engine) => engine.del(location(70))],
    "a damaged location": [["entry_damaged", "location_wrong"], (engine) => flip(engine, location(70))],
    "a location that points elsewhere": [
      ["envelope_missing", "location_wrong"],
      async (engine) => {
        const key = location(70);
        const value = Uint8Array.from((await engine.get(key)) as Uint8Array).subarray(1, 19);
        value[11] = 200;
        await engine.put(key, seal(key, value));
      },
    ],
    "lost leaves": [["leaf_wrong"], (engine) => engine.del(leafKey(Prefix.leaves, 0))],
    "lost last leaves": [["log_size_wrong"], (engine) => engine.del(leafKey(Prefix.leaves, 105))],
    "damaged leaves": [["entry_damaged", "leaf_wrong"], (engine) => flip(engine, leafKey(Prefix.leaves, 0))],
    "a small log size": [
      ["log_size_wrong"],
      (engine) => engine.put(metaKey(Meta.logSize), encodeNumber(metaKey(Meta.logSize), 105)),
    ],
    "a damaged log size": [["log_size_wrong"], (engine) => flip(engine, metaKey(Meta.logSize))],
    "an unlisted unverified block": [["unverified_wrong"], (engine) => engine.clear(prefixRange(Prefix.unverified))],
    "a listed block without need": [
      ["unverified_wrong"],
      (engine) => engine.put(leafKey(Prefix.unverified, 0), encodePointer(leafKey(Prefix.unverified, 0), ADA, 1)),
    ],
    "a lost name": [["issuer_unknown"], (engine) => engine.del(numberKey(Prefix.name, ADA))],
    "states without a block": [
      ["states_orphan"],
      (engine) => engine.put(blockKey(Prefix.states, ADA, 7), seal(blockKey(Prefix.states, ADA, 7), Uint8Array.of(1))),
    ],
    "damaged states": [["entry_damaged"], (engine) => flip(engine, blockKey(Prefix.states, ADA, 101))],
    "a damaged record": [["entry_damaged", "range_wrong"], (engine) => flip(engine, numberKey(Prefix.record, ADA))],
    "a damaged head": [["entry_damaged"], (engine) => flip(engine, numberKey(Prefix.head, ADA))],
    "a damaged fork proof": [["entry_damaged"], (engine) => flip(engine, numberKey(Prefix.fork, ADA))],
  };
  for (const [what, [expected, change]] of Object.entries(derived)) {
    it(`finds and repairs ${what}`, async () => {
      const before = await contents();
      await damage(change);
      assert.deepEqual(codes(await checkStore(directory, options)), expected);
      const repaired = await checkStore(directory, { ...options, repair: true });
      assert.deepEqual(codes(repaired), expected);
      assert.ok(repaired.repaired > 0);
      assert.deepEqual((await checkStore(directory, options)).findings, []);
      const after = await contents();
      assert.deepEqual(after.leaves, before.leaves);
      if (what !== "damaged states") assert.deepEqual(after.runs, before.runs);
    });
  }

  it("finds and rebuilds a page of ranges", async () => {
    const eve = new SyntheticIssuer("eve");
    {
      await using store = new LevelStore(directory);
      await store.open();
      const runs: Run[] = [];
      for (let i = 0; i < 200; i++) {
        runs.push(eve.next(1));
        eve.next(1);
      }
      const spans = runs.map(({ from }) => [from, from] as const);
      await store.commit({ ...NOTHING, runs, issuers: [eve.record(...spans)] });
    }
    const ranges = async () => {
      await using store = new LevelStore(directory);
      await store.open();
      return (await store.load()).issuers.find(({ issuer }) => issuer === eve.issuer)?.ranges;
    };
    const before = await ranges();
    assert.equal(before?.length, 200);
    const page = blockKey(Prefix.ranges, 2, 1);
    for (const [change, expected] of [
      [(engine: Engine) => flip(engine, page), ["entry_damaged", "range_wrong"]],
      [(engine: Engine) => engine.del(page), ["range_wrong"]],
    ] as const) {
      await damage(change);
      assert.deepEqual(codes(await checkStore(directory, options)), expected);
      await checkStore(directory, { ...options, repair: true });
      assert.deepEqual((await checkStore(directory, options)).findings, []);
      assert.deepEqual(await ranges(), before);
    }
  });

  it("gives a store its format number back", async () => {
    await damage((engine) => engine.del(metaKey(Meta.format)));
    await rejectsWith("store_corrupt", () => checkStore(directory, options));
    assert.deepEqual(codes(await checkStore(directory, { ...options, repair: true })), ["entry_damaged"]);
    assert.deepEqual((await checkStore(directory, options)).findings, []);
  });

  it("keeps an issuer whose record was damaged closed and frozen", async () => {
    await damage((engine) => flip(engine, numberKey(Prefix.record, ADA)));
    await checkStore(directory, { ...options, repair: true });
    await using store = new LevelStore(directory);
    await store.open();
    const record = (await store.load()).issuers.find(({ issuer }) => issuer === ada.issuer);
    assert.deepEqual(record, { ...ada.record([1, 150]), admission: "denied", frozenAt: 140 });
  });

  it("moves a damaged block aside, and the rest stays readable", async () => {
    await damage((engine) => flip(engine, block(65)));
    await using store = new LevelStore(directory);
    await store.open();
    await rejectsWith("store_corrupt", () => store.at(ada.issuer, 70));
    await rejectsWith("store_corrupt", () => collect(store.runs(ada.issuer, 1, 150)));
    assert.equal((await store.at(ada.issuer, 64))?.hash, ada.hashes[63]);
    await store.close();
    const report = await checkStore(directory, { ...options, repair: true });
    assert.deepEqual(codes(report), ["entry_damaged", "envelope_missing", "range_wrong"]);
    await damage(async (engine) => {
      assert.equal((await engine.keys(prefixRange(Prefix.quarantine)).all()).length, 1);
    });
    await store.open();
    assert.deepEqual((await store.load()).issuers.find(({ issuer }) => issuer === ada.issuer)?.ranges, [
      ada.range(1, 64),
      ada.range(101, 150),
    ]);
    assert.equal(await store.at(ada.issuer, 70), undefined);
    assert.equal((await collect(store.runs(ada.issuer, 1, 150))).length, 2);
  });

  /** A block with sound checksums whose contents were changed by somebody who can compute them. */
  async function forge(change: (records: Uint8Array) => Uint8Array, seq = 1, count = 64): Promise<void> {
    const runs = (await contents()).runs;
    const run = runs.find(({ from }) => from === seq) as Run;
    await damage((engine) =>
      engine.put(block(seq), encodeBlock(block(seq), 0, new Uint8Array(count).fill(1), change(run.records.slice()))),
    );
  }

  it("finds changed signing bytes", async () => {
    await forge((records) => {
      const [first] = walkRecords(records);
      const at = Buffer.from(first?.signingBytes ?? []).indexOf("heartbeat");
      first?.signingBytes.set(Buffer.from("heartbeet"), at);
      return records;
    });
    const found = codes(await checkStore(directory, options));
    assert.deepEqual(found, ["link_broken", "location_wrong", "signature_invalid"]);
  });

  it("finds a signature that does not verify", async () => {
    await forge((records) => {
      const [first] = walkRecords(records);
      first?.signature.fill(1);
      return records;
    });
    const { findings } = await checkStore(directory, options);
    assert.deepEqual(
      findings.map(({ code, issuer, seq }) => ({ code, issuer, seq })),
      [{ code: "signature_invalid", issuer: ada.issuer, seq: 1 }],
    );
  });

  it("finds an envelope of another issuer, and bytes that are none", async () => {
    const other = new SyntheticIssuer("eve").next(64);
    await forge(() => other.records);
    assert.ok(codes(await checkStore(directory, options)).includes("envelope_invalid"));
    await forge((records) => {
      splitRecord(records, 0, 600).signingBytes.fill(0, 0, 100);
      return records;
    }).catch(() => undefined);
    assert.ok(codes(await checkStore(directory, options)).includes("envelope_invalid"));
  });

  it("finds two blocks that hold one seq", async () => {
    const run = (await contents()).runs[0] as Run;
    await damage((engine) =>
      engine.put(block(60), encodeBlock(block(60), 59, new Uint8Array(64).fill(1), run.records)),
    );
    assert.ok(codes(await checkStore(directory, options)).includes("envelope_invalid"));
  });

  it("finds a head of another hash than the stored one", async () => {
    const key = numberKey(Prefix.head, ADA);
    await damage((engine) => engine.put(key, encodeHead(key, { ...ada.head(150), seq: 149 })));
    assert.deepEqual(codes(await checkStore(directory, options)), ["head_wrong"]);
  });

  it("finds ranges that say more than is stored", async () => {
    await using store = new LevelStore(directory);
    await store.open();
    ada.next(1);
    await store.commit({ ...NOTHING, issuers: [ada.record([1, 151])] });
    await store.close();
    assert.deepEqual(codes(await checkStore(directory, { ...options, repair: true })), ["range_wrong"]);
    assert.deepEqual((await checkStore(directory, options)).findings, []);
  });

  describe("the log's tree", () => {
    const builder = (hashes: readonly string[]): TileBuilder => {
      const tiles = new TileBuilder(treeHasher);
      for (const hash of hashes) tiles.append(treeHasher.leaf(hashBytes(hash)));
      return tiles;
    };
    beforeEach(async () => {
      await using store = new LevelStore(directory);
      await store.open();
      await store.commit({ ...NOTHING, runs: [ada.next(450)], issuers: [ada.record([1, 600])] });
      await store.putTiles(builder(await store.leaves(0, 999)).fullTiles());
      assert.equal(await store.tileCount(), 2);
    });

    for (const [what, change] of Object.entries({
      "a tile of other leaves": (engine: Engine) =>
        engine.put(tileKey(0, 1), seal(tileKey(0, 1), new Uint8Array(16_352))),
      "a damaged tile": (engine: Engine) => engine.put(tileKey(0, 0), Uint8Array.of(1, 2, 3)),
      "a missing tile": (engine: Engine) => engine.del(tileKey(0, 0)),
      "a tile beyond the leaves": (engine: Engine) =>
        engine.put(tileKey(0, 9), seal(tileKey(0, 9), new Uint8Array(16_352))),
    })) {
      it(`finds and mends ${what}`, async () => {
        await damage(change);
        assert.deepEqual(codes(await checkStore(directory, options)), ["tile_wrong"]);
        await checkStore(directory, { ...options, repair: true });
        assert.deepEqual((await checkStore(directory, options)).findings, []);
        await using store = new LevelStore(directory);
        await store.open();
        const [expected] = builder(await store.leaves(0, 999)).fullTiles();
        assert.ok(equalBytes(store.tile(0, 0) as Uint8Array, expected?.bytes as Uint8Array));
      });
    }

    it("does not miss tiles that were not written yet", async () => {
      await damage((engine) => engine.del(tileKey(0, 1)));
      assert.deepEqual((await checkStore(directory, options)).findings, []);
    });

    it("compares the tree heads that the log signed with the leaves", async () => {
      const { leaves } = await contents();
      const log = (root: (size: number) => Uint8Array, last = 5) => ({
        issuer: bob.issuer,
        treeHeadOf: (signingBytes: Uint8Array) => {
          const { seq } = JSON.parse(Buffer.from(signingBytes).toString());
          const size = seq === 5 ? last : seq * 100;
          return { size, root: root(size) };
        },
      });
      const right = (size: number) => builder(leaves.slice(0, size)).root();
      const check = (one: ReturnType<typeof log>) => checkStore(directory, { ...options, log: one });
      assert.deepEqual((await check(log(right, 603))).findings, []);
      assert.deepEqual(codes(await check(log(right, 700))), ["root_wrong"]);
      const wrong = await check(log((size) => (size === 400 ? new Uint8Array(32) : right(size)), 600));
      assert.deepEqual(
        wrong.findings.map(({ code, seq }) => [code, seq]),
        [["root_wrong", 4]],
      );
    });
  });
});
