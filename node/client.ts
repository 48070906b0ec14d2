/** HTTP over the daemon's unix socket, for the command line. Coded errors of the daemon come back as SpineErrors. */
import { once } from "node:events";
import { Agent, type IncomingMessage, request } from "node:http";
import { ERRORS, type ErrorCode, SpineError } from "../spine/index.ts";
import { errorCodeOf } from "./files.ts";

export interface Call {
  readonly method: "GET" | "POST" | "DELETE";
  readonly path: string;
  readonly body?: string;
  readonly contentType?: string;
  /** Media types the caller wants. */
  readonly accepts?: string;
  readonly signal?: AbortSignal | undefined;
  /** A status from 400 up whose body is an answer, not an error. */
  readonly accept?: number;
}

/** Answers that are not streamed are read whole, up to this many bytes. */
const MAX_ANSWER_BYTES = 268_435_456;

function daemonError(text: string, status: number): SpineError {
  try {
    const { error } = JSON.parse(text) as { error: { code: string; message: string } };
    if (error.code in ERRORS) return new SpineError(error.code as ErrorCode, error.message);
  } catch {
    // Not our daemon's form: reported with its status below.
  }
  return new SpineError("internal", `the daemon answered with status ${status}`);
}

export class Client {
  readonly #socket: string;
  readonly #agent = new Agent({ keepAlive: true, maxSockets: 8, maxFreeSockets: 4 });

  constructor(socket: string) {
    this.#socket = socket;
  }

  /** The answer's body, unread. Throws the daemon's error, or `daemon_not_running` when nobody answers. */
  async open(call: Call): Promise<IncomingMessage> {
    let answer: IncomingMessage;
    try {
      answer = await this.#send(call);
    } catch (cause) {
      if (!(cause instanceof StaleConnection)) throw cause;
      answer = await this.#send(call);
    }
    const status = answer.statusCode ?? 0;
    if (status >= 400 && status !== call.accept) throw daemonError(await readAll(answer), status);
    return answer;
  }

  async text(call: Call): Promise<string> {
    return readAll(await this.open(call));
  }

  /** Closes kept connections. */
  close(): void {
    this.#agent.destroy();
  }

  async #send(call: Call): Promise<IncomingMessage> {
    const outgoing = request({
      socketPath: this.#socket,
      agent: this.#agent,
      method: call.method,
      path: call.path,
      headers: {
        host: "localhost",
        ...(call.accepts === undefined ? {} : { accept: call.accepts }),
        ...(call.body === undefined
          ? {}
          : { "content-type": call.contentType ?? "application/json", "content-length": Buffer.byteLength(call.body) }),
      },
      ...(call.signal ? { signal: call.signal } : {}),
    });
    outgoing.end(call.body);
    try {
      const [answer] = (await once(outgoing, "response")) as [IncomingMessage];
      return answer;
    } catch (cause) {
      if (call.signal?.aborted) throw cause;
      const code = errorCodeOf(cause);
      if (code === "ECONNREFUSED" || code === "ENOENT") {
        throw new SpineError("daemon_not_running", `nobody answers on ${this.#socket}`, { cause });
      }
      if (code === "EACCES" || code === "EPERM") {
        throw new SpineError("api_forbidden", `this user may not use ${this.#socket}`, { cause });
      }
      // The daemon closed a kept connection just as it was used again. Publishing is not repeated: whether the
      // facts were signed is unknown, and signing them twice cannot be undone.
      if (outgoing.reusedSocket && call.path !== "/v1/publish") throw new StaleConnection();
      throw new SpineError("api_unavailable", "the daemon closed the connection without an answer", { cause });
    }
  }
}

class StaleConnection extends Error {}

async function readAll(answer: IncomingMessage): Promise<string> {
  const parts: Buffer[] = [];
  let length = 0;
  try {
    for await (const part of answer as AsyncIterable<Buffer>) {
      length += part.length;
      if (length > MAX_ANSWER_BYTES) throw new SpineError("internal", "the daemon's answer is too long");
      parts.push(part);
    }
  } catch (cause) {
    if (cause instanceof SpineError) throw cause;
    throw new SpineError("api_unavailable", "the daemon's answer ended early", { cause });
  }
  return Buffer.concat(parts).toString("utf8");
}
