/**
 * Regular expressions that take linear time whatever the input: RE2 syntax, no look-around, no back-references. A set of
 * required literals in front keeps the common "no match" cheap. Policies and guards compile every pattern through here.
 */
import { RE2JS } from "re2js";
import { requiredLiterals } from "./literals.ts";

/** Longer sources are refused: an expression of this length is data, not a rule. */
const MAX_SOURCE_LENGTH = 8192;
/** Positions are looked for in pieces of this many characters, each overlapping the next. */
const PIECE = 8192;
const OVERLAP = 2048;

export interface Span {
  readonly start: number;
  readonly end: number;
}

export interface LinearRegex {
  readonly source: string;
  /** `folded` is `foldCase(text)` when the caller has it; many patterns on one text then share it. */
  test(text: string, folded?: string): boolean;
  /** Non-overlapping matches from the left, at most `limit`. */
  find(text: string, limit: number, folded?: string): readonly Span[];
}

/** Lower case in the sense of case-insensitive matching: also maps U+017F to `s` (U+212A already lowers to `k`). */
export function foldCase(text: string): string {
  const lower = text.toLowerCase();
  return lower.includes("\u017f") ? lower.replaceAll("\u017f", "s") : lower;
}

/** Throws a plain Error that says what is wrong with `source`. */
export function compileRegex(source: string): LinearRegex {
  if (source.length > MAX_SOURCE_LENGTH) throw new Error(`expression longer than ${MAX_SOURCE_LENGTH} characters`);
  const engine = RE2JS.compile(widenClasses(source));
  const literals = requiredLiterals(source);
  const possible = (text: string, folded: string | undefined): boolean => {
    if (literals === undefined) return true;
    const lower = folded ?? foldCase(text);
    return literals.some((literal) => lower.includes(literal));
  };
  return {
    source,
    test: (text, folded) => possible(text, folded) && engine.test(text),
    find: (text, limit, folded) => (possible(text, folded) && engine.test(text) ? locate(engine, text, limit) : []),
  };
}

/**
 * The same, compiled when a text first holds one of its literals: for expressions of the project's own, which are known to
 * compile and of which there are too many to pay for at every start.
 */
export function ownRegex(source: string): LinearRegex {
  let made: LinearRegex | undefined;
  const literals = requiredLiterals(source);
  const engine = (): LinearRegex => {
    made ??= compileRegex(source);
    return made;
  };
  const possible = (text: string, folded: string | undefined): boolean => {
    if (literals === undefined) return true;
    const lower = folded ?? foldCase(text);
    return literals.some((literal) => lower.includes(literal));
  };
  return {
    source,
    test: (text, folded) => possible(text, folded) && engine().test(text, folded),
    find: (text, limit, folded) => (possible(text, folded) ? engine().find(text, limit, folded) : []),
  };
}

/** The DFA says which pieces match; only those go through the slower engine that knows positions. */
function locate(engine: RE2JS, text: string, limit: number): readonly Span[] {
  const spans: Span[] = [];
  let from = 0;
  for (let at = 0; at < text.length && spans.length < limit; at += PIECE - OVERLAP) {
    const piece = text.slice(at, at + PIECE);
    if (piece.length + at <= from || !engine.test(piece)) continue;
    const matcher = engine.matcher(piece);
    for (let next = Math.max(0, from - at); next <= piece.length && spans.length < limit; ) {
      if (!matcher.find(next)) break;
      const span = { start: at + matcher.start(), end: at + matcher.end() };
      spans.push(span);
      from = Math.max(span.end, span.start + 1);
      next = from - at;
    }
  }
  // Longer than a piece, or bound to the text's edges: the whole text is one span.
  return spans.length > 0 ? spans : [{ start: 0, end: text.length }];
}

const DIGIT = "\\p{Nd}";
const SPACE = "\\t-\\r \\x{85}\\x{a0}\\x{1680}\\x{2000}-\\x{200a}\\x{2028}\\x{2029}\\x{202f}\\x{205f}\\x{3000}";
const WORD = "\\p{L}\\p{M}\\p{Nd}\\p{Pc}";

/** `\d \s \w` and their negations mean Unicode classes here, as in the dialect policies are written in (1.4). */
function widenClasses(source: string): string {
  let out = "";
  let inClass = false;
  for (let i = 0; i < source.length; i++) {
    const char = source[i] as string;
    if (char === "\\") {
      const next = source[i + 1] ?? "";
      const set =
        next === "d" || next === "D"
          ? DIGIT
          : next === "s" || next === "S"
            ? SPACE
            : next === "w" || next === "W"
              ? WORD
              : "";
      const negated = next >= "A" && next <= "Z";
      if (set !== "" && !(inClass && negated)) out += inClass ? set : negated ? `[^${set}]` : `[${set}]`;
      else out += char + next;
      i++;
    } else {
      if (char === "[" && !inClass) {
        inClass = true;
        out += char;
        // A first `]` (also behind `^`) is a member.
        if (source[i + 1] === "^") out += source[++i];
        if (source[i + 1] === "]") out += `\\${source[++i]}`;
        continue;
      }
      if (char === "[" && inClass && source[i + 1] === ":") {
        const end = source.indexOf(":]", i);
        if (end > 0) {
          out += source.slice(i, end + 2);
          i = end + 1;
          continue;
        }
      }
      if (char === "]") inClass = false;
      out += char;
    }
  }
  return out;
}
