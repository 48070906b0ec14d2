/** The daemon's clock: wall time, and timers that survive long waits and clock jumps (spine's `Clock` port). */
import type { Clock, Millis } from "../spine/index.ts";

/** Longest wait one Node timer can hold. */
const MAX_TIMER_MS = 2 ** 31 - 1;

/**
 * `schedule` turns `at` into a delay once, when called: a wall clock set back later never holds a task up, and one
 * set forward never fires it early. The wait itself is monotonic. Timers do not keep the process alive.
 */
export const systemClock: Clock = {
  now: () => Date.now(),
  schedule(at: Millis, task: () => void): () => void {
    let restMs = Math.max(0, at - Date.now());
    let timer: NodeJS.Timeout;
    const arm = (): void => {
      const stepMs = Math.min(restMs, MAX_TIMER_MS);
      restMs -= stepMs;
      timer = setTimeout(() => (restMs > 0 ? arm() : task()), stepMs);
      timer.unref();
    };
    arm();
    return () => clearTimeout(timer);
  },
};
