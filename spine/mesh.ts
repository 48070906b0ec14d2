/**
 * The protocol as a state machine: `handle(input, now) → effects`. Delegates to intake, sync, forks and announcements
 * and owns no algorithm. The daemon and the simulator drive the same class (design: house, "Shape of the core").
 */

import { Announcer } from "./announce.ts";
import { Asks } from "./asks.ts";
import { Authority } from "./authority.ts";
import { NO_TRUST } from "./authority-trust.ts";
import { hasRealLeaf } from "./checkpoint-cadence.ts";
import { Admission, type IssuerRecord, type Snapshot } from "./commit.ts";
import { Context } from "./context.ts";
import type { Disclosure } from "./disclosure.ts";
import { type About, tellsAll } from "./disclosure.ts";
import type { Effect, Input, PacketPeer } from "./effect.ts";
import { Enforcement, nothingActed } from "./enforcement.ts";
import type { Envelope } from "./envelope.ts";
import { asSpineError, SpineError } from "./errors.ts";
import type { Tier } from "./fact.ts";
import { FactExchange } from "./fact-exchange.ts";
import { Forks } from "./forks.ts";
import { MAX_INVENTORY_ENTRIES } from "./frame.ts";
import { joinRange } from "./have.ts";
import type { Head } from "./head.ts";
import { Heads } from "./heads.ts";
import { Inbox } from "./inbox.ts";
import { Intake, runOf } from "./intake.ts";
import type { LinkId, LinkInfo } from "./link.ts";
import type { LooseFact } from "./loose-facts.ts";
import type { OwnChainPhase, OwnChainStart } from "./own-chain.ts";
import { PacketCatchUp } from "./packet-catch-up.ts";
import { Peering } from "./peering.ts";
import type { Issuer, Millis, Sha256Hex } from "./ports.ts";
import { type PrunePlan, prunedRecord } from "./prune.ts";
import { Resign } from "./resign.ts";
import { RevocationExchange } from "./revocation-exchange.ts";
import { Router } from "./router.ts";
import { Serving } from "./serving.ts";
import { DEFAULT_LIMITS, type Link, type MeshLimits, newIssuerState } from "./state.ts";
import { Sync } from "./sync.ts";

export interface MeshOptions {
  /** The node's own issuer id. */
  readonly issuer: Issuer;
  readonly sha256Hex: Sha256Hex;
  /** What the store held at start. */
  readonly snapshot: Snapshot;
  /** Lab mode: strangers are admitted, at the introducing link's expense. */
  readonly open: boolean;
  /** As the store's rows built it (`authority-load.ts`); trusts nobody if omitted. The mesh owns it from now on. */
  readonly authority?: Authority;
  /** Facts of those rows that travel on their own. */
  readonly looseFacts?: readonly LooseFact[];
  readonly limits?: Partial<MeshLimits>;
  /** What may be told on which link; absent = everything. */
  readonly disclosure?: Disclosure;
  /** What is known of the own chain besides the store; without it the store is taken as whole. */
  readonly ownChain?: OwnChainStart;
}

export class Mesh {
  readonly #ctx: Context;
  readonly #enforcement: Enforcement;
  readonly #sync: Sync;
  readonly #forks: Forks;
  readonly #intake: Intake;
  readonly #announcer: Announcer;
  readonly #resign: Resign;
  readonly #peering: Peering;
  readonly #serving: Serving;
  readonly #router: Router;
  readonly #inbox: Inbox;
  readonly #revocations: RevocationExchange;
  readonly #packets: PacketCatchUp;
  #wakeAt: Millis = Number.POSITIVE_INFINITY;

  constructor(options: MeshOptions, now: Millis) {
    const limits: MeshLimits = { ...DEFAULT_LIMITS, ...options.limits };
    const authority = options.authority ?? new Authority(NO_TRUST);
    const { ownChain, disclosure } = options;
    this.#ctx = new Context(options.issuer, options.open, limits, options.sha256Hex, authority, ownChain, disclosure);
    this.#ctx.now = now;
    const exchange = new FactExchange(this.#ctx, () => this.#enforcement);
    this.#enforcement = new Enforcement(this.#ctx, options.looseFacts ?? [], {
      reconsider: (issuer) => {
        this.#sync.reconsider(issuer);
        this.#forks.compareAll(issuer);
      },
      admitted: (issuers) => this.#askAround(issuers),
      spread: (fact, except) => exchange.spread(fact, except),
      compareFacts: () => exchange.greetAll(),
    });
    this.#sync = new Sync(this.#ctx, this.#enforcement);
    this.#forks = new Forks(this.#ctx, this.#enforcement, options.snapshot.forks, (link, issuer, seq) =>
      this.#sync.fetch(link, issuer, seq, "evidence"),
    );
    this.#resign = new Resign(this.#ctx, this.#sync);
    this.#sync.bind(this.#forks, this.#resign);
    this.#ctx.ownChain.onSettled = () => this.#sync.reconsider(options.issuer);
    this.#intake = new Intake(this.#ctx, this.#forks, this.#enforcement);
    const asks = new Asks(this.#ctx);
    const heads = new Heads(this.#ctx, this.#forks, asks);
    this.#announcer = new Announcer(this.#ctx, this.#sync, this.#forks, heads, this.#enforcement, asks);
    this.#revocations = new RevocationExchange(this.#ctx, this.#enforcement);
    this.#packets = new PacketCatchUp(this.#ctx, this.#enforcement);
    this.#peering = new Peering(this.#ctx, this.#announcer, this.#enforcement, exchange, this.#revocations);
    this.#serving = new Serving(this.#ctx);
    this.#inbox = new Inbox(this.#ctx, this.#intake, this.#announcer, heads, this.#enforcement);
    const parts = {
      sync: this.#sync,
      forks: this.#forks,
      announcer: this.#announcer,
      peering: this.#peering,
      serving: this.#serving,
      inbox: this.#inbox,
      exchange,
      revocations: this.#revocations,
    };
    this.#router = new Router(this.#ctx, parts);
    this.#restore(options.snapshot);
  }

  #restore(snapshot: Snapshot): void {
    const add = (record: IssuerRecord): void => {
      this.#ctx.issuers.set(record.issuer, newIssuerState(record));
      this.#ctx.holes.changed([], record.ranges);
    };
    const own = this.#ctx.own;
    for (const record of snapshot.issuers) {
      // A former key of this node, which has handed over to the present one.
      const former = record.admission === Admission.own && record.issuer !== own;
      if (former) add({ ...record, admission: Admission.allowed });
      else add(record.issuer === own ? { ...record, admission: Admission.own } : record);
    }
    if (!this.#ctx.issuers.has(own)) {
      add({ issuer: own, admission: Admission.own, ranges: [], prunedBelow: 0, frozenAt: null });
    }
    for (const head of snapshot.heads) {
      const state = this.#ctx.issuers.get(head.issuer);
      if (state === undefined) continue;
      state.head = head;
      state.newest = head;
    }
    for (const { issuer, frozenAt } of snapshot.issuers)
      if (frozenAt !== null) this.#ctx.authority.addFreeze(issuer, frozenAt);
    this.#enforcement.start();
  }

  /** Feeds one input. Throws only `internal` (a defect of the driver or the core); bad input of peers becomes effects. */
  handle(input: Input, now: Millis): Effect[] {
    if (now < this.#ctx.now) this.#stepBack(this.#ctx.now - now);
    this.#ctx.now = now;
    this.#dispatch(input);
    this.#enforcement.settle();
    this.#sync.plan();
    this.#schedule(this.#announcer.flush(), input.type === "wake");
    return this.#ctx.drain();
  }

  /** The clock was set back: deadlines move with it, so that nothing waits for the lost time to pass again. */
  #stepBack(ms: Millis): void {
    this.#sync.stepBack(ms);
    this.#forks.stepBack(ms);
    this.#announcer.stepBack(ms);
    this.#peering.stepBack(ms);
    this.#ctx.ownChain.stepBack(ms);
    this.#wakeAt = Number.POSITIVE_INFINITY;
  }

  #schedule(flushAt: Millis, woken: boolean): void {
    if (woken) this.#wakeAt = Number.POSITIVE_INFINITY;
    const { now } = this.#ctx;
    // Deadlines are coarse: while requests are open, once a second is enough.
    const requests = this.#sync.openRequests > 0 ? now + 1_000 : Number.POSITIVE_INFINITY;
    const at = Math.min(
      flushAt,
      requests,
      this.#sync.nextDeadline(),
      this.#forks.nextDeadline(),
      this.#peering.nextDeadline(),
      this.#ctx.ownChain.nextDeadline(),
    );
    if (at < this.#wakeAt || this.#wakeAt <= now) {
      this.#wakeAt = at;
      if (Number.isFinite(at)) this.#ctx.emit({ type: "wake", at: Math.max(at, now) });
    }
  }

  #dispatch(input: Input): void {
    const ctx = this.#ctx;
    switch (input.type) {
      case "local":
        return this.#local(input.envelopes);
      case "offer":
        return this.#intake.offer(
          input.envelopes,
          null,
          (outcomes) => {
            ctx.emit({ type: "offered", token: input.token, outcomes });
            if (input.via !== undefined) this.#inbox.passOnAdded(input.envelopes, outcomes, null);
          },
          input.via ?? null,
        );
      case "link-up":
        return this.#peering.linkUp(input.link, input.info);
      case "link-down":
        return this.#linkDown(input.link);
      case "frame":
        return this.#guarded(input.link, (link) => this.#router.frame(link, input.frame, input.opened));
      case "gossip":
        return this.#inbox.gossip(input.link, input.id, input.data, input.opened);
      case "verified":
        return ctx.finishVerify(input.job, input.verdicts);
      case "signed":
        return ctx.finishSign(input.job, input.signature);
      case "found":
        return ctx.finishLookup(input.job, input.envelopes);
      case "committed":
        return ctx.finishCommit(input.id);
      case "rows-found":
        return ctx.finishRows(input.job, input.rows);
      case "trust":
        return this.#enforcement.setTrust(input.trust);
      case "served": {
        const link = ctx.links.get(input.link);
        if (link !== undefined) this.#serving.served(link);
        return;
      }
      case "admit":
        ctx.admit(input.issuer, input.admission);
        this.#askAround([input.issuer]);
        return;
      case "unsigned":
        return this.#resign.report(input.issuer, input.seq, input.hash);
      case "ask-own-chain":
        return ctx.ownChain.ask();
      case "head":
        return this.#inbox.head(input.data);
      case "disclose":
        for (const issuer of input.issuers) ctx.markDirty(issuer, null);
        return;
      case "attest": {
        const link = ctx.links.get(input.link);
        if (link?.issuer == null) return;
        const { about = [], body, tier } = input;
        if (tellsAll(ctx.disclosure, link.id, about)) ctx.send(link, { type: "attest", body }, tier);
        return;
      }
      case "room":
        ctx.storage.room = input.foreign;
        if (input.foreign) for (const issuer of ctx.issuers.keys()) this.#sync.reconsider(issuer);
        return;
      case "prune":
        return this.#prune(input.issuer, input.plan);
      case "refresh":
        return this.#refresh();
      case "compare":
        return this.#compare(input, input.statement);
      case "wake":
        this.#peering.expire();
        this.#forks.expire();
        ctx.ownChain.expire();
        return this.#sync.expire();
    }
  }

  /** Own envelopes from the single writer. A gap or a wrong link is a defect of the writer. */
  #local(envelopes: readonly Envelope[]): void {
    const state = this.#ctx.issuers.get(this.#ctx.own);
    const [first, last] = [envelopes[0], envelopes.at(-1)];
    if (state === undefined || first === undefined || last === undefined) return;
    const piece = { from: first.seq, to: last.seq, prev: first.prev, last: last.hash };
    const joined = joinRange(state.record.ranges, piece, Number.POSITIVE_INFINITY);
    const top = this.#ctx.ownChain.top;
    const continues = first.seq === (top?.seq ?? 0) + 1 && first.prev === (top?.hash ?? null);
    if (!this.#ctx.ownChain.signing) throw new SpineError("internal", "signed while the own chain is uncertain");
    if (joined.type !== "joined" || !continues) {
      throw new SpineError("internal", `own envelope ${first.seq} does not continue the own chain`);
    }
    this.#ctx.hold(state, { ...state.record, ranges: joined.ranges });
    const run = runOf(envelopes);
    const acted = nothingActed();
    const unsure: Envelope[] = [];
    for (const envelope of envelopes) {
      const acting = this.#enforcement.read(envelope);
      if (acting === undefined) continue;
      // Whoever hands in a fact for publishing may have made up the signatures inside it.
      if (acting.claims.length > 0) unsure.push(envelope);
      else this.#enforcement.take(acting, envelope, acted);
    }
    this.#ctx.commit({ runs: [run], issuers: [state.record], rows: acted.rows }, () => {
      this.#ctx.stored(run, null, hasRealLeaf(envelopes));
      this.#announcer.published(envelopes);
      this.#enforcement.tell(acted, null);
      for (const envelope of unsure) this.#enforcement.consider(envelope);
    });
  }

  /** First the record, then the store: nothing is said to be held that may be gone. */
  #prune(issuer: Issuer, plan: PrunePlan): void {
    const state = this.#ctx.issuers.get(issuer);
    const record = state === undefined ? undefined : prunedRecord(state.record, plan);
    if (state === undefined || record === undefined) return;
    this.#ctx.hold(state, record);
    this.#ctx.commit({ issuers: [record] }, () => this.#ctx.markDirty(issuer, null));
  }

  /** A statement that does not decode is nobody's fault that could be named here. */
  #compare({ plane, peer }: PacketPeer, statement: Uint8Array | null): void {
    try {
      if (statement === null) this.#packets.state({ plane, peer });
      else this.#packets.answer({ plane, peer }, statement);
    } catch (caught) {
      const error = asSpineError(caught);
      if (error.code === "internal") throw error;
      this.#ctx.refused(null, error.code);
    }
  }

  /** Compares everything with every peer again. */
  #refresh(): void {
    for (const link of this.#ctx.peers()) this.#announcer.greet(link);
    const issuers = [...this.#ctx.issuers.keys()];
    if (issuers.length <= this.#ctx.limits.fullInventory) this.#askAround(issuers);
  }

  /** Asks every peer what it holds of these issuers. */
  #askAround(issuers: readonly Issuer[]): void {
    for (const link of this.#ctx.peers()) {
      const told = this.#tellable(link, issuers);
      for (let i = 0; i < told.length; i += MAX_INVENTORY_ENTRIES) {
        this.#ctx.send(link, { type: "ask-inventory", issuers: told.slice(i, i + MAX_INVENTORY_ENTRIES) });
      }
    }
  }

  /** Questions name issuers too: not those of which this link may hear nothing. */
  #tellable(link: Link, issuers: readonly Issuer[]): readonly Issuer[] {
    const { disclosure } = this.#ctx;
    if (disclosure === undefined) return issuers;
    return issuers.filter((issuer) => {
      const held = this.#ctx.issuers.get(issuer)?.record.ranges ?? [];
      return held.length === 0 || disclosure.spans(link.id, issuer)?.length !== 0;
    });
  }

  #linkDown(id: string): void {
    const link = this.#ctx.links.get(id);
    if (link === undefined) return;
    this.#ctx.links.delete(id);
    this.#ctx.linksChanged();
    this.#sync.linkDown(link);
    this.#forks.linkDown(id);
    this.#announcer.linkDown(id);
    this.#revocations.linkDown(id);
  }

  /** Runs what a peer caused; coded errors become blame instead of exceptions. */
  #guarded(id: string, work: (link: Link) => void): void {
    const link = this.#ctx.links.get(id);
    if (link === undefined || link.closing) return;
    try {
      work(link);
    } catch (caught) {
      const error = asSpineError(caught);
      if (error.code === "internal") throw error;
      if (error.blame === "sender") this.#ctx.blame(link, error.code, error.message);
      else this.#ctx.refused(link.id, error.code);
    }
  }

  // ---- for the driver ----

  /** Whether all of it may be told on a link. */
  mayTell(link: LinkId, about: readonly About[]): boolean {
    return tellsAll(this.#ctx.disclosure, link, about);
  }

  /** Who may speak and who may revoke, by everything known now. Ask again after an `authority` event. */
  get authority(): Authority {
    return this.#ctx.authority;
  }
  /** How urgent an envelope is here: what may not revoke is the least urgent of all. */
  tierOf(envelope: Envelope): Tier {
    return this.#enforcement.tierOf(envelope);
  }
  /** Whether an issuer is admitted now, whoever vouches for it. */
  isAdmitted(issuer: Issuer): boolean {
    return this.#ctx.admitted(issuer) !== undefined;
  }

  /** Bytes and items at work, for metrics and back-pressure. */
  get load(): {
    readonly commits: number;
    readonly requests: number;
    readonly waiting: number;
    readonly claims: number;
    /** Ranges held beyond the first of each issuer. */
    readonly holes: number;
  } {
    const { pendingCommits, claims, holes } = this.#ctx;
    return {
      commits: pendingCommits,
      requests: this.#sync.openRequests,
      waiting: this.#sync.waitingIssuers,
      claims: claims.size,
      holes: holes.used,
    };
  }
  /** Newest head this node has signed and stored. */
  get statedHead(): Head | null {
    return this.#ctx.issuers.get(this.#ctx.own)?.head ?? null;
  }
  /** Newest own (seq, hash) handed in, committed or not; undefined before the first. */
  get ownHead(): { readonly seq: number; readonly hash: string } | undefined {
    return this.#ctx.ownChain.top;
  }
  /** Whether the own chain may be continued. */
  get ownPhase(): OwnChainPhase {
    return this.#ctx.ownChain.phase;
  }
  /** Everything on disk about issuers, with their newest heads. */
  *issuers(): IterableIterator<{ readonly record: IssuerRecord; readonly head: Head | null }> {
    for (const state of this.#ctx.issuers.values()) yield { record: state.durable, head: state.head };
  }
  issuer(issuer: Issuer): IssuerRecord | undefined {
    return this.#ctx.issuers.get(issuer)?.durable;
  }
  /** How many envelopes a peer holds that are neither held nor refused here; of one issuer if given. */
  lacking(link: string, issuer?: Issuer): number {
    const peer = this.#ctx.links.get(link);
    if (peer === undefined) return 0;
    let count = 0;
    for (const name of issuer === undefined ? peer.have.keys() : [issuer]) count += this.#sync.lacking(peer, name);
    return count;
  }
  /** Links with the issuer each proved. */
  links(): {
    readonly id: string;
    readonly info: LinkInfo;
    readonly issuer: Issuer | null;
    readonly requests: number;
  }[] {
    return [...this.#ctx.links.values()].map(({ id, info, issuer, requests }) => ({
      id,
      info,
      issuer,
      requests: requests.size,
    }));
  }
}
