/** Scenario files: every built-in survives being written and read, and a wrong file is refused with every problem named. */
import assert from "node:assert/strict";
import {
  applySettings,
  BUILT_IN,
  parseSetting,
  readScenario,
  readScenarioValue,
  scenarioJsonSchema,
  scenarioText,
  scenarioValue,
} from "../../sim/index.ts";
import { SpineError } from "../../spine/index.ts";
import { throwsCode } from "../helpers/throws.ts";

const SMALL = `
schema: spine.scenario.v1
name: small
duration: 90 s
nodes:
  - name: a
    count: 3
  - name: b
networks:
  - type: stream
    name: lan
load:
  - by: a-2..3
    every: 10 s
`;

/** The problems of a text, each line without the file's name. */
function problemsOf(text: string): string[] {
  try {
    readScenario(text, "f");
  } catch (caught) {
    assert.ok(caught instanceof SpineError && caught.code === "scenario_invalid");
    return caught.message.split("\n").map((line) => line.replace(/^f: /, ""));
  }
  return [];
}

describe("scenario files", () => {
  for (const builtIn of BUILT_IN)
    it(`say the whole of ${builtIn.name}`, () => {
      for (const short of [true, false]) {
        const built = builtIn.file({ short });
        const text = scenarioText(built, 9, "A comment.\nOf two lines.");
        assert.match(text, /^# A comment\.\n# Of two lines\.\nschema: spine\.scenario\.v1\n/);
        assert.deepEqual(readScenario(text, "f"), { file: structuredClone(built), seed: 9 });
      }
    });

  it("fill in what is left out", () => {
    const { file, seed } = readScenario(SMALL, "small.yaml");
    assert.equal(seed, 1);
    assert.equal(file.durationMs, 90_000);
    assert.deepEqual(
      file.nodes.map(({ count, diskMs, admits }) => [count, diskMs, admits]),
      [
        [3, 2, "*"],
        [1, 2, "*"],
      ],
    );
    const [lan] = file.networks;
    assert.ok(lan?.type === "stream" && lan.shape.latencyMs === 40 && lan.topology.type === "ring");
    assert.deepEqual(file.load[0], {
      by: "a-2..3",
      fact: "note",
      fromMs: 0,
      untilMs: Number.MAX_SAFE_INTEGER,
      everyMs: 10_000,
      spread: false,
      batch: 1,
      times: 0,
      padBytes: 0,
    });
  });

  it("name every problem of the shape with its path", () => {
    const text = `
schema: spine.scenario.v2
name: Small Mesh
duration: 90
nodez: []
nodes:
  - { name: a-1, count: 0, disk: 2 }
  - { nam: b }
networks:
  - { type: carrier-pigeon, name: x }
  - { type: stream, name: lan, shape: { loss: 2, latency: -5 s } }
  - { type: radio, name: air, spreadingFactor: 13, pathLoss: { type: same, lossDb: many } }
timeline:
  - { at: 1 s, type: crash }
  - crash everything
expect: all is well
`;
    const problems = problemsOf(text);
    assert.deepEqual(
      problems.map((one) => one.split(":")[0]),
      [
        "nodez",
        "schema",
        "name",
        "duration",
        "nodes[0].name",
        "nodes[0].count",
        "nodes[0].disk",
        "nodes[1].nam",
        "nodes[1].name",
        "networks[0].type",
        "networks[1].shape.latency",
        "networks[1].shape.loss",
        "networks[2].spreadingFactor",
        "networks[2].pathLoss.lossDb",
        "timeline[0].nodes",
        "timeline[1]",
        "expect",
      ],
    );
    assert.match(problems[9] as string, /expected one of stream, broker, radio, found text "carrier-pigeon"/);
    assert.match(problems[3] as string, /expected a time such as .* found 90$/);
  });

  it("name what does not fit together", () => {
    const more = `
  - { by: [a-4, c], from: 5 s, until: 1 s }
timeline:
  - { at: 2 min, type: heal }
  - { at: 1 s, type: partition, sets: [a, [b-2]], network: wan }
  - { at: 1 s, type: revoke, by: a, target: "*" }
  - { at: 1 s, type: clone, of: a-1, name: b, network: lan, peers: x }
expect:
  - { type: converged, after: 80 s, within: 20 s }
  - { type: frozen, within: 1 s, issuer: a-3..2 }
  - { type: airtime-within, within: 1 s, network: lan, timesBound: 2 }
`;
    assert.deepEqual(
      problemsOf(SMALL + more).map((one) => one.split(":")[0]),
      [
        "load[1].by[0]",
        "load[1].by[1]",
        "load[1].until",
        "timeline[0].at",
        "timeline[1].sets[1][0]",
        "timeline[1].network",
        "timeline[2].by",
        "timeline[2].target",
        "timeline[3].peers",
        "timeline[3].name",
        "expect[0].within",
        "expect[1].issuer",
        "expect[2].network",
      ],
    );
  });

  it("know a group of one by its name alone, and a clone from when it is made", () => {
    const more = `
timeline:
  - { at: 5 s, type: restart, nodes: [copy, b-1] }
  - { at: 9 s, type: clone, of: a-1, name: copy, network: lan, peers: b }
  - { at: 9 s, type: restart, nodes: [copy, b, a-2] }
expect:
  - { type: signing, within: 5 s, nodes: copy }
  - { type: signing, after: 9 s, within: 5 s, nodes: copy }
`;
    assert.deepEqual(problemsOf(SMALL + more), [
      "timeline[0].nodes[0]: copy is cloned later",
      "timeline[0].nodes[1]: b is one node: it is called b",
      "expect[0].nodes: copy is cloned later",
    ]);
  });

  it("restore only what was backed up before", () => {
    const more = `
timeline:
  - { at: 5 s, type: backup, nodes: [a-1, b] }
  - { at: 5 s, type: restore, nodes: b }
  - { at: 6 s, type: restore, nodes: [b, a-1] }
  - { at: 6 s, type: restore, nodes: a-1..2 }
`;
    assert.deepEqual(problemsOf(SMALL + more), [
      "timeline[1].nodes: b has no backup by then",
      "timeline[3].nodes: a-2 has no backup by then",
    ]);
  });

  it("say where YAML is wrong, and allow neither aliases nor a key twice", () => {
    assert.match(problemsOf("name: [a")[0] as string, /^1:\d+: /);
    assert.match(problemsOf("a: 1\na: 2\n")[0] as string, /^2:1: /);
    assert.deepEqual(problemsOf("a: &x 1\nb: *x\n"), ["aliases are not supported"]);
    assert.match(problemsOf("- 1")[0] as string, /^the document: expected a map, found a list/);
    assert.equal(problemsOf(`nodes: [${"x, ".repeat(999)}x]`).length, 51);
  });

  it("are changed by fields, names before numbers, with the same checks", () => {
    const { file } = readScenario(SMALL, "f");
    const set = (...texts: string[]) =>
      applySettings(
        file,
        texts.map((text) => parseSetting(text, "--set")),
      );
    const changed = set("networks.lan.shape.loss=0.25", "nodes.b.count=7", "nodes[0].disk=20 ms", "load.0.by=[a, b-2]");
    const [lan] = changed.networks;
    assert.ok(lan?.type === "stream" && lan.shape.loss === 0.25 && lan.shape.latencyMs === 40);
    assert.deepEqual(
      changed.nodes.map(({ count, diskMs }) => [count, diskMs]),
      [
        [3, 20],
        [7, 2],
      ],
    );
    assert.deepEqual(changed.load[0]?.by, ["a", "b-2"]);
    assert.equal(file.nodes[1]?.count, 1);
    for (const wrong of ["nodes.c.count=1", "nodes[9].count=1", "name.x=1", "=1", "nodes", "__proto__.x=1"])
      throwsCode(() => set(wrong), "usage");
    for (const wrong of ["nodes.a.count=many", "nodes.a.size=2", "load.0.by=z", "duration=[", "nodes=[]"])
      assert.throws(
        () => set(wrong),
        (caught: unknown) => caught instanceof SpineError && /usage|scenario_invalid/.test(caught.code),
        wrong,
      );
  });

  it("have a JSON Schema that names every field with its meaning", () => {
    const schema = JSON.stringify(scenarioJsonSchema());
    for (const [field, about] of [
      ["spreadingFactor", "5 to 12: slower and farther."],
      ["restartsAfter", "Left out: it stays down until a restart."],
    ])
      assert.ok(schema.includes(`"${field}"`) && schema.includes(about as string), field);
    const file = BUILT_IN[0]?.file({}) as Parameters<typeof scenarioValue>[0];
    assert.deepEqual(readScenarioValue(JSON.parse(JSON.stringify(scenarioValue(file))), "f").file, file);
  });
});
