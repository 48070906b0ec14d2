/** A file that grows: its bytes now and as they are appended, until the signal aborts. Used by `ingest --follow`. */
import { open } from "node:fs/promises";
import { SpineError } from "../spine/index.ts";
import { errorCodeOf } from "./files.ts";

const CHUNK_BYTES = 65_536;
const POLL_MS = 200;

function pause(ms: number, signal: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    const done = (): void => {
      clearTimeout(timer);
      signal.removeEventListener("abort", done);
      resolve();
    };
    const timer = setTimeout(done, ms);
    signal.addEventListener("abort", done, { once: true });
  });
}

/** Ends, without error, when the signal aborts. Starts over from the beginning of a file that was cut short. Throws `usage` if it cannot be read. */
export async function* followInput(path: string, signal: AbortSignal): AsyncGenerator<Uint8Array> {
  const handle = await open(path, "r").catch((cause: unknown) => {
    throw new SpineError("usage", `cannot read ${path}: ${errorCodeOf(cause) ?? "unknown error"}`, { cause });
  });
  try {
    let at = 0;
    while (!signal.aborted) {
      const { bytesRead, buffer } = await handle.read(Buffer.allocUnsafe(CHUNK_BYTES), 0, CHUNK_BYTES, at);
      at += bytesRead;
      if (bytesRead > 0) yield buffer.subarray(0, bytesRead);
      else if ((await handle.stat()).size < at) at = 0;
      else await pause(POLL_MS, signal);
    }
  } finally {
    await handle.close();
  }
}
