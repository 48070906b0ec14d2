/** Checks of meaning on a document whose shape is right (spec/guards.md section 1.4): globs, expressions, ranges, posture. */
import type { Dialect } from "../dialect.ts";
import { secretFormatProblem } from "../secrets/scan.ts";
import { compileRegex } from "../text/regex.ts";
import { domainGlobProblem } from "./domain-glob.ts";
import { section } from "./effective.ts";
import { pathGlobProblem } from "./path-glob.ts";
import { type Problem, problem } from "./problem.ts";
import type { PolicyDocument } from "./schema.ts";
import type { Json, JsonObject } from "./shape.ts";

export interface ValidateOptions {
  readonly dialect: Dialect;
  /** Where `${NAME}` is looked up; a missing name is an error unless `lax`. */
  readonly environment: Readonly<Record<string, string | undefined>>;
  readonly lax?: boolean;
}

export const CAPABILITIES: readonly string[] = [
  "file_access",
  "file_write",
  "egress",
  "shell",
  "mcp_tool",
  "patch",
  "custom",
];
export const BUDGETS: readonly string[] = [
  "file_writes",
  "egress_calls",
  "shell_commands",
  "mcp_tool_calls",
  "patches",
  "custom_calls",
];

/** Required configuration of each known package. */
export const PACKAGES: Readonly<Record<string, readonly string[]>> = {
  "clawdstrike-virustotal": ["api_key"],
  "clawdstrike-safe-browsing": ["api_key", "client_id"],
  "clawdstrike-snyk": ["api_token", "org_id"],
};

const LEVELS = ["safe", "suspicious", "high", "critical"];

export function validatePolicy(document: PolicyDocument, options: ValidateOptions): readonly Problem[] {
  const found: Problem[] = [];
  const { body, version } = document;
  const guards = section(body, "guards") ?? {};
  const add = (path: string, message: string): void => {
    found.push(problem("validation", path, message));
  };
  if (body["posture"] !== undefined && version < "1.2.0") add("posture", "needs version 1.2.0 or newer");
  if (guards["path_allowlist"] !== undefined && version < "1.2.0")
    add("guards.path_allowlist", "needs version 1.2.0 or newer");
  if (body["origins"] !== undefined && version < "1.4.0") add("origins", "needs version 1.4.0 or newer");
  if (body["broker"] !== undefined && version < "1.5.0") add("broker", "needs version 1.5.0 or newer");

  const each = (guard: string, fields: readonly string[], check: (text: string) => string | undefined): void => {
    for (const field of fields) {
      const values = (section(guards, guard)?.[field] ?? []) as readonly string[];
      values.forEach((value, at) => {
        const wrong = check(value);
        if (wrong !== undefined) add(`guards.${guard}.${field}[${at}]`, wrong);
      });
    }
  };
  each("forbidden_path", ["patterns", "exceptions", "additional_patterns", "remove_patterns"], pathGlobProblem);
  each("path_allowlist", ["file_access_allow", "file_write_allow", "patch_allow"], pathGlobProblem);
  each("secret_leak", ["skip_paths"], pathGlobProblem);
  const hosts = ["allow", "block", "additional_allow", "remove_allow", "additional_block", "remove_block"];
  each("egress_allowlist", hosts, domainGlobProblem);
  each("patch_integrity", ["forbidden_patterns"], regexProblem);
  each("shell_command", ["forbidden_patterns"], regexProblem);
  for (const field of ["patterns", "additional_patterns"]) {
    const patterns = (section(guards, "secret_leak")?.[field] ?? []) as readonly JsonObject[];
    patterns.forEach((entry, at) => {
      const wrong = typeof entry["pattern"] === "string" ? regexProblem(entry["pattern"]) : undefined;
      if (wrong !== undefined) add(`guards.secret_leak.${field}[${at}].pattern`, wrong);
    });
  }
  ((section(guards, "secret_leak")?.["formats"] ?? []) as readonly string[]).forEach((name, at) => {
    const wrong = secretFormatProblem(name);
    if (wrong !== undefined) add(`guards.secret_leak.formats[${at}]`, wrong);
  });
  checkThresholds(guards, options.dialect, add);
  checkPackages(guards, add);
  checkPosture(section(body, "posture"), add);
  checkPlaceholders(body, guards, options, add);
  if (options.dialect === "spine") found.push(...ineffective(body, guards));
  return found;
}

function regexProblem(source: string): string | undefined {
  try {
    compileRegex(source);
    return undefined;
  } catch (caught) {
    return caught instanceof Error ? caught.message : String(caught);
  }
}

type Add = (path: string, message: string) => void;

function checkThresholds(guards: JsonObject, dialect: Dialect, add: Add): void {
  const injection = section(guards, "prompt_injection");
  if (injection?.["max_scan_bytes"] === 0) add("guards.prompt_injection.max_scan_bytes", "must be greater than 0");
  const warnLevel = LEVELS.indexOf((injection?.["warn_at_or_above"] as string | undefined) ?? "suspicious");
  const blockLevel = LEVELS.indexOf((injection?.["block_at_or_above"] as string | undefined) ?? "high");
  if (injection !== undefined && warnLevel > blockLevel) {
    add("guards.prompt_injection.warn_at_or_above", "must not be above block_at_or_above");
  }
  if (dialect !== "spine") return;
  // Upstream checks neither of these: a typing error there switches the guard off silently.
  const detector = section(section(guards, "jailbreak") ?? {}, "detector");
  const warnAt = (detector?.["warn_threshold"] as number | undefined) ?? 30;
  const blockAt = (detector?.["block_threshold"] as number | undefined) ?? 70;
  for (const [name, value] of [
    ["warn_threshold", warnAt],
    ["block_threshold", blockAt],
  ] as const) {
    if (value > 100) add(`guards.jailbreak.detector.${name}`, "must be at most 100");
  }
  if (detector?.["warn_threshold"] !== undefined && warnAt > blockAt) {
    add("guards.jailbreak.detector.warn_threshold", "must not be above block_threshold");
  }
  if (detector?.["max_input_bytes"] === 0) add("guards.jailbreak.detector.max_input_bytes", "must be greater than 0");
  const ratio = section(guards, "patch_integrity")?.["max_imbalance_ratio"];
  if (typeof ratio === "number" && ratio < 0) add("guards.patch_integrity.max_imbalance_ratio", "must not be negative");
}

function checkPackages(guards: JsonObject, add: Add): void {
  const packages = (guards["custom"] ?? []) as readonly JsonObject[];
  packages.forEach((entry, at) => {
    const path = `guards.custom[${at}]`;
    if (entry["enabled"] !== false) {
      const needed = PACKAGES[String(entry["package"])];
      if (needed === undefined) add(`${path}.package`, `unknown package ${JSON.stringify(entry["package"])}`);
      const config = section(entry, "config");
      for (const name of needed ?? []) {
        if (typeof config?.[name] !== "string" || config[name] === "") add(`${path}.config.${name}`, "is required");
      }
    }
    checkAsync(section(entry, "async"), `${path}.async`, add);
  });
}

function checkAsync(async: JsonObject | undefined, path: string, add: Add): void {
  if (async === undefined) return;
  const number = (from: JsonObject | undefined, name: string): number | undefined => from?.[name] as number | undefined;
  const least = (from: JsonObject | undefined, group: string, name: string, minimum: number): void => {
    const value = number(from, name);
    if (value !== undefined && value < minimum) add(`${path}.${group}.${name}`, `must be at least ${minimum}`);
  };
  const timeout = number(async, "timeout_ms");
  if (timeout !== undefined && (timeout < 100 || timeout > 300_000)) add(`${path}.timeout_ms`, "must be 100 to 300000");
  least(section(async, "cache"), "cache", "ttl_seconds", 1);
  least(section(async, "cache"), "cache", "max_size_mb", 1);
  const rate = section(async, "rate_limit");
  if (rate !== undefined) {
    const perSecond = number(rate, "requests_per_second");
    const perMinute = number(rate, "requests_per_minute");
    if ((perSecond === undefined) === (perMinute === undefined)) {
      add(`${path}.rate_limit`, "give exactly one of requests_per_second and requests_per_minute");
    }
    if ((perSecond ?? perMinute ?? 1) <= 0) add(`${path}.rate_limit`, "must be greater than 0");
    least(rate, "rate_limit", "burst", 1);
  }
  const breaker = section(async, "circuit_breaker");
  least(breaker, "circuit_breaker", "failure_threshold", 1);
  least(breaker, "circuit_breaker", "success_threshold", 1);
  least(breaker, "circuit_breaker", "reset_timeout_ms", 1000);
  const retry = section(async, "retry");
  least(retry, "retry", "multiplier", 1);
  least(retry, "retry", "initial_backoff_ms", 100);
  least(retry, "retry", "max_backoff_ms", number(retry, "initial_backoff_ms") ?? 100);
}

function checkPosture(posture: JsonObject | undefined, add: Add): void {
  if (posture === undefined) return;
  const states = section(posture, "states") ?? {};
  const names = Object.keys(states);
  if (names.length === 0) add("posture.states", "needs at least one state");
  if (!names.includes(String(posture["initial"]))) add("posture.initial", "names no state");
  for (const name of names) {
    const state = section(states, name);
    ((state?.["capabilities"] ?? []) as readonly string[]).forEach((capability, at) => {
      if (!CAPABILITIES.includes(capability))
        add(`posture.states.${name}.capabilities[${at}]`, `unknown capability ${capability}`);
    });
    for (const [budget, limit] of Object.entries(section(state ?? {}, "budgets") ?? {})) {
      if (!BUDGETS.includes(budget)) add(`posture.states.${name}.budgets.${budget}`, "unknown budget");
      if (typeof limit === "number" && limit < 0)
        add(`posture.states.${name}.budgets.${budget}`, "must not be negative");
    }
  }
  ((posture["transitions"] ?? []) as readonly JsonObject[]).forEach((transition, at) => {
    const path = `posture.transitions[${at}]`;
    const from = String(transition["from"]);
    if (from !== "*" && !names.includes(from)) add(`${path}.from`, "names no state");
    if (!names.includes(String(transition["to"]))) add(`${path}.to`, "names no state");
    const after = transition["after"];
    const timed = transition["on"] === "timeout";
    if (timed && after === undefined) add(`${path}.after`, "is required for a timeout");
    if (after !== undefined && !/^\d{1,9}[smh]$/.test(String(after)))
      add(`${path}.after`, "must be digits and s, m or h");
  });
}

function checkPlaceholders(body: JsonObject, guards: JsonObject, options: ValidateOptions, add: Add): void {
  const visit = (value: Json, path: string): void => {
    if (typeof value === "string") {
      for (const match of value.matchAll(/\$\{([^}]*)\}/g)) {
        const name = (match[1] as string).replace(/^secrets\./, "");
        // `a${2}` in an expression repeats an anchor; it names no variable.
        if (/^\d/.test(name)) continue;
        if (name === "") add(path, "empty placeholder");
        else if (options.lax !== true && options.environment[name] === undefined)
          add(path, `environment variable ${name} is not set`);
      }
    } else if (Array.isArray(value)) {
      for (const [at, item] of (value as readonly Json[]).entries()) visit(item, `${path}[${at}]`);
    } else if (typeof value === "object" && value !== null) {
      if ((value as JsonObject)["enabled"] === false) return;
      for (const [key, item] of Object.entries(value)) visit(item, `${path}.${key}`);
    }
  };
  visit(guards, "guards");
  visit(body["custom_guards"] ?? [], "custom_guards");
}

/** Fields that are read and change nothing: a policy author would believe in protection that is not there. */
function ineffective(body: JsonObject, guards: JsonObject): readonly Problem[] {
  const found: Problem[] = [];
  const say = (path: string, message: string): void => {
    found.push(problem("ineffective", path, message, "warning"));
  };
  for (const guard of ["egress_allowlist", "mcp_tool"]) {
    const from = section(guards, guard) ?? {};
    for (const list of ["allow", "block"]) {
      const replaced = Array.isArray(from[list]) && from[list].length > 0;
      for (const field of [`additional_${list}`, `remove_${list}`]) {
        if (from[field] === undefined) continue;
        if (body["extends"] === undefined) say(`guards.${guard}.${field}`, "has no effect without extends");
        else if (replaced) say(`guards.${guard}.${field}`, `has no effect beside ${list}`);
      }
    }
  }
  if (body["origins"] !== undefined) say("origins", "is read but not enforced by this node");
  if (body["broker"] !== undefined) say("broker", "is read but not enforced by this node");
  if (guards["spider_sense"] !== undefined) say("guards.spider_sense", "is read but not enforced by this node");
  const transitions = (section(body, "posture")?.["transitions"] ?? []) as readonly JsonObject[];
  transitions.forEach((transition, at) => {
    if (transition["on"] === "pattern_match") say(`posture.transitions[${at}].on`, "pattern_match never fires");
    if (transition["requires"] !== undefined) say(`posture.transitions[${at}].requires`, "is read but not enforced");
  });
  return found;
}
