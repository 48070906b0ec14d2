/** Every built-in scenario, in its short variant with fixed seeds; in the long form a hundred seeds each. */
import assert from "node:assert/strict";
import { BUILT_IN, failureOf, runScenario } from "../../sim/index.ts";
import { nativePorts } from "../helpers/sim-ports.ts";

const LONG = process.env["SPINE_LONG"] !== undefined;
const SEEDS = LONG ? Array.from({ length: 100 }, (_, i) => 1_000 + i) : [1];

/**
 * Where something went wrong once: ranges that were wanted while a narrow link was on hold, a revoked node that nobody
 * told, a revocation that waited for an announce which it could overtake.
 */
const RARE: Readonly<Record<string, readonly number[]>> = {
  "lora-chain": [8],
  "mutual-revocation": [1_072, 1_097],
  "five-bps": [1_062, 1_081],
};

describe("built-in scenarios", () => {
  for (const builtIn of BUILT_IN)
    it(`${builtIn.name} ends as it must`, async () => {
      const file = builtIn.file({ short: true });
      const failed: string[] = [];
      for (const seed of [...(RARE[builtIn.name] ?? []), ...SEEDS]) {
        const result = await runScenario(file, { seed, ports: nativePorts() });
        const failure = failureOf(result);
        if (failure !== null)
          failed.push(`seed ${seed}: ${failure}: ${result.violation?.detail ?? result.failures.join("; ")}`);
        assert.ok(result.steps > 0 && result.envelopes > 0, `seed ${seed} did nothing`);
      }
      assert.deepEqual(failed, []);
    }).timeout(LONG ? 0 : 300_000);
});
