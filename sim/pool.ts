/**
 * Envelopes that simulated disks hold, each kept and opened once however many nodes store it: a thousand disks share one
 * copy, and what the invariants ask of it is looked up instead of computed again.
 */
import {
  type EnvelopeHash,
  type EnvelopeState,
  equalBytes,
  type Found,
  type Issuer,
  openSigningBytes,
  type Run,
  recordOffsets,
  type Sha256Hex,
  splitRecord,
} from "../spine/index.ts";

export interface Pooled extends Found {
  readonly record: Uint8Array;
  /** Recomputed from the bytes, whatever a commit claims. */
  readonly hash: EnvelopeHash;
  readonly issuer: Issuer;
  readonly seq: number;
  readonly prev: EnvelopeHash | null;
  readonly factSchema: string;
}

export class EnvelopePool {
  readonly #sha256Hex: Sha256Hex;
  /** By hash, one for each state. */
  readonly #rows = new Map<EnvelopeHash, (Pooled | undefined)[]>();
  /** Numbers of (issuer, seq), from 0: disks keep their rows by them. */
  readonly #places = new Map<Issuer, Map<number, number>>();
  #placed = 0;
  readonly #runs = new WeakMap<Run, readonly Pooled[]>();
  constructor(sha256Hex: Sha256Hex) {
    this.#sha256Hex = sha256Hex;
  }
  placeOf(issuer: Issuer, seq: number): number {
    const ofIssuer = this.#places.get(issuer) ?? new Map<number, number>();
    this.#places.set(issuer, ofIssuer);
    const known = ofIssuer.get(seq);
    if (known !== undefined) return known;
    ofIssuer.set(seq, this.#placed);
    return this.#placed++;
  }
  /** Undefined where no disk ever held anything. */
  knownPlaceOf(issuer: Issuer, seq: number): number | undefined {
    return this.#places.get(issuer)?.get(seq);
  }
  /** Any row of an envelope that some disk took. */
  find(hash: EnvelopeHash): Pooled | undefined {
    return this.#rows.get(hash)?.find((row) => row !== undefined);
  }
  /** `claimed` only helps to find it. Throws what `openSigningBytes` throws. */
  open(claimed: EnvelopeHash, record: Uint8Array, state: EnvelopeState): Pooled {
    const rows = this.#rows.get(claimed);
    const known = rows?.[state];
    if (known !== undefined && equalBytes(known.record, record)) return known;
    const copy = record.slice();
    const { signingBytes, signature } = splitRecord(copy, 0, copy.length);
    const { hash, issuer, seq, prev, factSchema } = openSigningBytes(signingBytes, signature, this.#sha256Hex);
    const row: Pooled = { record: copy, hash, issuer, seq, prev, factSchema, signingBytes, signature, state };
    if (known !== undefined || hash !== claimed) return row;
    if (rows === undefined) this.#rows.set(claimed, []);
    const kept = this.#rows.get(claimed);
    if (kept !== undefined) kept[state] = row;
    return row;
  }
  /** All of a run, remembered for as long as the run is. */
  openRun(run: Run): readonly Pooled[] {
    const known = this.#runs.get(run);
    if (known !== undefined) return known;
    const offsets = recordOffsets(run.records, run.hashes.length);
    const rows = run.hashes.map((hash, i) =>
      this.open(hash, run.records.subarray(offsets[i], offsets[i + 1]), run.states[i] as EnvelopeState),
    );
    this.#runs.set(run, rows);
    return rows;
  }
}
