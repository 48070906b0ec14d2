/**
 * One connection to a NATS cluster, kept for ever: dialled anew with backoff when the server is away at start, after a
 * cut, and after a refused login. The client library is loaded here, at first use.
 */
import { readFileSync } from "node:fs";
import { isIP } from "node:net";
import { checkServerIdentity } from "node:tls";
import type { ConnectionOptions, NatsConnection } from "@nats-io/transport-node";
import { SpineError } from "../../spine/index.ts";
import { backoffMs } from "../backoff.ts";
import type { NatsLog, NatsServers } from "./options.ts";

/** The library counts these per server; the supervisor here goes on for ever. */
const CONNECT_TIMEOUT_MS = 2_000;
const BACKOFF = { minMs: 100, maxMs: 5_000 };

export interface ConnectionHooks {
  /** A connection can be used; called again after every cut. */
  readonly up: (connection: NatsConnection) => void;
  /** What was under way is lost; the library may still reconnect by itself. */
  readonly down: (reason: string) => void;
  readonly log: NatsLog | undefined;
}

export class NatsLine {
  readonly #servers: NatsServers;
  readonly #hooks: ConnectionHooks;
  readonly #stopping = new AbortController();
  #current: NatsConnection | null = null;
  #supervisor: Promise<void> | null = null;
  #attempt = 0;
  reconnects = 0;
  failures = 0;

  constructor(servers: NatsServers, hooks: ConnectionHooks) {
    this.#servers = servers;
    this.#hooks = hooks;
  }

  /** Usable now, or null. */
  get connection(): NatsConnection | null {
    return this.#current;
  }

  /** Resolves when connected, or at once with `offline`: then it goes on trying. Rejects with `plane_start_failed`. */
  async open(signal: AbortSignal, offline: boolean): Promise<void> {
    const options = await connectOptions(this.#servers);
    try {
      const first = await this.#connect(options);
      if (signal.aborted || this.#stopping.signal.aborted) {
        await first.close();
        throw signal.reason ?? new Error("stopped");
      }
      this.#supervisor = this.#supervise(options, first);
    } catch (error) {
      this.failures++;
      if (!offline || signal.aborted || this.#stopping.signal.aborted) throw startError(error);
      this.#hooks.log?.("nats server not reached", { reason: String(error) });
      this.#supervisor = this.#supervise(options, null);
    }
  }

  async close(): Promise<void> {
    this.#stopping.abort();
    const current = this.#current;
    this.#current = null;
    if (current !== null && !current.isClosed()) {
      // What was just published goes out first, if the server reads at all.
      await Promise.race([current.flush().catch(() => {}), pause(500, null)]);
      await current.close().catch(() => {});
    }
    await this.#supervisor;
  }

  async #connect(options: ConnectionOptions): Promise<NatsConnection> {
    const { connect } = await import("@nats-io/transport-node");
    return connect(options);
  }

  async #supervise(options: ConnectionOptions, first: NatsConnection | null): Promise<void> {
    const { signal } = this.#stopping;
    let connection = first;
    while (!signal.aborted) {
      if (connection === null) {
        await pause(backoffMs(this.#attempt++, BACKOFF, Math.random), signal);
        if (signal.aborted) return;
        connection = await this.#connect(options).catch((error: unknown) => {
          this.failures++;
          this.#hooks.log?.("nats server not reached", { reason: String(error) });
          return null;
        });
        if (connection === null) continue;
        if (signal.aborted) return connection.close();
      }
      this.#attempt = 0;
      await this.#use(connection);
      connection = null;
    }
  }

  /** Until the connection is closed for good. */
  async #use(connection: NatsConnection): Promise<void> {
    this.#current = connection;
    this.#hooks.up(connection);
    const follow = async (): Promise<void> => {
      for await (const status of connection.status()) {
        if (status.type === "disconnect") {
          this.#current = null;
          if (!this.#stopping.signal.aborted) this.#hooks.down("the server is away");
        } else if (status.type === "reconnect" && !this.#stopping.signal.aborted) {
          this.reconnects++;
          this.#current = connection;
          this.#hooks.up(connection);
        } else if (status.type === "error") {
          this.#hooks.log?.("nats server error", { reason: String(status.error) });
        }
      }
    };
    await Promise.all([follow(), connection.closed()]);
    this.#current = null;
    if (!this.#stopping.signal.aborted) this.#hooks.down("the connection was closed");
  }
}

export async function connectOptions(servers: NatsServers): Promise<ConnectionOptions> {
  const nats = await import("@nats-io/transport-node");
  const { auth, tls } = servers;
  const encode = (text: string): Uint8Array => new TextEncoder().encode(text);
  return {
    servers: [...servers.servers],
    name: servers.clientName,
    timeout: CONNECT_TIMEOUT_MS,
    maxReconnectAttempts: -1,
    reconnectTimeWait: 250,
    reconnectJitter: 250,
    pingInterval: 3_000,
    maxPingOut: 2,
    noEcho: true,
    ...(auth.type === "token" ? { token: auth.token } : {}),
    ...(auth.type === "user" ? { user: auth.user, pass: auth.password } : {}),
    ...(auth.type === "nkey" ? { authenticator: nats.nkeyAuthenticator(encode(auth.seed.trim())) } : {}),
    ...(auth.type === "creds" ? { authenticator: nats.credsAuthenticator(encode(auth.creds)) } : {}),
    ...(tls === undefined ? {} : { tls: { ...tls, ...identityOf(servers.servers) } }),
  };
}

/**
 * The library names no host when it was given an address, and Node then compares the certificate with "localhost":
 * the addresses of the configuration are compared instead.
 */
function identityOf(servers: readonly string[]): { checkServerIdentity?: typeof checkServerIdentity } {
  const addresses = servers
    .map((server) =>
      server
        .replace(/^[a-z]+:\/\//, "")
        .replace(/:\d+$/, "")
        .replace(/^\[|\]$/g, ""),
    )
    .filter((host) => isIP(host) !== 0);
  if (addresses.length === 0) return {};
  return {
    checkServerIdentity: (host, certificate) => {
      const problem = checkServerIdentity(host, certificate);
      if (problem === undefined || host !== "localhost") return problem;
      return addresses.some((address) => checkServerIdentity(address, certificate) === undefined) ? undefined : problem;
    },
  };
}

/** Reads a PEM or credentials file; the message names the file, never its content. */
export function readNatsFile(path: string): string {
  try {
    return readFileSync(path, "utf8");
  } catch (cause) {
    throw new SpineError("config_invalid", `cannot read ${path}`, { cause });
  }
}

function startError(error: unknown): SpineError {
  if (error instanceof SpineError) return error;
  const text = error instanceof Error ? error.message : String(error);
  return new SpineError("plane_start_failed", `no NATS server could be used: ${text}`, { cause: error });
}

/** Waits, or until the signal. */
export function pause(ms: number, signal: AbortSignal | null): Promise<void> {
  if (signal?.aborted) return Promise.resolve();
  return new Promise((resolve) => {
    const done = (): void => {
      clearTimeout(timer);
      signal?.removeEventListener("abort", done);
      resolve();
    };
    const timer = setTimeout(done, ms);
    timer.unref();
    signal?.addEventListener("abort", done);
  });
}
