/** The one policy hash: SHA-256 of the canonical JSON of the effective policy (design/rules.md rule 12). */
import { createHash } from "node:crypto";
import { canonicalText, type Json } from "../../../spine/index.ts";
import type { EffectivePolicy } from "./effective.ts";

/** 64 lower-case hex digits. Throws `json_lone_surrogate` when a text of the policy is no valid Unicode. */
export function policyHash(effective: EffectivePolicy): string {
  return createHash("sha256").update(policyText(effective), "utf8").digest("hex");
}

/** What is hashed. */
export function policyText(effective: EffectivePolicy): string {
  // Every field of the type is plain JSON; the interface only lacks the index signature.
  return canonicalText(effective as unknown as Json);
}
