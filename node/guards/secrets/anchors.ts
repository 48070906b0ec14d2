/**
 * All literals of all formats in one pass over the text (Aho and Corasick, 1975): time is linear in the text whatever their
 * number. Letters are folded, as far as ASCII goes; what is found is then looked at in the text as it is.
 */

/** Columns of the transition table: other, a–z, 0–9 and the punctuation of the literals. */
const COLUMNS = 64;
const COLUMN_BITS = 6;

export class AnchorIndex {
  readonly #columns = new Uint8Array(128);
  /** Row × 64 + column → row of the next state × 64; negative (its complement) where a literal ends. */
  readonly #next: Int32Array;
  readonly #ends: (readonly number[])[] = [];
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
    if (columns > COLUMNS) throw new Error("too many different characters in the literals");
    this.#next = this.#build(literals);
  }

  #build(literals: readonly string[]): Int32Array {
    const states = 1 + literals.reduce((sum, literal) => sum + literal.length, 0);
    const next = new Int32Array(states * COLUMNS);
    const ends: number[][] = [[]];
    literals.forEach((literal, index) => {
      let state = 0;
      for (const char of literal) {
        const cell = state * COLUMNS + (this.#columns[char.charCodeAt(0)] as number);
        if (next[cell] === 0) next[cell] = ends.push([]) - 1;
        state = next[cell] as number;
      }
      ends[state]?.push(index);
    });
    const fail = new Int32Array(ends.length);
    const queue: number[] = [];
    for (let column = 1; column < COLUMNS; column++) if (next[column] !== 0) queue.push(next[column] as number);
    for (let at = 0; at < queue.length; at++) {
      const state = queue[at] as number;
      const back = fail[state] as number;
      ends[state]?.push(...(ends[back] ?? []));
      for (let column = 1; column < COLUMNS; column++) {
        const cell = state * COLUMNS + column;
        const fallback = next[back * COLUMNS + column] as number;
        if (next[cell] === 0) next[cell] = fallback;
        else {
          fail[next[cell] as number] = fallback;
          queue.push(next[cell] as number);
        }
      }
    }
    this.#ends.push(...ends);
    return next
      .slice(0, ends.length * COLUMNS)
      .map((state) => ((ends[state]?.length ?? 0) > 0 ? ~(state << COLUMN_BITS) : state << COLUMN_BITS));
  }

  /** Calls `visit(literal index, start)` for every occurrence, by its end; a `false` ends the search. */
  each(text: string, visit: (literal: number, start: number) => boolean): void {
    const next = this.#next;
    const columns = this.#columns;
    const { length } = text;
    let row = 0;
    for (let at = 0; at < length; at++) {
      const code = text.charCodeAt(at);
      row = next[row + (code < 128 ? (columns[code] as number) : 0)] as number;
      if (row >= 0) continue;
      row = ~row;
      for (const literal of this.#ends[row >> COLUMN_BITS] as readonly number[])
        if (!visit(literal, at + 1 - (this.#lengths[literal] as number))) return;
    }
  }
}
