/**
 * What goes into the core and what comes out: `handle(input, now) → effects`. A driver performs effects in the order
 * given and feeds results back as inputs; a job or commit is answered exactly once.
 */
import type { Right } from "./authority.ts";
import type { AuthorityTrust } from "./authority-trust.ts";
import type { Admission, Commit, EnvelopeState, RowTable, Run } from "./commit.ts";
import type { About } from "./disclosure.ts";
import type { Envelope } from "./envelope.ts";
import type { ErrorCode } from "./errors.ts";
import type { Tier } from "./fact.ts";
import type { Frame } from "./frame.ts";
import type { GossipMessage } from "./gossip.ts";
import type { Span } from "./have.ts";
import type { LinkId, LinkInfo, Verdict } from "./link.ts";
import type { ChainPoint, OwnChainPhase } from "./own-chain.ts";
import type { Claim, EnvelopeHash, Issuer, Millis } from "./ports.ts";
import type { PrunePlan } from "./prune.ts";
import type { RevocationTarget } from "./revocation.ts";

/** A stored envelope as the core asks for it. */
export interface Found {
  readonly hash: EnvelopeHash;
  readonly signingBytes: Uint8Array;
  readonly signature: Uint8Array;
  readonly state: EnvelopeState;
}

export interface FoundRow {
  readonly key: string;
  readonly value: Uint8Array;
}

/** A peer over a wire without links, by the names of the plane and of the peer there. */
export interface PacketPeer {
  readonly plane: string;
  readonly peer: string;
}

export type Input =
  /** Own envelopes, drafted and signed by the single writer, continuing the own chain. */
  | { readonly type: "local"; readonly envelopes: readonly Envelope[] }
  /** Envelopes from a file or another trusted hand, in any order; answered by an `offered` effect. */
  | {
      readonly type: "offer";
      readonly token: number;
      readonly envelopes: readonly Envelope[];
      /** Where they were heard, if on a plane: a link or "PLANE:NAME". */
      readonly via?: LinkId;
    }
  | { readonly type: "link-up"; readonly link: LinkId; readonly info: LinkInfo }
  | { readonly type: "link-down"; readonly link: LinkId }
  | {
      readonly type: "frame";
      readonly link: LinkId;
      readonly frame: Uint8Array;
      /** `frame` decoded, by a driver that has decoded the same bytes before: the simulator. */
      readonly opened?: Frame;
    }
  | {
      readonly type: "gossip";
      readonly link: LinkId;
      readonly id: string;
      readonly data: Uint8Array;
      /** `data` opened, by a driver that has opened the same bytes for another node: the simulator. */
      readonly opened?: GossipMessage;
    }
  | { readonly type: "verified"; readonly job: number; readonly verdicts: readonly boolean[] }
  | { readonly type: "signed"; readonly job: number; readonly signature: Uint8Array }
  | { readonly type: "found"; readonly job: number; readonly envelopes: readonly (Found | undefined)[] }
  | { readonly type: "committed"; readonly id: number }
  | { readonly type: "rows-found"; readonly job: number; readonly rows: readonly FoundRow[] }
  /** The operator's trust changed: everything is judged anew by it. */
  | { readonly type: "trust"; readonly trust: AuthorityTrust }
  /** The driver has sent, or given up, what a `serve` or `serve-hashes` effect asked for. */
  | { readonly type: "served"; readonly link: LinkId }
  /** The operator's word on an issuer. */
  | { readonly type: "admit"; readonly issuer: Issuer; readonly admission: Admission }
  /** Idle verification: the stored signature of a chain-proven envelope does not verify. */
  | { readonly type: "unsigned"; readonly issuer: Issuer; readonly seq: number; readonly hash: EnvelopeHash }
  /** The planes run: peers may be asked for the own chain, if that is uncertain. */
  | { readonly type: "ask-own-chain" }
  /** A head announcement heard on no link; what does not open or verify is a `refused` event. */
  | { readonly type: "head"; readonly data: Uint8Array }
  /** What may be told of these issuers has changed: every peer hears of it. */
  | { readonly type: "disclose"; readonly issuers: readonly Issuer[] }
  /** A message of this node's log or witness to a peer; one whose link is gone is dropped. */
  | {
      readonly type: "attest";
      readonly link: LinkId;
      readonly body: Uint8Array;
      /** What it speaks of: not sent where any of it must not be told. */
      readonly about?: readonly About[];
      readonly tier?: Tier;
    }
  /** Whether there is room on the disk for what others issued. */
  | { readonly type: "room"; readonly foreign: boolean }
  /** Retention: forgets what lies below, all but what is kept. Ignored if the issuer changed since it was planned. */
  | { readonly type: "prune"; readonly issuer: Issuer; readonly plan: PrunePlan }
  /** A peer that is reached by packets alone: say what is held (null), or answer what it said (`packet-catch-up.ts`). */
  | ({ readonly type: "compare"; readonly statement: Uint8Array | null } & PacketPeer)
  /** Asks connected peers again what they hold. */
  | { readonly type: "refresh" }
  | { readonly type: "wake" };

/** What happened to one envelope of an `offer`. */
export type Outcome = "added" | "duplicate" | ErrorCode;

export type Effect =
  /** Ask the Verifier port; answer with `verified`. No further frame of `link` is handed in before that. */
  | { readonly type: "verify"; readonly job: number; readonly claims: readonly Claim[]; readonly link: LinkId | null }
  /** Sign with the node's issuer key; answer with `signed`. */
  | { readonly type: "sign"; readonly job: number; readonly message: Uint8Array }
  /** Read stored envelopes; answer with `found`, one per seq. */
  | { readonly type: "lookup"; readonly job: number; readonly issuer: Issuer; readonly seqs: readonly number[] }
  /** Read stored rows whose keys begin with `prefix`; answer with `rows-found`. */
  | { readonly type: "rows"; readonly job: number; readonly table: RowTable; readonly prefix: string }
  /** Atomic, on disk, in order; answer with `committed`. What depends on it is only sent after that answer. */
  | { readonly type: "commit"; readonly id: number; readonly commit: Commit }
  | { readonly type: "send"; readonly link: LinkId; readonly frame: Uint8Array; readonly tier: Tier }
  /** Of one envelope or head, which the disclosure of each plane must allow. */
  | {
      readonly type: "broadcast";
      readonly data: Uint8Array;
      readonly issuer: Issuer;
      readonly seq: number;
      readonly tier: Tier;
    }
  /** An urgent envelope was stored: planes that store and forward leave it for peers who are away. May repeat. */
  | { readonly type: "urgent"; readonly envelope: Envelope; readonly tier: Tier }
  /** What this node holds, for a peer that is reached by packets alone. */
  | ({ readonly type: "statement"; readonly body: Uint8Array } & PacketPeer)
  /** An envelope that such a peer lacks. */
  | ({ readonly type: "hand"; readonly envelope: Envelope; readonly tier: Tier } & PacketPeer)
  | { readonly type: "judge"; readonly link: LinkId; readonly id: string; readonly verdict: Verdict }
  /** Answer a range request from the store: `offer`, segments, `end`; then the `served` input. */
  | {
      readonly type: "serve";
      readonly link: LinkId;
      readonly request: number;
      readonly issuer: Issuer;
      readonly from: number;
      readonly to: number;
      readonly maxItems: number;
      readonly maxBytes: number;
      /** Largest frame the peer takes. */
      readonly frameBytes: number;
      /** What of the range may be told; absent = all. */
      readonly spans?: readonly Span[];
    }
  | {
      readonly type: "serve-hashes";
      readonly link: LinkId;
      readonly request: number;
      readonly issuer: Issuer;
      readonly seqs: readonly number[];
    }
  /** A peer's message to this node's log or witness: not decoded, its sender's issuer proven. */
  | { readonly type: "attest"; readonly link: LinkId; readonly issuer: Issuer; readonly body: Uint8Array }
  | { readonly type: "penalise"; readonly link: LinkId; readonly code: ErrorCode }
  | { readonly type: "close"; readonly link: LinkId; readonly code: ErrorCode }
  | { readonly type: "offered"; readonly token: number; readonly outcomes: readonly Outcome[] }
  /** Call again with `wake` at this time; replaces an earlier wish. */
  | { readonly type: "wake"; readonly at: Millis }
  | { readonly type: "notify"; readonly event: MeshEvent };

/** What operators and subscribers hear of. Emitted after the commit it speaks of. */
export type MeshEvent =
  | {
      readonly type: "stored";
      readonly run: Run;
      readonly link: LinkId | null;
      /** Some of it asks for a checkpoint (`checkpoint-cadence.ts`). */
      readonly isReal: boolean;
    }
  | { readonly type: "fork"; readonly issuer: Issuer; readonly seq: number }
  /** Somebody else signs with this node's own key: publishing stops. */
  | { readonly type: "own-key-conflict"; readonly seq: number }
  /** Whether the own chain may be continued, and above what; `sentAt` in seconds is of the newest own head seen. */
  | {
      readonly type: "own-chain";
      readonly phase: OwnChainPhase;
      readonly top: ChainPoint | null;
      /** Peers that showed a head of the own key. */
      readonly answers: number;
      readonly sentAt: number;
    }
  /** What is known of who may speak and revoke has changed: whoever keeps answers of `Mesh.authority` asks again. */
  | {
      readonly type: "authority";
      readonly version: number;
      readonly cause: "genesis" | "handover" | "revocation" | "attestation" | "trust";
      /** In whose name the fact speaks; null for a change of trust. */
      readonly issuer: Issuer | null;
      /** Of the envelope that carries the fact. */
      readonly hash: EnvelopeHash | null;
      /** Only for a revocation that acts. */
      readonly revocation?: { readonly rights: readonly Right[]; readonly targets: readonly RevocationTarget[] };
    }
  /** An issuer stated what it knows to be revoked. */
  | {
      readonly type: "revocation-set";
      readonly issuer: Issuer;
      readonly count: number;
      readonly root: string;
      readonly asOfMs: number;
    }
  /** A peer's key was revoked: its link is being closed. */
  | { readonly type: "peer-revoked"; readonly link: LinkId; readonly issuer: Issuer }
  | { readonly type: "ready"; readonly link: LinkId; readonly issuer: Issuer }
  | { readonly type: "refused"; readonly link: LinkId | null; readonly code: ErrorCode };
