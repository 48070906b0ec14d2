/** The machine simulations run on: worker threads that answer, fail, tell of progress and can be stopped; its files. */
import assert from "node:assert/strict";
import { mkdir, readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { PassThrough } from "node:stream";
import { WorkerMachine } from "../../node/index.ts";
import { BUILT_IN, noblePorts, type RunTaskResult, runScenario, type ScenarioFile } from "../../sim/index.ts";
import { temporaryFolders } from "../helpers/temporary.ts";
import { rejectsCode } from "../helpers/throws.ts";

const named = (name: string): ScenarioFile =>
  (BUILT_IN.find((one) => one.name === name) as (typeof BUILT_IN)[number]).file({ short: true, nodes: 3 });
const silent = (): undefined => undefined;

describe("the machine of the simulator", function () {
  this.timeout(60_000);
  const machines: WorkerMachine[] = [];
  const folder = temporaryFolders();
  const machine = (cores = 2, stream = new PassThrough()): WorkerMachine => {
    const made = new WorkerMachine(stream, cores);
    machines.push(made);
    return made;
  };
  afterEach(async () => {
    for (const one of machines.splice(0)) await one.stop();
  });

  it("runs more tasks than it has cores, each with its own answer, as pure crypto in this thread does", async () => {
    const file = { ...named("partition-heal"), load: [], expect: [], durationMs: 5_000 };
    const one = machine(2);
    const seeds = [1, 2, 3, 4];
    const results = (await Promise.all(seeds.map((seed) => one.run({ file, seed }, silent)))) as RunTaskResult[];
    assert.deepEqual(
      results.map(({ result }) => result.seed),
      seeds,
    );
    assert.equal(new Set(results.map(({ result }) => result.trace_hash)).size, 4);
    const here = await runScenario(file, { seed: 3, ports: noblePorts() });
    assert.deepEqual(results[2]?.result, here);
  });

  it("passes on what a task throws, and goes on", async () => {
    const one = machine(1);
    const file = named("partition-heal");
    const misfit = { ...file, networks: file.networks.map((network) => ({ ...network, members: "nobody" })) };
    await rejectsCode(one.run({ file: misfit, seed: 1 }, silent), "api_input");
    await rejectsCode(one.run({ file: { ...file, nodes: null }, seed: 1 }, silent), "internal");
    const { result } = (await one.run({ file: { ...file, durationMs: 10 }, seed: 1 }, silent)) as RunTaskResult;
    assert.equal(result.scenario, "partition-heal");
  });

  it("tells of progress, and rejects what still runs when it is stopped", async () => {
    const one = machine(1);
    const task = {
      file: (BUILT_IN.find(({ name }) => name === "lora-city") as (typeof BUILT_IN)[number]).file({}),
      seed: 1,
    };
    let progress: () => void = silent;
    const told = new Promise<void>((resolve) => {
      progress = resolve;
    });
    const running = one.run(task, () => progress());
    const waiting = one.run(task, silent);
    await told;
    const ends = [rejectsCode(running, "api_unavailable"), rejectsCode(waiting, "api_unavailable")];
    await one.stop();
    await Promise.all(ends);
    await rejectsCode(one.run(task, silent), "api_unavailable");
  });

  it("reads and writes files, whole or not at all", async () => {
    const one = machine(1);
    const directory = await folder();
    const path = join(directory, "made", "deep.txt");
    await one.writeText(path, "text");
    assert.equal(await one.readText(path), "text");
    await rejectsCode(one.readText(join(directory, "absent")), "store_failed");
    await writeFile(join(directory, "binary"), Uint8Array.of(0xff, 0xfe));
    await rejectsCode(one.readText(join(directory, "binary")), "json_syntax");
    await mkdir(join(directory, "folder"));
    await rejectsCode(one.writeText(join(directory, "folder"), ""), "store_failed");
    await rejectsCode(one.writeText(join(path, "below-a-file"), ""), "store_failed");
    const trace = join(directory, "trace");
    const { result } = (await one.run(
      { file: { ...named("partition-heal"), durationMs: 4_000 }, seed: 1, trace },
      silent,
    )) as RunTaskResult;
    assert.ok((await readFile(trace, "utf8")).split("\n").length > result.steps / 10);
    await rejectsCode(one.run({ file: named("partition-heal"), seed: 1, trace: directory }, silent), "store_failed");
  });

  it("rewrites one line on a terminal, and cleans it away", async () => {
    const stream = Object.assign(new PassThrough(), { isTTY: true, columns: 20 });
    const one = machine(1, stream);
    one.showProgress("far too long for twenty columns");
    one.showProgress("dropped: too soon after the other");
    one.showProgress(null);
    assert.equal(String(stream.read()), "\r\x1b[Kfar too long for tw\r\x1b[K");
  });
});
