/**
 * What the parts of the core share: issuers, links, pending jobs and the list of effects being built. Owns no
 * protocol rule; `mesh.ts` creates it and hands it to intake, sync, forks and announcements.
 */
import type { Authority } from "./authority.ts";
import { Admission, type Commit, type IssuerRecord, type Row, type RowTable, type Run } from "./commit.ts";
import type { Disclosure } from "./disclosure.ts";
import type { Effect, Found, FoundRow } from "./effect.ts";
import { type ErrorCode, SpineError } from "./errors.ts";
import type { Tier } from "./fact.ts";
import { encodeFrame, type Frame } from "./frame.ts";
import { type HaveRange, type Join, joinRange } from "./have.ts";
import type { LinkId } from "./link.ts";
import { OwnChain, type OwnChainStart } from "./own-chain.ts";
import type { Claim, EnvelopeHash, Issuer, Millis, Sha256Hex } from "./ports.ts";
import { BoundedMap } from "./quota.ts";
import { RangeBudget } from "./range-budget.ts";
import { CONTROL_TIER } from "./schedule.ts";
import { type IssuerState, type Link, type MeshLimits, newIssuerState, type PeerHave } from "./state.ts";
import { StorageQuota } from "./storage-quota.ts";

/** Ranges kept of what one peer says it holds, beyond the first of each issuer. */
const MAX_EXTRA_SPANS = 16_384;
/** Handovers from key to key that admission follows. */
const MAX_HANDOVERS = 64;
/** Peers remembered for what they introduced. */
const MAX_INTRODUCERS = 10_000;

type Job =
  | { readonly kind: "verify"; readonly then: (verdicts: readonly boolean[]) => void }
  | { readonly kind: "sign"; readonly then: (signature: Uint8Array) => void }
  | { readonly kind: "lookup"; readonly then: (found: readonly (Found | undefined)[]) => void }
  | { readonly kind: "rows"; readonly then: (rows: readonly FoundRow[]) => void };

/** In UTF-8 at most three times as many bytes, which a bye frame can hold. */
const MAX_BYE_CHARACTERS = 160;
/** Acting envelopes remembered per link as handed over. */
const MAX_HANDED = 8;

/** An envelope on its own: its record, and the hash that names it. */
export interface Handed {
  readonly hash: EnvelopeHash;
  readonly record: Uint8Array;
}

export const EMPTY_COMMIT: Commit = { runs: [], heads: [], issuers: [], forks: [], states: [], rows: [] };

export class Context {
  readonly own: Issuer;
  readonly open: boolean;
  readonly limits: MeshLimits;
  readonly sha256Hex: Sha256Hex;
  readonly authority: Authority;
  readonly issuers: Map<Issuer, IssuerState> = new Map();
  readonly links: Map<LinkId, Link> = new Map();
  #peers: readonly Link[] | undefined;
  /** Range requests open on all links. */
  openRequests: number = 0;
  /** Highest seq claimed by issuers that are not admitted: a few bytes each, no payload. */
  readonly claims: BoundedMap<Issuer, number>;
  /** Issuers each peer introduced; a new connection does not start anew. */
  readonly #introduced = new BoundedMap<string, number>(MAX_INTRODUCERS);
  readonly ownChain: OwnChain;
  /** What may be told on which link; undefined = everything. */
  readonly disclosure: Disclosure | undefined;
  readonly storage: StorageQuota;
  readonly holes: RangeBudget;
  now: Millis = 0;
  /** Some link may have `dirty` issuers. */
  hasNews: boolean = false;
  /** Some link was ever narrow. */
  hasNarrow: boolean = false;
  /** When something was last stored or learnt that peers are to hear of. */
  newsAt: Millis = Number.NEGATIVE_INFINITY;
  readonly #jobs = new Map<number, Job>();
  readonly #commits = new Map<number, { commit: Commit; then: () => void }>();
  #effects: Effect[] = [];
  #nextId = 1;

  constructor(
    own: Issuer,
    open: boolean,
    limits: MeshLimits,
    sha256Hex: Sha256Hex,
    authority: Authority,
    ownChain?: OwnChainStart,
    disclosure?: Disclosure,
  ) {
    this.disclosure = disclosure;
    this.authority = authority;
    this.own = own;
    this.open = open;
    this.limits = limits;
    this.sha256Hex = sha256Hex;
    this.claims = new BoundedMap(limits.claims);
    this.ownChain = new OwnChain(this, ownChain);
    this.storage = new StorageQuota(limits);
    this.holes = new RangeBudget(limits.ranges, limits.rangesPerIssuer);
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
  /** Whether `nextId` gave this number out. */
  isPast(id: number): boolean {
    return id < this.#nextId;
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
  rows(table: RowTable, prefix: string, then: (rows: readonly FoundRow[]) => void): void {
    const job = this.nextId();
    this.#jobs.set(job, { kind: "rows", then });
    this.emit({ type: "rows", job, table, prefix });
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
  finishRows(id: number, rows: readonly FoundRow[]): void {
    this.#take(id, "rows").then(rows);
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
      if (state === undefined) continue;
      if (state.head === null || state.head.seq <= head.seq) state.head = head;
      if (state.newest === null || state.newest.seq < head.seq) state.newest = head;
    }
    pending.then();
  }
  get pendingCommits(): number {
    return this.#commits.size;
  }

  /** State of an issuer whose envelopes are stored, or undefined. */
  admitted(issuer: Issuer): IssuerState | undefined {
    const state = this.issuers.get(issuer);
    return state !== undefined && this.#counts(state.record, MAX_HANDOVERS) ? state : undefined;
  }
  /** What others vouch for is admitted for as long as they do. */
  #counts({ issuer, admission }: IssuerRecord, handovers: number): boolean {
    switch (admission) {
      case Admission.denied:
        return false;
      case Admission.named:
        return this.authority.trust.named.has(issuer);
      case Admission.attested:
        return this.authority.attestersOf(issuer).length > 0;
      case Admission.successor:
        return (
          handovers > 0 &&
          this.authority.predecessorsOf(issuer).some((old) => {
            const state = this.issuers.get(old);
            return state !== undefined && this.#counts(state.record, handovers - 1);
          })
        );
      default:
        return true;
    }
  }
  /** How a piece meets what is held of an issuer, within the budget of holes. */
  join({ record: { ranges } }: IssuerState, piece: HaveRange): Join {
    return joinRange(ranges, piece, this.holes.most(ranges));
  }
  /** What is held of an issuer from here on, on its way to the disk. */
  hold(state: IssuerState, record: IssuerRecord): void {
    this.holes.changed(state.record.ranges, record.ranges);
    state.record = record;
  }
  /** Whether the operator refused this issuer. */
  isDenied(issuer: Issuer): boolean {
    return this.issuers.get(issuer)?.record.admission === Admission.denied;
  }
  /** The first seq of an issuer that is not admitted any more: frozen, revoked or handed over (rules 6, 7, 8). */
  cutOf(state: IssuerState): number {
    return Math.min(state.record.frozenAt ?? Number.POSITIVE_INFINITY, this.authority.cutOf(state.record.issuer));
  }
  /** Why nothing is admitted at a seq at or above the cut. */
  cutCode(state: IssuerState, seq: number): ErrorCode {
    return seq >= (state.record.frozenAt ?? Number.POSITIVE_INFINITY) ? "issuer_frozen" : "issuer_revoked";
  }
  /** Creates or changes an issuer's admission, durably. */
  admit(issuer: Issuer, admission: Admission): IssuerState {
    const old = this.issuers.get(issuer);
    const record: IssuerRecord =
      old === undefined
        ? { issuer, admission, ranges: [], prunedBelow: 0, frozenAt: null }
        : { ...old.record, admission };
    const state: IssuerState = old ?? newIssuerState(record);
    state.record = record;
    this.issuers.set(issuer, state);
    this.claims.delete(issuer);
    this.commit({ issuers: [record] }, () => this.markDirty(issuer, null));
    return state;
  }
  /**
   * The admitted state, admitting a stranger in an open mesh at the introducing link's expense; otherwise keeps a
   * claim of a few bytes and returns undefined (rules 3).
   */
  admitOrClaim(issuer: Issuer, seq: number, link: Link | null, via: LinkId | null = null): IssuerState | undefined {
    const state = this.admitted(issuer);
    if (state !== undefined) return state;
    const denied = this.isDenied(issuer);
    const peer = link?.issuer ?? link?.id ?? via;
    if (this.open && !denied && peer !== null && this.issuers.size < this.limits.issuers) {
      const introduced = this.#introduced.get(peer) ?? 0;
      if (introduced < this.limits.introductions) {
        this.#introduced.set(peer, introduced + 1);
        return this.admit(issuer, Admission.proved);
      }
    }
    if (!denied && (this.claims.get(issuer) ?? -1) < seq) this.claims.set(issuer, seq);
    return undefined;
  }

  /** Keeps what a peer says it holds, within the bound: of a large claim the issuer's last ranges. */
  believe(link: Link, issuer: Issuer, have: PeerHave): void {
    const before = Math.max(0, (link.have.get(issuer)?.ranges.length ?? 0) - 1);
    const room = MAX_EXTRA_SPANS - link.extraSpans + before;
    const ranges = have.ranges.length - 1 > room ? have.ranges.slice(-1 - Math.max(0, room)) : have.ranges;
    link.extraSpans += Math.max(0, ranges.length - 1) - before;
    link.have.set(issuer, { ...have, ranges });
  }
  /** Believes no more that this peer holds anything of an issuer. */
  disbelieve(link: Link, issuer: Issuer): void {
    link.extraSpans -= Math.max(0, (link.have.get(issuer)?.ranges.length ?? 0) - 1);
    link.have.delete(issuer);
  }

  /** Sends a frame, unless the peer said that it does not take frames of this size. */
  send(link: Link, frame: Frame, tier: Tier = CONTROL_TIER): void {
    if (!link.closing) this.#put(link, frame, tier);
  }
  /** Hands one envelope to a peer, and remembers it for a while if it acts. */
  hand(link: Link, { hash, record }: Handed, tier: Tier): void {
    if (tier === 1 && link.handed.push(hash) > MAX_HANDED) link.handed.shift();
    this.send(link, { type: "push", records: [record] }, tier);
  }
  #put(link: Link, frame: Frame, tier: Tier = CONTROL_TIER): void {
    const bytes = encodeFrame(frame);
    if (bytes.length <= link.maxFrameBytes) this.emit({ type: "send", link: link.id, frame: bytes, tier });
    else this.refused(link.id, "frame_size");
  }
  refused(link: LinkId | null, code: ErrorCode): void {
    this.emit({ type: "notify", event: { type: "refused", link, code } });
  }
  /** Counts a fault of the peer; too many in a row close the link. */
  blame(link: Link, code: ErrorCode, message: string): void {
    this.emit({ type: "penalise", link: link.id, code });
    this.refused(link.id, code);
    if (!link.faults.take(1, this.now)) this.close(link, code, message);
  }
  close(link: Link, code: ErrorCode, message: string): void {
    if (link.closing) return;
    this.shut(link);
    this.farewell(link, code, message, []);
  }
  /** The last words on a link that is `closing`: envelopes that say why, and the bye. */
  farewell(link: Link, code: ErrorCode, message: string, reasons: readonly Handed[]): void {
    for (const { record } of reasons) this.#put(link, { type: "push", records: [record] }, 1);
    this.#put(link, { type: "bye", code, message: message.slice(0, MAX_BYE_CHARACTERS) });
    this.emit({ type: "close", link: link.id, code });
  }
  /** Links whose peer has proved itself and was not sent away. */
  peers(): readonly Link[] {
    this.#peers ??= [...this.links.values()].filter(({ issuer, closing }) => issuer !== null && !closing);
    return this.#peers;
  }
  /** To be called when a link came, proved itself, is closing or is gone. */
  linksChanged(): void {
    this.#peers = undefined;
  }
  /** From now on nothing is heard or said on it. */
  shut(link: Link): void {
    link.closing = true;
    this.linksChanged();
  }
  /** Rows that belong into the commit of runs which came on a link, or from nowhere. */
  heard(runs: readonly Run[], via: LinkId | null): readonly Row[] {
    const { disclosure } = this;
    if (disclosure === undefined) return [];
    return runs.flatMap(({ issuer }) => disclosure.heard(issuer, via));
  }
  stored(run: Run, link: LinkId | null, isReal: boolean): void {
    this.disclosure?.stored(run);
    this.emit({ type: "notify", event: { type: "stored", run, link, isReal } });
  }
  /** Marks an issuer as news for every peer but the one it came from. */
  markDirty(issuer: Issuer, except: LinkId | null): void {
    for (const link of this.peers()) if (link.id !== except) link.dirty.add(issuer);
    this.hasNews = true;
    this.newsAt = this.now;
  }
}
