/**
 * The text form of the parent implementation, Python's `json.dumps` with sorted keys and compact separators: non-ASCII
 * as `\uXXXX`, keys by code point, floats as Python writes them. Written for sync messages, recognised in gossip.
 */
import type { Json, JsonObject } from "./lossless.ts";

const NOT_PRINTABLE = /[^\x20-\x7e]/;
const ALL_NOT_PRINTABLE = /[\x7f-\uffff]/g;
const TOKEN = /"(?:[^"\\]|\\.)*"|-?[0-9][0-9.eE+-]*|[a-z]+|[[\]{}:,]/y;

function stringForm(value: string): string {
  return JSON.stringify(value).replace(
    ALL_NOT_PRINTABLE,
    (char) => `\\u${char.charCodeAt(0).toString(16).padStart(4, "0")}`,
  );
}

/** Code point order, which is that of UTF-8 bytes. */
function compareCodePoints(a: string, b: string): number {
  const length = Math.min(a.length, b.length);
  for (let i = 0; i < length; i++) {
    const x = a.charCodeAt(i);
    const y = b.charCodeAt(i);
    if (x === y) continue;
    // Surrogates stand for code points above all others.
    const xAstral = x >= 0xd800 && x <= 0xdfff;
    const yAstral = y >= 0xd800 && y <= 0xdfff;
    return xAstral === yAstral ? x - y : xAstral ? 1 : -1;
  }
  return a.length - b.length;
}

/** Python's repr of a float: shortest digits, an exponent of two digits at least, below 1e-4 and from 1e16 on. */
function floatForm(value: number): string {
  if (value === 0) return Object.is(value, -0) ? "-0.0" : "0.0";
  const [mantissa, exponentText] = value.toExponential().split("e") as [string, string];
  const exponent = Number(exponentText);
  if (exponent < -4 || exponent >= 16) {
    const size = String(Math.abs(exponent)).padStart(2, "0");
    return `${mantissa}e${exponent < 0 ? "-" : "+"}${size}`;
  }
  const plain: string =
    exponent < 0 ? value.toFixed(mantissa.replace(/[-.]/g, "").length - 1 - exponent) : String(value);
  return plain.includes(".") ? plain : `${plain}.0`;
}

/** An integer in its one spelling, or a float as Python writes it. */
function isNumberForm(token: string): boolean {
  return /^(?:0|-?[1-9][0-9]*)$/.test(token) || floatForm(Number(token)) === token;
}

/** The parent's text of a value. Numbers are written as in canonical JSON. */
export function parentText(value: Json): string {
  if (typeof value === "string") return stringForm(value);
  if (typeof value !== "object" || value === null) return String(value);
  if (Array.isArray(value)) return `[${(value as readonly Json[]).map(parentText).join(",")}]`;
  const object = value as JsonObject;
  const fields: string[] = Object.keys(object)
    .sort(compareCodePoints)
    .map((key) => `${stringForm(key)}:${parentText(object[key] as Json)}`);
  return `{${fields.join(",")}}`;
}

/**
 * True when `text`, which must already have been parsed as JSON, is spelled as the parent would spell it. A float may
 * be written `1.0` where canonical JSON has `1`: the parent keeps the two apart.
 */
export function isParentForm(text: string): boolean {
  if (NOT_PRINTABLE.test(text)) return false;
  /** The last key of each open object; null for an object without keys yet, undefined for an array. */
  const lastKeys: (string | null | undefined)[] = [];
  let at = 0;
  while (at < text.length) {
    TOKEN.lastIndex = at;
    const token: string | undefined = TOKEN.exec(text)?.[0];
    if (token === undefined) return false;
    at += token.length;
    const first: string = token[0] as string;
    if (first === '"') {
      const content: string = JSON.parse(token) as string;
      if (stringForm(content) !== token) return false;
      if (text[at] === ":") {
        const last: string | null | undefined = lastKeys[lastKeys.length - 1];
        if (last === undefined || (last !== null && compareCodePoints(last, content) >= 0)) return false;
        lastKeys[lastKeys.length - 1] = content;
      }
    } else if (first === "{") lastKeys.push(null);
    else if (first === "[") lastKeys.push(undefined);
    else if (first === "}" || first === "]") lastKeys.pop();
    else if ((first === "-" || (first >= "0" && first <= "9")) && !isNumberForm(token)) return false;
  }
  return true;
}
