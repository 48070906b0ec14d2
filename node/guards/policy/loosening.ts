/**
 * What protection a change of policy takes away: compares two effective policies field by field. Loading warns with it,
 * hot reload reports it, and deltas from curators are refused by it (design/rules.md rule 12).
 */

import { SEVERITIES } from "../verdict.ts";
import type { EffectivePolicy } from "./effective.ts";

export interface Loosening {
  /** Such as `guards.forbidden_path.patterns`. */
  readonly path: string;
  readonly message: string;
}

const LEVELS = ["safe", "suspicious", "high", "critical"];
const EGRESS = ["allow", "log", "block"];
const MODES = ["observe", "guardrail", "fail_closed"];

/** Empty when `after` protects at least as much as `before` in every field that can be compared. */
export function loosenings(before: EffectivePolicy, after: EffectivePolicy): readonly Loosening[] {
  const found: Loosening[] = [];
  const say = (path: string, message: string): void => {
    found.push({ path, message });
  };
  const was = before.guards;
  const is = after.guards;
  /** Members of a prohibition list that are gone. */
  const lost = (path: string, old: readonly string[], now: readonly string[]): void => {
    const gone = old.filter((entry) => !now.includes(entry));
    if (gone.length > 0) say(path, `no longer lists ${quote(gone)}`);
  };
  /** Members of a permission list that are new. */
  const gained = (path: string, old: readonly string[], now: readonly string[]): void => {
    const fresh = now.filter((entry) => !old.includes(entry));
    if (fresh.length > 0) say(path, `newly permits ${quote(fresh)}`);
  };
  const higher = (path: string, old: number, now: number): void => {
    if (now > old) say(path, `rises from ${old} to ${now}`);
  };
  const rank = (path: string, order: readonly string[], old: string, now: string): void => {
    if (order.indexOf(now) < order.indexOf(old)) say(path, `goes from ${old} to ${now}`);
  };
  const off = (path: string, old: boolean, now: boolean): void => {
    if (old && !now) say(path, "is switched off");
  };
  for (const name of Object.keys(was) as (keyof typeof was)[]) {
    const old = was[name];
    const now = is[name];
    if (old !== null && now !== null && "enabled" in old && "enabled" in now) {
      off(`guards.${name}.enabled`, old.enabled === true, now.enabled === true);
    }
  }
  lost("guards.forbidden_path.patterns", was.forbidden_path.patterns, is.forbidden_path.patterns);
  gained("guards.forbidden_path.exceptions", was.forbidden_path.exceptions, is.forbidden_path.exceptions);
  if (was.path_allowlist !== null && is.path_allowlist === null) say("guards.path_allowlist", "is removed");
  else if (was.path_allowlist !== null && is.path_allowlist !== null) {
    const old = was.path_allowlist;
    const now = is.path_allowlist;
    gained("guards.path_allowlist.file_access_allow", old.file_access_allow, now.file_access_allow);
    gained("guards.path_allowlist.file_write_allow", old.file_write_allow, now.file_write_allow);
    gained(
      "guards.path_allowlist.patch_allow",
      old.patch_allow.length > 0 ? old.patch_allow : old.file_write_allow,
      now.patch_allow.length > 0 ? now.patch_allow : now.file_write_allow,
    );
  }
  gained("guards.egress_allowlist.allow", was.egress_allowlist.allow, is.egress_allowlist.allow);
  lost("guards.egress_allowlist.block", was.egress_allowlist.block, is.egress_allowlist.block);
  rank(
    "guards.egress_allowlist.default_action",
    EGRESS,
    was.egress_allowlist.default_action,
    is.egress_allowlist.default_action,
  );
  // A format of the same name takes a pattern's place.
  const covered = (pattern: { readonly name: string }): boolean => is.secret_leak.formats.includes(pattern.name);
  lost(
    "guards.secret_leak.patterns",
    was.secret_leak.patterns
      .filter((pattern) => !covered(pattern))
      .map((pattern) => `${pattern.name}: ${pattern.pattern}`),
    is.secret_leak.patterns.map((pattern) => `${pattern.name}: ${pattern.pattern}`),
  );
  for (const old of was.secret_leak.patterns) {
    const now = is.secret_leak.patterns.find((pattern) => pattern.name === old.name && pattern.pattern === old.pattern);
    if (now !== undefined)
      rank(`guards.secret_leak.patterns.${old.name}.severity`, SEVERITIES, old.severity, now.severity);
  }
  lost("guards.secret_leak.formats", was.secret_leak.formats, is.secret_leak.formats);
  rank(
    "guards.secret_leak.allow_marks",
    ["all", "context", "none"],
    was.secret_leak.allow_marks,
    is.secret_leak.allow_marks,
  );
  gained("guards.secret_leak.skip_paths", was.secret_leak.skip_paths, is.secret_leak.skip_paths);
  higher(
    "guards.secret_leak.severity_threshold",
    SEVERITIES.indexOf(was.secret_leak.severity_threshold),
    SEVERITIES.indexOf(is.secret_leak.severity_threshold),
  );
  off("guards.secret_leak.redact", was.secret_leak.redact, is.secret_leak.redact);
  higher("guards.patch_integrity.max_additions", was.patch_integrity.max_additions, is.patch_integrity.max_additions);
  higher("guards.patch_integrity.max_deletions", was.patch_integrity.max_deletions, is.patch_integrity.max_deletions);
  off(
    "guards.patch_integrity.require_balance",
    was.patch_integrity.require_balance,
    is.patch_integrity.require_balance,
  );
  if (was.patch_integrity.require_balance) {
    higher(
      "guards.patch_integrity.max_imbalance_ratio",
      was.patch_integrity.max_imbalance_ratio,
      is.patch_integrity.max_imbalance_ratio,
    );
  }
  lost(
    "guards.patch_integrity.forbidden_patterns",
    was.patch_integrity.forbidden_patterns,
    is.patch_integrity.forbidden_patterns,
  );
  const tools = (list: readonly string[]): readonly string[] => (list.length === 0 ? ["*"] : list);
  if (was.mcp_tool.allow.length > 0) gained("guards.mcp_tool.allow", was.mcp_tool.allow, tools(is.mcp_tool.allow));
  else if (was.mcp_tool.default_action === "block") gained("guards.mcp_tool.allow", [], is.mcp_tool.allow);
  lost("guards.mcp_tool.block", was.mcp_tool.block, is.mcp_tool.block);
  lost("guards.mcp_tool.require_confirmation", was.mcp_tool.require_confirmation, [
    ...is.mcp_tool.require_confirmation,
    ...is.mcp_tool.block,
  ]);
  rank("guards.mcp_tool.default_action", ["allow", "block"], was.mcp_tool.default_action, is.mcp_tool.default_action);
  off(
    "guards.mcp_tool.default_action",
    was.mcp_tool.warn_unlisted,
    is.mcp_tool.warn_unlisted || is.mcp_tool.default_action === "block",
  );
  higher("guards.mcp_tool.max_args_size", was.mcp_tool.max_args_size, is.mcp_tool.max_args_size);
  const level = (path: string, old: string, now: string): void =>
    higher(path, LEVELS.indexOf(old), LEVELS.indexOf(now));
  level(
    "guards.prompt_injection.warn_at_or_above",
    was.prompt_injection.warn_at_or_above,
    is.prompt_injection.warn_at_or_above,
  );
  level(
    "guards.prompt_injection.block_at_or_above",
    was.prompt_injection.block_at_or_above,
    is.prompt_injection.block_at_or_above,
  );
  higher(
    "guards.prompt_injection.max_scan_bytes",
    is.prompt_injection.max_scan_bytes,
    was.prompt_injection.max_scan_bytes,
  );
  const oldJail = was.jailbreak.detector;
  const newJail = is.jailbreak.detector;
  higher("guards.jailbreak.detector.warn_threshold", oldJail.warn_threshold, newJail.warn_threshold);
  higher("guards.jailbreak.detector.block_threshold", oldJail.block_threshold, newJail.block_threshold);
  higher("guards.jailbreak.detector.max_input_bytes", newJail.max_input_bytes, oldJail.max_input_bytes);
  for (const layer of ["heuristic", "statistical", "ml", "llm_judge"] as const) {
    off(`guards.jailbreak.detector.layers.${layer}`, oldJail.layers[layer], newJail.layers[layer]);
  }
  for (const [name, weight] of Object.entries(oldJail.linear_model)) {
    higher(`guards.jailbreak.detector.linear_model.${name}`, newJail.linear_model[name] ?? 0, weight);
  }
  lost(
    "guards.shell_command.forbidden_patterns",
    was.shell_command.forbidden_patterns,
    is.shell_command.forbidden_patterns,
  );
  off(
    "guards.shell_command.enforce_forbidden_paths",
    was.shell_command.enforce_forbidden_paths,
    is.shell_command.enforce_forbidden_paths,
  );
  rank("guards.computer_use.mode", MODES, was.computer_use.mode, is.computer_use.mode);
  gained("guards.computer_use.allowed_actions", was.computer_use.allowed_actions, is.computer_use.allowed_actions);
  const channels = ["clipboard", "file_transfer", "session_share", "audio", "drive_mapping", "printing"] as const;
  for (const channel of channels) {
    const field = `${channel}_enabled` as const;
    // Here `true` permits: the order is turned round.
    if (!was.remote_desktop_side_channel[field] && is.remote_desktop_side_channel[field]) {
      say(`guards.remote_desktop_side_channel.${field}`, "is opened");
    }
  }
  higher(
    "guards.remote_desktop_side_channel.max_transfer_size_bytes",
    was.remote_desktop_side_channel.max_transfer_size_bytes ?? Number.POSITIVE_INFINITY,
    is.remote_desktop_side_channel.max_transfer_size_bytes ?? Number.POSITIVE_INFINITY,
  );
  gained(
    "guards.input_injection_capability.allowed_input_types",
    was.input_injection_capability.allowed_input_types,
    is.input_injection_capability.allowed_input_types,
  );
  off(
    "guards.input_injection_capability.require_postcondition_probe",
    was.input_injection_capability.require_postcondition_probe,
    is.input_injection_capability.require_postcondition_probe,
  );
  const active = (list: readonly { enabled: boolean }[], key: string): readonly string[] =>
    list.filter((entry) => entry.enabled).map((entry) => String((entry as unknown as Record<string, unknown>)[key]));
  lost("guards.custom", active(was.custom, "package"), active(is.custom, "package"));
  lost("custom_guards", active(before.custom_guards, "id"), active(after.custom_guards, "id"));
  rank(
    "settings.unhandled_action",
    ["allow", "ask", "deny"],
    before.settings.unhandled_action,
    after.settings.unhandled_action,
  );
  higher("settings.session_timeout_secs", before.settings.session_timeout_secs, after.settings.session_timeout_secs);
  comparePosture(before, after, say);
  return found;
}

function comparePosture(
  before: EffectivePolicy,
  after: EffectivePolicy,
  say: (path: string, message: string) => void,
): void {
  const old = before.posture;
  const now = after.posture;
  if (old === null) return;
  if (now === null) {
    say("posture", "is removed");
    return;
  }
  if (old.initial !== now.initial) say("posture.initial", `goes from ${old.initial} to ${now.initial}`);
  for (const [name, state] of Object.entries(now.states)) {
    const known = old.states[name];
    const fresh = state.capabilities.filter(
      (capability) => known === undefined || !known.capabilities.includes(capability),
    );
    if (known !== undefined && fresh.length > 0)
      say(`posture.states.${name}.capabilities`, `newly permits ${quote(fresh)}`);
    for (const [budget, limit] of Object.entries(known?.budgets ?? {})) {
      const next = state.budgets[budget];
      if (next === undefined) say(`posture.states.${name}.budgets.${budget}`, "is removed");
      else if (next > limit) say(`posture.states.${name}.budgets.${budget}`, `rises from ${limit} to ${next}`);
    }
  }
  // Transitions act in order, so any change may lead out of a restricted state.
  if (JSON.stringify(old.transitions) !== JSON.stringify(now.transitions)) say("posture.transitions", "is changed");
}

function quote(entries: readonly string[]): string {
  const shown = entries
    .slice(0, 5)
    .map((entry) => JSON.stringify(entry.length > 80 ? `${entry.slice(0, 77)}...` : entry));
  return entries.length > 5 ? `${shown.join(", ")} and ${entries.length - 5} more` : shown.join(", ");
}
