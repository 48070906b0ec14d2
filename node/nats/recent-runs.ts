/**
 * What was stored a moment ago, by leaf index: the feed publishes it without reading it back from the disk, where each
 * read waits behind the commits of what comes next. Bounded in bytes; what fell out is read.
 */
import { type EnvelopeHash, type EnvelopeState, type Run, recordOffsets, splitRecord } from "../../spine/index.ts";
import type { Leaf } from "./leaves.ts";

const MAX_BYTES = 4 * 1_048_576;
const PAGE = 256;

export class RecentRuns {
  #runs: { readonly first: number; readonly run: Run }[] = [];
  #bytes = 0;
  /** Leaf index of what is stored next. */
  #next: number;

  /** `leaves`: how many were stored before the first run that is handed in. */
  constructor(leaves: number) {
    this.#next = leaves;
  }

  /** Leaf index behind everything stored. */
  get end(): number {
    return this.#next;
  }

  /** In the order of leaves. */
  add(run: Run): void {
    this.#runs.push({ first: this.#next, run });
    this.#next += run.hashes.length;
    this.#bytes += run.records.length;
    while (this.#bytes > MAX_BYTES) this.#bytes -= this.#runs.shift()?.run.records.length ?? this.#bytes;
  }

  /** Up to a page of leaves from `from` on, all of one run; undefined when it has to be read. */
  page(from: number): readonly Leaf[] | undefined {
    const oldest = this.#runs[0];
    if (oldest === undefined || from < oldest.first || from >= this.#next) return undefined;
    let low = 0;
    let high = this.#runs.length - 1;
    while (low < high) {
      const middle = (low + high + 1) >>> 1;
      if ((this.#runs[middle] as { first: number }).first <= from) low = middle;
      else high = middle - 1;
    }
    const { first, run } = this.#runs[low] as { first: number; run: Run };
    const offsets = recordOffsets(run.records, run.hashes.length);
    const leaves: Leaf[] = [];
    for (let i = from - first; i < run.hashes.length && leaves.length < PAGE; i++) {
      const record = splitRecord(run.records, offsets[i] as number, offsets[i + 1] as number);
      leaves.push({
        leafIndex: first + i,
        issuer: run.issuer,
        seq: run.from + i,
        hash: run.hashes[i] as EnvelopeHash,
        ...record,
        state: run.states[i] as EnvelopeState,
      });
    }
    return leaves;
  }
}
