/** The MessagePack subset that Reticulum speaks (spec/reticulum.md section 1). Used by links, resources and ratchet files. */
import { ByteReader, ByteWriter, SpineError, utf8, utf8Text } from "../../../spine/index.ts";

/** A float64. Plain numbers are integers on the wire when they are integral, so times and rates are wrapped. */
export class Double {
  readonly value: number;
  constructor(value: number) {
    this.value = value;
  }
}

export type Packable =
  | null
  | boolean
  | number
  | string
  | Double
  | Uint8Array
  | readonly Packable[]
  | ReadonlyMap<Packable, Packable>;

const MAX_DEPTH = 16;
const TWO_32 = 4_294_967_296;

function packInteger(out: ByteWriter, value: number): void {
  if (!Number.isSafeInteger(value)) throw new SpineError("internal", `integer out of range: ${value}`);
  if (value >= 0) {
    if (value < 0x80) out.u8(value);
    else if (value < 0x100) out.u8(0xcc).u8(value);
    else if (value < 0x10000) out.u8(0xcd).u16(value);
    else if (value < TWO_32) out.u8(0xce).u32(value);
    else
      out
        .u8(0xcf)
        .u32(Math.floor(value / TWO_32))
        .u32(value % TWO_32);
  } else if (value >= -0x20) out.u8(value & 0xff);
  else if (value >= -0x80) out.u8(0xd0).u8(value & 0xff);
  else if (value >= -0x8000) out.u8(0xd1).u16(value & 0xffff);
  else if (value >= -0x80000000) out.u8(0xd2).u32(value >>> 0);
  else
    out
      .u8(0xd3)
      .u32(Math.floor(value / TWO_32) >>> 0)
      .u32(((value % TWO_32) + TWO_32) % TWO_32);
}

function packDouble(out: ByteWriter, value: number): void {
  const bytes = new Uint8Array(8);
  new DataView(bytes.buffer).setFloat64(0, value);
  out.u8(0xcb).bytes(bytes);
}

function packLength(out: ByteWriter, length: number, codes: readonly [number, number, number]): void {
  if (length < 0x100 && codes[0] !== 0) out.u8(codes[0]).u8(length);
  else if (length < 0x10000) out.u8(codes[1]).u16(length);
  else out.u8(codes[2]).u32(length);
}

function packInto(out: ByteWriter, value: Packable): void {
  if (value === null) out.u8(0xc0);
  else if (typeof value === "boolean") out.u8(value ? 0xc3 : 0xc2);
  else if (typeof value === "number") Number.isInteger(value) ? packInteger(out, value) : packDouble(out, value);
  else if (value instanceof Double) packDouble(out, value.value);
  else if (typeof value === "string") {
    const bytes = utf8(value);
    if (bytes.length < 32) out.u8(0xa0 | bytes.length);
    else packLength(out, bytes.length, [0xd9, 0xda, 0xdb]);
    out.bytes(bytes);
  } else if (value instanceof Uint8Array) {
    packLength(out, value.length, [0xc4, 0xc5, 0xc6]);
    out.bytes(value);
  } else if (value instanceof Map) {
    if (value.size < 16) out.u8(0x80 | value.size);
    else packLength(out, value.size, [0, 0xde, 0xdf]);
    for (const [key, item] of value as ReadonlyMap<Packable, Packable>) {
      packInto(out, key);
      packInto(out, item);
    }
  } else {
    const items = value as readonly Packable[];
    if (items.length < 16) out.u8(0x90 | items.length);
    else packLength(out, items.length, [0, 0xdc, 0xdd]);
    for (const item of items) packInto(out, item);
  }
}

/** Shortest forms; map entries in insertion order; floats always as float64. */
export function pack(value: Packable): Uint8Array {
  const out = new ByteWriter(64);
  packInto(out, value);
  return out.finish();
}

function unpackFloat(input: ByteReader, bytes: 4 | 8): Double {
  const raw = input.bytes(bytes);
  const view = new DataView(raw.buffer, raw.byteOffset, bytes);
  return new Double(bytes === 4 ? view.getFloat32(0) : view.getFloat64(0));
}

function wide(high: number, low: number): number {
  const value = high * TWO_32 + low;
  if (!Number.isSafeInteger(value)) throw new SpineError("frame_syntax", "integer beyond 2^53");
  return value;
}

function unpackItems(input: ByteReader, count: number, depth: number): Packable[] {
  if (count > input.remaining) throw new SpineError("frame_syntax", `array of ${count} items is longer than its text`);
  const items: Packable[] = [];
  for (let i = 0; i < count; i++) items.push(unpackFrom(input, depth + 1));
  return items;
}

function unpackMap(input: ByteReader, count: number, depth: number): Map<Packable, Packable> {
  if (count * 2 > input.remaining)
    throw new SpineError("frame_syntax", `map of ${count} entries is longer than its text`);
  const map = new Map<Packable, Packable>();
  for (let i = 0; i < count; i++) {
    const key = unpackFrom(input, depth + 1);
    map.set(key, unpackFrom(input, depth + 1));
  }
  return map;
}

function unpackFrom(input: ByteReader, depth: number): Packable {
  if (depth > MAX_DEPTH) throw new SpineError("frame_syntax", "nested too deeply");
  const code = input.u8();
  if (code < 0x80) return code;
  if (code < 0x90) return unpackMap(input, code & 15, depth);
  if (code < 0xa0) return unpackItems(input, code & 15, depth);
  if (code < 0xc0) return text(input, code & 31);
  if (code >= 0xe0) return code - 256;
  switch (code) {
    case 0xc0:
      return null;
    case 0xc2:
      return false;
    case 0xc3:
      return true;
    case 0xc4:
      return input.bytes(input.u8());
    case 0xc5:
      return input.bytes(input.u16());
    case 0xc6:
      return input.bytes(input.u32());
    case 0xca:
      return unpackFloat(input, 4);
    case 0xcb:
      return unpackFloat(input, 8);
    case 0xcc:
      return input.u8();
    case 0xcd:
      return input.u16();
    case 0xce:
      return input.u32();
    case 0xcf:
      return wide(input.u32(), input.u32());
    case 0xd0:
      return (input.u8() << 24) >> 24;
    case 0xd1:
      return (input.u16() << 16) >> 16;
    case 0xd2:
      return input.u32() | 0;
    case 0xd3:
      return wide(input.u32() | 0, input.u32());
    case 0xd9:
      return text(input, input.u8());
    case 0xda:
      return text(input, input.u16());
    case 0xdb:
      return text(input, input.u32());
    case 0xdc:
      return unpackItems(input, input.u16(), depth);
    case 0xdd:
      return unpackItems(input, input.u32(), depth);
    case 0xde:
      return unpackMap(input, input.u16(), depth);
    case 0xdf:
      return unpackMap(input, input.u32(), depth);
    default:
      throw new SpineError("frame_syntax", `MessagePack code ${code} is not used by Reticulum`);
  }
}

function text(input: ByteReader, length: number): string {
  const bytes = input.bytes(length);
  try {
    return utf8Text(bytes);
  } catch (cause) {
    throw new SpineError("frame_syntax", "text is not UTF-8", { cause });
  }
}

/** Exactly one value; byte strings are views of `bytes`. Throws `frame_syntax`. */
export function unpack(bytes: Uint8Array): Packable {
  const input = new ByteReader(bytes);
  const value = unpackFrom(input, 0);
  input.end();
  return value;
}

/** The number in an integer or a float, or undefined. */
export function packedNumber(value: Packable | undefined): number | undefined {
  if (value instanceof Double) return value.value;
  return typeof value === "number" ? value : undefined;
}
