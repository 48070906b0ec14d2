/**
 * Telling peers what is held: inventories on links (whole, or by reconciliation when issuers are many), signed heads
 * and fresh envelopes by broadcast (rules 4). Speaks only of what is on disk.
 */

import { type Asks, NARROW_TIER } from "./asks.ts";
import { fromHex, utf8 } from "./bytes.ts";
import type { Context } from "./context.ts";
import { tells } from "./disclosure.ts";
import type { Enforcement } from "./enforcement.ts";
import { type Envelope, envelopeBytes } from "./envelope.ts";
import { SpineError } from "./errors.ts";
import type { Forks } from "./forks.ts";
import { type Frame, type InventoryEntry, MAX_ENTRY_RANGES, MAX_INVENTORY_ENTRIES } from "./frame.ts";
import { holds, holdsAll, intersectSpans, replaceFrom, type Span, topOf, uniteSpans } from "./have.ts";
import { draftHead, type Head, headText, sealHead } from "./head.ts";
import type { Heads } from "./heads.ts";
import type { LinkId } from "./link.ts";
import type { Issuer, Millis } from "./ports.ts";
import { BoundedMap, TokenBucket } from "./quota.ts";
import { beginReconcile, beginWithFingerprint, continueReconcile, type Item, ItemSet } from "./reconcile.ts";
import { writeRecord } from "./record.ts";
import { CONTROL_TIER } from "./schedule.ts";
import type { IssuerState, Link } from "./state.ts";
import type { Sync } from "./sync.ts";

/** Facts up to this tier are pushed on every link at once, whatever else waits. */
const URGENT_TIER = 4;
const MAX_RECONCILE_ROUNDS = 32;

/** Own urgent envelopes pushed and broadcast per second, and at once. */
const URGENT_PER_SECOND = 100;
const URGENT_BURST = 400;
/** Up to this many entries are sent at once; more go out a frame per announce interval. */
const MAX_ENTRIES_AT_ONCE = 2_048;
/** Up to this many ranges of one issuer are said again as a whole. */
const FEW_RANGES = 64;
/** Ranges told of one issuer on a link so slow that telling more would take minutes: the newest. */
const MAX_SLOW_RANGES = 1_024;
const SLOW_BITRATE = 100_000;
/** The set for reconciliation is built at most once in this time: it walks all issuers. */
const SET_LIFETIME_MS = 2_000;
const MAX_CONVERSATIONS = 32;
/** A narrow link is compared when nothing was heard for so long, if it is not for ever. */
const QUIET_MS = 45_000;

/** Upper bounds of the wire sizes, for filling frames. */
const FRAME_OVERHEAD_BYTES = 8;
const ENTRY_BYTES = 32 + 8 + 1 + 1 + 8 + 138;
const RANGE_BYTES = 16;

interface HeldSet {
  readonly set: ItemSet;
  readonly issuers: readonly Issuer[];
}

export class Announcer {
  readonly #ctx: Context;
  readonly #sync: Sync;
  readonly #forks: Forks;
  readonly #heads: Heads;
  readonly #enforcement: Enforcement;
  readonly #fresh: TokenBucket;
  /** The set of each conversation, and the newest one, which new conversations share. */
  readonly #sets = new BoundedMap<LinkId, HeldSet>(MAX_CONVERSATIONS);
  #newest: HeldSet | undefined;
  #newestUntil: Millis = 0;
  /** Own urgent envelopes that go out at once; beyond it they are announced and fetched like all others. */
  readonly #urgent: TokenBucket;
  readonly #asks: Asks;
  /** When a narrow link is to be looked at. */
  #narrowAt: Millis = Number.POSITIVE_INFINITY;
  #flushAt: Millis = 0;
  #headAt: Millis = 0;
  #signing = false;

  constructor(ctx: Context, sync: Sync, forks: Forks, heads: Heads, enforcement: Enforcement, asks: Asks) {
    this.#ctx = ctx;
    this.#asks = asks;
    this.#enforcement = enforcement;
    this.#sync = sync;
    this.#forks = forks;
    this.#heads = heads;
    this.#urgent = new TokenBucket(URGENT_PER_SECOND, URGENT_BURST, ctx.now);
    this.#fresh = new TokenBucket(ctx.limits.freshPerSecond, 2 * ctx.limits.freshPerSecond, ctx.now);
  }

  // ---- own chain ----

  /** Own envelopes are on disk: pass urgent and fresh ones on, then state the new head. */
  published(envelopes: readonly Envelope[]): void {
    for (const envelope of envelopes) {
      const urgent = this.#enforcement.tierOf(envelope) <= URGENT_TIER && this.#urgent.take(1, this.#ctx.now);
      if (!urgent && !this.#fresh.take(1, this.#ctx.now)) continue;
      this.#ctx.emit({
        type: "broadcast",
        data: envelopeBytes(envelope),
        issuer: envelope.issuer,
        seq: envelope.seq,
        tier: this.#enforcement.tierOf(envelope),
      });
      if (urgent) this.push(envelope, null);
    }
    this.#ctx.markDirty(this.#ctx.own, null);
  }

  /** An envelope that came alone goes on at once if it is urgent; everything else is announced and fetched. */
  passOn(envelope: Envelope, from: LinkId | null): void {
    if (this.#enforcement.tierOf(envelope) <= URGENT_TIER) this.push(envelope, from);
  }

  /** What was heard by broadcast goes on as one; radio links take no part in that. */
  passOnToRadio(envelope: Envelope, from: LinkId): void {
    if (this.#enforcement.tierOf(envelope) <= URGENT_TIER)
      this.push(envelope, from, ({ info }) => info.cost === "radio");
  }

  /** Hands one envelope to every peer but the one it came from, and to planes that reach others. */
  push(envelope: Envelope, except: LinkId | null, fits: (link: Link) => boolean = () => true): void {
    const record = writeRecord(envelope.signingBytes, envelope.signature);
    const tier = this.#enforcement.tierOf(envelope);
    this.#ctx.emit({ type: "urgent", envelope, tier });
    for (const link of this.#ctx.peers()) {
      if (link.id === except || !fits(link)) continue;
      if (holds(link.have.get(envelope.issuer)?.ranges ?? [], envelope.seq)) continue;
      if (!tells(this.#ctx.disclosure, link.id, envelope.issuer, envelope.seq)) continue;
      this.#ctx.hand(link, { hash: envelope.hash, record }, tier);
    }
  }

  /** Signs a head for the newest own envelope on disk: one per seq, at most one per interval, on disk before it is sent. */
  #stateHead(): void {
    const state = this.#ctx.issuers.get(this.#ctx.own);
    const top = state?.durable.ranges.at(-1);
    if (state === undefined || top === undefined || this.#signing || this.#isCut(state, top.to)) return;
    if (!this.#ctx.ownChain.mayStateHead(top.to)) return;
    if (state.head !== null && state.head.seq >= top.to) return;
    this.#signing = true;
    this.#headAt = this.#ctx.now + this.#ctx.limits.headIntervalMs;
    const draft = draftHead({
      issuer: this.#ctx.own,
      seq: top.to,
      hash: top.last,
      sentAt: Math.floor(this.#ctx.now / 1000),
    });
    this.#ctx.sign(draft.signingBytes, (signature) => {
      const head = sealHead(draft, signature);
      this.#ctx.commit({ heads: [head] }, () => {
        this.#signing = false;
        const { issuer, seq } = head;
        this.#ctx.emit({ type: "broadcast", data: utf8(headText(head)), issuer, seq, tier: CONTROL_TIER });
        this.#ctx.markDirty(this.#ctx.own, null);
      });
    });
  }

  // ---- timing ----

  /** Sends what is due; returns when to be called again. Called at the end of every `handle`. */
  flush(): Millis {
    const { now, limits } = this.#ctx;
    if (now >= this.#headAt) this.#stateHead();
    let waiting = false;
    // Nothing is said before its time, unless a narrow link has its own.
    const isEarly = now < this.#flushAt && this.#narrowAt === Number.POSITIVE_INFINITY && !this.#ctx.hasNarrow;
    if (isEarly) waiting = this.#ctx.hasNews;
    else if (this.#ctx.hasNews || now >= this.#narrowAt) {
      this.#narrowAt = Number.POSITIVE_INFINITY;
      for (const link of this.#ctx.peers()) {
        if (link.info.cost === "radio") {
          this.#narrowAt = Math.min(this.#narrowAt, this.#flushNarrow(link));
          continue;
        }
        if (link.dirty.size === 0) continue;
        if (now >= this.#flushAt) this.#sendDirty(link);
        waiting ||= link.dirty.size > 0;
      }
      this.#ctx.hasNews = waiting;
    }
    if (now >= this.#flushAt) this.#flushAt = now + limits.announceIntervalMs;
    if (now >= this.#asks.at) this.#asks.ask();
    return Math.min(
      this.#narrowAt,
      this.#asks.at,
      waiting ? this.#flushAt : Number.POSITIVE_INFINITY,
      this.#headPending() ? this.#headAt : Number.POSITIVE_INFINITY,
    );
  }

  /**
   * Once per interval: one of the two compares by one fingerprint, which costs a packet while both hold the same; each asks
   * about issuers of whom something is missing here, since a broadcast that was lost leaves a hole that no later one shows.
   * Returns when to look again.
   */
  #flushNarrow(link: Link): Millis {
    const { now, newsAt, limits } = this.#ctx;
    const { narrowIntervalMs } = limits;
    if (now < link.dirtyAt) return link.dirtyAt;
    // What is on its way to both just now would count as a difference.
    const quietAt = Math.min(newsAt + QUIET_MS, link.dirtyAt + narrowIntervalMs / 8);
    if (now < quietAt) return quietAt;
    link.dirtyAt = now + narrowIntervalMs;
    link.dirty.clear();
    // The smaller key begins, unless it does not know that the link is narrow.
    if (this.#ctx.own < (link.issuer ?? "") || now > link.comparedAt + 1.25 * narrowIntervalMs) this.#beginNarrow(link);
    this.#asks.inTurn(link);
    return link.dirtyAt;
  }
  #beginNarrow(link: Link): void {
    this.#sets.delete(link.id);
    const { set } = this.#itemSet(link);
    this.#ctx.send(link, { type: "reconcile", round: 0, payload: beginWithFingerprint(set) });
  }

  /** A frozen, revoked or handed-over key states nothing more. */
  #isCut(state: IssuerState, seq: number): boolean {
    return state.durable.frozenAt !== null || seq >= this.#ctx.cutOf(state);
  }

  #headPending(): boolean {
    const state = this.#ctx.issuers.get(this.#ctx.own);
    const top = state?.durable.ranges.at(-1);
    return (
      state !== undefined &&
      top !== undefined &&
      !this.#signing &&
      this.#ctx.ownChain.mayStateHead(top.to) &&
      !this.#isCut(state, top.to) &&
      (state.head?.seq ?? -1) < top.to
    );
  }

  #sendDirty(link: Link): void {
    const issuers = [...link.dirty].slice(0, MAX_INVENTORY_ENTRIES);
    for (const issuer of issuers) link.dirty.delete(issuer);
    this.sendInventory(link, issuers);
  }

  // ---- inventories ----

  /** Asked for: said as if nothing had been said before. */
  answerInventory(link: Link, issuers: readonly Issuer[]): void {
    for (const issuer of issuers) link.told.delete(issuer);
    this.sendInventory(link, issuers);
  }

  /** `evenEmpty`: also of issuers of which nothing is held. */
  sendInventory(link: Link, issuers: readonly Issuer[], evenEmpty: boolean = false): void {
    let part: InventoryEntry[] = [];
    let bytes = FRAME_OVERHEAD_BYTES;
    const tier = link.info.cost === "radio" ? NARROW_TIER : CONTROL_TIER;
    const flush = (): void => {
      if (part.length > 0) this.#ctx.send(link, { type: "inventory", entries: part }, tier);
      part = [];
      bytes = FRAME_OVERHEAD_BYTES;
    };
    for (const issuer of issuers) {
      const entry = this.#entry(issuer, link, evenEmpty);
      if (entry === undefined) continue;
      for (const one of this.#parts(entry, link)) {
        const size = ENTRY_BYTES + one.ranges.length * RANGE_BYTES;
        // An issuer stands once in a frame.
        if (one.continues || part.length === MAX_INVENTORY_ENTRIES || bytes + size > link.maxFrameBytes) flush();
        part.push(one);
        bytes += size;
      }
    }
    flush();
  }

  /** More ranges than one entry holds are told in several, later on only from where they changed. */
  *#parts(entry: InventoryEntry, link: Link): Iterable<InventoryEntry> {
    const { issuer } = entry;
    const told = link.told.get(issuer);
    if (entry.ranges.length <= FEW_RANGES) {
      link.told.delete(issuer);
      return yield entry;
    }
    const ranges = link.info.bitrate < SLOW_BITRATE ? entry.ranges.slice(-MAX_SLOW_RANGES) : entry.ranges;
    link.told.set(issuer, ranges);
    // From the last range that is as it was: whatever else was said above it is thereby taken back.
    let start = told === undefined ? 0 : Math.max(0, firstChange(told, ranges) - 1);
    let continues = start > 0;
    const fit = Math.floor((link.maxFrameBytes - FRAME_OVERHEAD_BYTES - ENTRY_BYTES) / RANGE_BYTES);
    const most = Math.min(MAX_ENTRY_RANGES, fit);
    for (; start < ranges.length; start += most) {
      const some = { ...entry, ranges: ranges.slice(start, start + most) };
      yield continues ? { ...some, continues } : some;
      continues = true;
    }
  }

  #entry(issuer: Issuer, link: Link, evenEmpty: boolean): InventoryEntry | undefined {
    const state = this.#ctx.admitted(issuer);
    if (state === undefined) return undefined;
    const { prunedBelow, frozenAt } = state.durable;
    if (state.durable.ranges.length === 0 && state.head === null && frozenAt === null && !evenEmpty) return undefined;
    const spans = this.#ctx.disclosure?.spans(link.id, issuer);
    const ranges = spans === undefined ? state.durable.ranges : intersectSpans(state.durable.ranges, spans);
    // A head names a hash: it is told where the envelope of that seq is. Announces carry it where air is scarce.
    const radio = link.info.cost === "radio";
    const head = radio
      ? null
      : spans === undefined || (state.head !== null && holds(spans, state.head.seq))
        ? state.head
        : null;
    if (spans !== undefined && ranges.length === 0 && head === null && !evenEmpty) return undefined;
    return {
      issuer,
      prunedBelow,
      ranges,
      frozenAt,
      head,
    };
  }

  /** A link is ready: tell it everything, or begin to reconcile when that would be long. The smaller key begins. */
  greet(link: Link): void {
    link.told.clear();
    const issuers = [...this.#ctx.issuers.keys()];
    if (link.info.cost === "radio") {
      link.dirtyAt = this.#ctx.now + this.#ctx.limits.narrowIntervalMs;
      this.#narrowAt = Math.min(this.#narrowAt, link.dirtyAt);
      // Both usually hold the same: an equal fingerprint is not answered, and costs one packet each.
      this.#beginNarrow(link);
    } else if (issuers.length <= this.#ctx.limits.fullInventory) {
      this.sendInventory(link, issuers);
    } else if (this.#ctx.own < (link.issuer ?? "")) {
      const { set } = this.#itemSet(link);
      this.#ctx.send(link, { type: "reconcile", round: 0, payload: beginReconcile(set) });
    } else {
      // The peer may hold few issuers and begin nothing: an empty question makes it speak.
      this.#ctx.send(link, { type: "reconcile", round: MAX_RECONCILE_ROUNDS, payload: new Uint8Array(0) });
    }
  }

  /** The set is kept for the rounds of one conversation, so that both sides compare one state. */
  #itemSet(link: Link): HeldSet {
    const entry = this.#sets.get(link.id) ?? this.#newestSet(link);
    this.#sets.set(link.id, entry);
    return entry;
  }

  #newestSet(link: Link): HeldSet {
    const { disclosure } = this.#ctx;
    // Narrow links carry no heads, so their times are not compared; each governed link has a set of its own: what is kept
    // from it must not show in a hash.
    const radio = link.info.cost === "radio";
    const shared = disclosure === undefined && !radio;
    if (shared && this.#newest !== undefined && this.#ctx.now < this.#newestUntil) return this.#newest;
    const issuers: Issuer[] = [];
    const items: Item[] = [];
    for (const [issuer, state] of this.#ctx.issuers) {
      if (this.#ctx.admitted(issuer) === undefined) continue;
      const name = radio ? this.#narrowName(issuer, state, link) : this.#nameOf(issuer, state, link);
      if (name === undefined) continue;
      issuers.push(issuer);
      const at = !radio && state.head?.seq === topOf(state.durable.ranges) ? state.head.sentAt : 0;
      items.push({ at, id: fromHex(this.#ctx.sha256Hex(utf8(name)), 32) });
    }
    const held = { set: new ItemSet(items, this.#ctx.sha256Hex, radio), issuers };
    if (!shared) return held;
    this.#newest = held;
    this.#newestUntil = this.#ctx.now + SET_LIFETIME_MS;
    return held;
  }

  /** What stands for an issuer in a comparison; undefined if nothing of it may be told. */
  #nameOf(issuer: Issuer, { durable }: IssuerState, link: Link): string | undefined {
    const top = durable.ranges.at(-1);
    if (top === undefined || !tells(this.#ctx.disclosure, link.id, issuer, top.to)) return undefined;
    return `${issuer}|${top.to}|${top.last}|${durable.frozenAt ?? ""}`;
  }
  /**
   * The same on narrow links, where no inventory shows holes unasked: everything that may be told. The hash is named of whole chains
   * only; of one told in part nobody could say what the other end has there.
   */
  #narrowName(issuer: Issuer, { durable }: IssuerState, link: Link): string | undefined {
    const { ranges, frozenAt, prunedBelow } = durable;
    const allowed = this.#ctx.disclosure?.spans(link.id, issuer);
    const spans = allowed === undefined ? ranges : intersectSpans(ranges, allowed);
    if (spans.length === 0) return undefined;
    // What was removed on purpose is nothing that could be had.
    const named = prunedBelow > 1 ? uniteSpans([{ from: 1, to: prunedBelow - 1 }], spans) : spans;
    const whole = named.length === 1 && topOf(spans) === topOf(ranges);
    const held = named.map(({ from, to }) => `${from}-${to}`).join(",");
    return `${issuer}|${held}|${whole ? ranges.at(-1)?.last : ""}|${frozenAt ?? ""}`;
  }

  reconcile(link: Link, frame: Extract<Frame, { type: "reconcile" }>): void {
    link.comparedAt = this.#ctx.now;
    // Both began: the conversation of the smaller key goes on.
    if (frame.round === 0 && link.info.cost === "radio" && this.#ctx.own < (link.issuer ?? "")) return;
    if (frame.round === 0 || frame.round >= MAX_RECONCILE_ROUNDS) this.#sets.delete(link.id);
    const { set, issuers } = this.#itemSet(link);
    if (frame.payload.length === 0) {
      if (frame.round < MAX_RECONCILE_ROUNDS) throw new SpineError("frame_syntax", "an empty round");
      // Both hold many issuers and this side has begun already.
      if (this.#ctx.issuers.size > this.#ctx.limits.fullInventory && this.#ctx.own < (link.issuer ?? "")) return;
      this.#ctx.send(link, { type: "reconcile", round: 0, payload: beginReconcile(set) });
      return;
    }
    if (frame.round >= MAX_RECONCILE_ROUNDS)
      throw new SpineError("frame_unexpected", "too many rounds of reconciliation");
    const { reply, peerLacks } = continueReconcile(set, frame.payload);
    const lacked = peerLacks.map((i) => issuers[i] as Issuer);
    if (lacked.length <= MAX_ENTRIES_AT_ONCE) this.sendInventory(link, lacked);
    else {
      for (const issuer of lacked) link.dirty.add(issuer);
      this.#ctx.hasNews = true;
    }
    if (reply === undefined) this.#sets.delete(link.id);
    else this.#ctx.send(link, { type: "reconcile", round: frame.round + 1, payload: reply });
  }

  /** What a peer holds. Strangers leave a claim of a few bytes. */
  inventory(link: Link, entries: readonly InventoryEntry[]): void {
    const heads: Head[] = [];
    /** Forks that the peer knows and this node does not: it sends the proof when it is shown that. */
    const unproven: Issuer[] = [];
    const { own, ownChain } = this.#ctx;
    for (const entry of entries) {
      const top = Math.max(topOf(entry.ranges), entry.head?.seq ?? -1);
      const state = this.#ctx.admitOrClaim(entry.issuer, top, link);
      if (state === undefined) continue;
      const earlier = entry.continues === true ? link.have.get(entry.issuer)?.ranges : undefined;
      const ranges = earlier === undefined ? entry.ranges : replaceFrom(earlier, entry.ranges);
      // One string of an issuer for all links.
      const { issuer } = state.record;
      this.#ctx.believe(link, issuer, { ranges, frozenAt: entry.frozenAt });
      if (issuer === own && ownChain.uncertain) this.#aboutOwn(link, entry);
      else if (entry.head !== null && this.#heads.isNews(state, entry.head)) heads.push(entry.head);
      const frozenAt = state.durable.frozenAt;
      if (frozenAt !== null && (entry.frozenAt === null || entry.frozenAt > frozenAt)) this.#forks.inform(link, issuer);
      else this.#forks.compare(state, link);
      if (entry.frozenAt !== null && entry.frozenAt < (state.record.frozenAt ?? Number.POSITIVE_INFINITY))
        unproven.push(issuer);
      const [first] = ranges;
      const isHeld = first === undefined || (ranges.length === 1 && holdsAll(state.record.ranges, first));
      if (!isHeld) this.#sync.reconsider(issuer);
    }
    this.#sync.heard(link);
    if (unproven.length > 0) this.sendInventory(link, unproven, true);
    if (heads.length > 0) this.#heads.learn(heads, link, () => {});
  }

  /** An answer about the own chain: only what the own key signed counts, so the end of what the peer holds is fetched. */
  #aboutOwn(link: Link, { ranges, head }: InventoryEntry): void {
    const { own, ownChain } = this.#ctx;
    const top = topOf(ranges);
    const shown = (head?.seq ?? -1) >= top;
    if (head !== null) {
      this.#heads.learn([head], link, (valid) => {
        if (valid && shown) ownChain.answered(link);
      });
    }
    if (!shown) this.#sync.fetchOnce(link, own, top);
  }

  linkDown(link: LinkId): void {
    this.#sets.delete(link);
  }
  stepBack(ms: Millis): void {
    this.#flushAt -= ms;
    this.#headAt -= ms;
    this.#narrowAt -= ms;
    this.#asks.stepBack(ms);
    this.#ctx.newsAt -= ms;
    this.#newestUntil -= ms;
  }
}

/** Index of the first range that differs. */
function firstChange(told: readonly Span[], ranges: readonly Span[]): number {
  const most = Math.min(told.length, ranges.length);
  for (let i = 0; i < most; i++) {
    if (told[i]?.from !== ranges[i]?.from || told[i]?.to !== ranges[i]?.to) return i;
  }
  return most;
}
