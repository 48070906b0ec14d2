/**
 * A small language for the shape of a scenario file: one description of a field reads it (every problem with its path),
 * prints it back without what is at its default, and gives its JSON Schema. `schema.ts` is written in it.
 */

export type JsonValue = null | boolean | number | string | readonly JsonValue[] | { readonly [key: string]: JsonValue };

export interface Problem {
  /** Such as `networks[0].shape.loss`; "" is the document. */
  readonly path: string;
  readonly message: string;
}

export type JsonSchema = { readonly [key: string]: JsonValue };

export interface Shape<T> {
  /** Undefined once a problem was added. */
  read(value: unknown, path: string, problems: Problem[]): T | undefined;
  write(value: T): JsonValue;
  readonly schema: JsonSchema;
}

/** A field of an object: its name in the file, what it may hold, what it is when left out, and what it means. */
export interface Field<T> {
  readonly name: string;
  readonly shape: Shape<T>;
  /** Left out = required. */
  readonly fallback?: { readonly value: T };
  readonly about: string;
}
export type Fields<T> = { readonly [K in keyof T]-?: Field<T[K]> };

export function need<T>(name: string, shape: Shape<T>, about: string): Field<T> {
  return { name, shape, about };
}
export function may<T>(name: string, shape: Shape<T>, value: T, about: string): Field<T> {
  return { name, shape, fallback: { value }, about };
}

export function describe(value: unknown): string {
  if (value === null || value === undefined) return "nothing";
  if (Array.isArray(value)) return "a list";
  if (typeof value === "object") return "a map";
  return typeof value === "string" ? `text ${JSON.stringify(value.slice(0, 40))}` : String(value);
}
export function join(path: string, key: string): string {
  return path === "" ? key : `${path}.${key}`;
}
function isMap(value: unknown): value is Readonly<Record<string, unknown>> {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

function plain<T extends JsonValue>(expected: string, schema: JsonSchema, is: (value: unknown) => boolean): Shape<T> {
  return {
    schema,
    write: (value) => value,
    read(value, path, problems) {
      if (is(value)) return value as T;
      problems.push({ path, message: `expected ${expected}, found ${describe(value)}` });
      return undefined;
    },
  };
}

export const flag: Shape<boolean> = plain(
  "true or false",
  { type: "boolean" },
  (value: unknown) => typeof value === "boolean",
);

export function text(most: number, pattern: RegExp = /^/, expected: string = "a text"): Shape<string> {
  const isWhole = pattern.source === "^";
  return plain(
    `${expected} of at most ${most} characters`,
    { type: "string", maxLength: most, ...(isWhole ? {} : { pattern: pattern.source }) },
    (value: unknown) => typeof value === "string" && value.length <= most && pattern.test(value),
  );
}

export function number(least: number, most: number): Shape<number> {
  return plain(
    `a number from ${least} to ${most}`,
    { type: "number", minimum: least, maximum: most },
    (value: unknown) => typeof value === "number" && value >= least && value <= most,
  );
}
export function whole(least: number, most: number): Shape<number> {
  return plain(
    `a whole number from ${least} to ${most}`,
    { type: "integer", minimum: least, maximum: most },
    (value: unknown) => Number.isSafeInteger(value) && (value as number) >= least && (value as number) <= most,
  );
}

export function word<T extends string>(words: readonly T[]): Shape<T> {
  return plain<T>(`one of ${words.join(", ")}`, { enum: [...words] }, (value) => words.includes(value as T));
}
/** A word, a number: always this one. */
export function exactly<T extends string>(value: T): Shape<T> {
  return plain<T>(JSON.stringify(value), { const: value }, (given) => given === value);
}

const UNITS: readonly (readonly [string, number])[] = [
  ["d", 86_400_000],
  ["h", 3_600_000],
  ["min", 60_000],
  ["s", 1_000],
  ["ms", 1],
];
const DURATION = "^-?[0-9]+(\\.[0-9]+)? ?(ms|s|min|h|d)$";

export function durationText(ms: number): string {
  const [unit, factor] = UNITS.find(([, size]) => ms !== 0 && Number.isInteger(ms / size)) ?? ["s", 1_000];
  return ms === 0 ? "0 s" : Number.isInteger(ms) ? `${ms / factor} ${unit}` : `${ms} ms`;
}

/** Milliseconds, written with their unit: `90 s`, `1.5 h`. */
export function duration(leastMs: number, mostMs: number): Shape<number> {
  const expected = `a time such as "500 ms", "90 s", "10 min", "2 h" or "1 d"`;
  const wrong = (found: string): string =>
    `expected ${expected} from ${durationText(leastMs)} to ${durationText(mostMs)}, found ${found}`;
  return {
    schema: { type: "string", pattern: DURATION },
    write: durationText,
    read(value, path, problems) {
      const match = typeof value === "string" && value.length <= 32 ? new RegExp(DURATION).exec(value) : null;
      const unit = UNITS.find(([name]) => name === match?.[2]);
      const ms = match === null || unit === undefined ? Number.NaN : Number.parseFloat(match[0]) * unit[1];
      if (ms >= leastMs && ms <= mostMs) return ms;
      problems.push({ path, message: wrong(describe(value)) });
      return undefined;
    },
  };
}

export function list<T>(item: Shape<T>, most: number, least: number = 0): Shape<readonly T[]> {
  return {
    schema: { type: "array", items: item.schema, maxItems: most, ...(least > 0 ? { minItems: least } : {}) },
    write: (values) => values.map((one) => item.write(one)),
    read(value, path, problems) {
      const list = value === null ? [] : value;
      if (!Array.isArray(list) || list.length > most || list.length < least) {
        const found = Array.isArray(list) ? `${list.length}` : describe(value);
        problems.push({ path, message: `expected a list of ${least} to ${most}, found ${found}` });
        return undefined;
      }
      const before = problems.length;
      const read = list.map((one, i) => item.read(one, `${path}[${i}]`, problems));
      return problems.length > before ? undefined : (read as T[]);
    },
  };
}

export function pair<T, U>(item: Shape<T>, make: (a: T, b: T) => U, parts: (value: U) => readonly [T, T]): Shape<U> {
  const two = list(item, 2, 2);
  return {
    schema: two.schema,
    write: (value) => two.write(parts(value)),
    read(value, path, problems) {
      const read = two.read(value, path, problems);
      return read === undefined ? undefined : make(read[0] as T, read[1] as T);
    },
  };
}

/** The first whose kind of value fits reads it: a list or not a list. */
export function textOrList<T extends string>(one: Shape<T>, many: Shape<readonly T[]>): Shape<T | readonly T[]> {
  return {
    schema: { anyOf: [one.schema, many.schema] },
    write: (value) => (typeof value === "string" ? one.write(value) : many.write(value as readonly T[])),
    read: (value, path, problems) =>
      Array.isArray(value) ? many.read(value, path, problems) : one.read(value, path, problems),
  };
}

export function orNull<T>(shape: Shape<T>): Shape<T | null> {
  return {
    schema: { anyOf: [shape.schema, { type: "null" }] },
    write: (value) => (value === null ? null : shape.write(value)),
    read: (value, path, problems) => (value === null ? null : shape.read(value, path, problems)),
  };
}

function isSame(a: JsonValue, b: JsonValue): boolean {
  return JSON.stringify(a) === JSON.stringify(b);
}

/** `type` names the alternative an object is, and is neither a field of `fields` nor unknown. */
export function object<T extends object>(fields: Fields<T>, type?: string): Shape<T> {
  const entries = Object.entries(fields) as [keyof T & string, Field<T[keyof T]>][];
  const known = new Set(entries.map(([, { name }]) => name));
  const properties: Record<string, JsonValue> = type === undefined ? {} : { type: { const: type } };
  for (const [, { name, shape, about, fallback }] of entries) {
    const standard = fallback === undefined ? {} : { default: shape.write(fallback.value) };
    properties[name] = { ...shape.schema, description: about, ...standard };
  }
  const required = entries.filter(([, { fallback }]) => fallback === undefined).map(([, { name }]) => name);
  return {
    schema: {
      type: "object",
      properties,
      required: type === undefined ? required : ["type", ...required],
      additionalProperties: false,
    },
    write(value) {
      const out: Record<string, JsonValue> = type === undefined ? {} : { type };
      for (const [key, { name, shape, fallback }] of entries) {
        const written = shape.write(value[key]);
        if (fallback === undefined || !isSame(written, shape.write(fallback.value))) out[name] = written;
      }
      return out;
    },
    read(value, path, problems) {
      if (!isMap(value)) {
        problems.push({ path, message: `expected a map, found ${describe(value)}` });
        return undefined;
      }
      const before = problems.length;
      for (const name of Object.keys(value)) {
        if (known.has(name) || (name === "type" && type !== undefined)) continue;
        problems.push({ path: join(path, name), message: `unknown field; known: ${[...known].join(", ")}` });
      }
      const out: Record<string, unknown> = {};
      for (const [key, { name, shape, fallback }] of entries) {
        if (Object.hasOwn(value, name)) {
          const read = shape.read(value[name], join(path, name), problems);
          if (read !== undefined) out[key] = read;
        } else if (fallback !== undefined) out[key] = fallback.value;
        else problems.push({ path: join(path, name), message: "missing" });
      }
      if (problems.length > before) return undefined;
      return (type === undefined ? out : { type, ...out }) as T;
    },
  };
}

type Alternatives<T extends { readonly type: string }> = {
  readonly [K in T["type"]]: Fields<Omit<Extract<T, { readonly type: K }>, "type">>;
};

/** Objects told apart by their `type`. */
export function union<T extends { readonly type: string }>(alternatives: Alternatives<T>): Shape<T> {
  const shapes = new Map<unknown, Shape<T>>(
    Object.entries(alternatives).map(([type, fields]) => [type, object(fields as Fields<T>, type)]),
  );
  const names = [...shapes.keys()].join(", ");
  return {
    schema: { oneOf: [...shapes.values()].map(({ schema }) => schema) },
    write: (value) => (shapes.get(value.type) as Shape<T>).write(value),
    read(value, path, problems) {
      if (!isMap(value)) {
        problems.push({ path, message: `expected a map with a type, found ${describe(value)}` });
        return undefined;
      }
      const shape = shapes.get(value["type"]);
      if (shape !== undefined) return shape.read(value, path, problems);
      problems.push({
        path: join(path, "type"),
        message: `expected one of ${names}, found ${describe(value["type"])}`,
      });
      return undefined;
    },
  };
}
