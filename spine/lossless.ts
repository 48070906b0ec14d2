/**
 * JSON parser that loses nothing: integers stay exact, and everything two readers could understand differently
 * (duplicate keys, lone surrogates, overflow, excess depth) is refused. spec/spine.md section 2, "when verifying".
 */
import { utf8Text } from "./bytes.ts";
import { SpineError } from "./errors.ts";

/**
 * A parsed JSON value. Objects have no prototype, so `__proto__` is an ordinary key. A `bigint` is an integer beyond
 * ±(2^53 − 1) that fits i64 or u64; every other number is a finite double, never −0.
 */
export type Json = null | boolean | number | bigint | string | readonly Json[] | JsonObject;
export interface JsonObject {
  readonly [key: string]: Json;
}

/** Most levels of arrays and objects inside each other. */
export const MAX_JSON_DEPTH = 127;

const I64_MIN = -(2n ** 63n);
const U64_MAX = 2n ** 64n - 1n;
const NUMBER = /-?(?:0|[1-9][0-9]*)(\.[0-9]+)?([eE][+-]?[0-9]+)?/y;
/** A run of string characters that stand for themselves. */
const PLAIN = /[^"\\\u0000-\u001f]*/y;
const HEX4 = /[0-9a-fA-F]{4}/y;
const LONE_SURROGATE = /\p{Surrogate}/u;
const SHORT_ESCAPES: Readonly<Record<string, string>> = {
  '"': '"',
  "\\": "\\",
  "/": "/",
  b: "\b",
  f: "\f",
  n: "\n",
  r: "\r",
  t: "\t",
};

/** True when `text` holds half a surrogate pair, which UTF-8 cannot carry. */
export function hasLoneSurrogate(text: string): boolean {
  return LONE_SURROGATE.test(text);
}

/** True for a JSON object, as opposed to an array, a scalar or nothing. */
export function isJsonObject(value: Json | undefined): value is JsonObject {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

class Parser {
  readonly #text: string;
  #at = 0;
  #depth = 0;
  constructor(text: string) {
    this.#text = text;
  }

  document(): Json {
    const value: Json = this.#value();
    this.#space();
    if (this.#at < this.#text.length) throw this.#error("text after the JSON value");
    return value;
  }

  #error(what: string): SpineError {
    return new SpineError("json_syntax", `${what} at character ${this.#at}`);
  }

  #space(): void {
    for (;;) {
      const code = this.#text.charCodeAt(this.#at);
      if (code !== 0x20 && code !== 0x0a && code !== 0x0d && code !== 0x09) return;
      this.#at++;
    }
  }

  #value(): Json {
    this.#space();
    switch (this.#text[this.#at]) {
      case "{":
        return this.#object();
      case "[":
        return this.#array();
      case '"':
        return this.#string();
      case "t":
        return this.#literal("true", true);
      case "f":
        return this.#literal("false", false);
      case "n":
        return this.#literal("null", null);
      case undefined:
        throw this.#error("the JSON text ends early");
      default:
        return this.#number();
    }
  }

  #literal<T extends Json>(word: string, value: T): T {
    if (!this.#text.startsWith(word, this.#at)) throw this.#error("unknown word");
    this.#at += word.length;
    return value;
  }

  #enter(): void {
    this.#depth++;
    if (this.#depth > MAX_JSON_DEPTH)
      throw new SpineError("json_depth", `more than ${MAX_JSON_DEPTH} levels at character ${this.#at}`);
    this.#at++;
    this.#space();
  }

  /** After an element: true at `close`, false at a comma. */
  #closes(close: string): boolean {
    this.#space();
    const char = this.#text[this.#at];
    if (char !== close && char !== ",") throw this.#error(`expected "," or "${close}"`);
    this.#at++;
    return char === close;
  }

  #object(): JsonObject {
    const result: Record<string, Json> = Object.create(null);
    this.#enter();
    if (this.#text[this.#at] === "}") this.#at++;
    else
      for (;;) {
        this.#space();
        if (this.#text[this.#at] !== '"') throw this.#error("expected a key in quotes");
        const key: string = this.#string();
        if (key in result)
          throw new SpineError(
            "json_duplicate_key",
            `key ${JSON.stringify(key.slice(0, 64))} twice before character ${this.#at}`,
          );
        this.#space();
        if (this.#text[this.#at] !== ":") throw this.#error('expected ":"');
        this.#at++;
        result[key] = this.#value();
        if (this.#closes("}")) break;
      }
    this.#depth--;
    return result;
  }

  #array(): Json[] {
    const result: Json[] = [];
    this.#enter();
    if (this.#text[this.#at] === "]") this.#at++;
    else
      do {
        result.push(this.#value());
      } while (!this.#closes("]"));
    this.#depth--;
    return result;
  }

  #string(): string {
    this.#at++;
    let result = "";
    for (;;) {
      PLAIN.lastIndex = this.#at;
      PLAIN.test(this.#text);
      result += this.#text.slice(this.#at, PLAIN.lastIndex);
      this.#at = PLAIN.lastIndex;
      const char = this.#text[this.#at];
      if (char === '"') break;
      if (char !== "\\") throw this.#error(char === undefined ? "unfinished string" : "raw control character");
      result += this.#escape();
    }
    this.#at++;
    if (hasLoneSurrogate(result))
      throw new SpineError("json_lone_surrogate", `half a surrogate pair before character ${this.#at}`);
    return result;
  }

  #escape(): string {
    const letter: string = this.#text[this.#at + 1] ?? "";
    if (letter === "u") {
      HEX4.lastIndex = this.#at + 2;
      if (!HEX4.test(this.#text)) throw this.#error("\\u needs four hex digits");
      const code = Number.parseInt(this.#text.slice(this.#at + 2, this.#at + 6), 16);
      this.#at += 6;
      return String.fromCharCode(code);
    }
    const char = SHORT_ESCAPES[letter];
    if (char === undefined) throw this.#error("unknown escape");
    this.#at += 2;
    return char;
  }

  #number(): number | bigint {
    NUMBER.lastIndex = this.#at;
    const match = NUMBER.exec(this.#text);
    if (match === null) throw this.#error("unexpected character");
    const [literal, fraction, exponent] = match;
    const double = Number(literal);
    if (!Number.isFinite(double))
      throw new SpineError("json_number", `number too large for a double at character ${this.#at}`);
    this.#at += literal.length;
    // i64 and u64 have at most 19 digits and a sign, or 20 digits.
    if (fraction === undefined && exponent === undefined && !Number.isSafeInteger(double) && literal.length <= 20) {
      const exact = BigInt(literal);
      if (exact >= I64_MIN && exact <= U64_MAX) return exact;
    }
    return double === 0 ? 0 : double;
  }
}

/**
 * Parses one complete JSON text (RFC 8259); bytes must be UTF-8 without a byte order mark.
 * Throws `json_syntax`, `json_duplicate_key`, `json_lone_surrogate`, `json_depth` or `json_number`.
 */
export function parseJson(input: string | Uint8Array): Json {
  return new Parser(typeof input === "string" ? input : utf8Text(input)).document();
}
