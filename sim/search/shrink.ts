/**
 * Makes a failing scenario small: leaves out list items, puts fields back to their defaults and halves numbers, as long as
 * it fails in the same way. Every candidate is checked like a file; the order is fixed, so the outcome is too.
 */
import type { ScenarioFile } from "../scenario-file.ts";
import { scenarioProblems, scenarioValue } from "../text/scenario-text.ts";
import { duration, durationText, type JsonValue } from "../text/shape.ts";
import { pruneNames } from "./prune.ts";

/** Whether a candidate still fails in the way looked for. */
export type StillFails = (file: ScenarioFile) => Promise<boolean>;

export interface ShrinkOptions {
  /** Runs at most. */
  readonly budget: number;
  /** Candidates tried at once; the first in order that fails wins. */
  readonly parallel: number;
  /** Whether a candidate may be tried at all. */
  readonly allows?: (candidate: ScenarioFile) => boolean;
  readonly onProgress?: (tried: number, size: number) => void;
}

/** Characters of the scenario: what shrinking makes fewer. */
export function sizeOf(file: ScenarioFile): number {
  return JSON.stringify(scenarioValue(file)).length;
}

type Path = readonly (string | number)[];
type Change = (parent: Record<string | number, JsonValue>, key: string | number) => void;

/** Whole lists first, then items, then fields: the largest steps come first. */
const LISTS: readonly string[] = ["timeline", "networks", "load", "nodes", "expect"];
const KEPT: ReadonlySet<string> = new Set(["schema", "seed", "name", "type"]);
/** A window shorter than that is not made shorter. */
const LEAST_MS = 1_000;
/** A smaller fraction is not halved any more; a larger whole number is not counted down one by one. */
const LEAST_FRACTION = 0.02;
const MOST_STEPWISE = 16;

function changed(root: JsonValue, path: Path, change: Change): JsonValue {
  const copy = structuredClone(root) as Record<string | number, JsonValue>;
  let at = copy;
  for (const key of path.slice(0, -1)) at = at[key] as typeof at;
  change(at, path.at(-1) as string | number);
  return copy as JsonValue;
}

/** Halves of a list, quarters and so on down to single items, the last first: later events matter less. */
function* removals(root: JsonValue, path: Path, length: number): Generator<JsonValue> {
  for (let size = length; size >= 1; size = Math.floor(size / 2)) {
    for (let from = length - size; from > -size; from -= size) {
      const begin = Math.max(0, from);
      yield changed(root, path, (parent, key) => {
        (parent[key] as JsonValue[]).splice(begin, from + size - begin);
      });
    }
  }
}

/** Whole seconds read better. */
function halfOf(ms: number): number {
  return ms > 2 * LEAST_MS ? Math.round(ms / 2_000) * 1_000 : Math.round(ms / 2);
}

function halves(value: JsonValue): JsonValue[] {
  if (typeof value === "number") {
    if (!Number.isInteger(value)) return Math.abs(value) > LEAST_FRACTION ? [0, value / 2] : [0];
    const less = Math.abs(value) <= MOST_STEPWISE ? [value - Math.sign(value)] : [];
    return Math.abs(value) <= 1 ? [] : [1, Math.trunc(value / 2), ...less];
  }
  const ms = typeof value === "string" ? duration(0, Number.MAX_SAFE_INTEGER).read(value, "", []) : undefined;
  return ms === undefined || ms <= LEAST_MS ? [] : [durationText(halfOf(ms))];
}

function* walk(root: JsonValue, value: JsonValue, path: Path): Generator<JsonValue> {
  if (Array.isArray(value)) {
    yield* removals(root, path, value.length);
    for (const [i, item] of value.entries()) yield* walk(root, item, [...path, i]);
  } else if (typeof value === "object" && value !== null) {
    for (const [key, item] of Object.entries(value)) {
      if (KEPT.has(key)) continue;
      yield changed(root, [...path, key], (parent, name) => {
        delete parent[name];
      });
      yield* walk(root, item, [...path, key]);
    }
  } else
    for (const smaller of halves(value))
      yield changed(root, path, (parent, key) => {
        parent[key] = smaller;
      });
}

function* variants(file: ScenarioFile): Generator<JsonValue> {
  const root = scenarioValue(file) as Record<string, JsonValue>;
  for (const name of LISTS) {
    const list = root[name];
    if (Array.isArray(list)) yield* removals(root, [name], list.length);
  }
  for (const halved of halves(root["duration"] as JsonValue)) yield { ...root, duration: halved };
  yield* walk(root, root, []);
}

/** Smaller scenarios that are valid, largest steps first; each once. */
export function* candidates(file: ScenarioFile): Generator<ScenarioFile> {
  const seen = new Set<string>();
  const size = sizeOf(file);
  for (const value of variants(file)) {
    // Names that went with what was left out would make most candidates invalid.
    const loose = scenarioProblems(value, false).scenario;
    if (loose === undefined) continue;
    const { scenario } = scenarioProblems(scenarioValue(cut(pruneNames(loose.file))));
    if (scenario === undefined) continue;
    const key = JSON.stringify(scenario.file);
    if (seen.has(key) || sizeOf(scenario.file) >= size + 4 || key === JSON.stringify(file)) continue;
    seen.add(key);
    yield scenario.file;
  }
}

/** What happens after the end does not happen. */
function cut(file: ScenarioFile): ScenarioFile {
  const end = file.durationMs;
  return {
    ...file,
    nodes: file.nodes.filter(({ joinsAtMs }) => joinsAtMs <= end),
    timeline: file.timeline.filter(({ atMs }) => atMs <= end),
    expect: file.expect.filter(({ afterMs, withinMs }) => afterMs + withinMs <= end),
  };
}

export interface Shrunk {
  readonly file: ScenarioFile;
  readonly tried: number;
  /** Nothing smaller fails; false: the budget was spent first. */
  readonly isLeast: boolean;
}

export async function shrink(failing: ScenarioFile, fails: StillFails, options: ShrinkOptions): Promise<Shrunk> {
  let file = failing;
  let tried = 0;
  for (let found = true; found; ) {
    found = false;
    const left = candidates(file);
    for (let done = false; !done && !found; ) {
      const batch: ScenarioFile[] = [];
      while (batch.length < Math.min(options.parallel, options.budget - tried)) {
        const next = left.next();
        if (next.done === true) break;
        if (options.allows?.(next.value) !== false) batch.push(next.value);
      }
      if (batch.length === 0) {
        if (tried >= options.budget) return { file, tried, isLeast: false };
        done = true;
      }
      const verdicts = await Promise.all(batch.map(fails));
      tried += batch.length;
      const at = verdicts.indexOf(true);
      if (at >= 0) {
        file = batch[at] as ScenarioFile;
        found = true;
      }
      options.onProgress?.(tried, sizeOf(file));
    }
  }
  return { file, tried, isLeast: true };
}
