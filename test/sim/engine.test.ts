/** What scenarios can make happen, each in the smallest mesh that shows it. */
import assert from "node:assert/strict";
import { type RunResult, runScenario, type ScenarioFile, startRun } from "../../sim/index.ts";
import { fiveBps, loraCity, mailForAbsent } from "../../sim/scenarios/air.ts";
import {
  broker,
  converged,
  group,
  HOUR,
  load,
  MINUTE,
  radio,
  SECOND,
  scenario,
  streams,
} from "../../sim/scenarios/parts.ts";
import { nativePorts } from "../helpers/sim-ports.ts";

type Given = Omit<Parameters<typeof scenario>[0], "name" | "summary">;

function run(given: Given, seed = 3): Promise<RunResult> {
  const file: ScenarioFile = scenario({ name: "test", summary: "", ...given });
  return runScenario(file, { seed, ports: nativePorts(), record: true });
}
function play(file: ScenarioFile): Promise<RunResult> {
  return runScenario(file, { seed: 1, ports: nativePorts() });
}
function isFine(result: RunResult): void {
  assert.deepEqual([result.violation, result.failures], [null, []]);
}

describe("the simulator's engine", function () {
  this.timeout(300_000);
  it("lets clocks be wrong by minutes, and be set", async () => {
    const result = await run({
      durationMs: 120 * SECOND,
      nodes: [group("right", 3), group("wrong", 2, { clockSkewMs: -7 * MINUTE })],
      networks: [streams("net", { topology: { type: "full" } })],
      load: [load("*", { fromMs: 5 * SECOND, everyMs: 5 * SECOND, times: 4, batch: 3 })],
      timeline: [{ atMs: 12 * SECOND, type: "skew", nodes: "wrong-1", byMs: 7 * MINUTE }],
      expect: [converged(25 * SECOND, 60 * SECOND)],
    });
    isFine(result);
    assert.equal(result.delivery.complete, 60);
  });
  it("carries a file to a node that no network reaches", async () => {
    const result = await run({
      durationMs: 200 * SECOND,
      nodes: [group("net", 3), group("island", 1)],
      networks: [streams("net", { members: "net", topology: { type: "line" } })],
      load: [load("net", { fromMs: 5 * SECOND, batch: 2 })],
      timeline: [{ atMs: 30 * SECOND, type: "courier", from: "net-1", to: "island", takesMs: 60 * SECOND }],
      expect: [converged(10 * SECOND, 20 * SECOND, "net")],
      stopEarly: false,
    });
    isFine(result);
    assert.equal(result.nodes.find(({ name }) => name === "island")?.envelopes, 6);
  });
  it("links thirty radios that all hear each other within their first half hour, without a storm of requests", async () => {
    const file = loraCity.file({ nodes: 30 });
    let requests = 0;
    const run = startRun(file, {
      seed: 1,
      ports: nativePorts(),
      onTrace: (line) => {
        const [, what, , , , flags] = line.split(" ");
        // A packet's first byte ends with its type: 2 asks for a link, of a single destination.
        if (what === "air" && (Number(flags) & 0b1111) === 2) requests++;
      },
    });
    while ((await run.advance(2_000)) && run.progress().virtual_ms < 30 * MINUTE);
    const links = run.finish().series.links_up.at(-1) ?? 0;
    assert.ok(links >= 30 && requests < 4 * links, `${links} links by ${requests} requests`);
  }).timeout(120_000);
  it("loses a radio that drives away, and has it again when it comes back", async () => {
    const away = { x: 60_000, y: 0 };
    const result = await run({
      durationMs: 6 * HOUR,
      nodes: [group("base", 1), group("car", 1, { place: { type: "point", at: { x: 500, y: 0 } } })],
      networks: [
        radio("lora", {
          pathLoss: { type: "distance", atOneKmDb: 110, exponent: 3, terrainDb: 0 },
          peers: { type: "line" },
        }),
      ],
      load: [load("base", { fromMs: 30 * MINUTE, everyMs: 30 * MINUTE, times: 3 })],
      timeline: [
        { atMs: 40 * MINUTE, type: "move", nodes: "car", to: away, overMs: 10 * MINUTE },
        { atMs: 2 * HOUR, type: "move", nodes: "car", to: { x: 500, y: 0 }, overMs: 10 * MINUTE },
      ],
      expect: [
        converged(35 * MINUTE, 5 * MINUTE),
        { type: "apart", nodes: "*", issuers: "*", afterMs: 110 * MINUTE, withinMs: 0 },
        converged(130 * MINUTE, 3 * HOUR),
      ],
    });
    isFine(result);
    assert.ok((result.nodes[1]?.radio?.counters["too_weak"] ?? 0) > 0);
    assert.ok(result.replay?.frames.some(({ x }) => (x[1] ?? 0) > 50_000));
  });
  it("keeps mail for a radio that is away, whose sender is gone when it returns", async () => {
    const file = mailForAbsent.file({});
    const [one, two] = [await play(file), await play(file)];
    isFine(one);
    assert.deepEqual(one, two);
    const counted = (result: RunResult, name: string): Readonly<Record<string, number>> =>
      result.nodes.find((node) => node.name === name)?.radio?.counters ?? {};
    assert.equal(counted(one, "office")["mail_kept"], 2);
    assert.equal(counted(one, "scout")["mail_received"], 2);
    assert.equal(one.nodes.find(({ name }) => name === "office")?.envelopes, 0);
    const without = await play({
      ...file,
      networks: file.networks.map((each) => (each.type === "radio" ? { ...each, mailAt: null } : each)),
    });
    assert.equal(without.violation, null);
    assert.deepEqual(
      without.expectations.map(({ ok }) => ok),
      [true, false, false],
    );
  });
  it("compares what is held over a line of 5 bit/s, when the one who would have told has forgotten", async () => {
    const file = fiveBps.file({});
    const away: ScenarioFile = {
      ...file,
      durationMs: 20 * HOUR,
      load: [],
      timeline: [
        { atMs: 7 * HOUR, type: "network-down", network: "line", nodes: "far" },
        ...file.timeline,
        { atMs: 8.5 * HOUR, type: "crash", nodes: "hq-1", keepDisk: true, restartsAfterMs: MINUTE },
        { atMs: 9 * HOUR, type: "network-up", network: "line", nodes: "far" },
      ],
      expect: [{ type: "revoked", target: "thief", nodes: "far", afterMs: 9 * HOUR, withinMs: 8 * HOUR }],
    };
    isFine(await play(away));
  });
  it("lets radios that cannot hear each other collide, and nothing is lost by it", async () => {
    const result = await run({
      durationMs: 2 * HOUR,
      nodes: [group("node", 5)],
      networks: [
        radio("lora", {
          pathLoss: {
            type: "links",
            lossDb: 110,
            links: [2, 3, 4, 5].map((other) => ["node-1", `node-${other}`] as const),
          },
        }),
      ],
      load: [load("*", { fromMs: 10 * MINUTE, everyMs: 5 * MINUTE, times: 10, spread: true, fact: "incident" })],
      expect: [converged(60 * MINUTE, HOUR)],
    });
    isFine(result);
    const counters = result.nodes[0]?.radio?.counters ?? {};
    assert.ok((counters["collided"] ?? 0) > 0, JSON.stringify(counters));
  });
  it("goes on without its broker for a while", async () => {
    const result = await run({
      durationMs: 200 * SECOND,
      nodes: [group("node", 6)],
      networks: [broker("nats")],
      load: [load("*", { fromMs: 5 * SECOND, everyMs: 10 * SECOND, times: 5 })],
      timeline: [
        { atMs: 20 * SECOND, type: "network-down", network: "nats", nodes: "*" },
        { atMs: 60 * SECOND, type: "network-up", network: "nats", nodes: "*" },
      ],
      expect: [
        { type: "apart", nodes: "*", issuers: "*", afterMs: 55 * SECOND, withinMs: 0 },
        converged(60 * SECOND, 60 * SECOND),
      ],
    });
    isFine(result);
  });
  it("reads from a broker's stream what was published while one was away", async () => {
    const given = (streams: boolean): Given => ({
      durationMs: 100 * SECOND,
      stopEarly: false,
      nodes: [group("writer", 1), group("reader", 3), group("late", 1, { joinsAtMs: 60 * SECOND })],
      networks: [broker("nats", { streams })],
      load: [load("writer", { fromMs: 5 * SECOND, batch: 50 })],
      timeline: [
        { atMs: 2 * SECOND, type: "crash", nodes: "reader-3", keepDisk: true, restartsAfterMs: 40 * SECOND },
        { atMs: 30 * SECOND, type: "crash", nodes: "writer", keepDisk: true, restartsAfterMs: null },
      ],
      expect: [converged(70 * SECOND, 20 * SECOND, ["reader", "late"])],
    });
    const [withStream, withLinks] = [await run(given(true)), await run(given(false))];
    isFine(withStream);
    isFine(withLinks);
    const answers = ({ tiers }: RunResult): number => tiers[7]?.bytes ?? 0;
    const read = (result: RunResult, name: string): number =>
      result.nodes.find((node) => node.name === name)?.received_bytes ?? 0;
    assert.ok(read(withStream, "late") > 50 * 200, `${read(withStream, "late")} bytes`);
    assert.ok(answers(withStream) < answers(withLinks), `${answers(withStream)} and ${answers(withLinks)} bytes`);
  });
  it("counts what the last disk lost, and duplicates of gossip", async () => {
    const result = await run({
      durationMs: 120 * SECOND,
      nodes: [group("node", 3)],
      networks: [streams("net", { topology: { type: "full" }, duplicates: 0.5 })],
      load: [load("node-1", { fromMs: 20 * SECOND, batch: 4 })],
      timeline: [
        { atMs: 10 * SECOND, type: "partition", sets: ["node-1"], network: null },
        { atMs: 30 * SECOND, type: "crash", nodes: "node-1", keepDisk: false, restartsAfterMs: null },
      ],
      expect: [],
    });
    isFine(result);
    assert.equal(result.delivery.lost, 4);
  });
});
