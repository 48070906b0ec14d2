/** The search for failures: it finds nothing wrong with the sound core, finds a broken one, and makes the failure small. */
import assert from "node:assert/strict";
import {
  BUILT_IN,
  failureOf,
  keepsPromise,
  Rng,
  type RunOptions,
  readScenario,
  runScenario,
  type ScenarioFile,
  scenarioText,
  search,
  shrink,
  variation,
} from "../../sim/index.ts";
import type { Effect, Mesh } from "../../spine/index.ts";
import { nativePorts } from "../helpers/sim-ports.ts";

const LONG = process.env["SPINE_LONG"] !== undefined;

/** Believes that what it stores is on disk before it is. */
function breakMesh(mesh: Mesh): void {
  const sound = mesh.handle.bind(mesh);
  const settle = (effects: Effect[], now: number): Effect[] =>
    effects.flatMap((effect) =>
      effect.type === "commit" ? [effect, ...settle(sound({ type: "committed", id: effect.id }, now), now)] : [effect],
    );
  mesh.handle = (input, now) => (input.type === "committed" ? [] : settle(sound(input, now), now));
}
const runWith = (onStart?: RunOptions["onStart"]) => {
  const ports = nativePorts();
  return (file: ScenarioFile, seed: number) =>
    runScenario(file, { seed, ports, ...(onStart === undefined ? {} : { onStart }) });
};
/** One node is broken, in each of its lives. */
const broken = runWith((peer) => {
  if (peer.index === 0) breakMesh(peer.mesh as Mesh);
});
const base = (): ScenarioFile => (BUILT_IN[0] as (typeof BUILT_IN)[number]).file({ nodes: 5, short: true });

describe("the search for failures", () => {
  it("is the same for the same seed, and its variations can be written down", () => {
    const file = base();
    for (let i = 0; i < 200; i++) {
      const one = variation(file, 7, i);
      assert.deepEqual(one, variation(file, 7, i));
      assert.deepEqual(readScenario(scenarioText(one.file, one.seed), "x"), one);
    }
    assert.notDeepEqual(variation(file, 7, 1), variation(file, 8, 1));
  });

  it("finds nothing wrong with the sound core", async () => {
    const runs = LONG ? 400 : 8;
    const { found, ran } = await search(base(), { runs, seed: 3, parallel: 1, shrinkRuns: 200, run: runWith() });
    assert.equal(found && scenarioText(found.file, found.seed, found.failure), null);
    assert.equal(ran, runs);
  }).timeout(LONG ? 0 : 60_000);

  it("finds a broken core and makes its failure small", async () => {
    const { found } = await search(base(), { runs: 20, seed: 1, parallel: 1, shrinkRuns: 300, run: broken });
    assert.ok(found !== null);
    const { failure, file, seed, result } = found;
    assert.equal(failure, "invariant nothing sent before committed");
    assert.equal(file.timeline.length, 0, scenarioText(file));
    assert.equal(file.load.length + file.expect.length, 1, scenarioText(file));
    assert.ok(result.nodes.length <= 3 && result.steps < 500, `${result.nodes.length} nodes, ${result.steps} steps`);
    // What was written down fails alone, in the same way, and the sound core passes it.
    const again = readScenario(scenarioText(file, seed, failure), "found.yaml");
    assert.equal(failureOf(await broken(again.file, again.seed)), failure);
    assert.equal(failureOf(await runWith()(again.file, again.seed)), null);
  }).timeout(60_000);

  it("blames no mesh for what nobody repaired", () => {
    const file = base();
    assert.ok(keepsPromise(file, file));
    const without = (type: string): ScenarioFile => ({
      ...file,
      timeline: file.timeline.filter((one) => one.type !== type),
    });
    assert.ok(keepsPromise(file, without("partition")));
    assert.ok(!keepsPromise(file, without("heal")));
    assert.ok(!keepsPromise(file, { ...file, networks: [] }));
    assert.ok(!keepsPromise(file, { ...file, durationMs: file.durationMs / 2 }));
    assert.ok(!keepsPromise(file, { ...file, expect: file.expect.map((one) => ({ ...one, withinMs: 1 })) }));
  });

  it("shrinks by a fixed order, within its budget, to what cannot be made smaller", async () => {
    const rng = new Rng(5);
    const file = variation(base(), rng.next(), 3).file;
    const fails = async ({ load }: ScenarioFile) => load.some(({ batch }) => batch >= 7);
    const [one, two] = [1, 4].map((parallel) => shrink(file, fails, { budget: 5_000, parallel }));
    assert.deepEqual((await one)?.file, (await two)?.file);
    const { file: least, isLeast } = await (one as NonNullable<typeof one>);
    assert.ok(isLeast);
    assert.deepEqual(
      [least.load.length, least.load[0]?.batch, least.timeline.length, least.networks.length],
      [1, 7, 0, 0],
    );
    const cut = await shrink(file, fails, { budget: 3, parallel: 2 });
    assert.ok(cut.tried <= 3 && !cut.isLeast);
  });
});
