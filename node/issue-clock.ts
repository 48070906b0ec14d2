/**
 * The time own envelopes are signed with. `issued_at` never decreases, so one moment in the far future would stick to
 * the chain for years: a clock that jumps ahead is believed only after it stayed there for a while. Used by the publisher.
 */

/** A smaller step is ordinary clock discipline; a larger one would make peers hold what is signed (rules 3). */
export const JUMP_MS = 600_000;
/** How long a clock must stay where it jumped to. */
export const BELIEVE_MS = 60_000;

export interface IssueClockOptions {
  /** Milliseconds since 1970, as the system tells. */
  readonly wall: () => number;
  /** Milliseconds that only ever pass. */
  readonly steady: () => number;
  /** A jump of more than JUMP_MS, in milliseconds; negative = back. Told once per jump. */
  readonly onJump: (ms: number) => void;
}

export class IssueClock {
  readonly #options: IssueClockOptions;
  #wall: number;
  #steady: number;
  #jumpedAt: number | undefined;

  constructor(options: IssueClockOptions) {
    this.#options = options;
    this.#wall = options.wall();
    this.#steady = options.steady();
  }

  now(): number {
    const steady = this.#options.steady();
    const wall = this.#options.wall();
    const expected = this.#wall + (steady - this.#steady);
    const ahead = wall - expected;
    if (ahead > JUMP_MS) {
      if (this.#jumpedAt === undefined) {
        this.#jumpedAt = steady;
        this.#options.onJump(ahead);
      }
      if (steady - this.#jumpedAt < BELIEVE_MS) return expected;
    } else if (ahead < -JUMP_MS) this.#options.onJump(ahead);
    this.#jumpedAt = undefined;
    this.#wall = wall;
    this.#steady = steady;
    return wall;
  }
}
