/**
 * Builds the answer to a range request: totals first, then segments that each end at an envelope whose own signature
 * was verified, so that an honest server never sends an end that does not verify (rules 5). Used by every driver.
 */
import { concatBytes } from "./bytes.ts";
import { EnvelopeState, type StateChange } from "./commit.ts";
import type { Effect } from "./effect.ts";
import { type EndReason, encodeFrame, MAX_SEGMENT_BYTES, MAX_SEGMENT_ENVELOPES, segmentPrefix } from "./frame.ts";
import { holds } from "./have.ts";
import { parseIssuer } from "./identity.ts";
import type { Claim } from "./ports.ts";
import { recordOffsets, splitRecord } from "./record.ts";

export type ServeEffect = Extract<Effect, { type: "serve" }>;

/** Consecutive stored envelopes, as a store hands them out. */
export interface StoredPiece {
  readonly from: number;
  readonly count: number;
  readonly records: Uint8Array;
  /** One EnvelopeState each. */
  readonly states: Uint8Array;
}

export interface Answer {
  /** Envelopes in it. */
  readonly count: number;
  readonly frames: readonly Uint8Array[];
  /** What was found out on the way, to be committed. */
  readonly changes: readonly StateChange[];
}

interface Part {
  readonly seq: number;
  readonly record: Uint8Array;
  state: number;
}

/** Frame type, request, first seq and count of a segment, at most. */
const PREFIX_BYTES = 1 + 8 + 8 + 2;
/** Most signatures checked on demand to find the end of one segment. */
const MAX_CHECKS = 8;

/** Collects records up to a request's budget; `add` says whether there is room for more. */
export class AnswerBuilder {
  readonly #effect: ServeEffect;
  readonly #check: (claim: Claim) => boolean;
  readonly #parts: Part[] = [];
  readonly #changes: StateChange[] = [];
  #bytes = 0;
  #limited = false;
  /** `check` verifies one signature at once. */
  constructor(effect: ServeEffect, check: (claim: Claim) => boolean) {
    this.#effect = effect;
    this.#check = check;
  }

  add(piece: StoredPiece): boolean {
    const offsets = recordOffsets(piece.records, piece.count);
    const { spans } = this.#effect;
    for (let i = 0; i < piece.count && !this.#limited; i++) {
      if (spans !== undefined && !holds(spans, piece.from + i)) continue;
      const [start, end] = [offsets[i] as number, offsets[i + 1] as number];
      const tooLarge = end - start + PREFIX_BYTES > this.#effect.frameBytes;
      const full = this.#parts.length >= this.#effect.maxItems || this.#bytes + end - start > this.#effect.maxBytes;
      if (tooLarge || (full && this.#parts.length > 0)) {
        this.#limited = true;
      } else {
        this.#bytes += end - start;
        this.#parts.push({
          seq: piece.from + i,
          record: piece.records.subarray(start, end),
          state: piece.states[i] as number,
        });
      }
    }
    return !this.#limited;
  }

  finish(): Answer {
    const { request } = this.#effect;
    const segments: Part[][] = [];
    let sent = 0;
    while (sent < this.#parts.length) {
      const segment = this.#cut(sent);
      if (segment.length === 0) break;
      segments.push(segment);
      sent += segment.length;
    }
    const bytes = segments.flat().reduce((sum, { record }) => sum + record.length, 0);
    const reason: EndReason = sent === 0 ? "none" : this.#limited || sent < this.#parts.length ? "limit" : "done";
    const frames = [encodeFrame({ type: "offer", request, count: sent, bytes })];
    for (const segment of segments) {
      const prefix = segmentPrefix(request, (segment[0] as Part).seq, segment.length);
      frames.push(concatBytes(prefix, ...segment.map(({ record }) => record)));
    }
    frames.push(encodeFrame({ type: "end", request, reason }));
    return { count: sent, frames, changes: this.#changes };
  }

  /** The longest segment from `start` that is consecutive, within the limits and ends verified; empty if there is none. */
  #cut(start: number): Part[] {
    const largest = Math.min(MAX_SEGMENT_BYTES, this.#effect.frameBytes - PREFIX_BYTES);
    let end = start;
    let bytes = 0;
    for (; end < this.#parts.length && end - start < MAX_SEGMENT_ENVELOPES; end++) {
      const part = this.#parts[end] as Part;
      const consecutive = end === start || part.seq === (this.#parts[end - 1] as Part).seq + 1;
      if (!consecutive || (end > start && bytes + part.record.length > largest)) break;
      bytes += part.record.length;
    }
    const segment = this.#parts.slice(start, end);
    if (segment.at(-1)?.state !== EnvelopeState.signature) this.#checkTail(segment);
    return segment.slice(0, segment.findLastIndex(({ state }) => state === EnvelopeState.signature) + 1);
  }

  #checkTail(segment: readonly Part[]): void {
    const { issuer } = this.#effect;
    const key = parseIssuer(issuer);
    for (const part of segment.slice(-MAX_CHECKS).reverse()) {
      if (part.state === EnvelopeState.signature) return;
      const { signingBytes, signature } = splitRecord(part.record, 0, part.record.length);
      if (part.state !== EnvelopeState.chain || !this.#check({ key, message: signingBytes, signature })) continue;
      part.state = EnvelopeState.signature;
      this.#changes.push({ issuer, seq: part.seq, state: EnvelopeState.signature });
      return;
    }
  }
}
