/**
 * The record codec of `Run.records`: u32 big-endian length of the signing bytes, the signing bytes, the 64-byte
 * signature. Used by the wire and by every store; reads are views into the given bytes, never copies.
 */
import { concatBytes } from "./bytes.ts";
import type { Run } from "./commit.ts";
import { MAX_ENVELOPE_BYTES } from "./envelope.ts";
import { SpineError } from "./errors.ts";

export const SIGNATURE_BYTES = 64;
/** What a record adds to its signing bytes. */
export const RECORD_OVERHEAD_BYTES: number = 4 + SIGNATURE_BYTES;

/** One record; both parts are views into the bytes walked. */
export interface EnvelopeRecord {
  readonly signingBytes: Uint8Array;
  readonly signature: Uint8Array;
}

/** Throws `frame_syntax` unless the signing bytes are 1 to MAX_ENVELOPE_BYTES long and the signature has 64 bytes. */
export function writeRecord(signingBytes: Uint8Array, signature: Uint8Array): Uint8Array {
  checkLength(signingBytes.length);
  if (signature.length !== SIGNATURE_BYTES) {
    throw new SpineError("frame_syntax", `signature of ${signature.length} bytes, expected ${SIGNATURE_BYTES}`);
  }
  const length: number = signingBytes.length;
  return concatBytes(
    Uint8Array.of(length >>> 24, (length >>> 16) & 255, (length >>> 8) & 255, length & 255),
    signingBytes,
    signature,
  );
}

/**
 * Where each record begins, and the end of the last: `count + 1` offsets. Throws `frame_syntax` unless `records`
 * holds exactly `count` well-formed records.
 */
export function recordOffsets(records: Uint8Array, count: number): Uint32Array {
  const offsets: Uint32Array = new Uint32Array(count + 1);
  let at = 0;
  for (let i = 0; i < count; i++) {
    offsets[i] = at;
    at = recordEnd(records, at);
  }
  if (at !== records.length) {
    throw new SpineError("frame_syntax", `${records.length - at} bytes behind the last of ${count} records`);
  }
  offsets[count] = at;
  return offsets;
}

/** Every record in order. Throws `frame_syntax` at the first malformed one. */
export function* walkRecords(records: Uint8Array): Generator<EnvelopeRecord, void, undefined> {
  for (let at = 0; at < records.length; ) {
    const end: number = recordEnd(records, at);
    yield splitRecord(records, at, end);
    at = end;
  }
}

/** The record that reaches from offset `start` to `end`, both taken from `recordOffsets`. */
export function splitRecord(records: Uint8Array, start: number, end: number): EnvelopeRecord {
  return {
    signingBytes: records.subarray(start + 4, end - SIGNATURE_BYTES),
    signature: records.subarray(end - SIGNATURE_BYTES, end),
  };
}

/**
 * The part of `run` within `from..to`, both included; its records and states are views. Undefined if nothing of the
 * run lies there. Throws `frame_syntax` on malformed records.
 */
export function sliceRun(run: Run, from: number, to: number): Run | undefined {
  const last: number = run.from + run.hashes.length - 1;
  if (from <= run.from && to >= last) return run;
  const first: number = Math.max(from, run.from);
  const end: number = Math.min(to, last);
  if (first > end) return undefined;
  const start: number = first - run.from;
  const stop: number = end - run.from + 1;
  const offsets: Uint32Array = recordOffsets(run.records, run.hashes.length);
  return {
    issuer: run.issuer,
    from: first,
    hashes: run.hashes.slice(start, stop),
    records: run.records.subarray(offsets[start], offsets[stop]),
    states: run.states.subarray(start, stop),
  };
}

function recordEnd(records: Uint8Array, at: number): number {
  if (at + RECORD_OVERHEAD_BYTES > records.length) {
    throw new SpineError("frame_syntax", `record header cut off at offset ${at}`);
  }
  const length: number =
    (records[at] as number) * 0x1000000 +
    (((records[at + 1] as number) << 16) | ((records[at + 2] as number) << 8) | (records[at + 3] as number));
  checkLength(length);
  const end: number = at + RECORD_OVERHEAD_BYTES + length;
  if (end > records.length) {
    throw new SpineError("frame_syntax", `record at offset ${at} ends ${end - records.length} bytes early`);
  }
  return end;
}

function checkLength(length: number): void {
  if (length < 1 || length > MAX_ENVELOPE_BYTES) {
    throw new SpineError("frame_syntax", `signing bytes of ${length} bytes, allowed 1 to ${MAX_ENVELOPE_BYTES}`);
  }
}
