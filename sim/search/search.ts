/** The search for failures: variations of a scenario are run until one fails, and that one is made small. */
import type { RunResult } from "../result.ts";
import { Rng } from "../rng.ts";
import type { ScenarioFile } from "../scenario-file.ts";
import { mutateScenario } from "./mutate.ts";
import { keepsPromise } from "./promise.ts";
import { type Shrunk, shrink } from "./shrink.ts";

const INVARIANT = "invariant ";
/** Of four variations one changes the seed alone, and all that was expected must still be so. */
const SEED_ONLY_EVERY = 4;

export interface SearchOptions {
  readonly runs: number;
  readonly seed: number;
  readonly parallel: number;
  /** Runs for making one failure small. */
  readonly shrinkRuns: number;
  readonly run: (file: ScenarioFile, seed: number) => Promise<RunResult>;
  readonly onProgress?: (text: string) => void;
}

export interface Found {
  /** What failed: an invariant's name or the first expectation that was not met. */
  readonly failure: string;
  readonly file: ScenarioFile;
  readonly seed: number;
  /** Of the small scenario. */
  readonly result: RunResult;
  readonly shrunk: Shrunk;
}

export interface SearchResult {
  readonly ran: number;
  readonly steps: number;
  readonly found: Found | null;
}

/** The same failure has the same text whatever the scenario's size. */
export function failureOf({ violation, expectations, failures }: RunResult): string | null {
  if (violation !== null) return `${INVARIANT}${violation.invariant}`;
  const unmet = expectations.find(({ ok }) => !ok);
  if (unmet !== undefined) return `expectation ${unmet.what.split(/[\s:(]/, 1)[0]}`;
  return failures.length > 0 ? "expectation" : null;
}

export interface Variation {
  readonly file: ScenarioFile;
  readonly seed: number;
}

/** Number `i` of a search from this seed: always the same. */
export function variation(file: ScenarioFile, seed: number, i: number): Variation {
  const rng = new Rng((seed + Math.imul(i, 0x9e3779b1)) >>> 0);
  const own = rng.next();
  return { file: i % SEED_ONLY_EVERY === 0 ? file : mutateScenario(file, rng), seed: own };
}

/** The first failure in order ends the search, however the runs overlap. */
export async function search(file: ScenarioFile, options: SearchOptions): Promise<SearchResult> {
  const { runs, seed, parallel, run, shrinkRuns, onProgress } = options;
  let steps = 0;
  for (let from = 0; from < runs; from += parallel) {
    const batch = Array.from({ length: Math.min(parallel, runs - from) }, (_, i) => variation(file, seed, from + i));
    const results = await Promise.all(batch.map((one) => run(one.file, one.seed)));
    for (const result of results) steps += result.steps;
    onProgress?.(`${from + batch.length} of ${runs} runs`);
    const at = results.findIndex((result) => failureOf(result) !== null);
    if (at < 0) continue;
    const { file: failing, seed: failingSeed } = batch[at] as Variation;
    const failure = failureOf(results[at] as RunResult) as string;
    const shrunk = await shrink(failing, async (one) => failureOf(await run(one, failingSeed)) === failure, {
      budget: shrinkRuns,
      parallel,
      // Nothing may excuse a broken invariant; an expectation has conditions.
      allows: (smaller) => failure.startsWith(INVARIANT) || keepsPromise(failing, smaller),
      onProgress: (tried, size) => onProgress?.(`${failure}: made small by ${tried} runs, ${size} characters left`),
    });
    const result = await run(shrunk.file, failingSeed);
    return { ran: from + at + 1, steps, found: { failure, file: shrunk.file, seed: failingSeed, result, shrunk } };
  }
  return { ran: runs, steps, found: null };
}
