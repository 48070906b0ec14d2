/** What retention removes of a stretch of envelopes, and how far it came. Used by both stores. */
import { type Span, subtractSpans } from "../spine/index.ts";

export interface Cut {
  /** To be removed. */
  readonly gone: readonly Span[];
  readonly count: number;
  /** Everything of the stretch below this seq was looked at. */
  readonly mark: number;
}

/** Removes at most `room` envelopes of from..to, none of `kept`. */
export function cutSpan(span: Span, kept: readonly Span[], room: number): Cut {
  const gone: Span[] = [];
  let count = 0;
  for (const { from, to } of subtractSpans([span], kept)) {
    const end = Math.min(to, from + room - count - 1);
    if (end >= from) gone.push({ from, to: end });
    count += Math.max(0, end - from + 1);
    if (end < to) return { gone, count, mark: Math.max(from, end + 1) };
  }
  return { gone, count, mark: span.to + 1 };
}
