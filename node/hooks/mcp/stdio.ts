/** `spine mcp -- COMMAND`: the proxy on standard input and output, the server as a child. One JSON text on each line. */
import { type ChildProcessByStdio, spawn } from "node:child_process";
import { once } from "node:events";
import type { Readable, Writable } from "node:stream";
import { asSpineError, SpineError } from "../../../spine/index.ts";
import { MAX_MESSAGE_BYTES, readMessage, writeMessage } from "./message.ts";
import type { McpSession, Outgoing, Side } from "./session.ts";

export interface StdioOptions {
  readonly session: McpSession;
  readonly command: readonly string[];
  readonly input: Readable;
  readonly output: Writable;
  readonly note: (text: string) => void;
  readonly signal: AbortSignal;
}

/** From closed input to SIGTERM, and from there to SIGKILL. */
const STOP_MS = 3_000;

/** Resolves with the server's exit code when it ended, 0 when the client did. Rejects when the server cannot be started. */
export async function runStdio({ session, command, input, output, note, signal }: StdioOptions): Promise<number> {
  const [program = "", ...args] = command;
  const child = spawn(program, args, { stdio: ["pipe", "pipe", "inherit"] });
  child.stdin.on("error", () => undefined);
  output.on("error", () => undefined);
  await once(child, "spawn").catch((cause: unknown) => {
    throw new SpineError("mcp_upstream", `${program} cannot be started`, { cause });
  });
  const exited = new Promise<number>((resolve) => child.once("exit", (code) => resolve(code ?? 1)));
  const streams: Readonly<Record<Side, Writable>> = { client: output, server: child.stdin };
  const send = async (list: readonly Outgoing[]): Promise<void> => {
    for (const { to, message } of list) {
      const stream = streams[to];
      if (stream.writable && !stream.write(`${writeMessage(message)}\n`)) await drained(stream);
    }
  };
  const pump = async (from: Side, source: Readable): Promise<void> => {
    for await (const line of lines(source)) {
      if (line.length === 0) continue;
      try {
        if (line.length > MAX_MESSAGE_BYTES)
          throw new SpineError("mcp_message", `longer than ${MAX_MESSAGE_BYTES} bytes`);
        await send(await session.take(from, readMessage(line)));
      } catch (caught) {
        await send(session.unreadable(from, asSpineError(caught).message));
      }
    }
  };
  let over = false;
  const fromServer = pump("server", child.stdout).catch(() => undefined);
  const fromClient = pump("client", input).catch(() => undefined);
  const stop = (): void => void end(child);
  signal.addEventListener("abort", stop, { once: true });
  void fromClient.then(() => {
    over = true;
    stop();
  });
  const code = await exited;
  await fromServer;
  await send(session.fail("the server has ended"));
  if (!over && code !== 0) note(`the server ended with ${code}`);
  return over ? 0 : code;
}

/** Its input is closed first, as the protocol wants it. */
async function end(child: ChildProcessByStdio<Writable, Readable, null>): Promise<void> {
  child.stdin.end();
  for (const name of ["SIGTERM", "SIGKILL"] as const) {
    if (child.exitCode !== null || child.signalCode !== null) return;
    await Promise.race([once(child, "exit"), new Promise((resolve) => setTimeout(resolve, STOP_MS).unref())]);
    if (child.exitCode === null && child.signalCode === null) child.kill(name);
  }
}

/** A reader that is gone is waited for no longer. */
function drained(stream: Writable): Promise<unknown> {
  return Promise.race([once(stream, "drain").catch(() => undefined), once(stream, "close").catch(() => undefined)]);
}

/** A line that is too long is given as far as it was kept, which is longer than any message may be. */
export async function* lines(source: AsyncIterable<Buffer>): AsyncGenerator<Buffer> {
  let parts: Buffer[] = [];
  let bytes = 0;
  const keep = (part: Buffer): void => {
    if (bytes <= MAX_MESSAGE_BYTES && part.length > 0) parts.push(part);
    bytes += part.length;
  };
  for await (const chunk of source) {
    let start = 0;
    for (let at = chunk.indexOf(10); at >= 0; at = chunk.indexOf(10, start)) {
      keep(chunk.subarray(start, at));
      const line = Buffer.concat(parts);
      yield bytes > MAX_MESSAGE_BYTES ? Buffer.alloc(MAX_MESSAGE_BYTES + 1) : line;
      parts = [];
      bytes = 0;
      start = at + 1;
    }
    keep(chunk.subarray(start));
  }
  if (bytes > 0) yield bytes > MAX_MESSAGE_BYTES ? Buffer.alloc(MAX_MESSAGE_BYTES + 1) : Buffer.concat(parts);
}
