/**
 * Fetching what is missing: plans range requests over all links and follows their answers (rules 5). Budgets are in
 * items and bytes; totals come before data. What arrives is admitted by `segment.ts`.
 */
import { ClockHold, Coming } from "./coming.ts";
import type { Context } from "./context.ts";
import type { Enforcement } from "./enforcement.ts";
import type { Envelope } from "./envelope.ts";
import { SpineError } from "./errors.ts";
import type { Forks } from "./forks.ts";
import {
  type Frame,
  MAX_ANSWER_BYTES,
  MAX_ANSWER_ITEMS,
  MAX_INVENTORY_ENTRIES,
  MAX_SEGMENT_ENVELOPES,
} from "./frame.ts";
import { clipSpans, holds, holdsAll, intersectSpans, type Span, subtractSpans, uniteSpans } from "./have.ts";
import type { Issuer, Millis } from "./ports.ts";
import type { Resign } from "./resign.ts";
import { openSegment, type SegmentFrame, Segments } from "./segment.ts";
import type { IssuerState, Link, Request } from "./state.ts";

type Answer = Extract<Frame, { type: "offer" | "segment" | "end" }>;

/** Below this many bits per second one request at a time is enough to fill a link. */
const SLOW_BITRATE = 1_000_000;
/** A request on a slow link asks for about this many seconds of it. */
const SLOW_LINK_SECONDS = 5;
const MIN_REQUEST_BYTES = 1024;
/** However slowly an answer trickles in, it is given up after so many request timeouts. */
const MAX_TIMEOUTS = 4;
/** A peer that could not give what it announced is asked again what it holds after this. */
const DOUBT_MS = 30_000;
/** Issuers looked at in vain per call: while a link is full, its answers call again. */
const MAX_FRUITLESS = 64;
/** Close to the bound of holes only what joins a held range is asked for. */
const FEW_HOLES = 16;
const EMPTY: readonly Span[] = [];

export class Sync {
  readonly #ctx: Context;
  readonly #segments: Segments;
  /** Issuers with something missing that some peer holds, in the order they wait. */
  readonly #wanting = new Set<Issuer>();
  readonly #coming = new Coming();
  readonly #held = new ClockHold();
  /** Requests made so far. */
  #asked = 0;
  #forks: Forks | undefined;
  #resign: Resign | undefined;
  constructor(ctx: Context, enforcement: Enforcement) {
    this.#ctx = ctx;
    this.#segments = new Segments(ctx, enforcement, () => this.#forks);
  }
  /** Sync and these need each other: it hands them what they asked it to fetch. */
  bind(forks: Forks, resign: Resign): void {
    this.#forks = forks;
    this.#resign = resign;
  }

  // ---- planning ----

  /** Something about this issuer changed: what peers hold, what we hold, or what may be asked. */
  reconsider(issuer: Issuer): void {
    this.#wanting.add(issuer);
  }

  /** A peer's inventory was taken in. */
  heard(link: Link): void {
    this.#resign?.heard(link);
  }

  /** Hands out requests until the links' slots are used up. Called once at the end of every `handle`. */
  plan(): void {
    if (this.#wanting.size === 0) return;
    const peers = this.#ctx.peers();
    if (peers.length === 0) this.#wanting.clear();
    const links = peers.filter(({ holdUntil }) => holdUntil <= this.#ctx.now);
    const onHold = peers.filter(({ holdUntil }) => holdUntil > this.#ctx.now);
    let slots = links.reduce((sum, link) => sum + Math.max(0, this.#slots(link)), 0);
    links.sort((a, b) => COST[a.info.cost] - COST[b.info.cost] || a.requests.size - b.requests.size);
    let fruitless = 0;
    for (const issuer of [...this.#wanting]) {
      if (slots <= 0 || fruitless >= MAX_FRUITLESS) return;
      const before = this.#asked;
      // Whoever still lacks something goes to the end, so that no issuer starves another.
      this.#wanting.delete(issuer);
      if (this.#planIssuer(issuer, links) || onHold.some((link) => this.#lacks(link, issuer)))
        this.#wanting.add(issuer);
      slots -= this.#asked - before;
      if (this.#asked === before && this.#wanting.has(issuer)) fruitless++;
    }
  }

  /** Whether the peer could give something; it is not asked yet. */
  #lacks(link: Link, issuer: Issuer): boolean {
    const state = this.#ctx.admitted(issuer);
    return state !== undefined && this.#missing(link, state).length > 0;
  }

  #slots(link: Link): number {
    return (link.info.bitrate < SLOW_BITRATE ? 1 : this.#ctx.limits.requestsPerLink) - link.requests.size;
  }

  /** Returns whether something askable is still missing. */
  #planIssuer(issuer: Issuer, links: readonly Link[]): boolean {
    const state = this.#ctx.admitted(issuer);
    if (state === undefined) return false;
    if (this.#ctx.now >= state.heldUntil) state.heldSeq = Number.POSITIVE_INFINITY;
    let left = false;
    for (const link of links) {
      if (issuer !== this.#ctx.own && !this.#mayStore(state, link)) continue;
      let missing = this.#missing(link, state);
      while (missing[0] !== undefined && this.#slots(link) > 0) {
        this.#want(link, issuer, missing, "sync");
        missing = this.#missing(link, state);
      }
      left ||= missing.length > 0;
    }
    return left;
  }

  /** False while a quota or the disk allows nothing more; the issuer is looked at again when it does. */
  #mayStore({ record }: IssuerState, link: Link): boolean {
    const { now, storage } = this.#ctx;
    if (!storage.room) return false;
    const at = storage.readyAt(record.issuer, record.ranges, link, now);
    if (at <= now) return true;
    if (Number.isFinite(at)) this.#held.hold(record.issuer, at);
    this.#ctx.refused(link.id, "quota_exceeded");
    return false;
  }

  /** What the peer holds below the cut and the seq held back. */
  #askable(link: Link, state: IssuerState): Span[] {
    const own = state.record.issuer === this.#ctx.own ? this.#ctx.ownChain.fetchBelow : Number.POSITIVE_INFINITY;
    const limit = Math.min(this.#ctx.cutOf(state), state.heldSeq, own);
    return clipSpans(link.have.get(state.record.issuer)?.ranges ?? EMPTY, limit);
  }

  /** How many envelopes of an issuer this peer could still give. */
  lacking(link: Link, issuer: Issuer): number {
    const state = this.#ctx.admitted(issuer);
    if (state === undefined) return 0;
    const missing = subtractSpans(this.#askable(link, state), state.durable.ranges);
    return missing.reduce((sum, { from, to }) => sum + to - from + 1, 0);
  }

  #missing(link: Link, state: IssuerState): Span[] {
    const held = this.#askable(link, state);
    if (held.length === 0) return held;
    const { ranges, prunedBelow, issuer } = state.record;
    let known: readonly Span[] = ranges;
    if (prunedBelow > 0) known = uniteSpans(known, [{ from: 0, to: prunedBelow - 1 }]);
    const coming = this.#coming.spans(issuer);
    if (coming.length > 0) known = uniteSpans(known, coming);
    const missing = subtractSpans(held, known);
    if (!this.#isTight(state)) return missing;
    return missing.filter(({ from }) => from === 0 || holds(ranges, from - 1));
  }

  /** Close to the bound of holes. */
  #isTight({ record: { ranges } }: IssuerState): boolean {
    return this.#ctx.holes.most(ranges) - ranges.length <= FEW_HOLES;
  }

  /** Asks for the first of `missing`, and for what follows it as far as the peer holds nothing else in between. */
  #want(link: Link, issuer: Issuer, missing: readonly Span[], purpose: Request["purpose"]): void {
    const { now, limits } = this.#ctx;
    const slowBytes = Math.floor((link.info.bitrate / 8) * SLOW_LINK_SECONDS);
    const maxBytes = Math.max(MIN_REQUEST_BYTES, Math.min(MAX_ANSWER_BYTES, slowBytes));
    const fit = Math.max(1, Math.floor((0.85 * maxBytes) / link.averageBytes));
    // Whole segments: each costs one signature check, however short.
    const whole = fit < MAX_SEGMENT_ENVELOPES ? fit : fit - (fit % MAX_SEGMENT_ENVELOPES);
    const { from, to, count } = stretch(
      missing,
      link.have.get(issuer)?.ranges ?? EMPTY,
      Math.min(MAX_ANSWER_ITEMS, whole),
    );
    const maxItems = count;
    const id = this.#ctx.nextId();
    const lastly = now + MAX_TIMEOUTS * limits.requestTimeoutMs + transferMs(link);
    const progress = { next: from, skipped: [], offered: false, deadline: 0, lastly };
    const request: Request = { id, link: link.id, issuer, from, to, purpose, ...progress };
    this.#extend(request, link);
    link.requests.set(id, request);
    this.#ctx.openRequests++;
    this.#asked++;
    if (purpose === "sync") this.#coming.ask(request);
    this.#ctx.send(link, { type: "want", request: id, issuer, from, to, maxItems, maxBytes });
  }

  #extend(request: Request, link: Link): void {
    const deadline = this.#ctx.now + this.#ctx.limits.requestTimeoutMs + transferMs(link);
    request.deadline = Math.min(deadline, request.lastly);
  }

  /** Asks one peer for one envelope that is not to be stored as part of the chain. */
  fetch(link: Link, issuer: Issuer, seq: number, purpose: "evidence" | "signature"): void {
    this.#want(link, issuer, [{ from: seq, to: seq }], purpose);
  }

  /** Like `fetch` as evidence, unless one of that issuer is on its way already. */
  fetchOnce(link: Link, issuer: Issuer, seq: number): void {
    for (const open of link.requests.values()) if (open.purpose === "evidence" && open.issuer === issuer) return;
    this.fetch(link, issuer, seq, "evidence");
  }

  // ---- answers ----

  /** False if the frame answers no open request: late after a timeout is no fault, but unasked is. */
  answer(link: Link, frame: Answer): boolean {
    const request = link.requests.get(frame.request);
    if (request === undefined) {
      if (!this.#ctx.isPast(frame.request)) {
        throw new SpineError("frame_unexpected", `answer to request ${frame.request}, which was never made`);
      }
      return false;
    }
    if (frame.type === "segment") this.#segment(link, request, frame);
    else if (frame.type === "offer") this.#offered(link, request);
    else this.#ended(link, request, frame.reason === "limit");
    return true;
  }

  #offered(link: Link, request: Request): void {
    if (request.offered) throw new SpineError("frame_unexpected", "totals were announced already");
    request.offered = true;
    this.#extend(request, link);
  }

  #ended(link: Link, request: Request, askAgain: boolean): void {
    this.#close(link, request);
    const rest = { from: request.next, to: request.to };
    if (request.purpose !== "sync") return;
    this.#disown(link, request.issuer, request.skipped);
    if (!(askAgain && request.next > request.from)) this.#disown(link, request.issuer, [rest]);
  }

  /** The peer could not give what it announced: believe it no more until it announces again, and ask it to later. */
  #disown(link: Link, issuer: Issuer, spans: readonly Span[]): void {
    const have = link.have.get(issuer);
    if (have === undefined) return;
    const gone = intersectSpans(
      spans.filter(({ from, to }) => from <= to),
      have.ranges,
    );
    if (gone.length === 0) return;
    this.#ctx.believe(link, issuer, { ...have, ranges: subtractSpans(have.ranges, gone) });
    if (link.doubts.size === 0) link.doubtsAt = this.#ctx.now + DOUBT_MS;
    link.doubts.add(issuer);
  }

  #close(link: Link, request: Request): void {
    if (link.requests.delete(request.id)) this.#ctx.openRequests--;
    this.#coming.close(request);
    this.reconsider(request.issuer);
    if (request.purpose === "signature" && request.next <= request.to) {
      this.#resign?.failed(request.issuer, request.from);
    }
  }

  #segment(link: Link, request: Request, frame: SegmentFrame): void {
    if (frame.count === 0 || frame.from < request.next || frame.from + frame.count - 1 > request.to) {
      throw new SpineError("segment_invalid", "the segment is outside the request");
    }
    const envelopes = openSegment(request.issuer, frame, this.#ctx);
    link.averageBytes = Math.max(128, 0.75 * link.averageBytes + 0.25 * (frame.records.length / frame.count));
    if (frame.from > request.next) request.skipped.push({ from: request.next, to: frame.from - 1 });
    request.next = frame.from + frame.count;
    this.#extend(request, link);
    if (request.purpose === "evidence") return this.#forks?.evidence(envelopes[0] as Envelope, link);
    if (request.purpose === "signature") return this.#resign?.answer(envelopes[0] as Envelope, link);
    const { issuer } = request;
    const span: Span = { from: frame.from, to: request.next - 1 };
    this.#coming.verify(issuer, span);
    this.#segments.admit(link, envelopes, frame.records, (outcome) => {
      this.#coming.verified(issuer, span);
      const state = this.#ctx.admitted(issuer);
      // What was on its way and is held now leaves nothing new to ask for.
      if (state === undefined || this.#isTight(state) || !holdsAll(state.record.ranges, span)) this.reconsider(issuer);
      const until = state?.heldUntil ?? 0;
      if (until > this.#ctx.now) this.#held.hold(issuer, until);
      if (outcome === "useless") this.#disown(link, issuer, [span]);
      if (outcome !== "invalid") return;
      this.#close(link, request);
      this.#ctx.disbelieve(link, issuer);
      this.#ctx.blame(link, "signature_invalid", "the segment's last signature does not verify");
    });
  }

  // ---- time ----

  linkDown(link: Link): void {
    for (const request of [...link.requests.values()]) this.#close(link, request);
    for (const issuer of link.have.keys()) this.reconsider(issuer);
  }

  /** Gives up on answers that are overdue, and asks again where a peer was doubted. */
  expire(): void {
    const { now } = this.#ctx;
    for (const link of this.#ctx.links.values()) {
      for (const request of [...link.requests.values()]) {
        if (Math.min(request.deadline, request.lastly) > now) continue;
        this.#close(link, request);
        this.#disown(link, request.issuer, [...request.skipped, { from: request.next, to: request.to }]);
        this.#ctx.refused(link.id, "request_timeout");
      }
    }
    for (const link of this.#ctx.peers()) {
      if (link.doubtsAt > now) continue;
      const issuers = [...link.doubts].slice(0, MAX_INVENTORY_ENTRIES);
      for (const issuer of issuers) link.doubts.delete(issuer);
      link.doubtsAt = link.doubts.size > 0 ? now + DOUBT_MS : Number.POSITIVE_INFINITY;
      this.#ctx.send(link, { type: "ask-inventory", issuers });
    }
  }

  /** When something is due that no input of a peer or the driver announces. */
  nextDeadline(): Millis {
    for (const issuer of this.#held.release(this.#ctx.now)) this.reconsider(issuer);
    let next = this.#held.next;
    for (const link of this.#ctx.peers()) {
      next = Math.min(next, link.doubtsAt);
      if (link.holdUntil > this.#ctx.now) next = Math.min(next, link.holdUntil);
    }
    return next;
  }

  /** What waits for a duration, rather than for a time of day, moves with the clock. */
  stepBack(ms: Millis): void {
    for (const link of this.#ctx.links.values()) {
      link.doubtsAt -= ms;
      link.holdUntil -= ms;
      link.dirtyAt -= ms;
      link.comparedAt -= ms;
      for (const request of link.requests.values()) {
        request.deadline -= ms;
        request.lastly -= ms;
      }
    }
  }

  get openRequests(): number {
    return this.#ctx.openRequests;
  }
  get waitingIssuers(): number {
    return this.#wanting.size;
  }
}

/** The first `most` of `missing` in one range, which ends before anything that is held there and not missing. */
function stretch(missing: readonly Span[], held: readonly Span[], most: number): Span & { readonly count: number } {
  const first = missing[0] as Span;
  let { to } = first;
  let count = to - first.from + 1;
  for (let i = 1; count < most && i < missing.length; i++) {
    const next = missing[i] as Span;
    if (intersectSpans([{ from: to + 1, to: next.from - 1 }], held).length > 0) break;
    count += next.to - next.from + 1;
    to = next.to;
  }
  return { from: first.from, to: to - Math.max(0, count - most), count: Math.min(count, most) };
}

const COST = { free: 0, metered: 1, radio: 2 } as const;

/** Twice the time a full answer takes on this link, at most ten minutes. */
function transferMs(link: Link): Millis {
  if (!Number.isFinite(link.info.bitrate)) return 0;
  return Math.min((2 * 8000 * MAX_ANSWER_BYTES) / link.info.bitrate, 600_000);
}
