/**
 * The policy document of schema 1.1.0 to 1.5.0 as shapes (spec/guards.md sections 1.1, 1.2, 1.7), per rule book, and the
 * reader from YAML text. Checks of meaning (globs, expressions, ranges) are in `validate.ts`.
 */
import { type Document, isScalar, parseDocument, visit } from "yaml";
import { type Dialect, SCHEMA_VERSIONS } from "../dialect.ts";
import { type Problem, problem } from "./problem.ts";
import {
  ANY_MAP,
  BOOL,
  type Field,
  type Fields,
  INT,
  isMap,
  type JsonObject,
  list,
  map,
  NUMBER,
  object,
  readShape,
  required,
  type Shape,
  STRING,
  STRINGS,
  UINT,
  words,
} from "./shape.ts";

/** A policy of more bytes is refused unread: reading takes the event loop several microseconds per byte. */
export const MAX_POLICY_BYTES = 1 << 18;

const MAX_BRACKET_DEPTH = 64;
/** Errors of the YAML text itself that are reported. */
const MAX_YAML_ERRORS = 20;

const SEVERITY = words({
  info: "info",
  low: "info",
  warning: "warning",
  medium: "warning",
  error: "error",
  high: "error",
  critical: "critical",
});
const LEVEL = words({
  safe: "safe",
  suspicious: "suspicious",
  low: "suspicious",
  high: "high",
  medium: "high",
  critical: "critical",
});
const EGRESS_ACTION = words({ allow: "allow", block: "block", deny: "block", log: "log" });
const TOOL_ACTION = words({ allow: "allow", block: "block", deny: "block" });

const SECRET_PATTERN = object({
  name: required(STRING),
  pattern: required(STRING),
  severity: SEVERITY,
  description: STRING,
  luhn_check: BOOL,
  masking: object({ first: UINT, last: UINT }),
});

const ASYNC = object({
  timeout_ms: UINT,
  on_timeout: words({ allow: "allow", deny: "deny", warn: "warn", defer: "defer" }),
  execution_mode: words({ sequential: "sequential", parallel: "parallel", background: "background" }),
  cache: object({ enabled: BOOL, ttl_seconds: UINT, max_size_mb: UINT }),
  rate_limit: object({ requests_per_second: NUMBER, requests_per_minute: NUMBER, burst: UINT }),
  circuit_breaker: object({ failure_threshold: UINT, reset_timeout_ms: UINT, success_threshold: UINT }),
  retry: object({ max_retries: UINT, initial_backoff_ms: UINT, max_backoff_ms: UINT, multiplier: NUMBER }),
});

const CUSTOM_PACKAGE = object({
  package: required(STRING),
  registry: STRING,
  version: STRING,
  enabled: BOOL,
  config: ANY_MAP,
  async: ASYNC,
});

const BASE_GUARDS: Fields = {
  forbidden_path: object({
    enabled: BOOL,
    patterns: STRINGS,
    exceptions: STRINGS,
    additional_patterns: STRINGS,
    remove_patterns: STRINGS,
  }),
  path_allowlist: object({
    enabled: BOOL,
    file_access_allow: STRINGS,
    file_write_allow: STRINGS,
    patch_allow: STRINGS,
  }),
  egress_allowlist: object({
    enabled: BOOL,
    allow: STRINGS,
    block: STRINGS,
    default_action: EGRESS_ACTION,
    additional_allow: STRINGS,
    remove_allow: STRINGS,
    additional_block: STRINGS,
    remove_block: STRINGS,
  }),
  secret_leak: object({
    enabled: BOOL,
    redact: BOOL,
    severity_threshold: SEVERITY,
    patterns: list(SECRET_PATTERN),
    skip_paths: STRINGS,
  }),
  patch_integrity: object({
    enabled: BOOL,
    max_additions: UINT,
    max_deletions: UINT,
    forbidden_patterns: STRINGS,
    require_balance: BOOL,
    max_imbalance_ratio: NUMBER,
  }),
  mcp_tool: object({
    enabled: BOOL,
    allow: STRINGS,
    block: { ...STRINGS, alias: "deny" },
    require_confirmation: STRINGS,
    default_action: TOOL_ACTION,
    max_args_size: UINT,
    additional_allow: STRINGS,
    remove_allow: STRINGS,
    additional_block: STRINGS,
    remove_block: STRINGS,
  }),
  prompt_injection: object({ enabled: BOOL, warn_at_or_above: LEVEL, block_at_or_above: LEVEL, max_scan_bytes: UINT }),
  jailbreak: object({
    enabled: BOOL,
    detector: object({
      layers: {
        shape: {
          kind: "object",
          open: true,
          fields: { heuristic: BOOL, statistical: BOOL, ml: BOOL, llm_judge: BOOL },
        },
      },
      linear_model: object({
        bias: NUMBER,
        w_ignore_policy: NUMBER,
        w_dan: NUMBER,
        w_role_change: NUMBER,
        w_prompt_extraction: NUMBER,
        w_encoded: NUMBER,
        w_punct: NUMBER,
        w_symbol_run: NUMBER,
      }),
      block_threshold: UINT,
      warn_threshold: UINT,
      max_input_bytes: UINT,
      session_aggregation: BOOL,
      session_max_entries: UINT,
      session_ttl_seconds: UINT,
      session_half_life_seconds: UINT,
    }),
  }),
  custom: list(CUSTOM_PACKAGE),
};

const LATER_GUARDS: Fields = {
  shell_command: object({ enabled: BOOL, forbidden_patterns: STRINGS, enforce_forbidden_paths: BOOL }),
  computer_use: object({
    enabled: BOOL,
    mode: words({ observe: "observe", guardrail: "guardrail", fail_closed: "fail_closed" }),
    allowed_actions: STRINGS,
  }),
  remote_desktop_side_channel: object({
    enabled: BOOL,
    clipboard_enabled: BOOL,
    file_transfer_enabled: BOOL,
    session_share_enabled: BOOL,
    audio_enabled: BOOL,
    drive_mapping_enabled: BOOL,
    printing_enabled: BOOL,
    max_transfer_size_bytes: UINT,
  }),
  input_injection_capability: object({
    enabled: BOOL,
    allowed_input_types: STRINGS,
    require_postcondition_probe: BOOL,
  }),
  spider_sense: ANY_MAP,
};

const LATER_SECRET_FIELDS: Fields = { additional_patterns: list(SECRET_PATTERN), remove_patterns: STRINGS };
const OWN_SECRET_FIELDS: Fields = {
  formats: STRINGS,
  allow_marks: words({ none: "none", context: "context", all: "all" }),
};

const POSTURE = object({
  initial: required(STRING),
  states: required(map(object({ description: STRING, capabilities: STRINGS, budgets: map(INT) }))),
  transitions: list(
    object({
      from: required(STRING),
      to: required(STRING),
      on: required(
        words(
          Object.fromEntries(
            [
              "user_approval",
              "user_denial",
              "critical_violation",
              "any_violation",
              "timeout",
              "budget_exhausted",
              "pattern_match",
            ].map((word) => [word, word]),
          ),
        ),
      ),
      after: STRING,
      requires: { shape: { kind: "any" } },
    }),
  ),
});

/** The version gate of later guards in our rule book; upstream main knows them at every version. */
const LATER_GUARDS_SINCE = "1.3.0";

function documentShape(dialect: Dialect, version: string): Extract<Shape, { kind: "object" }> {
  const later = dialect === "main" || (dialect === "spine" && version >= LATER_GUARDS_SINCE);
  const secrets = BASE_GUARDS["secret_leak"] as Field & { shape: { kind: "object"; fields: Fields } };
  const guards: Fields =
    dialect === "sdr-execution"
      ? BASE_GUARDS
      : {
          ...BASE_GUARDS,
          ...(later && LATER_GUARDS),
          secret_leak: object({
            ...secrets.shape.fields,
            ...LATER_SECRET_FIELDS,
            ...(dialect === "spine" && OWN_SECRET_FIELDS),
          }),
        };
  const settings: Fields = {
    fail_fast: BOOL,
    verbose_logging: BOOL,
    session_timeout_secs: UINT,
    ...(dialect !== "sdr-execution" && { verification: object({ enabled: BOOL, strict: BOOL, cache: BOOL }) }),
    ...(dialect === "spine" && { unhandled_action: words({ deny: "deny", ask: "ask" }) }),
  };
  return {
    kind: "object",
    fields: {
      version: STRING,
      name: STRING,
      description: STRING,
      extends:
        dialect === "sdr-execution"
          ? STRING
          : {
              shape: { kind: "either", first: { kind: "string" }, second: { kind: "list", item: { kind: "string" } } },
            },
      merge_strategy: words({ replace: "replace", merge: "merge", deep_merge: "deep_merge" }),
      guards: object(guards),
      custom_guards: list(object({ id: required(STRING), enabled: BOOL, config: ANY_MAP })),
      settings: object(settings),
      posture: POSTURE,
      ...(dialect !== "sdr-execution" && { origins: ANY_MAP, broker: ANY_MAP }),
    },
  };
}

/** A document whose shape was read. Fields that were absent are absent; nothing is filled in yet. */
export interface PolicyDocument {
  readonly version: string;
  readonly body: JsonObject;
}

/** Reads one YAML text. With errors in `problems`, the document holds what could be read and must not be used. */
export function readPolicy(yaml: string, dialect: Dialect, problems: Problem[]): PolicyDocument | undefined {
  const newest = SCHEMA_VERSIONS[dialect].at(-1) as string;
  if (Buffer.byteLength(yaml) > MAX_POLICY_BYTES) {
    problems.push(problem("yaml", "", `larger than ${MAX_POLICY_BYTES} bytes`));
    return undefined;
  }
  if (isAbusive(yaml)) {
    problems.push(problem("yaml", "", "nested too deep"));
    return undefined;
  }
  const value = parseYaml(yaml, problems);
  if (value === undefined) return undefined;
  const root = value ?? {};
  if (!isMap(root)) {
    problems.push(problem("yaml", "", "the document is not a map"));
    return undefined;
  }
  const version = readVersion(root, dialect, newest, problems);
  if (version === undefined) return undefined;
  const body = readShape(root, documentShape(dialect, version), "", problems) as JsonObject;
  return { version, body };
}

/**
 * True for texts no policy looks like and the parser cannot bear: it recurses per level of nesting, and a stack overflow
 * inside it can end the process. Quotes are not considered, so the bounds are generous.
 */
function isAbusive(yaml: string): boolean {
  let depth = 0;
  let deepest = 0;
  for (const [char] of yaml.matchAll(/[[\]{}]/g)) {
    depth += char === "[" || char === "{" ? 1 : -1;
    deepest = Math.max(deepest, depth);
  }
  return (
    deepest > MAX_BRACKET_DEPTH ||
    /^[ \t]{257}/m.test(yaml) ||
    /(?:[-?:][ \t]+){33}/.test(yaml) ||
    /(?:[!&][^ \t\n]{0,256}[ \t]+){9}/.test(yaml)
  );
}

function parseYaml(yaml: string, problems: Problem[]): unknown {
  try {
    // The parser's own duplicate check and error excerpts take quadratic time.
    const document = parseDocument(yaml, {
      uniqueKeys: false,
      prettyErrors: false,
      merge: false,
      version: "1.2",
      logLevel: "silent",
    });
    const lineOf = (at: number): number => yaml.slice(0, at).split("\n").length;
    for (const error of document.errors.slice(0, MAX_YAML_ERRORS)) {
      problems.push(problem("yaml", "", `${error.message} (line ${lineOf(error.pos[0])})`));
    }
    if (document.errors.length > 0) return undefined;
    const duplicate = duplicateKey(document);
    if (duplicate !== undefined) {
      problems.push(problem("yaml", "", `the key ${JSON.stringify(duplicate)} is given twice`));
      return undefined;
    }
    return (document.toJS({ maxAliasCount: 64 }) as unknown) ?? null;
  } catch (caught) {
    problems.push(problem("yaml", "", caught instanceof Error ? caught.message : String(caught)));
    return undefined;
  }
}

/** The first key that one map holds twice. */
function duplicateKey(document: Document): string | undefined {
  let found: string | undefined;
  visit(document, {
    Map: (_, node) => {
      const seen = new Set<string>();
      for (const { key } of node.items) {
        const name = isScalar(key) ? String(key.value) : undefined;
        if (name === undefined) continue;
        if (seen.has(name)) {
          found = name;
          return visit.BREAK;
        }
        seen.add(name);
      }
      return undefined;
    },
  });
  return found;
}

/** An unusable version ends the reading: which fields exist depends on it. */
function readVersion(
  root: Readonly<Record<string, unknown>>,
  dialect: Dialect,
  newest: string,
  problems: Problem[],
): string | undefined {
  const value = root["version"];
  if (value === undefined || value === null) {
    if (dialect === "spine") {
      problems.push(problem("ineffective", "version", `missing, read as ${newest}: name the version`, "warning"));
    }
    return newest;
  }
  if (typeof value !== "string") {
    problems.push(problem("type", "version", `expected a quoted text such as "${newest}", found ${String(value)}`));
    return undefined;
  }
  if (!/^(?:0|[1-9]\d*)\.(?:0|[1-9]\d*)\.(?:0|[1-9]\d*)$/.test(value)) {
    problems.push(problem("invalid_version", "", `invalid version ${JSON.stringify(value)}`));
    return undefined;
  }
  if (!SCHEMA_VERSIONS[dialect].includes(value)) {
    const known = SCHEMA_VERSIONS[dialect].join(", ");
    problems.push(problem("unsupported_version", "", `unsupported version ${value}: this node reads ${known}`));
    return undefined;
  }
  return value;
}
