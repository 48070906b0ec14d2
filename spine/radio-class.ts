/**
 * What a fact is to a narrow link: how urgent, from which bitrate on it is sent at all, and its share of the air.
 * spec/spine.md section 16, rules 8 and 10. Called by `radio-schedule.ts` and the radio plane.
 */
import { type FactKind, factKind } from "./fact.ts";

/** Most urgent first. "run" holds everything unknown too. */
export const RADIO_CLASSES = [
  "revocation",
  "proof",
  "checkpoint",
  "incident",
  "policy_delta",
  "run",
  "node_attestation",
  "heartbeat",
] as const;
export type RadioClass = (typeof RADIO_CLASSES)[number];

/** A slower link does not carry the class, bits per second. */
export const DROP_BELOW_BPS: Readonly<Record<RadioClass, number>> = {
  revocation: 0,
  proof: 0,
  checkpoint: 0,
  incident: 10,
  policy_delta: 10,
  run: 20,
  node_attestation: 50,
  heartbeat: 100,
};

/** Shares of the air that is left beside revocations: checkpoints and proofs 30 %, incidents 25 %, the rest by weight. */
export const AIR_SHARES: Readonly<Record<Exclude<RadioClass, "revocation">, number>> = {
  proof: 0.1,
  checkpoint: 0.2,
  incident: 0.25,
  policy_delta: 0.18,
  run: 0.135,
  node_attestation: 0.09,
  heartbeat: 0.045,
};

const CLASS_OF_KIND: Readonly<Record<string, RadioClass>> = {
  revocation: "revocation",
  genesis: "proof",
  succession: "proof",
  rotation: "proof",
  fork_proof: "proof",
  split_view_proof: "proof",
  log_checkpoint: "checkpoint",
  revocation_set: "checkpoint",
  incident: "incident",
  policy_delta: "policy_delta",
  run: "run",
  node_attestation: "node_attestation",
  transport_binding: "node_attestation",
  heartbeat: "heartbeat",
};

/**
 * The class of a fact by its schema, of either prefix. Undefined for a revocation without authority: it is never sent
 * to radio (rules 8).
 */
export function radioClass(schema: string, authorised: boolean): RadioClass | undefined {
  const known: FactKind | undefined = factKind(schema);
  if (known === undefined || known.family === "sdr") return "run";
  const found: RadioClass = Object.hasOwn(CLASS_OF_KIND, known.kind)
    ? (CLASS_OF_KIND[known.kind] as RadioClass)
    : "run";
  return found === "revocation" && !authorised ? undefined : found;
}

/** Whether a link of this speed carries the class at all. */
export function carries(bitrate: number, radio: RadioClass): boolean {
  return bitrate >= DROP_BELOW_BPS[radio];
}
