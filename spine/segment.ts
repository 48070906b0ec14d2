/**
 * Admission of what a range request brought: one segment at a time, authenticated by its last envelope's own signature
 * and the links below it (rules 5). Called by `sync.ts`.
 */

import type { Acting } from "./acting.ts";
import { hasRealLeaf } from "./checkpoint-cadence.ts";
import { EnvelopeState } from "./commit.ts";
import type { Context } from "./context.ts";
import { type Enforcement, nothingActed } from "./enforcement.ts";
import { claimOf, type Envelope } from "./envelope.ts";
import { SpineError } from "./errors.ts";
import { actsAlone } from "./fact.ts";
import type { Forks } from "./forks.ts";
import { type Frame, MAX_SEGMENT_BYTES } from "./frame.ts";
import { openSigningBytes } from "./open.ts";
import type { Claim, EnvelopeHash, Issuer } from "./ports.ts";
import { RECORD_OVERHEAD_BYTES, walkRecords } from "./record.ts";
import type { IssuerState, Link } from "./state.ts";

export type SegmentFrame = Extract<Frame, { type: "segment" }>;

/** "invalid": the last signature is false; "useless": nothing of it can be used, ask this peer no more; else "done". */
export type SegmentOutcome = "done" | "invalid" | "useless";

/** Decodes and checks the links inside a segment; throws with blame on the sender. */
export function openSegment(issuer: Issuer, frame: SegmentFrame, ctx: Context): Envelope[] {
  if (frame.records.length > MAX_SEGMENT_BYTES && frame.count > 1) {
    throw new SpineError("segment_invalid", "the segment is larger than 256 KiB");
  }
  const envelopes: Envelope[] = [];
  let previous: EnvelopeHash | null | undefined;
  for (const { signingBytes, signature } of walkRecords(frame.records)) {
    if (envelopes.length === frame.count) throw new SpineError("segment_invalid", "more envelopes than announced");
    const envelope = openSigningBytes(signingBytes, signature, ctx.sha256Hex);
    if (envelope.issuer !== issuer || envelope.seq !== frame.from + envelopes.length) {
      throw new SpineError("segment_invalid", "the segment holds an envelope of another issuer or seq");
    }
    if (previous !== undefined && envelope.prev !== previous) {
      throw new SpineError("segment_invalid", `envelope ${envelope.seq} does not link to its predecessor`);
    }
    previous = envelope.hash;
    envelopes.push(envelope);
  }
  if (envelopes.length !== frame.count) throw new SpineError("segment_invalid", "fewer envelopes than announced");
  return envelopes;
}

/** A segment whose envelopes were verified as far as they have to be. */
interface Proven {
  readonly link: Link;
  readonly envelopes: readonly Envelope[];
  readonly states: Uint8Array;
  readonly records: Uint8Array;
  /** Facts that act, by index, whose every signature was verified. */
  readonly acting: ReadonlyMap<number, Acting>;
}

/** Envelopes to check on their own, by index, with what their facts act on. */
interface Plan {
  /** Authenticates everything below it, down to the one before; undefined when nothing of the segment may be stored. */
  readonly base: number | undefined;
  readonly alone: readonly number[];
  readonly acting: ReadonlyMap<number, Acting>;
}

/** First seqs that a fact takes away from its own chain: nothing above may authenticate what is below (rules 5). */
function cutsIn({ fact }: Acting, issuer: Issuer): number[] {
  if (fact.type === "handover") return fact.handover.old === issuer ? [fact.handover.lastSeq + 1] : [];
  if (fact.type !== "revocation") return [];
  return fact.revocation.targets.flatMap(({ value, fromSeq }) => (value === issuer ? [fromSeq] : []));
}

export class Segments {
  readonly #ctx: Context;
  readonly #enforcement: Enforcement;
  readonly #forks: () => Forks | undefined;
  constructor(ctx: Context, enforcement: Enforcement, forks: () => Forks | undefined) {
    this.#ctx = ctx;
    this.#enforcement = enforcement;
    this.#forks = forks;
  }

  /** Verifies and stores; `done` is called once. Admission, cuts and clock are judged after the verification again. */
  admit(
    link: Link,
    envelopes: readonly Envelope[],
    records: Uint8Array,
    done: (outcome: SegmentOutcome) => void,
  ): void {
    const plan = this.#plan(envelopes);
    const own = plan.base === undefined ? plan.alone : [plan.base, ...plan.alone];
    const claims: Claim[] = own.map((i) => claimOf(envelopes[i] as Envelope));
    for (const { claims: inner } of plan.acting.values()) claims.push(...inner);
    if (claims.length === 0) return done("useless");
    this.#ctx.verify(claims, link.id, (verdicts) => {
      if (plan.base !== undefined && !verdicts[0]) return done("invalid");
      // A bad own signature below a verified one is nobody's fault; in state `chain` the fact has no effect yet.
      const states = new Uint8Array(envelopes.length).fill(EnvelopeState.chain);
      for (const [at, i] of own.entries()) if (verdicts[at]) states[i] = EnvelopeState.signature;
      let at = own.length;
      const acting = new Map<number, Acting>();
      for (const [i, one] of plan.acting) {
        const inner = verdicts.slice(at, at + one.claims.length);
        at += one.claims.length;
        if (states[i] === EnvelopeState.signature && inner.every(Boolean)) acting.set(i, one);
      }
      done(this.#store({ link, envelopes, states, records, acting }));
    });
  }

  #plan(envelopes: readonly Envelope[]): Plan {
    const first = envelopes[0] as Envelope;
    const state = this.#ctx.admitted(first.issuer);
    const stop = Math.min(envelopes.length, (state === undefined ? 0 : this.#ctx.cutOf(state)) - first.seq);
    const base = stop > 0 ? stop - 1 : undefined;
    const alone = new Set<number>();
    const acting = new Map<number, Acting>();
    for (const [i, envelope] of envelopes.entries()) {
      if (!actsAlone(envelope.factSchema)) continue;
      alone.add(i);
      const one = this.#enforcement.read(envelope);
      if (one === undefined) continue;
      acting.set(i, one);
      for (const seq of cutsIn(one, first.issuer)) {
        const below = seq - 1 - first.seq;
        if (below >= 0 && below < stop) alone.add(below);
      }
    }
    if (base !== undefined) alone.delete(base);
    return { base, alone: [...alone], acting };
  }

  /** Stores what lies below the cut and is due; of what is not due only what no clock may silence (rules 3). */
  #store(proven: Proven): SegmentOutcome {
    const { envelopes, states, acting } = proven;
    const first = envelopes[0] as Envelope;
    const state = this.#ctx.admitted(first.issuer);
    if (state === undefined) return "useless";
    const isDue = (i: number): boolean => this.#enforcement.isDue(envelopes[i] as Envelope, acting.get(i));
    // A chain may cut itself: what its own facts say counts before the rest is stored.
    const facts = [...acting].flatMap(([i, one]) => (isDue(i) ? [one] : []));
    const cuts = facts
      .filter((one) => this.#enforcement.willAct(one, facts))
      .flatMap((one) => cutsIn(one, first.issuer));
    const cut = Math.min(this.#ctx.cutOf(state), ...cuts);
    const end = Math.max(0, Math.min(envelopes.length, cut - first.seq));
    this.#keep(proven, (i) => i >= end && isDue(i));
    if (end === 0) return "useless";
    // The cut came down while the signatures were checked: what lies below it is asked for again.
    if (states[end - 1] !== EnvelopeState.signature) return "done";
    const early = envelopes.findIndex((_, i) => i < end && !isDue(i));
    if (early < 0) return this.#piece(proven, state, 0, end);
    this.#hold(state, envelopes[early] as Envelope);
    let outcome: SegmentOutcome = early === 0 ? "done" : this.#piece(proven, state, 0, early);
    for (let i = early + 1; i < end; i++) {
      const urgent = states[i] === EnvelopeState.signature && isDue(i);
      if (urgent && (envelopes[i] as Envelope).issuedAtMs > this.#ctx.now + this.#ctx.limits.futureMs) {
        if (this.#piece(proven, state, i, i + 1) === "useless") outcome = "useless";
      }
    }
    return outcome;
  }

  #hold(state: IssuerState, envelope: Envelope): void {
    state.heldSeq = Math.min(state.heldSeq, envelope.seq);
    state.heldUntil = envelope.issuedAtMs - this.#ctx.limits.futureMs;
    this.#ctx.refused(null, "issued_in_future");
  }

  /** Takes envelopes `start` to `stop − 1` of the segment into what is held. */
  #piece(proven: Proven, state: IssuerState, start: number, stop: number): SegmentOutcome {
    const { link, states, records } = proven;
    const envelopes = proven.envelopes.slice(start, stop);
    const [first, last] = [envelopes[0] as Envelope, envelopes.at(-1) as Envelope];
    // Retention was faster: what lies below its mark is not taken again.
    if (first.seq < state.record.prunedBelow) return "done";
    const head = state.newest;
    const stated = head === null ? undefined : envelopes[head.seq - first.seq];
    if (head !== null && stated !== undefined && stated.hash !== head.hash) {
      return this.#contradicts(proven, start, stop, head.seq, stated);
    }
    const piece = { from: first.seq, to: last.seq, prev: first.prev, last: last.hash };
    const joined = this.#ctx.join(state, piece);
    if (joined.type === "conflict")
      return this.#contradicts(proven, start, stop, joined.seq, joined.side === "below" ? first : last);
    // Another link was faster.
    if (joined.type === "overlap") return "done";
    if (joined.type === "rootless") this.#ctx.blame(link, "chain_head_invalid", `seq ${first.seq} begins no chain`);
    if (joined.type === "full") this.#ctx.refused(link.id, "quota_exceeded");
    if (joined.type !== "joined") return "useless";
    const record = { ...state.record, ranges: joined.ranges };
    this.#ctx.hold(state, record);
    const offset = lengthOf(proven.envelopes.slice(0, start));
    const run = {
      issuer: record.issuer,
      from: first.seq,
      hashes: envelopes.map(({ hash }) => hash),
      records: stop - start === states.length ? records : records.subarray(offset, offset + lengthOf(envelopes)),
      states: states.subarray(start, stop),
    };
    if (record.issuer !== this.#ctx.own)
      this.#ctx.storage.charge(record.issuer, link, run.records.length, this.#ctx.now);
    const isReal = hasRealLeaf(envelopes);
    const acted = nothingActed();
    for (const [i, one] of proven.acting)
      if (i >= start && i < stop) this.#enforcement.take(one, proven.envelopes[i] as Envelope, acted);
    const rows = [...acted.rows, ...this.#ctx.heard([run], link.id)];
    this.#ctx.commit({ runs: [run], issuers: [record], rows }, () => {
      this.#ctx.stored(run, link.id, isReal);
      this.#ctx.markDirty(record.issuer, null);
      this.#enforcement.tell(acted, link.id);
    });
    return "done";
  }

  /** The issuer signed two histories: prove it with the statement's own signature. The link is not to blame. */
  #contradicts(proven: Proven, start: number, stop: number, seq: number, envelope: Envelope): SegmentOutcome {
    const { link } = proven;
    this.#ctx.verify([claimOf(envelope)], link.id, ([valid]) => {
      if (valid) this.#forks()?.conflict(envelope.issuer, seq, { kind: "envelope", envelope }, link.id);
    });
    // Restrictions of both branches stay in force (rules 6).
    this.#keep(proven, (i) => i >= start && i < stop);
    return "useless";
  }

  /** Facts that no chain takes in. */
  #keep({ link, envelopes, acting }: Proven, which: (index: number) => boolean): void {
    const acted = nothingActed();
    for (const [i, one] of acting) if (which(i)) this.#enforcement.evidence(one, envelopes[i] as Envelope, acted);
    if (acted.rows.length > 0) this.#ctx.commit({ rows: acted.rows }, () => this.#enforcement.tell(acted, link.id));
  }
}

function lengthOf(envelopes: readonly Envelope[]): number {
  return envelopes.reduce((sum, { signingBytes }) => sum + signingBytes.length + RECORD_OVERHEAD_BYTES, 0);
}
