/** Every built-in scenario, in its short variant with fixed seeds; in the long form a hundred seeds each. */
import assert from "node:assert/strict";
import { BUILT_IN, failureOf, runScenario } from "../../sim/index.ts";
import { nativePorts } from "../helpers/sim-ports.ts";

const LONG = process.env["SPINE_LONG"] !== undefined;
const SEEDS = LONG ? Array.from({ length: 100 }, (_, i) => 1_000 + i) : [1];

/** Where something was lost once: ranges that were wanted while a narrow link was on hold. */
const RARE: Readonly<Record<string, readonly number[]>> = { "lora-chain": [8] };

describe("built-in scenarios", () => {
  for (const builtIn of BUILT_IN)
    it(`${builtIn.name} ends as it must`, async () => {
      const file = builtIn.file({ short: true });
      for (const seed of [...(RARE[builtIn.name] ?? []), ...SEEDS]) {
        const result = await runScenario(file, { seed, ports: nativePorts() });
        const why = result.violation?.detail ?? result.failures.join("; ");
        assert.equal(failureOf(result), null, `seed ${seed}: ${why}`);
        assert.ok(result.steps > 0 && result.envelopes > 0, `seed ${seed} did nothing`);
      }
    }).timeout(LONG ? 0 : 120_000);
});
