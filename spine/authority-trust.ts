/** Whose word counts on this node: the operator's choice, read from the trust file (rules 8). Used by `authority.ts`. */
import { SpineError } from "./errors.ts";
import type { KeyCommitment } from "./genesis.ts";
import type { Issuer } from "./ports.ts";
import type { RevocationScope } from "./revocation.ts";

export interface RevokerTrust {
  readonly scopes: ReadonlySet<RevocationScope>;
  /** Distinct revokers, this one included, that must name a target before this one's word counts. */
  readonly quorum: number;
}

export interface AuthorityTrust {
  readonly revokers: ReadonlyMap<Issuer, RevokerTrust>;
  readonly curators: ReadonlySet<Issuer>;
  readonly tokenIssuers: ReadonlySet<Issuer>;
  /** Recovery keys known by other means than the issuer's chain: the way out when seq 1 itself is contested. */
  readonly recoveryPins: ReadonlyMap<Issuer, KeyCommitment>;
  /** Issuers whose attestations admit others. */
  readonly attesters: ReadonlySet<Issuer>;
  /** Everybody the trust file names: admitted by that alone, for as long as it does. */
  readonly named: ReadonlySet<Issuer>;
}

export const MAX_REVOKERS = 64;

export const NO_TRUST: AuthorityTrust = {
  revokers: new Map(),
  curators: new Set(),
  tokenIssuers: new Set(),
  recoveryPins: new Map(),
  attesters: new Set(),
  named: new Set(),
};

/** Throws `config_invalid` for a quorum that is no count or more revokers than can be weighed against each other. */
export function checkAuthorityTrust(trust: AuthorityTrust): AuthorityTrust {
  if (trust.revokers.size > MAX_REVOKERS)
    throw new SpineError("config_invalid", `${trust.revokers.size} revokers, at most ${MAX_REVOKERS}`);
  for (const [issuer, { quorum }] of trust.revokers)
    if (!Number.isSafeInteger(quorum) || quorum < 1)
      throw new SpineError("config_invalid", `the quorum of revoker ${issuer} is ${quorum}`);
  return trust;
}
