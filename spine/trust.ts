/** The trust bundle: whom this node believes as log, witness, signer or issuer. spec/spine.md section 12. */
import { SpineError } from "./errors.ts";
import { isIssuer } from "./identity.ts";
import { isJsonObject, type Json, type JsonObject, parseJson } from "./lossless.ts";

/** An empty list allows everyone, except under the strict profile, which refuses empty log and witness lists. */
export interface TrustBundle {
  readonly schema: string | null;
  readonly allowedLogIds: readonly string[];
  readonly allowedWitnessNodeIds: readonly string[];
  readonly allowedReceiptSignerNodeIds: readonly string[];
  readonly allowedKernelLoaderSignerNodeIds: readonly string[];
  readonly allowedEnvelopeIssuers: readonly string[];
  readonly requiredReceiptEnforcementTiers: readonly string[];
  readonly requireKernelLoaderSignatures: boolean;
  readonly requireAttestedIssuers: boolean;
  /** 1 or more. */
  readonly witnessQuorum: number;
}

/** "compatible" takes what upstream takes; "strict" also refuses empty log and witness lists, duplicates and non-ids. */
export type TrustProfile = "compatible" | "strict";

const FIELDS: ReadonlySet<string> = new Set([
  "schema",
  "allowed_log_ids",
  "allowed_witness_node_ids",
  "allowed_receipt_signer_node_ids",
  "allowed_kernel_loader_signer_node_ids",
  "allowed_envelope_issuers",
  "required_receipt_enforcement_tiers",
  "require_kernel_loader_signatures",
  "require_attested_issuers",
  "witness_quorum",
]);
const MAX_QUORUM = 2 ** 32;

function refuse(message: string): never {
  throw new SpineError("config_invalid", `trust bundle: ${message}`);
}

function list(object: JsonObject, key: string): readonly string[] {
  const value: Json | undefined = object[key];
  if (value === undefined) return [];
  if (!Array.isArray(value) || !value.every((item) => typeof item === "string"))
    refuse(`${key} is not a list of strings`);
  return value as readonly string[];
}

function flag(object: JsonObject, key: string): boolean {
  const value: Json | undefined = object[key];
  if (value === undefined) return false;
  if (typeof value !== "boolean") refuse(`${key} is neither true nor false`);
  return value;
}

function read(object: JsonObject): TrustBundle {
  const unknown: string | undefined = Object.keys(object).find((key) => !FIELDS.has(key));
  if (unknown !== undefined) refuse(`unknown field ${JSON.stringify(unknown)}`);
  const schema: Json = object["schema"] ?? null;
  if (schema !== null && typeof schema !== "string") refuse("schema is neither null nor a string");
  const quorum: Json = object["witness_quorum"] === undefined ? 1 : (object["witness_quorum"] as Json);
  if (typeof quorum !== "number" || !Number.isInteger(quorum) || quorum < 0 || quorum >= MAX_QUORUM)
    refuse("witness_quorum is not an unsigned integer");
  return {
    schema,
    allowedLogIds: list(object, "allowed_log_ids"),
    allowedWitnessNodeIds: list(object, "allowed_witness_node_ids"),
    allowedReceiptSignerNodeIds: list(object, "allowed_receipt_signer_node_ids"),
    allowedKernelLoaderSignerNodeIds: list(object, "allowed_kernel_loader_signer_node_ids"),
    allowedEnvelopeIssuers: list(object, "allowed_envelope_issuers"),
    requiredReceiptEnforcementTiers: list(object, "required_receipt_enforcement_tiers"),
    requireKernelLoaderSignatures: flag(object, "require_kernel_loader_signatures"),
    requireAttestedIssuers: flag(object, "require_attested_issuers"),
    witnessQuorum: quorum,
  };
}

function validate(bundle: TrustBundle): void {
  const witnesses = bundle.allowedWitnessNodeIds.length;
  if (bundle.witnessQuorum < 1) refuse("witness_quorum must be >= 1");
  if (bundle.witnessQuorum > 1 && witnesses === 0) refuse("witness_quorum > 1 requires allowed_witness_node_ids");
  if (witnesses > 0 && bundle.witnessQuorum > witnesses)
    refuse(`witness_quorum ${bundle.witnessQuorum} exceeds the ${witnesses} allowed_witness_node_ids`);
  if (bundle.requireKernelLoaderSignatures && bundle.allowedKernelLoaderSignerNodeIds.length === 0)
    refuse("require_kernel_loader_signatures requires allowed_kernel_loader_signer_node_ids");
  if (bundle.requireAttestedIssuers && bundle.allowedReceiptSignerNodeIds.length === 0)
    refuse("require_attested_issuers requires allowed_receipt_signer_node_ids");
}

function validateStrictly(bundle: TrustBundle): void {
  if (bundle.allowedLogIds.length === 0) refuse("allowed_log_ids is empty, which would allow every log");
  if (bundle.allowedWitnessNodeIds.length === 0)
    refuse("allowed_witness_node_ids is empty, which would allow every witness");
  const lists: Readonly<Record<string, readonly string[]>> = {
    allowed_log_ids: bundle.allowedLogIds,
    allowed_witness_node_ids: bundle.allowedWitnessNodeIds,
    allowed_receipt_signer_node_ids: bundle.allowedReceiptSignerNodeIds,
    allowed_kernel_loader_signer_node_ids: bundle.allowedKernelLoaderSignerNodeIds,
    allowed_envelope_issuers: bundle.allowedEnvelopeIssuers,
  };
  for (const [key, ids] of Object.entries(lists)) {
    if (new Set(ids).size !== ids.length) refuse(`${key} names someone twice`);
    const bad: string | undefined = ids.find((id) => !isIssuer(id));
    if (bad !== undefined) refuse(`${key}: ${JSON.stringify(bad)} is no id of the form aegis:ed25519:<64 hex digits>`);
  }
}

/** Reads and validates a bundle file. Throws the json codes or `config_invalid`. */
export function parseTrustBundle(text: string | Uint8Array, profile: TrustProfile = "compatible"): TrustBundle {
  const value: Json = parseJson(text);
  if (!isJsonObject(value)) refuse("not a JSON object");
  const bundle: TrustBundle = read(value);
  validate(bundle);
  if (profile === "strict") validateStrictly(bundle);
  return bundle;
}

function allows(ids: readonly string[], id: string): boolean {
  return ids.length === 0 || ids.includes(id);
}

/** The probes compare exactly, except envelope issuers, whose hex is compared in lower case. */
export function allowsLog(bundle: TrustBundle, id: string): boolean {
  return allows(bundle.allowedLogIds, id);
}
export function allowsWitness(bundle: TrustBundle, id: string): boolean {
  return allows(bundle.allowedWitnessNodeIds, id);
}
export function allowsReceiptSigner(bundle: TrustBundle, id: string): boolean {
  return allows(bundle.allowedReceiptSignerNodeIds, id);
}
export function allowsKernelLoader(bundle: TrustBundle, id: string): boolean {
  return allows(bundle.allowedKernelLoaderSignerNodeIds, id);
}
export function allowsEnvelopeIssuer(bundle: TrustBundle, id: string): boolean {
  return allows(
    bundle.allowedEnvelopeIssuers.map((issuer) => issuer.toLowerCase()),
    id.toLowerCase(),
  );
}
/** The list of tiers is a set, not a minimum. */
export function allowsTier(bundle: TrustBundle, tier: string): boolean {
  return allows(bundle.requiredReceiptEnforcementTiers, tier);
}
