/** What subscribers hear of who may speak and who may revoke, in the JSON of `GET /v1/events`. For `daemon.ts`. */
import type { Authority, EnvelopeHash, Issuer, MeshEvent, RevocationScope, Right } from "../../spine/index.ts";
import type { TrustState } from "./trust-keeper.ts";

export interface RevokedTarget {
  readonly scope: RevocationScope;
  readonly value: string;
  /** Of a node or key: nothing that it signed at or above this seq counts; 0 for tokens and bundles. */
  readonly from_seq: number;
}

/** Told once the fact behind it is on disk. */
export type AuthorityEvent = { readonly type: "authority" } & (
  | {
      readonly cause: "revocation";
      /** In whose name. */
      readonly issuer: Issuer;
      readonly envelope_hash: EnvelopeHash;
      /** By what right each target is revoked, or will be when a quorum or a genesis is there. */
      readonly rights: readonly Right[];
      readonly targets: readonly RevokedTarget[];
    }
  | {
      readonly cause: "handover";
      readonly issuer: Issuer;
      readonly envelope_hash: EnvelopeHash;
      /** Who continues; null while its own keys contradict each other. */
      readonly successor: Issuer | null;
      /** Nothing that the old key signed at or above this seq counts; null when the handover is not believed. */
      readonly revoked_from: number | null;
    }
  /** An issuer signed two histories: grants at or above the seq count no more. */
  | { readonly cause: "freeze"; readonly issuer: Issuer; readonly frozen_at: number }
  /** The trust in effect changed, or what is wrong with the trust file or waits in it did. */
  | {
      readonly cause: "trust";
      /** What the file would loosen: without effect until confirmed. */
      readonly pending: readonly string[];
      readonly problem: string | null;
    }
);

/** Undefined for what changes nobody's standing. */
export function factEvent(event: MeshEvent, authority: Authority): AuthorityEvent | undefined {
  if (event.type === "fork") {
    const { issuer, seq } = event;
    return { type: "authority", cause: "freeze", issuer, frozen_at: seq };
  }
  if (event.type !== "authority" || event.issuer === null || event.hash === null) return undefined;
  const about = { type: "authority", issuer: event.issuer, envelope_hash: event.hash } as const;
  if (event.cause === "handover") {
    const { successor, revokedFrom } = authority.standing(event.issuer);
    return { ...about, cause: "handover", successor, revoked_from: revokedFrom };
  }
  if (event.cause !== "revocation" || event.revocation === undefined) return undefined;
  const { rights, targets } = event.revocation;
  const named = targets.map(({ scope, value, fromSeq }) => ({ scope, value, from_seq: fromSeq }));
  return { ...about, cause: "revocation", rights, targets: named };
}

export function trustEvent({ pending, problem }: TrustState): AuthorityEvent {
  return { type: "authority", cause: "trust", pending, problem: problem?.message ?? null };
}
