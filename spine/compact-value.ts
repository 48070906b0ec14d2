/**
 * JSON values in few bytes: known names by number, hashes, keys and identifiers as bytes, times as distances. Every
 * value has one spelling. Part of the compact codec (`compact.ts`); the layout stands in WIRE.md.
 */
import { type ByteReader, type ByteWriter, fromHex, toHex, utf8, utf8Text } from "./bytes.ts";
import { ID_PREFIXES, LONG_WORDS, SHORT_WORDS, WORD_NUMBERS } from "./compact-words.ts";
import { MAX_ENVELOPE_BYTES } from "./envelope.ts";
import { SpineError } from "./errors.ts";
import { issuerOf, parseIssuer } from "./identity.ts";
import { type Json, type JsonObject, MAX_JSON_DEPTH } from "./lossless.ts";
import { formatTime, MAX_TIME_SECONDS, parseTime } from "./time.ts";

/** What values of one envelope may refer to. */
export interface ValueScope {
  readonly issuer: string;
  /** Seconds since the Unix epoch of the envelope's `issued_at`, or undefined if it is not in whole seconds, UTC. */
  readonly issuedAt: number | undefined;
}

/** First bytes. Below SMALL_END small integers, then short texts, lists and objects; from WORD on words. */
const SMALL_END = 0x20;
const TEXT = 0x20;
const LIST = 0x40;
const OBJECT = 0x50;
const SHORT_TEXTS = 0x20;
const SHORT_LISTS = 0x10;
const NULL = 0x60;
const FALSE = 0x61;
const TRUE = 0x62;
const UNSIGNED = 0x63;
const NEGATIVE = 0x64;
const DECIMAL = 0x65;
const DOUBLE = 0x66;
const BIG = 0x67;
const LONG_TEXT = 0x68;
const LONG_LIST = 0x69;
const LONG_OBJECT = 0x6a;
const HASH = 0x6b;
const SIGNATURE = 0x6c;
const PREFIXED_HEX = 0x6d;
const BARE_HASH = 0x6e;
const BARE_HEX = 0x6f;
const ISSUER = 0x70;
const OWN_ISSUER = 0x71;
const SAME_TIME = 0x72;
const TIME = 0x73;
const MILLIS_TIME = 0x74;
const UUID_ID = 0x75;
const HEX_ID = 0x76;
const SCHEMA = 0x77;
const LONG_WORD = 0x78;
const WORD = 0x80;

/** Shorter hex is as short as text, or nearly. */
const MIN_HEX_BYTES = 4;
const MAX_TEXT_BYTES = MAX_ENVELOPE_BYTES;

const HEX_TEXT = /^(0x)?((?:[0-9a-f]{2})+)$/;
const UUID_TEXT = /^(.*?)([0-9a-f]{8})-([0-9a-f]{4})-([0-9a-f]{4})-([0-9a-f]{4})-([0-9a-f]{12})$/;
const HEX_ID_TEXT = /^([a-z0-9]+[_:])((?:[0-9a-f]{2}){4,})$/;
const ISSUER_TEXT = /^aegis:ed25519:[0-9a-f]{64}$/;
const TIME_TEXT = /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(?:\.(\d{3}))?Z$/;
const SCHEMA_TEXT = /^(aegis|clawdstrike)\.(spine\.fact|marketplace|sdr\.fact)\.([a-z][a-z0-9_]*)\.v([1-8])$/;
const SCHEMA_ROOTS = ["aegis", "clawdstrike"];
const SCHEMA_FAMILIES = ["spine.fact", "marketplace", "sdr.fact"];

function malformed(what: string): SpineError {
  return new SpineError("frame_syntax", `compact value: ${what}`);
}

/** Maps … −2, −1, 0, 1, 2 … to 3, 1, 0, 2, 4. */
function zigzag(value: number): number {
  return value < 0 ? -2 * value - 1 : 2 * value;
}
function unzigzag(value: number): number {
  return value % 2 === 1 ? -(value + 1) / 2 : value / 2;
}

/** Writes a value. Throws `internal` only for what no JSON parser returns. */
export function writeValue(writer: ByteWriter, value: Json, scope: ValueScope): void {
  switch (typeof value) {
    case "string":
      return writeString(writer, value, scope);
    case "number":
      return writeNumber(writer, value);
    case "bigint":
      return void writer.u8(BIG).block(utf8(String(value)));
    case "boolean":
      return void writer.u8(value ? TRUE : FALSE);
    default:
      break;
  }
  if (value === null) return void writer.u8(NULL);
  if (Array.isArray(value)) {
    const list = value as readonly Json[];
    writeCount(writer, list.length, LIST, SHORT_LISTS, LONG_LIST);
    for (const one of list) writeValue(writer, one, scope);
    return;
  }
  const object = value as JsonObject;
  const keys: string[] = Object.keys(object).sort();
  writeCount(writer, keys.length, OBJECT, SHORT_LISTS, LONG_OBJECT);
  for (const key of keys) {
    writeKey(writer, key);
    writeValue(writer, object[key] as Json, scope);
  }
}

function writeCount(writer: ByteWriter, count: number, short: number, shorts: number, long: number): void {
  if (count < shorts) writer.u8(short + count);
  else writer.u8(long).varint(count);
}

function writeText(writer: ByteWriter, text: string): void {
  const bytes: Uint8Array = utf8(text);
  writeCount(writer, bytes.length, TEXT, SHORT_TEXTS, LONG_TEXT);
  writer.bytes(bytes);
}

/** Writes a dictionary word and returns true, or returns false. */
function writeWord(writer: ByteWriter, text: string): boolean {
  const word: number | undefined = WORD_NUMBERS.get(text);
  if (word === undefined) return false;
  if (word < 128) writer.u8(WORD + word);
  else writer.u8(LONG_WORD).u8(word - 128);
  return true;
}

function writeKey(writer: ByteWriter, key: string): void {
  if (!writeWord(writer, key)) writeText(writer, key);
}

function writeNumber(writer: ByteWriter, value: number): void {
  if (Number.isSafeInteger(value)) {
    if (value >= 0) return void (value < SMALL_END ? writer.u8(value) : writer.u8(UNSIGNED).varint(value));
    return void writer.u8(NEGATIVE).varint(-1 - value);
  }
  const decimal = decimalOf(value);
  if (decimal !== undefined)
    return void writer.u8(DECIMAL).varint(zigzag(decimal.exponent)).varint(zigzag(decimal.digits));
  const bytes = new Uint8Array(8);
  new DataView(bytes.buffer).setFloat64(0, value);
  writer.u8(DOUBLE).bytes(bytes);
}

/** The shortest decimal that reads back as `value`, if its digits fit a varint. */
function decimalOf(value: number): { readonly digits: number; readonly exponent: number } | undefined {
  const [mantissa, power] = value.toExponential().split("e") as [string, string];
  const digits = Number(mantissa.replace(".", ""));
  const exponent = Number(power) - Math.max(mantissa.replace("-", "").length - 2, 0);
  if (!Number.isSafeInteger(zigzag(digits)) || decimalValue(digits, exponent) !== value) return undefined;
  return { digits, exponent };
}
function decimalValue(digits: number, exponent: number): number {
  return Number(`${digits}e${exponent}`);
}

function writeString(writer: ByteWriter, text: string, scope: ValueScope): void {
  if (writeWord(writer, text)) return;
  if (text === scope.issuer) return void writer.u8(OWN_ISSUER);
  if (ISSUER_TEXT.test(text)) return void writer.u8(ISSUER).bytes(parseIssuer(text));
  if (writeHex(writer, text) || writeTime(writer, text, scope) || writeSchema(writer, text)) return;
  if (writeId(writer, text)) return;
  writeText(writer, text);
}

function writeHex(writer: ByteWriter, text: string): boolean {
  const [, prefix, digits] = HEX_TEXT.exec(text) ?? [];
  if (digits === undefined || digits.length < 2 * MIN_HEX_BYTES) return false;
  const bytes: Uint8Array = fromHex(digits);
  if (prefix !== undefined && bytes.length === 32) writer.u8(HASH).bytes(bytes);
  else if (prefix !== undefined && bytes.length === 64) writer.u8(SIGNATURE).bytes(bytes);
  else if (prefix !== undefined) writer.u8(PREFIXED_HEX).block(bytes);
  else if (bytes.length === 32) writer.u8(BARE_HASH).bytes(bytes);
  else writer.u8(BARE_HEX).block(bytes);
  return true;
}

function writeTime(writer: ByteWriter, text: string, { issuedAt }: ValueScope): boolean {
  const match = TIME_TEXT.exec(text);
  const time: number | undefined = match === null ? undefined : parseTime(text);
  if (time === undefined || issuedAt === undefined) return false;
  const seconds = Math.floor(time / 1000);
  const millis = time - seconds * 1000;
  if (timeText(seconds, match?.[1] === undefined ? undefined : millis) !== text) return false;
  if (match?.[1] !== undefined)
    writer
      .u8(MILLIS_TIME)
      .varint(zigzag(seconds - issuedAt))
      .u16(millis);
  else if (seconds === issuedAt) writer.u8(SAME_TIME);
  else writer.u8(TIME).varint(zigzag(seconds - issuedAt));
  return true;
}
function timeText(seconds: number, millis: number | undefined): string | undefined {
  if (seconds < 0 || seconds > MAX_TIME_SECONDS) return undefined;
  const text: string = formatTime(seconds);
  return millis === undefined ? text : `${text.slice(0, -1)}.${String(millis).padStart(3, "0")}Z`;
}

function writeSchema(writer: ByteWriter, text: string): boolean {
  const [, root, family, kind, version] = SCHEMA_TEXT.exec(text) ?? [];
  if (root === undefined || family === undefined || kind === undefined) return false;
  const bits = SCHEMA_ROOTS.indexOf(root) + 2 * SCHEMA_FAMILIES.indexOf(family) + 8 * (Number(version) - 1);
  writer.u8(SCHEMA).u8(bits);
  writeKey(writer, kind);
  return true;
}

function writeId(writer: ByteWriter, text: string): boolean {
  const uuid = UUID_TEXT.exec(text);
  if (uuid !== null) {
    const prefix = ID_PREFIXES.indexOf(uuid[1] as string);
    if (prefix < 0) return false;
    writer
      .u8(UUID_ID)
      .u8(prefix)
      .bytes(fromHex(uuid.slice(2).join("")));
    return true;
  }
  const [, name, digits] = HEX_ID_TEXT.exec(text) ?? [];
  const prefix = name === undefined ? -1 : ID_PREFIXES.indexOf(name);
  if (prefix < 0 || digits === undefined) return false;
  writer.u8(HEX_ID).u8(prefix).block(fromHex(digits));
  return true;
}

/** Reads what `writeValue` writes, and looser spellings too: the caller compares with the one spelling. */
export class ValueReader {
  readonly #reader: ByteReader;
  readonly #scope: ValueScope;
  /** Characters that may still come out: a word is longer than its number. */
  #room: number = MAX_ENVELOPE_BYTES;

  constructor(reader: ByteReader, scope: ValueScope) {
    this.#reader = reader;
    this.#scope = scope;
  }

  /** Throws `frame_syntax`, or `envelope_size` when the whole grows beyond an envelope. */
  read(depth = 0): Json {
    const first = this.#reader.u8();
    this.#spend(1);
    if (first < SMALL_END) return first;
    if (first < LIST) return this.#text(first - TEXT);
    if (first < OBJECT) return this.#list(first - LIST, depth);
    if (first < NULL) return this.#object(first - OBJECT, depth);
    if (first >= WORD) return this.#word(SHORT_WORDS[first - WORD]);
    return this.#tagged(first, depth);
  }

  #spend(characters: number): void {
    this.#room -= characters;
    if (this.#room < 0) throw new SpineError("envelope_size", `expands beyond ${MAX_ENVELOPE_BYTES} bytes`);
  }

  #tagged(first: number, depth: number): Json {
    const reader = this.#reader;
    switch (first) {
      case NULL:
        return null;
      case FALSE:
        return false;
      case TRUE:
        return true;
      case UNSIGNED:
        return reader.varint();
      case NEGATIVE:
        return -1 - reader.varint();
      case DECIMAL: {
        const exponent = unzigzag(reader.varint());
        return this.#finite(decimalValue(unzigzag(reader.varint()), exponent));
      }
      case DOUBLE: {
        const bytes: Uint8Array = reader.bytes(8);
        return this.#finite(new DataView(bytes.buffer, bytes.byteOffset, 8).getFloat64(0));
      }
      case BIG: {
        const text: string = this.#utf8(reader.block(20));
        if (!/^-?[1-9][0-9]{15,19}$/.test(text)) throw malformed("no large integer");
        return BigInt(text);
      }
      case LONG_LIST:
        return this.#list(reader.varint(), depth);
      case LONG_OBJECT:
        return this.#object(reader.varint(), depth);
      default:
        return this.#string(first);
    }
  }

  #finite(value: number): number {
    if (!Number.isFinite(value)) throw malformed("a number beyond all doubles");
    return value;
  }

  #string(first: number): string {
    const reader = this.#reader;
    switch (first) {
      case LONG_TEXT:
        return this.#text(reader.varint());
      case LONG_WORD:
        return this.#word(LONG_WORDS[reader.u8()]);
      case HASH:
        return this.#hex("0x", reader.bytes(32));
      case SIGNATURE:
        return this.#hex("0x", reader.bytes(64));
      case PREFIXED_HEX:
        return this.#hex("0x", reader.block(MAX_TEXT_BYTES));
      case BARE_HASH:
        return this.#hex("", reader.bytes(32));
      case BARE_HEX:
        return this.#hex("", reader.block(MAX_TEXT_BYTES));
      case ISSUER:
        this.#spend(78);
        return issuerOf(reader.bytes(32));
      case OWN_ISSUER:
        this.#spend(78);
        return this.#scope.issuer;
      case SAME_TIME:
      case TIME:
      case MILLIS_TIME:
        return this.#time(first);
      case UUID_ID: {
        const prefix: string = this.#prefix();
        const hex: string = this.#hex("", reader.bytes(16));
        return `${prefix}${[hex.slice(0, 8), hex.slice(8, 12), hex.slice(12, 16), hex.slice(16, 20), hex.slice(20)].join("-")}`;
      }
      case HEX_ID:
        return this.#hex(this.#prefix(), reader.block(MAX_TEXT_BYTES));
      case SCHEMA: {
        const bits = reader.u8();
        const family: string | undefined = SCHEMA_FAMILIES[(bits >> 1) & 3];
        if (family === undefined || bits >= 64) throw malformed("an unknown family of schemas");
        return `${SCHEMA_ROOTS[bits & 1]}.${family}.${this.#key()}.v${(bits >> 3) + 1}`;
      }
      default:
        throw malformed(`unknown first byte ${first}`);
    }
  }

  #time(first: number): string {
    const { issuedAt } = this.#scope;
    if (issuedAt === undefined) throw malformed("a time relative to none");
    this.#spend(24);
    const seconds = first === SAME_TIME ? issuedAt : issuedAt + unzigzag(this.#reader.varint());
    const millis: number | undefined = first === MILLIS_TIME ? this.#reader.u16() : undefined;
    const text: string | undefined = timeText(seconds, millis);
    if (text === undefined || (millis ?? 0) > 999) throw malformed("a time outside 1970 to 9999");
    return text;
  }

  #prefix(): string {
    const prefix: string | undefined = ID_PREFIXES[this.#reader.u8()];
    if (prefix === undefined) throw malformed("an unknown prefix");
    return prefix;
  }

  #hex(prefix: string, bytes: Uint8Array): string {
    this.#spend(prefix.length + 2 * bytes.length);
    return prefix + toHex(bytes);
  }

  #word(word: string | undefined): string {
    if (word === undefined) throw malformed("an unknown word");
    this.#spend(word.length);
    return word;
  }

  #utf8(bytes: Uint8Array): string {
    try {
      return utf8Text(bytes);
    } catch (cause) {
      throw new SpineError("frame_syntax", "compact value: text that is not UTF-8", { cause });
    }
  }

  #text(length: number): string {
    this.#spend(length);
    return this.#utf8(this.#reader.bytes(length));
  }

  #key(): string {
    const first = this.#reader.u8();
    if (first >= WORD) return this.#word(SHORT_WORDS[first - WORD]);
    if (first >= TEXT && first < LIST) return this.#text(first - TEXT);
    if (first === LONG_TEXT || first === LONG_WORD) return this.#string(first);
    throw malformed("a key that is neither word nor text");
  }

  #enter(count: number, depth: number): void {
    if (depth >= MAX_JSON_DEPTH) throw malformed(`more than ${MAX_JSON_DEPTH} levels`);
    if (count > this.#reader.remaining) throw malformed("more elements than bytes");
  }

  #list(count: number, depth: number): Json[] {
    this.#enter(count, depth);
    const list: Json[] = [];
    for (let i = 0; i < count; i++) list.push(this.read(depth + 1));
    return list;
  }

  #object(count: number, depth: number): JsonObject {
    this.#enter(count, depth);
    const object: Record<string, Json> = Object.create(null);
    let last: string | undefined;
    for (let i = 0; i < count; i++) {
      const key: string = this.#key();
      if (last !== undefined && key <= last) throw malformed("keys out of order");
      last = key;
      object[key] = this.read(depth + 1);
    }
    return object;
  }
}
