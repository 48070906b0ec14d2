/** How error codes look over HTTP: `{"error":{"code","message","hint"}}` with a fitting status. */
import type { ServerResponse } from "node:http";
import type { Duplex } from "node:stream";
import { asSpineError, type ErrorCode, SpineError } from "../../spine/index.ts";

/** Codes whose status is not 400. */
const STATUS: Partial<Record<ErrorCode, number>> = {
  api_unauthorized: 401,
  api_forbidden: 403,
  issuer_not_admitted: 403,
  api_not_found: 404,
  range_unavailable: 404,
  envelope_size: 413,
  request_size: 413,
  issuer_frozen: 409,
  issuer_revoked: 409,
  not_authorised: 403,
  rate_limited: 429,
  quota_exceeded: 429,
  peer_unreachable: 502,
  request_timeout: 504,
  api_unavailable: 503,
  plane_stopped: 503,
  plane_not_started: 503,
  store_full: 507,
  store_failed: 500,
  store_corrupt: 500,
  store_closed: 503,
  internal: 500,
};

export function statusOf(code: ErrorCode): number {
  return STATUS[code] ?? 400;
}

export interface ErrorBody {
  readonly error: { readonly code: ErrorCode; readonly message: string; readonly hint: string };
}

/** Foreign errors become `internal` without their text, which might hold what a caller must not see. */
export function errorBody(caught: unknown): ErrorBody {
  const error = caught instanceof SpineError ? caught : asSpineError(new Error("unexpected failure"));
  return { error: { code: error.code, message: error.message, hint: error.hint } };
}

/** Answers with the error, or cuts the connection when an answer has begun: a truncated answer must not look whole. */
export function sendError(response: ServerResponse, caught: unknown): void {
  if (response.headersSent) {
    response.destroy();
    return;
  }
  const body = errorBody(caught);
  const text = JSON.stringify(body);
  response.writeHead(statusOf(body.error.code), {
    "content-type": "application/json",
    "content-length": Buffer.byteLength(text),
    ...(body.error.code === "api_unavailable" || body.error.code === "rate_limited" ? { "retry-after": "1" } : {}),
    ...(body.error.code === "api_unauthorized" ? { "www-authenticate": "Bearer" } : {}),
  });
  response.end(text);
}

/** Answers what is no HTTP request, or came too slowly, and hangs up. `code` is Node's. */
export function sendProtocolError(code: string | undefined, socket: Duplex): void {
  if (!socket.writable || code === "ECONNRESET") {
    socket.destroy();
    return;
  }
  const late = code === "ERR_HTTP_REQUEST_TIMEOUT";
  const error = late
    ? new SpineError("request_timeout", "the request took too long to arrive")
    : new SpineError("api_input", "not an HTTP request that this server reads");
  const text = JSON.stringify(errorBody(error));
  const head = `HTTP/1.1 ${late ? "408 Request Timeout" : "400 Bad Request"}\r\nconnection: close`;
  socket.end(`${head}\r\ncontent-type: application/json\r\ncontent-length: ${Buffer.byteLength(text)}\r\n\r\n${text}`);
}
