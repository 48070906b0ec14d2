/** The checkpoint storm: absent in fifty nodes, and there at once when checkpoints count as real leaves. */
import assert from "node:assert/strict";
import { runStorm, SCENARIOS, Stage } from "../../sim/index.ts";
import { nativePorts } from "../helpers/sim-ports.ts";

describe("the checkpoint storm", () => {
  it("is absent in a mesh of fifty nodes", function () {
    this.timeout(120_000);
    const scenario = SCENARIOS.find(({ name }) => name === "checkpoint-storm");
    assert.deepEqual(scenario?.run({ seed: 1, ports: nativePorts(), nodes: 50 }).failures, []);
  });

  it("would be there if checkpoints counted as real leaves", function () {
    this.timeout(60_000);
    const stage = new Stage("storm", { seed: 1, ports: nativePorts() });
    const { late } = runStorm(stage, 12, (schema) => schema.replace("log_checkpoint", "note"));
    assert.ok(late > 12, `${late} checkpoints without a real leaf`);
  });
});
