/** The part of the store contract about what stands beside envelopes: rows of the node's parts, tiles of the log. */
import assert from "node:assert/strict";
import { type Commit, equalBytes, type Row, RowTable, type Run, STORED_TILE_BYTES } from "../../spine/index.ts";
import type { Store } from "../../storage/index.ts";
import { collect, rejectsWith } from "../helpers/expect.ts";
import { SyntheticIssuer } from "../helpers/synthetic.ts";
import type { StoreFixture, StoreSubject } from "./store.ts";
import { NOTHING } from "./store-model.ts";

const unsigned = { signed: false };
const runsOf = (...runs: Run[]): Commit => ({ ...NOTHING, runs });

export function storeExtrasTest(fixture: StoreFixture): void {
  let subject: StoreSubject;
  let store: Store;
  let ada: SyntheticIssuer;

  beforeEach(async () => {
    subject = await fixture();
    store = subject.store;
    ada = new SyntheticIssuer("ada");
  });
  afterEach(() => subject.dispose());

  describe("ranges", () => {
    it("keeps any number of them, whatever changes where, over reopening", async () => {
      await store.open();
      ada.next(1_000, unsigned);
      const record = (seqs: readonly number[]) => ada.record(...seqs.map((seq) => [seq, seq] as const));
      const every = (step: number, to: number) =>
        Array.from({ length: Math.floor(to / step) }, (_, i) => (i + 1) * step);
      // The same objects where nothing changed, as the core has them.
      let held = record(every(2, 2));
      const grow = async (next: typeof held) => {
        const known = new Map(held.ranges.map((range) => [`${range.from}-${range.to}`, range]));
        held = { ...next, ranges: next.ranges.map((range) => known.get(`${range.from}-${range.to}`) ?? range) };
        await store.commit({ ...NOTHING, issuers: [held] });
        assert.deepEqual((await store.load()).issuers, [held]);
      };
      for (const count of [63, 64, 65, 66, 128, 129, 300]) await grow(record(every(2, 2 * count)));
      // A hole in the middle closes: everything behind it moves down.
      const closed = every(2, 600).filter((seq) => seq !== 100 && seq !== 102);
      const spans = closed.map((seq): [number, number] => [seq, seq]);
      await grow(ada.record(...[...spans, [100, 102] as [number, number]].sort(([a], [b]) => a - b)));
      store = await subject.again();
      assert.deepEqual((await store.load()).issuers, [held]);
      await grow(ada.record([1, 600], [610, 610]));
      store = await subject.again();
      assert.deepEqual((await store.load()).issuers, [held]);
      await grow(record(every(3, 900)));
      store = await subject.again();
      assert.deepEqual((await store.load()).issuers, [held]);
    });
  });

  describe("rows", () => {
    const row = (table: RowTable, key: string, value: string | null): Row => ({
      table,
      key,
      value: value === null ? null : Buffer.from(value),
    });
    const keysOf = async (table: RowTable, prefix?: string) =>
      (await collect(store.rows(table, prefix))).map(({ key, value }) => `${key}=${Buffer.from(value)}`);
    beforeEach(() => store.open());

    it("keeps the last word on each, table by table, also after reopening", async () => {
      const rows = [
        row(RowTable.guard, "b", "1"),
        row(RowTable.guard, "é", "2"),
        row(RowTable.guard, "a/2", "3"),
        row(RowTable.guard, "a/1", "4"),
        row(RowTable.witness, "a/1", ""),
        row(RowTable.guard, "b", "5"),
        row(RowTable.log, "gone", "6"),
      ];
      await store.commit({ ...NOTHING, rows });
      await store.commit({ ...NOTHING, rows: [row(RowTable.log, "gone", null), row(RowTable.log, "never", null)] });
      for (let round = 0; round < 2; round++) {
        assert.deepEqual(await keysOf(RowTable.guard), ["a/1=4", "a/2=3", "b=5", "é=2"]);
        assert.deepEqual(await keysOf(RowTable.guard, "a/"), ["a/1=4", "a/2=3"]);
        assert.deepEqual(await keysOf(RowTable.witness), ["a/1="]);
        assert.deepEqual(await keysOf(RowTable.log), []);
        assert.equal(String(Buffer.from((await store.row(RowTable.guard, "b")) as Uint8Array)), "5");
        assert.equal(await store.row(RowTable.log, "gone"), undefined);
        store = await subject.again();
      }
    });

    it("are written with the envelopes of their commit, or not at all", async () => {
      const run = ada.next(2, unsigned);
      await store.commit({ ...runsOf(run), rows: [row(RowTable.log, "size", "2")] });
      await rejectsWith("store_failed", () => store.commit({ ...runsOf(run), rows: [row(RowTable.log, "size", "4")] }));
      store = await subject.again();
      assert.deepEqual(await keysOf(RowTable.log), ["size=2"]);
    });

    it("refuses malformed ones before anything is written", async () => {
      const bad = [
        row(99 as RowTable, "a", ""),
        row(RowTable.log, "", ""),
        row(RowTable.log, "k".repeat(513), ""),
        { table: RowTable.log, key: "a", value: new Uint8Array(1_048_577) },
      ];
      for (const one of bad)
        await rejectsWith("internal", () => store.commit({ ...NOTHING, rows: [row(RowTable.log, "ok", ""), one] }));
      assert.deepEqual(await keysOf(RowTable.log), []);
    });
  });

  describe("tiles", () => {
    const tile = (level: number, index: number, fill: number) => ({
      level,
      index,
      bytes: new Uint8Array(STORED_TILE_BYTES).fill(fill),
    });

    it("keeps tiles over stored leaves only, all or none of a call, over reopening", async () => {
      await store.open();
      await store.commit(runsOf(ada.next(700, unsigned)));
      assert.equal(await store.tileCount(), 0);
      assert.equal(store.tile(0, 0), undefined);
      await rejectsWith("internal", () => store.putTiles([tile(0, 0, 1), tile(0, 2, 1)]));
      await rejectsWith("internal", () => store.putTiles([tile(1, 0, 1)]));
      await rejectsWith("internal", () => store.putTiles([{ level: 0, index: 0, bytes: new Uint8Array(32) }]));
      assert.equal(await store.tileCount(), 0);
      await store.putTiles([tile(0, 0, 1), tile(0, 1, 2)]);
      await store.putTiles([tile(0, 1, 3)]);
      store = await subject.again();
      assert.equal(await store.tileCount(), 2);
      assert.ok(equalBytes(store.tile(0, 0) as Uint8Array, tile(0, 0, 1).bytes));
      assert.ok(equalBytes(store.tile(0, 1) as Uint8Array, tile(0, 1, 3).bytes));
      assert.equal(store.tile(0, 2), undefined);
      assert.equal(store.tile(1, 0), undefined);
    });

    it("hands out leaves as bytes across commits of any size", async () => {
      await store.open();
      for (const count of [1, 300, 1, 256, 40]) await store.commit(runsOf(ada.next(count, unsigned)));
      for (const [from, limit] of [
        [0, 598],
        [0, 0],
        [300, 2],
        [299, 600],
        [597, 9],
        [598, 9],
      ] as const) {
        const texts = (await store.leaves(from, limit)).map((hash) => hash.slice(2)).join("");
        assert.equal(Buffer.from(await store.leafBytes(from, limit)).toString("hex"), texts);
      }
    });
  });
}
