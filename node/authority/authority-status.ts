/** What operators see of authority, in the JSON of the API: own standing, the revoked set, the trust file. For `local-node.ts`. */
import {
  type Authority,
  GENESIS_SEQ,
  type Issuer,
  openSigningBytes,
  type RevocationScope,
  readActing,
} from "../../spine/index.ts";
import type { Store } from "../../storage/index.ts";
import { sha256Hex } from "../hash.ts";
import type { TrustState } from "./trust-keeper.ts";

export interface AuthorityStatus {
  /** Of this node's own key. */
  readonly revoked_from: number | null;
  readonly frozen_at: number | null;
  readonly successor: Issuer | null;
  /** What seq 1 commits to; null in a chain that began without. */
  readonly recovery_key_hash: string | null;
  readonly revoked: number;
  /** Root of the set of what is revoked here (`revocation_set.v1`). */
  readonly revoked_root: string;
  /** Seconds since another issuer of the trust file stated the same set; null when none did. */
  readonly set_age_seconds: number | null;
  /** Issuers whose newest statement names more revocations than are known here: some may be withheld. */
  readonly set_behind: readonly Issuer[];
  readonly trust: { readonly pending: readonly string[]; readonly problem: string | null };
}

/** By what right this node may revoke something, and who else may. */
export interface RevocationRight {
  readonly rights: readonly string[];
  readonly revokers: readonly { readonly issuer: Issuer; readonly quorum: number }[];
}

export function rightToRevoke(
  authority: Authority,
  own: Issuer,
  scope: RevocationScope,
  value: string,
): RevocationRight {
  const target = { scope, value, fromSeq: 0 };
  const seq = Number.MAX_SAFE_INTEGER;
  const rights = authority.rightsOf({ signer: own, seq: seq - 1, recovery: null, targets: [target] });
  return { rights, revokers: authority.revokersOf(scope) };
}

/** The recovery key's commitment in an issuer's stored genesis, or null. */
export async function recoveryHashOf(store: Store, issuer: Issuer): Promise<string | null> {
  const stored = await store.at(issuer, GENESIS_SEQ);
  if (stored === undefined) return null;
  const acting = readActing(openSigningBytes(stored.signingBytes, stored.signature, sha256Hex), sha256Hex);
  return acting?.fact.type === "genesis" ? acting.fact.genesis.recovery : null;
}

export function trustStatus({ pending, problem }: TrustState): AuthorityStatus["trust"] {
  return { pending, problem: problem?.message ?? null };
}
