/**
 * Finds texts of which at least one must occur in anything an expression matches, so that a plain substring search can
 * rule most texts out before the engine runs. Sound, not complete: when in doubt it finds none. `regex.ts` calls it.
 */

/** Shorter literals select too little to be worth a search; more alternatives cost more than they save. */
const MIN_BYTES = 3;
const MAX_ALTERNATIVES = 24;

interface Piece {
  /** Every match contains one of these, lower case. Undefined: nothing is known. */
  readonly required: readonly string[] | undefined;
}

/** Lower-case literals, one of which every match contains; undefined when none is known. */
export function requiredLiterals(source: string): readonly string[] | undefined {
  if (source.includes("\\Q")) return undefined;
  const reader = new Reader(source);
  const piece = reader.alternation();
  if (!reader.done) return undefined;
  const found = piece.required;
  if (found === undefined || found.length > MAX_ALTERNATIVES) return undefined;
  return found.every((literal) => Buffer.byteLength(literal) >= MIN_BYTES) ? found : undefined;
}

/** The better of two requirements: the one whose shortest literal is longer. */
function better(a: readonly string[] | undefined, b: readonly string[] | undefined): readonly string[] | undefined {
  if (a === undefined || b === undefined) return a ?? b;
  const shortest = (set: readonly string[]): number => Math.min(...set.map((literal) => Buffer.byteLength(literal)));
  return shortest(b) > shortest(a) ? b : a;
}

class Reader {
  readonly #source: string;
  #at = 0;
  constructor(source: string) {
    this.#source = source;
  }
  get done(): boolean {
    return this.#at >= this.#source.length;
  }
  get #char(): string {
    return this.#source[this.#at] ?? "";
  }

  alternation(): Piece {
    let all: string[] | undefined = [];
    for (;;) {
      const required = this.#sequence();
      if (required === undefined || all === undefined) all = undefined;
      else all = [...all, ...required];
      if (this.#char !== "|") return { required: all };
      this.#at++;
    }
  }

  #sequence(): readonly string[] | undefined {
    let best: readonly string[] | undefined;
    let literal = "";
    const flush = (): void => {
      if (literal !== "") best = better(best, [literal]);
      literal = "";
    };
    while (!this.done && this.#char !== "|" && this.#char !== ")") {
      const item = this.#item();
      const optional = this.#quantifier();
      if (item.char !== undefined && optional === "once") {
        literal += item.char;
        continue;
      }
      flush();
      if (optional === "optional") continue;
      if (item.char !== undefined) best = better(best, [item.char]);
      else best = better(best, item.required);
    }
    flush();
    return best;
  }

  /** Reads one atom: a plain character, a group, or something unknown. */
  #item(): { char?: string; required?: readonly string[] | undefined } {
    const char = this.#char;
    this.#at++;
    if (char === "(") return this.#group();
    if (char === "[") {
      this.#skipClass();
      return {};
    }
    if (char === "\\") {
      const next = this.#char;
      this.#at++;
      if (/[A-Za-z0-9]/.test(next)) {
        if (this.#char === "{") this.#at = this.#source.indexOf("}", this.#at) + 1 || this.#source.length;
        else if (next === "x") this.#at += 2;
        return {};
      }
      return { char: next };
    }
    if (char === "." || char === "^" || char === "$") return {};
    // Case folding is surprising outside ASCII: there, only characters without case promise anything.
    const caseless = char.toLowerCase() === char.toUpperCase();
    return char > "\x7f" && (!caseless || /[\ud800-\udfff]/.test(char)) ? {} : { char: char.toLowerCase() };
  }

  #group(): { required?: readonly string[] | undefined } {
    if (this.#char === "?") {
      const head = /^\?(?:P?<[A-Za-z0-9_]+>|[imsU-]*:)/.exec(this.#source.slice(this.#at));
      if (head === null) {
        const flags = /^\?[imsU-]+\)/.exec(this.#source.slice(this.#at));
        this.#at = flags === null ? this.#source.length : this.#at + flags[0].length;
        return {};
      }
      this.#at += head[0].length;
    }
    const inner = this.alternation();
    if (this.#char === ")") this.#at++;
    return { required: inner.required };
  }

  #skipClass(): void {
    if (this.#char === "^") this.#at++;
    if (this.#char === "]") this.#at++;
    while (!this.done && this.#char !== "]") {
      if (this.#char === "\\") this.#at++;
      else if (this.#source.startsWith("[:", this.#at)) {
        const end = this.#source.indexOf(":]", this.#at);
        if (end > 0) this.#at = end + 1;
      }
      this.#at++;
    }
    this.#at++;
  }

  #quantifier(): "once" | "optional" | "repeated" {
    const char = this.#char;
    let kind: "once" | "optional" | "repeated" = "once";
    if (char === "*" || char === "?") kind = "optional";
    else if (char === "+") kind = "repeated";
    else if (char === "{") {
      const count = /^\{(\d+)(?:,\d*)?\}/.exec(this.#source.slice(this.#at));
      if (count === null) return "once";
      this.#at += count[0].length;
      kind = count[1] === "0" ? "optional" : "repeated";
      if (this.#char === "?") this.#at++;
      return kind;
    }
    if (kind !== "once") {
      this.#at++;
      if (this.#char === "?") this.#at++;
    }
    return kind;
  }
}
