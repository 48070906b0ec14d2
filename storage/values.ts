/** Encodings of every stored value but blocks; each is the payload of a sealed value (`seal.ts`). Called by the engine's reader, writer and check. */
import {
  Admission,
  ByteReader,
  ByteWriter,
  type EnvelopeHash,
  type ForkRecord,
  type HaveRange,
  type Head,
  type Issuer,
  type IssuerRecord,
  MAX_ENVELOPE_BYTES,
  SIGNATURE_BYTES,
  SpineError,
  STORED_TILE_BYTES,
} from "../spine/index.ts";
import { getU32, getU64, HASH_BYTES, putU32, putU64 } from "./keys.ts";
import { decodeSealed, finishSeal, PAYLOAD_AT, SEAL_BYTES, seal } from "./seal.ts";

/** Order is part of the format: an admission is stored as its index here. Append only. */
const ADMISSIONS: readonly Admission[] = [
  Admission.denied,
  Admission.allowed,
  Admission.proved,
  Admission.attested,
  Admission.own,
  Admission.named,
  Admission.successor,
];
const LOCATION_BYTES = 18;
/** A fork proof is two signed statements and little more. */
const MAX_PROOF_BYTES = 4 * MAX_ENVELOPE_BYTES;

/** `0x…` of 32 bytes. */
export function hashText(bytes: Uint8Array, at = 0): EnvelopeHash {
  return `0x${Buffer.from(bytes.buffer, bytes.byteOffset + at, HASH_BYTES).toString("hex")}`;
}

/** Writes the 32 bytes of `hash` at `at`; false, with bytes undefined, if it is not `0x` and 64 lower-case hex digits. */
export function putHash(bytes: Uint8Array, at: number, hash: EnvelopeHash): boolean {
  if (hash.length !== 66 || hash.charCodeAt(0) !== 48 || hash.charCodeAt(1) !== 120) return false;
  let bad = 0;
  for (let i = 0; i < HASH_BYTES; i++) {
    const high = NIBBLES[hash.charCodeAt(2 * i + 2)] ?? 255;
    const low = NIBBLES[hash.charCodeAt(2 * i + 3)] ?? 255;
    bad |= high | low;
    bytes[at + i] = (high << 4) | low;
  }
  return bad < 16;
}

const NIBBLES: Uint8Array = Uint8Array.from({ length: 128 }, (_, code) => {
  if (code >= 48 && code <= 57) return code - 48;
  return code >= 97 && code <= 102 ? code - 87 : 255;
});

/** Throws `internal` on text that is no hash: the caller never hands one over. */
export function hashBytes(hash: EnvelopeHash): Uint8Array {
  const bytes = new Uint8Array(HASH_BYTES);
  if (!putHash(bytes, 0, hash)) throw new SpineError("internal", `not an envelope hash: ${hash.slice(0, 80)}`);
  return bytes;
}

export function encodeNumber(key: Uint8Array, value: number): Uint8Array {
  return seal(key, new ByteWriter(8).varint(value).finish());
}

export function decodeNumber(key: Uint8Array, value: Uint8Array): number {
  return decodeSealed(key, value, (payload) => whole(payload, (reader) => reader.varint()));
}

export function encodeName(key: Uint8Array, issuer: Issuer): Uint8Array {
  return seal(key, Buffer.from(issuer, "utf8"));
}

export function decodeName(key: Uint8Array, value: Uint8Array): Issuer {
  return decodeSealed(key, value, (payload) => Buffer.from(payload).toString("utf8"));
}

/** Ranges of an issuer below those in its record lie in pages of this many, so that a commit does not write them all. */
export const RANGES_PER_PAGE = 64;

/** How many ranges of so many lie in pages: the record itself keeps the newest, at least one. */
export function pagedRanges(count: number): number {
  return Math.floor(Math.max(0, count - 1) / RANGES_PER_PAGE) * RANGES_PER_PAGE;
}

/** A record with the ranges behind its pages. */
export interface StoredRecord {
  readonly record: IssuerRecord;
  readonly pages: number;
}

/** `record.ranges` from `paged` on; the others lie in pages. */
export function encodeRecord(key: Uint8Array, record: IssuerRecord, paged: number): Uint8Array {
  const own = record.ranges.length - paged;
  const writer = new ByteWriter(24 + 80 * own);
  writer.u8(ADMISSIONS.indexOf(record.admission)).varint(record.prunedBelow);
  writer.varint(record.frozenAt === null ? 0 : record.frozenAt + 1).varint(own);
  for (let i = paged; i < record.ranges.length; i++) writeRange(writer, record.ranges[i] as HaveRange);
  if (paged > 0) writer.varint(paged / RANGES_PER_PAGE);
  return seal(key, writer.finish());
}

export function decodeRecord(key: Uint8Array, value: Uint8Array, issuer: Issuer): StoredRecord {
  return decodeSealed(key, value, (payload) =>
    whole(payload, (reader) => {
      const admission = ADMISSIONS[reader.u8()];
      if (admission === undefined) throw new SpineError("store_corrupt", "unknown admission");
      const prunedBelow = reader.varint();
      const frozen = reader.varint();
      const ranges = readRanges(reader);
      const pages = reader.remaining > 0 ? reader.varint() : 0;
      const frozenAt = frozen === 0 ? null : frozen - 1;
      return { record: { issuer, admission, ranges, prunedBelow, frozenAt }, pages };
    }),
  );
}

export function encodeRangePage(key: Uint8Array, ranges: readonly HaveRange[]): Uint8Array {
  const writer = new ByteWriter(8 + 80 * ranges.length).varint(ranges.length);
  for (const range of ranges) writeRange(writer, range);
  return seal(key, writer.finish());
}

export function decodeRangePage(key: Uint8Array, value: Uint8Array): readonly HaveRange[] {
  return decodeSealed(key, value, (payload) => whole(payload, readRanges));
}

function writeRange(writer: ByteWriter, range: HaveRange): void {
  writer.varint(range.from).varint(range.to - range.from);
  writer.bytes(hashBytes(range.last)).u8(range.prev === null ? 0 : 1);
  if (range.prev !== null) writer.bytes(hashBytes(range.prev));
}

function readRanges(reader: ByteReader): HaveRange[] {
  const ranges: HaveRange[] = [];
  for (let count = reader.varint(); count > 0; count--) {
    const from = reader.varint();
    const to = from + reader.varint();
    const last = hashText(reader.bytes(HASH_BYTES));
    const prev = reader.u8() === 0 ? null : hashText(reader.bytes(HASH_BYTES));
    ranges.push({ from, to, prev, last });
  }
  return ranges;
}

export function encodeHead(key: Uint8Array, head: Head): Uint8Array {
  const writer = new ByteWriter(128).varint(head.seq).bytes(hashBytes(head.hash)).varint(head.sentAt);
  return seal(key, writer.bytes(head.signature).finish());
}

export function decodeHead(key: Uint8Array, value: Uint8Array, issuer: Issuer): Head {
  return decodeSealed(key, value, (payload) =>
    whole(payload, (reader) => {
      const seq = reader.varint();
      const hash = hashText(reader.bytes(HASH_BYTES));
      const sentAt = reader.varint();
      return { issuer, seq, hash, sentAt, signature: reader.bytes(SIGNATURE_BYTES).slice() };
    }),
  );
}

export function encodeFork(key: Uint8Array, fork: ForkRecord): Uint8Array {
  return seal(key, new ByteWriter(fork.proof.length + 16).varint(fork.seq).block(fork.proof).finish());
}

export function decodeFork(key: Uint8Array, value: Uint8Array, issuer: Issuer): ForkRecord {
  return decodeSealed(key, value, (payload) =>
    whole(payload, (reader) => ({ issuer, seq: reader.varint(), proof: reader.block(MAX_PROOF_BYTES).slice() })),
  );
}

/** Where a hash stands: the value of a location entry. */
export interface StoredLocation {
  readonly issuerNo: number;
  readonly seq: number;
  readonly leafIndex: number;
}

/** Writes a sealed location into `value`, which `locationBuffer` made and which is used for every entry of a commit. */
export function encodeLocation(key: Uint8Array, value: Uint8Array, issuerNo: number, seq: number, leaf: number): void {
  putU32(value, PAYLOAD_AT, issuerNo);
  putU64(value, PAYLOAD_AT + 4, seq);
  value[PAYLOAD_AT + 12] = leaf / 0x100_0000_0000;
  value[PAYLOAD_AT + 13] = leaf / 0x1_0000_0000;
  putU32(value, PAYLOAD_AT + 14, leaf % 0x1_0000_0000);
  finishSeal(key, value);
}

export function locationBuffer(): Uint8Array {
  return new Uint8Array(LOCATION_BYTES + SEAL_BYTES);
}

export function decodeLocation(key: Uint8Array, value: Uint8Array): StoredLocation {
  return decodeSealed(key, value, (payload) => {
    if (payload.length !== LOCATION_BYTES) throw new SpineError("store_corrupt", "location of a wrong length");
    const high = (payload[12] as number) * 256 + (payload[13] as number);
    return {
      issuerNo: getU32(payload, 0),
      seq: getU64(payload, 4),
      leafIndex: high * 0x1_0000_0000 + getU32(payload, 14),
    };
  });
}

/** What retention removed of one issuer. */
export interface PruneMark {
  /** No envelope below this seq is stored or taken again. */
  readonly below: number;
  /** Envelopes removed so far. */
  readonly count: number;
}

export function encodePruneMark(key: Uint8Array, mark: PruneMark): Uint8Array {
  return seal(key, new ByteWriter(16).varint(mark.below).varint(mark.count).finish());
}

export function decodePruneMark(key: Uint8Array, value: Uint8Array): PruneMark {
  return decodeSealed(key, value, (payload) =>
    whole(payload, (reader) => ({ below: reader.varint(), count: reader.varint() })),
  );
}

/** Value of an `unverified` entry: the key of the block it points to. */
export function encodePointer(key: Uint8Array, issuerNo: number, firstSeq: number): Uint8Array {
  return seal(key, new ByteWriter(16).u32(issuerNo).varint(firstSeq).finish());
}

export function decodePointer(key: Uint8Array, value: Uint8Array): { issuerNo: number; firstSeq: number } {
  return decodeSealed(key, value, (payload) =>
    whole(payload, (reader) => ({ issuerNo: reader.u32(), firstSeq: reader.varint() })),
  );
}

/** `payload` is whole hashes: 32 bytes each. */
export function decodeLeaves(key: Uint8Array, value: Uint8Array): Uint8Array {
  return decodeSealed(key, value, (payload) => {
    if (payload.length === 0 || payload.length % HASH_BYTES !== 0) {
      throw new SpineError("store_corrupt", "leaves of a wrong length");
    }
    return payload;
  });
}

/** The bytes of a full tile, a view. */
export function decodeTile(key: Uint8Array, value: Uint8Array): Uint8Array {
  return decodeSealed(key, value, (payload) => {
    if (payload.length !== STORED_TILE_BYTES) throw new SpineError("store_corrupt", "tile of a wrong length");
    return payload;
  });
}

function whole<T>(payload: Uint8Array, read: (reader: ByteReader) => T): T {
  const reader = new ByteReader(payload);
  const result = read(reader);
  reader.end();
  return result;
}
