/** `GET /v1/events`: server-sent events. An envelope's event id is its leaf index, so `Last-Event-ID` resumes exactly. */
import type { ServerResponse } from "node:http";
import { SpineError } from "../../spine/index.ts";
import type { NodeHandle } from "../handle.ts";
import { writeChunk } from "./stream.ts";

const HEARTBEAT_MS = 15_000;

/** Where to start: after `lastEventId`, else at `from`, else with new events only. Throws `api_input`. */
export function eventCursor(lastEventId: string | undefined, from: string | undefined): number | undefined {
  const text = lastEventId ?? from;
  if (text === undefined || text === "") return undefined;
  const index = Number(text);
  if (!/^\d+$/.test(text) || !Number.isSafeInteger(index)) {
    throw new SpineError("api_input", `"${text.slice(0, 40)}" is not an event id`);
  }
  return lastEventId === undefined ? index : index + 1;
}

/** Envelope events with their cursor, then live ones. */
export async function* nodeEvents(
  node: NodeHandle,
  cursor: number | undefined,
  signal: AbortSignal,
): AsyncGenerator<string> {
  for await (const event of node.subscribe(cursor, { signal })) {
    const id = event.type === "envelope" ? `id: ${event.leaf_index}\n` : "";
    yield `${id}event: ${event.type}\ndata: ${JSON.stringify(event)}\n\n`;
  }
}

/**
 * Writes until the client goes, stalls for 30 s, or `signal` aborts. A client that reads slower than events come holds
 * nothing up: its subscription is pulled at its own pace. `open` gives the texts of events until its signal aborts.
 */
export async function serveEvents(
  response: ServerResponse,
  open: (signal: AbortSignal) => AsyncIterable<string>,
  signal: AbortSignal,
): Promise<void> {
  const ended = new AbortController();
  response.once("close", () => ended.abort());
  const stop = AbortSignal.any([signal, ended.signal]);
  response.writeHead(200, { "content-type": "text/event-stream", "cache-control": "no-store" });
  await writeChunk(response, ": spine events\n\n");
  const heartbeat = setInterval(() => {
    if (response.writableLength === 0) response.write(": still here\n\n");
  }, HEARTBEAT_MS);
  try {
    for await (const text of open(stop)) if (!(await writeChunk(response, text))) break;
  } catch (caught) {
    if (!stop.aborted) throw caught;
  } finally {
    clearInterval(heartbeat);
    response.end();
  }
}
