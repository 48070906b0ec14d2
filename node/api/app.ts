/** The API's routes besides publishing. Answers go straight to Node's response, in pieces with back-pressure. */
import type { HttpBindings } from "@hono/node-server";
import { RESPONSE_ALREADY_SENT } from "@hono/node-server/utils/response";
import { type Context, Hono } from "hono";
import {
  asSpineError,
  parseJson,
  REVOCATION_SCOPES,
  type RevocationScope,
  SpineError,
  utf8Text,
} from "../../spine/index.ts";
import type { EnclaveService } from "../enclave/service.ts";
import type { NodeHandle } from "../handle.ts";
import type { HookDesk } from "../hooks/index.ts";
import type { Log } from "../log.ts";
import type { RnsService } from "../reticulum/service.ts";
import { serveBackup } from "./backup.ts";
import type { BodyReader } from "./body.ts";
import { enclaveRoutes } from "./enclave.ts";
import { sendError } from "./errors.ts";
import { eventCursor, nodeEvents, serveEvents } from "./events.ts";
import { type GatewayRoutes, gatewayRoutes } from "./gateway.ts";
import { type GuardBackend, guardRoutes } from "./guard.ts";
import { upstreamGuardRoutes } from "./guard-upstream.ts";
import { hookRoutes } from "./hooks.ts";
import { marketplaceSync } from "./marketplace.ts";
import { ClientLimiter, sendAnswer } from "./public.ts";
import { bodyLines, refusal } from "./publish.ts";
import { readHash, readIssuer, readNumber, readQuery } from "./query.ts";
import { rnsRoutes } from "./rns.ts";
import { sendJson, sendLines, sendText } from "./stream.ts";
import { syncLines } from "./sync.ts";
import { LOOKUP_PATHS, WITNESS_CONFIRM_PATH } from "./transparency.ts";

type Env = { Bindings: HttpBindings };

export interface AppOptions {
  readonly node: NodeHandle;
  /** Absent: this node guards nothing. */
  readonly guard?: GuardBackend | undefined;
  readonly desk?: HookDesk | undefined;
  readonly bodies: BodyReader;
  readonly log: Pick<Log, "warn">;
  /** Undefined: the Reticulum plane is not enabled. */
  readonly rns?: (() => RnsService | undefined) | undefined;
  readonly enclave?: (() => EnclaveService | undefined) | undefined;
  readonly planes?: Pick<GatewayRoutes, "gateway" | "nats"> | undefined;
  /** Aborted when the daemon stops: ends streams. */
  readonly signal: AbortSignal;
}

/** Event streams at one time: they stay open and must not use up the room for requests. */
const MAX_EVENT_STREAMS = 64;
/** Requests to the log of whoever may use the API: the public listener has its own, lower limit. */
const LOCAL_REQUESTS_PER_SECOND = 2_000;
const MAX_SEQ = Number.MAX_SAFE_INTEGER;
const JSON_TYPE = "application/json";

/** Results in line order: lines that are not even text are answered in their place. */
async function* importLines(node: NodeHandle, lines: readonly Buffer[], signal: AbortSignal): AsyncGenerator<string> {
  // A line that is no text becomes an empty one, which the import refuses in turn; its own reason is kept here.
  const texts = lines.map((line) => {
    try {
      return { text: utf8Text(line), failure: undefined };
    } catch (caught) {
      return { text: "", failure: refusal(caught) };
    }
  });
  const source = (async function* () {
    for (const { text } of texts) yield text;
  })();
  let index = 0;
  for await (const result of node.importEnvelopes(source, { signal })) {
    const answer = texts[index]?.failure ?? result;
    index++;
    yield JSON.stringify({ line: index, ...answer });
  }
}

/** What the files of routes share. */
export interface Routes {
  route(
    method: "GET" | "POST" | "PUT" | "DELETE",
    path: string,
    serve: (c: Context<Env>, response: HttpBindings["outgoing"]) => Promise<void> | void,
  ): void;
  query(c: Context<Env>, ...allowed: string[]): Partial<Record<string, string>>;
  /** The body's fields, each of the kind named; unknown ones are refused. */
  fields(
    c: Context<Env>,
    allowed: Record<string, "string" | "boolean" | "strings">,
    use: (fields: Record<string, unknown>) => Promise<void> | void,
  ): Promise<void>;
  /** An event stream, one of a bounded number. */
  events(response: HttpBindings["outgoing"], open: (signal: AbortSignal) => AsyncIterable<string>): Promise<void>;
}

export function createApp(options: AppOptions): Hono<Env> {
  const { node, bodies, log, signal } = options;
  const { guard, desk, rns, enclave, planes } = options;
  const app = new Hono<Env>();

  const inBody = async <T>(c: Context<Env>, use: (bytes: Buffer) => Promise<T> | T): Promise<T> => {
    const body = await bodies.read(c.env.incoming);
    try {
      return await use(body.bytes);
    } finally {
      body.release();
    }
  };
  /** A JSON object with the named fields only. */
  const readFields = (
    bytes: Buffer,
    allowed: Record<string, "string" | "boolean" | "strings">,
  ): Record<string, unknown> => {
    const value = parseJson(utf8Text(bytes));
    if (typeof value !== "object" || value === null || Array.isArray(value)) {
      throw new SpineError("api_input", "the body must be a JSON object");
    }
    for (const [name, field] of Object.entries(value)) {
      const kind = allowed[name];
      if (kind === undefined) throw new SpineError("api_input", `unknown field "${name.slice(0, 40)}"`);
      const fits = kind === "strings" ? Array.isArray(field) && field.every(isText) : typeof field === kind;
      if (!fits) throw new SpineError("api_input", `${name}: expected a ${kind}`);
    }
    return value as Record<string, unknown>;
  };
  const route = (
    method: "GET" | "POST" | "PUT" | "DELETE",
    path: string,
    serve: (c: Context<Env>, response: HttpBindings["outgoing"]) => Promise<void> | void,
  ): void => {
    app.on(method, path, async (c) => {
      await serve(c, c.env.outgoing);
      return RESPONSE_ALREADY_SENT;
    });
  };
  const query = (c: Context<Env>, ...allowed: string[]) => readQuery(c.env.incoming.url ?? "/", allowed);
  const issuerOf = (c: Context<Env>) => readIssuer(c.req.param("issuer") ?? "");

  route("GET", "/healthz", (_, response) => sendText(response, 200, "text/plain", "ok\n"));
  route("GET", "/readyz", async (_, response) => {
    const readiness = await node.ready();
    sendJson(response, readiness.ready ? 200 : 503, readiness);
  });
  route("GET", "/metrics", async (_, response) => {
    sendText(response, 200, "text/plain; version=0.0.4; charset=utf-8", await node.metricsText());
  });
  route("GET", "/v1/status", async (_, response) => sendJson(response, 200, await node.status()));

  route("GET", "/v1/envelopes/:hash", async (c, response) => {
    query(c);
    const hash = readHash(c.req.param("hash") ?? "");
    const text = await node.envelope(hash);
    if (text === undefined) throw new SpineError("api_not_found", `no envelope ${hash} is held`);
    sendText(response, 200, JSON_TYPE, text);
  });
  route("GET", "/v1/heads", (c, response) => {
    query(c);
    return sendLines(response, node.heads());
  });
  route("GET", "/v1/issuers", async (c, response) => {
    const { after, limit } = query(c, "after", "limit");
    const page = {
      limit: readNumber("limit", limit, { least: 1, most: 1000, fallback: 100 }),
      ...(after === undefined ? {} : { after: readIssuer(after) }),
    };
    sendJson(response, 200, await node.issuers(page));
  });
  route("GET", "/v1/issuers/:issuer/envelopes", (c, response) => {
    const { from, to, limit } = query(c, "from", "to", "limit");
    const first = readNumber("from", from, { least: 0, most: MAX_SEQ, fallback: 0 });
    const last = readNumber("to", to, { least: 0, most: MAX_SEQ, fallback: MAX_SEQ });
    if (last < first) throw new SpineError("range_invalid", "to must be >= from");
    const most = readNumber("limit", limit, { least: 1, most: 10_000, fallback: 1000 });
    return sendLines(response, node.range(issuerOf(c), first, last, most));
  });
  for (const verb of ["allow", "deny"] as const) {
    route("POST", `/v1/issuers/:issuer/${verb}`, async (c, response) => {
      const issuer = issuerOf(c);
      await (verb === "allow" ? node.allowIssuer(issuer) : node.denyIssuer(issuer));
      sendJson(response, 200, { issuer, admission: verb === "allow" ? "allowed" : "denied" });
    });
  }
  route("GET", "/v1/peers", async (_, response) => sendJson(response, 200, { peers: await node.peers() }));
  route("POST", "/v1/peers", (c, response) =>
    inBody(c, async (bytes) => {
      const { address } = readFields(bytes, { address: "string" });
      if (typeof address !== "string") throw new SpineError("api_input", "address: missing");
      await node.addPeer(address);
      sendJson(response, 200, { address });
    }),
  );
  route("DELETE", "/v1/peers/:id", async (c, response) => {
    const id = c.req.param("id") ?? "";
    await node.removePeer(id);
    sendJson(response, 200, { id });
  });
  route("POST", "/v1/sync", (c, response) =>
    inBody(c, (bytes) => {
      const { peer, issuer, dry_run } = readFields(bytes, { peer: "string", issuer: "string", dry_run: "boolean" });
      if (typeof peer !== "string") throw new SpineError("api_input", "peer: missing");
      const ended = new AbortController();
      response.once("close", () => ended.abort());
      return sendLines(
        response,
        syncLines(node, peer, {
          dryRun: dry_run === true,
          signal: AbortSignal.any([signal, ended.signal]),
          ...(typeof issuer === "string" ? { issuer: readIssuer(issuer) } : {}),
        }),
      );
    }),
  );
  route("POST", "/v1/import", (c, response) =>
    inBody(c, (bytes) => sendLines(response, importLines(node, bodyLines(bytes), signal))),
  );
  route("GET", "/v1/backup", (c, response) => {
    query(c);
    return serveBackup(response, node, signal);
  });
  route("GET", "/v1/authority/right", async (c, response) => {
    const { scope = "", value = "" } = query(c, "scope", "value");
    if (!REVOCATION_SCOPES.includes(scope as RevocationScope))
      throw new SpineError("api_input", `scope: expected one of ${REVOCATION_SCOPES.join(", ")}`);
    sendJson(response, 200, await node.revocationRight(scope as RevocationScope, value));
  });
  route("GET", "/v1/forks", async (_, response) => sendJson(response, 200, { forks: await node.forks() }));
  route("GET", "/v1/marketplace/sync", async (c, response) => {
    sendText(response, 200, JSON_TYPE, await marketplaceSync(node, query(c, "issuer", "from_seq", "to_seq")));
  });
  const limiter = new ClientLimiter(LOCAL_REQUESTS_PER_SECOND);
  const logPaths = ["/v1/log", "/v1/checkpoints/*", "/v1/proofs/*", "/tlog/*", "/witness/*", WITNESS_CONFIRM_PATH];
  for (const path of [...logPaths, ...LOOKUP_PATHS]) {
    const serve = async (method: "GET" | "POST", c: Context<Env>, body: string): Promise<void> => {
      const { incoming, outgoing } = c.env;
      limiter.take(incoming.socket.remoteAddress ?? "", Date.now());
      const url = incoming.url ?? "/";
      sendAnswer(outgoing, await node.transparency({ method, url, accept: incoming.headers.accept ?? "", body }));
    };
    if (path === WITNESS_CONFIRM_PATH || path === "/witness/*")
      route("POST", path, (c) => inBody(c, (bytes) => serve("POST", c, utf8Text(bytes))));
    if (path !== WITNESS_CONFIRM_PATH) route("GET", path, (c) => serve("GET", c, ""));
  }
  route("GET", "/v1/issuers/:issuer/envelopes/:seq", async (c, response) => {
    query(c);
    const seq = readNumber("seq", c.req.param("seq"), { least: 0, most: MAX_SEQ, fallback: 0 });
    for await (const text of node.range(issuerOf(c), seq, seq, 1)) return sendText(response, 200, JSON_TYPE, text);
    throw new SpineError("api_not_found", `no envelope ${seq} of this issuer is held`);
  });
  let streams = 0;
  const events: Routes["events"] = async (response, open) => {
    if (streams >= MAX_EVENT_STREAMS)
      throw new SpineError("api_unavailable", `${streams} event streams are open already`);
    streams++;
    try {
      await serveEvents(response, open, signal);
    } finally {
      streams--;
    }
  };
  route("GET", "/v1/events", (c, response) => {
    const { from } = query(c, "from");
    const cursor = eventCursor(c.req.header("last-event-id"), from);
    return events(response, (stop) => nodeEvents(node, cursor, stop));
  });
  const fields: Routes["fields"] = (c, allowed, use) => inBody(c, (bytes) => use(readFields(bytes, allowed)));
  if (guard !== undefined) {
    guardRoutes({ route, query, fields, events }, node, guard);
    upstreamGuardRoutes({ route, query, fields, events }, node, guard);
  }
  if (desk !== undefined) hookRoutes({ route, query, fields, events }, desk);

  enclaveRoutes({ route, service: () => enclave?.() });
  rnsRoutes({ route, inBody, service: () => rns?.(), signal });
  gatewayRoutes({ route, gateway: () => planes?.gateway(), nats: () => planes?.nats() });

  app.notFound((c) => {
    sendError(c.env.outgoing, new SpineError("api_not_found", `no ${c.req.method} ${c.req.path} here`));
    return RESPONSE_ALREADY_SENT;
  });
  app.onError((caught, c) => {
    if (!(caught instanceof SpineError))
      log.warn({ err: asSpineError(caught).message, path: c.req.path }, "request failed");
    sendError(c.env.outgoing, caught);
    return RESPONSE_ALREADY_SENT;
  });
  return app;
}

function isText(value: unknown): boolean {
  return typeof value === "string";
}
