/**
 * Who vouches for whom: `node_attestation` facts by other issuers than the node itself (rules 3). Read by `acting.ts`,
 * remembered by `authority.ts`, which says whether an attester's word counts.
 */
import { checkFact } from "./fact-shape.ts";
import type { Json } from "./lossless.ts";
import { factObject, issuerField } from "./nested-signature.ts";
import type { Issuer } from "./ports.ts";

export interface Attestation {
  readonly attester: Issuer;
  /** Of the envelope in the attester's chain. */
  readonly seq: number;
  readonly subject: Issuer;
}

/** What one attester may admit, and how many may attest one issuer: beyond it nothing is remembered. */
export const MAX_ATTESTED_PER_ATTESTER = 10_000;
const MAX_ATTESTERS_PER_ISSUER = 16;

/** Throws `fact_invalid` for a fact that names no issuer id. A node's word about itself is an attestation of nobody. */
export function readAttestation(attester: Issuer, seq: number, fact: Json): Attestation | undefined {
  checkFact(fact);
  const subject = issuerField(factObject(fact), "node_id");
  return subject === attester ? undefined : { attester, seq, subject };
}

/** Of each pair the lowest seq: the last to fall when the attester's chain is cut. */
export class Attestations {
  readonly #bySubject = new Map<Issuer, Attestation[]>();
  readonly #counts = new Map<Issuer, number>();
  dropped: number = 0;

  /** True when it says something new. */
  add(attestation: Attestation): boolean {
    const { attester, seq, subject } = attestation;
    const known = this.#bySubject.get(subject) ?? [];
    const at = known.findIndex((one) => one.attester === attester);
    if (at >= 0) {
      if ((known[at] as Attestation).seq <= seq) return false;
      known[at] = attestation;
      return true;
    }
    const count = this.#counts.get(attester) ?? 0;
    if (count >= MAX_ATTESTED_PER_ATTESTER || known.length >= MAX_ATTESTERS_PER_ISSUER) {
      this.dropped++;
      return false;
    }
    this.#counts.set(attester, count + 1);
    this.#bySubject.set(subject, [...known, attestation]);
    return true;
  }

  of(subject: Issuer): readonly Attestation[] {
    return this.#bySubject.get(subject) ?? [];
  }
}
