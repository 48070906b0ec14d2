/** What a curator publishes: the facts of a signed bundle and of a tighten-only delta. `spine policy publish|tighten` make them. */
import { createHash, randomUUID } from "node:crypto";
import { canonicalText, type Json, type JsonObject, SpineError, toHex, utf8 } from "../../../spine/index.ts";
import { BUNDLE_SCHEMA, BUNDLE_VERSION } from "./bundle.ts";
import { applyDeltas, type DeltaOperation, isDeltaProblem, parseDelta } from "./delta.ts";
import { type LoadedPolicy, loadPolicy } from "./load.ts";

export const DELTA_SCHEMA = "aegis.spine.fact.policy_delta.v1";

/** The bundle stands alone: what the policy extends is merged in. Throws `config_invalid` when that changes its meaning. */
export function bundleFact(
  policy: LoadedPolicy,
  sign: (message: Uint8Array) => Uint8Array,
  compiledAt: string,
): JsonObject {
  const { version, body } = policy.merged;
  const { extends: _, ...rest } = body as Record<string, Json>;
  const document = { version, ...rest };
  if (loadPolicy(JSON.stringify(document)).policy?.hash !== policy.hash)
    throw new SpineError("config_invalid", "the policy means something else without the files it extends");
  const bundle: JsonObject = {
    version: BUNDLE_VERSION,
    bundle_id: randomUUID(),
    compiled_at: compiledAt,
    policy: document,
    policy_hash: `0x${policy.hash}`,
    sources: [],
  };
  const text = canonicalText(bundle);
  const hash = createHash("sha256").update(text, "utf8").digest("hex");
  return {
    schema: BUNDLE_SCHEMA,
    fact_id: `pb_${hash.slice(0, 16)}`,
    bundle_id: bundle["bundle_id"] as string,
    bundle_hash: `0x${hash}`,
    policy_hash: `0x${policy.hash}`,
    signed_bundle: { bundle, signature: toHex(sign(utf8(text))) },
  };
}

/** For nodes whose policy, before deltas, is `base`. Throws `config_invalid` for operations that do not only tighten. */
export function deltaFact(
  base: LoadedPolicy,
  operations: readonly DeltaOperation[],
  about: { readonly name: string; readonly version: number; readonly validUntil: string },
): JsonObject {
  const draft = {
    name: about.name,
    version: about.version,
    previous_policy_hash: `0x${base.hash}`,
    resulting_policy_hash: `0x${base.hash}`,
    valid_until: about.validUntil,
    operations: operations as unknown as Json,
  };
  const delta = parseDelta(draft);
  if (isDeltaProblem(delta)) throw new SpineError("config_invalid", delta.message);
  const result = applyDeltas(base, [delta]);
  if (isDeltaProblem(result)) throw new SpineError("config_invalid", result.message);
  const id = createHash("sha256").update(canonicalText(draft), "utf8").digest("hex").slice(0, 16);
  return { schema: DELTA_SCHEMA, fact_id: `pd_${id}`, ...draft, resulting_policy_hash: `0x${result.hash}` };
}

/** `add:guards.forbidden_path.patterns=x` and the like: OP:PATH=VALUE, or OP:PATH for `enable`. Throws `usage`. */
export function readOperation(text: string): DeltaOperation {
  const parts = /^(add|remove|lower|raise|enable):([a-z_.]+)(?:=(.*))?$/s.exec(text);
  if (parts === null) throw new SpineError("usage", `${JSON.stringify(text)}: expected OP:PATH=VALUE`);
  const [, op, path, value] = parts as unknown as [string, DeltaOperation["op"], string, string | undefined];
  if (op === "enable") return { op, path };
  if (value === undefined) throw new SpineError("usage", `${JSON.stringify(text)}: a value is missing`);
  return op === "lower" ? { op, path, value: Number(value) } : { op, path, value };
}
