/** The verbs `policy validate` and `policy show` as functions: what to print and whether it went well. */
import type { Dialect } from "../dialect.ts";
import { type LoadOptions, loadPolicy, loadRuleset, readPolicyFile } from "./load.ts";
import { errorsIn, type Problem, problem } from "./problem.ts";
import { isRuleset } from "./rulesets.ts";

export interface PolicyReport {
  readonly valid: boolean;
  readonly policy_hash?: string;
  readonly problems: readonly Problem[];
  /** The effective policy, for `show`. */
  readonly effective?: unknown;
  /** The merged document before defaults were filled in, for `show`. */
  readonly merged?: unknown;
}

export interface ReportOptions {
  readonly profile?: Dialect;
  readonly environment?: Readonly<Record<string, string | undefined>>;
  readonly lax?: boolean;
}

/** `source` is the name of a built-in ruleset or of a file. */
export function reportPolicy(source: string, options: ReportOptions = {}): PolicyReport {
  if (isRuleset(source.replace(/^clawdstrike:/, ""))) return report(loadRuleset(source, loadOptions(options)));
  let yaml: string;
  try {
    yaml = readPolicyFile(source);
  } catch (caught) {
    const message = caught instanceof Error ? caught.message : String(caught);
    return { valid: false, problems: [problem("unknown_base", source, message)] };
  }
  return report(loadPolicy(yaml, { ...loadOptions(options), file: source }));
}

/** A policy given as text; relative `extends` start in the current directory. */
export function reportPolicyText(yaml: string, options: ReportOptions = {}): PolicyReport {
  return report(loadPolicy(yaml, loadOptions(options)));
}

function loadOptions(options: ReportOptions): LoadOptions {
  return {
    readFile: readPolicyFile,
    ...(options.profile !== undefined && { dialect: options.profile }),
    ...(options.environment !== undefined && { environment: options.environment }),
    ...(options.lax !== undefined && { lax: options.lax }),
  };
}

function report({ policy, problems }: ReturnType<typeof loadPolicy>): PolicyReport {
  return {
    valid: policy !== undefined && errorsIn(problems).length === 0,
    ...(policy !== undefined && {
      policy_hash: policy.hash,
      effective: policy.effective,
      merged: { version: policy.merged.version, ...policy.merged.body },
    }),
    problems,
  };
}
