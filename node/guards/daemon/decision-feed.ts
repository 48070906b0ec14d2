/**
 * Live subscriptions to decisions and policy changes, each with a bounded queue: a slow subscriber misses the oldest,
 * counted, and finds them in the audit. The guard host tells it, the API's event streams read it.
 */

export type GuardEvent =
  | {
      readonly type: "decision";
      /** RFC 3339. */
      readonly timestamp: string;
      readonly action_type: string;
      readonly verdict: string;
      readonly allowed: boolean;
      readonly ask: boolean;
      readonly guard: string;
      readonly severity: string;
      readonly reason: string | null;
      readonly mode: string;
      readonly session: string | null;
      readonly agent: string | null;
      readonly policy_hash: string;
      readonly envelope_hash: string | null;
      readonly commitment: string | null;
    }
  | {
      readonly type: "policy";
      readonly timestamp: string;
      readonly state: string;
      readonly policy_hash: string | null;
      readonly changed: boolean;
      readonly staged: boolean;
      /** What is protected less than before, or would be, one sentence each. */
      readonly loosened: readonly string[];
      readonly problems: readonly string[];
    };

const MAX_QUEUE = 1_024;

interface Subscriber {
  readonly queue: GuardEvent[];
  wake: () => void;
}

export class DecisionFeed {
  readonly #subscribers = new Set<Subscriber>();
  /** Events that slow subscribers did not get. */
  dropped = 0;

  get subscribers(): number {
    return this.#subscribers.size;
  }

  /** `make` is only called when somebody listens. */
  tell(make: () => GuardEvent): void {
    if (this.#subscribers.size === 0) return;
    const event = make();
    for (const { queue, wake } of this.#subscribers) {
      queue.push(event);
      if (queue.length > MAX_QUEUE) {
        queue.shift();
        this.dropped++;
      }
      wake();
    }
  }

  async *subscribe(signal: AbortSignal): AsyncGenerator<GuardEvent> {
    const subscriber: Subscriber = { queue: [], wake: () => {} };
    this.#subscribers.add(subscriber);
    const onAbort = (): void => subscriber.wake();
    signal.addEventListener("abort", onAbort);
    try {
      while (!signal.aborted) {
        for (let event = subscriber.queue.shift(); event !== undefined; event = subscriber.queue.shift()) yield event;
        await new Promise<void>((resolve) => {
          subscriber.wake = resolve;
          if (signal.aborted || subscriber.queue.length > 0) resolve();
        });
      }
    } finally {
      signal.removeEventListener("abort", onAbort);
      this.#subscribers.delete(subscriber);
    }
  }
}
