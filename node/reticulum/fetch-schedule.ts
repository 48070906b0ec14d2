/** When the daemon fetches mail from its propagation node: soon after an interface comes up, then at the interval. Used by `station.ts`. */
import { asSpineError, type Millis } from "../../spine/index.ts";
import type { RnsFetched } from "./service.ts";
import type { StationLog } from "./station.ts";

/** Interfaces come up one after the other, and the first packets on them are announces. */
const SETTLE_MS = 5000;
const RETRY_MS = 60_000;

export interface FetchScheduleOptions {
  readonly intervalMs: Millis;
  readonly isOnline: () => boolean;
  readonly fetch: (signal: AbortSignal) => Promise<RnsFetched>;
  readonly log: StationLog;
  /** 5 s after an interface came up, 60 s after a failure. */
  readonly settleMs?: Millis;
  readonly retryMs?: Millis;
}

export class FetchSchedule {
  readonly #options: FetchScheduleOptions;
  readonly #stopping = new AbortController();
  #timer: NodeJS.Timeout | undefined;
  #running = false;
  #failures = 0;
  #succeeded = false;
  constructor(options: FetchScheduleOptions) {
    this.#options = options;
    this.#soon();
  }
  /**
   * Whoever was away has mail waiting: it is fetched as soon as things are quiet. One more client or peer of an interface
   * matters only while no fetch has succeeded.
   */
  wireUp(wire: string): void {
    if (!wire.includes("/") || !this.#succeeded) this.#soon();
  }
  #soon(): void {
    if (!this.#running) this.#plan(this.#options.settleMs ?? SETTLE_MS);
  }
  #plan(delayMs: Millis): void {
    clearTimeout(this.#timer);
    if (this.#stopping.signal.aborted) return;
    this.#timer = setTimeout(() => void this.#run(), delayMs);
  }
  async #run(): Promise<void> {
    const { intervalMs, retryMs = RETRY_MS, isOnline, fetch, log } = this.#options;
    const { signal } = this.#stopping;
    // The next wire that comes up plans anew.
    if (!isOnline()) return;
    this.#running = true;
    try {
      const { received } = await fetch(signal);
      this.#failures = 0;
      this.#succeeded = true;
      if (received > 0) log.info({ received }, "mail fetched from the propagation node");
    } catch (caught) {
      const { code, message } = asSpineError(caught);
      this.#failures++;
      this.#succeeded = false;
      if (!signal.aborted) log.warn({ code }, `no mail was fetched: ${message}`);
    } finally {
      this.#running = false;
    }
    // A node that stays away is asked less and less often.
    const again = Math.min(intervalMs, retryMs * 2 ** (this.#failures - 1));
    this.#plan(this.#failures > 0 ? again : intervalMs * (0.9 + Math.random() / 5));
  }
  stop(): void {
    this.#stopping.abort();
    clearTimeout(this.#timer);
  }
}
