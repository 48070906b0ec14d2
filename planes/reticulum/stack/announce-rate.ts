/** Limits how often one destination's announces are carried on (spec/reticulum.md section 8). Used by `transport.ts`. */
import type { Millis } from "../../../spine/index.ts";
import type { AnnounceRate } from "./wire-policy.ts";

const MAX_DESTINATIONS = 16_384;

interface Rate {
  last: Millis;
  violations: number;
  blockedUntil: Millis;
}

/** Bounded: the destination heard longest ago is forgotten. */
export class AnnounceRates {
  readonly #byHash = new Map<string, Rate>();
  get size(): number {
    return this.#byHash.size;
  }
  /** Takes note of an accepted announce; false when it may be learned from but not carried on. */
  allows(key: string, limit: AnnounceRate, now: Millis): boolean {
    const rate = this.#byHash.get(key);
    if (rate === undefined) {
      const [oldest] = this.#byHash.keys();
      if (this.#byHash.size >= MAX_DESTINATIONS && oldest !== undefined) this.#byHash.delete(oldest);
      this.#byHash.set(key, { last: now, violations: 0, blockedUntil: 0 });
      return true;
    }
    this.#byHash.delete(key);
    this.#byHash.set(key, rate);
    if (now < rate.blockedUntil) return false;
    if (now - rate.last < limit.targetMs) rate.violations++;
    else rate.violations = Math.max(0, rate.violations - 1);
    if (rate.violations > limit.grace) {
      rate.blockedUntil = rate.last + limit.targetMs + limit.penaltyMs;
      return false;
    }
    rate.last = now;
    return true;
  }
}
