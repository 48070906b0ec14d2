/**
 * Policy bundles of curators: a whole policy, signed, in a fact (spec/spine.md sections 7.16 and 13). Read and checked
 * here; what a bundle does is decided in `curated.ts`.
 */
import { createHash } from "node:crypto";
import {
  type Claim,
  canonicalText,
  type Issuer,
  isJsonObject,
  type Json,
  type JsonObject,
  normalizeHash,
  parseIssuer,
  parseSignature,
  utf8,
} from "../../../spine/index.ts";
import { type LoadedPolicy, loadPolicy } from "./load.ts";
import { errorsIn } from "./problem.ts";

export const BUNDLE_SCHEMA = "clawdstrike.marketplace.policy_bundle.v1";
export const BUNDLE_VERSION = "clawdstrike-policy-bundle-v1";

export interface PolicyBundle {
  /** `0x` and the SHA-256 of the canonical bundle: what a revocation names. */
  readonly bundleHash: string;
  readonly bundleId: string;
  readonly policy: LoadedPolicy;
  /** To be verified before the bundle counts: the curator's signature over the canonical bundle. */
  readonly claim: Claim;
}

export interface BundleProblem {
  readonly refused: "malformed" | "unusable_policy" | "other_key" | "result_mismatch";
  readonly message: string;
}

export function isBundleProblem(value: PolicyBundle | BundleProblem): value is BundleProblem {
  return "refused" in value;
}

function wrong(message: string): BundleProblem {
  return { refused: "malformed", message };
}

/**
 * The bundle in a fact of `curator`: `{schema, bundle_id, bundle_hash, policy_hash, signed_bundle: {bundle, signature,
 * public_key?}}`. It may extend built-in rulesets only, and its `policy_hash` must be the one this node computes.
 */
export function readBundle(curator: Issuer, fact: JsonObject): PolicyBundle | BundleProblem {
  const signed = fact["signed_bundle"];
  const bundle = isJsonObject(signed) ? signed["bundle"] : undefined;
  if (!isJsonObject(signed) || !isJsonObject(bundle)) return wrong("signed_bundle.bundle is missing");
  const { version, bundle_id: bundleId, policy, policy_hash: stated } = bundle as Record<string, Json | undefined>;
  if (version !== BUNDLE_VERSION) return wrong(`bundle version is not ${BUNDLE_VERSION}`);
  if (typeof bundleId !== "string" || bundleId === "" || bundleId.length > 128) return wrong("bundle_id is missing");
  if (!isJsonObject(policy)) return wrong("bundle.policy is no object");
  const text = canonicalText(bundle);
  const bundleHash = `0x${createHash("sha256").update(text, "utf8").digest("hex")}`;
  if (normalizeHash(String(fact["bundle_hash"])) !== bundleHash) return wrong("bundle_hash is not the bundle's");
  const key = parseIssuer(curator);
  const named = signed["public_key"];
  if (named !== undefined && named !== null && named !== Buffer.from(key).toString("hex"))
    return { refused: "other_key", message: "the bundle is signed by another key than the curator's" };
  let claim: Claim;
  try {
    claim = { key, message: utf8(text), signature: parseSignature(prefixed(signed["signature"])) };
  } catch {
    return wrong("signed_bundle.signature is no signature");
  }
  // JSON is YAML: the one reader of policies checks this one, too.
  const { policy: loaded, problems } = loadPolicy(JSON.stringify(policy));
  if (loaded === undefined) {
    const first = errorsIn(problems)[0];
    return { refused: "unusable_policy", message: `${first?.path ?? ""} ${first?.message ?? "unusable"}` };
  }
  for (const one of [stated, fact["policy_hash"]])
    if (normalizeHash(String(one)) !== `0x${loaded.hash}`)
      return { refused: "result_mismatch", message: `gives policy ${loaded.hash}, not the one it names` };
  return { bundleHash, bundleId, policy: loaded, claim };
}

/** Upstream spells signatures with and without `0x`. */
function prefixed(value: Json | undefined): string {
  const text = String(value);
  return text.startsWith("0x") ? text : `0x${text}`;
}
