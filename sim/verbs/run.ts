/** `spine sim run`: one run, or a sweep over fields and seeds on all cores. */
import type { SimMachine, Verb, VerbContext } from "../../node/index.ts";
import { nobleSha256Hex, SpineError, utf8 } from "../../spine/index.ts";
import { countText, timeText } from "../report/format.ts";
import { reportPage } from "../report/page.ts";
import { csvOf, median, type Row, rowOf, sweepTable } from "../report/rows.ts";
import { sweepPage } from "../report/sweep-page.ts";
import { runText, speedText, violationText } from "../report/text.ts";
import type { RunResult } from "../result.ts";
import type { Progress } from "../run.ts";
import type { RunTask } from "../task.ts";
import { MAX_SEED } from "../text/schema.ts";
import { parseSetting, type Setting } from "../text/settings.ts";
import { buildScenario, commandFor, findScenario, SCENARIO_OPTIONS, wholeOption } from "./options.ts";
import { onMachine, performTask } from "./perform.ts";

const MAX_RUNS = 100_000;

interface Planned {
  readonly settings: readonly Setting[];
  readonly task: RunTask;
}

function sweepsOf(context: VerbContext): { field: string; values: string[] }[] {
  return context.texts("sweep").map((text) => {
    const { field, value } = parseSetting(text, "--sweep");
    const values = value.split(",").map((one) => one.trim());
    if (values.some((one) => one === "")) throw new SpineError("usage", `--sweep ${text}: an empty value`);
    return { field, values };
  });
}

/** Every combination, the last field changing fastest, and every seed of each. */
async function plan(context: VerbContext, machine: SimMachine): Promise<Planned[]> {
  const source = await findScenario(context, machine);
  const first = wholeOption(context, "seed", source.seed, 0, MAX_SEED);
  const seeds = wholeOption(context, "seeds", 1, 1, MAX_RUNS);
  if (first + seeds - 1 > MAX_SEED) throw new SpineError("usage", `--seeds: the last seed would be above ${MAX_SEED}`);
  let points: Setting[][] = [[]];
  for (const { field, values } of sweepsOf(context))
    points = points.flatMap((point) => values.map((value) => [...point, { field, value }]));
  if (points.length * seeds > MAX_RUNS)
    throw new SpineError("usage", `${points.length * seeds} runs; ${MAX_RUNS} at most`);
  return points.flatMap((settings) => {
    const file = buildScenario(source, context, settings);
    return Array.from({ length: seeds }, (_, i) => ({ settings, task: { file, seed: first + i } }));
  });
}

function progressText({ step, virtual_ms, end_ms }: Progress): string {
  const percent = Math.min(100, Math.floor((100 * virtual_ms) / Math.max(1, end_ms)));
  return `${percent} %  ${timeText(virtual_ms)} of ${timeText(end_ms)}  ${countText(step)} steps`;
}

/** Without what only a picture needs. */
function printed({ replay: _, trace_hash, ...result }: RunResult, wallMs: number): object {
  return {
    ...result,
    wall_ms: Math.round(wallMs),
    steps_per_second: Math.round((result.steps * 1_000) / Math.max(1, wallMs)),
    trace_hash,
  };
}

async function runOne({ task }: Planned, context: VerbContext, machine: SimMachine): Promise<number> {
  const [trace, html, csv] = [context.text("trace"), context.text("html"), context.text("csv")];
  const untilStep =
    context.text("until") === undefined ? undefined : wholeOption(context, "until", 0, 0, Number.MAX_SAFE_INTEGER);
  const full: RunTask = {
    ...task,
    record: html !== undefined,
    ...(trace === undefined ? {} : { trace }),
    ...(untilStep === undefined ? {} : { untilStep }),
  };
  const onProgress = (progress: Progress): void => machine.showProgress(progressText(progress));
  const { result, wall_ms: wallMs, last } = await performTask(machine, full, onProgress);
  machine.showProgress(null);
  const command = commandFor(context, task.seed);
  if (html !== undefined) await machine.writeText(html, reportPage({ file: task.file, result, command, wallMs }));
  if (csv !== undefined) await machine.writeText(csv, csvOf([rowOf({}, result, wallMs)]));
  if (context.json) await context.out.line(printed(result, wallMs));
  else {
    const cut = untilStep === undefined ? {} : { cut: { step: untilStep, last } };
    await context.out.write(runText(result, { wallMs, command, ...cut }));
    if (html !== undefined) context.note(`The report is in ${html}: open it with any browser, no network needed.`);
  }
  // What was to come by a later moment was not waited for.
  return result.ok || (untilStep !== undefined && result.violation === null) ? 0 : 1;
}

/** One hash for all: the same runs give the same. */
function hashOf(rows: readonly Row[]): string {
  return `0x${nobleSha256Hex(utf8(rows.map((row) => row["trace_hash"]).join("|")))}`;
}

const MIDDLES = ["converged_ms", "median_ms", "p95_ms", "bytes", "airtime_ms", "queue_peak_bytes"];

/** Middles over the seeds of each combination. */
function middles(settings: readonly string[], rows: readonly Row[]): Row[] {
  const groups = new Map<string, Row[]>();
  for (const row of rows) {
    const key = JSON.stringify(settings.map((name) => row[name]));
    const group = groups.get(key);
    if (group === undefined) groups.set(key, [row]);
    else group.push(row);
  }
  return [...groups.values()].map((group) => {
    const values = (name: string): number[] => group.map((row) => row[name]).filter((one) => typeof one === "number");
    return {
      ...Object.fromEntries(settings.map((name) => [name, group[0]?.[name] ?? null])),
      runs: group.length,
      ok: group.filter((row) => row["ok"] === true).length,
      ...Object.fromEntries(MIDDLES.map((name) => [name, values(name).length === 0 ? null : median(values(name))])),
    };
  });
}

/** What a run that went wrong needs to be looked at, on standard error. */
function complain(context: VerbContext, { violation, failures, seed }: RunResult, settings: readonly Setting[]): void {
  const command = commandFor(context, seed, settings);
  if (violation !== null) context.note(violationText(violation, seed, command));
  else if (failures.length > 0) context.note(`FAILED with seed ${seed}: ${failures.join("; ")}\n  ${command}`);
}

async function runSweep(planned: readonly Planned[], context: VerbContext, machine: SimMachine): Promise<number> {
  for (const name of ["trace", "until"])
    if (context.text(name) !== undefined)
      throw new SpineError("usage", `--${name} is for one run, not for ${planned.length}`);
  const from = machine.elapsedMs();
  let ended = 0;
  const say = (): void => machine.showProgress(`${ended} of ${planned.length} runs`);
  const running = planned.map(async ({ settings, task }): Promise<Row> => {
    const { result, wall_ms } = await performTask(machine, task, say);
    ended++;
    say();
    if (!result.ok) complain(context, result, settings);
    return rowOf(Object.fromEntries(settings.map(({ field, value }) => [field, value])), result, wall_ms);
  });
  // Whichever fails first is thrown below; the others end with it.
  for (const one of running) one.catch(() => undefined);
  const rows: Row[] = [];
  try {
    for (const one of running) {
      const row = await one;
      rows.push(row);
      if (context.json) await context.out.line(row);
    }
  } catch (caught) {
    if (!context.signal.aborted) throw caught;
  }
  machine.showProgress(null);
  if (rows.length < planned.length) context.note(`Stopped after ${rows.length} of ${planned.length} runs.`);
  if (rows.length === 0) return 1;
  const wallMs = machine.elapsedMs() - from;
  const settings = planned[0]?.settings.map(({ field }) => field) ?? [];
  const csv = context.text("csv");
  if (csv !== undefined) await machine.writeText(csv, csvOf(rows));
  const failed = rows.filter((row) => row["ok"] !== true).length;
  const steps = rows.reduce((sum, row) => sum + Number(row["steps"]), 0);
  const trace_hash = hashOf(rows);
  const medians = middles(settings, rows);
  const html = context.text("html");
  if (html !== undefined) {
    const { name, summary } = planned[0]?.task.file ?? { name: "", summary: "" };
    const swept = context.texts("sweep").flatMap((text) => ["--sweep", text]);
    const seeds = context.text("seeds") ?? "1";
    const command = commandFor(context, planned[0]?.task.seed ?? 1, [], ["run", ...swept, "--seeds", seeds]);
    await machine.writeText(html, sweepPage({ name, summary, command, settings, rows, medians }));
    context.note(`The report is in ${html}: open it with any browser, no network needed.`);
  }
  if (context.json) {
    await context.out.line({ runs: rows.length, failed, medians, wall_ms: Math.round(wallMs), trace_hash });
  } else
    await context.out.write(
      `${sweepTable(settings, rows)}\n${rows.length - failed} of ${rows.length} ok in ${timeText(wallMs)}, ` +
        `${speedText(steps, wallMs)} on ${Math.min(machine.cores, planned.length)} cores\ntrace_hash ${trace_hash}\n`,
    );
  return failed > 0 || rows.length < planned.length ? 1 : 0;
}

export const run = (machine: SimMachine): Verb => ({
  usage: "sim run SCENARIO|FILE [--seed N] [--seeds N] [--sweep FIELD=A,B,…]… [--html F] …",
  about:
    "Runs a mesh in virtual time with the daemon's own core, checks every invariant after every step, and says what came\n" +
    "of it. Same scenario and seed, same trace_hash. Exit code 1: an invariant was broken or an expectation not met.",
  examples: [
    "spine sim run partition-heal --seed 7",
    "spine sim run lora-city --seed 1 --html city.html",
    "spine sim run mine.yaml --sweep networks.lan.shape.loss=0,0.1,0.3 --seeds 30 --csv loss.csv",
    "spine sim run fork-attack --seed 7 --until 1234 --trace before.txt",
  ],
  options: {
    seed: { type: "string", value: "N", help: "What all chance comes from; the file's or 1 if omitted." },
    seeds: { type: "string", value: "N", help: "So many runs, from --seed on." },
    sweep: {
      type: "string",
      value: "FIELD=A,B",
      multiple: true,
      help: "A run for each value; nodes=A,B scales a built-in.",
    },
    ...SCENARIO_OPTIONS,
    until: { type: "string", value: "STEP", help: "End before the step after this one." },
    trace: { type: "string", value: "FILE", help: "Every event of the run, one a line." },
    csv: { type: "string", value: "FILE", help: "One row per run." },
    html: { type: "string", value: "FILE", help: "A report in one file: plots, and a map that replays a single run." },
  },
  operands: { least: 1, most: 1 },
  run: (context) =>
    onMachine(machine, context, async () => {
      const planned = await plan(context, machine);
      const [only] = planned;
      return planned.length === 1 && only !== undefined
        ? runOne(only, context, machine)
        : runSweep(planned, context, machine);
    }),
});
