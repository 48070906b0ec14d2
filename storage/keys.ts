/**
 * Every key of the store, in one table. Numbers are never reused, also not those of retired kinds. Keys are binary
 * and big-endian, so that LevelDB's byte order is the order of sequence numbers and of leaves.
 */
import { type RowTable, SpineError } from "../spine/index.ts";

/**
 * | prefix     | rest of the key            | value (`values.ts`, `block.ts`)                                  |
 * |------------|----------------------------|------------------------------------------------------------------|
 * | meta       | u8 of `Meta`               | one number                                                       |
 * | name       | issuer number u32          | issuer, as text; assigned once, never changed                    |
 * | record     | issuer number u32          | the issuer's record: admission, have-ranges, freeze              |
 * | head       | issuer number u32          | newest signed head                                               |
 * | block      | issuer number u32, seq u64 | 1 to 64 consecutive envelopes, the key naming the first          |
 * | location   | envelope hash, 32 bytes    | issuer number, seq, leaf index                                   |
 * | leaves     | leaf index u64             | hashes in commit order, the key naming the first                 |
 * | fork       | issuer number u32          | fork proof                                                       |
 * | states     | issuer number u32, seq u64 | states of the block at that key, where they changed since commit |
 * | unverified | leaf index u64             | the block that begins with that leaf still holds `chain` states  |
 * | pruned     | issuer number u32          | below which seq, and how many envelopes, were removed            |
 * | row        | u8 table, key in UTF-8     | a small entry of one part of the node                            |
 * | tile       | u8 tile level, index u64   | a full tile of the log: 256 tree hashes and the 255 above them    |
 * | ranges     | issuer number u32, page u64 | 64 of the have-ranges that the issuer's record has no room for   |
 * | quarantine | the damaged entry's key    | the damaged entry's value, untouched; nothing reads it           |
 */
export const Prefix = {
  meta: 1,
  name: 2,
  record: 3,
  head: 4,
  block: 5,
  location: 6,
  leaves: 7,
  fork: 8,
  states: 9,
  unverified: 10,
  pruned: 11,
  quarantine: 12,
  row: 13,
  tile: 14,
  ranges: 17,
} as const;
export type Prefix = (typeof Prefix)[keyof typeof Prefix];

export const Meta = {
  /** Version of everything below; see `migrate.ts`. */
  format: 1,
  /** Envelopes ever committed. */
  logSize: 2,
} as const;
export type Meta = (typeof Meta)[keyof typeof Meta];

export const HASH_BYTES = 32;
export const NUMBER_KEY_BYTES = 5;
export const LEAF_KEY_BYTES = 9;
export const BLOCK_KEY_BYTES = 13;
export const LOCATION_KEY_BYTES = 33;
export const TILE_KEY_BYTES = 10;
const U32_LIMIT = 0x1_0000_0000;

export function metaKey(meta: Meta): Uint8Array {
  return Uint8Array.of(Prefix.meta, meta);
}

/** Key of a kind that has one entry per issuer. */
export function numberKey(prefix: Prefix, issuerNo: number): Uint8Array {
  const key = new Uint8Array(NUMBER_KEY_BYTES);
  key[0] = prefix;
  putU32(key, 1, issuerNo);
  return key;
}

/** Key of a kind that has one entry per leaf index. */
export function leafKey(prefix: Prefix, leafIndex: number): Uint8Array {
  const key = new Uint8Array(LEAF_KEY_BYTES);
  key[0] = prefix;
  putU64(key, 1, leafIndex);
  return key;
}

/** Key of a kind that has one entry per block. */
export function blockKey(prefix: Prefix, issuerNo: number, firstSeq: number): Uint8Array {
  const key = new Uint8Array(BLOCK_KEY_BYTES);
  key[0] = prefix;
  putU32(key, 1, issuerNo);
  putU64(key, 5, firstSeq);
  return key;
}

export function locationKey(hash: Uint8Array): Uint8Array {
  const key = new Uint8Array(LOCATION_KEY_BYTES);
  key[0] = Prefix.location;
  key.set(hash, 1);
  return key;
}

export function tileKey(level: number, index: number): Uint8Array {
  const key = new Uint8Array(TILE_KEY_BYTES);
  key[0] = Prefix.tile;
  key[1] = level;
  putU64(key, 2, index);
  return key;
}

/** Throws `store_corrupt` if the key does not have the length of its kind. */
export function readTileKey(key: Uint8Array): { readonly level: number; readonly index: number } {
  expectLength(key, TILE_KEY_BYTES);
  return { level: key[1] as number, index: getU64(key, 2) };
}

export function quarantineKey(damaged: Uint8Array): Uint8Array {
  const key = new Uint8Array(damaged.length + 1);
  key[0] = Prefix.quarantine;
  key.set(damaged, 1);
  return key;
}

/** Key of a row; without `key`, what all keys of the table begin with. */
export function rowKey(table: RowTable, key = ""): Uint8Array {
  const text = Buffer.from(key, "utf8");
  const bytes = new Uint8Array(text.length + 2);
  bytes[0] = Prefix.row;
  bytes[1] = table;
  bytes.set(text, 2);
  return bytes;
}

/** Throws `store_corrupt` if the key is no row's. */
export function readRowKey(key: Uint8Array): { readonly table: number; readonly key: string } {
  if (key.length < 3) throw new SpineError("store_corrupt", "a row without a key");
  return { table: key[1] as number, key: Buffer.from(key.subarray(2)).toString("utf8") };
}

/** Bounds of all keys of one kind, for iterators. */
export function prefixRange(prefix: Prefix): { readonly gte: Uint8Array; readonly lt: Uint8Array } {
  return { gte: Uint8Array.of(prefix), lt: Uint8Array.of(prefix + 1) };
}

/** Throws `store_corrupt` if the key does not have the length of its kind. */
export function readNumberKey(key: Uint8Array): number {
  expectLength(key, NUMBER_KEY_BYTES);
  return getU32(key, 1);
}

/** Throws `store_corrupt` if the key does not have the length of its kind. */
export function readLeafKey(key: Uint8Array): number {
  expectLength(key, LEAF_KEY_BYTES);
  return getU64(key, 1);
}

/** Throws `store_corrupt` if the key does not have the length of its kind. */
export function readBlockKey(key: Uint8Array): { readonly issuerNo: number; readonly firstSeq: number } {
  expectLength(key, BLOCK_KEY_BYTES);
  return { issuerNo: getU32(key, 1), firstSeq: getU64(key, 5) };
}

/** Throws `store_corrupt` if the key does not have the length of its kind. */
export function readLocationKey(key: Uint8Array): Uint8Array {
  expectLength(key, LOCATION_KEY_BYTES);
  return key.subarray(1);
}

function expectLength(key: Uint8Array, length: number): void {
  if (key.length !== length) {
    throw new SpineError("store_corrupt", `key of kind ${key[0]} has ${key.length} bytes, expected ${length}`);
  }
}

export function putU32(bytes: Uint8Array, at: number, value: number): void {
  bytes[at] = value >>> 24;
  bytes[at + 1] = value >>> 16;
  bytes[at + 2] = value >>> 8;
  bytes[at + 3] = value;
}

export function getU32(bytes: Uint8Array, at: number): number {
  return (
    (bytes[at] as number) * 0x1000000 +
    (((bytes[at + 1] as number) << 16) | ((bytes[at + 2] as number) << 8) | (bytes[at + 3] as number))
  );
}

/** `value` is 0 to 2^53 − 1. */
export function putU64(bytes: Uint8Array, at: number, value: number): void {
  putU32(bytes, at, Math.floor(value / U32_LIMIT));
  putU32(bytes, at + 4, value % U32_LIMIT);
}

/** Throws `store_corrupt` beyond 2^53 − 1. */
export function getU64(bytes: Uint8Array, at: number): number {
  const value = getU32(bytes, at) * U32_LIMIT + getU32(bytes, at + 4);
  if (!Number.isSafeInteger(value)) throw new SpineError("store_corrupt", "stored number is beyond 2^53 - 1");
  return value;
}
