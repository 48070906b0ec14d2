/** `spine sim fuzz`: looks for a variation of a scenario that fails, makes it small, and writes it as a file. */
import type { SimMachine, Verb, VerbContext } from "../../node/index.ts";
import { countText, timeText } from "../report/format.ts";
import { speedText, violationText } from "../report/text.ts";
import { type Found, search } from "../search/search.ts";
import { sizeOf } from "../search/shrink.ts";
import { scenarioText } from "../text/scenario-text.ts";
import { MAX_SEED } from "../text/schema.ts";
import { buildScenario, commandFor, findScenario, SCENARIO_OPTIONS, wholeOption } from "./options.ts";
import { onMachine, performTask } from "./perform.ts";

const DEFAULT_RUNS = 100;
const DEFAULT_SHRINK_RUNS = 500;

function fileNameOf({ failure, seed }: Found, scenario: string): string {
  const slug = failure
    .toLowerCase()
    .replace(/[^a-z0-9]+/g, "-")
    .replace(/^-|-$/g, "");
  return `${scenario}-${slug}-${seed}.yaml`;
}

function commentOf({ failure, result }: Found, command: string): string {
  const detail = result.violation?.detail ?? result.failures.join("; ");
  return `Found by: ${command}\nFails with: ${failure}\n${detail.slice(0, 300)}`.replace(/[\r\u2028\u2029]/g, " ");
}

async function fuzzIt(context: VerbContext, machine: SimMachine): Promise<number> {
  const source = await findScenario(context, machine);
  const file = buildScenario(source, context);
  const seed = wholeOption(context, "seed", source.seed, 0, MAX_SEED);
  const runs = wholeOption(context, "runs", DEFAULT_RUNS, 1, 1_000_000);
  const from = machine.elapsedMs();
  const { ran, steps, found } = await search(file, {
    runs,
    seed,
    parallel: machine.cores,
    shrinkRuns: wholeOption(context, "shrink-runs", DEFAULT_SHRINK_RUNS, 0, 100_000),
    run: async (one, its) => (await performTask(machine, { file: one, seed: its }, () => undefined)).result,
    onProgress: (text) => machine.showProgress(text),
  });
  machine.showProgress(null);
  const wallMs = machine.elapsedMs() - from;
  const took = `${countText(ran)} runs in ${timeText(wallMs)}, ${speedText(steps, wallMs)}`;
  if (found === null) {
    if (context.json) await context.out.line({ runs: ran, found: null, wall_ms: Math.round(wallMs) });
    else await context.out.write(`${took}: nothing found\n`);
    return 0;
  }
  const { result, shrunk } = found;
  const path = context.text("out") ?? fileNameOf(found, file.name);
  const command = commandFor(context, seed, [], ["fuzz", "--runs", String(runs)]);
  await machine.writeText(path, scenarioText(found.file, found.seed, commentOf(found, command)));
  if (context.json) {
    const { violation, failures, trace_hash } = result;
    const what = { failure: found.failure, seed: found.seed, file: path, violation, failures };
    const size = { shrink_runs: shrunk.tried, least: shrunk.isLeast, characters: sizeOf(found.file) };
    await context.out.line({ runs: ran, found: { ...what, ...size }, wall_ms: Math.round(wallMs), trace_hash });
    return 1;
  }
  const again = `spine sim run ${path}`;
  const events = `${countText(found.file.timeline.length)} events, ${countText(result.nodes.length)} nodes`;
  await context.out.write(
    `${took}: run ${ran} fails with ${found.failure}\n\n` +
      (result.violation === null
        ? `${result.failures.join("\n")}\n  run it again:\n    ${again}\n`
        : violationText(result.violation, found.seed, again)) +
      `\nMade small by ${countText(shrunk.tried)} runs to ${events}${shrunk.isLeast ? "" : " (more runs may make it smaller)"}: ${path}\n`,
  );
  return 1;
}

export const fuzz = (machine: SimMachine): Verb => ({
  usage: "sim fuzz SCENARIO|FILE [--runs N] [--seed N] [--out FILE]",
  about:
    "Varies the seed, the faults and the links of a scenario until an invariant breaks or an expectation is not met, makes\n" +
    "the failure small, and writes it as a scenario file that fails by itself. Exit code 1: something was found.",
  examples: [
    "spine sim fuzz partition-heal --runs 500",
    "spine sim fuzz mine.yaml --runs 100 --seed 7 --out found.yaml",
  ],
  options: {
    runs: { type: "string", value: "N", help: `Variations tried; ${DEFAULT_RUNS} if omitted.` },
    seed: { type: "string", value: "N", help: "What the variations come from: same seed, same search." },
    "shrink-runs": {
      type: "string",
      value: "N",
      help: `Runs to make a failure small; ${DEFAULT_SHRINK_RUNS} if omitted.`,
    },
    out: {
      type: "string",
      value: "FILE",
      help: "Where the small scenario goes; a name that says what fails if omitted.",
    },
    ...SCENARIO_OPTIONS,
  },
  operands: { least: 1, most: 1 },
  run: (context) => onMachine(machine, context, () => fuzzIt(context, machine)),
});
