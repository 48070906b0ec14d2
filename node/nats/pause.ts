/** A wait that ends early with its signal, for the loops of `feed.ts` and `leaf-mirror.ts`. */
import { setTimeout as delay } from "node:timers/promises";

/** Never rejects: whoever called looks at the signal next. */
export async function pause(ms: number, signal: AbortSignal): Promise<void> {
  await delay(ms, undefined, { signal }).catch(() => undefined);
}
