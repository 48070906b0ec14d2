/** What waits on a link: priority, order, bound and budget. */
import assert from "node:assert/strict";
import fc from "fast-check";
import { Outbox, TIERS, type Tier } from "../../spine/index.ts";

const frame = (tier: Tier, n: number, bytes = 10): Uint8Array => {
  const out = new Uint8Array(Math.max(2, bytes)).fill(tier);
  out[1] = n;
  return out;
};
const drain = (outbox: Outbox, now = 0): string[] => {
  const out: string[] = [];
  for (let next = outbox.take(now); next !== undefined; next = outbox.take(now)) out.push(`${next[0]}.${next[1]}`);
  return out;
};
const unlimited = { maxBytes: 1_000, bitrate: Number.POSITIVE_INFINITY };

describe("Outbox", () => {
  it("sends by tier, first in first out within one, and forgets nothing below its bound", () => {
    const pushes = fc.array(fc.constantFrom(...TIERS), { maxLength: 100 });
    fc.assert(
      fc.property(pushes, (tiers) => {
        const outbox = new Outbox(unlimited, 0);
        tiers.forEach((tier, n) => {
          assert.ok(outbox.push(frame(tier, n), tier));
        });
        const order = tiers.map((tier, n) => ({ tier, n })).sort((a, b) => a.tier - b.tier || a.n - b.n);
        assert.deepEqual(
          drain(outbox),
          order.map(({ tier, n }) => `${tier}.${n}`),
        );
        assert.deepEqual([outbox.bytes, outbox.length, outbox.dropped], [0, 0, 0]);
      }),
    );
  });
  it("drops the least urgent and newest when full, never tier 1 for others", () => {
    const outbox = new Outbox({ ...unlimited, maxBytes: 40 }, 0);
    for (const [tier, n] of [
      [7, 1],
      [7, 2],
      [1, 3],
      [3, 4],
    ] as const)
      outbox.push(frame(tier, n), tier);
    assert.equal(outbox.push(frame(1, 5), 1), true);
    assert.equal(outbox.push(frame(7, 6), 7), false);
    assert.equal(outbox.push(frame(2, 7, 30), 2), false, "two revocations leave no room");
    assert.equal(outbox.dropped, 5);
    assert.deepEqual(drain(outbox), ["1.3", "1.5"]);
  });
  it("stays within its bytes whatever is pushed", () => {
    const pushes = fc.array(fc.tuple(fc.constantFrom(...TIERS), fc.integer({ min: 2, max: 60 })), { maxLength: 200 });
    fc.assert(
      fc.property(pushes, (list) => {
        const outbox = new Outbox({ ...unlimited, maxBytes: 200 }, 0);
        for (const [tier, bytes] of list) {
          outbox.push(frame(tier, 0, bytes), tier);
          assert.ok(outbox.bytes <= 200);
        }
        assert.equal(outbox.length + outbox.dropped, list.length);
      }),
    );
  });
  it("keeps a slow link's budget, and lets the most urgent go first when it refills", () => {
    const outbox = new Outbox({ maxBytes: 100_000, bitrate: 8_000 }, 0);
    for (let n = 0; n < 10; n++) outbox.push(frame(7, n, 1_000), 7);
    let now = 0;
    let sent = 0;
    while (outbox.length > 0 && now < 60_000) {
      const next = outbox.take(now);
      if (next === undefined) {
        const ready = outbox.readyAt(now) as number;
        assert.ok(ready > now, "time must pass");
        now = ready;
        if (sent === 5_000) outbox.push(frame(1, 99, 1_000), 1);
        continue;
      }
      sent += next.length;
      assert.ok(sent <= 2_000 + now + 1_000, `${sent} bytes at ${now} ms`);
      if (sent === 6_000) assert.equal(next[0], 1);
    }
    assert.deepEqual([outbox.length, sent], [0, 11_000]);
    assert.equal(outbox.readyAt(now), undefined);
  });
  it("takes a single frame larger than everything, when nothing else waits", () => {
    const outbox = new Outbox({ maxBytes: 10, bitrate: 80 }, 0);
    assert.equal(outbox.push(frame(7, 1, 5_000), 7), true);
    assert.equal(outbox.take(0)?.length, 5_000);
  });
});
