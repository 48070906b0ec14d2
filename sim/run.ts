/** Runs a scenario: in slices for whoever shows progress and obeys a stop, or at once. */

import type { RunResult } from "./result.ts";
import type { ScenarioFile } from "./scenario-file.ts";
import type { SimPorts } from "./world.ts";

export interface RunOptions {
  readonly seed: number;
  readonly ports: SimPorts;
  /** Ends before the step after this one: a replay to just before a violation. */
  readonly untilStep?: number;
  /** Fills `RunResult.replay`. */
  readonly record?: boolean;
  /** Of the series and the replay. */
  readonly samples?: number;
}

export interface Progress {
  readonly step: number;
  readonly virtual_ms: number;
  readonly end_ms: number;
}

export interface Run {
  /** Does up to so many steps; false when the run is over. Never rejects for what happens in the mesh: see `finish`. */
  advance(steps: number): Promise<boolean>;
  progress(): Progress;
  /** What there is up to now; final once `advance` said false. */
  finish(): RunResult;
}

export interface RunToEndOptions extends RunOptions {
  readonly onProgress?: (progress: Progress) => void;
  readonly signal?: AbortSignal;
}

/** A built-in scenario. `nodes` scales it where it can be scaled; `short` is the variant for CI. */
export interface BuiltIn {
  readonly name: string;
  readonly summary: string;
  file(options: { readonly nodes?: number; readonly short?: boolean }): ScenarioFile;
}

const SLICE_STEPS = 2_000;

/** Throws `api_input` for a scenario that names nodes or networks which it does not have. */
export declare function startRun(file: ScenarioFile, options: RunOptions): Run;

export async function runScenario(file: ScenarioFile, options: RunToEndOptions): Promise<RunResult> {
  const { onProgress, signal, ...rest } = options;
  const run = startRun(file, rest);
  while (signal?.aborted !== true && (await run.advance(SLICE_STEPS))) onProgress?.(run.progress());
  return run.finish();
}
