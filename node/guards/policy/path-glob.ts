/**
 * Path globs in the dialect of spec/guards.md section 1.5: `*` crosses `/`, `**` only as a whole component, `?` is any
 * one character, `[a-c] [!a]` classes, no braces, no escapes, case-sensitive, whole-string. Linear memory, no back-tracking.
 */

/** One step of a compiled pattern. `any` is `*`; `dirs` is a leading or inner `**` + `/`: nothing, or anything that ends in `/`. */
type Token =
  | { readonly kind: "char"; readonly code: number }
  | { readonly kind: "one" }
  | { readonly kind: "any" }
  | { readonly kind: "dirs" }
  | { readonly kind: "class"; readonly negated: boolean; readonly ranges: readonly (readonly [number, number])[] };

const SLASH = 47;
/** Longer patterns are refused: no policy needs them, and the matcher's cost is pattern × text. */
export const MAX_GLOB_LENGTH = 4096;

export interface PathGlob {
  readonly pattern: string;
  /** Every match contains it; may be empty. */
  readonly needle: string;
  matches(path: string): boolean;
}

/** Explains why `pattern` is not in the dialect, or undefined when it is. */
export function pathGlobProblem(pattern: string): string | undefined {
  const tokens = parse(pattern);
  return typeof tokens === "string" ? tokens : undefined;
}

/** Throws a plain Error for a pattern outside the dialect; policies are validated before this is reached. */
export function compilePathGlob(pattern: string): PathGlob {
  const tokens = parse(pattern);
  if (typeof tokens === "string") throw new Error(`path glob ${JSON.stringify(pattern)}: ${tokens}`);
  const needle = longestLiteral(tokens);
  return { pattern, needle, matches: (path) => path.includes(needle) && run(tokens, path) };
}

/** A substring every match contains: rules out most paths before the pattern is run. */
function longestLiteral(tokens: readonly Token[]): string {
  let best = "";
  let run = "";
  for (const token of tokens) {
    run = token.kind === "char" ? run + String.fromCodePoint(token.code) : "";
    if (run.length > best.length) best = run;
  }
  return best;
}

function parse(pattern: string): readonly Token[] | string {
  if (pattern.length > MAX_GLOB_LENGTH) return `longer than ${MAX_GLOB_LENGTH} characters`;
  const chars = [...pattern];
  const tokens: Token[] = [];
  for (let i = 0; i < chars.length; ) {
    const char = chars[i] as string;
    if (char === "*") {
      let stars = 0;
      while (chars[i + stars] === "*") stars++;
      if (stars > 2) return "more than two stars in a row";
      if (stars === 2) {
        const opens = i === 0 || chars[i - 1] === "/";
        const next = chars[i + 2];
        if (!opens || (next !== undefined && next !== "/")) return "`**` must be a whole component";
        tokens.push(next === "/" ? { kind: "dirs" } : { kind: "any" });
        i += next === "/" ? 3 : 2;
        continue;
      }
      tokens.push({ kind: "any" });
      i++;
    } else if (char === "?") {
      tokens.push({ kind: "one" });
      i++;
    } else if (char === "[") {
      const parsed = parseClass(chars, i + 1);
      if (parsed === undefined) return "unclosed `[`";
      tokens.push(parsed.token);
      i = parsed.next;
    } else {
      tokens.push({ kind: "char", code: char.codePointAt(0) as number });
      i++;
    }
  }
  return tokens;
}

function parseClass(chars: readonly string[], start: number): { token: Token; next: number } | undefined {
  const negated = chars[start] === "!";
  const first = negated ? start + 1 : start;
  // A `]` in first place is a member, so the search for the closing one starts behind it.
  const close = chars.indexOf("]", first + 1);
  if (close < 0) return undefined;
  const ranges: [number, number][] = [];
  for (let i = first; i < close; ) {
    const low = (chars[i] as string).codePointAt(0) as number;
    if (chars[i + 1] === "-" && i + 2 < close) {
      ranges.push([low, (chars[i + 2] as string).codePointAt(0) as number]);
      i += 3;
    } else {
      ranges.push([low, low]);
      i++;
    }
  }
  return { token: { kind: "class", negated, ranges }, next: close + 1 };
}

function accepts(token: Token, code: number): boolean {
  if (token.kind === "char") return token.code === code;
  if (token.kind === "class") return token.ranges.some(([low, high]) => code >= low && code <= high) !== token.negated;
  return true;
}

/** Simulates the pattern as a set of positions, so the cost is at most pattern × text. */
function run(tokens: readonly Token[], path: string): boolean {
  let current = new Uint8Array(tokens.length + 1);
  let next = new Uint8Array(tokens.length + 1);
  let alive = enter(tokens, current, 0);
  for (let at = 0; at < path.length; ) {
    const code = path.codePointAt(at) as number;
    at += code > 0xffff ? 2 : 1;
    if (!alive) return false;
    next.fill(0);
    alive = false;
    for (let i = 0; i < tokens.length; i++) {
      if (current[i] === 0) continue;
      const token = tokens[i] as Token;
      if (token.kind === "any") {
        alive = enter(tokens, next, i) || alive;
      } else if (token.kind === "dirs") {
        // State 1 sits at a component boundary, state 2 inside the run: both stay; only a slash lets the pattern go on.
        next[i] = 2;
        alive = true;
        if (code === SLASH) enter(tokens, next, i + 1);
      } else if (accepts(token, code)) {
        alive = enter(tokens, next, i + 1) || alive;
      }
    }
    [current, next] = [next, current];
  }
  return current[tokens.length] === 1;
}

/** Marks position `i` and everything reachable from it without reading a character. */
function enter(tokens: readonly Token[], states: Uint8Array, i: number): boolean {
  for (let at = i; ; at++) {
    if (states[at] !== 1) states[at] = 1;
    const token = tokens[at];
    if (token === undefined || (token.kind !== "any" && token.kind !== "dirs")) return true;
  }
}
