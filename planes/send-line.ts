/** Callers of `send` that wait in order while a link is congested. Bounded: beyond the limit `link_congested`. */
import { SpineError } from "../spine/index.ts";

interface Waiter {
  readonly frame: Uint8Array;
  readonly resolve: () => void;
  readonly reject: (reason: unknown) => void;
  readonly leave: () => void;
}

export class SendLine {
  readonly #limit: number;
  #waiters: Waiter[] = [];
  #draining = false;
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
      const aborted = (): void => {
        this.#waiters = this.#waiters.filter((other) => other !== waiter);
        reject(signal.reason);
      };
      const leave = (): void => signal.removeEventListener("abort", aborted);
      const waiter: Waiter = { frame, resolve, reject, leave };
      signal.addEventListener("abort", aborted, { once: true });
      this.#waiters.push(waiter);
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
        this.#waiters.shift();
        first.leave();
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
      waiter.leave();
      waiter.reject(error);
    }
  }
}
