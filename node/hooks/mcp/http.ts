/**
 * `spine mcp --listen ADDR --upstream URL`: the proxy for streamable HTTP. Requests, answers and event streams, resumed ones
 * too, are taken apart and judged message by message. Loopback only; Host and Origin are checked against browsers.
 */
import { createServer, type IncomingMessage, type Server, type ServerResponse } from "node:http";
import { asSpineError, SpineError } from "../../../spine/index.ts";
import { isSameSecret } from "../../api/auth.ts";
import { errorResponse, type Id, MAX_MESSAGE_BYTES, type Message, readMessage, writeMessage } from "./message.ts";
import type { McpSession, Outgoing } from "./session.ts";
import { readEvents, writeEvent } from "./sse.ts";

export interface HttpProxyOptions {
  readonly upstream: URL;
  /** What a client must say; undefined: any program on this machine may ask. */
  readonly token: string | undefined;
  readonly newSession: () => McpSession;
  readonly note: (text: string) => void;
}

/** Sessions at one time; beyond it the one unused longest is forgotten, and what it still gets is unasked for. */
const MAX_SESSIONS = 256;
const MAX_CONNECTIONS = 512;
/** From a request to the first byte of its answer. */
const UPSTREAM_MS = 60_000;
/** For clients whose Authorization is meant for the server. */
const TOKEN_HEADER = "x-spine-token";
const PASSED_ON = ["accept", "authorization", "mcp-session-id", "mcp-protocol-version", "last-event-id"];
const PASSED_BACK = ["mcp-session-id", "www-authenticate", "retry-after", "allow"];

/** One HTTP exchange with the server. */
interface Exchange {
  readonly session: McpSession;
  readonly request: IncomingMessage;
  readonly signal: AbortSignal;
  /** The request that it answers. */
  readonly asked?: Id;
}

export class HttpProxy {
  readonly #options: HttpProxyOptions;
  readonly #server: Server;
  readonly #sessions = new Map<string, McpSession>();
  readonly #stopping = new AbortController();
  #port = 0;

  constructor(options: HttpProxyOptions) {
    this.#options = options;
    this.#server = createServer(
      { headersTimeout: 10_000, requestTimeout: 60_000, keepAliveTimeout: 60_000 },
      (request, response) => {
        response.on("error", () => response.destroy());
        this.#serve(request, response).catch((caught: unknown) => this.#failed(response, caught));
      },
    );
    this.#server.maxConnections = MAX_CONNECTIONS;
  }

  /** Resolves with the port. */
  async start(host: string, port: number): Promise<number> {
    await new Promise<void>((resolve, reject) => {
      this.#server.once("error", (cause) => reject(new SpineError("port_in_use", `${host}:${port}`, { cause })));
      this.#server.listen(port, host, resolve);
    });
    const address = this.#server.address();
    this.#port = typeof address === "object" && address !== null ? address.port : port;
    return this.#port;
  }

  async stop(): Promise<void> {
    this.#stopping.abort();
    const closed = new Promise((resolve) => this.#server.close(resolve));
    this.#server.closeAllConnections();
    await closed;
  }

  async #serve(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const { method = "" } = request;
    this.#admit(request);
    if (method !== "POST" && method !== "GET" && method !== "DELETE")
      throw new SpineError("api_not_found", `no method ${method} here`);
    const cut = new AbortController();
    response.once("close", () => cut.abort());
    const signal = AbortSignal.any([cut.signal, this.#stopping.signal]);
    const named = request.headers["mcp-session-id"];
    const name = typeof named === "string" ? named.slice(0, 256) : undefined;
    if (method === "DELETE" && name !== undefined) this.#sessions.delete(name);
    if (method !== "POST") {
      const answer = await this.#upstream(request, undefined, signal);
      return await this.#answer(answer, response, { session: this.#session(name), request, signal });
    }
    const bytes = await readBody(request);
    let message: Message;
    try {
      message = readMessage(bytes);
    } catch (caught) {
      return sendJson(response, 400, {
        jsonrpc: "2.0",
        id: null,
        error: { code: -32_600, message: `Spine: ${asSpineError(caught).message}` },
      });
    }
    const fresh = message.kind === "request" && message.method === "initialize";
    const session = fresh ? this.#options.newSession() : this.#session(name);
    const out = await session.take("client", message);
    const back = out.find(({ to }) => to === "client");
    if (back !== undefined) return sendJson(response, 200, JSON.parse(writeMessage(back.message)) as object);
    const onward = out.find(({ to }) => to === "server");
    if (onward === undefined) {
      response.writeHead(202).end();
      return;
    }
    try {
      const answer = await this.#upstream(request, writeMessage(onward.message), signal);
      const given = answer.headers.get("mcp-session-id");
      if (fresh && given !== null) this.#keep(given, session);
      const asked = message.kind === "request" ? message.id : undefined;
      await this.#answer(answer, response, { session, request, signal, ...(asked !== undefined && { asked }) });
    } catch (caught) {
      if (message.kind !== "request" || response.headersSent) throw caught;
      const { message: why } = asSpineError(caught);
      sendJson(
        response,
        200,
        JSON.parse(
          writeMessage(errorResponse(message.id, -32_000, `Spine: the server does not answer: ${why}`)),
        ) as object,
      );
    }
  }

  /** Pages in a browser may not speak for the person in front of it. */
  #admit(request: IncomingMessage): void {
    const own = [`127.0.0.1:${this.#port}`, `localhost:${this.#port}`, `[::1]:${this.#port}`];
    const { host, origin } = request.headers;
    if (host === undefined || !own.includes(host)) throw new SpineError("api_forbidden", "the Host is not this proxy");
    if (origin !== undefined && !own.some((one) => origin === `http://${one}`))
      throw new SpineError("api_forbidden", "the Origin is not this proxy");
    const { token } = this.#options;
    if (token === undefined) return;
    const given = request.headers[TOKEN_HEADER] ?? bearerOf(request);
    if (typeof given !== "string" || !isSameSecret(given, token))
      throw new SpineError(
        "api_unauthorized",
        `the proxy's token is missing or wrong: see mcp-token in Spine's directory`,
      );
  }

  /** The Authorization that was meant for the proxy stays here. */
  #passesOn(name: string, request: IncomingMessage): boolean {
    return name !== "authorization" || this.#options.token === undefined || TOKEN_HEADER in request.headers;
  }

  /** Unknown and absent names get a session of their own: nothing was asked in it. */
  #session(name: string | undefined): McpSession {
    const known = this.#sessions.get(name ?? "");
    if (known !== undefined) {
      this.#keep(name ?? "", known);
      return known;
    }
    const made = this.#options.newSession();
    // A server without sessions is one session for all.
    this.#keep(name ?? "", made);
    return made;
  }

  #keep(name: string, session: McpSession): void {
    this.#sessions.delete(name);
    this.#sessions.set(name, session);
    const [oldest] = this.#sessions.keys();
    if (this.#sessions.size > MAX_SESSIONS && oldest !== undefined) this.#sessions.delete(oldest);
  }

  async #upstream(
    request: IncomingMessage,
    body: string | undefined,
    signal: AbortSignal,
    method = request.method ?? "POST",
  ): Promise<Response> {
    const headers: Record<string, string> = body === undefined ? {} : { "content-type": "application/json" };
    for (const name of PASSED_ON) {
      const value = request.headers[name];
      if (typeof value === "string" && this.#passesOn(name, request)) headers[name] = value;
    }
    const late = new AbortController();
    const timer = setTimeout(() => late.abort(new Error(`no answer within ${UPSTREAM_MS} ms`)), UPSTREAM_MS);
    try {
      return await fetch(this.#options.upstream, {
        ...{ method, headers, redirect: "error", signal: AbortSignal.any([signal, late.signal]) },
        ...(body !== undefined && { body }),
      });
    } catch (cause) {
      throw new SpineError("mcp_upstream", `${this.#options.upstream.host}: ${asSpineError(cause).message}`, { cause });
    } finally {
      clearTimeout(timer);
    }
  }

  async #answer(answer: Response, response: ServerResponse, exchange: Exchange): Promise<void> {
    for (const name of PASSED_BACK) {
      const value = answer.headers.get(name);
      if (value !== null) response.setHeader(name, value);
    }
    const type = answer.headers.get("content-type")?.split(";", 1)[0]?.trim() ?? "";
    const body = (answer.body ?? undefined) as AsyncIterable<Uint8Array> | undefined;
    if (type === "text/event-stream" && body !== undefined && answer.ok) return this.#stream(body, response, exchange);
    const text = body === undefined ? Buffer.alloc(0) : await collect(body);
    if (type !== "application/json" || text.length === 0) {
      // What is no message is not passed on; its status is.
      response.writeHead(answer.status).end();
      return;
    }
    const out = await this.#take(exchange, text);
    const [own] = out;
    if (own === undefined) response.writeHead(answer.ok ? 202 : answer.status).end();
    else sendJson(response, answer.status, JSON.parse(writeMessage(own.message)) as object);
  }

  async #stream(body: AsyncIterable<Uint8Array>, response: ServerResponse, exchange: Exchange): Promise<void> {
    response.writeHead(200, { "content-type": "text/event-stream", "cache-control": "no-cache" });
    response.flushHeaders();
    for await (const event of readEvents(body)) {
      const { data, ...fields } = event;
      // An event without a message only says from where a stream can be resumed.
      const out = data === "" ? [] : await this.#take(exchange, Buffer.from(data));
      const texts = out.map(({ message }) => writeMessage(message));
      for (const text of data === "" ? [""] : texts)
        if (!response.write(writeEvent({ ...fields, data: text }))) await drained(response);
      if (response.destroyed) return;
    }
    response.end();
  }

  /** What goes on to the client. What the guards refuse of a server's question goes back to it as a message of its own. */
  async #take({ session, request, signal, asked }: Exchange, bytes: Uint8Array): Promise<readonly Outgoing[]> {
    let out: readonly Outgoing[];
    try {
      out = await session.take("server", readMessage(bytes));
    } catch (caught) {
      const why = `the server sent what cannot be read: ${asSpineError(caught).message}`;
      this.#options.note(why);
      out = asked === undefined ? [] : session.failOne(asked, why);
    }
    for (const { to, message } of out) {
      if (to !== "server") continue;
      const answer = await this.#upstream(request, writeMessage(message), signal, "POST");
      await answer.body?.cancel();
    }
    return out.filter(({ to }) => to === "client");
  }

  #failed(response: ServerResponse, caught: unknown): void {
    const { code, message } = asSpineError(caught);
    if (this.#stopping.signal.aborted || response.headersSent) {
      response.destroy();
      return;
    }
    this.#options.note(`${code}: ${message}`);
    const status =
      code === "api_unauthorized"
        ? 401
        : code === "api_forbidden"
          ? 403
          : code === "api_not_found"
            ? 405
            : code === "mcp_upstream"
              ? 502
              : 400;
    sendJson(response, status, { jsonrpc: "2.0", id: null, error: { code: -32_000, message: `Spine: ${message}` } });
  }
}

function bearerOf({ headers }: IncomingMessage): string | undefined {
  return /^Bearer ([\x21-\x7e]+)$/i.exec(headers.authorization ?? "")?.[1];
}

function sendJson(response: ServerResponse, status: number, body: object): void {
  const text = JSON.stringify(body);
  response.writeHead(status, { "content-type": "application/json", "content-length": Buffer.byteLength(text) });
  response.end(text);
}

function readBody(request: IncomingMessage): Promise<Buffer> {
  return collect(request as AsyncIterable<Uint8Array>);
}

async function collect(source: AsyncIterable<Uint8Array>): Promise<Buffer> {
  const parts: Uint8Array[] = [];
  let bytes = 0;
  for await (const part of source) {
    bytes += part.length;
    if (bytes > MAX_MESSAGE_BYTES) throw new SpineError("mcp_message", `longer than ${MAX_MESSAGE_BYTES} bytes`);
    parts.push(part);
  }
  return Buffer.concat(parts);
}

function drained(response: ServerResponse): Promise<void> {
  return new Promise((resolve) => {
    const done = (): void => {
      response.off("drain", done);
      response.off("close", done);
      resolve();
    };
    response.on("drain", done);
    response.on("close", done);
  });
}
