/** When logs make checkpoints: bounds for any sequence of leaves, and no storm among fifty logs that log each other. */
import assert from "node:assert/strict";
import fc from "fast-check";
import {
  CHECKPOINT_INTERVAL_MS,
  type CheckpointCadence,
  checkpointDue,
  checkpointMade,
  clockSeen,
  isQuietLeaf,
  leafAppended,
} from "../../spine/index.ts";

const REAL = "aegis.spine.fact.incident.v1";
const CHECKPOINT = "aegis.spine.fact.log_checkpoint.v1";
const idle: CheckpointCadence = { lastAt: null, pendingSince: null };

describe("checkpoint cadence", () => {
  it("is asked for by real leaves only", () => {
    for (const kind of ["log_checkpoint", "heartbeat", "node_attestation", "witness_signature"]) {
      for (const prefix of ["aegis", "clawdstrike"]) {
        const schema = `${prefix}.spine.fact.${kind}.v1`;
        assert.ok(isQuietLeaf(schema), schema);
        assert.equal(checkpointDue(leafAppended(idle, schema, 5)), null);
      }
    }
    for (const schema of [REAL, "clawdstrike.run_receipt.v1", "unknown", "clawdstrike.marketplace.revocation.v1"]) {
      assert.ok(!isQuietLeaf(schema), schema);
      assert.notEqual(checkpointDue(leafAppended(idle, schema, 5)), null);
    }
  });

  it("comes at least 5 s apart and soon after a real leaf, even when the clock is set back", () => {
    const leaf = fc.record(
      { waitMs: fc.integer({ min: 0, max: 20_000 }), isReal: fc.boolean() },
      { noNullPrototype: true },
    );
    fc.assert(
      fc.property(fc.array(leaf, { maxLength: 50 }), fc.integer({ min: 0, max: 1e9 }), (leaves, setBackMs) => {
        let now = 1_800_000_000_000;
        let cadence = idle;
        let elapsed = 0;
        let last = Number.NEGATIVE_INFINITY;
        let waiting: number | null = null;
        for (const [i, { waitMs, isReal }] of leaves.entries()) {
          let left: number = waitMs;
          for (;;) {
            cadence = clockSeen(cadence, now);
            const due = checkpointDue(cadence);
            const wait = due === null ? left : Math.max(0, due - now);
            if (due === null || wait > left) break;
            [now, elapsed, left] = [now + wait, elapsed + wait, left - wait];
            assert.ok(elapsed - last >= CHECKPOINT_INTERVAL_MS);
            // The clock is set back once, which may cost one more interval.
            assert.ok(waiting !== null && elapsed - waiting <= 2 * CHECKPOINT_INTERVAL_MS);
            [cadence, last, waiting] = [checkpointMade(now), elapsed, null];
          }
          [now, elapsed] = [now + left, elapsed + left];
          cadence = leafAppended(cadence, isReal ? REAL : CHECKPOINT, now);
          if (isReal) waiting ??= elapsed;
          if (i === Math.floor(leaves.length / 2)) now -= setBackMs;
        }
      }),
    );
  });

  it("makes one checkpoint a log when fifty logs take in each other's checkpoints", () => {
    const logs: CheckpointCadence[] = Array.from({ length: 50 }, () => leafAppended(idle, REAL, 0));
    let made = 0;
    for (let now = 0; now <= 120_000; now += 100) {
      for (let i = 0; i < logs.length; i++) {
        const due = checkpointDue(logs[i] as CheckpointCadence);
        if (due === null || due > now) continue;
        logs[i] = checkpointMade(now);
        made += 1;
        for (let j = 0; j < logs.length; j++) logs[j] = leafAppended(logs[j] as CheckpointCadence, CHECKPOINT, now);
      }
    }
    assert.equal(made, 50);
  });
});
