/**
 * One pass over the signing bytes of an envelope: proves that they are canonical JSON in the usual layout and reads
 * the fields, building no objects. Catch-up lives by its speed; whatever is unusual is left to the parser in `open.ts`.
 */
import { utf8 } from "./bytes.ts";
import { isStrictKey, parseIssuer } from "./identity.ts";
import { MAX_JSON_DEPTH } from "./lossless.ts";
import type { EnvelopeHash, Issuer, Millis } from "./ports.ts";
import { ENVELOPE_SCHEMA, ISSUER_PREFIX } from "./tags.ts";
import { parseTime } from "./time.ts";

/** The fields of an envelope in its usual layout; see `Envelope`. */
export interface ScannedEnvelope {
  readonly issuer: Issuer;
  readonly seq: number;
  readonly prev: EnvelopeHash | null;
  readonly issuedAt: string;
  readonly issuedAtMs: Millis;
  readonly factSchema: string;
  readonly capabilityToken: "absent" | "null" | "object";
}

// A web-standard codec, as in bytes.ts. It is only given ASCII, on which windows-1252 ("latin1") and UTF-8 agree.
declare const TextDecoder: new (label: string) => { decode(bytes: Uint8Array): string };
const asciiDecoder: { decode(bytes: Uint8Array): string } = new TextDecoder("latin1");

const QUOTE = 0x22;
const COMMA = 0x2c;
const MINUS = 0x2d;
const DOT = 0x2e;
const ZERO = 0x30;
const COLON = 0x3a;
const OPEN_ARRAY = 0x5b;
const BACKSLASH = 0x5c;
const CLOSE_ARRAY = 0x5d;
const OPEN_OBJECT = 0x7b;
const CLOSE_OBJECT = 0x7d;

/** Classes of bytes, as bits. */
const PLAIN = 1;
const LOWER_HEX = 2;
const DIGIT = 4;
const CLASS: Uint8Array = Uint8Array.from({ length: 256 }, (_, byte) => {
  const isDigit = byte >= ZERO && byte <= 0x39;
  const isPlain = byte >= 0x20 && byte < 0x7f && byte !== QUOTE && byte !== BACKSLASH;
  return (isPlain ? PLAIN : 0) | (isDigit || (byte >= 0x61 && byte <= 0x66) ? LOWER_HEX : 0) | (isDigit ? DIGIT : 0);
});
/** Bytes that may follow a backslash in canonical text, other than `u`. */
const SHORT_ESCAPE: Uint8Array = new Uint8Array(256);
for (const byte of utf8('"\\bfnrt')) SHORT_ESCAPE[byte] = 1;

const HEAD_NULL_TOKEN: Uint8Array = utf8('{"capability_token":null,"fact":');
const HEAD_TOKEN: Uint8Array = utf8('{"capability_token":{');
const HEAD_NO_TOKEN: Uint8Array = utf8('{"fact":');
const AFTER_TOKEN: Uint8Array = utf8(',"fact":');
const AFTER_FACT: Uint8Array = utf8(',"issued_at":"');
const AFTER_TIME: Uint8Array = utf8('","issuer":"');
const AFTER_ISSUER: Uint8Array = utf8('","prev_envelope_hash":');
const NULL: Uint8Array = utf8("null");
const TRUE: Uint8Array = utf8("true");
const FALSE: Uint8Array = utf8("false");
const HASH_START: Uint8Array = utf8('"0x');
const AFTER_PREV: Uint8Array = utf8(`,"schema":"${ENVELOPE_SCHEMA}","seq":`);
const SCHEMA_KEY: Uint8Array = utf8("schema");
const ISSUER_LENGTH: number = ISSUER_PREFIX.length + 64;

/** Longest decimals that survive a double exactly, and integers that need no second look. */
const SAFE_DIGITS = 15;

/** The same field is often the same text as last time: comparing bytes is cheaper than making a string. */
class LastText<T> {
  #bytes: Uint8Array = new Uint8Array(0);
  #value: T;
  readonly #read: (text: string) => T;
  constructor(read: (text: string) => T) {
    this.#read = read;
    this.#value = read("");
  }
  at(bytes: Uint8Array, start: number, end: number): T {
    const last: Uint8Array = this.#bytes;
    if (last.length === end - start) {
      let i = 0;
      while (i < last.length && last[i] === bytes[start + i]) i++;
      if (i === last.length) return this.#value;
    }
    const view: Uint8Array = bytes.subarray(start, end);
    this.#value = this.#read(asciiDecoder.decode(view));
    // Not slice(): on a Buffer that is a view of memory which the caller may use again.
    this.#bytes = new Uint8Array(view);
    return this.#value;
  }
}

const lastIssuer: LastText<Issuer | undefined> = new LastText((text) => {
  if (text === "" || !/^[0-9a-f]{64}$/.test(text.slice(ISSUER_PREFIX.length)) || !text.startsWith(ISSUER_PREFIX))
    return undefined;
  return isStrictKey(parseIssuer(text)) ? text : undefined;
});
const lastTime: LastText<{ text: string; millis: Millis | undefined }> = new LastText((text) => ({
  text,
  millis: parseTime(text),
}));
const lastSchema: LastText<string> = new LastText((text) => text);

function matches(bytes: Uint8Array, at: number, expected: Uint8Array): boolean {
  for (let i = 0; i < expected.length; i++) if (bytes[at + i] !== expected[i]) return false;
  return true;
}

/** Per level of nesting: is it an object, and where its last key stands. Used by one scan at a time. */
const OBJECTS: Uint8Array = new Uint8Array(MAX_JSON_DEPTH + 1);
const KEY_STARTS: Int32Array = new Int32Array(MAX_JSON_DEPTH + 1);
const KEY_ENDS: Int32Array = new Int32Array(MAX_JSON_DEPTH + 1);
/** Where the value of the scanned object's own `schema` key stands, without quotes; start is −1 if it has none. */
let schemaStart = -1;
let schemaEnd = -1;

/** End of the canonical number at `at`, or −1 when it is not canonical or too long to tell cheaply. */
function scanNumber(bytes: Uint8Array, at: number): number {
  let p = bytes[at] === MINUS ? at + 1 : at;
  const first = p;
  if (bytes[p] === ZERO) {
    p++;
    if (bytes[p] !== DOT) return p - at === 1 ? p : -1;
  } else {
    while (((CLASS[bytes[p] as number] as number) & DIGIT) !== 0) p++;
    if (p === first) return -1;
  }
  let significant = bytes[first] === ZERO ? 0 : p - first;
  if (bytes[p] === DOT) {
    const fraction = ++p;
    // Below 10^-6 the canonical form has an exponent.
    if (significant === 0) {
      while (bytes[p] === ZERO) p++;
      if (p - fraction > 5) return -1;
    }
    const digits = p;
    while (((CLASS[bytes[p] as number] as number) & DIGIT) !== 0) p++;
    significant += p - digits;
    if (p === digits || bytes[p - 1] === ZERO) return -1;
  }
  // An exponent follows as a byte that no caller takes for the end of a value.
  return significant <= SAFE_DIGITS ? p : -1;
}

/** End of the UTF-8 character beyond U+009F at `at`, or −1 for anything else. */
function scanCharacter(bytes: Uint8Array, at: number): number {
  const first = bytes[at] as number;
  const second = bytes[at + 1] as number;
  if (first < 0xc2 || first > 0xf4 || (second & 0xc0) !== 0x80) return -1;
  // U+0080 to U+009F has two spellings; the parser finds out which one is meant.
  if (first < 0xe0) return first === 0xc2 && second < 0xa0 ? -1 : at + 2;
  if (((bytes[at + 2] as number) & 0xc0) !== 0x80) return -1;
  // Overlong forms and surrogates.
  if (first < 0xf0) return (first === 0xe0 && second < 0xa0) || (first === 0xed && second > 0x9f) ? -1 : at + 3;
  if (((bytes[at + 3] as number) & 0xc0) !== 0x80) return -1;
  return (first === 0xf0 && second < 0x90) || (first === 0xf4 && second > 0x8f) ? -1 : at + 4;
}

/**
 * End of the canonical object that opens at `at`, or −1. `depth` levels already surround it. Sets `schemaStart` and
 * `schemaEnd`. May look beyond `end` by a few bytes; the caller compares the result with what must follow.
 */
function scanObject(bytes: Uint8Array, at: number, end: number, depth: number): number {
  // Locals: module bindings are slower to reach, and this is the hottest loop of the node.
  const byteClass: Uint8Array = CLASS;
  const isObject: Uint8Array = OBJECTS;
  const keyStart: Int32Array = KEY_STARTS;
  const keyEnd: Int32Array = KEY_ENDS;
  const top = depth + 1;
  let p = at;
  let inSchema = false;
  schemaStart = -1;
  for (;;) {
    // One value, at p.
    let c = bytes[p] as number;
    if (c === QUOTE) {
      const start = ++p;
      let isPlain = true;
      for (;;) {
        while (p < end && ((byteClass[bytes[p] as number] as number) & PLAIN) !== 0) p++;
        if (p >= end) return -1;
        if (bytes[p] === QUOTE) break;
        isPlain = false;
        if (bytes[p] !== BACKSLASH) {
          p = scanCharacter(bytes, p);
          if (p < 0) return -1;
          continue;
        }
        c = bytes[p + 1] as number;
        if (SHORT_ESCAPE[c] === 1) p += 2;
        else {
          // \u00 and two digits, for controls that have no short form.
          if (c !== 0x75 || bytes[p + 2] !== ZERO || bytes[p + 3] !== ZERO) return -1;
          const high = bytes[p + 4] as number;
          const low = bytes[p + 5] as number;
          if ((high !== ZERO && high !== 0x31) || ((byteClass[low] as number) & LOWER_HEX) === 0) return -1;
          if (high === ZERO && (low === 0x38 || low === 0x39 || low === 0x61 || low === 0x63 || low === 0x64))
            return -1;
          p += 6;
        }
      }
      if (inSchema) {
        if (!isPlain) return -1;
        schemaStart = start;
        schemaEnd = p;
      }
      p++;
    } else if (c === OPEN_OBJECT || c === OPEN_ARRAY) {
      if (depth === MAX_JSON_DEPTH) return -1;
      depth++;
      p++;
      isObject[depth] = c === OPEN_OBJECT ? 1 : 0;
      keyStart[depth] = -1;
      if (c === OPEN_OBJECT) {
        if (bytes[p] !== CLOSE_OBJECT) {
          // A first key must be read; fall through to the separator code below, which reads it.
          p--;
        }
      } else if (bytes[p] !== CLOSE_ARRAY) {
        inSchema = false;
        continue;
      }
    } else if (c === 0x6e) {
      if (!matches(bytes, p, NULL)) return -1;
      p += 4;
    } else if (c === 0x74) {
      if (!matches(bytes, p, TRUE)) return -1;
      p += 4;
    } else if (c === 0x66) {
      if (!matches(bytes, p, FALSE)) return -1;
      p += 5;
    } else {
      p = scanNumber(bytes, p);
      if (p < 0) return -1;
    }

    // What follows a value: closers, then a comma; or the `{` of an object whose first key comes next.
    for (;;) {
      if (p >= end) return -1;
      c = bytes[p++] as number;
      if (c === COMMA) break;
      if (isObject[depth] === 1) {
        if (c === OPEN_OBJECT && keyStart[depth] === -1) break;
        if (c !== CLOSE_OBJECT) return -1;
      } else if (c !== CLOSE_ARRAY) return -1;
      if (depth === top) return p;
      depth--;
    }
    inSchema = false;
    if (isObject[depth] === 0) continue;

    // A key, at p.
    if (bytes[p] !== QUOTE) return -1;
    const start = ++p;
    while (p < end && ((byteClass[bytes[p] as number] as number) & PLAIN) !== 0) p++;
    if (bytes[p] !== QUOTE || bytes[p + 1] !== COLON) return -1;
    let last = keyStart[depth] as number;
    if (last >= 0) {
      const lastEnd = keyEnd[depth] as number;
      let i = start;
      while (last < lastEnd && i < p && bytes[last] === bytes[i]) {
        last++;
        i++;
      }
      // Greater means: the last key is a prefix of this one, or the first difference is upwards.
      if (i === p || (last < lastEnd && (bytes[last] as number) > (bytes[i] as number))) return -1;
    }
    keyStart[depth] = start;
    keyEnd[depth] = p;
    inSchema = depth === top && p - start === 6 && matches(bytes, start, SCHEMA_KEY);
    p += 2;
  }
}

/**
 * Reads `bytes[start..end)` as an envelope's signing bytes. Undefined says nothing but "unusual": DEL and C1,
 * non-ASCII keys, exponents, more than 15 digits, unknown top-level fields, or simply not an envelope.
 */
export function scanSigningBytes(bytes: Uint8Array, start: number, end: number): ScannedEnvelope | undefined {
  let p = start;
  let capabilityToken: ScannedEnvelope["capabilityToken"];
  if (matches(bytes, p, HEAD_NULL_TOKEN)) {
    capabilityToken = "null";
    p += HEAD_NULL_TOKEN.length;
  } else if (matches(bytes, p, HEAD_NO_TOKEN)) {
    capabilityToken = "absent";
    p += HEAD_NO_TOKEN.length;
  } else if (matches(bytes, p, HEAD_TOKEN)) {
    capabilityToken = "object";
    p = scanObject(bytes, p + HEAD_TOKEN.length - 1, end, 1);
    if (p < 0 || !matches(bytes, p, AFTER_TOKEN)) return undefined;
    p += AFTER_TOKEN.length;
  } else return undefined;

  if (bytes[p] !== OPEN_OBJECT) return undefined;
  p = scanObject(bytes, p, end, 1);
  if (p < 0 || !matches(bytes, p, AFTER_FACT)) return undefined;
  const schemaFrom = schemaStart;
  const schemaTo = schemaEnd;

  const timeStart = p + AFTER_FACT.length;
  p = timeStart;
  while (p < end && ((CLASS[bytes[p] as number] as number) & PLAIN) !== 0) p++;
  const timeEnd = p;
  if (!matches(bytes, p, AFTER_TIME)) return undefined;
  const issuerStart = p + AFTER_TIME.length;
  p = issuerStart + ISSUER_LENGTH;
  if (!matches(bytes, p, AFTER_ISSUER)) return undefined;
  p += AFTER_ISSUER.length;

  let prev: EnvelopeHash | null = null;
  if (matches(bytes, p, NULL)) p += NULL.length;
  else {
    if (!matches(bytes, p, HASH_START)) return undefined;
    const hashStart = p + 1;
    p += HASH_START.length;
    const hashEnd = p + 64;
    while (p < hashEnd && ((CLASS[bytes[p] as number] as number) & LOWER_HEX) !== 0) p++;
    if (p !== hashEnd || bytes[p] !== QUOTE) return undefined;
    prev = asciiDecoder.decode(bytes.subarray(hashStart, hashEnd));
    p++;
  }
  if (!matches(bytes, p, AFTER_PREV)) return undefined;
  p += AFTER_PREV.length;

  const seqStart = p;
  let seq = 0;
  while (((CLASS[bytes[p] as number] as number) & DIGIT) !== 0 && p - seqStart < 17) {
    seq = seq * 10 + ((bytes[p] as number) - ZERO);
    p++;
  }
  if (p === seqStart || (bytes[seqStart] === ZERO && p - seqStart > 1) || seq > Number.MAX_SAFE_INTEGER)
    return undefined;
  // Everything read so far lies before p, so this also proves that nothing beyond `end` was used.
  if (bytes[p] !== CLOSE_OBJECT || p + 1 !== end) return undefined;

  const issuer: Issuer | undefined = lastIssuer.at(bytes, issuerStart, issuerStart + ISSUER_LENGTH);
  const time = lastTime.at(bytes, timeStart, timeEnd);
  if (issuer === undefined || time.millis === undefined) return undefined;
  const factSchema: string = schemaFrom < 0 ? "" : lastSchema.at(bytes, schemaFrom, schemaTo);
  return { issuer, seq, prev, issuedAt: time.text, issuedAtMs: time.millis, factSchema, capabilityToken };
}
