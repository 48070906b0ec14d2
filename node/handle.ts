/**
 * What the API and the command line need of a node. The daemon implements it over the mesh core and the store, the
 * client over the daemon's socket. Shapes with snake_case fields are the JSON that users see.
 */
import type { Admission, EnvelopeHash, ErrorCode, Issuer, Json, RevocationScope } from "../spine/index.ts";
import type { TransparencyAnswer, TransparencyRequest } from "./api/transparency.ts";
import type { AuthorityEvent } from "./authority/authority-events.ts";
import type { AuthorityStatus, RevocationRight } from "./authority/authority-status.ts";
import type { GuardStatus } from "./guards/index.ts";
import type { RadioStatus } from "./reticulum/radio-status.ts";

/** What `parseJson` gave: integers beyond 2^53 are bigints. */
export type Fact = Json;

export interface PublishedFact {
  readonly ok: true;
  readonly envelope_hash: EnvelopeHash;
  readonly issuer: Issuer;
  readonly seq: number;
}
export interface RefusedItem {
  readonly ok: false;
  readonly code: ErrorCode;
  readonly message: string;
}
export type PublishResult = PublishedFact | RefusedItem;

export type ImportResult =
  | {
      readonly ok: true;
      readonly envelope_hash: EnvelopeHash;
      readonly issuer: Issuer;
      readonly seq: number;
      /** known: held already, nothing written. */
      readonly state: "stored" | "known";
    }
  | RefusedItem;

/** `[from, to]`, both included. */
export type SeqSpan = readonly [number, number];

export interface IssuerStatus {
  readonly issuer: Issuer;
  /** "log": the key of this node's own log. */
  readonly admission: Admission | "log";
  readonly head: { readonly seq: number; readonly envelope_hash: EnvelopeHash } | null;
  /** What is held, ascending; at most 64 spans, the newest ones. */
  readonly ranges: readonly SeqSpan[];
  readonly pruned_below: number;
  /** Smallest forked seq, or null. */
  readonly frozen_at: number | null;
  /** Whether it is admitted now: what others vouch for counts while they do. */
  readonly admitted: boolean;
  /** First seq that was revoked or that its owner does not stand by after a handover, or null. */
  readonly revoked_from: number | null;
  readonly successor: Issuer | null;
  /** Trusted issuers that attest it now. */
  readonly attested_by: readonly Issuer[];
}

export interface IssuerPage {
  readonly total: number;
  readonly issuers: readonly IssuerStatus[];
  /** Pass as `after` for the next page; null on the last. */
  readonly next: Issuer | null;
}

export interface PeerStatus {
  readonly id: string;
  readonly plane: string;
  readonly addresses: readonly string[];
  readonly configured: boolean;
  readonly connected: boolean;
  /** Proven in the link's hello; null while unknown. */
  readonly issuer: Issuer | null;
  /** Peers of the enclave only. */
  readonly tunnel?: PeerTunnel;
}

/** What the WireGuard interface says of a peer. */
export interface PeerTunnel {
  /** Lower-case hex; null while unknown. */
  readonly public_key: string | null;
  /** Why it is not let in; null if it is. */
  readonly absence: string | null;
  /** alive: heard within 180 s. */
  readonly health: "alive" | "stale" | "never";
  readonly handshake_age_seconds: number | null;
  readonly received_bytes: number;
  readonly sent_bytes: number;
  /** Where its packets come from. */
  readonly endpoint: string | null;
  readonly endpoint_changes: number;
}

export interface LinkStatus {
  readonly link: string;
  readonly plane: string;
  readonly address: string;
  readonly issuer: Issuer | null;
  readonly configured: boolean;
}

export interface PlaneStatus {
  readonly name: string;
  readonly addresses: readonly string[];
  readonly links: number;
}

/** `spine status --json` and `GET /v1/status`. */
export interface NatsSummary {
  readonly server: string | null;
  readonly version: string | null;
  /** Envelopes can be published and read. */
  readonly streams_ready: boolean;
  readonly published: number;
  /** New to this node. */
  readonly read: number;
  /** Stored envelopes that publishing has not come to. */
  readonly behind: number;
}

export interface GatewaySummary {
  /** Everything stored was judged by the policy in effect. */
  readonly judged: boolean;
  /** Decisions since start. */
  readonly forwarded: number;
  readonly dropped: number;
  readonly refused: number;
  /** Held back by rates now. */
  readonly deferred: number;
  readonly audit_records: number;
  readonly audit_anchored: number;
  readonly policy_pending: number;
}

export interface NodeStatus {
  readonly issuer: Issuer;
  readonly name: string;
  readonly version: string;
  /** false: read from the store, no daemon runs. */
  readonly running: boolean;
  readonly uptime_seconds: number;
  readonly head: { readonly seq: number; readonly envelope_hash: EnvelopeHash } | null;
  readonly log_size: number;
  readonly store_bytes: number;
  readonly planes: readonly PlaneStatus[];
  /** At most 100. */
  readonly links: readonly LinkStatus[];
  readonly peers: { readonly known: number; readonly connected: number };
  /** The first page. */
  readonly issuers: IssuerPage;
  /** Waiting items by queue name. */
  readonly queues: Readonly<Record<string, number>>;
  /** null where no daemon runs: then nothing is guarded. */
  readonly guard: GuardStatus | null;
  /** null where no radio plane runs. */
  readonly radio: RadioStatus | null;
  /** The cluster in short; `GET /v1/nats` says more. null where the plane does not run. */
  readonly nats: NatsSummary | null;
  /** null where no planes are joined by policy; `GET /v1/gateway` says more. */
  readonly gateway: GatewaySummary | null;
  readonly authority: AuthorityStatus;
  /** Things the operator should know, such as lab mode; one sentence each. */
  readonly warnings: readonly string[];
}

export interface SyncProgress {
  readonly received: number;
  /** Known so far; grows as heads arrive. */
  readonly wanted: number;
  readonly bytes: number;
}

export interface SyncSummary {
  readonly received: number;
  readonly sent: number;
  readonly bytes: number;
  readonly seconds: number;
  readonly per_second: number;
  /** Everything the peer offered and this node wants is held. */
  readonly complete: boolean;
  /** Why not complete, or null. */
  readonly reason: string | null;
}

export interface SyncOptions {
  readonly issuer?: Issuer | undefined;
  /** Says what would be fetched and fetches nothing. */
  readonly dryRun: boolean;
  readonly signal: AbortSignal;
  readonly onProgress: (progress: SyncProgress) => void;
}

export interface ForkStatus {
  readonly issuer: Issuer;
  readonly seq: number;
  /** `0x` and SHA-256 of the proof's bytes. */
  readonly proof_hash: string;
  /** The proof as hex (`spine/WIRE.md`). */
  readonly proof: string;
  /** The two signed statements as JSON text. */
  readonly statements: readonly string[];
}

/** Only `envelope` events have a cursor: the leaf index. The others are told live and never replayed. */
export type NodeEvent =
  | {
      readonly type: "envelope";
      readonly leaf_index: number;
      readonly envelope_hash: EnvelopeHash;
      readonly issuer: Issuer;
      readonly seq: number;
      readonly fact_schema: string;
    }
  | { readonly type: "head"; readonly issuer: Issuer; readonly seq: number; readonly envelope_hash: EnvelopeHash }
  | { readonly type: "fork"; readonly issuer: Issuer; readonly seq: number }
  | { readonly type: "link"; readonly link: string; readonly plane: string; readonly up: boolean }
  | { readonly type: "checkpoint"; readonly checkpoint_seq: number; readonly tree_size: number }
  /** A log signed two heads that cannot both be true; the proof is stored. */
  | { readonly type: "split-view"; readonly log_id: Issuer; readonly shape: string; readonly proof_hash: string }
  | AuthorityEvent;

export interface Readiness {
  readonly ready: boolean;
  /** What is missing; empty when ready. */
  readonly reasons: readonly string[];
}

/**
 * All methods reject with `api_unavailable` once the node is stopping, and with store codes on disk trouble.
 * Texts of envelopes and heads are canonical JSON without a line break.
 */
export interface NodeHandle {
  readonly issuer: Issuer;
  status(): Promise<NodeStatus>;
  /** One result per fact, in order. Resolved = every `ok` envelope is durable. A refused fact never stops the rest. */
  publish(facts: readonly Fact[], options: { signal: AbortSignal }): Promise<readonly PublishResult[]>;
  envelope(hash: EnvelopeHash): Promise<string | undefined>;
  /** Held envelopes of from..to, both included, ascending, at most `limit`; holes are skipped. */
  range(issuer: Issuer, from: number, to: number, limit: number): AsyncIterable<string>;
  /** Signed head announcements held, by issuer. */
  heads(): AsyncIterable<string>;
  issuers(page: { after?: Issuer | undefined; limit: number }): Promise<IssuerPage>;
  /** Idempotent, durable when resolved. */
  allowIssuer(issuer: Issuer): Promise<void>;
  denyIssuer(issuer: Issuer): Promise<void>;
  peers(): Promise<readonly PeerStatus[]>;
  /** Kept over restarts. Throws `peer_address`. */
  addPeer(address: string): Promise<void>;
  /** By id or address; unknown ones are ignored. */
  removePeer(idOrAddress: string): Promise<void>;
  /** Resolves also when partial (`complete` false). Throws `peer_address`, `peer_unreachable` or the signal's reason. */
  sync(peer: string, options: SyncOptions): Promise<SyncSummary>;
  forks(): Promise<readonly ForkStatus[]>;
  /** By what right this node may revoke something, and who else may. Throws `api_input`. */
  revocationRight(scope: RevocationScope, value: string): Promise<RevocationRight>;
  /** One result per text, in order; takes the next only when the last results were consumed. */
  importEnvelopes(texts: AsyncIterable<string>, options: { signal: AbortSignal }): AsyncIterable<ImportResult>;
  /**
   * Envelope events from leaf `from` (only new ones if undefined), then live events as they come. Pull-driven: nothing is
   * buffered for a slow consumer beyond 1,024 live events, the oldest dropped and counted. Ends when `signal` aborts.
   */
  subscribe(from: number | undefined, options: { signal: AbortSignal }): AsyncIterable<NodeEvent>;
  /** The store at one moment, in pieces (`storage/dump.ts`): for a backup. */
  storeDump(options: { signal: AbortSignal }): AsyncIterable<Uint8Array>;
  /** The log, its proofs and the witness: the paths of `api/transparency.ts`. Throws `api_not_found` and the proofs' codes. */
  transparency(request: TransparencyRequest): Promise<TransparencyAnswer>;
  /** Prometheus text format. */
  metricsText(): Promise<string>;
  ready(): Promise<Readiness>;
}

/** A handle with an end: closing it releases the store or the connection. */
export interface NodeSession extends NodeHandle, AsyncDisposable {
  /** true: the daemon answers; false: this process opened the store itself. */
  readonly remote: boolean;
}
