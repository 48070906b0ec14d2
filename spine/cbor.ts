/**
 * Upstream's `CB` form of an envelope: the two letters, then one CBOR map (RFC 8949) of JSON types only. Reads any
 * order of keys; refuses what has no JSON form, duplicates and trailing bytes. spec/spine.md section 16.4.
 */
import { ByteReader, ByteWriter, utf8, utf8Text } from "./bytes.ts";
import { SpineError } from "./errors.ts";
import { type Json, type JsonObject, MAX_JSON_DEPTH } from "./lossless.ts";

const MAGIC: Uint8Array = utf8("CB");
/** Largest input that is read, bytes. */
export const MAX_CBOR_BYTES = 1_048_576;

const UNSIGNED = 0;
const NEGATIVE = 1;
const TEXT = 3;
const ARRAY = 4;
const MAP = 5;
const SIMPLE = 7;
const FALSE = 20;
const TRUE = 21;
const NULL = 22;
const HALF = 25;
const FLOAT = 26;
const DOUBLE = 27;
const U64_LIMIT = 2n ** 64n;
const I64_MIN = -(2n ** 63n);

/** True when `bytes` begin with the magic of this form. */
export function isCbor(bytes: Uint8Array): boolean {
  return bytes[0] === MAGIC[0] && bytes[1] === MAGIC[1];
}

/** Definite lengths, shortest integers, 64-bit floats, keys in the order of canonical JSON. */
export function encodeCbor(value: Json): Uint8Array {
  const writer = new ByteWriter(1024).bytes(MAGIC);
  write(writer, value, 0);
  return writer.finish();
}

function writeHead(writer: ByteWriter, major: number, count: bigint): void {
  const type = major << 5;
  if (count < 24n) writer.u8(type | Number(count));
  else if (count < 0x100n) writer.u8(type | 24).u8(Number(count));
  else if (count < 0x1_0000n) writer.u8(type | 25).u16(Number(count));
  else if (count < 0x1_0000_0000n) writer.u8(type | 26).u32(Number(count));
  else
    writer
      .u8(type | 27)
      .u32(Number(count >> 32n))
      .u32(Number(count & 0xffff_ffffn));
}

function write(writer: ByteWriter, value: Json, depth: number): void {
  if (depth > MAX_JSON_DEPTH) throw new SpineError("json_depth", `more than ${MAX_JSON_DEPTH} levels`);
  if (typeof value === "bigint" || (typeof value === "number" && Number.isSafeInteger(value))) {
    const integer = BigInt(value);
    return integer >= 0n ? writeHead(writer, UNSIGNED, integer) : writeHead(writer, NEGATIVE, -1n - integer);
  }
  switch (typeof value) {
    case "number": {
      const bytes = new Uint8Array(8);
      new DataView(bytes.buffer).setFloat64(0, value);
      return void writer.u8((SIMPLE << 5) | DOUBLE).bytes(bytes);
    }
    case "boolean":
      return void writer.u8((SIMPLE << 5) | (value ? TRUE : FALSE));
    case "string":
      return writeText(writer, value);
    default:
      break;
  }
  if (value === null) return void writer.u8((SIMPLE << 5) | NULL);
  if (Array.isArray(value)) {
    const list = value as readonly Json[];
    writeHead(writer, ARRAY, BigInt(list.length));
    for (const one of list) write(writer, one, depth + 1);
    return;
  }
  const object = value as JsonObject;
  const keys: string[] = Object.keys(object).sort();
  writeHead(writer, MAP, BigInt(keys.length));
  for (const key of keys) {
    writeText(writer, key);
    write(writer, object[key] as Json, depth + 1);
  }
}

function writeText(writer: ByteWriter, text: string): void {
  const bytes: Uint8Array = utf8(text);
  writeHead(writer, TEXT, BigInt(bytes.length));
  writer.bytes(bytes);
}

/** Throws `frame_syntax`, `frame_size`, `json_duplicate_key`, `json_depth` or `json_number`. */
export function decodeCbor(bytes: Uint8Array): Json {
  if (bytes.length > MAX_CBOR_BYTES) throw new SpineError("frame_size", `CBOR of ${bytes.length} bytes`);
  if (!isCbor(bytes)) throw new SpineError("frame_syntax", "no CB magic");
  const reader = new ByteReader(bytes.subarray(MAGIC.length));
  const value: Json = read(reader, 0);
  reader.end();
  return value;
}

/** The argument of an item's head: a count or an integer. */
function argument(reader: ByteReader, info: number): bigint {
  if (info < 24) return BigInt(info);
  if (info === 24) return BigInt(reader.u8());
  if (info === 25) return BigInt(reader.u16());
  if (info === 26) return BigInt(reader.u32());
  if (info === 27) return (BigInt(reader.u32()) << 32n) | BigInt(reader.u32());
  throw new SpineError("frame_syntax", "CBOR of indefinite length");
}

function read(reader: ByteReader, depth: number): Json {
  if (depth > MAX_JSON_DEPTH) throw new SpineError("json_depth", `more than ${MAX_JSON_DEPTH} levels`);
  const first = reader.u8();
  const [major, info] = [first >> 5, first & 31];
  switch (major) {
    case UNSIGNED:
      return integer(argument(reader, info));
    case NEGATIVE:
      return integer(-1n - argument(reader, info));
    case TEXT:
      return text(reader, info);
    case ARRAY: {
      const list: Json[] = [];
      for (let left = count(reader, info); left > 0; left--) list.push(read(reader, depth + 1));
      return list;
    }
    case MAP:
      return map(reader, count(reader, info), depth);
    case SIMPLE:
      return simple(reader, info);
    default:
      throw new SpineError("frame_syntax", `CBOR type ${major} has no JSON form`);
  }
}

function integer(value: bigint): number | bigint {
  if (value >= U64_LIMIT || value < I64_MIN) throw new SpineError("json_number", `${value} fits neither i64 nor u64`);
  const number = Number(value);
  return Number.isSafeInteger(number) ? number : value;
}

/** No more elements than bytes: a count is never an allocation. */
function count(reader: ByteReader, info: number): number {
  const length = argument(reader, info);
  if (length > BigInt(reader.remaining)) throw new SpineError("frame_syntax", "CBOR ends early");
  return Number(length);
}

function text(reader: ByteReader, info: number): string {
  const bytes: Uint8Array = reader.bytes(count(reader, info));
  try {
    return utf8Text(bytes);
  } catch (cause) {
    throw new SpineError("frame_syntax", "CBOR text that is not UTF-8", { cause });
  }
}

function map(reader: ByteReader, length: number, depth: number): JsonObject {
  const object: Record<string, Json> = Object.create(null);
  for (let left = length; left > 0; left--) {
    const first = reader.u8();
    if (first >> 5 !== TEXT) throw new SpineError("frame_syntax", "CBOR key that is no text");
    const key: string = text(reader, first & 31);
    if (key in object) throw new SpineError("json_duplicate_key", `key ${JSON.stringify(key.slice(0, 64))} twice`);
    object[key] = read(reader, depth + 1);
  }
  return object;
}

function simple(reader: ByteReader, info: number): Json {
  if (info === FALSE) return false;
  if (info === TRUE) return true;
  if (info === NULL) return null;
  if (info !== HALF && info !== FLOAT && info !== DOUBLE)
    throw new SpineError("frame_syntax", `CBOR simple value ${info} has no JSON form`);
  const bytes: Uint8Array = reader.bytes(info === HALF ? 2 : info === FLOAT ? 4 : 8);
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
  const value = info === HALF ? halfFloat(view.getUint16(0)) : info === FLOAT ? view.getFloat32(0) : view.getFloat64(0);
  if (!Number.isFinite(value)) throw new SpineError("json_number", "not a finite number");
  return value === 0 ? 0 : value;
}

function halfFloat(bits: number): number {
  const exponent = (bits >> 10) & 31;
  const fraction = bits & 1023;
  const size =
    exponent === 0
      ? fraction * 2 ** -24
      : exponent === 31
        ? Number.POSITIVE_INFINITY
        : (1 + fraction / 1024) * 2 ** (exponent - 15);
  return bits >= 0x8000 ? -size : size;
}
