/** Scenario files: YAML to a checked `ScenarioFile` with every default filled in, and back. Used by the `sim` verbs. */
import { parseDocument, stringify } from "yaml";
import { SpineError } from "../../spine/index.ts";
import type { ScenarioFile } from "../scenario-file.ts";
import { checkNames } from "./names.ts";
import { SCENARIO_SCHEMA_NAME, scenarioShape } from "./schema.ts";
import type { JsonSchema, JsonValue, Problem } from "./shape.ts";

/** Problems said of one file; the rest is counted. */
const MAX_PROBLEMS = 50;

function refuse(path: string, lines: readonly string[]): never {
  const more = lines.length > MAX_PROBLEMS ? [`and ${lines.length - MAX_PROBLEMS} more`] : [];
  throw new SpineError(
    "scenario_invalid",
    [...lines.slice(0, MAX_PROBLEMS), ...more].map((line) => `${path}: ${line}`).join("\n"),
  );
}

function parseYaml(text: string, path: string): unknown {
  const document = parseDocument(text, { uniqueKeys: true, prettyErrors: true, merge: false });
  const problems = [...document.errors, ...document.warnings];
  if (problems.length > 0)
    refuse(
      path,
      problems.map(
        ({ linePos, message }) => `${linePos?.[0].line ?? 1}:${linePos?.[0].col ?? 1}: ${message.split("\n")[0]}`,
      ),
    );
  try {
    return document.toJS({ maxAliasCount: 0 });
  } catch {
    return refuse(path, ["aliases are not supported"]);
  }
}

/** A scenario and the seed it is run with when none is given. */
export interface SeededScenario {
  readonly file: ScenarioFile;
  readonly seed: number;
}

/** Every problem, none = it is a scenario. Without `names` only its shape is looked at. */
export function scenarioProblems(
  value: unknown,
  names = true,
): {
  readonly scenario?: SeededScenario;
  readonly problems: readonly Problem[];
} {
  const problems: Problem[] = [];
  const read = scenarioShape.read(value, "", problems);
  if (read === undefined) return { problems };
  const { schema: _, seed, ...file } = read;
  const unfit = names ? checkNames(file) : [];
  return unfit.length > 0 ? { problems: unfit } : { scenario: { file, seed }, problems: [] };
}

/** `path` is for messages. Throws `scenario_invalid` with every problem and its field path. */
export function readScenario(text: string, path: string): SeededScenario {
  return readScenarioValue(parseYaml(text, path), path);
}
export function readScenarioValue(value: unknown, path: string): SeededScenario {
  const { scenario, problems } = scenarioProblems(value);
  if (scenario !== undefined) return scenario;
  return refuse(
    path,
    problems.map(({ path: field, message }) => `${field === "" ? "the document" : field}: ${message}`),
  );
}

/** As in a file: only what differs from the defaults. */
export function scenarioValue(file: ScenarioFile, seed = 1): JsonValue {
  return scenarioShape.write({ schema: SCENARIO_SCHEMA_NAME, seed, ...file });
}
/** `readScenario` gives the same file again. Each line of the comment is put on top. */
export function scenarioText(file: ScenarioFile, seed = 1, comment = ""): string {
  const head = comment === "" ? "" : `${comment.replace(/^/gm, "# ")}\n`;
  return `${head}${stringify(scenarioValue(file, seed), { lineWidth: 110, aliasDuplicateObjects: false })}`;
}

export function scenarioJsonSchema(): JsonSchema {
  const head: Record<string, JsonValue> = {
    $schema: "https://json-schema.org/draft/2020-12/schema",
    title: "Scenario of the Spine mesh simulator",
  };
  return { ...head, ...scenarioShape.schema };
}
