/**
 * `POST /v1/check` and upstream's `/api/v1/check` and `/api/v1/eval`: a hot path, served in front of the router. Whatever
 * goes wrong here is answered as a denial with its reason.
 */
import type { IncomingMessage, ServerResponse } from "node:http";
import { SpineError } from "../../spine/index.ts";
import {
  type CheckPeer,
  type CheckRequest,
  checkAnswer,
  evalAnswer,
  readCheck,
  readEval,
  readUpstreamCheck,
  upstreamAnswer,
} from "../guards/check-request.ts";
import type { GuardAnswer, GuardHost } from "../guards/index.ts";
import { type BodyReader, MAX_BODY_BYTES } from "./body.ts";
import { errorBody, statusOf } from "./errors.ts";

interface CheckRoute {
  readonly read: (bytes: Uint8Array, peer: CheckPeer) => CheckRequest;
  readonly write: (answer: GuardAnswer) => Readonly<Record<string, unknown>>;
}

const ROUTES: Readonly<Record<string, CheckRoute>> = {
  "/v1/check": { read: readCheck, write: checkAnswer },
  "/api/v1/check": { read: readUpstreamCheck, write: upstreamAnswer },
  "/api/v1/eval": { read: readEval, write: evalAnswer },
};

/** What answers this request, or undefined when it is none of these. */
export function checkRoute(request: IncomingMessage): CheckRoute | undefined {
  const { url = "" } = request;
  return request.method === "POST" && Object.hasOwn(ROUTES, url) ? ROUTES[url] : undefined;
}

export async function serveCheck(
  request: IncomingMessage,
  response: ServerResponse,
  route: CheckRoute,
  guard: GuardHost,
  peer: CheckPeer,
  bodies: BodyReader,
): Promise<void> {
  const receivedMs = performance.now();
  try {
    // Said at once, so that the client can stop sending; what it sends all the same is read and dropped.
    const announced = Number(request.headers["content-length"] ?? 0);
    if (announced > MAX_BODY_BYTES)
      throw new SpineError("request_size", `a request of ${announced} bytes, at most ${MAX_BODY_BYTES}`);
    const body = await bodies.read(request);
    try {
      const check = route.read(body.bytes, peer);
      send(response, 200, route.write(await guard.check(check, receivedMs)));
    } finally {
      body.release();
    }
  } catch (caught) {
    const { error } = errorBody(caught);
    guard.unusable(`${error.code}: ${error.message}`);
    sendDenial(response, caught);
  }
}

/** A request that was not judged is an error and a denial in one. */
export function sendDenial(response: ServerResponse, caught: unknown): void {
  const { error } = errorBody(caught);
  if (error.code === "api_unauthorized") response.setHeader("www-authenticate", "Bearer");
  send(response, statusOf(error.code), {
    error,
    allowed: false,
    verdict: "deny",
    guard: "engine",
    severity: "critical",
    reason: "unusable_request",
    message: error.message,
  });
}

function send(response: ServerResponse, status: number, body: Readonly<Record<string, unknown>>): void {
  const text = JSON.stringify(body);
  response.writeHead(status, { "content-type": "application/json", "content-length": Buffer.byteLength(text) });
  response.end(text);
}
