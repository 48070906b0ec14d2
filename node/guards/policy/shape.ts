/**
 * A small language for the shape of a policy document, and the reader that checks a parsed YAML value against it: every
 * unknown key, wrong type and missing field is reported with its path (spec/guards.md section 1.4). `schema.ts` uses it.
 */
import { type Problem, problem } from "./problem.ts";

export type Json = null | boolean | number | string | readonly Json[] | { readonly [key: string]: Json };
export type JsonObject = { readonly [key: string]: Json };

export type Shape =
  | { readonly kind: "string" | "bool" | "uint" | "int" | "number" | "any" | "anyMap" }
  | { readonly kind: "word"; readonly words: Readonly<Record<string, string>> }
  | { readonly kind: "list"; readonly item: Shape }
  | { readonly kind: "map"; readonly item: Shape }
  | { readonly kind: "either"; readonly first: Shape; readonly second: Shape }
  | { readonly kind: "object"; readonly fields: Fields; readonly open?: boolean };

export interface Field {
  readonly shape: Shape;
  readonly required?: boolean;
  /** Other spellings of the key. */
  readonly alias?: string;
}
export type Fields = Readonly<Record<string, Field>>;

export const STRING: Field = { shape: { kind: "string" } };
export const BOOL: Field = { shape: { kind: "bool" } };
export const UINT: Field = { shape: { kind: "uint" } };
export const INT: Field = { shape: { kind: "int" } };
export const NUMBER: Field = { shape: { kind: "number" } };
export const STRINGS: Field = { shape: { kind: "list", item: { kind: "string" } } };
export const ANY_MAP: Field = { shape: { kind: "anyMap" } };

export function required(field: Field): Field {
  return { ...field, required: true };
}
export function object(fields: Fields): Field {
  return { shape: { kind: "object", fields } };
}
export function list(field: Field): Field {
  return { shape: { kind: "list", item: field.shape } };
}
export function map(field: Field): Field {
  return { shape: { kind: "map", item: field.shape } };
}
/** A word of a closed set; keys are accepted spellings, values what they mean. */
export function words(spellings: Readonly<Record<string, string>>): Field {
  return { shape: { kind: "word", words: spellings } };
}

/** Deepest nesting looked at: a policy never needs more, and recursion stays bounded. */
const MAX_DEPTH = 32;

/** The value in its normal form (aliases applied, empty lists filled in), or undefined when it is absent or unusable. */
export function readShape(
  value: unknown,
  shape: Shape,
  path: string,
  problems: Problem[],
  depth = 0,
): Json | undefined {
  const wrong = (expected: string, code: "type" | "yaml" = "type"): undefined => {
    problems.push(problem(code, path, `expected ${expected}, found ${describe(value)}`));
    return undefined;
  };
  if (depth > MAX_DEPTH) return wrong("less nesting", "yaml");
  switch (shape.kind) {
    case "string":
      return typeof value === "string" ? value : wrong("a text (quote numbers)");
    case "bool":
      return typeof value === "boolean" ? value : wrong("true or false");
    case "uint":
      return isInteger(value) && value >= 0 ? value : wrong("a whole number of at least 0");
    case "int":
      return isInteger(value) ? value : wrong("a whole number");
    case "number":
      return typeof value === "number" && Number.isFinite(value) ? value : wrong("a number");
    case "word": {
      const meaning = typeof value === "string" && Object.hasOwn(shape.words, value) ? shape.words[value] : undefined;
      return meaning ?? wrong(`one of ${Object.keys(shape.words).join(", ")}`);
    }
    case "any":
      return readAny(value, path, problems, depth);
    case "anyMap":
      return isMap(value) ? readAny(value, path, problems, depth) : wrong("a map", "yaml");
    case "either":
      return Array.isArray(value)
        ? readShape(value, shape.second, path, problems, depth)
        : readShape(value, shape.first, path, problems, depth);
    case "list":
      if (value === null) return [];
      if (!Array.isArray(value)) return wrong("a list");
      return value.flatMap((item, at) => readShape(item, shape.item, `${path}[${at}]`, problems, depth + 1) ?? []);
    case "map": {
      if (!isMap(value)) return wrong("a map", "yaml");
      const out: Record<string, Json> = Object.create(null);
      for (const [key, item] of Object.entries(value)) {
        const read = readShape(item ?? {}, shape.item, join(path, key), problems, depth + 1);
        if (read !== undefined) out[key] = read;
      }
      return { ...out };
    }
    case "object":
      return isMap(value) ? readObject(value, shape, path, problems, depth) : wrong("a map", "yaml");
  }
}

function readObject(
  value: Readonly<Record<string, unknown>>,
  shape: Extract<Shape, { kind: "object" }>,
  path: string,
  problems: Problem[],
  depth: number,
): JsonObject {
  const out: Record<string, Json> = {};
  const seen = new Set<string>();
  for (const [key, item] of Object.entries(value)) {
    const name = Object.hasOwn(shape.fields, key)
      ? key
      : Object.keys(shape.fields).find((field) => shape.fields[field]?.alias === key);
    const at = join(path, key);
    if (name === undefined) {
      if (shape.open !== true) problems.push(problem("unknown_field", at, `unknown field ${JSON.stringify(key)}`));
      continue;
    }
    if (seen.has(name)) problems.push(problem("yaml", at, `${name} is given twice under two spellings`));
    seen.add(name);
    const field = shape.fields[name] as Field;
    // A key with nothing after the colon: an empty list, or as if the key were absent.
    if (item === null && field.shape.kind !== "list") continue;
    const read = readShape(item, field.shape, at, problems, depth + 1);
    if (read !== undefined) out[name] = read;
  }
  for (const [name, field] of Object.entries(shape.fields)) {
    if (field.required === true && !seen.has(name)) {
      problems.push(problem("missing_field", path, `missing field ${JSON.stringify(name)}`));
    }
  }
  return out;
}

function readAny(value: unknown, path: string, problems: Problem[], depth: number): Json | undefined {
  if (value === null || typeof value === "boolean" || typeof value === "string") return value;
  if (typeof value === "number" && Number.isFinite(value)) return value;
  if (depth <= MAX_DEPTH && Array.isArray(value)) {
    return value.flatMap((item, at) => readAny(item, `${path}[${at}]`, problems, depth + 1) ?? []);
  }
  if (depth <= MAX_DEPTH && isMap(value)) {
    return Object.fromEntries(
      Object.entries(value).flatMap(([key, item]) => {
        const read = readAny(item, join(path, key), problems, depth + 1);
        return read === undefined ? [] : [[key, read]];
      }),
    );
  }
  problems.push(problem("type", path, `expected a plain value, found ${describe(value)}`));
  return undefined;
}

export function isMap(value: unknown): value is Readonly<Record<string, unknown>> {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

function isInteger(value: unknown): value is number {
  return typeof value === "number" && Number.isSafeInteger(value);
}

function join(path: string, key: string): string {
  return path === "" ? key : `${path}.${key}`;
}

function describe(value: unknown): string {
  if (value === null) return "nothing";
  if (Array.isArray(value)) return "a list";
  if (typeof value === "object") return "a map";
  return typeof value === "string" ? `text ${JSON.stringify(value.slice(0, 40))}` : String(value);
}
