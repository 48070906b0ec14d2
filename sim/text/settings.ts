/**
 * Fields of a scenario changed from the command line: `networks.internet.shape.loss=0.1`. A list's items go by their
 * name or by `[0]`; the result is checked like a file. For `--set`, `--sweep` and the search for failures.
 */
import { parse } from "yaml";
import { SpineError } from "../../spine/index.ts";
import type { ScenarioFile } from "../scenario-file.ts";
import { readScenarioValue, scenarioValue } from "./scenario-text.ts";
import type { JsonValue } from "./shape.ts";

type Container = Record<string, JsonValue> | JsonValue[];

export interface Setting {
  readonly field: string;
  /** As written, such as `0.1` or `90 s`. */
  readonly value: string;
}

/** `FIELD=VALUE`. Throws `usage`. */
export function parseSetting(text: string, option: string): Setting {
  const at = text.indexOf("=");
  if (at < 1) throw new SpineError("usage", `${option} ${JSON.stringify(text)}: expected FIELD=VALUE`);
  return { field: text.slice(0, at).trim(), value: text.slice(at + 1).trim() };
}

function segmentsOf(field: string): string[] {
  return field
    .replace(/\[(\d+)\]/g, ".$1")
    .split(".")
    .filter((segment) => segment !== "");
}

function isContainer(value: JsonValue | undefined): value is Container {
  return typeof value === "object" && value !== null;
}

/** Where `segment` is in a container: a list's item by its name or number, a map's key. */
function keyOf(container: Container, segment: string, field: string): string | number {
  if (!Array.isArray(container)) {
    if (segment === "__proto__") throw new SpineError("usage", `${field}: no such field`);
    return segment;
  }
  const named = container.findIndex((item) => isContainer(item) && !Array.isArray(item) && item["name"] === segment);
  const at = named >= 0 ? named : /^\d+$/.test(segment) ? Number(segment) : -1;
  if (at >= 0 && at < container.length) return at;
  const names = container.map((item, i) => (isContainer(item) && !Array.isArray(item) && item["name"]) || `[${i}]`);
  throw new SpineError("usage", `${field}: no ${segment}; there are ${names.join(", ") || "none"}`);
}

function setField(root: Container, field: string, value: JsonValue): void {
  const segments = segmentsOf(field);
  const last = segments.pop();
  if (last === undefined) throw new SpineError("usage", `${JSON.stringify(field)} names no field`);
  let at = root;
  for (const segment of segments) {
    const key = keyOf(at, segment, field);
    const slots = at as Record<string | number, JsonValue>;
    // A part that is at its default is not written out.
    if (slots[key] === undefined) slots[key] = {};
    const next = slots[key];
    if (!isContainer(next)) throw new SpineError("usage", `${field}: ${segment} has no fields`);
    at = next;
  }
  (at as Record<string | number, JsonValue>)[keyOf(at, last, field)] = value;
}

/** Throws `usage` for a field that cannot be, `scenario_invalid` for a value that does not fit. */
export function applySettings(file: ScenarioFile, settings: readonly Setting[]): ScenarioFile {
  if (settings.length === 0) return file;
  const root = structuredClone(scenarioValue(file)) as Container;
  for (const { field, value } of settings) {
    let read: JsonValue;
    try {
      read = parse(value, { maxAliasCount: 0 }) as JsonValue;
    } catch {
      throw new SpineError("usage", `${field}: ${JSON.stringify(value)} is not a YAML value`);
    }
    setField(root, field, read);
  }
  return readScenarioValue(root, settings.map(({ field, value }) => `${field}=${value}`).join(" ")).file;
}
