/** The HTML report and the CSV: self-contained, safe against what names say, and true to the run. */
import assert from "node:assert/strict";
import {
  BUILT_IN,
  csvOf,
  type RunResult,
  readableTrace,
  reportPage,
  rowOf,
  runScenario,
  runText,
} from "../../sim/index.ts";
import { nativePorts } from "../helpers/sim-ports.ts";

const EVIL = `</script><img src=x onerror=alert(1)>&"'`;

describe("the report of a run", () => {
  let result: RunResult;
  let page: string;
  const [builtIn] = BUILT_IN;
  const file = builtIn?.file({ nodes: 4, short: true }) as NonNullable<ReturnType<NonNullable<typeof builtIn>["file"]>>;
  before(async () => {
    result = await runScenario(file, { seed: 1, ports: nativePorts(), record: true, samples: 50 });
    page = reportPage({ file, result, command: "spine sim run x", wallMs: 1 });
  });

  it("is one file that loads nothing and may send nothing", () => {
    assert.match(
      page,
      /<meta http-equiv="Content-Security-Policy" content="default-src 'none'; script-src 'unsafe-inline'/,
    );
    assert.doesNotMatch(page, /<(link|img|iframe|object|embed|base|form)\b|<script[^>]+src=|url\(|@import|https?:/i);
    assert.doesNotMatch(page, /\bfetch\(|XMLHttpRequest|WebSocket|EventSource|import\(|eval\(/);
  });

  it("holds the run: its plots, its map, its numbers", () => {
    const data = JSON.parse(/<script type="application\/json" id="run">([\s\S]*?)<\/script>/.exec(page)?.[1] ?? "") as {
      end_ms: number;
      nodes: string[];
      frames: Record<string, number[]>[];
      frame_at_ms: number[];
      plots: { texts: string[] }[];
    };
    assert.equal(data.end_ms, result.virtual_ms);
    assert.deepEqual(
      data.nodes,
      result.nodes.map(({ name }) => name),
    );
    assert.equal(data.frames.length, result.replay?.frames.length);
    assert.equal(data.frame_at_ms.length, data.frames.length);
    assert.ok(data.frames.length >= 10);
    // What is carried on from frame to frame ends where the run did.
    const last = Object.assign({}, ...data.frames) as Record<string, number[]>;
    assert.deepEqual(last["stored"], result.replay?.frames.at(-1)?.stored);
    assert.equal(data.plots.length, page.match(/class="plot"/g)?.length);
    assert.ok(data.plots.every(({ texts }) => texts.length === result.series.at_ms.length));
    for (const text of [result.trace_hash, "Reach", "Queues", "Bytes by urgency", 'id="map"', 'type="range"'])
      assert.ok(page.includes(text), text);
  });

  it("shows what it is given as text", () => {
    const events = [{ at_ms: 1, node: EVIL, what: EVIL }];
    const violation = { invariant: EVIL, detail: EVIL, step: 3, at_ms: 1, nodes: [EVIL], events };
    const nodes = result.nodes.map((node) => ({ ...node, name: EVIL }));
    const replay = result.replay === null ? null : { ...result.replay, nodes: [EVIL] };
    const evil = { ...result, scenario: EVIL, violation, events, nodes, replay };
    const made = reportPage({ file: { ...file, summary: EVIL }, result: evil, command: EVIL, wallMs: 1 });
    assert.equal(made.match(/<img/g), null);
    assert.equal(made.match(/<\/script>/g)?.length, 2);
    assert.ok(made.includes("--until 3"));
  });

  it("tells a broken run's seed, step, events and the way back to just before it", () => {
    const events = [{ at_ms: 1_500, node: "node-2", what: "crashed" }];
    const violation = { invariant: "edges join", detail: "seq 4", step: 77, at_ms: 1_600, nodes: ["node-2"], events };
    const text = runText({ ...result, ok: false, violation }, { wallMs: 1, command: "spine sim run x --seed 1" });
    assert.match(text, /VIOLATION of "edges join": seed 1, step 77, 1\.60 s\n {2}seq 4\n/);
    assert.match(text, /last events of node-2:\n {4}1\.500 s {2}node-2 {2}crashed\n/);
    assert.match(text, /replay to just before it:\n {4}spine sim run x --seed 1 --until 77\n/);
  });

  it("tells a trace's events in words", () => {
    const names = ["a", "b"];
    for (const [line, ...text] of [
      ["1500.25 commit 1 4+10,20+1", "1.500 s", "b  wrote seq 4..13, 20"],
      ["2 commit 0 ", "0.002 s", "a  wrote its state"],
      ["3000 frame 0 1 2 177", "3.000 s", "a → b  inventory, 177 bytes"],
      ["9 air lora 1 83 12 14 287", "0.009 s", "b  on the air of lora: 83 bytes, 287 ms"],
      ["9 publish nats 1 590", "0.009 s", "b  to the stream of nats: 590 bytes"],
      ["9 read nats 0 12", "0.009 s", "a  read 12 envelopes from the stream of nats"],
      ["9 crash 7 false", "0.009 s", "7  crashed and lost its disk"],
      ["9 constructor 1", "0.009 s", "constructor 1"],
    ] as const)
      assert.deepEqual(readableTrace(line, names), text);
  });

  it("accounts for all airtime by urgency, and for what radios receive", async () => {
    const chain = BUILT_IN.find(({ name }) => name === "lora-chain")?.file({ nodes: 3, short: true });
    assert.ok(chain !== undefined);
    const air = await runScenario(chain, { seed: 1, ports: nativePorts(), record: true, samples: 20 });
    const sum = (values: readonly number[]): number => values.reduce((total, one) => total + one, 0);
    const [lora] = air.networks;
    const byTier = sum(air.tiers.map(({ airtime_ms }) => airtime_ms));
    assert.ok(Math.abs(byTier - (lora?.airtime_ms ?? 0)) <= air.tiers.length, `${byTier} of ${lora?.airtime_ms}`);
    for (const { name, tiers, radio, received_bytes, bound_received_bytes } of air.nodes) {
      const own = sum(tiers.map(({ airtime_ms }) => airtime_ms));
      assert.ok(radio !== null && Math.abs(own - radio.airtime_ms) <= tiers.length, name);
      assert.ok(received_bytes > bound_received_bytes && bound_received_bytes > 0, name);
    }
    // An incident of one end and notes of the other, over two hops each.
    const boundOf = (tier: number): number => air.tiers[tier]?.bound_airtime_ms ?? 0;
    assert.ok(boundOf(3) > 0 && boundOf(6) > 2 * boundOf(3) && boundOf(1) === 0);
    assert.ok(Math.abs(sum(air.tiers.map((one) => one.bound_airtime_ms)) - (lora?.bound_airtime_ms ?? 0)) <= 8);
    assert.equal(air.nodes[1]?.radio?.bound_airtime_ms, 0);
    // The map shows who was heard by whom.
    assert.ok(air.replay?.frames.some(({ sends }) => sends.length > 0));
    assert.match(
      runText(air, { wallMs: 1, command: "x" }),
      /tier +frames +bytes +× least +airtime +× least\nradio's own/,
    );
    const made = reportPage({ file: chain, result: air, command: "x", wallMs: 1 });
    for (const text of ["Airtime by urgency", "Airtime by node and urgency"]) assert.ok(made.includes(text), text);
    const row = rowOf({}, air, 1);
    assert.equal(row["tier_3_airtime_ms"], air.tiers[3]?.airtime_ms);
  }).timeout(300_000);

  it("writes CSV that spreadsheets read as it is meant", () => {
    const row = rowOf({ field: '=1+"2",3' }, result, 5);
    const [head = "", line = ""] = csvOf([row]).split("\r\n");
    assert.equal(head.split(",").length, Object.keys(row).length);
    assert.ok(line.includes(`"'=1+""2"",3"`), line);
    assert.ok(line.endsWith(result.trace_hash));
  });
});
