/**
 * All literals of all formats in one pass over the text (Aho and Corasick, 1975): time is linear in the text whatever their
 * number. Letters are folded, as far as ASCII goes; what is found is then looked at in the text as it is.
 */

/** Columns of the transition table: other, a–z, 0–9 and the punctuation of the literals. */
const MAX_COLUMNS = 64;

export class AnchorIndex {
  readonly #columns = new Uint8Array(128);
  readonly #next: Int32Array;
  /** Per state: index into `#ends`, 0 for none. */
  readonly #found: Int32Array;
  readonly #ends: (readonly number[])[] = [[]];
  readonly #lengths: readonly number[];

  constructor(literals: readonly string[]) {
    this.#lengths = literals.map((literal) => literal.length);
    let columns = 1;
    for (const char of new Set(literals.join(""))) {
      const code = char.charCodeAt(0);
      if (code > 127 || char !== char.toLowerCase()) throw new Error(`not a lower-case ASCII literal: ${char}`);
      this.#columns[code] = columns;
      if (char >= "a" && char <= "z") this.#columns[code - 32] = columns;
      columns++;
    }
    if (columns > MAX_COLUMNS) throw new Error("too many different characters in the literals");
    const states = 1 + literals.reduce((sum, literal) => sum + literal.length, 0);
    this.#next = new Int32Array(states * MAX_COLUMNS);
    this.#found = new Int32Array(states);
    this.#build(literals);
  }

  #build(literals: readonly string[]): void {
    const own: number[][] = [[]];
    let count = 1;
    literals.forEach((literal, index) => {
      let state = 0;
      for (const char of literal) {
        const cell = state * MAX_COLUMNS + (this.#columns[char.charCodeAt(0)] as number);
        if (this.#next[cell] === 0) {
          this.#next[cell] = count++;
          own.push([]);
        }
        state = this.#next[cell] as number;
      }
      own[state]?.push(index);
    });
    const fail = new Int32Array(count);
    const queue: number[] = [];
    for (let column = 1; column < MAX_COLUMNS; column++) {
      const child = this.#next[column] as number;
      if (child !== 0) queue.push(child);
    }
    for (let at = 0; at < queue.length; at++) {
      const state = queue[at] as number;
      const back = fail[state] as number;
      own[state]?.push(...(own[back] ?? []));
      for (let column = 1; column < MAX_COLUMNS; column++) {
        const cell = state * MAX_COLUMNS + column;
        const child = this.#next[cell] as number;
        const fallback = this.#next[back * MAX_COLUMNS + column] as number;
        if (child === 0) this.#next[cell] = fallback;
        else {
          fail[child] = fallback;
          queue.push(child);
        }
      }
    }
    own.forEach((indices, state) => {
      if (indices.length > 0) this.#found[state] = this.#ends.push(indices) - 1;
    });
  }

  /** Calls `visit(literal index, start)` for every occurrence, by its end; a `false` ends the search. */
  each(text: string, visit: (literal: number, start: number) => boolean): void {
    const next = this.#next;
    const columns = this.#columns;
    const found = this.#found;
    let state = 0;
    for (let at = 0; at < text.length; at++) {
      const code = text.charCodeAt(at);
      state = code < 128 ? (next[state * MAX_COLUMNS + (columns[code] as number)] as number) : 0;
      const hit = found[state] as number;
      if (hit === 0) continue;
      for (const literal of this.#ends[hit] as readonly number[])
        if (!visit(literal, at + 1 - (this.#lengths[literal] as number))) return;
    }
  }
}
