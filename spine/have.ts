/**
 * What is held of one issuer's chain: disjoint ranges with holes, each edge carrying the hashes that join it to its
 * neighbours (rules 5). Pure; immutable values.
 */
import type { EnvelopeHash } from "./ports.ts";

/** Consecutive, linked envelopes `from..to`, both included. */
export interface HaveRange {
  readonly from: number;
  readonly to: number;
  /** What envelope `from` says of `from − 1`; null for a chain's first. */
  readonly prev: EnvelopeHash | null;
  /** Hash of envelope `to`. */
  readonly last: EnvelopeHash;
}

/** Seq numbers without hashes, both ends included. */
export interface Span {
  readonly from: number;
  readonly to: number;
}
