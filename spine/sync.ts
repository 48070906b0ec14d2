/**
 * Fetching what is missing: plans range requests over all links and admits the answers segment by segment with
 * chain-amortised verification (rules 5). Budgets are in items and bytes; totals come before data.
 */
import { EnvelopeState, type IssuerRecord } from "./commit.ts";
import type { Context, IssuerState, Link, Request } from "./context.ts";
import { claimOf, type Envelope } from "./envelope.ts";
import { SpineError } from "./errors.ts";
import { actsAlone } from "./fact.ts";
import type { Forks } from "./forks.ts";
import { type Frame, MAX_SEGMENT_BYTES } from "./frame.ts";
import { clipSpans, joinRange, type Span, subtractSpans, uniteSpans } from "./have.ts";
import { isDue } from "./intake.ts";
import { openSigningBytes } from "./open.ts";
import type { Claim, EnvelopeHash, Issuer, Millis } from "./ports.ts";
import { RECORD_OVERHEAD_BYTES, walkRecords } from "./record.ts";
import type { Resign } from "./resign.ts";

type FrameOf<T extends Frame["type"]> = Extract<Frame, { type: T }>;

/** Most envelopes and bytes asked for at once; six requests in flight stay below a stream's read buffer. */
const REQUEST_ITEMS = 1024;
const REQUEST_BYTES = 524_288;
/** Below this many bits per second one request at a time is enough to fill a link. */
const SLOW_BITRATE = 1_000_000;
/** A request on a slow link asks for about this many seconds of it. */
const SLOW_LINK_SECONDS = 5;
const MIN_REQUEST_BYTES = 1024;
const EMPTY: readonly Span[] = [];

export class Sync {
  readonly #ctx: Context;
  /** Issuers with something missing that some peer holds, in the order they wait. */
  readonly #wanting = new Set<Issuer>();
  readonly #inFlight = new Map<Issuer, Set<Request>>();
  /** Issuers held back by the clock rule, and until when. */
  readonly #held = new Map<Issuer, Millis>();
  /** Requests made so far. */
  #asked = 0;
  #forks: Forks | undefined;
  #resign: Resign | undefined;
  constructor(ctx: Context) {
    this.#ctx = ctx;
  }
  /** Sync and these need each other: it hands them what they asked it to fetch. */
  bind(forks: Forks, resign: Resign): void {
    this.#forks = forks;
    this.#resign = resign;
  }

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
    const links = [...this.#ctx.links.values()].filter((link) => link.issuer !== null);
    let slots = links.reduce((sum, link) => sum + Math.max(0, this.#slots(link)), 0);
    links.sort((a, b) => COST[a.info.cost] - COST[b.info.cost] || a.requests.size - b.requests.size);
    for (const issuer of [...this.#wanting]) {
      if (slots <= 0) return;
      const before = this.#asked;
      // Whoever still lacks something goes to the end, so that no issuer starves another.
      this.#wanting.delete(issuer);
      if (this.#planIssuer(issuer, links)) this.#wanting.add(issuer);
      slots -= this.#asked - before;
    }
  }

  #slots(link: Link): number {
    return (link.info.bitrate < SLOW_BITRATE ? 1 : this.#ctx.limits.requestsPerLink) - link.requests.size;
  }

  /** Returns whether something askable is still missing. */
  #planIssuer(issuer: Issuer, links: readonly Link[]): boolean {
    const state = this.#ctx.admitted(issuer);
    if (state === undefined || issuer === this.#ctx.own) return false;
    if (this.#ctx.now >= state.heldUntil) state.heldSeq = Number.POSITIVE_INFINITY;
    const limit = Math.min(state.record.frozenAt ?? Number.POSITIVE_INFINITY, state.heldSeq);
    let left = false;
    for (const link of links) {
      const held = link.have.get(issuer)?.ranges ?? EMPTY;
      let missing = this.#missing(state, clipSpans(held, limit));
      while (missing[0] !== undefined && this.#slots(link) > 0) {
        this.#want(link, issuer, missing[0], "sync");
        missing = this.#missing(state, clipSpans(held, limit));
      }
      left ||= missing.length > 0;
    }
    return left;
  }

  /** How many envelopes of an issuer this peer could still give. */
  lacking(link: Link, issuer: Issuer): number {
    const state = this.#ctx.admitted(issuer);
    if (state === undefined || issuer === this.#ctx.own) return 0;
    const limit = Math.min(state.record.frozenAt ?? Number.POSITIVE_INFINITY, state.heldSeq);
    const held = clipSpans(link.have.get(issuer)?.ranges ?? EMPTY, limit);
    return subtractSpans(held, state.durable.ranges).reduce((sum, { from, to }) => sum + to - from + 1, 0);
  }

  #missing(state: IssuerState, held: readonly Span[]): Span[] {
    if (held.length === 0) return [];
    const { ranges, prunedBelow } = state.record;
    let known: readonly Span[] = ranges;
    if (prunedBelow > 0) known = uniteSpans(known, [{ from: 0, to: prunedBelow - 1 }]);
    const flights = this.#inFlight.get(state.record.issuer);
    if (flights !== undefined && flights.size > 0) {
      known = uniteSpans(
        known,
        [...flights].filter(({ next, to }) => next <= to).map(({ next, to }) => ({ from: next, to })),
      );
    }
    return subtractSpans(held, known);
  }

  #want(link: Link, issuer: Issuer, span: Span, purpose: Request["purpose"]): void {
    const slowBytes = Math.floor((link.info.bitrate / 8) * SLOW_LINK_SECONDS);
    const maxBytes = Math.max(MIN_REQUEST_BYTES, Math.min(REQUEST_BYTES, slowBytes));
    const fit = Math.max(1, Math.floor((0.85 * maxBytes) / link.averageBytes));
    const maxItems = Math.min(REQUEST_ITEMS, fit, span.to - span.from + 1);
    const to = span.from + maxItems - 1;
    const id = this.#ctx.nextId();
    const request: Request = { id, link: link.id, issuer, to, purpose, next: span.from, deadline: 0 };
    this.#extend(request, link);
    link.requests.set(id, request);
    this.#asked++;
    if (purpose === "sync") {
      const flights = this.#inFlight.get(issuer) ?? new Set<Request>();
      this.#inFlight.set(issuer, flights.add(request));
    }
    this.#ctx.send(link, { type: "want", request: id, issuer, from: span.from, to, maxItems, maxBytes });
  }

  #extend(request: Request, link: Link): void {
    const transferMs = Number.isFinite(link.info.bitrate) ? (2 * 8000 * REQUEST_BYTES) / link.info.bitrate : 0;
    request.deadline = this.#ctx.now + this.#ctx.limits.requestTimeoutMs + Math.min(transferMs, 600_000);
  }

  /** Asks one peer for one envelope that is not to be stored as part of the chain. */
  fetch(link: Link, issuer: Issuer, seq: number, purpose: "evidence" | "signature"): void {
    this.#want(link, issuer, { from: seq, to: seq }, purpose);
  }

  offered(link: Link, frame: FrameOf<"offer">): void {
    const request = this.#open(link, frame.request);
    if (request !== undefined) this.#extend(request, link);
  }

  ended(link: Link, frame: FrameOf<"end">): void {
    const request = this.#open(link, frame.request);
    if (request === undefined) return;
    const progressed = request.next > request.to || frame.reason === "limit";
    this.#close(link, request);
    if (request.purpose === "sync" && !progressed) this.#disown(link, request);
  }

  /** The peer could not give what it announced: believe it no more until it announces again. */
  #disown(link: Link, request: Request): void {
    const have = link.have.get(request.issuer);
    if (have === undefined) return;
    const ranges = subtractSpans(have.ranges, [{ from: request.next, to: request.to }]);
    link.have.set(request.issuer, { ...have, ranges });
  }

  #open(link: Link, id: number): Request | undefined {
    const request = link.requests.get(id);
    // Late answers to a request that timed out are no fault.
    if (request === undefined && id >= this.#ctx.nextId()) {
      throw new SpineError("frame_unexpected", `answer to request ${id}, which was never made`);
    }
    return request;
  }

  #close(link: Link, request: Request): void {
    link.requests.delete(request.id);
    const flights = this.#inFlight.get(request.issuer);
    flights?.delete(request);
    if (flights?.size === 0) this.#inFlight.delete(request.issuer);
    this.reconsider(request.issuer);
  }

  /** One segment: at most 256 envelopes, held unverified only until the answer to one verify job. */
  segment(link: Link, frame: FrameOf<"segment">): void {
    const request = this.#open(link, frame.request);
    if (request === undefined) return;
    if (frame.count === 0 || frame.from < request.next || frame.from + frame.count - 1 > request.to) {
      throw new SpineError("segment_invalid", "the segment is outside the request");
    }
    if (frame.records.length > MAX_SEGMENT_BYTES && frame.count > 1) {
      throw new SpineError("segment_invalid", "the segment is larger than 256 KiB");
    }
    const envelopes = this.#openSegment(request.issuer, frame);
    link.averageBytes = Math.max(128, 0.75 * link.averageBytes + 0.25 * (frame.records.length / frame.count));
    request.next = frame.from + frame.count;
    this.#extend(request, link);
    if (request.purpose === "evidence") return this.#forks?.evidence(envelopes[0] as Envelope, link);
    if (request.purpose === "signature") return this.#resign?.answer(envelopes[0] as Envelope, link);
    this.#verify(link, request, frame, envelopes);
  }

  /** Decodes and checks the links inside the segment; throws with blame on the sender. */
  #openSegment(issuer: Issuer, frame: FrameOf<"segment">): Envelope[] {
    const envelopes: Envelope[] = [];
    let previous: EnvelopeHash | null | undefined;
    for (const { signingBytes, signature } of walkRecords(frame.records)) {
      const envelope = openSigningBytes(signingBytes, signature, this.#ctx.sha256Hex);
      if (envelope.issuer !== issuer || envelope.seq !== frame.from + envelopes.length) {
        throw new SpineError("segment_invalid", "the segment holds an envelope of another issuer or seq");
      }
      if (previous !== undefined && envelope.prev !== previous) {
        throw new SpineError("segment_invalid", `envelope ${envelope.seq} does not link to its predecessor`);
      }
      previous = envelope.hash;
      envelopes.push(envelope);
    }
    if (envelopes.length !== frame.count) throw new SpineError("segment_invalid", "wrong number of envelopes");
    return envelopes;
  }

  #verify(link: Link, request: Request, frame: FrameOf<"segment">, received: readonly Envelope[]): void {
    const state = this.#ctx.admitted(request.issuer);
    if (state === undefined) return;
    const envelopes = this.#cut(state, received);
    const last = envelopes.at(-1);
    if (last === undefined) return;
    const alone = envelopes.filter((envelope) => envelope !== last && actsAlone(envelope.factSchema));
    const claims: Claim[] = [last, ...alone].map(claimOf);
    this.#ctx.verify(claims, link.id, (verdicts) => {
      if (!verdicts[0]) {
        this.#failed(link, request, "the segment's last signature does not verify");
        return;
      }
      // A bad own signature below a verified one is nobody's fault; in state `chain` the fact has no effect yet.
      const states = new Uint8Array(envelopes.length).fill(EnvelopeState.chain);
      for (const [i, envelope] of [last, ...alone].entries()) {
        if (verdicts[i]) states[envelope.seq - frame.from] = EnvelopeState.signature;
      }
      this.#admit(link, state, envelopes, states, frame.records);
    });
  }

  #failed(link: Link, request: Request, message: string): void {
    this.#close(link, request);
    link.have.delete(request.issuer);
    this.#ctx.blame(link, "signature_invalid", message);
  }

  /** The part of a segment that may be stored now: below the frozen seq and not issued in the future. */
  #cut(state: IssuerState, envelopes: readonly Envelope[]): readonly Envelope[] {
    const { now, limits } = this.#ctx;
    const frozenAt = state.record.frozenAt ?? Number.POSITIVE_INFINITY;
    const end = envelopes.findIndex(({ seq }) => seq >= frozenAt);
    const early = envelopes.findIndex((envelope) => !isDue(envelope, now, limits.futureMs));
    if (early >= 0) {
      const envelope = envelopes[early] as Envelope;
      state.heldSeq = Math.min(state.heldSeq, envelope.seq);
      state.heldUntil = envelope.issuedAtMs - limits.futureMs;
      this.#held.set(envelope.issuer, state.heldUntil);
      this.#ctx.emit({ type: "notify", event: { type: "refused", link: null, code: "issued_in_future" } });
    }
    const stop = Math.min(end < 0 ? envelopes.length : end, early < 0 ? envelopes.length : early);
    return stop === envelopes.length ? envelopes : envelopes.slice(0, stop);
  }

  #admit(
    link: Link,
    state: IssuerState,
    envelopes: readonly Envelope[],
    states: Uint8Array,
    records: Uint8Array,
  ): void {
    const [first, last] = [envelopes[0] as Envelope, envelopes.at(-1) as Envelope];
    const head = state.head;
    if (head !== null && head.seq >= first.seq && head.seq <= last.seq) {
      const stated = envelopes[head.seq - first.seq] as Envelope;
      if (stated.hash !== head.hash) return this.#contradicts(link, head.seq, stated);
    }
    const joined = joinRange(state.record.ranges, { from: first.seq, to: last.seq, prev: first.prev, last: last.hash });
    if (joined.type === "conflict") return this.#contradicts(link, joined.seq, joined.side === "below" ? first : last);
    // Another link was faster, or the issuer has too many holes already: nothing is lost, it is asked for again.
    if (joined.type !== "joined") return;
    const record: IssuerRecord = { ...state.record, ranges: joined.ranges };
    state.record = record;
    const length = envelopes.reduce((sum, { signingBytes }) => sum + signingBytes.length + RECORD_OVERHEAD_BYTES, 0);
    const run = {
      issuer: record.issuer,
      from: first.seq,
      hashes: envelopes.map(({ hash }) => hash),
      records: records.length === length ? records : records.subarray(0, length),
      states,
    };
    this.#ctx.commit({ runs: [run], issuers: [record] }, () => {
      this.#ctx.stored(run, link.id);
      this.#ctx.markDirty(record.issuer, null);
    });
  }

  /** The issuer signed two histories: prove it with the statement's own signature. The link is not to blame. */
  #contradicts(link: Link, seq: number, envelope: Envelope): void {
    this.#ctx.verify([claimOf(envelope)], link.id, ([valid]) => {
      if (valid) this.#forks?.conflict(envelope.issuer, seq, { kind: "envelope", envelope }, link.id);
      else link.have.delete(envelope.issuer);
    });
  }

  linkDown(link: Link): void {
    for (const request of [...link.requests.values()]) this.#close(link, request);
    for (const issuer of link.have.keys()) this.reconsider(issuer);
  }

  /** Gives up on answers that are overdue; returns when to look again. */
  expire(): Millis {
    let next = Number.POSITIVE_INFINITY;
    for (const link of this.#ctx.links.values()) {
      for (const request of [...link.requests.values()]) {
        if (request.deadline <= this.#ctx.now) {
          this.#close(link, request);
          this.#disown(link, request);
          this.#ctx.emit({ type: "notify", event: { type: "refused", link: link.id, code: "request_timeout" } });
        } else {
          next = Math.min(next, request.deadline);
        }
      }
    }
    return next;
  }

  /** Earliest time at which an issuer held back by the clock rule may be asked for again. */
  heldUntil(): Millis {
    let next = Number.POSITIVE_INFINITY;
    for (const [issuer, until] of this.#held) {
      if (until > this.#ctx.now) {
        next = Math.min(next, until);
        continue;
      }
      this.#held.delete(issuer);
      this.reconsider(issuer);
    }
    return next;
  }

  get openRequests(): number {
    let count = 0;
    for (const link of this.#ctx.links.values()) count += link.requests.size;
    return count;
  }
  get waitingIssuers(): number {
    return this.#wanting.size;
  }
}

const COST = { free: 0, metered: 1, radio: 2 } as const;
