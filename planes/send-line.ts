/** Callers of `send` that wait in order while a link is congested. Bounded: beyond the limit `link_congested`. */
import { SpineError } from "../spine/index.ts";

interface Waiter {
  readonly frame: Uint8Array;
  readonly signal: AbortSignal;
  readonly resolve: () => void;
  readonly reject: (reason: unknown) => void;
}

export class SendLine {
  readonly #limit: number;
  #waiters: Waiter[] = [];
  #draining = false;
  /** One listener per signal, however many sends share it. */
  readonly #signals = new Map<AbortSignal, { count: number; readonly aborted: () => void }>();
  /** `limit`: most callers that may wait at once. */
  constructor(limit: number) {
    this.#limit = limit;
  }
  get length(): number {
    return this.#waiters.length;
  }

  /** Resolves when `drain` takes the frame; rejects with the signal's reason, or with what `fail` gives. */
  wait(frame: Uint8Array, signal: AbortSignal): Promise<void> {
    if (this.#waiters.length >= this.#limit) {
      return Promise.reject(new SpineError("link_congested", `${this.#limit} sends wait for this link already`));
    }
    return new Promise((resolve, reject) => {
      this.#waiters.push({ frame, signal, resolve, reject });
      this.#listen(signal);
    });
  }

  /** Offers the waiting frames in order until `take` declines one. */
  drain(take: (frame: Uint8Array) => boolean): void {
    if (this.#draining) return;
    this.#draining = true;
    try {
      for (;;) {
        const first = this.#waiters[0];
        if (first === undefined || !take(first.frame)) return;
        // `take` may have failed the line: then the waiter was refused already.
        if (this.#waiters[0] !== first) return;
        this.#waiters.shift();
        this.#leave(first);
        first.resolve();
      }
    } finally {
      this.#draining = false;
    }
  }

  /** Refuses everybody who waits. */
  fail(error: Error): void {
    const waiters = this.#waiters;
    this.#waiters = [];
    for (const waiter of waiters) {
      this.#leave(waiter);
      waiter.reject(error);
    }
  }

  #listen(signal: AbortSignal): void {
    const known = this.#signals.get(signal);
    if (known !== undefined) {
      known.count++;
      return;
    }
    const aborted = (): void => {
      const leaving = this.#waiters.filter((waiter) => waiter.signal === signal);
      this.#waiters = this.#waiters.filter((waiter) => waiter.signal !== signal);
      this.#signals.delete(signal);
      for (const waiter of leaving) waiter.reject(signal.reason);
    };
    this.#signals.set(signal, { count: 1, aborted });
    signal.addEventListener("abort", aborted, { once: true });
  }

  #leave({ signal }: Waiter): void {
    const known = this.#signals.get(signal);
    if (known === undefined || --known.count > 0) return;
    this.#signals.delete(signal);
    signal.removeEventListener("abort", known.aborted);
  }
}
