/** The attack sets beside the checkout, and one verdict for one text. They are judged as they are; nothing learns from them. */
import { GuardEngine } from "../../node/guards/engine.ts";
import { loadRuleset } from "../../node/guards/policy/load.ts";
import type { Verdict } from "../../node/guards/verdict.ts";
import { sharedLines } from "../helpers/guard-cases.ts";

export interface SetRow {
  readonly set: string;
  readonly label: "benign" | "malicious";
  readonly text: string;
  readonly category?: string;
  readonly variant?: string;
  readonly system_prompt?: string;
}

export type Provenance = "user_input" | "untrusted_text";

export const FOLDER = "vectors/guards/detection";

export function attackSet(
  name: "cyberseceval-injection" | "bipia-attacks" | "notinject" | "piguard-valid",
): readonly SetRow[] {
  return sharedLines<SetRow>(`${FOLDER}/${name}.jsonl`);
}

let engine: GuardEngine | undefined;

/** What the ruleset `default` says to this text from there. */
/** `instructions`: what the model that reads the text was told, where that is passed along. */
export function verdict(text: string, from: Provenance, instructions?: string): Verdict {
  if (engine === undefined) {
    const { policy, problems } = loadRuleset("default");
    if (policy === undefined) throw new Error(JSON.stringify(problems));
    engine = new GuardEngine(policy);
  }
  return engine.decide(
    { type: "custom", kind: from, payload: { text, ...(instructions !== undefined && { instructions }) } },
    {},
  ).verdict;
}

export interface Tally {
  denied: number;
  warned: number;
  total: number;
}

/** Verdicts by group, in order of first appearance, with `all` last. */
export function tally<T>(
  rows: readonly T[],
  group: (row: T) => string,
  judge: (row: T) => Verdict,
): ReadonlyMap<string, Tally> {
  const groups = new Map<string, Tally>();
  const all: Tally = { denied: 0, warned: 0, total: 0 };
  for (const row of rows) {
    const name = group(row);
    const found = groups.get(name) ?? { denied: 0, warned: 0, total: 0 };
    groups.set(name, found);
    const said = judge(row);
    for (const one of [found, all]) {
      one.total++;
      if (said === "deny") one.denied++;
      if (said === "warn") one.warned++;
    }
  }
  return groups.size > 1 ? groups.set("all", all) : groups;
}
