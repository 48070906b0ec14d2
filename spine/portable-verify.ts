/**
 * Judges a portable proof offline against a trust bundle: pure, so that it runs in `spine verify` and in a browser alike.
 * Says what was proven, by whom, at which tier, and what was not.
 */
import { fromHex } from "./bytes.ts";
import { type CheckpointStatement, checkpointHashText, readCheckpointFact, validWitnesses } from "./checkpoint.ts";
import { claimOf, factOf } from "./envelope.ts";
import { SpineError } from "./errors.ts";
import { isJsonObject, type Json } from "./lossless.ts";
import { TREE_HASH_BYTES, type TreeHasher } from "./merkle.ts";
import { verifyInclusion } from "./merkle-verify.ts";
import type { PortableProof, UnjudgedPart } from "./portable.ts";
import type { Issuer, Sha256, Verifier } from "./ports.ts";
import {
  allowsEnvelopeIssuer,
  allowsLog,
  allowsReceiptSigner,
  allowsTier,
  allowsWitness,
  type TrustBundle,
} from "./trust.ts";

/** Weakest first. */
export const ENFORCEMENT_TIERS = [
  "best_effort",
  "daemon_enforced",
  "linux_kernel_enforced",
  "linux_kernel_attested",
] as const;
export type EnforcementTier = (typeof ENFORCEMENT_TIERS)[number];

/** A statement that was, or was not, proven. */
export type ProofClaim =
  /** The issuer signed exactly these bytes. */
  | "envelope_signed"
  /** The trust bundle names the issuer. */
  | "issuer_allowed"
  /** The issuer's key was attested or is a listed receipt signer. */
  | "issuer_attested"
  /** The envelope is a leaf of the tree of the checkpoint. */
  | "included"
  /** The log signed the checkpoint. */
  | "checkpoint_signed"
  /** The trust bundle names the log. */
  | "log_allowed"
  /** Enough distinct witnesses co-signed. */
  | "witness_quorum"
  /** The trust bundle names the witnesses counted. */
  | "witnesses_allowed"
  /** The tier the fact claims. */
  | "tier"
  /** Whether the envelope was revoked or its issuer forked since: only a node on the mesh can know. */
  | "not_revoked"
  | UnjudgedPart;

export interface PortableVerdict {
  readonly envelopeHash: string;
  readonly issuer: Issuer;
  readonly seq: number;
  readonly logIndex: number;
  readonly checkpoint: CheckpointStatement;
  readonly checkpointHash: string;
  /** Distinct allowed witnesses whose co-signatures hold. */
  readonly witnesses: readonly Issuer[];
  /** Witness lines that counted for nothing: wrong, repeated or not allowed. */
  readonly ignoredLines: number;
  /** What the fact says of itself, and the highest tier shown here; null where the fact claims none. */
  readonly tier: { readonly claimed: EnforcementTier; readonly achieved: EnforcementTier } | null;
  readonly proven: readonly ProofClaim[];
  readonly notProven: readonly ProofClaim[];
}

export interface PortableTrust {
  readonly bundle: TrustBundle;
  /** Issuers whose node attestation the caller verified. */
  readonly attestedIssuers?: ReadonlySet<Issuer>;
  /** `0x` hashes of policies the caller knows and trusts. */
  readonly policyHashes?: ReadonlySet<string>;
}

/**
 * Resolves when everything the trust bundle demands is proven. Rejects with `signature_invalid`, `issuer_not_admitted`,
 * `checkpoint_field`, `log_not_allowed`, `portable_proof` (parts that contradict each other), `proof_*`,
 * `quorum_missing` or `tier_not_proven`.
 */
export async function verifyPortableProof(
  sha256: Sha256,
  hasher: TreeHasher,
  proof: PortableProof,
  trust: PortableTrust,
  verifier: Verifier,
): Promise<PortableVerdict> {
  const { envelope, checkpoint } = proof;
  const { bundle } = trust;
  const [isEnvelopeSigned, isCheckpointSigned] = await verifier.verify([claimOf(envelope), claimOf(checkpoint)]);
  if (isEnvelopeSigned !== true) throw new SpineError("signature_invalid", "the envelope's signature is wrong");
  if (isCheckpointSigned !== true) throw new SpineError("signature_invalid", "the checkpoint's signature is wrong");
  const isAttested = isAttestedIssuer(trust, envelope.issuer);
  if (!allowsEnvelopeIssuer(bundle, envelope.issuer) || (bundle.requireAttestedIssuers && !isAttested)) {
    throw new SpineError("issuer_not_admitted", `the trust bundle does not admit ${envelope.issuer}`);
  }
  const { statement, witnesses: lines } = readCheckpointFact(factOf(checkpoint));
  if (statement.logId !== checkpoint.issuer) throw new SpineError("portable_proof", "the checkpoint is not by its log");
  if (!allowsLog(bundle, statement.logId)) throw new SpineError("log_not_allowed", statement.logId);
  if (statement.size !== proof.size || statement.seq !== proof.checkpointSeq) {
    throw new SpineError("portable_proof", "the inclusion proof is for another checkpoint");
  }
  const leafHash = hasher.leaf(fromHex(envelope.hash.slice(2), TREE_HASH_BYTES));
  verifyInclusion(hasher, {
    leafHash,
    index: proof.index,
    size: statement.size,
    path: proof.path,
    root: statement.root,
  });
  const allLines = [...lines, ...proof.lateWitnesses];
  const candidates = allLines.filter((line) => line.witness !== statement.logId && allowsWitness(bundle, line.witness));
  const witnesses = await validWitnesses(sha256, statement, candidates, verifier);
  if (witnesses.length < bundle.witnessQuorum) {
    throw new SpineError("quorum_missing", `${witnesses.length} of ${bundle.witnessQuorum} witnesses co-signed`);
  }
  const tier = judgeTier(factOf(envelope), trust, envelope.issuer);
  if (tier !== null && !allowsTier(bundle, tier.achieved)) {
    throw new SpineError("tier_not_proven", `${tier.achieved} is shown, ${tier.claimed} claimed`);
  }
  const judged: Record<Exclude<ProofClaim, UnjudgedPart>, boolean> = {
    envelope_signed: true,
    issuer_allowed: bundle.allowedEnvelopeIssuers.length > 0,
    issuer_attested: isAttested,
    included: true,
    checkpoint_signed: true,
    log_allowed: bundle.allowedLogIds.length > 0,
    witness_quorum: bundle.witnessQuorum > 0,
    witnesses_allowed: bundle.allowedWitnessNodeIds.length > 0,
    tier: tier !== null && tier.achieved === tier.claimed,
    not_revoked: false,
  };
  const claims = Object.keys(judged) as (keyof typeof judged)[];
  return {
    envelopeHash: envelope.hash,
    issuer: envelope.issuer,
    seq: envelope.seq,
    logIndex: proof.index,
    checkpoint: statement,
    checkpointHash: checkpointHashText(sha256, statement),
    witnesses,
    ignoredLines: allLines.length - witnesses.length,
    tier,
    proven: claims.filter((claim) => judged[claim]),
    notProven: [...claims.filter((claim) => !judged[claim]), ...(Object.keys(proof.unjudged) as UnjudgedPart[])],
  };
}

function isAttestedIssuer(trust: PortableTrust, issuer: Issuer): boolean {
  const { bundle, attestedIssuers } = trust;
  return bundle.allowedReceiptSignerNodeIds.includes(issuer) || (attestedIssuers?.has(issuer) ?? false);
}

/**
 * The tier a fact claims against what one envelope can show: best effort by a signer the bundle allows; daemon enforced
 * also needs an attested signer and a known policy. Kernel tiers need kernel evidence, which this format does not carry.
 */
function judgeTier(fact: Json, trust: PortableTrust, issuer: Issuer): PortableVerdict["tier"] {
  if (!isJsonObject(fact)) return null;
  const named = fact["tier"] ?? fact["enforcement_tier"];
  const claimed = ENFORCEMENT_TIERS.find((tier) => tier === named);
  if (claimed === undefined) return null;
  if (!allowsReceiptSigner(trust.bundle, issuer)) throw new SpineError("issuer_not_admitted", "not a receipt signer");
  const policy = fact["policy_hash"];
  const isDaemon =
    claimed !== "best_effort" &&
    isAttestedIssuer(trust, issuer) &&
    typeof policy === "string" &&
    (trust.policyHashes?.has(policy) ?? false);
  return { claimed, achieved: isDaemon ? "daemon_enforced" : "best_effort" };
}
