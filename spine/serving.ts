/** Requests of peers that the driver answers from the store, bounded in number, items and bytes. Called by `mesh.ts`. */
import type { Context } from "./context.ts";
import { tells } from "./disclosure.ts";
import { SpineError } from "./errors.ts";
import { type Frame, MAX_ANSWER_BYTES, MAX_ANSWER_ITEMS } from "./frame.ts";
import { intersectSpans, type Span } from "./have.ts";
import type { Link } from "./state.ts";

/** A store may still have what was pruned: where there are holes, only what is said to be held is given. */
function withinHeld(told: readonly Span[] | undefined, ranges: readonly Span[] = []): readonly Span[] | undefined {
  if (ranges.length < 2) return told;
  return told === undefined ? ranges : intersectSpans(told, ranges);
}

/** Whether something of what is asked is held, and nothing of it may be told. */
function withholds(told: readonly Span[], held: readonly Span[], asked: readonly Span[]): boolean {
  const there = intersectSpans(asked, held);
  return there.length > 0 && intersectSpans(there, told).length === 0;
}

export class Serving {
  readonly #ctx: Context;
  constructor(ctx: Context) {
    this.#ctx = ctx;
  }

  /** Larger budgets than ours are cut: the end then says "limit" and the peer asks again. */
  want(link: Link, frame: Extract<Frame, { type: "want" }>): void {
    const state = this.#ctx.admitted(frame.issuer);
    if (frame.maxItems === 0 || frame.maxBytes === 0) throw new SpineError("range_invalid", "a budget of nothing");
    const told = this.#ctx.disclosure?.spans(link.id, frame.issuer);
    const spans = withinHeld(told, state?.durable.ranges);
    const nothing = state === undefined || spans?.length === 0;
    const asked: Span[] = frame.from <= frame.to ? [{ from: frame.from, to: frame.to }] : [];
    if (told !== undefined && state !== undefined && withholds(told, state.durable.ranges, asked))
      this.#ctx.refused(link.id, "not_disclosed");
    if (nothing || link.serving >= this.#ctx.limits.servesPerLink) {
      const reason = nothing ? "none" : "busy";
      return this.#ctx.send(link, { type: "end", request: frame.request, reason });
    }
    link.serving++;
    this.#ctx.emit({
      type: "serve",
      link: link.id,
      request: frame.request,
      issuer: frame.issuer,
      from: frame.from,
      to: frame.to,
      maxItems: Math.min(frame.maxItems, MAX_ANSWER_ITEMS),
      maxBytes: Math.min(frame.maxBytes, MAX_ANSWER_BYTES),
      frameBytes: link.maxFrameBytes,
      ...(spans === undefined ? {} : { spans }),
    });
  }

  /** Hashes of an issuer that is not admitted, or of what may not be told, are not known. */
  askHashes(link: Link, frame: Extract<Frame, { type: "ask-hashes" }>): void {
    const { request, issuer, seqs } = frame;
    const { disclosure } = this.#ctx;
    const state = this.#ctx.admitted(issuer);
    const told = disclosure?.spans(link.id, issuer);
    const asked = seqs.map((seq): Span => ({ from: seq, to: seq }));
    if (told !== undefined && state !== undefined && asked.some((one) => withholds(told, state.durable.ranges, [one])))
      this.#ctx.refused(link.id, "not_disclosed");
    if (state === undefined || seqs.some((seq) => !tells(disclosure, link.id, issuer, seq))) {
      return this.#ctx.send(link, { type: "hashes", request, hashes: seqs.map(() => null) });
    }
    if (link.serving >= this.#ctx.limits.servesPerLink) throw new SpineError("rate_limited", "too many open questions");
    link.serving++;
    this.#ctx.emit({ type: "serve-hashes", link: link.id, request, issuer, seqs });
  }

  served(link: Link): void {
    if (link.serving > 0) link.serving--;
  }
}
