/** The adaptive request window of a resource receiver (spec/reticulum.md section 14.4). Used by `resource-receiver.ts`. */

export const INITIAL_WINDOW = 4;
export const MIN_WINDOW = 2;
export const MAX_WINDOW = 10;
export const MAX_WINDOW_FAST = 75;
export const MAX_WINDOW_SLOW = 4;
/** Bytes per second. */
const FAST_RATE = 6250;
const SLOW_RATE = 250;
/** Above this, round trips cost more than parts: the window grows by half each round, bytes per second. */
const LOCAL_RATE = 125_000;
const FAST_ROUNDS = 4;
const SLOW_ROUNDS = 2;
const FLEXIBILITY = 4;

/** How many parts are asked for at once. */
export class ResourceWindow {
  size: number;
  #min = MIN_WINDOW;
  #max = MAX_WINDOW;
  #fastRounds = 0;
  #slowRounds = 0;
  constructor(size: number = INITIAL_WINDOW) {
    this.size = Math.min(Math.max(size, MIN_WINDOW), MAX_WINDOW_FAST);
    this.#max = Math.max(this.#max, this.size);
  }
  get min(): number {
    return this.#min;
  }
  get max(): number {
    return this.#max;
  }
  /** The last round was fast enough to ask ahead: the line carries both directions at once. */
  asksAhead = false;
  /** All parts of a round arrived, at this rate in bytes per second; undefined when no time has passed. */
  completed(rate: number | undefined): void {
    if (this.size < this.#max) {
      this.size++;
      if (this.size - this.#min > FLEXIBILITY - 1) this.#min++;
    }
    if (rate === undefined) return;
    this.asksAhead = rate > FAST_RATE;
    if (rate > FAST_RATE) {
      this.#fastRounds++;
      if (this.#fastRounds >= FAST_ROUNDS || rate > LOCAL_RATE) this.#max = MAX_WINDOW_FAST;
      if (rate > LOCAL_RATE) this.size = Math.min(this.#max, Math.floor(this.size * 1.5));
    } else if (rate < SLOW_RATE && this.#fastRounds === 0) {
      this.#slowRounds++;
      if (this.#slowRounds >= SLOW_ROUNDS) {
        this.#max = MAX_WINDOW_SLOW;
        this.#min = Math.min(this.#min, this.#max);
        this.size = Math.min(this.size, this.#max);
      }
    }
  }
  /** Parts failed to arrive in time. */
  timedOut(): void {
    this.asksAhead = false;
    if (this.size <= this.#min) return;
    this.size--;
    if (this.#max > this.#min) {
      this.#max--;
      if (this.#max - this.size > FLEXIBILITY - 1) this.#max--;
    }
  }
}
