/** What `spine status`, `spine guard status` and `/v1/guard` show of the guards. */

export interface GuardStatus {
  readonly mode: string;
  /** 64 hex digits, or null when no policy is in force and everything is denied. */
  readonly policy_hash: string | null;
  readonly policy_state: string;
  /** Hashes of the policies that all have to allow; the operator's first. */
  readonly policies: readonly string[];
  readonly decisions: number;
  readonly allowed: number;
  readonly warned: number;
  readonly denied: number;
  /** Denied because the answer could not be recorded in time, or because too many were asked at once. */
  readonly unrecorded: number;
  readonly overloaded: number;
  /** Requests that could not be judged. */
  readonly unusable: number;
  readonly events_dropped: number;
  /** Why nothing may pass although there is a policy, such as a revoked bundle with none before it; or null. */
  readonly closed: string | null;
  /** Deltas and bundles of curators that are kept. */
  readonly curated: readonly {
    readonly curator: string;
    readonly seq: number;
    readonly kind: string;
    readonly status: string;
    readonly envelope_hash: string;
  }[];
  /** Policies that loosen and wait for `spine guard approve HASH`. */
  readonly staged: readonly {
    readonly policy_hash: string;
    readonly from: string;
    readonly loosens: readonly string[];
  }[];
  /** What is wrong with the newest policy file, when it is not the one in force. */
  readonly problems: readonly string[];
  /** Age of what this node knows of revocations, or null. */
  readonly revocations_age_ms: number | null;
  readonly warnings: readonly string[];
}
