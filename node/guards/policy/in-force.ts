/**
 * What a decision is made by: one policy, or several of which each must allow (design/rules.md rule 12, two curators
 * combine by intersection). The holder and the curated policies provide it, the service asks it at every decision.
 */
import { createHash } from "node:crypto";
import { canonicalText } from "../../../spine/index.ts";
import type { PolicyState } from "./holder.ts";
import type { LoadedPolicy } from "./load.ts";

export interface InForce {
  /**
   * 64 hex digits. Of one policy its own hash; of several the SHA-256 of the canonical JSON `{"all_of":[…]}` with their
   * hashes in ascending order.
   */
  readonly hash: string;
  /** At least one; the operator's comes first. An action passes only if each of them allows it. */
  readonly policies: readonly LoadedPolicy[];
  /** Nothing may pass, and why. */
  readonly closed?: { readonly reason: string; readonly message: string };
}

export interface PolicySource {
  readonly state: PolicyState;
  /** Undefined: no policy, everything is denied. Cheap: asked at every decision. */
  readonly inForce: InForce | undefined;
}

export function inForceOf(policies: readonly LoadedPolicy[], closed?: InForce["closed"]): InForce {
  return { hash: combinedHash(policies.map(({ hash }) => hash)), policies, ...(closed !== undefined && { closed }) };
}

function combinedHash(hashes: readonly string[]): string {
  const distinct = [...new Set(hashes)].sort();
  if (distinct.length === 1) return distinct[0] as string;
  return createHash("sha256")
    .update(canonicalText({ all_of: distinct }), "utf8")
    .digest("hex");
}
