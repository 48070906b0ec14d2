/**
 * Loading a policy: text → shape → meaning → bases → merge → effective policy and its hash, with all problems found on
 * the way (spec/guards.md sections 1.3, 1.4). The daemon, `policy validate` and `guard check` call it.
 */
import { readFileSync } from "node:fs";
import { dirname, resolve } from "node:path";
import type { Dialect } from "../dialect.ts";
import { type EffectivePolicy, effectivePolicy } from "./effective.ts";
import { policyHash } from "./hash.ts";
import { loosenings } from "./loosening.ts";
import { mergePolicies } from "./merge.ts";
import { errorsIn, type Problem, problem } from "./problem.ts";
import { isRuleset, rulesetYaml } from "./rulesets.ts";
import { MAX_POLICY_BYTES, type PolicyDocument, readPolicy } from "./schema.ts";
import { validatePolicy } from "./validate.ts";

/** Reads the text of a policy file; throws when it cannot. */
export type ReadPolicyFile = (path: string) => string;

export interface LoadOptions {
  readonly dialect?: Dialect;
  /** For `${NAME}`; default: none. */
  readonly environment?: Readonly<Record<string, string | undefined>>;
  /** Missing environment variables are tolerated: for linting on another machine. */
  readonly lax?: boolean;
  /** The file the text came from: relative `extends` start there. */
  readonly file?: string;
  /** Absent: only built-in rulesets can be extended. */
  readonly readFile?: ReadPolicyFile;
}

export interface LoadedPolicy {
  readonly dialect: Dialect;
  readonly effective: EffectivePolicy;
  /** After `extends`, before defaults are filled in: which sections somebody wrote. */
  readonly merged: PolicyDocument;
  /** 64 lower-case hex digits: SHA-256 of the canonical JSON of `effective`. */
  readonly hash: string;
}

export interface LoadResult {
  /** Absent when any problem is an error. */
  readonly policy?: LoadedPolicy;
  /** Errors first come as they were met; warnings say what is loosened or ineffective. */
  readonly problems: readonly Problem[];
}

/** Longest chain of `extends`. */
const MAX_BASES = 32;

/** A policy file from disk, of at most MAX_POLICY_BYTES. */
export function readPolicyFile(path: string): string {
  const bytes = readFileSync(path);
  if (bytes.length > MAX_POLICY_BYTES) throw new Error(`larger than ${MAX_POLICY_BYTES} bytes`);
  return new TextDecoder("utf-8", { fatal: true }).decode(bytes);
}

export function loadRuleset(name: string, options: LoadOptions = {}): LoadResult {
  const plain = name.replace(/^clawdstrike:/, "");
  if (!isRuleset(plain))
    return { problems: [problem("unknown_base", name, `no built-in ruleset ${JSON.stringify(name)}`)] };
  return loadPolicy(rulesetYaml(plain, options.dialect ?? "spine"), options);
}

export function loadPolicy(yaml: string, options: LoadOptions = {}): LoadResult {
  const dialect = options.dialect ?? "spine";
  const problems: Problem[] = [];
  const visited = options.file === undefined ? [] : [resolve(options.file)];
  const merged = resolveBases(yaml, options.file, visited, { ...options, dialect }, problems);
  if (merged === undefined || errorsIn(problems).length > 0) return { problems };
  const effective = effectivePolicy(merged, dialect);
  try {
    return { policy: { dialect, effective, merged, hash: policyHash(effective) }, problems };
  } catch (caught) {
    return { problems: [...problems, problem("yaml", "", caught instanceof Error ? caught.message : String(caught))] };
  }
}

type Resolving = LoadOptions & { readonly dialect: Dialect };

/** The document of `yaml` with all its bases merged in; undefined once anything is wrong. */
function resolveBases(
  yaml: string,
  file: string | undefined,
  visited: readonly string[],
  options: Resolving,
  problems: Problem[],
): PolicyDocument | undefined {
  const before = errorsIn(problems).length;
  const checks = { dialect: options.dialect, environment: options.environment ?? {}, lax: options.lax ?? false };
  const document = readPolicy(yaml, options.dialect, problems);
  if (document === undefined) return undefined;
  problems.push(...validatePolicy(document, checks));
  const names = document.body["extends"];
  const references = names === undefined ? [] : ([names].flat() as readonly string[]);
  let base: PolicyDocument | undefined;
  for (const reference of references) {
    const next = resolveReference(reference, file, visited, options, problems);
    base = base === undefined || next === undefined ? next : mergePolicies(base, next, options.dialect);
    if (next === undefined) return undefined;
  }
  if (errorsIn(problems).length > before) return undefined;
  if (base === undefined) return document;
  const merged = mergePolicies(base, document, options.dialect);
  const again = validatePolicy(merged, checks).filter((found) => found.level === "error");
  problems.push(...again);
  if (again.length > 0) return undefined;
  const lost = loosenings(effectivePolicy(base, options.dialect), effectivePolicy(merged, options.dialect));
  problems.push(
    ...lost.map((loss) => problem("loosens", loss.path, `${loss.message} (compared with its base)`, "warning")),
  );
  return merged;
}

function resolveReference(
  reference: string,
  file: string | undefined,
  visited: readonly string[],
  options: Resolving,
  problems: Problem[],
): PolicyDocument | undefined {
  const fail = (code: "unknown_base" | "cycle", message: string): undefined => {
    problems.push(problem(code, reference, message));
    return undefined;
  };
  if (visited.length >= MAX_BASES) return fail("cycle", `more than ${MAX_BASES} policies in one chain of extends`);
  const plain = reference.replace(/^clawdstrike:/, "");
  if (isRuleset(plain)) return resolveBases(rulesetYaml(plain, options.dialect), undefined, visited, options, problems);
  if (/^(?:https?:|git\+)/.test(reference)) return fail("unknown_base", "policies from other hosts are not loaded");
  if (options.readFile === undefined) return fail("unknown_base", `no built-in ruleset ${JSON.stringify(reference)}`);
  const path = resolve(file === undefined ? "." : dirname(file), reference);
  if (visited.includes(path)) return fail("cycle", "extends itself");
  let text: string;
  try {
    text = options.readFile(path);
  } catch (caught) {
    return fail("unknown_base", caught instanceof Error ? caught.message : String(caught));
  }
  return resolveBases(text, path, [...visited, path], options, problems);
}
