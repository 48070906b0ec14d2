/**
 * The effective policy: every section present, every field filled in, list operations carried out. It is what guards are
 * built from, what `policy_hash` covers, and what two policies are compared by. Keys are spelled as in the documents.
 */
import type { Dialect } from "../dialect.ts";
import { type AllowMarks, SECRET_FORMAT_NAMES } from "../secrets/scan.ts";
import type { Severity } from "../verdict.ts";
import { COMPUTER_USE_ACTIONS, codeDefaults, INPUT_TYPES, LINEAR_MODEL, type SecretPattern } from "./defaults.ts";
import type { PolicyDocument } from "./schema.ts";
import type { Json, JsonObject } from "./shape.ts";

export type Level = "safe" | "suspicious" | "high" | "critical";
export type Capability = "file_access" | "file_write" | "egress" | "shell" | "mcp_tool" | "patch" | "custom";
export type Trigger =
  | "user_approval"
  | "user_denial"
  | "critical_violation"
  | "any_violation"
  | "timeout"
  | "budget_exhausted"
  | "pattern_match";

export interface ForbiddenPathPolicy {
  readonly enabled: boolean;
  readonly patterns: readonly string[];
  readonly exceptions: readonly string[];
}
export interface PathAllowlistPolicy {
  readonly enabled: boolean;
  readonly file_access_allow: readonly string[];
  readonly file_write_allow: readonly string[];
  readonly patch_allow: readonly string[];
}
export interface EgressPolicy {
  readonly enabled: boolean;
  readonly allow: readonly string[];
  readonly block: readonly string[];
  readonly default_action: "allow" | "block" | "log";
}
export interface SecretLeakPolicy {
  readonly enabled: boolean;
  readonly redact: boolean;
  readonly severity_threshold: Severity;
  readonly patterns: readonly SecretPattern[];
  readonly skip_paths: readonly string[];
  /** Names of the scanner's own formats that are looked for; empty in the rule books that compare with upstream. */
  readonly formats: readonly string[];
  /** Findings that a mark such as `spine:allow-secret` on their line lowers to a warning. */
  readonly allow_marks: AllowMarks;
}
export interface PatchIntegrityPolicy {
  readonly enabled: boolean;
  readonly max_additions: number;
  readonly max_deletions: number;
  readonly forbidden_patterns: readonly string[];
  readonly require_balance: boolean;
  readonly max_imbalance_ratio: number;
}
export interface McpToolPolicy {
  readonly enabled: boolean;
  readonly allow: readonly string[];
  readonly block: readonly string[];
  readonly require_confirmation: readonly string[];
  readonly default_action: "allow" | "block";
  /** Bytes of compact JSON. */
  readonly max_args_size: number;
  /** The operator never said that unlisted tools are fine: they are allowed with a warning. */
  readonly warn_unlisted: boolean;
}
export interface PromptInjectionPolicy {
  readonly enabled: boolean;
  readonly warn_at_or_above: Level;
  readonly block_at_or_above: Level;
  readonly max_scan_bytes: number;
}
export interface JailbreakPolicy {
  readonly enabled: boolean;
  readonly detector: {
    readonly layers: { heuristic: boolean; statistical: boolean; ml: boolean; llm_judge: boolean };
    readonly linear_model: Readonly<Record<string, number>>;
    readonly block_threshold: number;
    readonly warn_threshold: number;
    readonly max_input_bytes: number;
    readonly session_aggregation: boolean;
    readonly session_max_entries: number;
    readonly session_ttl_seconds: number;
    readonly session_half_life_seconds: number;
  };
}
export interface ShellCommandPolicy {
  readonly enabled: boolean;
  readonly forbidden_patterns: readonly string[];
  readonly enforce_forbidden_paths: boolean;
}
export interface ComputerUsePolicy {
  readonly enabled: boolean;
  readonly mode: "observe" | "guardrail" | "fail_closed";
  readonly allowed_actions: readonly string[];
}
export interface SideChannelPolicy {
  readonly enabled: boolean;
  readonly clipboard_enabled: boolean;
  readonly file_transfer_enabled: boolean;
  readonly session_share_enabled: boolean;
  readonly audio_enabled: boolean;
  readonly drive_mapping_enabled: boolean;
  readonly printing_enabled: boolean;
  readonly max_transfer_size_bytes: number | null;
}
export interface InputInjectionPolicy {
  readonly enabled: boolean;
  readonly allowed_input_types: readonly string[];
  readonly require_postcondition_probe: boolean;
}
export interface PosturePolicy {
  readonly initial: string;
  readonly states: Readonly<
    Record<string, { readonly capabilities: readonly string[]; readonly budgets: Readonly<Record<string, number>> }>
  >;
  readonly transitions: readonly {
    readonly from: string;
    readonly to: string;
    readonly on: Trigger;
    readonly after?: string;
  }[];
}
export interface CustomPackage {
  readonly package: string;
  readonly enabled: boolean;
  readonly config: JsonObject;
  readonly async: JsonObject;
}

export interface EffectivePolicy {
  readonly version: string;
  readonly name: string;
  readonly description: string;
  readonly guards: {
    readonly forbidden_path: ForbiddenPathPolicy;
    readonly path_allowlist: PathAllowlistPolicy | null;
    readonly egress_allowlist: EgressPolicy;
    readonly secret_leak: SecretLeakPolicy;
    readonly patch_integrity: PatchIntegrityPolicy;
    readonly mcp_tool: McpToolPolicy;
    readonly prompt_injection: PromptInjectionPolicy;
    readonly jailbreak: JailbreakPolicy;
    readonly shell_command: ShellCommandPolicy;
    readonly computer_use: ComputerUsePolicy;
    readonly remote_desktop_side_channel: SideChannelPolicy;
    readonly input_injection_capability: InputInjectionPolicy;
    readonly spider_sense: JsonObject | null;
    readonly custom: readonly CustomPackage[];
  };
  readonly custom_guards: readonly { readonly id: string; readonly enabled: boolean; readonly config: JsonObject }[];
  readonly settings: {
    readonly fail_fast: boolean;
    readonly verbose_logging: boolean;
    readonly session_timeout_secs: number;
    readonly verification: { readonly enabled: boolean; readonly strict: boolean; readonly cache: boolean };
    readonly unhandled_action: "deny" | "ask" | "allow";
  };
  readonly posture: PosturePolicy | null;
  readonly origins: JsonObject | null;
  readonly broker: JsonObject | null;
}

/** Child sections by name; {} when absent. */
export function section(body: JsonObject, name: string): JsonObject | undefined {
  const value = body[name];
  return typeof value === "object" && value !== null && !Array.isArray(value) ? (value as JsonObject) : undefined;
}

/** Typed reads of a document that passed `readShape`: the shape guarantees the type when the field is there. */
function get<T extends Json>(from: JsonObject | undefined, name: string, fallback: T): T {
  const value = from?.[name];
  return value === undefined ? fallback : (value as T);
}

/** Lists that no field of a present section names: mostly empty; absent sections take the code defaults. */
export function effectivePolicy(document: PolicyDocument, dialect: Dialect): EffectivePolicy {
  const { body, version } = document;
  const guards = section(body, "guards") ?? {};
  const defaults = codeDefaults(dialect);
  const at = (name: string): JsonObject | undefined => section(guards, name);
  const on = (from: JsonObject | undefined): boolean => get(from, "enabled", true);
  const settings = section(body, "settings");
  const verification = section(settings ?? {}, "verification");

  const egress = at("egress_allowlist");
  const secrets = at("secret_leak");
  const patch = at("patch_integrity");
  const mcp = at("mcp_tool");
  const injection = at("prompt_injection");
  const jailbreak = at("jailbreak");
  const detector = section(jailbreak ?? {}, "detector");
  const layers = section(detector ?? {}, "layers");
  const shell = at("shell_command");
  const computer = at("computer_use");
  const channel = at("remote_desktop_side_channel");
  const input = at("input_injection_capability");
  const allowlist = at("path_allowlist");
  const toolAction = get<string>(mcp, "default_action", "");

  return {
    version,
    name: get(body, "name", ""),
    description: get(body, "description", ""),
    guards: {
      forbidden_path: {
        enabled: on(at("forbidden_path")),
        patterns: forbiddenPatterns(at("forbidden_path"), dialect),
        exceptions: get(
          at("forbidden_path"),
          "exceptions",
          at("forbidden_path") === undefined ? [...defaults.forbiddenExceptions] : [],
        ),
      },
      path_allowlist:
        allowlist === undefined
          ? null
          : {
              enabled: on(allowlist),
              file_access_allow: get(allowlist, "file_access_allow", [] as string[]),
              file_write_allow: get(allowlist, "file_write_allow", [] as string[]),
              patch_allow: get(allowlist, "patch_allow", [] as string[]),
            },
      egress_allowlist: {
        enabled: on(egress),
        allow: get(egress, "allow", egress === undefined ? [...defaults.egressAllow] : []),
        block: get(egress, "block", [] as string[]),
        default_action: get<string>(egress, "default_action", "block") as EgressPolicy["default_action"],
      },
      secret_leak: {
        enabled: on(secrets),
        redact: get(secrets, "redact", true),
        severity_threshold: get<string>(secrets, "severity_threshold", "error") as Severity,
        patterns: secretPatterns(secrets, dialect),
        skip_paths: get(secrets, "skip_paths", secrets === undefined ? [...defaults.secretSkipPaths] : []),
        formats: dialect === "spine" ? secretFormats(secrets) : [],
        allow_marks: get<string>(secrets, "allow_marks", "context") as AllowMarks,
      },
      patch_integrity: {
        enabled: on(patch),
        max_additions: get(patch, "max_additions", 1000),
        max_deletions: get(patch, "max_deletions", 500),
        forbidden_patterns: get(patch, "forbidden_patterns", [...defaults.patchPatterns]),
        require_balance: get(patch, "require_balance", false),
        max_imbalance_ratio: get(patch, "max_imbalance_ratio", 10),
      },
      mcp_tool: {
        enabled: on(mcp),
        allow: get(mcp, "allow", [] as string[]),
        block: get(mcp, "block", mcp === undefined ? [...defaults.mcpBlock] : []),
        require_confirmation: get(mcp, "require_confirmation", mcp === undefined ? [...defaults.mcpConfirm] : []),
        default_action: (toolAction || (dialect === "main" ? "block" : "allow")) as McpToolPolicy["default_action"],
        max_args_size: get(mcp, "max_args_size", 1 << 20),
        warn_unlisted: dialect === "spine" && toolAction === "",
      },
      prompt_injection: {
        enabled: on(injection),
        warn_at_or_above: get<string>(injection, "warn_at_or_above", "suspicious") as Level,
        block_at_or_above: get<string>(injection, "block_at_or_above", "high") as Level,
        max_scan_bytes: get(injection, "max_scan_bytes", 200_000),
      },
      jailbreak: {
        enabled: on(jailbreak),
        detector: {
          layers: {
            heuristic: get(layers, "heuristic", true),
            statistical: get(layers, "statistical", true),
            ml: get(layers, "ml", true),
            llm_judge: get(layers, "llm_judge", false),
          },
          linear_model: { ...LINEAR_MODEL, ...(section(detector ?? {}, "linear_model") as Record<string, number>) },
          block_threshold: get(detector, "block_threshold", 70),
          warn_threshold: get(detector, "warn_threshold", 30),
          max_input_bytes: get(detector, "max_input_bytes", 100_000),
          session_aggregation: get(detector, "session_aggregation", true),
          session_max_entries: get(detector, "session_max_entries", 1024),
          session_ttl_seconds: get(detector, "session_ttl_seconds", 3600),
          session_half_life_seconds: get(detector, "session_half_life_seconds", 900),
        },
      },
      shell_command: {
        // The upstream branch has no shell guard at all.
        enabled: dialect !== "sdr-execution" && on(shell),
        forbidden_patterns: get(shell, "forbidden_patterns", [...defaults.shellPatterns]),
        enforce_forbidden_paths: get(shell, "enforce_forbidden_paths", true),
      },
      computer_use: {
        enabled: dialect !== "sdr-execution" && on(computer),
        mode: get<string>(computer, "mode", "guardrail") as ComputerUsePolicy["mode"],
        allowed_actions: get(computer, "allowed_actions", computer === undefined ? [...COMPUTER_USE_ACTIONS] : []),
      },
      remote_desktop_side_channel: {
        enabled: dialect !== "sdr-execution" && on(channel),
        clipboard_enabled: get(channel, "clipboard_enabled", true),
        file_transfer_enabled: get(channel, "file_transfer_enabled", true),
        session_share_enabled: get(channel, "session_share_enabled", true),
        audio_enabled: get(channel, "audio_enabled", true),
        drive_mapping_enabled: get(channel, "drive_mapping_enabled", true),
        printing_enabled: get(channel, "printing_enabled", true),
        max_transfer_size_bytes: get(channel, "max_transfer_size_bytes", null as number | null),
      },
      input_injection_capability: {
        enabled: dialect !== "sdr-execution" && on(input),
        allowed_input_types: get(input, "allowed_input_types", [...INPUT_TYPES]),
        require_postcondition_probe: get(input, "require_postcondition_probe", false),
      },
      spider_sense: at("spider_sense") ?? null,
      custom: get(guards, "custom", [] as JsonObject[]).map((entry) => ({
        package: get(entry, "package", ""),
        enabled: on(entry),
        config: section(entry, "config") ?? {},
        async: section(entry, "async") ?? {},
      })),
    },
    custom_guards: get(body, "custom_guards", [] as JsonObject[]).map((entry) => ({
      id: get(entry, "id", ""),
      enabled: on(entry),
      config: section(entry, "config") ?? {},
    })),
    settings: {
      fail_fast: get(settings, "fail_fast", false),
      verbose_logging: get(settings, "verbose_logging", false),
      session_timeout_secs: get(settings, "session_timeout_secs", 3600),
      verification: {
        enabled: get(verification, "enabled", false),
        strict: get(verification, "strict", false),
        cache: get(verification, "cache", true),
      },
      unhandled_action: (dialect === "spine" ? get<string>(settings, "unhandled_action", "deny") : "allow") as
        | "deny"
        | "ask"
        | "allow",
    },
    posture: readPosture(section(body, "posture")),
    origins: section(body, "origins") ?? null,
    broker: section(body, "broker") ?? null,
  };
}

/** patterns (or the code defaults), plus additional_patterns, less remove_patterns. */
export function forbiddenPatterns(from: JsonObject | undefined, dialect: Dialect): readonly string[] {
  const start = get(from, "patterns", [...codeDefaults(dialect).forbiddenPaths]);
  const removed = get(from, "remove_patterns", [] as string[]);
  const all = new Set([...start, ...get(from, "additional_patterns", [] as string[])]);
  return [...all].filter((pattern) => !removed.includes(pattern));
}

/** patterns (or the code defaults), plus additional_patterns of a new name, less remove_patterns (names). */
export function secretPatterns(from: JsonObject | undefined, dialect: Dialect): readonly SecretPattern[] {
  const given = from?.["patterns"] as readonly JsonObject[] | undefined;
  const start = given === undefined ? codeDefaults(dialect).secretPatterns : given.map(readSecret);
  const more = get(from, "additional_patterns", [] as JsonObject[])
    .map(readSecret)
    .filter((pattern) => !start.some((known) => known.name === pattern.name));
  const removed = get(from, "remove_patterns", [] as string[]);
  return [...start, ...more].filter((pattern) => !removed.includes(pattern.name));
}

/** `formats`, or every format there is, less remove_patterns. */
export function secretFormats(from: JsonObject | undefined): readonly string[] {
  const removed = get(from, "remove_patterns", [] as string[]);
  return get(from, "formats", [...SECRET_FORMAT_NAMES]).filter((name) => !removed.includes(name));
}

function readSecret(from: JsonObject): SecretPattern {
  const masking = section(from, "masking");
  return {
    name: get(from, "name", ""),
    pattern: get(from, "pattern", ""),
    severity: get<string>(from, "severity", "critical") as Severity,
    luhn_check: get(from, "luhn_check", false),
    ...(from["description"] !== undefined && { description: from["description"] as string }),
    ...(masking !== undefined && { masking: { first: get(masking, "first", 4), last: get(masking, "last", 4) } }),
  };
}

function readPosture(from: JsonObject | undefined): PosturePolicy | null {
  if (from === undefined) return null;
  const states = section(from, "states") ?? {};
  return {
    initial: get(from, "initial", ""),
    states: Object.fromEntries(
      Object.keys(states).map((name) => {
        const state = section(states, name);
        return [
          name,
          {
            capabilities: get(state, "capabilities", [] as string[]),
            budgets: (section(state ?? {}, "budgets") ?? {}) as Readonly<Record<string, number>>,
          },
        ];
      }),
    ),
    transitions: get(from, "transitions", [] as JsonObject[]).map((entry) => ({
      from: get(entry, "from", ""),
      to: get(entry, "to", ""),
      on: get<string>(entry, "on", "any_violation") as Trigger,
      ...(entry["after"] !== undefined && { after: entry["after"] as string }),
    })),
  };
}
