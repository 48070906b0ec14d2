/** Runs a scenario: in slices for whoever shows progress and obeys a stop, or at once. */
import { asSpineError } from "../spine/index.ts";
import { Expectations } from "./engine/expectations.ts";
import { resultOf } from "./engine/report.ts";
import { Sampler } from "./engine/sampler.ts";
import { Setup } from "./engine/setup.ts";
import { Timeline } from "./engine/timeline.ts";
import { InvariantViolation } from "./invariants.ts";
import type { SimPeer } from "./peer.ts";
import type { RunResult, Violation } from "./result.ts";
import type { ScenarioFile } from "./scenario-file.ts";
import { checkSettled } from "./settled.ts";
import { EPOCH_MS, type SimPorts } from "./world.ts";

export interface RunOptions {
  readonly seed: number;
  readonly ports: SimPorts;
  /** Ends before the step after this one: a replay to just before a violation. */
  readonly untilStep?: number;
  /** Fills `RunResult.replay`. */
  readonly record?: boolean;
  /** Of the series and the replay; 120 by default. */
  readonly samples?: number;
  /** Told of every event that goes into the trace hash: "MILLISECONDS EVENT". */
  readonly onTrace?: (line: string) => void;
  /** Told of each node that has begun a life, before its first input: tests break its core here. */
  readonly onStart?: (peer: SimPeer) => void;
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
const SAMPLES = 120;
/** A run that stops early goes on for this long after its last expectation was decided. */
const TAIL_MS = 1_000;

class ScenarioRun implements Run {
  readonly #setup: Setup;
  readonly #options: RunOptions;
  readonly #expectations: Expectations;
  readonly #sampler: Sampler;
  #endMs: number;
  #over = false;
  /** Only what must hold at the end is still looked at. */
  #ending = false;
  #violation: Violation | null = null;

  constructor(file: ScenarioFile, options: RunOptions) {
    this.#options = options;
    this.#setup = new Setup(file, options.seed, options.ports, options.onStart);
    this.#setup.world.onTrace = options.onTrace;
    this.#sampler = new Sampler(this.#setup, options.samples ?? SAMPLES, options.record ?? false);
    new Timeline(this.#setup);
    this.#expectations = new Expectations(this.#setup);
    this.#endMs = file.durationMs;
  }

  async advance(steps: number): Promise<boolean> {
    try {
      for (let left = steps; left > 0 && !this.#over; left--) {
        if (!this.#step()) this.#end();
        else if (this.#setup.world.planesAtWork) await this.#setup.world.settlePlanes();
      }
    } catch (caught) {
      this.#broken(caught);
    }
    return !this.#over;
  }
  #step(): boolean {
    const { world, file } = this.#setup;
    if (world.steps >= (this.#options.untilStep ?? Number.POSITIVE_INFINITY)) {
      this.#over = true;
      return true;
    }
    const isDecided = file.expect.length > 0 && this.#expectations.decided;
    if (file.stopEarly && isDecided) this.#endMs = Math.min(this.#endMs, world.elapsedMs + TAIL_MS);
    return world.step(EPOCH_MS + this.#endMs);
  }
  #end(): void {
    this.#over = true;
    this.#ending = true;
    this.#sampler.take();
    checkSettled(this.#setup);
  }
  #broken(caught: unknown): void {
    this.#over = true;
    const { world, names } = this.#setup;
    const error = caught instanceof InvariantViolation ? caught : undefined;
    // Whatever else the core throws is a defect of it, or of the simulator.
    const invariant = error?.invariant ?? "the core keeps its own rules";
    const detail = error?.detail ?? asSpineError(caught, "internal").message;
    const nodes = error?.nodes ?? [];
    this.#violation = {
      invariant,
      detail: withNames(this.#setup, detail),
      step: Math.max(0, this.#ending ? world.steps : world.steps - 1),
      at_ms: Math.round(world.elapsedMs),
      nodes: nodes.map((index) => names.nameOf(index)),
      events: nodes
        .flatMap((index) =>
          world
            .peer(index)
            .recent.list((link) => this.#setup.remoteOf(link))
            .map(({ atMs, what }) => ({ at_ms: Math.round(atMs), node: names.nameOf(index), what })),
        )
        .sort((a, b) => a.at_ms - b.at_ms),
    };
  }

  progress(): Progress {
    const { world } = this.#setup;
    return { step: world.steps, virtual_ms: Math.round(world.elapsedMs), end_ms: this.#endMs };
  }
  finish(): RunResult {
    return resultOf(this.#setup, {
      seed: this.#options.seed,
      violation: this.#violation,
      expectations: this.#expectations.results(),
      series: this.#sampler.series(),
      replay: this.#sampler.replay(),
    });
  }
}

/** World and core know numbers and keys. */
function withNames(setup: Setup, text: string): string {
  return text
    .replace(/\bnode (\d+)\b/g, (_, index) => setup.names.nameOf(Number(index)))
    .replace(/\baegis:ed25519:[0-9a-f]{64}\b/g, (issuer) => setup.nameOf(issuer));
}

/** Throws `api_input` for a scenario that names nodes or networks which it does not have. */
export function startRun(file: ScenarioFile, options: RunOptions): Run {
  return new ScenarioRun(file, options);
}

export async function runScenario(file: ScenarioFile, options: RunToEndOptions): Promise<RunResult> {
  const { onProgress, signal, ...rest } = options;
  const run = startRun(file, rest);
  while (signal?.aborted !== true && (await run.advance(SLICE_STEPS))) onProgress?.(run.progress());
  return run.finish();
}
