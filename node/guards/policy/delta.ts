/**
 * Policy deltas from curators (design/rules.md rule 12): a closed list of operations that can only tighten. Deltas of
 * several curators combine to the intersection of what they permit, in whatever order they came. Who may send them, and
 * the signature, are checked before this is reached.
 */
import { canonicalText, type Json } from "../../../spine/index.ts";
import { secretFormatProblem } from "../secrets/scan.ts";
import { compileRegex } from "../text/regex.ts";
import { domainGlobProblem } from "./domain-glob.ts";
import type { EffectivePolicy } from "./effective.ts";
import { policyHash } from "./hash.ts";
import type { LoadedPolicy } from "./load.ts";
import { loosenings } from "./loosening.ts";
import { pathGlobProblem } from "./path-glob.ts";
import { isMap } from "./shape.ts";

export const MAX_OPERATIONS = 256;
const MAX_ENTRY_CHARS = 1024;

/** `path` such as `guards.forbidden_path.patterns`. */
export type DeltaOperation =
  | { readonly op: "add" | "remove"; readonly path: string; readonly value: string }
  | { readonly op: "lower"; readonly path: string; readonly value: number }
  | { readonly op: "raise"; readonly path: string; readonly value: string }
  | { readonly op: "enable"; readonly path: string };

export interface PolicyDelta {
  readonly name: string;
  /** Strictly increasing per curator key. */
  readonly version: number;
  /** Of the policy without deltas that this one was made for; 64 hex digits, optional 0x. */
  readonly previous_policy_hash: string;
  /** Of that policy with this delta alone. */
  readonly resulting_policy_hash: string;
  /** RFC 3339. Nothing is loosened when it passes: the operations stay until the operator drops them. */
  readonly valid_until: string;
  readonly operations: readonly DeltaOperation[];
}

export type DeltaRefusal =
  | "malformed"
  | "not_tightening"
  | "stale_version"
  | "expired"
  | "other_policy"
  | "result_mismatch";

export interface DeltaProblem {
  readonly refused: DeltaRefusal;
  readonly message: string;
}

/** What may be added to: prohibitions. With the check of an entry's form. */
const ADD: Readonly<Record<string, (entry: string) => string | undefined>> = {
  "guards.forbidden_path.patterns": pathGlobProblem,
  "guards.egress_allowlist.block": domainGlobProblem,
  "guards.mcp_tool.block": () => undefined,
  "guards.secret_leak.formats": secretFormatProblem,
  "guards.mcp_tool.require_confirmation": () => undefined,
  "guards.patch_integrity.forbidden_patterns": regexProblem,
  "guards.shell_command.forbidden_patterns": regexProblem,
};
/** What may be removed from: permissions. */
const REMOVE: readonly string[] = [
  "guards.forbidden_path.exceptions",
  "guards.path_allowlist.file_access_allow",
  "guards.path_allowlist.file_write_allow",
  "guards.path_allowlist.patch_allow",
  "guards.egress_allowlist.allow",
  "guards.mcp_tool.allow",
  "guards.secret_leak.skip_paths",
  "guards.computer_use.allowed_actions",
  "guards.input_injection_capability.allowed_input_types",
];
const LOWER: readonly string[] = [
  "guards.patch_integrity.max_additions",
  "guards.patch_integrity.max_deletions",
  "guards.mcp_tool.max_args_size",
  "guards.jailbreak.detector.warn_threshold",
  "guards.jailbreak.detector.block_threshold",
  "guards.remote_desktop_side_channel.max_transfer_size_bytes",
  "settings.session_timeout_secs",
];
/** From loosest to strictest. */
const RAISE: Readonly<Record<string, readonly string[]>> = {
  "guards.egress_allowlist.default_action": ["allow", "log", "block"],
  "guards.secret_leak.allow_marks": ["all", "context", "none"],
  "guards.mcp_tool.default_action": ["allow", "block"],
  "guards.computer_use.mode": ["observe", "guardrail", "fail_closed"],
  "settings.unhandled_action": ["allow", "ask", "deny"],
  // Of the node rather than of its policy: no policy hash covers it.
  mode: ["observe", "enforce"],
};

function regexProblem(source: string): string | undefined {
  try {
    compileRegex(source);
    return undefined;
  } catch (caught) {
    return caught instanceof Error ? caught.message : String(caught);
  }
}

/** Reads the body of a delta fact; anything outside the closed list is refused as not tightening. */
export function parseDelta(value: unknown): PolicyDelta | DeltaProblem {
  const wrong = (message: string): DeltaProblem => ({ refused: "malformed", message });
  if (!isMap(value)) return wrong("a delta is an object");
  const {
    name,
    version,
    previous_policy_hash: previous,
    resulting_policy_hash: resulting,
    valid_until: until,
    operations,
  } = value;
  if (typeof name !== "string" || name === "" || name.length > 128) return wrong("name must be 1 to 128 characters");
  if (typeof version !== "number" || !Number.isSafeInteger(version) || version < 1)
    return wrong("version must be at least 1");
  if (typeof previous !== "string" || typeof resulting !== "string") return wrong("both policy hashes are needed");
  if (!isHash(previous) || !isHash(resulting)) return wrong("a policy hash is 64 hex digits");
  if (typeof until !== "string" || Number.isNaN(Date.parse(until))) return wrong("valid_until must be a time");
  if (!Array.isArray(operations) || operations.length === 0 || operations.length > MAX_OPERATIONS) {
    return wrong(`operations must be 1 to ${MAX_OPERATIONS}`);
  }
  for (const [at, operation] of operations.entries()) {
    const problem = operationProblem(operation);
    if (problem !== undefined) return { ...problem, message: `operations[${at}]: ${problem.message}` };
  }
  return {
    name,
    version,
    previous_policy_hash: previous,
    resulting_policy_hash: resulting,
    valid_until: until,
    operations: operations as readonly DeltaOperation[],
  };
}

export function isDeltaProblem(value: PolicyDelta | LoadedPolicy | DeltaProblem): value is DeltaProblem {
  return "refused" in value;
}

function isHash(text: string): boolean {
  return /^(?:0x)?[0-9a-f]{64}$/.test(text);
}

function operationProblem(value: unknown): DeltaProblem | undefined {
  if (!isMap(value) || typeof value["path"] !== "string")
    return { refused: "malformed", message: "an operation has op and path" };
  const { op, path, value: entry } = value;
  const loosening: DeltaProblem = {
    refused: "not_tightening",
    message: `${String(op)} ${path} is not a tightening operation`,
  };
  const badEntry: DeltaProblem = { refused: "malformed", message: `${path}: unusable value` };
  switch (op) {
    case "add": {
      const check = Object.hasOwn(ADD, path) ? ADD[path] : undefined;
      if (check === undefined) return loosening;
      if (typeof entry !== "string" || entry === "" || entry.length > MAX_ENTRY_CHARS) return badEntry;
      return check(entry) === undefined ? undefined : badEntry;
    }
    case "remove":
      if (!REMOVE.includes(path)) return loosening;
      return typeof entry === "string" ? undefined : badEntry;
    case "lower":
      if (!LOWER.includes(path)) return loosening;
      return typeof entry === "number" && Number.isSafeInteger(entry) && entry >= 0 ? undefined : badEntry;
    case "raise": {
      const order = Object.hasOwn(RAISE, path) ? RAISE[path] : undefined;
      if (order === undefined) return loosening;
      if (path === "mode" && entry !== "enforce") return loosening;
      return typeof entry === "string" && order.includes(entry) ? undefined : badEntry;
    }
    case "enable":
      return /^guards\.[a-z_]+\.enabled$/.test(path) ? undefined : loosening;
    default:
      return loosening;
  }
}

/**
 * May this delta join the ones in force? `base` is the operator's own policy, `lastVersion` the curator key's highest
 * version so far. Undefined: yes.
 */
export function deltaProblem(
  delta: PolicyDelta,
  base: LoadedPolicy,
  lastVersion: number,
  nowMs: number,
): DeltaProblem | undefined {
  if (delta.version <= lastVersion)
    return { refused: "stale_version", message: `version ${delta.version}, already at ${lastVersion}` };
  if (Date.parse(delta.valid_until) <= nowMs)
    return { refused: "expired", message: `was valid until ${delta.valid_until}` };
  if (delta.previous_policy_hash.replace(/^0x/, "") !== base.hash) {
    return { refused: "other_policy", message: "was made for another policy" };
  }
  const result = applyDeltas(base, [delta]);
  if (isDeltaProblem(result)) return result;
  if (delta.resulting_policy_hash.replace(/^0x/, "") !== result.hash) {
    return { refused: "result_mismatch", message: `gives ${result.hash}, not the policy it names` };
  }
  return undefined;
}

/** The base with all operations of all deltas carried out; the order of the deltas does not matter. */
export function applyDeltas(base: LoadedPolicy, deltas: readonly PolicyDelta[]): LoadedPolicy | DeltaProblem {
  const operations = new Map(
    deltas
      .flatMap((delta) => delta.operations)
      .map((operation) => [canonicalText(operation as unknown as Json), operation]),
  );
  const effective = structuredClone(base.effective);
  for (const key of [...operations.keys()].sort()) carryOut(effective, operations.get(key) as DeltaOperation);
  // The list above is meant to tighten only; this proves it for the case at hand.
  const lost = loosenings(base.effective, effective)[0];
  if (lost !== undefined) return { refused: "not_tightening", message: `${lost.path} ${lost.message}` };
  return { ...base, effective, hash: policyHash(effective) };
}

function carryOut(effective: EffectivePolicy, operation: DeltaOperation): void {
  if (operation.path === "mode") return;
  const names = operation.path.split(".");
  const last = names.pop() as string;
  let holder: unknown = effective;
  for (const name of names) holder = isMap(holder) ? holder[name] : undefined;
  // A section that is switched off entirely, such as an absent path allow-list, has nothing to tighten.
  if (!isMap(holder)) return;
  const target = holder as Record<string, unknown>;
  const old = target[last];
  switch (operation.op) {
    case "add":
      if (Array.isArray(old) && !old.includes(operation.value)) target[last] = [...old, operation.value];
      return;
    case "remove":
      if (Array.isArray(old)) target[last] = old.filter((entry) => entry !== operation.value);
      return;
    case "lower":
      target[last] = typeof old === "number" ? Math.min(old, operation.value) : operation.value;
      return;
    case "raise": {
      const order = RAISE[operation.path] ?? [];
      if (order.indexOf(operation.value) > order.indexOf(String(old))) target[last] = operation.value;
      return;
    }
    case "enable":
      target[last] = true;
  }
}
