/**
 * Keeps the plane connected: configured and bootstrap peers are dialled at once and redialled with backoff for ever,
 * discovered ones only while links are few. Knows nothing of libp2p beyond the functions it is given.
 */
import { backoffMs } from "../backoff.ts";
import type { Libp2pLimits } from "./options.ts";

const MAX_DISCOVERY_DIALS = 4;
/** A link that lived shorter than this counts as a failed attempt, or a flapping peer would be redialled at once for ever. */
const SETTLED_MS = 10_000;

interface Kept {
  readonly id: string;
  addresses: string[];
  configured: boolean;
  attempt: number;
  linkedAt: number;
  timer: NodeJS.Timeout | null;
  dialling: boolean;
}

export interface DialCounts {
  dials: number;
  dials_failed: number;
}

export interface DiallerOptions {
  readonly limits: Libp2pLimits;
  readonly now: () => number;
  readonly random: () => number;
  readonly counts: DialCounts;
  /** Resolves when connected; `addresses` empty = those the peer store knows. */
  readonly dial: (peer: string, addresses: readonly string[], signal: AbortSignal) => Promise<void>;
  readonly isConnected: (peer: string) => boolean;
  /** When a ban ends, ms; 0 = not banned. */
  readonly bannedUntil: (peer: string) => number;
  readonly linkCount: () => number;
  readonly log: (event: string, fields: Readonly<Record<string, string | number>>) => void;
}

export class Dialler {
  readonly #options: DiallerOptions;
  readonly #kept = new Map<string, Kept>();
  readonly #abort = new AbortController();
  readonly #discoveryDials = new Set<string>();
  constructor(options: DiallerOptions) {
    this.#options = options;
  }

  /** Dials now and keeps the peer. Known peers get one more address and are dialled at once. */
  keep(id: string, addresses: readonly string[], configured: boolean): void {
    let kept = this.#kept.get(id);
    if (kept === undefined) {
      kept = { id, addresses: [], configured, attempt: 0, linkedAt: 0, timer: null, dialling: false };
      this.#kept.set(id, kept);
    }
    kept.addresses = [...new Set([...kept.addresses, ...addresses])];
    kept.configured ||= configured;
    this.#schedule(kept, 0);
  }

  forget(id: string): void {
    const kept = this.#kept.get(id);
    if (kept?.timer) clearTimeout(kept.timer);
    this.#kept.delete(id);
  }

  linked(id: string): void {
    const kept = this.#kept.get(id);
    if (kept !== undefined) kept.linkedAt = this.#options.now();
  }

  /** The peer's link or connection is gone. */
  lost(id: string): void {
    const kept = this.#kept.get(id);
    if (kept === undefined || kept.dialling || kept.timer !== null) return;
    if (kept.linkedAt > 0 && this.#options.now() - kept.linkedAt >= SETTLED_MS) kept.attempt = 0;
    kept.linkedAt = 0;
    this.#retry(kept);
  }

  /** A peer was heard of: dialled once if links are few. */
  async consider(id: string, addresses: readonly string[] = []): Promise<void> {
    const { limits, isConnected, bannedUntil, linkCount, counts } = this.#options;
    const wanted = linkCount() + this.#discoveryDials.size < limits.targetLinks;
    if (!wanted || this.#discoveryDials.size >= MAX_DISCOVERY_DIALS || this.#discoveryDials.has(id)) return;
    if (this.#abort.signal.aborted || this.#kept.has(id) || isConnected(id) || bannedUntil(id) > 0) return;
    this.#discoveryDials.add(id);
    counts.dials++;
    try {
      await this.#options.dial(id, addresses, this.#deadline());
    } catch {
      counts.dials_failed++;
    } finally {
      this.#discoveryDials.delete(id);
    }
  }

  end(): void {
    this.#abort.abort();
    for (const kept of this.#kept.values()) if (kept.timer) clearTimeout(kept.timer);
    this.#kept.clear();
  }

  #schedule(kept: Kept, delayMs: number): void {
    if (this.#abort.signal.aborted) return;
    if (kept.timer !== null) clearTimeout(kept.timer);
    kept.timer = setTimeout(() => {
      kept.timer = null;
      this.#dial(kept).catch(() => undefined);
    }, delayMs);
  }

  async #dial(kept: Kept): Promise<void> {
    const { counts, isConnected, bannedUntil, now, log } = this.#options;
    if (kept.dialling || this.#kept.get(kept.id) !== kept || isConnected(kept.id)) return;
    const banned = bannedUntil(kept.id);
    if (banned > 0) {
      this.#schedule(kept, Math.max(1_000, Math.min(banned - now(), 2 ** 31 - 1)));
      return;
    }
    kept.dialling = true;
    counts.dials++;
    try {
      await this.#options.dial(kept.id, kept.addresses, this.#deadline());
      kept.dialling = false;
    } catch (error) {
      kept.dialling = false;
      counts.dials_failed++;
      if (this.#abort.signal.aborted || this.#kept.get(kept.id) !== kept) return;
      log("dial failed", { peer: kept.id, reason: error instanceof Error ? error.message : String(error) });
    }
    // Also after success: it may have been lost again while we were told of it.
    if (!isConnected(kept.id)) this.#retry(kept);
  }

  #retry(kept: Kept): void {
    const { limits, random } = this.#options;
    const delay = backoffMs(kept.attempt, { minMs: limits.redialMinMs, maxMs: limits.redialMaxMs }, random);
    kept.attempt++;
    this.#schedule(kept, delay);
  }

  #deadline(): AbortSignal {
    return AbortSignal.any([this.#abort.signal, AbortSignal.timeout(this.#options.limits.dialMs)]);
  }
}
