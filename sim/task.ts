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

/** Of a run that may stop long before its time. */
const RECORDED_SAMPLES = 480;

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
  const samples = options.record === true ? { samples: RECORDED_SAMPLES } : {};
  const result = await runScenario(file, { ...options, ...samples, ...traced, ports, onProgress: tools.progress });
  return { result, wall_ms: tools.elapsedMs() - from, last: last.slice(-LAST_EVENTS) };
}
