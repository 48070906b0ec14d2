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
  /** By "HASH STATE". */
  readonly #rows = new Map<string, Pooled>();
  constructor(sha256Hex: Sha256Hex) {
    this.#sha256Hex = sha256Hex;
  }
  /** Any row of an envelope that some disk took. */
  find(hash: EnvelopeHash): Pooled | undefined {
    return this.#rows.get(`${hash}1`) ?? this.#rows.get(`${hash}0`) ?? this.#rows.get(`${hash}2`);
  }
  /** `claimed` only helps to find it. Throws what `openSigningBytes` throws. */
  open(claimed: EnvelopeHash, record: Uint8Array, state: EnvelopeState): Pooled {
    const name = `${claimed}${state}`;
    const known = this.#rows.get(name);
    if (known !== undefined && equalBytes(known.record, record)) return known;
    const copy = record.slice();
    const { signingBytes, signature } = splitRecord(copy, 0, copy.length);
    const { hash, issuer, seq, prev, factSchema } = openSigningBytes(signingBytes, signature, this.#sha256Hex);
    const row: Pooled = { record: copy, hash, issuer, seq, prev, factSchema, signingBytes, signature, state };
    if (known === undefined && hash === claimed) this.#rows.set(name, row);
    return row;
  }
}
