/** Answers of any length: written in pieces, no faster than the client reads, cut off when it stops reading. */
import { once } from "node:events";
import type { ServerResponse } from "node:http";
import { errorBody } from "./errors.ts";

/** A client that takes nothing for this long is disconnected. */
export const STALL_MS = 30_000;
const FLUSH_BYTES = 65_536;

/** Resolved = taken; false when the client is gone or stalled (it is then disconnected). */
export async function writeChunk(
  response: ServerResponse,
  chunk: string | Uint8Array,
  stallMs: number = STALL_MS,
): Promise<boolean> {
  if (response.destroyed) return false;
  if (response.write(chunk)) return true;
  const stop = new AbortController();
  const stalled = setTimeout(() => response.destroy(), stallMs);
  try {
    await Promise.race([
      once(response, "drain", { signal: stop.signal }),
      once(response, "close", { signal: stop.signal }),
    ]);
    return !response.destroyed;
  } catch {
    return false;
  } finally {
    clearTimeout(stalled);
    stop.abort();
  }
}

/**
 * Sends items as JSON Lines. The first item is awaited before the status goes out, so that an early error still gets
 * its own status; a later one ends the answer with a last line `{"error":…}`.
 */
export async function sendLines(response: ServerResponse, lines: AsyncIterable<string>): Promise<void> {
  const iterator = lines[Symbol.asyncIterator]();
  try {
    let next = await iterator.next();
    response.writeHead(200, { "content-type": "application/x-ndjson" });
    let pending = "";
    try {
      while (next.done !== true) {
        pending += `${next.value}\n`;
        const soon = iterator.next();
        // Hold back only while the next item is at hand: a slow source is passed on at once.
        if (pending.length >= FLUSH_BYTES || !(await settlesNow(soon))) {
          const text = pending;
          pending = "";
          if (!(await writeChunk(response, text))) {
            await soon.catch(() => undefined);
            return;
          }
        }
        next = await soon;
      }
    } catch (cause) {
      pending += `${JSON.stringify(errorBody(cause))}\n`;
    }
    response.end(pending);
  } finally {
    await iterator.return?.();
  }
}

/** An item that is at hand settles within a few microtasks; that costs far less than a turn of the event loop. */
const MICROTASKS = 8;

/** True when the promise settles within this turn of the event loop. */
async function settlesNow(promise: Promise<unknown>): Promise<boolean> {
  let settled = false;
  const mark = (): void => {
    settled = true;
  };
  promise.then(mark, mark);
  for (let i = 0; i < MICROTASKS && !settled; i++) await undefined;
  if (!settled) await new Promise<void>((resolve) => setImmediate(resolve));
  return settled;
}

export function sendText(response: ServerResponse, status: number, type: string, text: string): void {
  response.writeHead(status, { "content-type": type, "content-length": Buffer.byteLength(text) });
  response.end(text);
}

export function sendJson(response: ServerResponse, status: number, value: unknown): void {
  sendText(response, status, "application/json", JSON.stringify(value));
}
