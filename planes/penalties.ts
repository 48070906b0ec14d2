/** Penalty points per peer: they decay, add up to a ban, and the ban expires. Planes ask it before they let anyone in. */

interface PenaltyRecord {
  points: number;
  /** When `points` was true, ms. */
  at: number;
  /** 0 = not banned. */
  bannedUntil: number;
  bans: number;
}

export interface PenaltyOptions {
  /** Milliseconds of any monotone epoch. */
  readonly now: () => number;
  /** Points at which a peer is banned. */
  readonly limit?: number;
  readonly halfLifeMs?: number;
  /** First ban; each further one of a peer still remembered doubles it, up to `maxBanMs`. */
  readonly banMs?: number;
  readonly maxBanMs?: number;
  /** Peers remembered; beyond it the oldest record that is no live ban goes first. */
  readonly capacity?: number;
}

/** Points of one ordinary fault: ten of them within a half-life end in a ban. */
export const FAULT_POINTS = 10;

export class PenaltyBook {
  readonly #options: Required<PenaltyOptions>;
  readonly #records = new Map<string, PenaltyRecord>();
  #penalties = 0;
  #bans = 0;
  constructor(options: PenaltyOptions) {
    this.#options = {
      limit: 100,
      halfLifeMs: 60_000,
      banMs: 600_000,
      maxBanMs: 86_400_000,
      capacity: 4_096,
      ...options,
    };
  }
  get penalties(): number {
    return this.#penalties;
  }
  get bans(): number {
    return this.#bans;
  }

  /** Adds points; true if this banned the peer. */
  add(peer: string, points: number): boolean {
    const { now, limit, banMs, maxBanMs } = this.#options;
    const at = now();
    const record: PenaltyRecord = this.#records.get(peer) ?? { points: 0, at, bannedUntil: 0, bans: 0 };
    this.#penalties++;
    record.points = this.#decayed(record, at) + points;
    record.at = at;
    this.#records.delete(peer);
    this.#records.set(peer, record);
    const banned = record.points >= limit && record.bannedUntil <= at;
    if (banned) {
      record.bannedUntil = at + Math.min(banMs * 2 ** Math.min(record.bans, 30), maxBanMs);
      record.bans++;
      record.points = 0;
      this.#bans++;
    }
    this.#evict(at);
    return banned;
  }

  points(peer: string): number {
    const record = this.#records.get(peer);
    return record === undefined ? 0 : this.#decayed(record, this.#options.now());
  }

  isBanned(peer: string): boolean {
    const record = this.#records.get(peer);
    return record !== undefined && record.bannedUntil > this.#options.now();
  }

  /** When the ban ends, ms; 0 if the peer is not banned. */
  bannedUntil(peer: string): number {
    return this.isBanned(peer) ? (this.#records.get(peer)?.bannedUntil ?? 0) : 0;
  }

  #decayed(record: PenaltyRecord, at: number): number {
    const points = record.points * 0.5 ** (Math.max(0, at - record.at) / this.#options.halfLifeMs);
    return points < 0.01 ? 0 : points;
  }

  #evict(at: number): void {
    if (this.#records.size <= this.#options.capacity) return;
    for (const [peer, record] of this.#records) {
      if (record.bannedUntil <= at) {
        this.#records.delete(peer);
        return;
      }
    }
    for (const peer of this.#records.keys()) {
      this.#records.delete(peer);
      return;
    }
  }
}
