/**
 * Routes of the Reticulum plane: `GET /v1/rns`, `GET /v1/rns/paths`, `POST /v1/rns/announce`, `…/probe`, `…/path`,
 * `…/path/drop`, `…/messages`, `…/messages/fetch`. Registered by `app.ts`.
 */
import type { HttpBindings } from "@hono/node-server";
import type { Context } from "hono";
import { parseJson, SpineError, utf8, utf8Text } from "../../spine/index.ts";
import {
  MAX_APP_DATA_BYTES,
  MAX_MESSAGE_BYTES,
  MAX_PROBE_BYTES,
  MAX_PROBE_MS,
  type RnsService,
} from "../reticulum/service.ts";
import { sendJson } from "./stream.ts";

type ApiContext = Context<{ Bindings: HttpBindings }>;
type Response = HttpBindings["outgoing"];

export interface RnsRoutes {
  readonly route: (
    method: "GET" | "POST",
    path: string,
    serve: (c: ApiContext, response: Response) => Promise<void> | void,
  ) => void;
  readonly inBody: <T>(c: ApiContext, use: (bytes: Buffer) => Promise<T> | T) => Promise<T>;
  readonly service: () => RnsService | undefined;
  readonly signal: AbortSignal;
}

const MIN_PROBE_MS = 100;
const PROBE_BYTES = 16;
const PROBE_MS = 15_000;

function readBody(bytes: Buffer, allowed: readonly string[]): Readonly<Record<string, unknown>> {
  const value: unknown = bytes.length === 0 ? {} : parseJson(utf8Text(bytes));
  if (typeof value !== "object" || value === null || Array.isArray(value)) {
    throw new SpineError("api_input", "the body must be a JSON object");
  }
  const unknown = Object.keys(value).find((name) => !allowed.includes(name));
  if (unknown !== undefined) throw new SpineError("api_input", `unknown field "${unknown.slice(0, 40)}"`);
  return value as Readonly<Record<string, unknown>>;
}

function whole(name: string, value: unknown, least: number, most: number, fallback: number): number {
  if (value === undefined) return fallback;
  if (typeof value !== "number" || !Number.isInteger(value) || value < least || value > most) {
    throw new SpineError("api_input", `${name} must be a whole number from ${least} to ${most}`);
  }
  return value;
}

const METHODS = ["direct", "opportunistic", "propagated"] as const;

function words(name: string, value: unknown, most: number, fallback?: string): string {
  const text = value ?? fallback;
  if (typeof text !== "string") throw new SpineError("api_input", `${name}: expected a string`);
  if (utf8(text).length > most) throw new SpineError("payload_size", `${name} of more than ${most} bytes`);
  return text;
}

export function rnsRoutes({ route, inBody, service, signal }: RnsRoutes): void {
  const plane = (): RnsService => {
    const found = service();
    if (found === undefined) throw new SpineError("plane_not_started", "planes.reticulum.enabled is false");
    return found;
  };
  route("GET", "/v1/rns", async (_, response) => sendJson(response, 200, await plane().status()));
  route("GET", "/v1/rns/paths", async (_, response) => sendJson(response, 200, await plane().paths()));
  route("POST", "/v1/rns/path", (c, response) =>
    inBody(c, async (bytes) => {
      const { destination, timeout_ms } = readBody(bytes, ["destination", "timeout_ms"]);
      const gone = new AbortController();
      response.once("close", () => gone.abort());
      const path = await plane().findPath({
        destination: words("destination", destination, 80),
        timeoutMs: whole("timeout_ms", timeout_ms, MIN_PROBE_MS, MAX_PROBE_MS, PROBE_MS),
        signal: AbortSignal.any([signal, gone.signal]),
      });
      sendJson(response, 200, path);
    }),
  );
  route("POST", "/v1/rns/path/drop", (c, response) =>
    inBody(c, async (bytes) => {
      const { destination } = readBody(bytes, ["destination"]);
      sendJson(response, 200, { dropped: await plane().dropPath(words("destination", destination, 80)) });
    }),
  );
  route("POST", "/v1/rns/messages", (c, response) =>
    inBody(c, async (bytes) => {
      const { to, title, content, method } = readBody(bytes, ["to", "title", "content", "method"]);
      const way = METHODS.find((one) => one === (method ?? "direct"));
      if (way === undefined) throw new SpineError("api_input", `method: expected one of ${METHODS.join(", ")}`);
      const message = {
        to: words("to", to, 80),
        title: words("title", title, 1024, ""),
        content: words("content", content, MAX_MESSAGE_BYTES),
        method: way,
      };
      sendJson(response, 202, await plane().sendMail(message));
    }),
  );
  route("POST", "/v1/rns/messages/fetch", (c, response) =>
    inBody(c, async (bytes) => {
      readBody(bytes, []);
      const gone = new AbortController();
      response.once("close", () => gone.abort());
      sendJson(response, 200, await plane().fetchMail(AbortSignal.any([signal, gone.signal])));
    }),
  );
  route("POST", "/v1/rns/announce", (c, response) =>
    inBody(c, async (bytes) => {
      const { app_data: text } = readBody(bytes, ["app_data"]);
      if (text !== undefined && typeof text !== "string")
        throw new SpineError("api_input", "app_data: expected a string");
      const appData = text === undefined ? undefined : utf8(text);
      if ((appData?.length ?? 0) > MAX_APP_DATA_BYTES) {
        throw new SpineError("payload_size", `app_data of ${appData?.length} bytes, limit ${MAX_APP_DATA_BYTES}`);
      }
      sendJson(response, 200, await plane().announce({ appData }));
    }),
  );
  route("POST", "/v1/rns/probe", (c, response) =>
    inBody(c, async (bytes) => {
      const { destination, size_bytes, timeout_ms } = readBody(bytes, ["destination", "size_bytes", "timeout_ms"]);
      if (typeof destination !== "string") throw new SpineError("api_input", "destination: expected 32 hex digits");
      const gone = new AbortController();
      response.once("close", () => gone.abort());
      const result = await plane().probe({
        destination,
        sizeBytes: whole("size_bytes", size_bytes, 1, MAX_PROBE_BYTES, PROBE_BYTES),
        timeoutMs: whole("timeout_ms", timeout_ms, MIN_PROBE_MS, MAX_PROBE_MS, PROBE_MS),
        signal: AbortSignal.any([signal, gone.signal]),
      });
      sendJson(response, 200, result);
    }),
  );
}
