/** Virtual time: order, cancellation and limits, against a list that is sorted each time. */
import assert from "node:assert/strict";
import { Rng, VirtualClock } from "../../sim/index.ts";

describe("the virtual clock", () => {
  it("runs tasks in order of time, then of scheduling, near or far, also those that tasks schedule", () => {
    const rng = new Rng(7);
    const clock = new VirtualClock(1_000.5);
    const expected: { readonly at: number; readonly id: number }[] = [];
    const ran: { readonly at: number; readonly id: number }[] = [];
    let count = 0;
    const plan = (): void => {
      const id = count++;
      // The same instant, within a millisecond, soon, beyond the buckets, much later.
      const far = [0, 0.25, 40, 5_000, 3_600_000][rng.integer(0, 5)] as number;
      const at = Math.round(clock.now() + rng.float() * far);
      const cancel = clock.schedule(at, () => {
        ran.push({ at: clock.now(), id });
        if (count < 5_000) for (let i = rng.integer(0, 3); i > 0; i--) plan();
      });
      if (rng.float() < 0.1) cancel();
      else expected.push({ at: Math.max(at, clock.now()), id });
    };
    for (let i = 0; i < 500; i++) plan();
    let until = clock.now();
    for (let turns = 0; ran.length < expected.length; turns++) {
      assert.ok(turns < 100_000);
      until += rng.float() * 10_000;
      while (clock.step(until)) assert.ok(clock.now() <= until);
      assert.equal(clock.now(), until);
    }
    assert.ok(ran.length > 1_000);
    assert.deepEqual(
      ran,
      [...expected].sort((a, b) => a.at - b.at || a.id - b.id),
    );
  });
  it("stands still at its limit, and goes on from there", () => {
    const clock = new VirtualClock(0);
    let ran = 0;
    clock.schedule(10.75, () => ran++);
    assert.equal(clock.step(10.5), false);
    assert.deepEqual([clock.now(), ran], [10.5, 0]);
    clock.schedule(3, () => ran++);
    assert.equal(clock.step(10.5), true);
    assert.equal(clock.step(11), true);
    assert.deepEqual([clock.now(), ran, clock.step(11)], [10.75, 2, false]);
  });
});
