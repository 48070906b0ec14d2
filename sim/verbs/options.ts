/** Options that the `sim` verbs share, and the scenario that they name. */
import type { SimMachine, VerbContext, VerbOption } from "../../node/index.ts";
import { SpineError } from "../../spine/index.ts";
import { BUILT_IN } from "../built-in.ts";
import type { BuiltIn } from "../run.ts";
import type { ScenarioFile } from "../scenario-file.ts";
import { readScenario } from "../text/scenario-text.ts";
import { applySettings, parseSetting, type Setting } from "../text/settings.ts";

const MAX_NODES = 100_000;

export const SCENARIO_OPTIONS: Readonly<Record<string, VerbOption>> = {
  nodes: { type: "string", value: "N", help: "Number of nodes, where the built-in scenario can be scaled." },
  short: { type: "boolean", help: "The short variant of a built-in scenario." },
  set: {
    type: "string",
    value: "FIELD=VALUE",
    multiple: true,
    help: "Change a field, such as networks.lan.shape.loss=0.1.",
  },
};

export function wholeOption(context: VerbContext, name: string, fallback: number, least: number, most: number): number {
  const text = context.text(name);
  const value = text === undefined ? fallback : Number(text);
  if (text?.trim() === "" || !Number.isInteger(value) || value < least || value > most)
    throw new SpineError("usage", `--${name}: expected a whole number from ${least} to ${most}`);
  return value;
}

/** A scenario before fields are set: a file's, or a built-in that can still be scaled. */
export interface ScenarioSource {
  readonly name: string;
  /** When none is given. */
  readonly seed: number;
  build(nodes: number | undefined): ScenarioFile;
}

export function builtInNamed(name: string): BuiltIn | undefined {
  return BUILT_IN.find((one) => one.name === name);
}

/** A built-in's name, or a file: something with a dot or a slash. Throws `usage` and what reading throws. */
export async function findScenario(context: VerbContext, machine: SimMachine): Promise<ScenarioSource> {
  const [name = ""] = context.operands;
  const short = context.flag("short");
  const builtIn = builtInNamed(name);
  if (builtIn !== undefined)
    return { name, seed: 1, build: (nodes) => builtIn.file({ short, ...(nodes === undefined ? {} : { nodes }) }) };
  if (!/[./]/.test(name)) {
    const known = BUILT_IN.map((one) => one.name).join(", ");
    throw new SpineError(
      "usage",
      `no scenario ${JSON.stringify(name)}; there are ${known}, or give a file such as ./${name}.yaml`,
    );
  }
  if (short) throw new SpineError("usage", "--short is for built-in scenarios");
  const { file, seed } = readScenario(await machine.readText(name), name);
  return {
    name,
    seed,
    build(nodes) {
      if (nodes !== undefined)
        throw new SpineError("usage", "--nodes is for built-in scenarios; set nodes.GROUP.count of a file's");
      return file;
    },
  };
}

export function nodesOption(context: VerbContext): number | undefined {
  return context.text("nodes") === undefined ? undefined : wholeOption(context, "nodes", 0, 1, MAX_NODES);
}

/** With `--nodes` and `--set`, and further settings after them; `nodes` among those scales a built-in. */
export function buildScenario(
  source: ScenarioSource,
  context: VerbContext,
  further: readonly Setting[] = [],
): ScenarioFile {
  const scale = further.find(({ field }) => field === "nodes");
  const nodes = scale === undefined ? nodesOption(context) : Number(scale.value);
  if (nodes !== undefined && (!Number.isInteger(nodes) || nodes < 1 || nodes > MAX_NODES))
    throw new SpineError("usage", `nodes=${scale?.value}: expected a whole number from 1 to ${MAX_NODES}`);
  const set = context.texts("set").map((text) => parseSetting(text, "--set"));
  return applySettings(source.build(nodes), [...set, ...further.filter(({ field }) => field !== "nodes")]);
}

function quoted(word: string): string {
  return /^[\w@%+=:,./-]+$/.test(word) ? word : `'${word.replaceAll("'", "'\\''")}'`;
}

/** The command that does the same run again. */
export function commandFor(
  context: VerbContext,
  seed: number,
  further: readonly Setting[] = [],
  [verb, ...options]: readonly string[] = ["run"],
): string {
  const words = ["spine", "sim", verb as string, ...context.operands, ...options];
  if (context.flag("short")) words.push("--short");
  const scale = further.find(({ field }) => field === "nodes")?.value ?? context.text("nodes");
  if (scale !== undefined) words.push("--nodes", scale);
  for (const setting of context.texts("set")) words.push("--set", setting);
  for (const { field, value } of further) if (field !== "nodes") words.push("--set", `${field}=${value}`);
  return [...words, "--seed", String(seed)].map(quoted).join(" ");
}
