/**
 * Revocation facts: what they name, under both prefixes and in the marketplace form, and the form that a recovery key
 * signs. Shape: spec/spine.md section 7.5 with `from_seq` and `recovery` as additions of ours. Whether one counts is
 * decided by `authority.ts`.
 */
import { toHex } from "./bytes.ts";
import { SpineError } from "./errors.ts";
import { factKind } from "./fact.ts";
import { checkFact } from "./fact-shape.ts";
import { commitToKey, type KeyCommitment } from "./genesis.ts";
import { foreignIssuer, normalizeHash, signatureText } from "./identity.ts";
import { isJsonObject, type Json, type JsonObject } from "./lossless.ts";
import {
  bytesWithout,
  factObject,
  fieldClaim,
  hashField,
  issuerField,
  keyField,
  textField,
  timeField,
} from "./nested-signature.ts";
import type { Claim, Issuer, Sha256Hex } from "./ports.ts";
import { formatTime } from "./time.ts";

export const REVOCATION_SCHEMA = "aegis.spine.fact.revocation.v1";

/** What can be revoked, and what a configured revoker's scope names. */
export type RevocationScope = "node" | "key" | "token" | "bundle";
export const REVOCATION_SCOPES: readonly RevocationScope[] = ["node", "key", "token", "bundle"];

export interface RevocationTarget {
  readonly scope: RevocationScope;
  /** An issuer id for a node or key, a token id, or the `0x` hash of a bundle. */
  readonly value: string;
  /** Of a node or key: what it signed at or above this seq is revoked; 0 means everything. Always 0 for the others. */
  readonly fromSeq: number;
}

export interface Revocation {
  /** In whose name it is made. */
  readonly signer: Issuer;
  /** Of the envelope in the signer's chain; null when the signer's recovery key signed, which has no chain. */
  readonly seq: number | null;
  /** Commitment to the recovery key that signed, or null. */
  readonly recovery: KeyCommitment | null;
  readonly targets: readonly RevocationTarget[];
}

/** A revocation and, for the recovery form, the signature to verify before it is handed to `Authority`. */
export interface ReadRevocation {
  readonly revocation: Revocation;
  readonly claim: Claim | null;
}

/** Targets of one fact that are read: a fact is at most 64 KiB, and each target costs memory for ever. */
export const MAX_REVOCATION_TARGETS = 256;
/** Token ids longer than this cannot be revoked by name. */
export const MAX_TOKEN_ID_LENGTH = 256;

const TYPES: Readonly<Record<RevocationScope, string>> = {
  node: "node_id",
  key: "key",
  token: "token_id",
  bundle: "bundle_hash",
};
const SCOPES: ReadonlyMap<string, RevocationScope> = new Map(REVOCATION_SCOPES.map((scope) => [TYPES[scope], scope]));

/** The one spelling of a target's value; undefined when it names nothing that could be revoked. */
export function normalTarget(scope: RevocationScope, value: string): string | undefined {
  if (scope === "bundle") return normalizeHash(value);
  if (scope === "token") return value === "" || value.length > MAX_TOKEN_ID_LENGTH ? undefined : value;
  try {
    return foreignIssuer(value);
  } catch {
    return undefined;
  }
}

function readTarget(target: Json): RevocationTarget | undefined {
  if (!isJsonObject(target)) return undefined;
  const scope = SCOPES.get(target["type"] as string);
  const value = scope === undefined ? undefined : normalTarget(scope, target["value"] as string);
  if (scope === undefined || value === undefined) return undefined;
  const isIssuer = scope === "node" || scope === "key";
  const from: Json = target["from_seq"] ?? 0;
  // Beyond 2^53 − 1 no envelope exists: such a target revokes nothing.
  if (isIssuer && typeof from !== "number") return undefined;
  return { scope, value, fromSeq: isIssuer ? (from as number) : 0 };
}

/**
 * Reads the revocation in an envelope of `issuer` at `seq`. Targets of unknown types are left out, as upstream does.
 * Throws `fact_invalid`; verifies nothing.
 */
export function readRevocation(issuer: Issuer, seq: number, fact: Json, sha256Hex: Sha256Hex): ReadRevocation {
  checkFact(fact);
  const object = factObject(fact);
  const known = factKind(textField(object, "schema"));
  if (known?.kind !== "revocation" || known.version !== 1)
    throw new SpineError("fact_invalid", "the fact is no revocation");
  if (known.family === "marketplace") {
    const value = normalTarget("bundle", textField(object, "bundle_hash"));
    if (value === undefined) hashField(object, "bundle_hash");
    const targets: RevocationTarget[] = [{ scope: "bundle", value: value as string, fromSeq: 0 }];
    return { revocation: { signer: issuer, seq, recovery: null, targets }, claim: null };
  }
  const listed = (object["targets"] ?? []) as readonly Json[];
  if (listed.length > MAX_REVOCATION_TARGETS)
    throw new SpineError("fact_invalid", `${listed.length} targets, at most ${MAX_REVOCATION_TARGETS}`);
  const targets = listed.map(readTarget).filter((target) => target !== undefined);
  const recovery: Json = object["recovery"] ?? null;
  if (!isJsonObject(recovery)) return { revocation: { signer: issuer, seq, recovery: null, targets }, claim: null };
  const key = keyField(recovery, "key");
  return {
    revocation: {
      signer: issuerField(recovery, "issuer"),
      seq: null,
      recovery: commitToKey(key, sha256Hex),
      targets,
    },
    claim: fieldClaim(recovery, "signature", key, recoverySigningBytes(object)),
  };
}

/** What a recovery key signs: the fact, whose `recovery` names its issuer and key but has no signature yet. */
export function recoverySigningBytes(fact: JsonObject): Uint8Array {
  const { signature: _, ...named } = fact["recovery"] as JsonObject;
  return bytesWithout({ ...fact, recovery: named }, []);
}

export interface RevocationInput {
  readonly factId: string;
  readonly targets: readonly RevocationTarget[];
  readonly reason: string;
  /** Whole seconds since the epoch. */
  readonly issuedAt: number;
}

/** The fact to publish. Throws `fact_invalid` for a target that names nothing, or no target. */
export function revocationFact(input: RevocationInput): JsonObject {
  const targets = input.targets.map(({ scope, value, fromSeq }): JsonObject => {
    const normal = normalTarget(scope, value);
    if (normal === undefined) throw new SpineError("fact_invalid", `no ${scope} to revoke: ${value.slice(0, 100)}`);
    const target: JsonObject = { type: TYPES[scope], value: normal };
    return fromSeq === 0 ? target : { ...target, from_seq: fromSeq };
  });
  if (targets.length === 0 || targets.length > MAX_REVOCATION_TARGETS)
    throw new SpineError("fact_invalid", `${targets.length} targets`);
  return {
    schema: REVOCATION_SCHEMA,
    fact_id: input.factId,
    targets,
    reason: input.reason,
    issued_at: formatTime(input.issuedAt),
  };
}

/** The same in the name of `issuer`, for its recovery key to sign: `recoverySigningBytes` of the result. */
export function recoveryRevocationFact(input: RevocationInput, issuer: Issuer, recoveryKey: Uint8Array): JsonObject {
  return { ...revocationFact(input), recovery: { issuer, key: toHex(recoveryKey) } };
}

/** Adds the recovery key's signature, 64 bytes. Does not verify it. */
export function sealRecoveryRevocation(fact: JsonObject, signature: Uint8Array): JsonObject {
  return { ...fact, recovery: { ...(fact["recovery"] as JsonObject), signature: signatureText(signature) } };
}

/** A node's signed word on how many revocations it knows: shows others that some were withheld (rules 8). */
export interface RevocationSet {
  readonly count: number;
  /** `0x` and 64 hex digits (`revocation-set.ts`). */
  readonly root: string;
  readonly asOfMs: number;
}

export const REVOCATION_SET_SCHEMA = "aegis.spine.fact.revocation_set.v1";

/** `asOf` in whole seconds. */
export function revocationSetFact(factId: string, count: number, root: string, asOf: number): JsonObject {
  return { schema: REVOCATION_SET_SCHEMA, fact_id: factId, count, root, as_of: formatTime(asOf) };
}

/** Throws `fact_invalid`. */
export function readRevocationSet(fact: Json): RevocationSet {
  checkFact(fact);
  const object = factObject(fact);
  if (factKind(textField(object, "schema"))?.kind !== "revocation_set")
    throw new SpineError("fact_invalid", "the fact is no revocation set");
  const count = Number(object["count"]);
  if (!Number.isSafeInteger(count)) throw new SpineError("fact_invalid", "fact.count is too large");
  return { count, root: hashField(object, "root"), asOfMs: timeField(object, "as_of") };
}

/** Whether a set is older than `maxAgeMs`, or from so far in the future that its clock cannot be believed. */
export function isStaleSet(set: RevocationSet, now: number, maxAgeMs: number, futureMs: number = 600_000): boolean {
  return now - set.asOfMs > maxAgeMs || set.asOfMs - now > futureMs;
}
