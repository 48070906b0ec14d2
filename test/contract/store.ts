/** The promises of `storage/store.ts`, checked on any store in every lifecycle state. */
import assert from "node:assert/strict";
import {
  type Commit,
  type EnvelopeHash,
  EnvelopeState,
  RowTable,
  type Run,
  recordOffsets,
  sliceRun,
} from "../../spine/index.ts";
import type { Store } from "../../storage/index.ts";
import { collect, rejectsWith } from "../helpers/expect.ts";
import { SyntheticIssuer } from "../helpers/synthetic.ts";
import { storeModelTest } from "./store-commands.ts";
import { storeExtrasTest } from "./store-extras.ts";
import { compareRange, compareStore, compareUnverified, NOTHING, plain, StoreModel } from "./store-model.ts";

/** A store and what the suite needs to do to it from outside. */
export interface StoreSubject {
  readonly store: Store;
  /** Closes the store and opens its contents in a fresh object, as a new process would. */
  again(): Promise<Store>;
  /** Loses power instead of closing, then the same. Absent where a test cannot do that in one process. */
  crash?(): Promise<Store>;
  /** Makes the next commit fail. Absent where a test cannot. */
  failNext?(code: "store_failed" | "store_full"): void;
  dispose(): Promise<void>;
}
/** Makes an unopened, empty store. */
export type StoreFixture = () => Promise<StoreSubject>;

const unsigned = { signed: false };

export function storeContract(name: string, fixture: StoreFixture): void {
  describe(`store contract: ${name}`, () => {
    let subject: StoreSubject;
    let store: Store;
    let ada: SyntheticIssuer;
    let bob: SyntheticIssuer;

    beforeEach(async () => {
      subject = await fixture();
      store = subject.store;
      ada = new SyntheticIssuer("ada");
      bob = new SyntheticIssuer("bob");
    });
    afterEach(async () => {
      await subject.dispose();
    });

    const runsOf = (...runs: Run[]): Commit => ({ ...NOTHING, runs });

    describe("lifecycle", () => {
      const uses: Record<string, (hash: EnvelopeHash) => Promise<unknown>> = {
        load: () => store.load(),
        commit: () => store.commit(NOTHING),
        locate: (hash) => store.locate(hash),
        envelope: (hash) => store.envelope(hash),
        at: () => store.at(ada.issuer, 1),
        runs: () => collect(store.runs(ada.issuer, 1, 9)),
        records: () => collect(store.records(ada.issuer, 1, 9)),
        head: () => store.head(ada.issuer),
        forks: () => store.forks(),
        unverified: () => store.unverified(9),
        leaves: () => store.leaves(0, 9),
        leafBytes: () => store.leafBytes(0, 9),
        putTiles: () => store.putTiles([]),
        tile: async () => store.tile(0, 0),
        tileCount: () => store.tileCount(),
        prune: () => store.prune(ada.issuer, 1, 9),
        row: () => store.row(RowTable.guard, "a"),
        rows: () => collect(store.rows(RowTable.guard)),
        usage: () => store.usage(),
      };
      for (const [method, use] of Object.entries(uses)) {
        it(`${method} needs an open store, before and after and again`, async () => {
          const hash = ada.next(1, unsigned).hashes[0] as string;
          await rejectsWith("store_closed", () => use(hash));
          await store.open();
          await use(hash);
          await store.close();
          await rejectsWith("store_closed", () => use(hash));
          await store.open();
          await use(hash);
        });
      }

      it("opens and closes any number of times", async () => {
        await store.close();
        await Promise.all([store.open(), store.open()]);
        await store.open();
        await Promise.all([store.close(), store.close()]);
        await store.close();
        await store.open();
        assert.equal((await store.load()).logSize, 0);
      });

      it("finishes what was called before close", async () => {
        await store.open();
        const commits = [store.commit(runsOf(ada.next(3, unsigned))), store.commit(runsOf(ada.next(3, unsigned)))];
        const pruned = store.prune(ada.issuer, 2, 9);
        await store.close();
        await Promise.all(commits);
        assert.equal(await pruned, 1);
        store = await subject.again();
        assert.equal((await store.load()).logSize, 6);
      });

      it("ends a running read with store_closed when closed", async () => {
        await store.open();
        for (let i = 0; i < 3; i++) await store.commit(runsOf(ada.next(40, unsigned)));
        const reading = store.runs(ada.issuer, 1, 120)[Symbol.asyncIterator]();
        assert.equal((await reading.next()).done, false);
        await store.close();
        await rejectsWith("store_closed", () => reading.next());
      });

      it("is disposable", async () => {
        await store.open();
        await store[Symbol.asyncDispose]();
        await rejectsWith("store_closed", () => store.load());
      });
    });

    describe("commit", () => {
      beforeEach(async () => {
        await store.open();
      });

      it("keeps an empty store empty", async () => {
        await store.commit(NOTHING);
        await compareStore(store, new StoreModel(), [ada.issuer]);
      });

      it("stores everything a commit holds, also for the next process", async () => {
        const model = new StoreModel();
        const first: Commit = {
          runs: [ada.next(200), bob.next(3)],
          heads: [ada.head(200), bob.head(3)],
          issuers: [ada.record([1, 200]), { ...bob.record([1, 3]), frozenAt: 0, prunedBelow: 7, admission: "own" }],
          forks: [{ issuer: bob.issuer, seq: 2, proof: Uint8Array.of(1, 2, 3) }],
          states: [],
          rows: [],
        };
        const second: Commit = {
          runs: [ada.next(1)],
          heads: [ada.head(201)],
          issuers: [ada.record([1, 50], [60, 201])],
          forks: [{ issuer: bob.issuer, seq: 1, proof: Uint8Array.of(4) }],
          states: [],
          rows: [],
        };
        for (const commit of [first, second]) {
          assert.ok(model.commit(commit));
          await store.commit(commit);
          await compareStore(store, model, [ada.issuer, bob.issuer]);
        }
        await compareStore(await subject.again(), model, [ada.issuer, bob.issuer]);
      });

      it("numbers leaves in the order of runs and of commits", async () => {
        const [b, a1] = [bob.next(2, unsigned), ada.next(2, unsigned)];
        const a2 = ada.next(1, unsigned);
        await Promise.all([store.commit(runsOf(b, a1)), store.commit(runsOf(a2))]);
        assert.deepEqual(await store.leaves(0, 9), [...b.hashes, ...a1.hashes, ...a2.hashes]);
        assert.deepEqual(await store.leaves(1, 3), [b.hashes[1], ...a1.hashes]);
        assert.deepEqual(await store.leaves(4, 3), a2.hashes);
        assert.deepEqual(await store.leaves(5, 3), []);
        assert.deepEqual(await store.leaves(0, 0), []);
      });

      it("applies many concurrent commits in call order", async () => {
        const model = new StoreModel();
        const commits = Array.from({ length: 120 }, (_, i) => {
          const run = (i % 3 === 0 ? bob : ada).next(1 + (i % 4), unsigned);
          return { ...runsOf(run), issuers: [ada.record(), { ...bob.record(), prunedBelow: i }] };
        });
        await Promise.all(commits.map((commit) => store.commit(commit)));
        for (const commit of commits) assert.ok(model.commit(commit));
        await compareStore(store, model, [ada.issuer, bob.issuer]);
      });

      it("shows a commit wholly or not at all while others write", async () => {
        const seen: number[] = [];
        let writing = true;
        const reading = (async () => {
          while (writing) {
            const { logSize, issuers } = await store.load();
            const last = issuers.find(({ issuer }) => issuer === ada.issuer)?.ranges.at(-1)?.to ?? 0;
            assert.equal(logSize, last);
            seen.push(last);
          }
        })();
        for (let i = 0; i < 40; i++) {
          const run = ada.next(3, unsigned);
          await store.commit({ ...runsOf(run), issuers: [ada.record([1, ada.hashes.length])] });
        }
        writing = false;
        await reading;
        assert.deepEqual(
          seen,
          seen.toSorted((a, b) => a - b),
        );
      });

      it("does not keep the caller's buffers", async () => {
        const run = ada.next(2, unsigned);
        const [records, states] = [Buffer.from(run.records), Buffer.from(run.states)];
        const signature = new Uint8Array(64).fill(3);
        await store.commit(runsOf({ ...run, records, states }));
        await store.commit({ ...NOTHING, states: [{ issuer: ada.issuer, seq: 1, state: 2, signature }] });
        assert.ok(records.equals(run.records) && states.equals(run.states));
        records.fill(0);
        states.fill(0);
        const model = new StoreModel();
        model.commit(runsOf(run));
        model.commit({ ...NOTHING, states: [{ issuer: ada.issuer, seq: 1, state: 2, signature }] });
        await compareStore(store, model, [ada.issuer]);
      });

      it("takes records of every size a protocol allows", async () => {
        const model = new StoreModel();
        const big = ada.next(3, { fillerBytes: 64_000, signed: false });
        const small = ada.next(130, { fillerBytes: 0, signed: false });
        for (const run of [big, small]) {
          model.commit(runsOf(run));
          await store.commit(runsOf(run));
        }
        await compareStore(store, model, [ada.issuer]);
      });

      it("keeps numbers up to 2^53 - 1", async () => {
        const run = { ...ada.next(2, unsigned), from: Number.MAX_SAFE_INTEGER - 1 };
        const record = { ...ada.record(), frozenAt: Number.MAX_SAFE_INTEGER - 1, prunedBelow: 2 ** 40 };
        await store.commit({ ...runsOf(run), issuers: [record] });
        assert.equal((await store.at(ada.issuer, Number.MAX_SAFE_INTEGER))?.hash, run.hashes[1]);
        assert.deepEqual((await store.load()).issuers, [record]);
      });

      it("refuses a malformed commit, keeps nothing of it, and goes on", async () => {
        const good = bob.next(2, unsigned);
        const run = ada.next(3, unsigned);
        const bad: Run[] = [
          { ...run, hashes: [], states: new Uint8Array(0), records: new Uint8Array(0) },
          { ...run, states: new Uint8Array(2) },
          { ...run, states: Uint8Array.of(0, 1, 3) },
          { ...run, hashes: [...run.hashes.slice(0, 2), "0x12"] },
          { ...run, hashes: [...run.hashes.slice(0, 2), `0x${"g".repeat(64)}`] },
          { ...run, records: run.records.subarray(1) },
          { ...run, records: run.records.subarray(0, run.records.length - 1) },
          { ...run, from: Number.MAX_SAFE_INTEGER },
          { ...run, from: -1 },
          { ...run, from: 1.5 },
        ];
        for (const one of bad) await rejectsWith("internal", () => store.commit(runsOf(good, one)));
        await compareStore(store, new StoreModel(), [ada.issuer, bob.issuer]);
        await store.commit(runsOf(good, run));
      });
    });

    describe("nothing is ever overwritten", () => {
      const refused: Record<string, (all: Run) => Run[]> = {
        "the same run": (all) => [sliceRun(all, 11, 20) as Run],
        "a run that begins inside": (all) => [sliceRun(all, 20, 25) as Run],
        "a run that ends inside": (all) => [sliceRun(all, 1, 11) as Run],
        "a run around": (all) => [all],
        "two runs that overlap each other": (all) => [sliceRun(all, 21, 25) as Run, sliceRun(all, 25, 26) as Run],
      };
      for (const again of [false, true]) {
        for (const [what, pick] of Object.entries(refused)) {
          it(`refuses ${what}${again ? " after reopening" : ""}`, async () => {
            await store.open();
            const all = ada.next(30, unsigned);
            const model = new StoreModel();
            model.commit(runsOf(sliceRun(all, 11, 20) as Run));
            await store.commit(runsOf(sliceRun(all, 11, 20) as Run));
            if (again) store = await subject.again();
            const other = bob.next(1, unsigned);
            await rejectsWith("store_failed", () => store.commit(runsOf(other, ...pick(all))));
            await rejectsWith("store_failed", () => store.commit(runsOf(other)));
            await compareStore(store, model, [ada.issuer, bob.issuer]);
            store = await subject.again();
            const holes = [sliceRun(all, 1, 10) as Run, sliceRun(all, 21, 30) as Run];
            model.commit(runsOf(...holes, other));
            await store.commit(runsOf(...holes, other));
            await compareStore(store, model, [ada.issuer, bob.issuer]);
          });
        }
      }

      it("refuses an overwrite of a commit that is still waiting", async () => {
        await store.open();
        const run = ada.next(5, unsigned);
        const outcomes = await Promise.allSettled([
          store.commit(runsOf(run)),
          store.commit(runsOf(sliceRun(run, 3, 4) as Run)),
          store.commit(runsOf(bob.next(1, unsigned))),
        ]);
        assert.deepEqual(
          outcomes.map(({ status }) => status),
          ["fulfilled", "rejected", "rejected"],
        );
        assert.equal((await store.load()).logSize, 5);
      });
    });

    describe("reading", () => {
      let all: Run;
      const model = () => {
        const made = new StoreModel();
        for (const [from, to] of stored) made.commit(runsOf(sliceRun(all, from, to) as Run));
        return made;
      };
      const stored = [
        [150, 300],
        [1, 1],
        [2, 2],
        [3, 70],
        [80, 90],
      ] as const;
      beforeEach(async () => {
        await store.open();
        all = ada.next(300, unsigned);
        for (const [from, to] of stored) await store.commit(runsOf(sliceRun(all, from, to) as Run));
      });

      it("trims to any range and skips holes", async () => {
        const edges = [0, 1, 2, 3, 66, 67, 70, 71, 79, 80, 85, 90, 91, 149, 150, 213, 214, 300, 301, 1000];
        const expected = model();
        for (const from of edges) {
          for (const to of edges) await compareRange(store, expected, ada.issuer, from, to);
        }
      });

      it("finds each envelope by seq and by hash, and nothing else", async () => {
        const expected = model();
        for (let seq = 0; seq <= 302; seq++) {
          const wanted = plain(expected.at(ada.issuer, seq));
          assert.deepEqual(plain(await store.at(ada.issuer, seq)), wanted);
          const hash = all.hashes[seq - 1];
          if (hash !== undefined) assert.deepEqual(plain(await store.envelope(hash)), wanted);
        }
        assert.equal(await store.at(bob.issuer, 1), undefined);
        assert.equal(await store.head(ada.issuer), undefined);
        assert.deepEqual(await collect(store.runs(bob.issuer, 1, 9)), []);
      });

      it("gives record pieces that decode by themselves", async () => {
        for await (const piece of store.records(ada.issuer, 60, 160)) {
          assert.equal(recordOffsets(piece.records, piece.count).length, piece.count + 1);
        }
      });

      it("lets a reader stop early and the store close afterwards", async () => {
        for await (const run of store.runs(ada.issuer, 1, 300)) {
          assert.equal(run.from, 1);
          break;
        }
        await store.close();
      });
    });

    describe("states", () => {
      const { chain, signature, unsigned: unsignedState } = EnvelopeState;
      beforeEach(async () => {
        await store.open();
      });

      it("lists what is not verified, oldest first, until it is", async () => {
        const model = new StoreModel();
        const both = async (commit: Commit) => {
          model.commit(commit);
          await store.commit(commit);
        };
        await both(runsOf(bob.next(70, { ...unsigned, state: chain })));
        await both(runsOf(ada.next(5, unsigned), ada.next(100, { ...unsigned, state: chain })));
        const change = (seq: number, state: EnvelopeState) => ({ issuer: ada.issuer, seq, state });
        await both({ ...NOTHING, states: [change(6, signature), change(50, signature), change(105, unsignedState)] });
        for (const limit of [0, 1, 64, 65, 70, 71, 72, 113, 114, 115, 116, 1000]) {
          await compareUnverified(store, model, limit);
        }
        const rest = model.unverified(1000).map(({ issuer, seq }) => ({ issuer, seq, state: signature }));
        await both({ ...NOTHING, states: rest });
        assert.deepEqual(await store.unverified(9), []);
        await both({ ...NOTHING, states: [change(7, chain)] });
        await compareStore(store, model, [ada.issuer, bob.issuer]);
        await compareStore(await subject.again(), model, [ada.issuer, bob.issuer]);
      });

      it("replaces a signature and nothing else", async () => {
        const run = ada.next(3, { ...unsigned, state: chain });
        await store.commit(runsOf(run));
        const better = new Uint8Array(64).fill(9);
        const states = [{ issuer: ada.issuer, seq: 2, state: signature, signature: better }];
        await store.commit({ ...NOTHING, states });
        const before = new StoreModel();
        before.commit(runsOf(run));
        before.commit({ ...NOTHING, states });
        await compareStore(store, before, [ada.issuer]);
      });

      it("applies changes to runs of the same commit and drops those of unknown envelopes", async () => {
        const commit: Commit = {
          ...runsOf(ada.next(3, { ...unsigned, state: chain })),
          states: [
            { issuer: ada.issuer, seq: 2, state: signature, signature: new Uint8Array(64).fill(1) },
            { issuer: ada.issuer, seq: 3, state: unsignedState },
            { issuer: ada.issuer, seq: 4, state: signature },
            { issuer: bob.issuer, seq: 1, state: signature },
          ],
        };
        const model = new StoreModel();
        model.commit(commit);
        await store.commit(commit);
        await compareStore(store, model, [ada.issuer, bob.issuer]);
      });
    });

    describe("prune", () => {
      let model: StoreModel;
      const prune = async (below: number, limit: number) => {
        assert.equal(await store.prune(ada.issuer, below, limit), model.prune(ada.issuer, below, limit));
        await compareStore(store, model, [ada.issuer, bob.issuer]);
      };
      beforeEach(async () => {
        await store.open();
        model = new StoreModel();
        const all = ada.next(200, { ...unsigned, state: EnvelopeState.chain });
        const pieces = [sliceRun(all, 1, 130) as Run, bob.next(4, unsigned), sliceRun(all, 150, 200) as Run];
        for (const run of pieces) {
          model.commit(runsOf(run));
          await store.commit(runsOf(run));
        }
      });

      it("removes exactly what it says, in steps, and keeps leaves and locations", async () => {
        for (const [below, limit] of [
          [0, 9],
          [1, 9],
          [5, 0],
          [5, 9],
          [40, 10],
          [64, 99],
          [67, 99],
          [160, 70],
          [160, 99],
          [160, 99],
          [999, 99],
        ] as const) {
          await prune(below, limit);
        }
        assert.equal(await store.at(ada.issuer, 200), undefined);
        assert.equal(await store.envelope(ada.hashes[199] as string), undefined);
        assert.equal((await store.locate(ada.hashes[199] as string))?.seq, 200);
        assert.equal(await store.prune("aegis:ed25519:unknown", 9, 9), 0);
      });

      it("keeps what it is told to keep, whole and readable, over reopening", async () => {
        const kept = [
          { from: 1, to: 1 },
          { from: 63, to: 66 },
          { from: 129, to: 130 },
        ];
        for (const [below, limit] of [
          [2, 9],
          [40, 10],
          [64, 7],
          [100, 99],
          [199, 40],
          [199, 99],
          [199, 99],
        ] as const) {
          const removed = await store.prune(ada.issuer, below, limit, kept);
          assert.equal(removed, model.prune(ada.issuer, below, limit, kept));
          await compareStore(store, model, [ada.issuer, bob.issuer]);
        }
        store = await subject.again();
        await compareStore(store, model, [ada.issuer, bob.issuer]);
        for (const seq of [1, 63, 66, 130, 199]) assert.ok(await store.at(ada.issuer, seq), `seq ${seq}`);
        assert.equal(await store.at(ada.issuer, 128), undefined);
        const states = [{ issuer: ada.issuer, seq: 64, state: EnvelopeState.signature }];
        model.commit({ ...NOTHING, states });
        await store.commit({ ...NOTHING, states });
        await compareStore(store, model, [ada.issuer, bob.issuer]);
      });

      for (const again of [false, true]) {
        it(`takes nothing back below what was removed${again ? ", also after reopening" : ""}`, async () => {
          await prune(100, 99);
          if (again) store = await subject.again();
          const states = [{ issuer: ada.issuer, seq: 5, state: EnvelopeState.signature }];
          await store.commit({ ...NOTHING, states });
          const fresh = new SyntheticIssuer("ada");
          const old = fresh.next(20, unsigned);
          await rejectsWith("store_failed", () => store.commit(runsOf(old)));
          store = await subject.again();
          await compareStore(store, model, [ada.issuer, bob.issuer]);
          const next = ada.next(2, unsigned);
          model.commit(runsOf(next));
          await store.commit(runsOf(next));
          await compareStore(store, model, [ada.issuer, bob.issuer]);
        });
      }
    });

    describe("failures", () => {
      for (const code of ["store_failed", "store_full"] as const) {
        it(`keeps nothing of a commit that ended in ${code}, and refuses more until reopened`, async function () {
          if (subject.failNext === undefined) return this.skip();
          await store.open();
          const [first, second] = [ada.next(2, unsigned), ada.next(2, unsigned)];
          await store.commit(runsOf(first));
          subject.failNext(code);
          await rejectsWith(code, () => store.commit(runsOf(second)));
          await rejectsWith(code, () => store.commit(runsOf(bob.next(1, unsigned))));
          assert.equal((await store.load()).logSize, 2);
          await store.close();
          await store.open();
          await store.commit(runsOf(second));
          assert.equal((await store.load()).logSize, 4);
        });
      }

      it("keeps what was acknowledged before a crash and nothing of what was not", async function () {
        if (subject.crash === undefined) return this.skip();
        await store.open();
        await store.commit(runsOf(ada.next(2, unsigned)));
        const lost = store.commit(runsOf(ada.next(2, unsigned)));
        const crashed = subject.crash();
        await rejectsWith("store_closed", () => lost);
        assert.equal((await (await crashed).load()).logSize, 2);
      });
    });

    storeExtrasTest(fixture);
    storeModelTest(fixture);
  });
}
