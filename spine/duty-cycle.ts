/**
 * Own time on air over the last hour against what the band allows, with a part kept for revocations (rules 10,
 * spec/radio-field-notes.md section 4). Counts a transmission when it is decided, not when it ends. Pure.
 */
import type { Millis } from "./ports.ts";

const HOUR_MS = 3_600_000;
const BIN_MS = 7_500;
/** One more than an hour has: what was sent late in the oldest bin still counts. */
const BINS: number = HOUR_MS / BIN_MS + 1;
/** Part of each hour's air that only revocations may use. */
export const REVOCATION_RESERVE = 0.1;
/** Part that ordinary facts leave to what carries them: proofs, keepalives, announces. */
export const STACK_RESERVE = 0.1;
/** Most of the air that announces take. */
const ANNOUNCE_SHARE = 0.05;
const MIN_ANNOUNCE_MS = 300_000;

/** Bands with a duty cycle, by frequency in Hz; alarm bands count as the narrowest. Elsewhere the operator sets one. */
const BANDS: readonly { readonly fromHz: number; readonly toHz: number; readonly duty: number }[] = [
  { fromHz: 433_050_000, toHz: 434_790_000, duty: 0.1 },
  { fromHz: 863_000_000, toHz: 865_000_000, duty: 0.001 },
  { fromHz: 865_000_000, toHz: 868_600_000, duty: 0.01 },
  { fromHz: 868_600_000, toHz: 869_400_000, duty: 0.001 },
  { fromHz: 869_400_000, toHz: 869_650_000, duty: 0.1 },
  { fromHz: 869_650_000, toHz: 869_700_000, duty: 0.001 },
  { fromHz: 869_700_000, toHz: 870_000_000, duty: 0.01 },
];

/** The share of an hour that one transmitter may use at this frequency; 1 where no limit is known. */
export function dutyCycleAt(frequencyHz: number): number {
  return BANDS.find(({ fromHz, toHz }) => fromHz <= frequencyHz && frequencyHz < toHz)?.duty ?? 1;
}

/** How often to announce so that announces keep within their share of the air; never more often than every 5 min. */
export function announcePeriodMs(announceAirMs: Millis, duty: number): Millis {
  return Math.max(MIN_ANNOUNCE_MS, announceAirMs / (ANNOUNCE_SHARE * duty));
}

export class DutyCycle {
  readonly #allowedMs: Millis;
  /** Air of each bin; the newest is at `#bin % BINS`. */
  readonly #bins: Float64Array = new Float64Array(BINS);
  #bin: number;
  #usedMs = 0;

  /** `duty` is the share of each hour, above 0 to 1. */
  constructor(duty: number, now: Millis) {
    this.#allowedMs = duty * HOUR_MS;
    this.#bin = Math.floor(now / BIN_MS);
  }
  get allowedMs(): Millis {
    return this.#allowedMs;
  }

  #roll(now: Millis): void {
    const bin = Math.floor(now / BIN_MS);
    // A clock set back must not forget what was sent: the newest bin goes on until time has caught up.
    if (bin === this.#bin || (bin < this.#bin && this.#bin - bin < BINS)) return;
    if (Math.abs(bin - this.#bin) >= BINS) {
      this.#bins.fill(0);
    } else for (let b = this.#bin + 1; b <= bin; b++) this.#bins[b % BINS] = 0;
    this.#bin = bin;
    this.#usedMs = this.#bins.reduce((sum, ms) => sum + ms, 0);
  }
  usedMs(now: Millis): Millis {
    this.#roll(now);
    return this.#usedMs;
  }

  /** Whether this much air may be used now; revocations may use the reserve too. */
  allows(airMs: Millis, reserve: boolean, now: Millis): boolean {
    return this.usedMs(now) + airMs <= this.#limit(reserve);
  }
  #limit(reserve: boolean): Millis {
    return this.#allowedMs * (reserve ? 1 : 1 - REVOCATION_RESERVE - STACK_RESERVE);
  }

  /** Books air, also beyond the limit: for what the stack sends by itself, such as proofs. */
  book(airMs: Millis, now: Millis): void {
    this.#roll(now);
    const at = this.#bin % BINS;
    this.#bins[at] = (this.#bins[at] as number) + airMs;
    this.#usedMs += airMs;
  }

  /** When `allows` will say yes; `now` if it does, Infinity if it never will. */
  readyAt(airMs: Millis, reserve: boolean, now: Millis): Millis {
    const limit = this.#limit(reserve);
    if (airMs > limit) return Number.POSITIVE_INFINITY;
    let left = this.usedMs(now) + airMs - limit;
    if (left <= 0) return now;
    for (let age = BINS - 1; age >= 0; age--) {
      const bin = this.#bin - age;
      left -= this.#bins[((bin % BINS) + BINS) % BINS] as number;
      if (left <= 0) return Math.max(now, (bin + BINS) * BIN_MS);
    }
    return now + BINS * BIN_MS;
  }
}
