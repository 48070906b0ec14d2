/** Real time for planes: monotonic, in unix milliseconds of the moment the process started, with Node's timers. */
import type { Clock, Millis } from "../spine/index.ts";

const MAX_TIMER_MS = 2 ** 31 - 1;

export const steadyClock: Clock = {
  now: () => performance.timeOrigin + performance.now(),
  schedule(at: Millis, task: () => void): () => void {
    let timer: NodeJS.Timeout;
    const arm = (): void => {
      const restMs = Math.max(0, at - steadyClock.now());
      timer = setTimeout(() => (restMs > MAX_TIMER_MS ? arm() : task()), Math.min(restMs, MAX_TIMER_MS));
    };
    arm();
    return () => clearTimeout(timer);
  },
};
