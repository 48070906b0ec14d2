/**
 * Admission of what a range request brought: one segment at a time, authenticated by its last envelope's own signature
 * and the links below it (rules 5). Called by `sync.ts`.
 */
import { EnvelopeState, type IssuerRecord } from "./commit.ts";
import type { Context, IssuerState, Link } from "./context.ts";
import { claimOf, type Envelope } from "./envelope.ts";
import { SpineError } from "./errors.ts";
import { actsAlone } from "./fact.ts";
import type { Forks } from "./forks.ts";
import { type Frame, MAX_SEGMENT_BYTES } from "./frame.ts";
import { joinRange } from "./have.ts";
import { isDue } from "./intake.ts";
import { openSigningBytes } from "./open.ts";
import type { Claim, EnvelopeHash, Issuer } from "./ports.ts";
import { RECORD_OVERHEAD_BYTES, walkRecords } from "./record.ts";

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

/** A segment whose last envelope was verified. */
interface Proven {
  readonly link: Link;
  readonly envelopes: readonly Envelope[];
  readonly states: Uint8Array;
  readonly records: Uint8Array;
}

export class Segments {
  readonly #ctx: Context;
  readonly #forks: () => Forks | undefined;
  constructor(ctx: Context, forks: () => Forks | undefined) {
    this.#ctx = ctx;
    this.#forks = forks;
  }

  /** Verifies and stores; `done` is called once. Admission, freeze and clock are judged after the verification. */
  admit(
    link: Link,
    envelopes: readonly Envelope[],
    records: Uint8Array,
    done: (outcome: SegmentOutcome) => void,
  ): void {
    const last = envelopes.at(-1) as Envelope;
    const alone = envelopes.filter((envelope) => envelope !== last && actsAlone(envelope.factSchema));
    const claims: Claim[] = [last, ...alone].map(claimOf);
    this.#ctx.verify(claims, link.id, (verdicts) => {
      if (!verdicts[0]) return done("invalid");
      // A bad own signature below a verified one is nobody's fault; in state `chain` the fact has no effect yet.
      const states = new Uint8Array(envelopes.length).fill(EnvelopeState.chain);
      for (const [i, envelope] of [last, ...alone].entries()) {
        if (verdicts[i]) states[envelope.seq - (envelopes[0] as Envelope).seq] = EnvelopeState.signature;
      }
      done(this.#store({ link, envelopes, states, records }));
    });
  }

  /** Stores what lies below the frozen seq and is due; of what is not due only what no clock may silence (rules 3). */
  #store(proven: Proven): SegmentOutcome {
    const { envelopes, states } = proven;
    const { now, limits } = this.#ctx;
    const state = this.#ctx.admitted((envelopes[0] as Envelope).issuer);
    if (state === undefined) return "useless";
    const frozenAt = state.record.frozenAt ?? Number.POSITIVE_INFINITY;
    const frozen = envelopes.findIndex(({ seq }) => seq >= frozenAt);
    const end = frozen < 0 ? envelopes.length : frozen;
    const early = envelopes.findIndex((envelope, i) => i < end && !isDue(envelope, now, limits.futureMs));
    if (early < 0) return end === 0 ? "useless" : this.#piece(proven, state, 0, end);
    this.#hold(state, envelopes[early] as Envelope);
    let outcome: SegmentOutcome = early === 0 ? "done" : this.#piece(proven, state, 0, early);
    for (let i = early + 1; i < end; i++) {
      const urgent = states[i] === EnvelopeState.signature && isDue(envelopes[i] as Envelope, now, limits.futureMs);
      if (urgent && (envelopes[i] as Envelope).issuedAtMs > now + limits.futureMs) {
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
    const head = state.newest;
    const stated = head === null ? undefined : envelopes[head.seq - first.seq];
    if (head !== null && stated !== undefined && stated.hash !== head.hash) {
      return this.#contradicts(link, head.seq, stated);
    }
    const piece = { from: first.seq, to: last.seq, prev: first.prev, last: last.hash };
    const joined = joinRange(state.record.ranges, piece);
    if (joined.type === "conflict") return this.#contradicts(link, joined.seq, joined.side === "below" ? first : last);
    // Another link was faster.
    if (joined.type === "overlap") return "done";
    if (joined.type === "rootless") this.#ctx.blame(link, "chain_head_invalid", `seq ${first.seq} begins no chain`);
    if (joined.type !== "joined") return "useless";
    const record: IssuerRecord = { ...state.record, ranges: joined.ranges };
    state.record = record;
    const offset = lengthOf(proven.envelopes.slice(0, start));
    const run = {
      issuer: record.issuer,
      from: first.seq,
      hashes: envelopes.map(({ hash }) => hash),
      records: stop - start === states.length ? records : records.subarray(offset, offset + lengthOf(envelopes)),
      states: states.subarray(start, stop),
    };
    this.#ctx.commit({ runs: [run], issuers: [record] }, () => {
      this.#ctx.stored(run, link.id);
      this.#ctx.markDirty(record.issuer, null);
    });
    return "done";
  }

  /** The issuer signed two histories: prove it with the statement's own signature. The link is not to blame. */
  #contradicts(link: Link, seq: number, envelope: Envelope): SegmentOutcome {
    this.#ctx.verify([claimOf(envelope)], link.id, ([valid]) => {
      if (valid) this.#forks()?.conflict(envelope.issuer, seq, { kind: "envelope", envelope }, link.id);
    });
    return "useless";
  }
}

function lengthOf(envelopes: readonly Envelope[]): number {
  return envelopes.reduce((sum, { signingBytes }) => sum + signingBytes.length + RECORD_OVERHEAD_BYTES, 0);
}
