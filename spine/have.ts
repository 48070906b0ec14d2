/**
 * What is held of one issuer's chain: disjoint ranges with holes, each edge carrying the hashes that join it to its
 * neighbours (rules 5). Pure functions over immutable values; called by intake, sync and announcements.
 */
import type { EnvelopeHash } from "./ports.ts";

/** Consecutive, linked envelopes `from..to`, both included. */
export interface HaveRange {
  readonly from: number;
  readonly to: number;
  /** What envelope `from` says of `from − 1`; null for a chain's first. */
  readonly prev: EnvelopeHash | null;
  /** Hash of envelope `to`. */
  readonly last: EnvelopeHash;
}

/** Seq numbers without hashes, both ends included. */
export interface Span {
  readonly from: number;
  readonly to: number;
}

/** How a new piece meets what is held. */
export type Join =
  | { readonly type: "joined"; readonly ranges: readonly HaveRange[] }
  | { readonly type: "overlap" }
  | { readonly type: "full" }
  /** Only seq 0 and 1 begin a chain, seq 0 always does, and only a beginning has no predecessor. */
  | { readonly type: "rootless" }
  /** A held neighbour disagrees about the hash at `seq`: the issuer signed two histories. */
  | { readonly type: "conflict"; readonly seq: number; readonly side: "below" | "above" };

/** Index of the first range that ends at or above `seq`. */
function lowerBound(ranges: readonly Span[], seq: number): number {
  let low = 0;
  let high = ranges.length;
  while (low < high) {
    const middle = (low + high) >>> 1;
    if ((ranges[middle] as Span).to < seq) low = middle + 1;
    else high = middle;
  }
  return low;
}

/** Whether `seq` is held. */
export function holds(ranges: readonly Span[], seq: number): boolean {
  const range = ranges[lowerBound(ranges, seq)];
  return range !== undefined && range.from <= seq;
}

/** Whether all of a span is held. */
export function holdsAll(ranges: readonly Span[], { from, to }: Span): boolean {
  const range = ranges[lowerBound(ranges, from)];
  return range !== undefined && range.from <= from && to <= range.to;
}

/** Highest seq held, or −1. */
export function topOf(ranges: readonly Span[]): number {
  return ranges.at(-1)?.to ?? -1;
}

/**
 * Adds a linked piece, joining neighbours whose hashes agree. The piece must not overlap what is held. "full": it would
 * open one more hole than `most` ranges allow.
 */
export function joinRange(ranges: readonly HaveRange[], piece: HaveRange, most: number): Join {
  const index = lowerBound(ranges, piece.from);
  const next = ranges[index];
  if (next !== undefined && next.from <= piece.to) return { type: "overlap" };
  const below = ranges[index - 1];
  const joinsBelow = below !== undefined && below.to === piece.from - 1;
  const joinsAbove = next !== undefined && next.from === piece.to + 1;
  if (joinsBelow && below.last !== piece.prev) return { type: "conflict", seq: piece.from - 1, side: "below" };
  if (joinsAbove && next.prev !== piece.last) return { type: "conflict", seq: piece.to, side: "above" };
  if (piece.prev === null ? piece.from > 1 : piece.from === 0) return { type: "rootless" };
  if (!joinsBelow && !joinsAbove && ranges.length >= most) return { type: "full" };
  const merged: HaveRange = {
    from: joinsBelow ? below.from : piece.from,
    prev: joinsBelow ? below.prev : piece.prev,
    to: joinsAbove ? next.to : piece.to,
    last: joinsAbove ? next.last : piece.last,
  };
  const head = ranges.slice(0, joinsBelow ? index - 1 : index);
  const tail = ranges.slice(joinsAbove ? index + 1 : index);
  return { type: "joined", ranges: [...head, merged, ...tail] };
}

/** The parts of `wanted` that are not in `held`; both ascending and disjoint. */
export function subtractSpans(wanted: readonly Span[], held: readonly Span[]): Span[] {
  const out: Span[] = [];
  for (const span of wanted) {
    let from = span.from;
    for (let i = lowerBound(held, from); i < held.length; i++) {
      const piece = held[i] as Span;
      if (piece.from > span.to) break;
      if (piece.from > from) out.push({ from, to: piece.from - 1 });
      from = piece.to + 1;
    }
    if (from <= span.to) out.push({ from, to: span.to });
  }
  return out;
}

/** Union of two ascending disjoint lists, joined where they touch. */
export function uniteSpans(a: readonly Span[], b: readonly Span[]): Span[] {
  const sorted = [...a, ...b].sort((x, y) => x.from - y.from);
  const out: Span[] = [];
  for (const span of sorted) {
    const last = out.at(-1);
    if (last !== undefined && span.from <= last.to + 1) {
      if (span.to > last.to) out[out.length - 1] = { from: last.from, to: span.to };
    } else {
      out.push({ from: span.from, to: span.to });
    }
  }
  return out;
}

/** The parts of `spans` below `limit`. */
export function clipSpans(spans: readonly Span[], limit: number): Span[] {
  const out: Span[] = [];
  for (const { from, to } of spans) if (from < limit) out.push({ from, to: to < limit ? to : limit - 1 });
  return out;
}

/** What is said of seqs at or above the first of `later` replaces what `earlier` says of them. */
export function replaceFrom(earlier: readonly Span[], later: readonly Span[]): readonly Span[] {
  const first = later[0];
  return first === undefined ? earlier : [...clipSpans(earlier, first.from), ...later];
}

/** What is in both; both ascending and disjoint. */
export function intersectSpans(a: readonly Span[], b: readonly Span[]): Span[] {
  const out: Span[] = [];
  for (const span of a) {
    for (let i = lowerBound(b, span.from); i < b.length; i++) {
      const other = b[i] as Span;
      if (other.from > span.to) break;
      out.push({ from: Math.max(span.from, other.from), to: Math.min(span.to, other.to) });
    }
  }
  return out;
}
