/** Resource messages other than parts: advertisement, part request, hashmap update (spec/reticulum.md section 14). */
import { concatBytes, SpineError } from "../../../spine/index.ts";
import { ADDRESS_BYTES } from "./hash.ts";
import { type Packable, pack, unpack } from "./msgpack.ts";

export const RESOURCE_HASH_BYTES = 32;
export const MAP_HASH_BYTES = 4;
/** Map hashes in an advertisement or update, whatever the MTU. */
export const HASHMAP_ENTRIES = 74;
/** Bytes of metadata and data in one segment. */
export const SEGMENT_BYTES = 1_048_575;
const MAX_TRANSFER_BYTES = 3 * SEGMENT_BYTES;
const MAX_SEGMENTS = 65_535;

export const FLAG = { encrypted: 1, compressed: 2, split: 4, request: 8, response: 16, metadata: 32 } as const;

export interface Advertisement {
  /** Bytes of the encrypted stream of this segment. */
  readonly transferBytes: number;
  /** Uncompressed bytes of all segments, metadata included. */
  readonly totalBytes: number;
  readonly parts: number;
  readonly hash: Uint8Array;
  readonly randomHash: Uint8Array;
  /** Hash of the first segment. */
  readonly originalHash: Uint8Array;
  /** From 1. */
  readonly segment: number;
  readonly segments: number;
  readonly requestId: Uint8Array | null;
  readonly flags: number;
  /** The first map hashes, 4 bytes each. */
  readonly hashmap: Uint8Array;
}

export function packAdvertisement(a: Advertisement): Uint8Array {
  return pack(
    new Map<Packable, Packable>([
      ["t", a.transferBytes],
      ["d", a.totalBytes],
      ["n", a.parts],
      ["h", a.hash],
      ["r", a.randomHash],
      ["o", a.originalHash],
      ["i", a.segment],
      ["l", a.segments],
      ["q", a.requestId],
      ["f", a.flags],
      ["m", a.hashmap],
    ]),
  );
}

function field<T>(
  map: ReadonlyMap<Packable, Packable>,
  key: string,
  check: (value: Packable) => value is T & Packable,
): T {
  const value = map.get(key);
  if (value === undefined || !check(value)) throw new SpineError("frame_syntax", `resource advertisement field ${key}`);
  return value;
}

const isBytes =
  (length: number) =>
  (value: Packable): value is Uint8Array =>
    value instanceof Uint8Array && value.length === length;
const isCount =
  (low: number, high: number) =>
  (value: Packable): value is number =>
    typeof value === "number" && value >= low && value <= high;

/**
 * `partBytes` is the link's part size. How many parts there are follows from it and the size of the transfer; what the
 * advertisement says of it is not believed. Throws `frame_syntax` for anything inconsistent.
 */
export function unpackAdvertisement(bytes: Uint8Array, partBytes: number): Advertisement {
  const map = unpack(bytes);
  if (!(map instanceof Map)) throw new SpineError("frame_syntax", "resource advertisement is not a map");
  const transferBytes = field(map, "t", isCount(1, MAX_TRANSFER_BYTES));
  field(map, "n", isCount(1, Number.MAX_SAFE_INTEGER));
  const parts = Math.ceil(transferBytes / partBytes);
  const segments = field(map, "l", isCount(1, MAX_SEGMENTS));
  const hashmap = field(map, "m", (v): v is Uint8Array => v instanceof Uint8Array);
  const requestId = map.get("q") ?? null;
  if (hashmap.length !== Math.min(parts, HASHMAP_ENTRIES) * MAP_HASH_BYTES) {
    throw new SpineError("frame_syntax", `resource hashmap of ${hashmap.length} bytes for ${parts} parts`);
  }
  if (requestId !== null && !isBytes(ADDRESS_BYTES)(requestId)) {
    throw new SpineError("frame_syntax", "resource request id");
  }
  return {
    transferBytes,
    totalBytes: field(map, "d", isCount(0, Number.MAX_SAFE_INTEGER)),
    parts,
    hash: field(map, "h", isBytes(RESOURCE_HASH_BYTES)).slice(),
    randomHash: field(map, "r", isBytes(4)).slice(),
    originalHash: field(map, "o", isBytes(RESOURCE_HASH_BYTES)).slice(),
    segment: field(map, "i", isCount(1, segments)),
    segments,
    requestId: requestId === null ? null : requestId.slice(),
    flags: field(map, "f", isCount(0, 255)),
    hashmap: hashmap.slice(),
  };
}

export interface PartRequest {
  readonly hash: Uint8Array;
  /** Set when the receiver knows no further map hashes: the last one it knows. */
  readonly lastKnown: number | undefined;
  /** Map hashes as unsigned 32-bit numbers. */
  readonly wanted: readonly number[];
}

function writeMapHashes(values: readonly number[]): Uint8Array {
  const out = new Uint8Array(values.length * MAP_HASH_BYTES);
  const view = new DataView(out.buffer);
  values.forEach((value, i) => {
    view.setUint32(i * MAP_HASH_BYTES, value);
  });
  return out;
}

/** Map hashes as unsigned 32-bit numbers; a rest of less than 4 bytes is ignored by the caller's length check. */
export function readMapHashes(bytes: Uint8Array): number[] {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
  const out: number[] = [];
  for (let at = 0; at + MAP_HASH_BYTES <= bytes.length; at += MAP_HASH_BYTES) out.push(view.getUint32(at));
  return out;
}

export function packPartRequest(request: PartRequest): Uint8Array {
  const head =
    request.lastKnown === undefined
      ? Uint8Array.of(0)
      : concatBytes(Uint8Array.of(0xff), writeMapHashes([request.lastKnown]));
  return concatBytes(head, request.hash, writeMapHashes(request.wanted));
}

/** Throws `frame_syntax`. */
export function unpackPartRequest(bytes: Uint8Array): PartRequest {
  const exhausted = bytes[0] === 0xff;
  const hashAt = exhausted ? 1 + MAP_HASH_BYTES : 1;
  const wantedAt = hashAt + RESOURCE_HASH_BYTES;
  if (bytes.length < wantedAt || (bytes.length - wantedAt) % MAP_HASH_BYTES !== 0) {
    throw new SpineError("frame_syntax", `resource part request of ${bytes.length} bytes`);
  }
  return {
    hash: bytes.slice(hashAt, wantedAt),
    lastKnown: exhausted ? readMapHashes(bytes.subarray(1, hashAt))[0] : undefined,
    wanted: readMapHashes(bytes.subarray(wantedAt)),
  };
}

export interface HashmapUpdate {
  readonly hash: Uint8Array;
  /** Covers entries from 74 times this number. */
  readonly segment: number;
  readonly hashes: Uint8Array;
}

export function packHashmapUpdate(update: HashmapUpdate): Uint8Array {
  return concatBytes(update.hash, pack([update.segment, update.hashes]));
}

/** Throws `frame_syntax`. */
export function unpackHashmapUpdate(bytes: Uint8Array): HashmapUpdate {
  if (bytes.length <= RESOURCE_HASH_BYTES) throw new SpineError("frame_syntax", "hashmap update too short");
  const list = unpack(bytes.subarray(RESOURCE_HASH_BYTES));
  const [segment, hashes] = Array.isArray(list) ? list : [];
  if (!isCount(0, MAX_TRANSFER_BYTES)(segment ?? null) || !(hashes instanceof Uint8Array)) {
    throw new SpineError("frame_syntax", "hashmap update fields");
  }
  if (hashes.length % MAP_HASH_BYTES !== 0 || hashes.length > HASHMAP_ENTRIES * MAP_HASH_BYTES) {
    throw new SpineError("frame_syntax", `hashmap update of ${hashes.length} bytes`);
  }
  return { hash: bytes.slice(0, RESOURCE_HASH_BYTES), segment: segment as number, hashes: hashes.slice() };
}
