/** `spine sim …` as a user runs it: results, files, exit codes, interrupts. */
import assert from "node:assert/strict";
import { once } from "node:events";
import { readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { BUILT_IN, type RunResult } from "../../sim/index.ts";
import { spine, startSpine } from "../helpers/cli.ts";
import { temporaryFolders } from "../helpers/temporary.ts";

const SMALL = `schema: spine.scenario.v1
name: small
seed: 5
duration: 20 s
nodes:
  - name: a
    count: 3
networks:
  - type: stream
    name: lan
    shape: { latency: 2 ms, jitter: 1 ms, loss: 0 }
load:
  - { by: a, from: 1 s, every: 2 s, times: 3, spread: true }
expect:
  - { type: converged, after: 10 s, within: 5 s }
`;

describe("spine sim", function () {
  this.timeout(60_000);
  const folder = temporaryFolders();
  let directory = "";
  const path = (name: string): string => join(directory, name);
  const hashOf = (out: string): unknown =>
    (JSON.parse(out.trimEnd().split("\n").at(-1) ?? "{}") as RunResult).trace_hash;
  before(async () => {
    directory = await folder();
    await writeFile(path("small.yaml"), SMALL);
  });

  it("lists the built-in scenarios", async () => {
    const { code, out } = await spine(["sim", "list"]);
    assert.equal(code, 0);
    assert.deepEqual(
      out
        .trimEnd()
        .split("\n")
        .map((line) => line.split(" ")[0]),
      BUILT_IN.map(({ name }) => name),
    );
  });

  it("gives the same trace for the same seed, whoever describes the scenario", async () => {
    const args = ["partition-heal", "--short", "--nodes", "3"];
    await writeFile(path("shown.yaml"), (await spine(["sim", "show", ...args])).out);
    const run = (...words: string[]) => spine(["sim", "run", "--json", "--seed", ...words]);
    const [one, two] = [await run("3", ...args), await run("3", path("shown.yaml"))];
    assert.deepEqual([one.code, two.code], [0, 0]);
    assert.match(String(hashOf(one.out)), /^0x[0-9a-f]{64}$/);
    assert.equal(hashOf(two.out), hashOf(one.out));
  });

  it("says what came of a run, and writes its trace, its row and its report", async () => {
    const files = ["trace", "csv", "html"].flatMap((name) => [`--${name}`, path(`small.${name}`)]);
    const { code, out, err } = await spine(["sim", "run", path("small.yaml"), ...files]);
    assert.equal(code, 0, err);
    assert.match(out, /^small, seed 5: ok\n/);
    assert.match(out, /\n {2}delivery {3,}9 of 9 envelopes reached all they should\n/);
    assert.match(out, /\nok {4}converged /);
    assert.match(out, /\nlan {6}stream {6,}3 /);
    assert.match(out, /\ntrace_hash 0x[0-9a-f]{64}\n$/);
    assert.match(err, /The report is in .*small\.html/);
    const trace = (await readFile(path("small.trace"), "utf8")).trimEnd().split("\n");
    assert.ok(trace.length > 20 && trace.every((line) => /^\d[\d.]* \w/.test(line)), trace[0]);
    const csv = (await readFile(path("small.csv"), "utf8")).trimEnd().split("\r\n");
    assert.equal(csv.length, 2);
    assert.match(await readFile(path("small.html"), "utf8"), /^<!doctype html>[\s\S]*<\/html>\n$/);
  });

  it("ends before a step when told so, with the last events up to there", async () => {
    const { code, out } = await spine(["sim", "run", path("small.yaml"), "--until", "40"]);
    assert.equal(code, 0);
    assert.match(out, /^small, seed 5: ended before step 40\n/);
    assert.match(out, /, 40 steps in /);
    assert.match(out, /\nlast events\n +\d+\.\d{3} s {2}a-\d/);
  });

  it("sweeps over fields and seeds on all cores, in a fixed order", async () => {
    const sweep = ["--sweep", "networks.lan.shape.loss=0,0.3", "--sweep", "nodes.a.count=2,3", "--seeds", "2"];
    const args = ["sim", "run", path("small.yaml"), "--seed", "1", ...sweep];
    const { code, lines, out, err } = await spine([
      ...args,
      "--json",
      "--csv",
      path("sweep.csv"),
      "--html",
      path("sweep.html"),
    ]);
    assert.equal(code, 0, err);
    const cells = lines
      .slice(0, -1)
      .map((row) => [row["networks.lan.shape.loss"], row["nodes.a.count"], row["seed"]].join());
    assert.deepEqual(cells, ["0,2,1", "0,2,2", "0,3,1", "0,3,2", "0.3,2,1", "0.3,2,2", "0.3,3,1", "0.3,3,2"]);
    assert.equal(new Set(lines.map((row) => row["trace_hash"])).size, 9);
    const summary = lines.at(-1) as { runs: number; failed: number; medians: { runs: number }[] };
    assert.deepEqual([summary.runs, summary.failed, summary.medians.map(({ runs }) => runs)], [8, 0, [2, 2, 2, 2]]);
    assert.equal((await readFile(path("sweep.csv"), "utf8")).trimEnd().split("\r\n").length, 9);
    const page = await readFile(path("sweep.html"), "utf8");
    assert.match(page, /default-src 'none'/);
    assert.match(page, />loss=0\.3, count=3</);
    assert.doesNotMatch(page, /<script|https?:/);
    const table = (await spine(args)).out;
    assert.match(table, /^networks\.lan\.shape\.loss +nodes\.a\.count +seed +result +converged/);
    assert.match(table, /\n8 of 8 ok in /);
    assert.equal(/\ntrace_hash (0x[0-9a-f]{64})\n$/.exec(table)?.[1], hashOf(out));
  });

  it("fails with what was not met and the command that shows it", async () => {
    const hopeless = ["--set", "timeline=[{at: 0 s, type: partition, sets: [a-1]}]"];
    const many = await spine(["sim", "run", path("small.yaml"), ...hopeless, "--seeds", "2"]);
    assert.equal(many.code, 1);
    assert.match(many.out, /\n0 of 2 ok in /);
    assert.match(many.err, /FAILED with seed 6: .*\n {2}spine sim run .*small\.yaml --set 'timeline=.*' --seed 6\n/);
  });

  it("finds what cannot be met, and writes a file that fails by itself", async () => {
    const found = path("found.yaml");
    const hopeless = [
      "--set",
      "timeline=[{at: 0 s, type: partition, sets: [a-1]}]",
      "--runs",
      "2",
      "--shrink-runs",
      "20",
      "--out",
      found,
    ];
    const { code, out } = await spine(["sim", "fuzz", path("small.yaml"), ...hopeless]);
    assert.equal(code, 1);
    assert.match(out, /run 1 fails with expectation converged\n/);
    assert.match(await readFile(found, "utf8"), /^# Found by: spine sim fuzz /);
    const again = await spine(["sim", "run", found]);
    assert.equal(again.code, 1);
    assert.match(again.out, /: FAILED\n[\s\S]*\nFAIL {2}converged .*\(never\)/);
  });

  it("runs the README's scenario", async () => {
    const readme = await readFile(new URL("../../../README.md", import.meta.url), "utf8");
    await writeFile(path("readme.yaml"), /```yaml\n(schema: spine\.scenario[\s\S]*?)```/.exec(readme)?.[1] ?? "");
    const { code, out, err } = await spine(["sim", "run", path("readme.yaml")]);
    assert.equal(code, 0, out + err);
    assert.match(out, /\nok {4}revoked /);
  });

  it("refuses what it does not understand, all at once", async () => {
    await writeFile(path("bad.yaml"), SMALL.replace("count: 3", "count: none").replace("by: a,", "by: c,"));
    const bad = await spine(["sim", "run", path("bad.yaml")]);
    assert.equal(bad.code, 1);
    assert.match(bad.err, /^error scenario_invalid: .*bad\.yaml: nodes\[0\]\.count: expected a whole number/);
    for (const args of [
      ["run", "nothing-like-it"],
      ["run", "partition-heal", "--seeds", "2", "--trace", path("x")],
      ["run", path("small.yaml"), "--set", "networks.wan.name=x"],
    ]) {
      const { code, err } = await spine(["sim", ...args]);
      assert.equal(code, 2, `${args.join(" ")}: ${err}`);
    }
    assert.match((await spine(["sim", "run", "--help"])).out, /Example:\n {2}spine sim run partition-heal --seed 7\n/);
  });

  it("stops at an interrupt without a word of a result", async () => {
    const child = startSpine(["sim", "run", "lora-city", "--seed", "1"]);
    let out = "";
    child.stdout.on("data", (part: Buffer) => {
      out += part.toString();
    });
    // Its first line of progress says that the run is under way.
    await once(child.stderr, "data");
    child.kill("SIGINT");
    const [code] = (await once(child, "close")) as [number | null];
    assert.equal(code, 1);
    assert.equal(out, "");
  });
});
