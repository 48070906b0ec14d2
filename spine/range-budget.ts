/**
 * How many holes the chains held here may have: behind a gateway that tells a selection, a chain is many short ranges.
 * Any issuer may have a few; more come out of a common budget, so that no issuer can take the memory of all (rules 3, 5).
 * Kept by `context.ts`; asked by intake, segments and sync.
 */
import type { HaveRange } from "./have.ts";

/** What every issuer may have, as long as there is anything left. */
const FEW_RANGES = 64;

export class RangeBudget {
  readonly #total: number;
  readonly #perIssuer: number;
  /** Ranges beyond the first of each issuer. */
  used = 0;

  constructor(total: number, perIssuer: number) {
    this.#total = total;
    this.#perIssuer = perIssuer;
  }

  /** Most ranges an issuer may have now that has these. The last part of the budget is for those that have few. */
  most(ranges: readonly HaveRange[]): number {
    const { length } = ranges;
    const left = this.#total - this.used - (length < FEW_RANGES ? 0 : this.#total / 4);
    return Math.min(this.#perIssuer, length + Math.max(0, Math.floor(left)));
  }

  changed(before: readonly HaveRange[], after: readonly HaveRange[]): void {
    this.used += Math.max(0, after.length - 1) - Math.max(0, before.length - 1);
  }
}
