/** Merging a child policy onto its base (spec/guards.md section 1.3). Works on documents as written, before defaults. */
import type { Dialect } from "../dialect.ts";
import { codeDefaults } from "./defaults.ts";
import { forbiddenPatterns, secretFormats, secretPatterns, section } from "./effective.ts";
import type { PolicyDocument } from "./schema.ts";
import type { Json, JsonObject } from "./shape.ts";

export function mergePolicies(base: PolicyDocument, child: PolicyDocument, dialect: Dialect): PolicyDocument {
  const { extends: _, merge_strategy: strategy, ...own } = child.body;
  if (strategy === "replace") return { version: child.version, body: own };
  const { extends: _base, merge_strategy: _baseStrategy, ...inherited } = base.body;
  const merged: Record<string, Json> = { ...inherited, ...own };
  for (const text of ["name", "description"]) {
    const value = nonEmpty(own[text]) ?? inherited[text];
    if (value !== undefined) merged[text] = value;
  }
  const whole = strategy === "merge";
  for (const name of ["guards", "settings"]) {
    const mine = section(own, name);
    const theirs = section(inherited, name);
    if (mine === undefined || theirs === undefined) continue;
    if (whole) merged[name] = Object.keys(mine).length > 0 ? mine : theirs;
    else merged[name] = name === "guards" ? mergeGuards(theirs, mine, dialect) : mergeSettings(theirs, mine);
  }
  const guards = { ...section(merged, "guards") };
  if (!whole && section(own, "guards") !== undefined && section(inherited, "guards") === undefined) {
    merged["guards"] = mergeGuards({}, section(own, "guards") as JsonObject, dialect);
  } else if (Object.keys(guards).length > 0) merged["guards"] = guards;
  const custom = mergeById(inherited["custom_guards"], own["custom_guards"], whole);
  if (custom !== undefined) merged["custom_guards"] = custom;
  const posture = mergePosture(section(inherited, "posture"), section(own, "posture"), whole);
  if (posture !== undefined) merged["posture"] = posture;
  return { version: child.version, body: merged };
}

function nonEmpty(value: Json | undefined): Json | undefined {
  return value === "" || (Array.isArray(value) && value.length === 0) ? undefined : value;
}

function strings(from: JsonObject | undefined, name: string): readonly string[] {
  return (from?.[name] as readonly string[] | undefined) ?? [];
}

function mergeGuards(base: JsonObject, child: JsonObject, dialect: Dialect): JsonObject {
  const merged: Record<string, Json> = { ...base, ...child };
  const both = (name: string, merge: (base: JsonObject | undefined, child: JsonObject) => JsonObject): void => {
    const mine = section(child, name);
    if (mine !== undefined) merged[name] = merge(section(base, name), mine);
  };
  both("forbidden_path", (from, mine) => {
    const start = mine["patterns"] === undefined ? forbiddenPatterns(from, dialect) : strings(mine, "patterns");
    return {
      ...enabled(mine),
      patterns: forbiddenPatterns({ ...mine, patterns: start }, dialect),
      exceptions: union(
        from === undefined ? codeDefaults(dialect).forbiddenExceptions : strings(from, "exceptions"),
        strings(mine, "exceptions"),
      ),
    };
  });
  both("path_allowlist", (from, mine) => ({
    ...enabled(mine),
    ...Object.fromEntries(
      ["file_access_allow", "file_write_allow", "patch_allow"].map((name) => [
        name,
        nonEmpty(mine[name]) ?? from?.[name] ?? [],
      ]),
    ),
  }));
  const defaults = codeDefaults(dialect);
  both("egress_allowlist", (from, mine) =>
    mergeLists(from ?? { allow: defaults.egressAllow, default_action: "block" }, mine, ["default_action"]),
  );
  both("mcp_tool", (from, mine) => {
    const start = from ?? {
      block: defaults.mcpBlock,
      require_confirmation: defaults.mcpConfirm,
      ...(dialect === "main" && { default_action: "block" }),
    };
    const confirm = nonEmpty(mine["require_confirmation"]) ?? start["require_confirmation"] ?? [];
    return { ...mergeLists(start, mine, ["default_action", "max_args_size"]), require_confirmation: confirm };
  });
  both("secret_leak", (from, mine) => {
    const operations = mine["additional_patterns"] !== undefined || mine["remove_patterns"] !== undefined;
    if (dialect === "sdr-execution" || (dialect === "spine" && !operations)) return mine;
    const start = mine["patterns"] === undefined ? secretPatterns(from, dialect) : mine["patterns"];
    const { additional_patterns: _, remove_patterns: __, ...rest } = mine;
    return {
      ...rest,
      ...(dialect === "spine" && { formats: secretFormats({ ...from, ...mine }) }),
      patterns: secretPatterns({ ...mine, patterns: start as unknown as Json }, dialect) as unknown as Json,
      skip_paths: union(
        from === undefined ? defaults.secretSkipPaths : strings(from, "skip_paths"),
        strings(mine, "skip_paths"),
      ),
    };
  });
  const packages = nonEmpty(child["custom"]) ?? base["custom"];
  if (packages !== undefined) merged["custom"] = packages;
  return merged;
}

/** Touching a guard switches it on again unless the child says otherwise. */
function enabled(mine: JsonObject): JsonObject {
  return { enabled: mine["enabled"] ?? true };
}

function union(a: readonly string[], b: readonly string[]): readonly string[] {
  return [...new Set([...a, ...b])];
}

/** base + additional − removed; then a non-empty list of the child replaces the whole. */
function mergeLists(base: JsonObject, mine: JsonObject, scalars: readonly string[]): JsonObject {
  const out: Record<string, Json> = { ...enabled(mine) };
  for (const name of ["allow", "block"]) {
    const removed = strings(mine, `remove_${name}`);
    const grown = union(strings(base, name), strings(mine, `additional_${name}`));
    out[name] = nonEmpty(mine[name]) ?? grown.filter((entry) => !removed.includes(entry));
  }
  for (const name of scalars) {
    const value = mine[name] ?? base[name];
    if (value !== undefined) out[name] = value;
  }
  return out;
}

function mergeSettings(base: JsonObject, child: JsonObject): JsonObject {
  const mine = section(child, "verification");
  const theirs = section(base, "verification");
  if (mine === undefined || theirs === undefined) return { ...base, ...child };
  // Merging can only strengthen verification.
  return {
    ...base,
    ...child,
    verification: {
      enabled: mine["enabled"] === true || theirs["enabled"] === true,
      strict: mine["strict"] === true || theirs["strict"] === true,
      cache: mine["cache"] !== false && theirs["cache"] !== false,
    },
  };
}

function mergeById(base: Json | undefined, child: Json | undefined, whole: boolean): Json | undefined {
  const mine = (child ?? []) as readonly JsonObject[];
  const theirs = (base ?? []) as readonly JsonObject[];
  if (mine.length === 0) return base;
  if (whole || theirs.length === 0) return child;
  const kept = theirs.map((entry) => mine.find((own) => own["id"] === entry["id"]) ?? entry);
  return [...kept, ...mine.filter((own) => !theirs.some((entry) => entry["id"] === own["id"]))];
}

function mergePosture(
  base: JsonObject | undefined,
  child: JsonObject | undefined,
  whole: boolean,
): JsonObject | undefined {
  if (base === undefined || child === undefined || whole) return child ?? base;
  return {
    initial: nonEmpty(child["initial"]) ?? base["initial"] ?? "",
    states: { ...section(base, "states"), ...section(child, "states") },
    transitions: nonEmpty(child["transitions"]) ?? base["transitions"] ?? [],
  };
}
