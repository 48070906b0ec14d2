/**
 * Revocations by target and signer, compact enough for a hundred thousand. Of what one signer said about one target
 * two statements are kept: the one with the lowest seq and the one that reaches furthest back. Both are minima, so the
 * table does not depend on order of arrival. Used by `authority.ts`.
 */
import type { Issuer } from "./ports.ts";
import { REVOCATION_SCOPES, type RevocationScope, type RevocationTarget } from "./revocation.ts";

/** What one signer said about one target. */
export interface Entry {
  readonly signer: Issuer;
  /** The earliest statement in the signer's chain. */
  firstSeq: number;
  firstFrom: number;
  /** The statement with the lowest `from_seq`; of several the earliest. */
  widestSeq: number;
  widestFrom: number;
  /** The next signer about the same target. */
  next: Entry | undefined;
}

export class RevocationTable {
  readonly #byScope: Readonly<Record<RevocationScope, Map<string, Entry>>> = {
    node: new Map(),
    key: new Map(),
    token: new Map(),
    bundle: new Map(),
  };
  readonly #limit: number;
  size: number = 0;
  /** Statements that found no room. */
  dropped: number = 0;
  constructor(limit: number) {
    this.#limit = limit;
  }

  get(scope: RevocationScope, value: string): Entry | undefined {
    return this.#byScope[scope].get(value);
  }

  /** True when the statement says something new. */
  add(signer: Issuer, seq: number, target: RevocationTarget): boolean {
    const table = this.#byScope[target.scope];
    const first = table.get(target.value);
    let entry = first;
    while (entry !== undefined && entry.signer !== signer) entry = entry.next;
    const from = target.fromSeq;
    if (entry === undefined) {
      if (this.size >= this.#limit) {
        this.dropped++;
        return false;
      }
      this.size++;
      const added: Entry = { signer, firstSeq: seq, firstFrom: from, widestSeq: seq, widestFrom: from, next: first };
      table.set(target.value, added);
      return true;
    }
    const isFirst = seq < entry.firstSeq || (seq === entry.firstSeq && from < entry.firstFrom);
    const isWidest = from < entry.widestFrom || (from === entry.widestFrom && seq < entry.widestSeq);
    if (isFirst) [entry.firstSeq, entry.firstFrom] = [seq, from];
    if (isWidest) [entry.widestSeq, entry.widestFrom] = [seq, from];
    return isFirst || isWidest;
  }

  *entries(): IterableIterator<readonly [RevocationScope, string, Entry]> {
    for (const scope of REVOCATION_SCOPES)
      for (const [value, entry] of this.#byScope[scope]) yield [scope, value, entry];
  }
}

/** How far back an entry reaches when its signer's word counts only below `cut`; Infinity when not at all. */
export function reachOf(entry: Entry, cut: number): number {
  if (entry.widestSeq < cut) return entry.widestFrom;
  return entry.firstSeq < cut ? entry.firstFrom : Number.POSITIVE_INFINITY;
}
