/**
 * The daemon's HTTP server: one request gate for the unix socket and loopback TCP, the publish path in front, the
 * router behind. Bounded in connections, requests, bodies and time.
 */
import { chown } from "node:fs/promises";
import { createServer, type IncomingMessage, type Server, type ServerResponse } from "node:http";
import { getRequestListener } from "@hono/node-server";
import { SpineError } from "../../spine/index.ts";
import type { EnclaveService } from "../enclave/service.ts";
import { errorCodeOf } from "../files.ts";
import type { CheckPeer } from "../guards/index.ts";
import type { NodeHandle } from "../handle.ts";
import type { HookDesk } from "../hooks/index.ts";
import type { Log } from "../log.ts";
import type { ApiRoute, Metrics } from "../metrics.ts";
import type { RnsService } from "../reticulum/service.ts";
import { createApp } from "./app.ts";
import { createTcpGuard } from "./auth.ts";
import { BodyReader } from "./body.ts";
import { checkRoute, sendDenial, serveCheck } from "./check.ts";
import { sendError, sendProtocolError } from "./errors.ts";
import type { GatewayRoutes } from "./gateway.ts";
import type { GuardBackend } from "./guard.ts";
import { hookRoute, sendHookDenial, serveHook } from "./hooks.ts";
import { listenTcp, listenUnix } from "./listen.ts";
import { servePublish } from "./publish.ts";

/** Requests served at one time, event streams included; one more is answered 503. */
const MAX_REQUESTS = 512;
const MAX_CONNECTIONS = 1024;
/** Node's default of 5 s closes kept connections under clients that are about to use them. */
const KEEP_ALIVE_MS = 60_000;
const HEADERS_MS = 10_000;
/** From the first byte of a request to the last of its body. */
const REQUEST_MS = 60_000;
/** Running requests get this long to finish at stop. */
const STOP_MS = 5_000;

export interface ApiOptions {
  readonly node: NodeHandle;
  /** Absolute path. */
  readonly socket: string;
  /** Loopback `HOST:PORT`, or undefined for none. */
  readonly listen?: string | undefined;
  /** Bearer token for TCP. */
  readonly token: string;
  readonly log: Pick<Log, "warn">;
  readonly metrics?: Pick<Metrics, "request"> | undefined;
  /** The Reticulum plane, once it runs. */
  readonly rns?: (() => RnsService | undefined) | undefined;
  readonly enclave?: (() => EnclaveService | undefined) | undefined;
  /** Absent: this node guards nothing, and says so. */
  readonly guard?: GuardBackend | undefined;
  /** Answers the hooks of agent harnesses. */
  readonly desk?: HookDesk | undefined;
  /** Sockets that answer checks and nothing else, each for one agent. */
  readonly agents?: readonly AgentSocket[];
  readonly planes?: Pick<GatewayRoutes, "gateway" | "nats"> | undefined;
}

export interface AgentSocket {
  /** The agent's id. */
  readonly name: string;
  /** Absolute path. */
  readonly socket: string;
  /** User that will own the socket, if another than the daemon's. */
  readonly uid?: number | undefined;
}

/** Lets a request in, and says what its socket tells about the caller; throws a coded error. */
type Gate = (request: IncomingMessage) => CheckPeer;

function routeOf(url: string): ApiRoute {
  const path = url.split("?", 1)[0] as string;
  if (path === "/v1/publish") return "publish";
  if (path === "/v1/check" || path === "/api/v1/check" || path === "/api/v1/eval") return "check";
  if (path.startsWith("/v1/hooks/")) return "check";
  if (path.startsWith("/v1/envelopes/")) return "envelopes";
  if (path.startsWith("/v1/issuers/") && path.endsWith("/envelopes")) return "range";
  if (path === "/v1/events") return "events";
  if (path === "/v1/sync") return "sync";
  return path === "/v1/import" ? "import" : "other";
}

export class ApiServer implements AsyncDisposable {
  readonly #options: ApiOptions;
  readonly #stopping = new AbortController();
  readonly #bodies = new BodyReader();
  readonly #servers: Server[] = [];
  readonly #addresses: string[] = [];
  readonly #router: (request: IncomingMessage, response: ServerResponse) => Promise<void>;
  #running = 0;

  constructor(options: ApiOptions) {
    this.#options = options;
    const app = createApp({ ...options, bodies: this.#bodies, signal: this.#stopping.signal });
    this.#router = getRequestListener(app.fetch, { overrideGlobalObjects: false });
  }

  /** `unix:PATH` and `http://HOST:PORT` once started. */
  get addresses(): readonly string[] {
    return this.#addresses;
  }

  /** Throws `daemon_running`, `port_in_use` or `config_invalid` and leaves nothing open. */
  async start(): Promise<void> {
    const { socket, listen, token, agents = [] } = this.#options;
    try {
      const owner = process.getuid?.();
      const peer: CheckPeer = owner === undefined ? {} : { uid: owner };
      await listenUnix(
        this.#serve(() => peer),
        socket,
      );
      this.#addresses.push(`unix:${socket}`);
      if (listen !== undefined) {
        let admit: (request: IncomingMessage) => void = () => {
          throw new SpineError("api_unavailable", "not ready");
        };
        const port = await listenTcp(
          this.#serve((request) => {
            admit(request);
            return {};
          }),
          listen,
        );
        admit = createTcpGuard(token, port);
        this.#addresses.push(`http://${listen.slice(0, listen.lastIndexOf(":"))}:${port}`);
      }
      for (const agent of agents) await this.#listenFor(agent, owner);
    } catch (cause) {
      await this.stop();
      throw cause;
    }
  }

  /** Made so that only the agent's user can open it: the socket is the agent's name. */
  async #listenFor({ name, socket, uid }: AgentSocket, owner: number | undefined): Promise<void> {
    const user = uid ?? owner;
    const peer: CheckPeer = { agent: name, ...(user !== undefined && { uid: user }) };
    const gate: Gate = (request) => {
      if (checkRoute(request) === undefined && hookRoute(request) === undefined && request.url !== "/healthz")
        throw new SpineError("api_forbidden", "this socket answers checks and nothing else");
      return peer;
    };
    await listenUnix(this.#serve(gate), socket);
    if (user === undefined || user === owner) return;
    await chown(socket, user, -1).catch((cause: unknown) => {
      throw new SpineError("config_invalid", `guard.agents: only root can give ${socket} to user ${user}`, { cause });
    });
  }

  #serve(gate: Gate): Server {
    const server = createServer(
      {
        keepAliveTimeout: KEEP_ALIVE_MS,
        headersTimeout: HEADERS_MS,
        requestTimeout: REQUEST_MS,
        maxHeaderSize: 16_384,
        noDelay: true,
      },
      (request, response) => void this.#handle(request, response, gate),
    );
    server.maxConnections = MAX_CONNECTIONS;
    server.on("clientError", (error, socket) => sendProtocolError(errorCodeOf(error), socket));
    this.#servers.push(server);
    return server;
  }

  async #handle(request: IncomingMessage, response: ServerResponse, gate: Gate): Promise<void> {
    const started = performance.now();
    const { node, metrics, log, guard, desk } = this.#options;
    const hook = desk === undefined ? undefined : hookRoute(request);
    this.#running++;
    response.once("close", () => {
      this.#running--;
      // While stopping, a connection goes as soon as its last answer is out.
      if (this.#stopping.signal.aborted) setImmediate(() => this.#closeIdle());
      metrics?.request(routeOf(request.url ?? ""), response.statusCode, (performance.now() - started) / 1000);
    });
    response.on("error", () => response.destroy());
    try {
      const peer = gate(request);
      if (this.#stopping.signal.aborted) throw new SpineError("api_unavailable", "the node is stopping");
      if (this.#running > MAX_REQUESTS) throw new SpineError("api_unavailable", `${MAX_REQUESTS} requests run already`);
      if (request.url === "/v1/publish" && request.method === "POST") {
        await servePublish(request, response, node, this.#bodies, this.#stopping.signal);
        return;
      }
      if (desk !== undefined && hook !== undefined) {
        await serveHook(request, response, hook, desk, peer, this.#bodies);
        return;
      }
      const check = guard === undefined ? undefined : checkRoute(request);
      if (guard === undefined || check === undefined) await this.#router(request, response);
      else await serveCheck(request, response, check, guard.host, peer, this.#bodies);
    } catch (caught) {
      if (!(caught instanceof SpineError)) log.warn({ err: caught, path: request.url }, "request failed");
      if (desk !== undefined && hook !== undefined && !response.headersSent)
        sendHookDenial(response, hook, desk, caught);
      else if (checkRoute(request) === undefined || response.headersSent) sendError(response, caught);
      else sendDenial(response, caught);
    }
  }

  /** Ends event streams, lets running requests finish for 5 s, then closes every connection. Idempotent. */
  async stop(): Promise<void> {
    this.#stopping.abort();
    const closed = this.#servers
      .filter((server) => server.listening)
      .map((server) => new Promise<void>((resolve) => server.close(() => resolve())));
    this.#closeIdle();
    const cut = setTimeout(() => {
      for (const server of this.#servers) server.closeAllConnections();
    }, STOP_MS);
    await Promise.all(closed);
    clearTimeout(cut);
  }

  #closeIdle(): void {
    for (const server of this.#servers) server.closeIdleConnections();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.stop();
  }
}
