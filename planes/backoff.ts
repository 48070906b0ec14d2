/** Exponential backoff with jitter for redialling; randomness is an input. */

export interface BackoffOptions {
  /** Delay around which the first retry falls. */
  readonly minMs: number;
  readonly maxMs: number;
}

/** Delay before retry `attempt` (0 = the first): doubles up to `maxMs`, times 0.5 to 1.5. `random` is in [0, 1). */
export function backoffMs(attempt: number, options: BackoffOptions, random: () => number): number {
  const base = Math.min(options.maxMs, options.minMs * 2 ** Math.min(attempt, 30));
  return Math.round(base * (0.5 + random()));
}
