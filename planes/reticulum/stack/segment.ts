/** One resource segment as parts, and back (spec/reticulum.md sections 14.1 and 14.6). Used by the resource sender and receiver. */
import { concatBytes, equalBytes, type Random, SpineError } from "../../../spine/index.ts";
import {
  type Advertisement,
  FLAG,
  HASHMAP_ENTRIES,
  MAP_HASH_BYTES,
  readMapHashes,
  SEGMENT_BYTES,
} from "./advertisement.ts";
import { bunzip2 } from "./bzip2.ts";
import { bzip2 } from "./bzip2-compress.ts";
import { HashedBody, sha256 } from "./crypto.ts";
import { takeStream } from "./stream-pool.ts";
import { sealedBytes, type Token } from "./token.ts";

const PREFIX_BYTES = 4;
export const RANDOM_HASH_BYTES = 4;
const METADATA_LENGTH_BYTES = 3;
/** Largest body a compressed segment may inflate to. */
const MAX_BODY_BYTES = 64 * 1024 * 1024;
/** Requests name parts by map hash within this many entries, so hashes must be unique there. */
export const SEARCH_ENTRIES = 224;

/** Part size, bytes, at a link MTU. */
export function partBytesAt(mtu: number): number {
  return mtu - 36;
}

export const MAX_METADATA_BYTES = 0xffffff;

/** 3 bytes of length, then the packed object. */
export function metadataBlock(packed: Uint8Array): Uint8Array {
  const n = packed.length;
  if (n > MAX_METADATA_BYTES) throw new SpineError("payload_size", `resource metadata of ${n} bytes`);
  return concatBytes(Uint8Array.of(n >>> 16, (n >>> 8) & 255, n & 255), packed);
}

/** Offsets and lengths of the data in each segment; metadata takes its place in the first. */
export function planSegments(dataBytes: number, metadataBytes: number): readonly (readonly [number, number])[] {
  const total = Math.max(1, Math.ceil((dataBytes + metadataBytes) / SEGMENT_BYTES));
  const plan: [number, number][] = [];
  let offset = 0;
  for (let i = 0; i < total; i++) {
    const length = Math.min(dataBytes - offset, SEGMENT_BYTES - (i === 0 ? metadataBytes : 0));
    plan.push([offset, length]);
    offset += length;
  }
  return plan;
}

export interface Segment {
  readonly hash: Uint8Array;
  readonly randomHash: Uint8Array;
  /** What the receiver proves with. */
  readonly proof: Uint8Array;
  readonly stream: Uint8Array;
  readonly compressed: boolean;
  readonly partBytes: number;
  readonly hashmap: Uint8Array;
  /** The hashmap as unsigned 32-bit numbers. */
  readonly mapHashes: readonly number[];
}

let scratch = new Uint8Array(0);

/** First 4 bytes of the hash of part and random hash; hashed in a buffer of its own, as there is one for every part. */
function mapHash(part: Uint8Array, randomHash: Uint8Array): Uint8Array {
  const length = part.length + randomHash.length;
  if (scratch.length < length) scratch = new Uint8Array(length);
  scratch.set(part);
  scratch.set(randomHash, part.length);
  return sha256(scratch.subarray(0, length)).subarray(0, MAP_HASH_BYTES);
}

/** The map hash as the unsigned 32-bit number that requests carry. */
export function mapNumber(part: Uint8Array, randomHash: Uint8Array): number {
  const [a = 0, b = 0, c = 0, d = 0] = mapHash(part, randomHash);
  return ((a << 24) | (b << 16) | (c << 8) | d) >>> 0;
}

function collides(mapHashes: readonly number[]): boolean {
  const recent = new Set<number>();
  for (let i = 0; i < mapHashes.length; i++) {
    const value = mapHashes[i] as number;
    if (recent.has(value)) return true;
    recent.add(value);
    if (i >= SEARCH_ENTRIES) recent.delete(mapHashes[i - SEARCH_ENTRIES] as number);
  }
  return false;
}

/**
 * `body` is metadata block and data; compressed if wanted and if that makes it smaller. The stream is on loan: who is
 * done with the segment may give it back.
 */
export function makeSegment(
  body: Uint8Array,
  token: Token,
  partBytes: number,
  random: Random,
  compress: boolean = false,
): Segment {
  const packed = compress ? bzip2(body) : body;
  const compressed = packed.length < body.length;
  const plain = [random(PREFIX_BYTES), compressed ? packed : body];
  const stream = takeStream(sealedBytes(PREFIX_BYTES + (compressed ? packed : body).length));
  token.encryptInto(plain, random, stream);
  const hashed = new HashedBody(body);
  for (;;) {
    const randomHash = random(RANDOM_HASH_BYTES);
    const parts = Math.ceil(stream.length / partBytes);
    const hashmap = new Uint8Array(parts * MAP_HASH_BYTES);
    for (let i = 0; i < parts; i++) {
      hashmap.set(mapHash(stream.subarray(i * partBytes, (i + 1) * partBytes), randomHash), i * MAP_HASH_BYTES);
    }
    const mapHashes = readMapHashes(hashmap);
    if (collides(mapHashes)) continue;
    const hash = hashed.followedBy(randomHash);
    return { hash, randomHash, proof: hashed.followedBy(hash), stream, compressed, partBytes, hashmap, mapHashes };
  }
}

export function partOf(segment: Segment, index: number): Uint8Array {
  return segment.stream.subarray(index * segment.partBytes, (index + 1) * segment.partBytes);
}

export function advertise(
  segment: Segment,
  about: Pick<Advertisement, "totalBytes" | "originalHash" | "segment" | "segments" | "requestId" | "flags">,
): Advertisement {
  return {
    ...about,
    transferBytes: segment.stream.length,
    parts: segment.mapHashes.length,
    hash: segment.hash,
    randomHash: segment.randomHash,
    hashmap: segment.hashmap.subarray(0, HASHMAP_ENTRIES * MAP_HASH_BYTES),
  };
}

export interface OpenedSegment {
  /** Metadata block and data. */
  readonly body: Uint8Array;
  readonly proof: Uint8Array;
}

/** Decrypts, inflates and checks a received stream. Throws `resource_failed`, `frame_syntax` or `decompression_limit`. */
export function openSegment(
  stream: Uint8Array,
  token: Token,
  advertisement: Advertisement,
  limit: number,
): OpenedSegment {
  const { flags, hash, randomHash } = advertisement;
  const plain = (flags & FLAG.encrypted) === 0 ? stream.slice() : token.decrypt(stream);
  if (plain === undefined || plain.length < PREFIX_BYTES) {
    throw new SpineError("resource_failed", "resource does not decrypt");
  }
  const packed = plain.subarray(PREFIX_BYTES);
  const body = (flags & FLAG.compressed) === 0 ? packed : bunzip2(packed, Math.min(limit, MAX_BODY_BYTES));
  const hashed = new HashedBody(body);
  if (!equalBytes(hashed.followedBy(randomHash), hash)) {
    throw new SpineError("resource_failed", "resource hash mismatch");
  }
  return { body, proof: hashed.followedBy(hash) };
}

/** Splits a first segment's body. Throws `frame_syntax` when the metadata length lies. */
export function splitMetadata(body: Uint8Array): { readonly metadata: Uint8Array; readonly data: Uint8Array } {
  const [high = 0, middle = 0, low = 0] = body;
  const length = (high << 16) | (middle << 8) | low;
  const end = METADATA_LENGTH_BYTES + length;
  if (body.length < end) throw new SpineError("frame_syntax", "resource metadata is longer than its segment");
  return { metadata: body.slice(METADATA_LENGTH_BYTES, end), data: body.subarray(end) };
}
