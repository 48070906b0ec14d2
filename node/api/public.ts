/**
 * The public listener: anyone may read the log, ask for proofs and, where this node witnesses, for co-signatures. Serves
 * `TransparencyApi` and nothing else of the node; every client has its own budget of requests. Off unless configured.
 */
import { createServer, type IncomingMessage, type Server, type ServerResponse } from "node:http";
import { SpineError, TokenBucket, utf8Text } from "../../spine/index.ts";
import { errorCodeOf } from "../files.ts";
import { sendError, sendProtocolError } from "./errors.ts";
import { listenTcp } from "./listen.ts";
import { isPublicPath, MAX_WITNESS_BODY, type TransparencyAnswer, type TransparencyRequest } from "./transparency.ts";

export interface PublicOptions {
  /** `HOST:PORT`. */
  readonly listen: string;
  readonly requestsPerSecond: number;
  readonly answer: (request: TransparencyRequest) => Promise<TransparencyAnswer>;
  readonly now: () => number;
}

/** Clients remembered; the one seen longest ago is forgotten first. */
const MAX_CLIENTS = 10_000;
const MAX_CONNECTIONS = 512;
const MAX_REQUESTS = 128;

/** A budget for each client, by its address. */
export class ClientLimiter {
  readonly #perSecond: number;
  readonly #clients = new Map<string, TokenBucket>();
  constructor(perSecond: number) {
    this.#perSecond = perSecond;
  }

  /** Throws `rate_limited`. */
  take(client: string, now: number): void {
    const bucket = this.#clients.get(client) ?? new TokenBucket(this.#perSecond, 2 * this.#perSecond, now);
    this.#clients.delete(client);
    this.#clients.set(client, bucket);
    if (this.#clients.size > MAX_CLIENTS) {
      const [oldest] = this.#clients.keys();
      this.#clients.delete(oldest as string);
    }
    if (!bucket.take(1, now)) throw new SpineError("rate_limited", "too many requests of this client");
  }
}

export class PublicServer implements AsyncDisposable {
  readonly #options: PublicOptions;
  readonly #limiter: ClientLimiter;
  readonly #server: Server;
  #running = 0;

  constructor(options: PublicOptions) {
    this.#options = options;
    this.#limiter = new ClientLimiter(options.requestsPerSecond);
    const limits = { keepAliveTimeout: 60_000, headersTimeout: 10_000, requestTimeout: 30_000, maxHeaderSize: 8_192 };
    this.#server = createServer(limits, (request, response) => void this.#handle(request, response));
    this.#server.maxConnections = MAX_CONNECTIONS;
    this.#server.on("clientError", (error, socket) => sendProtocolError(errorCodeOf(error), socket));
  }

  /** Resolves with the address in use. Throws `port_in_use` or `config_invalid`. */
  async start(): Promise<string> {
    const { listen } = this.#options;
    const port = await listenTcp(this.#server, listen);
    return `http://${listen.slice(0, listen.lastIndexOf(":"))}:${port}`;
  }

  async #handle(request: IncomingMessage, response: ServerResponse): Promise<void> {
    this.#running++;
    response.once("close", () => this.#running--);
    response.on("error", () => response.destroy());
    try {
      this.#limiter.take(request.socket.remoteAddress ?? "", this.#options.now());
      if (this.#running > MAX_REQUESTS) throw new SpineError("api_unavailable", "too many requests at once");
      const { method, url = "/" } = request;
      if ((method !== "GET" && method !== "POST") || !isPublicPath(url)) {
        throw new SpineError("api_not_found", `no ${method} ${url.split("?", 1)[0]} here`);
      }
      const body = method === "POST" ? await readBody(request) : "";
      sendAnswer(response, await this.#options.answer({ method, url, accept: request.headers.accept ?? "", body }));
    } catch (caught) {
      sendError(response, caught);
    }
  }

  /** Closes every connection. Idempotent. */
  async stop(): Promise<void> {
    if (!this.#server.listening) return;
    const closed = new Promise<void>((resolve) => this.#server.close(() => resolve()));
    this.#server.closeAllConnections();
    await closed;
  }
  [Symbol.asyncDispose](): Promise<void> {
    return this.stop();
  }
}

export function sendAnswer(response: ServerResponse, answer: TransparencyAnswer): void {
  const { status, type, cache, body } = answer;
  const bytes = typeof body === "string" ? Buffer.from(body, "utf8") : body;
  response.writeHead(status, {
    "content-type": type,
    "content-length": bytes.length,
    ...(cache === null ? {} : { "cache-control": cache }),
  });
  response.end(bytes);
}

/** Throws `note_syntax` for a body that is too long or no text. */
async function readBody(request: IncomingMessage): Promise<string> {
  const parts: Buffer[] = [];
  let length = 0;
  for await (const part of request as AsyncIterable<Buffer>) {
    length += part.length;
    if (length > MAX_WITNESS_BODY) throw new SpineError("note_syntax", `a body above ${MAX_WITNESS_BODY} bytes`);
    parts.push(part);
  }
  return utf8Text(Buffer.concat(parts));
}
