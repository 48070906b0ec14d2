/** One run as a task for a worker thread: plain data in, plain data out. */
import type { SimTaskTools } from "../node/index.ts";
import { memoise } from "./ports.ts";
import type { RunResult } from "./result.ts";
import { runScenario } from "./run.ts";
import type { ScenarioFile } from "./scenario-file.ts";

export interface RunTask {
  readonly file: ScenarioFile;
  readonly seed: number;
  /** Ends before the step after this one. */
  readonly untilStep?: number;
  /** Fills the result's replay. */
  readonly record?: boolean;
  /** Where every event of the trace goes, one a line. */
  readonly trace?: string;
}

export interface RunTaskResult {
  readonly result: RunResult;
  /** Wall time. */
  readonly wall_ms: number;
  /** The last events of a run that ended before its time, oldest first. */
  readonly last: readonly string[];
}

/** Events kept of a run that ends before its time. */
const LAST_EVENTS = 40;

/** Of a recorded run, which may stop long before its time; fewer of a large mesh: a report must stay a file to send. */
const SAMPLES = { least: 60, most: 480, ofAllNodes: 500_000 } as const;

function samplesOf({ nodes }: ScenarioFile): number {
  const count = nodes.reduce((sum, group) => sum + group.count, 0);
  return Math.max(SAMPLES.least, Math.min(SAMPLES.most, Math.floor(SAMPLES.ofAllNodes / Math.max(1, count))));
}

export async function runSimTask(given: unknown, tools: SimTaskTools): Promise<RunTaskResult> {
  const { file, trace, ...options } = given as RunTask;
  const { sha256Hex, keyFromSeed, verify } = tools.crypto;
  const ports = { sha256Hex, keyFromSeed, verify: memoise(verify, sha256Hex) };
  const last: string[] = [];
  const toFile = trace === undefined ? undefined : tools.openLines(trace);
  const toLast = (line: string): void => {
    last.push(line);
    if (last.length > 2 * LAST_EVENTS) last.splice(0, LAST_EVENTS);
  };
  const isCut = options.untilStep !== undefined;
  const onTrace = (line: string): void => {
    toFile?.(line);
    if (isCut) toLast(line);
  };
  const traced = toFile !== undefined || isCut ? { onTrace } : {};
  const from = tools.elapsedMs();
  const samples = options.record === true ? { samples: samplesOf(file) } : {};
  const result = await runScenario(file, { ...options, ...samples, ...traced, ports, onProgress: tools.progress });
  return { result, wall_ms: tools.elapsedMs() - from, last: last.slice(-LAST_EVENTS) };
}
