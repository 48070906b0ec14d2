/**
 * Envelopes of several issuers, as spans of seqs: what rates hold back from the streams, and what is to be published
 * though the feed's cursor has passed it. Bounded in spans; kept in the cursor's row by `feed.ts`.
 */
import { type Issuer, type Span, subtractSpans, uniteSpans } from "../../spine/index.ts";

/** [issuer, from, to]; rows of earlier versions have single seqs. */
export type OwedSpan = readonly [Issuer, number, number?];

const MAX_SPANS = 8_192;

export class Owed {
  readonly #spans = new Map<Issuer, readonly Span[]>();
  #count = 0;

  static of(spans: readonly OwedSpan[]): Owed {
    const owed = new Owed();
    for (const [issuer, from, to = from] of spans) owed.add(issuer, from, to);
    return owed;
  }

  get isEmpty(): boolean {
    return this.#spans.size === 0;
  }
  /** Envelopes. */
  get size(): number {
    let sum = 0;
    for (const spans of this.#spans.values()) for (const { from, to } of spans) sum += to - from + 1;
    return sum;
  }

  /** False when there is no room for one more span. */
  add(issuer: Issuer, from: number, to = from): boolean {
    const held = this.#spans.get(issuer) ?? [];
    const united = uniteSpans(held, [{ from, to }]);
    if (united.length > held.length && this.#count >= MAX_SPANS) return false;
    this.#set(issuer, united);
    return true;
  }
  remove(issuer: Issuer, seq: number): void {
    const held = this.#spans.get(issuer);
    if (held !== undefined) this.#set(issuer, subtractSpans(held, [{ from: seq, to: seq }]));
  }
  /** Up to `most` of them, which stay until they are removed. */
  first(most: number): [Issuer, number][] {
    const found: [Issuer, number][] = [];
    for (const [issuer, spans] of this.#spans) {
      for (const { from, to } of spans) {
        for (let seq = from; seq <= to; seq++) {
          if (found.length >= most) return found;
          found.push([issuer, seq]);
        }
      }
    }
    return found;
  }
  clear(): void {
    this.#spans.clear();
    this.#count = 0;
  }

  list(): OwedSpan[] {
    return [...this.#spans].flatMap(([issuer, spans]) => spans.map(({ from, to }): OwedSpan => [issuer, from, to]));
  }

  #set(issuer: Issuer, spans: readonly Span[]): void {
    this.#count += spans.length - (this.#spans.get(issuer)?.length ?? 0);
    if (spans.length === 0) this.#spans.delete(issuer);
    else this.#spans.set(issuer, spans);
  }
}
