/** Signed head announcements: an issuer's statement of the hash at its newest seq (spec/spine.md section 8.1, rules 4). */
import type { EnvelopeHash, Issuer } from "./ports.ts";

export interface Head {
  readonly issuer: Issuer;
  readonly seq: number;
  readonly hash: EnvelopeHash;
  /** Whole seconds since the Unix epoch; the wire spells it `YYYY-MM-DDThh:mm:ssZ`. */
  readonly sentAt: number;
  /** 64 bytes over the canonical JSON of the announcement without `signature`. */
  readonly signature: Uint8Array;
}
