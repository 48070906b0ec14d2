/**
 * Fact kinds: what a fact's schema name means under any prefix, how urgent it is, and whether it acts on its own.
 * spec/spine.md sections 1 and 16.1, rules 5. The shapes of typed facts stand in `fact-shape.ts`.
 */

export type FactFamily = "spine" | "marketplace" | "sdr" | "clawdstrike";

export interface FactKind {
  readonly family: FactFamily;
  /** Such as "revocation"; the two prefixes and, for revocations, both families mean the same. */
  readonly kind: string;
  /** 1 or more. */
  readonly version: number;
}

/** 1 is most urgent, 7 least. */
export type Tier = 1 | 2 | 3 | 4 | 5 | 6 | 7;

const SCHEMA =
  /^(?:(?:aegis|clawdstrike)\.(?:(spine|sdr)\.fact|(marketplace))|(clawdstrike))\.([a-z][a-z0-9_]*)\.v([1-9][0-9]{0,5})$/;
/** Kinds that stand directly under `clawdstrike.`, without a family. */
const BARE_KINDS: ReadonlySet<string> = new Set(["run_receipt"]);

/** The kind a schema names, or undefined for a schema outside the known families. */
export function factKind(schema: string): FactKind | undefined {
  const match = SCHEMA.exec(schema);
  if (match === null) return undefined;
  const [, fact, marketplace, bare, kind, version] = match;
  if (bare !== undefined && !BARE_KINDS.has(kind as string)) return undefined;
  const family = (fact ?? marketplace ?? bare) as FactFamily;
  return { family, kind: kind as string, version: Number(version) };
}

/** Tiers of kinds; all others, and unknown schemas, are 6: telemetry must not outrun what nodes act on. */
const TIERS: Readonly<Record<string, Tier>> = {
  revocation: 1,
  revocation_set: 2,
  genesis: 2,
  succession: 2,
  rotation: 2,
  fork_proof: 2,
  split_view_proof: 2,
  log_checkpoint: 2,
  incident: 3,
  policy_delta: 4,
  run: 5,
  node_attestation: 6,
  heartbeat: 7,
};
const UNKNOWN_TIER: Tier = 6;

/** The urgency of a fact by its schema. Order only: it gives no authority (rules 8). */
export function factTier(schema: string): Tier {
  const known: FactKind | undefined = factKind(schema);
  if (known === undefined || known.family === "sdr" || !Object.hasOwn(TIERS, known.kind)) return UNKNOWN_TIER;
  return TIERS[known.kind] as Tier;
}

/** Facts that take effect or travel without their neighbours, and so need their own signature check (rules 5). */
const ACTS_ALONE: ReadonlySet<string> = new Set([
  "revocation",
  "revocation_set",
  "policy_delta",
  "node_attestation",
  "policy_attestation",
  "review_attestation",
  "transport_binding",
  "log_checkpoint",
  "incident",
  "genesis",
  "succession",
  "rotation",
]);

/** True when an envelope with this fact schema must have its own signature verified before commit. */
export function actsAlone(schema: string): boolean {
  const known: FactKind | undefined = factKind(schema);
  return known !== undefined && known.family !== "sdr" && ACTS_ALONE.has(known.kind);
}
