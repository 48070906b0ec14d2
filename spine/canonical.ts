/**
 * Canonical JSON: RFC 8785 (keys in UTF-16 order) over lossless values, with upstream's C1 escaping on request, and
 * the portability rule for what this node signs. spec/spine.md section 2.
 */
import { SpineError } from "./errors.ts";
import { hasLoneSurrogate, type Json, MAX_JSON_DEPTH } from "./lossless.ts";

/** How U+007F–U+009F are written: `\u00xx` as every Rust signer does, or as themselves (RFC 8785). */
export type C1Form = "escaped" | "raw";

/** Deepest nesting this node signs, levels of the fact itself. */
export const MAX_PORTABLE_DEPTH = 100;

const NEEDS_CARE = /["\\\u0000-\u001f\u007f-\u009f\ud800-\udfff]/;
const C1 = /[\u007f-\u009f]/;
const ALL_C1 = /[\u007f-\u009f]/g;
const ASTRAL = /[\ud800-\udfff]/;

function escapeC1(char: string): string {
  return `\\u00${char.charCodeAt(0).toString(16)}`;
}

function stringText(value: string, c1: C1Form): string {
  if (!NEEDS_CARE.test(value)) return `"${value}"`;
  if (hasLoneSurrogate(value)) throw new SpineError("json_lone_surrogate", "half a surrogate pair in a string");
  const text: string = JSON.stringify(value);
  return c1 === "escaped" ? text.replace(ALL_C1, escapeC1) : text;
}

function write(value: Json, c1: C1Form, depth: number): string {
  switch (typeof value) {
    case "string":
      return stringText(value, c1);
    case "number":
      if (!Number.isFinite(value)) throw new SpineError("json_number", `${value} has no JSON form`);
      return String(value);
    case "bigint":
    case "boolean":
      return String(value);
    case "object":
      break;
    default:
      throw new SpineError("not_portable", `a value of type ${typeof value} has no JSON form`);
  }
  if (value === null) return "null";
  if (depth === MAX_JSON_DEPTH) throw new SpineError("json_depth", `more than ${MAX_JSON_DEPTH} levels`);
  let text = "";
  if (Array.isArray(value)) {
    for (const element of value as readonly Json[]) text += `${text === "" ? "" : ","}${write(element, c1, depth + 1)}`;
    return `[${text}]`;
  }
  const object = value as { readonly [key: string]: Json };
  // The default order of sort() is that of UTF-16 code units.
  for (const key of Object.keys(object).sort())
    text += `${text === "" ? "" : ","}${stringText(key, c1)}:${write(object[key] as Json, c1, depth + 1)}`;
  return `{${text}}`;
}

/**
 * The canonical text of a value. Throws `json_lone_surrogate`, `json_number` or `json_depth` for values that
 * `parseJson` would not have returned, `not_portable` for what is no JSON at all.
 */
export function canonicalText(value: Json, c1: C1Form = "raw"): string {
  return write(value, c1, 0);
}

/** True when the two C1 forms of a canonical text differ. */
export function hasC1(rawText: string): boolean {
  return C1.test(rawText);
}

/** A text with its raw U+007F–U+009F escaped; they occur only inside strings. */
export function withC1Escaped(rawText: string): string {
  return rawText.replace(ALL_C1, escapeC1);
}

function refuse(path: string, why: string): never {
  throw new SpineError("not_portable", `${path === "" ? "value" : path}: ${why}`);
}

function checkNumber(value: number, path: string): void {
  if (!Number.isFinite(value)) refuse(path, `${value} has no JSON form`);
  if (Number.isInteger(value)) {
    if (!Number.isSafeInteger(value)) refuse(path, "integer beyond 2^53 − 1; write it as a string");
  } else if (Number(value.toPrecision(15)) !== value) {
    refuse(path, "more than 15 significant digits; round it or write it as a string");
  }
}

function checkChildren(value: object, path: string, depth: number): void {
  if (depth > MAX_PORTABLE_DEPTH) refuse(path, `more than ${MAX_PORTABLE_DEPTH} levels`);
  if (Array.isArray(value)) {
    for (let i = 0; i < value.length; i++) check(value[i], `${path}[${i}]`, depth);
    return;
  }
  const prototype: unknown = Object.getPrototypeOf(value);
  if (prototype !== null && prototype !== Object.prototype) refuse(path, "only plain objects can be signed");
  for (const key of Object.keys(value)) {
    const at = path === "" ? key : `${path}.${key}`;
    if (C1.test(key)) refuse(at, "key holds a character U+007F to U+009F");
    if (ASTRAL.test(key)) refuse(at, "key holds a character above U+FFFF");
    check((value as Record<string, unknown>)[key], at, depth);
  }
}

function check(value: unknown, path: string, depth: number): void {
  switch (typeof value) {
    case "string":
      if (C1.test(value)) refuse(path, "string holds a character U+007F to U+009F");
      if (ASTRAL.test(value) && hasLoneSurrogate(value)) refuse(path, "string holds half a surrogate pair");
      return;
    case "number":
      checkNumber(value, path);
      return;
    case "bigint":
      if (value > BigInt(Number.MAX_SAFE_INTEGER) || value < BigInt(Number.MIN_SAFE_INTEGER))
        refuse(path, "integer beyond 2^53 − 1; write it as a string");
      return;
    case "boolean":
      return;
    case "object":
      if (value !== null) checkChildren(value, path, depth + 1);
      return;
    default:
      refuse(path, `a value of type ${typeof value} has no JSON form`);
  }
}

/**
 * Refuses what the known implementations would not spell alike. Throws `not_portable` naming the path of the
 * offending value, such as `fact.load[2]`; `path` names `value` itself.
 */
export function assertPortable(value: unknown, path = ""): void {
  check(value, path, 0);
}
