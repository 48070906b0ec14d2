/** Denials are remembered over restarts, in order, up to a bound, and each is reported once. */
import assert from "node:assert/strict";
import { keptDenials } from "../../../node/hooks/denial-memory.ts";
import { type Row, RowTable, utf8 } from "../../../spine/index.ts";
import { MemoryStore } from "../../../storage/index.ts";
import { NOTHING } from "../../contract/store-model.ts";

describe("memory of denials", () => {
  async function over(store: MemoryStore) {
    return keptDenials(store, (rows: readonly Row[]) => store.commit({ ...NOTHING, rows }));
  }
  async function count(store: MemoryStore): Promise<number> {
    let rows = 0;
    for await (const { key } of store.rows(RowTable.guard)) if (key.startsWith("denial/")) rows++;
    return rows;
  }

  it("outlives a restart and tells each call once", async () => {
    const store = new MemoryStore();
    await store.open();
    await store.commit({ ...NOTHING, rows: [{ table: RowTable.guard, key: "policy", value: utf8("{}") }] });
    const first = await over(store);
    await first.add("a", "0x1");
    await first.add("b", null);
    const second = await over(store);
    assert.deepEqual(await second.take("a"), { envelopeHash: "0x1" });
    assert.equal(await second.take("a"), undefined);
    const third = await over(store);
    assert.equal(await third.take("a"), undefined);
    assert.deepEqual(await third.take("b"), { envelopeHash: null });
    assert.equal(await count(store), 0);
  });

  it("forgets the oldest beyond its bound, over restarts too", async function () {
    this.timeout(20_000);
    const store = new MemoryStore();
    await store.open();
    const first = await over(store);
    for (let i = 0; i < 4_096; i++) await first.add(`call ${i}`, null);
    const second = await over(store);
    await second.add("call 1", "0x2");
    await second.add("one more", null);
    assert.equal(await count(store), 4_096);
    assert.equal(await second.take("call 0"), undefined);
    assert.deepEqual(await second.take("call 1"), { envelopeHash: "0x2" });
    assert.ok(await second.take("call 2"));
  });
});
