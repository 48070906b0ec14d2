/**
 * Host globs in the dialect of spec/guards.md section 1.6: case-insensitive, `*` and `**` any run without `/`, `?`,
 * `[...]` (also `[^...]`), `{a,b}` alternates, backslash escapes; whole-string. Compiled to a linear-time expression.
 */
import { compileRegex } from "../text/regex.ts";
import { MAX_GLOB_LENGTH } from "./path-glob.ts";

export interface DomainGlob {
  readonly pattern: string;
  /** True when the pattern has no wildcard: it names exactly one host. */
  readonly literal: boolean;
  matches(host: string): boolean;
}

/** Deepest nesting of `{…}`. */
const MAX_DEPTH = 8;

export function domainGlobProblem(pattern: string): string | undefined {
  const source = translate(pattern);
  if (typeof source === "string") return source;
  try {
    compileRegex(source.regex);
    return undefined;
  } catch (caught) {
    return caught instanceof Error ? caught.message : String(caught);
  }
}

/** Throws a plain Error for a pattern outside the dialect; policies are validated before this is reached. */
export function compileDomainGlob(pattern: string): DomainGlob {
  const source = translate(pattern);
  if (typeof source === "string") throw new Error(`host glob ${JSON.stringify(pattern)}: ${source}`);
  if (source.literal) {
    const plain = pattern.toLowerCase();
    return { pattern, literal: true, matches: (host) => host.toLowerCase() === plain };
  }
  // The two commonest shapes need no engine: `*` and `*.suffix`.
  if (/^\*[a-z0-9.-]*$/i.test(pattern)) {
    const suffix = pattern.slice(1).toLowerCase();
    return { pattern, literal: false, matches: (host) => host.toLowerCase().endsWith(suffix) && !host.includes("/") };
  }
  const regex = compileRegex(source.regex);
  return { pattern, literal: false, matches: (host) => regex.test(host) };
}

function translate(pattern: string): { regex: string; literal: boolean } | string {
  if (pattern.length > MAX_GLOB_LENGTH) return `longer than ${MAX_GLOB_LENGTH} characters`;
  const chars = [...pattern];
  let out = "";
  let depth = 0;
  let literal = true;
  for (let i = 0; i < chars.length; i++) {
    const char = chars[i] as string;
    if (char === "*" || char === "?") {
      literal = false;
      while (char === "*" && chars[i + 1] === "*") i++;
      out += char === "*" ? "[^/]*" : "[^/]";
    } else if (char === "[") {
      const close = chars.indexOf("]", chars[i + 1] === "!" || chars[i + 1] === "^" ? i + 3 : i + 2);
      if (close < 0) return "unclosed `[`";
      literal = false;
      out += translateClass(chars.slice(i + 1, close));
      i = close;
    } else if (char === "{") {
      if (++depth > MAX_DEPTH) return `braces nested deeper than ${MAX_DEPTH}`;
      literal = false;
      out += "(?:";
    } else if (char === "}") {
      if (depth-- === 0) return "`}` without `{`";
      out += ")";
    } else if (char === "," && depth > 0) {
      out += "|";
    } else if (char === "\\") {
      const next = chars[++i];
      if (next === undefined) return "ends in a backslash";
      literal = false;
      out += quote(next);
    } else {
      out += quote(char);
    }
  }
  if (depth > 0) return "unclosed `{`";
  return { regex: `(?i)^(?:${out})$`, literal };
}

function translateClass(members: readonly string[]): string {
  const negated = members[0] === "!" || members[0] === "^";
  let out = negated ? "[^/" : "[";
  const body = negated ? members.slice(1) : members;
  for (let i = 0; i < body.length; i++) {
    const char = body[i] as string;
    out += char === "-" && i > 0 && i < body.length - 1 ? "-" : quote(char);
  }
  return `${out}]`;
}

function quote(char: string): string {
  return /[A-Za-z0-9]/.test(char) || char > "\x7f" ? char : `\\x{${(char.codePointAt(0) as number).toString(16)}}`;
}
