/** Byte helpers: hex, UTF-8, comparison, and a bounded binary reader and writer for the wire codecs. */
import { SpineError } from "./errors.ts";

interface Utf8Encoder {
  encode(text: string): Uint8Array;
}
interface Utf8Decoder {
  decode(bytes: Uint8Array): string;
}
// Web-standard text codecs: pure, and present in Node and browsers alike, but declared only by the DOM and Node types.
declare const TextEncoder: new () => Utf8Encoder;
declare const TextDecoder: new (label: string, options: { fatal: boolean; ignoreBOM: boolean }) => Utf8Decoder;

const encoder: Utf8Encoder = new TextEncoder();
const decoder: Utf8Decoder = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true });
const HEX = "0123456789abcdef";
const HEX_OF: readonly string[] = Array.from({ length: 256 }, (_, b) => `${HEX[b >> 4]}${HEX[b & 15]}`);

export function utf8(text: string): Uint8Array {
  return encoder.encode(text);
}

/** Strict: throws `json_syntax` on invalid UTF-8; a byte order mark is kept as a character. */
export function utf8Text(bytes: Uint8Array): string {
  try {
    return decoder.decode(bytes);
  } catch (cause) {
    throw new SpineError("json_syntax", "not valid UTF-8", { cause });
  }
}

/** Lower-case hex without prefix. */
export function toHex(bytes: Uint8Array): string {
  let out = "";
  for (const b of bytes) out += HEX_OF[b];
  return out;
}

function nibble(code: number): number {
  if (code >= 48 && code <= 57) return code - 48;
  if (code >= 97 && code <= 102) return code - 87;
  if (code >= 65 && code <= 70) return code - 55;
  return -1;
}

/** Hex of either case, no prefix; throws `hex_syntax` unless it holds exactly `length` bytes (any length if omitted). */
export function fromHex(hex: string, length?: number): Uint8Array {
  if (hex.length % 2 !== 0 || (length !== undefined && hex.length !== length * 2)) {
    throw new SpineError(
      "hex_syntax",
      `hex text of ${hex.length} digits${length === undefined ? "" : `, expected ${length * 2}`}`,
    );
  }
  const out = new Uint8Array(hex.length / 2);
  for (let i = 0; i < out.length; i++) {
    const high = nibble(hex.charCodeAt(2 * i));
    const low = nibble(hex.charCodeAt(2 * i + 1));
    if (high < 0 || low < 0) throw new SpineError("hex_syntax", `not a hex digit near offset ${2 * i}`);
    out[i] = high * 16 + low;
  }
  return out;
}

export function concatBytes(...parts: readonly Uint8Array[]): Uint8Array {
  let length = 0;
  for (const part of parts) length += part.length;
  const out = new Uint8Array(length);
  let at = 0;
  for (const part of parts) {
    out.set(part, at);
    at += part.length;
  }
  return out;
}

export function equalBytes(a: Uint8Array, b: Uint8Array): boolean {
  return compareBytes(a, b) === 0;
}

/** Lexicographic: negative, zero or positive. */
export function compareBytes(a: Uint8Array, b: Uint8Array): number {
  const shared = a.length < b.length ? a.length : b.length;
  for (let i = 0; i < shared; i++) {
    const difference = (a[i] as number) - (b[i] as number);
    if (difference !== 0) return difference;
  }
  return a.length - b.length;
}

/** Writes big-endian fixed fields and LEB128 varints into a growing buffer. */
export class ByteWriter {
  #buffer: Uint8Array;
  #length = 0;
  constructor(capacity = 256) {
    this.#buffer = new Uint8Array(capacity);
  }
  #reserve(extra: number): number {
    const at: number = this.#length;
    const needed: number = at + extra;
    if (needed > this.#buffer.length) {
      const grown = new Uint8Array(needed > this.#buffer.length * 2 ? needed : this.#buffer.length * 2);
      grown.set(this.#buffer.subarray(0, at));
      this.#buffer = grown;
    }
    this.#length = needed;
    return at;
  }
  u8(value: number): this {
    const at = this.#reserve(1);
    this.#buffer[at] = value;
    return this;
  }
  u16(value: number): this {
    return this.u8(value >>> 8).u8(value & 255);
  }
  u32(value: number): this {
    return this.u16(value >>> 16).u16(value & 0xffff);
  }
  /** Unsigned LEB128, 0 to 2^53 − 1, shortest form. */
  varint(value: number): this {
    if (!Number.isSafeInteger(value) || value < 0) throw new SpineError("internal", `varint out of range: ${value}`);
    let rest: number = value;
    while (rest >= 128) {
      this.u8((rest % 128) + 128);
      rest = Math.floor(rest / 128);
    }
    return this.u8(rest);
  }
  bytes(value: Uint8Array): this {
    const at = this.#reserve(value.length);
    this.#buffer.set(value, at);
    return this;
  }
  /** A varint length, then the bytes. */
  block(value: Uint8Array): this {
    return this.varint(value.length).bytes(value);
  }
  /** Bytes written so far. */
  get length(): number {
    return this.#length;
  }
  finish(): Uint8Array {
    return this.#buffer.subarray(0, this.#length);
  }
}

/** Reads what ByteWriter writes. Every read is bounds-checked and throws `frame_syntax`; nothing is ever over-read. */
export class ByteReader {
  readonly #bytes: Uint8Array;
  #at = 0;
  constructor(bytes: Uint8Array) {
    this.#bytes = bytes;
  }
  get remaining(): number {
    return this.#bytes.length - this.#at;
  }
  #take(length: number): number {
    if (length > this.remaining)
      throw new SpineError("frame_syntax", `frame ends ${length - this.remaining} bytes early`);
    const at: number = this.#at;
    this.#at += length;
    return at;
  }
  u8(): number {
    return this.#bytes[this.#take(1)] as number;
  }
  u16(): number {
    return this.u8() * 256 + this.u8();
  }
  u32(): number {
    return this.u16() * 65_536 + this.u16();
  }
  /** Refuses numbers above 2^53 − 1 and longer spellings than needed. */
  varint(): number {
    let value = 0;
    let scale = 1;
    for (let i = 0; i < 8; i++) {
      const byte = this.u8();
      value += (byte & 127) * scale;
      if (byte < 128) {
        if ((byte === 0 && i > 0) || value > Number.MAX_SAFE_INTEGER) break;
        return value;
      }
      scale *= 128;
    }
    throw new SpineError("frame_syntax", "number too large or not in its shortest form");
  }
  /** A view, not a copy. */
  bytes(length: number): Uint8Array {
    const at = this.#take(length);
    return this.#bytes.subarray(at, at + length);
  }
  /** A varint length of at most `limit`, then the bytes. */
  block(limit: number): Uint8Array {
    const length = this.varint();
    if (length > limit) throw new SpineError("frame_syntax", `block of ${length} bytes, limit ${limit}`);
    return this.bytes(length);
  }
  /** Refuses trailing bytes. */
  end(): void {
    if (this.remaining > 0) throw new SpineError("frame_syntax", `${this.remaining} trailing bytes`);
  }
}
