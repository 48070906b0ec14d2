/** Token buckets and bounded tables. */
import assert from "node:assert/strict";
import fc from "fast-check";
import { BoundedMap, TokenBucket } from "../../spine/index.ts";

describe("TokenBucket", () => {
  it("never grants more than burst + rate × time, also when the clock steps back", () => {
    const steps = fc.array(fc.tuple(fc.integer({ min: -5_000, max: 5_000 }), fc.integer({ min: 1, max: 5 })), {
      maxLength: 200,
    });
    fc.assert(
      fc.property(steps, (list) => {
        const bucket = new TokenBucket(10, 20, 0);
        let [now, forward, granted] = [0, 0, 0];
        for (const [ms, cost] of list) {
          now += ms;
          forward += Math.max(0, ms);
          if (bucket.take(cost, now)) granted += cost;
        }
        assert.ok(granted <= 20 + forward / 100 + 1e-6);
      }),
    );
  });
  it("says when the tokens will be there", () => {
    const bucket = new TokenBucket(10, 20, 0);
    bucket.charge(30, 0);
    assert.equal(bucket.readyAt(1, 0), 1_100);
    assert.equal(bucket.take(1, 1_099), false);
    assert.equal(bucket.take(1, 1_100), true);
    assert.equal(bucket.readyAt(1_000, 1_100), 3_100, "no more than the burst can be waited for");
  });
});

describe("BoundedMap", () => {
  it("forgets what was set longest ago, and counts it", () => {
    const map = new BoundedMap<number, number>(3);
    for (const key of [1, 2, 3, 1, 4]) map.set(key, key);
    assert.deepEqual([[...map.entries()].map(([key]) => key), map.dropped, map.size], [[3, 1, 4], 1, 3]);
    assert.deepEqual([map.has(2), map.get(1), map.delete(1), map.size], [false, 1, true, 2]);
  });
});
