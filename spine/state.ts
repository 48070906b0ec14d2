/**
 * What the core remembers of issuers, links and open requests, and its limits. Data only: `context.ts` keeps it and the
 * parts of the core change it.
 */
import type { IssuerRecord } from "./commit.ts";
import type { Span } from "./have.ts";
import type { Head } from "./head.ts";
import type { LinkId, LinkInfo } from "./link.ts";
import type { EnvelopeHash, Issuer, Millis } from "./ports.ts";
import type { BoundedMap, TokenBucket } from "./quota.ts";

/** Every bound of the core, with its default. Times in milliseconds. */
export interface MeshLimits {
  /** Head claims kept of issuers that are not admitted. */
  readonly claims: number;
  /** Issuers one link may introduce in an open mesh. */
  readonly introductions: number;
  /** Issuers kept in all. */
  readonly issuers: number;
  /** Ranges kept of all chains beyond the first of each, and of one chain: what lies beyond opens no more holes. */
  readonly ranges: number;
  readonly rangesPerIssuer: number;
  /** Envelopes kept of one issuer; 0 = any number. */
  readonly envelopesPerIssuer: number;
  /** Bytes stored a day of one issuer, and of what one peer brings; 0 = any. */
  readonly issuerBytesPerDay: number;
  readonly peerBytesPerDay: number;
  readonly futureMs: number;
  readonly requestTimeoutMs: number;
  readonly announceIntervalMs: number;
  /** The same on narrow links, where announces carry the heads. */
  readonly narrowIntervalMs: number;
  readonly headIntervalMs: number;
  /** Fresh own envelopes broadcast per second; above it only heads are. */
  readonly freshPerSecond: number;
  /** Range requests open towards one link. */
  readonly requestsPerLink: number;
  /** Range requests served at once for one link. */
  readonly servesPerLink: number;
  /** Full inventory up to this many issuers; reconciliation above it. */
  readonly fullInventory: number;
}

export const DEFAULT_LIMITS: MeshLimits = {
  claims: 10_000,
  introductions: 1_000,
  issuers: 100_000,
  ranges: 131_072,
  rangesPerIssuer: 16_384,
  envelopesPerIssuer: 0,
  issuerBytesPerDay: 0,
  peerBytesPerDay: 0,
  futureMs: 600_000,
  requestTimeoutMs: 30_000,
  announceIntervalMs: 50,
  narrowIntervalMs: 1_800_000,
  headIntervalMs: 200,
  freshPerSecond: 20,
  requestsPerLink: 6,
  servesPerLink: 16,
  fullInventory: 500,
};

/** The core's view of one issuer. `record` runs ahead of the disk; `durable` is what was committed. */
export interface IssuerState {
  record: IssuerRecord;
  durable: IssuerRecord;
  /** Newest signed head, committed. */
  head: Head | null;
  /** Newest verified head, maybe still on its way to the disk. */
  newest: Head | null;
  /** Not asked for at or above this seq until `heldUntil`: issued too far in the future. */
  heldSeq: number;
  heldUntil: Millis;
}

/** What a peer said it holds. */
export interface PeerHave {
  readonly ranges: readonly Span[];
  readonly frozenAt: number | null;
}

export interface Request {
  readonly id: number;
  readonly link: LinkId;
  readonly issuer: Issuer;
  readonly from: number;
  readonly to: number;
  /** "evidence": for a fork proof; "signature": for a better signature. Neither is stored as part of the chain. */
  readonly purpose: "sync" | "evidence" | "signature";
  /** Next seq expected. */
  next: number;
  /** What the answer left out so far. */
  readonly skipped: Span[];
  /** Totals were announced. */
  offered: boolean;
  /** Given up when nothing came until then. */
  deadline: Millis;
  /** Given up then, however much came: a trickle must not keep others from the range. */
  lastly: Millis;
}

export interface Link {
  readonly id: LinkId;
  readonly info: LinkInfo;
  /** Proved in the peer's hello. */
  issuer: Issuer | null;
  /** A hello came; its proof may still be checked. */
  greeted: boolean;
  /** Closed without a hello until then. */
  helloBy: Millis;
  /** A farewell was said: nothing more is read, asked or sent. */
  closing: boolean;
  /** Hashes of the last envelopes that act and were handed to the peer one by one. */
  readonly handed: EnvelopeHash[];
  maxFrameBytes: number;
  readonly have: Map<Issuer, PeerHave>;
  /** What the peer was told last of issuers with more ranges than one inventory entry holds. */
  readonly told: BoundedMap<Issuer, readonly Span[]>;
  /** Ranges in `have` beyond the first of each issuer. */
  extraSpans: number;
  readonly requests: Map<number, Request>;
  serving: number;
  /** Issuers of which the peer could not give what it said it holds; it is asked again at `doubtsAt`. */
  readonly doubts: Set<Issuer>;
  doubtsAt: Millis;
  /** Seq of the fork proof sent to this peer, per issuer. */
  readonly informed: Map<Issuer, number>;
  /** Below which seq a cut chain was compared with what this peer holds, per issuer. */
  readonly compared: Map<Issuer, number>;
  /** Issuers whose state the peer should hear about. */
  readonly dirty: Set<Issuer>;
  /** On narrow links: when it hears about them next. */
  dirtyAt: Millis;
  /** When the peer last took part in a comparison of issuers. */
  comparedAt: Millis;
  /** No ranges are asked for before. */
  holdUntil: Millis;
  /** Average record size seen, bytes: sizes the next request. */
  averageBytes: number;
  readonly faults: TokenBucket;
  /** Messages that cost us work beyond what we asked for. */
  readonly unsolicited: TokenBucket;
  /** Envelopes that nobody asked for: each costs a signature check. */
  readonly pushes: TokenBucket;
  /** Rounds of reconciliation: each walks a set. */
  readonly reconciles: TokenBucket;
  readonly attests: TokenBucket;
}

/** The state of an issuer of which only the record is known. */
export function newIssuerState(record: IssuerRecord): IssuerState {
  return { record, durable: record, head: null, newest: null, heldSeq: Number.POSITIVE_INFINITY, heldUntil: 0 };
}
