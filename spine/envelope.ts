/** Envelopes: draft → seal → open. Wire format: spec/spine.md section 4; limits and one spelling: rules 1. */
import type { EnvelopeHash, Issuer, Millis } from "./ports.ts";

/** Largest canonical JSON text of a whole envelope, bytes. */
export const MAX_ENVELOPE_BYTES = 65_536;

/**
 * An envelope whose every field was checked and whose hash was recomputed. Whether its *signature* was verified is
 * said by whoever holds it (`EnvelopeState`), never by this type.
 */
export interface Envelope {
  /** Lower case, even when the signing bytes spell it otherwise. */
  readonly issuer: Issuer;
  /** 0 to 2^53 − 1. */
  readonly seq: number;
  readonly prev: EnvelopeHash | null;
  /** As signed: RFC 3339. */
  readonly issuedAt: string;
  readonly issuedAtMs: Millis;
  /** `fact.schema`, or "" when the fact names none. */
  readonly factSchema: string;
  readonly hash: EnvelopeHash;
  /** Canonical JSON of the envelope without its top-level `envelope_hash` and `signature`. */
  readonly signingBytes: Uint8Array;
  /** 64 bytes. */
  readonly signature: Uint8Array;
}
