/**
 * Any interleaving of one set of facts, over any history of partitions and crashes, ends the same on every node (rules 6,
 * 8). In virtual time, with the core that the daemon runs. `SPINE_LONG=1` runs 10,000 histories.
 */
import assert from "node:assert/strict";
import { runAuthorityHistory } from "../../sim/index.ts";
import { nativePorts } from "../helpers/sim-ports.ts";

const HISTORIES = process.env["SPINE_LONG"] === "1" ? 10_000 : 60;
const FIRST = Number(process.env["SPINE_SEED"] ?? 1);
/** Forks that showed in no head, and revokers that revoked each other while apart: rare, and lost once. */
const RARE = [2_403, 2_885, 5_671];

describe("authority in virtual time", () => {
  it("is the same on every node after any history", () => {
    const ports = nativePorts();
    let [revoked, frozen] = [0, 0];
    const seeds = [...RARE, ...Array.from({ length: HISTORIES }, (_, i) => FIRST + i)];
    for (const seed of seeds) {
      const result = runAuthorityHistory(seed, ports);
      assert.deepEqual(result.differences, [], `seed ${seed}`);
      revoked += result.revoked > 0 ? 1 : 0;
      frozen += result.frozen > 0 ? 1 : 0;
    }
    assert.ok(revoked > HISTORIES / 2, `${revoked} histories revoked something`);
    assert.ok(frozen > HISTORIES / 4, `${frozen} histories froze somebody`);
  }).timeout(3_600_000);
});
