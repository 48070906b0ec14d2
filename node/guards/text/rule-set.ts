/**
 * Many expressions on one text: a single pass finds which of their required literals occur (Aho and Corasick 1975), and
 * only expressions that may match then run. An expression is compiled when it is first needed. The text guards use it.
 */
import { requiredLiterals } from "./literals.ts";
import { compileRegex, foldCase, type LinearRegex } from "./regex.ts";

export interface RuleSet {
  /** Positions of the expressions that match, ascending. `text` may be of any case. */
  matches(text: string): readonly number[];
}

/** Throws at first use, not here, when an expression is wrong: these are the project's own. */
export function ruleSet(sources: readonly string[]): RuleSet {
  const compiled: (LinearRegex | undefined)[] = sources.map(() => undefined);
  let scan: LiteralScan | undefined;
  return {
    matches: (text) => {
      scan ??= new LiteralScan(sources.map(requiredLiterals));
      const folded = foldCase(text);
      return scan.candidates(folded).filter((at) => {
        compiled[at] ??= compileRegex(sources[at] as string);
        return (compiled[at] as LinearRegex).test(text, folded);
      });
    },
  };
}

/** Characters that no literal holds. */
const ELSE = 0;

class LiteralScan {
  /** Class of each character that occurs in a literal. */
  readonly #ascii = new Uint16Array(128);
  readonly #others = new Map<number, number>();
  readonly #classes: number;
  /** Next state by state and class. */
  readonly #next: Int32Array;
  /** Expressions of which a literal ends in this state. */
  readonly #ends: readonly (readonly number[])[];
  /** Expressions without a known literal always run. */
  readonly #always: readonly number[];
  readonly #count: number;

  constructor(literals: readonly (readonly string[] | undefined)[]) {
    this.#count = literals.length;
    this.#always = literals.flatMap((list, at) => (list === undefined ? [at] : []));
    let classes = ELSE + 1;
    for (const literal of literals.flatMap((list) => list ?? [])) {
      for (let at = 0; at < literal.length; at++) {
        const code = literal.charCodeAt(at);
        if (this.#classOf(code) !== ELSE) continue;
        if (code < 128) this.#ascii[code] = classes++;
        else this.#others.set(code, classes++);
      }
    }
    this.#classes = classes;
    const trie: Map<number, number>[] = [new Map()];
    const ends: Set<number>[] = [new Set()];
    for (const [expression, list] of literals.entries()) {
      for (const literal of list ?? []) {
        let state = 0;
        for (let at = 0; at < literal.length; at++) {
          const kind = this.#classOf(literal.charCodeAt(at));
          let next = trie[state]?.get(kind);
          if (next === undefined) {
            next = trie.length;
            trie[state]?.set(kind, next);
            trie.push(new Map());
            ends.push(new Set());
          }
          state = next;
        }
        ends[state]?.add(expression);
      }
    }
    this.#next = automaton(trie, ends, classes);
    this.#ends = ends.map((set) => [...set]);
  }

  #classOf(code: number): number {
    return code < 128 ? (this.#ascii[code] as number) : (this.#others.get(code) ?? ELSE);
  }

  /** Expressions that may match, ascending. */
  candidates(folded: string): readonly number[] {
    const found = new Uint8Array(this.#count);
    for (const at of this.#always) found[at] = 1;
    const next = this.#next;
    const ascii = this.#ascii;
    const classes = this.#classes;
    const seen = new Uint8Array(this.#ends.length);
    let state = 0;
    for (let at = 0; at < folded.length; at++) {
      const code = folded.charCodeAt(at);
      const kind = code < 128 ? (ascii[code] as number) : (this.#others.get(code) ?? ELSE);
      state = next[state * classes + kind] as number;
      if (seen[state] === 1) continue;
      seen[state] = 1;
      for (const expression of this.#ends[state] as readonly number[]) found[expression] = 1;
    }
    return [...found.keys()].filter((at) => found[at] === 1);
  }
}

/** The trie's transitions completed: from each state by each class, over the longest suffix that is a prefix. */
function automaton(trie: readonly Map<number, number>[], ends: Set<number>[], classes: number): Int32Array {
  const next = new Int32Array(trie.length * classes);
  const suffix = new Int32Array(trie.length);
  const queue: number[] = [0];
  for (const state of queue) {
    for (let kind = 0; kind < classes; kind++) {
      const child = trie[state]?.get(kind);
      const fallback = state === 0 ? 0 : (next[(suffix[state] as number) * classes + kind] as number);
      if (child === undefined) next[state * classes + kind] = fallback;
      else {
        next[state * classes + kind] = child;
        suffix[child] = fallback;
        for (const expression of ends[fallback] as Set<number>) ends[child]?.add(expression);
        queue.push(child);
      }
    }
  }
  return next;
}
