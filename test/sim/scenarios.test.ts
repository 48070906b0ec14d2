/** The scenarios that are programs, run with fixed seeds; the same core as the daemon, virtual time. */
import assert from "node:assert/strict";
import { noblePorts, SCENARIOS } from "../../sim/index.ts";
import { nativePorts } from "../helpers/sim-ports.ts";

describe("simulator scenarios", () => {
  for (const scenario of SCENARIOS) {
    for (const seed of [1, 2, 3]) {
      it(`${scenario.name} ends as it must, seed ${seed}`, () => {
        const result = scenario.run({ seed, ports: nativePorts() });
        assert.deepEqual(result.failures, []);
        assert.ok(result.envelopes > 0 && result.steps > 0);
      });
    }
    it(`${scenario.name} repeats itself exactly from its seed`, () => {
      const [one, two, other] = [7, 7, 8].map((seed) => scenario.run({ seed, ports: nativePorts(), nodes: 4 }));
      assert.deepEqual(one, two);
      assert.notEqual(one?.trace_hash, other?.trace_hash);
    });
  }
  it("gives the same trace with pure and with native crypto", () => {
    const [scenario] = SCENARIOS;
    const options = { seed: 5, nodes: 3 };
    assert.equal(
      scenario?.run({ ...options, ports: noblePorts() }).trace_hash,
      scenario?.run({ ...options, ports: nativePorts() }).trace_hash,
    );
  }).timeout(60_000);
});
