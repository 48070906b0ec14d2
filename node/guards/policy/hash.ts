/** The one policy hash: SHA-256 of the canonical JSON of the effective policy (design/rules.md rule 12). */
import { createHash } from "node:crypto";
import type { EffectivePolicy } from "./effective.ts";

/** 64 lower-case hex digits. */
export function policyHash(effective: EffectivePolicy): string {
  return createHash("sha256").update(canonical(effective), "utf8").digest("hex");
}

function canonical(value: unknown): string {
  if (Array.isArray(value)) return `[${value.map(canonical).join(",")}]`;
  if (typeof value !== "object" || value === null) return JSON.stringify(value);
  const entries = Object.entries(value).filter(([, item]) => item !== undefined);
  entries.sort(([a], [b]) => (a < b ? -1 : 1));
  return `{${entries.map(([key, item]) => `${JSON.stringify(key)}:${canonical(item)}`).join(",")}}`;
}
