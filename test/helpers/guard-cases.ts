/** Reading and running the shared guard cases: one JSON value per line, with `$concat` and `$repeat` written out. */
import { type Action, type Caller, parseAction } from "../../node/guards/action.ts";
import { expandInput } from "../../node/guards/check-input.ts";
import type { Dialect } from "../../node/guards/dialect.ts";
import { type Decision, GuardEngine } from "../../node/guards/engine.ts";
import { type LoadedPolicy, loadPolicy, loadRuleset } from "../../node/guards/policy/load.ts";
import { sharedText } from "./shared.ts";

export interface CasePolicy {
  readonly ruleset?: string;
  readonly yaml?: string;
}

export interface CaseAction {
  readonly action_type: string;
  readonly symlinks?: Readonly<Record<string, string>>;
}

export function sharedLines<T>(path: string): readonly T[] {
  const lines = sharedText(path).split("\n");
  return lines.filter((line) => line.trim() !== "").map((line) => JSON.parse(line) as T);
}

const loaded = new Map<string, LoadedPolicy>();

/** Fails the test when the policy of a case does not load. */
export function casePolicy(policy: CasePolicy, dialect: Dialect): LoadedPolicy {
  const key = `${dialect} ${JSON.stringify(policy)}`;
  let found = loaded.get(key);
  if (found === undefined) {
    const result =
      policy.ruleset === undefined
        ? loadPolicy(policy.yaml ?? "", { dialect })
        : loadRuleset(policy.ruleset, { dialect });
    if (result.policy === undefined) throw new Error(JSON.stringify(result.problems));
    found = result.policy;
    loaded.set(key, found);
  }
  return found;
}

export function caseAction(value: CaseAction): { readonly action: Action; readonly caller: Caller } {
  const { symlinks: _, ...rest } = value;
  return parseAction(expandInput(rest));
}

const engines = new Map<string, GuardEngine>();

export function runCase(policy: CasePolicy, value: CaseAction, dialect: Dialect): Decision {
  const { action, caller } = caseAction(value);
  const key = `${dialect} ${JSON.stringify(policy)} ${JSON.stringify(value.symlinks ?? {})}`;
  let engine = engines.get(key);
  if (engine === undefined) {
    const { symlinks } = value;
    engine = new GuardEngine(
      casePolicy(policy, dialect),
      symlinks === undefined ? {} : { readLink: (path) => symlinks[path] },
    );
    engines.set(key, engine);
  }
  return engine.decide(action, caller);
}
