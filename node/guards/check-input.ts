/**
 * Input of `guard check` and of the vector tests: writes out `{"$concat": [...]}` and `{"$repeat": [text, n]}`, which keep
 * token-shaped test texts away from secret scanners. Bounded; anything else is left as it is.
 */

import { SpineError } from "../../spine/index.ts";
import { MAX_CONTENT_BYTES, mapOf } from "./action.ts";

const MAX_DEPTH = 64;

/** Throws `api_input` when the result would be too large or too deep. */
export function expandInput(value: unknown, depth = 0): unknown {
  if (depth > MAX_DEPTH) throw new SpineError("api_input", `more than ${MAX_DEPTH} levels`);
  if (Array.isArray(value)) return value.map((item) => expandInput(item, depth + 1));
  if (typeof value !== "object" || value === null) return value;
  const from = mapOf(value, "value");
  const keys = Object.keys(from);
  if (keys.length === 1 && keys[0] === "$concat" && Array.isArray(from["$concat"])) {
    const parts = from["$concat"].map((part) => expandInput(part, depth + 1));
    if (parts.every((part) => typeof part === "string")) return bounded(parts.join(""));
  }
  if (keys.length === 1 && keys[0] === "$repeat" && Array.isArray(from["$repeat"])) {
    const [text, count] = from["$repeat"] as unknown[];
    if (typeof text === "string" && typeof count === "number" && Number.isInteger(count) && count >= 0) {
      if (text.length * count > MAX_CONTENT_BYTES) throw new SpineError("api_input", "repeated text is too large");
      return text.repeat(count);
    }
  }
  return Object.fromEntries(Object.entries(from).map(([key, item]) => [key, expandInput(item, depth + 1)]));
}

function bounded(text: string): string {
  if (text.length > MAX_CONTENT_BYTES) throw new SpineError("api_input", "joined text is too large");
  return text;
}
