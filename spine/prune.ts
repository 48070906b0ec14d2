/**
 * Retention in the core: what of an issuer is no longer held, and what below it stays (rules 14). The driver decides by
 * the facts' kinds; this keeps the have-ranges true. Pure; called by `mesh.ts`.
 */
import type { IssuerRecord } from "./commit.ts";
import { type HaveRange, type Span, uniteSpans } from "./have.ts";
import type { EnvelopeHash } from "./ports.ts";

/** An envelope below the mark that stays, such as a revocation. */
export interface KeptEnvelope {
  readonly seq: number;
  readonly prev: EnvelopeHash | null;
  readonly hash: EnvelopeHash;
}

export interface PrunePlan {
  /** First seq that stays whole. */
  readonly below: number;
  /** What envelope `below` says of its predecessor. */
  readonly prev: EnvelopeHash | null;
  /** Ascending. */
  readonly kept: readonly KeptEnvelope[];
  /** What was held below `below` when this was planned; ascending. */
  readonly scanned: readonly Span[];
}

/** Most envelopes that stay below the mark: each may be a range of its own. */
export const MAX_KEPT = 32;

/** The record after pruning; undefined when it changed since the plan was made, or the plan would lose the newest. */
export function prunedRecord(record: IssuerRecord, plan: PrunePlan): IssuerRecord | undefined {
  const { below, prev, kept, scanned } = plan;
  const { ranges } = record;
  const first = ranges.find(({ to }) => to >= below);
  if (below <= record.prunedBelow || first === undefined || first.from > below || kept.length > MAX_KEPT)
    return undefined;
  const under: Span[] = ranges.flatMap(({ from, to }) => (from < below ? [{ from, to: Math.min(to, below - 1) }] : []));
  if (!sameSpans(under, uniteSpans(scanned, []))) return undefined;
  const islands: HaveRange[] = [];
  for (const { seq, prev: before, hash } of kept) {
    if (!under.some(({ from, to }) => from <= seq && seq <= to)) return undefined;
    const last = islands.at(-1);
    if (last !== undefined && last.to + 1 === seq) islands[islands.length - 1] = { ...last, to: seq, last: hash };
    else islands.push({ from: seq, to: seq, prev: before, last: hash });
  }
  const whole = ranges.filter(({ to }) => to >= below);
  const [lowest, ...others] = whole as [HaveRange, ...HaveRange[]];
  const last = islands.at(-1);
  // The kept ones may reach up to the mark.
  const rest: HaveRange =
    last?.to === below - 1
      ? { ...lowest, from: (islands.pop() as HaveRange).from, prev: last.prev }
      : { ...lowest, from: below, prev };
  return { ...record, ranges: [...islands, rest, ...others], prunedBelow: below };
}

/** What stays below an issuer's mark; for the store. */
export function keptBelow({ ranges, prunedBelow }: IssuerRecord): Span[] {
  return ranges.flatMap(({ from, to }) => (from < prunedBelow ? [{ from, to: Math.min(to, prunedBelow - 1) }] : []));
}

function sameSpans(a: readonly Span[], b: readonly Span[]): boolean {
  return a.length === b.length && a.every(({ from, to }, i) => b[i]?.from === from && b[i]?.to === to);
}
