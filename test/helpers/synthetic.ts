/** Synthetic chains for storage tests: signing bytes shaped like real envelopes, real hashes, links and signatures. */
import { createHash, createPrivateKey, createPublicKey, type KeyObject, sign, verify } from "node:crypto";
import {
  type Claim,
  concatBytes,
  type Envelope,
  type EnvelopeHash,
  EnvelopeState,
  fromHex,
  type HaveRange,
  type Head,
  type Issuer,
  type IssuerRecord,
  type Run,
  SpineError,
  toHex,
  type Verifier,
  writeRecord,
} from "../../spine/index.ts";

const SEED_PREFIX = fromHex("302e020100300506032b657004220420");
const KEY_PREFIX = fromHex("302a300506032b6570032100");
const NO_SIGNATURE = new Uint8Array(64).fill(7);

export function sha256Hex(bytes: Uint8Array): string {
  return createHash("sha256").update(bytes).digest("hex");
}

export interface SyntheticOptions {
  readonly state?: EnvelopeState;
  /** Length of an incompressible filler in the fact; the default gives signing bytes of about 580 bytes. */
  readonly fillerBytes?: number;
  /** False saves the time of real signatures. */
  readonly signed?: boolean;
}

/** One issuer's chain from seq 1; equal names give equal chains. */
export class SyntheticIssuer {
  readonly issuer: Issuer;
  readonly #key: KeyObject;
  /** Hash of the envelope at each seq from 1. */
  readonly hashes: EnvelopeHash[] = [];

  constructor(name: string) {
    const seed = fromHex(sha256Hex(Buffer.from(name)));
    this.#key = createPrivateKey({ key: Buffer.from(concatBytes(SEED_PREFIX, seed)), format: "der", type: "pkcs8" });
    const spki = createPublicKey(this.#key).export({ format: "der", type: "spki" });
    this.issuer = `aegis:ed25519:${toHex(spki.subarray(-32))}`;
  }

  sign(message: Uint8Array): Uint8Array {
    return new Uint8Array(sign(null, message, this.#key));
  }

  /** The next `count` envelopes of the chain. */
  next(count: number, options: SyntheticOptions = {}): Run {
    const { state = EnvelopeState.signature, fillerBytes = 20, signed = true } = options;
    const from = this.hashes.length + 1;
    const records: Uint8Array[] = [];
    for (let seq = from; seq < from + count; seq++) {
      const signingBytes = Buffer.from(this.#text(seq, fillerBytes));
      this.hashes.push(`0x${sha256Hex(signingBytes)}`);
      records.push(writeRecord(signingBytes, signed ? this.sign(signingBytes) : NO_SIGNATURE));
    }
    const states = new Uint8Array(count).fill(state);
    return { issuer: this.issuer, from, hashes: this.hashes.slice(from - 1), records: concatBytes(...records), states };
  }

  #text(seq: number, fillerBytes: number): string {
    const unit = sha256Hex(Buffer.from(`${this.issuer}/${seq}`));
    return JSON.stringify({
      capability_token: null,
      fact: {
        digest: `0x${unit}`,
        fact_id: `hb_${unit.slice(0, 32)}`,
        node_id: this.issuer,
        note: createHash("shake256", { outputLength: fillerBytes >> 1 })
          .update(unit)
          .digest("hex"),
        schema: "aegis.spine.fact.heartbeat.v1",
      },
      issued_at: "2026-01-01T00:00:00Z",
      issuer: this.issuer,
      prev_envelope_hash: this.hashes[seq - 2] ?? null,
      schema: "aegis.spine.envelope.v1",
      seq,
    });
  }

  range(from: number, to: number): HaveRange {
    const prev = from === 1 ? null : (this.hashes[from - 2] as string);
    return { from, to, prev, last: this.hashes[to - 1] as string };
  }

  /** A record of everything up to seq `to`, or of the given ranges. */
  record(...spans: readonly (readonly [number, number])[]): IssuerRecord {
    const ranges = spans.map(([from, to]) => this.range(from, to));
    return { issuer: this.issuer, admission: "allowed", ranges, prunedBelow: 0, frozenAt: null };
  }

  head(seq: number): Head {
    const hash = this.hashes[seq - 1] as string;
    return { issuer: this.issuer, seq, hash, sentAt: 1_767_225_600 + seq, signature: this.sign(Buffer.from(hash)) };
  }
}

/** The synthetic counterpart of opening signing bytes: fields and hash, nothing more. */
export function openSynthetic(
  signingBytes: Uint8Array,
  signature: Uint8Array,
  hashHex: (b: Uint8Array) => string,
): Envelope {
  let fields: { issuer: string; seq: number; prev_envelope_hash: string | null; issued_at: string };
  try {
    fields = JSON.parse(Buffer.from(signingBytes).toString("utf8"));
  } catch (cause) {
    throw new SpineError("json_syntax", "signing bytes are no JSON", { cause });
  }
  return {
    issuer: fields.issuer,
    seq: fields.seq,
    prev: fields.prev_envelope_hash,
    issuedAt: fields.issued_at,
    issuedAtMs: Date.parse(fields.issued_at),
    factSchema: "aegis.spine.fact.heartbeat.v1",
    hash: `0x${hashHex(signingBytes)}`,
    signingBytes,
    signature,
  };
}

export const nodeVerifier: Verifier = {
  async verify(batch: readonly Claim[]) {
    return batch.map(({ key, message, signature }) => {
      const spki = Buffer.from(concatBytes(KEY_PREFIX, key));
      return verify(null, message, createPublicKey({ key: spki, format: "der", type: "spki" }), signature);
    });
  },
};
