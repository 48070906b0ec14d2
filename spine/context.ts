/**
 * What the parts of the core share: issuers, links, pending jobs and the list of effects being built. Owns no
 * protocol rule; `mesh.ts` creates it and hands it to intake, sync, forks and announcements.
 */
import { Admission, type Commit, type IssuerRecord, type Run } from "./commit.ts";
import type { Effect, Found } from "./effect.ts";
import { type ErrorCode, SpineError } from "./errors.ts";
import type { Tier } from "./fact.ts";
import { encodeFrame, type Frame } from "./frame.ts";
import type { Span } from "./have.ts";
import type { Head } from "./head.ts";
import type { LinkId, LinkInfo } from "./link.ts";
import type { Claim, Issuer, Millis, Sha256Hex } from "./ports.ts";
import { BoundedMap, type TokenBucket } from "./quota.ts";
import { CONTROL_TIER } from "./schedule.ts";

/** Every bound of the core, with its default. Times in milliseconds. */
export interface MeshLimits {
  /** Head claims kept of issuers that are not admitted. */
  readonly claims: number;
  /** Issuers one link may introduce in an open mesh. */
  readonly introductions: number;
  /** Issuers kept in all. */
  readonly issuers: number;
  readonly futureMs: number;
  readonly requestTimeoutMs: number;
  readonly announceIntervalMs: number;
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
  futureMs: 600_000,
  requestTimeoutMs: 30_000,
  announceIntervalMs: 50,
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
  readonly to: number;
  /** "evidence": for a fork proof; "signature": for a better signature. Neither is stored as part of the chain. */
  readonly purpose: "sync" | "evidence" | "signature";
  /** Next seq expected. */
  next: number;
  deadline: Millis;
}

export interface Link {
  readonly id: LinkId;
  readonly info: LinkInfo;
  /** Proved in the peer's hello. */
  issuer: Issuer | null;
  maxFrameBytes: number;
  readonly have: Map<Issuer, PeerHave>;
  readonly requests: Map<number, Request>;
  serving: number;
  introduced: number;
  /** Issuers whose state the peer should hear about. */
  readonly dirty: Set<Issuer>;
  /** Average record size seen, bytes: sizes the next request. */
  averageBytes: number;
  readonly faults: TokenBucket;
  /** Messages that cost us work beyond what we asked for. */
  readonly unsolicited: TokenBucket;
}

type Job =
  | { readonly kind: "verify"; readonly then: (verdicts: readonly boolean[]) => void }
  | { readonly kind: "sign"; readonly then: (signature: Uint8Array) => void }
  | { readonly kind: "lookup"; readonly then: (found: readonly (Found | undefined)[]) => void };

export const EMPTY_COMMIT: Commit = { runs: [], heads: [], issuers: [], forks: [], states: [] };

export class Context {
  readonly own: Issuer;
  readonly open: boolean;
  readonly limits: MeshLimits;
  readonly sha256Hex: Sha256Hex;
  readonly issuers: Map<Issuer, IssuerState> = new Map();
  readonly links: Map<LinkId, Link> = new Map();
  /** Highest seq claimed by issuers that are not admitted: a few bytes each, no payload. */
  readonly claims: BoundedMap<Issuer, number>;
  now: Millis = 0;
  readonly #jobs = new Map<number, Job>();
  readonly #commits = new Map<number, { commit: Commit; then: () => void }>();
  #effects: Effect[] = [];
  #nextId = 1;

  constructor(own: Issuer, open: boolean, limits: MeshLimits, sha256Hex: Sha256Hex) {
    this.own = own;
    this.open = open;
    this.limits = limits;
    this.sha256Hex = sha256Hex;
    this.claims = new BoundedMap(limits.claims);
  }

  emit(effect: Effect): void {
    this.#effects.push(effect);
  }
  drain(): Effect[] {
    const effects = this.#effects;
    this.#effects = [];
    return effects;
  }
  nextId(): number {
    return this.#nextId++;
  }

  verify(claims: readonly Claim[], link: LinkId | null, then: (verdicts: readonly boolean[]) => void): void {
    const job = this.nextId();
    this.#jobs.set(job, { kind: "verify", then });
    this.emit({ type: "verify", job, claims, link });
  }
  sign(message: Uint8Array, then: (signature: Uint8Array) => void): void {
    const job = this.nextId();
    this.#jobs.set(job, { kind: "sign", then });
    this.emit({ type: "sign", job, message });
  }
  lookup(issuer: Issuer, seqs: readonly number[], then: (found: readonly (Found | undefined)[]) => void): void {
    const job = this.nextId();
    this.#jobs.set(job, { kind: "lookup", then });
    this.emit({ type: "lookup", job, issuer, seqs });
  }
  #take<K extends Job["kind"]>(id: number, kind: K): Extract<Job, { kind: K }> {
    const job = this.#jobs.get(id);
    if (job?.kind !== kind) throw new SpineError("internal", `no ${kind} job ${id} is open`);
    this.#jobs.delete(id);
    return job as Extract<Job, { kind: K }>;
  }
  finishVerify(id: number, verdicts: readonly boolean[]): void {
    this.#take(id, "verify").then(verdicts);
  }
  finishSign(id: number, signature: Uint8Array): void {
    this.#take(id, "sign").then(signature);
  }
  finishLookup(id: number, found: readonly (Found | undefined)[]): void {
    this.#take(id, "lookup").then(found);
  }

  /** Emits a commit; `then` runs once it is on disk, after the durable state was advanced. */
  commit(part: Partial<Commit>, then: () => void = () => {}): void {
    const commit: Commit = { ...EMPTY_COMMIT, ...part };
    const id = this.nextId();
    this.#commits.set(id, { commit, then });
    this.emit({ type: "commit", id, commit });
  }
  finishCommit(id: number): void {
    const pending = this.#commits.get(id);
    if (pending === undefined) throw new SpineError("internal", `no commit ${id} is open`);
    this.#commits.delete(id);
    for (const record of pending.commit.issuers) {
      const state = this.issuers.get(record.issuer);
      if (state !== undefined) state.durable = record;
    }
    for (const head of pending.commit.heads) {
      const state = this.issuers.get(head.issuer);
      if (state !== undefined && (state.head === null || state.head.seq <= head.seq)) state.head = head;
    }
    pending.then();
  }
  get pendingCommits(): number {
    return this.#commits.size;
  }

  /** State of an issuer whose envelopes are stored, or undefined. */
  admitted(issuer: Issuer): IssuerState | undefined {
    const state = this.issuers.get(issuer);
    return state === undefined || state.record.admission === Admission.denied ? undefined : state;
  }
  /** Creates or changes an issuer's admission, durably. */
  admit(issuer: Issuer, admission: Admission): IssuerState {
    const old = this.issuers.get(issuer);
    const record: IssuerRecord =
      old === undefined
        ? { issuer, admission, ranges: [], prunedBelow: 0, frozenAt: null }
        : { ...old.record, admission };
    const state: IssuerState = old ?? {
      record,
      durable: record,
      head: null,
      heldSeq: Number.POSITIVE_INFINITY,
      heldUntil: 0,
    };
    state.record = record;
    this.issuers.set(issuer, state);
    this.claims.delete(issuer);
    this.commit({ issuers: [record] });
    return state;
  }
  /**
   * The admitted state, admitting a stranger in an open mesh at the introducing link's expense; otherwise keeps a
   * claim of a few bytes and returns undefined (rules 3).
   */
  admitOrClaim(issuer: Issuer, seq: number, link: Link | null): IssuerState | undefined {
    const state = this.admitted(issuer);
    if (state !== undefined) return state;
    const denied = this.issuers.has(issuer);
    if (this.open && !denied && link !== null && link.introduced < this.limits.introductions) {
      if (this.issuers.size < this.limits.issuers) {
        link.introduced++;
        return this.admit(issuer, Admission.proved);
      }
    }
    if (!denied && (this.claims.get(issuer) ?? -1) < seq) this.claims.set(issuer, seq);
    return undefined;
  }

  send(link: Link, frame: Frame, tier: Tier = CONTROL_TIER): void {
    this.emit({ type: "send", link: link.id, frame: encodeFrame(frame), tier });
  }
  /** Counts a fault of the peer; too many in a row close the link. */
  blame(link: Link, code: ErrorCode, message: string): void {
    this.emit({ type: "penalise", link: link.id, code });
    this.emit({ type: "notify", event: { type: "refused", link: link.id, code } });
    if (!link.faults.take(1, this.now)) this.close(link, code, message);
  }
  close(link: Link, code: ErrorCode, message: string): void {
    this.send(link, { type: "bye", code, message: message.slice(0, 200) });
    this.emit({ type: "close", link: link.id, code });
  }
  stored(run: Run, link: LinkId | null): void {
    this.emit({ type: "notify", event: { type: "stored", run, link } });
  }
  /** Marks an issuer as news for every peer but the one it came from. */
  markDirty(issuer: Issuer, except: LinkId | null): void {
    for (const link of this.links.values()) if (link.id !== except && link.issuer !== null) link.dirty.add(issuer);
  }
}
