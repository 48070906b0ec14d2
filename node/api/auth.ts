/**
 * Who may ask over loopback TCP: a bearer token, and Host and Origin checks against web pages that resolve their own
 * name to this machine (rules 13). The unix socket needs neither: its file permissions decide.
 */
import { createHash, timingSafeEqual } from "node:crypto";
import type { IncomingMessage } from "node:http";
import { SpineError } from "../../spine/index.ts";

const digest = (text: string): Buffer => createHash("sha256").update(text).digest();

/** Digests have equal length, so that the comparison takes the same time whatever was given. */
export function isSameSecret(given: string, expected: string): boolean {
  return timingSafeEqual(digest(given), digest(expected));
}

/** Paths that say nothing about content and are polled by supervisors without a token. */
const OPEN_PATHS = new Set(["/healthz", "/readyz"]);

/** Returns a check that throws `api_forbidden` or `api_unauthorized`. `port` is the one listened on. */
export function createTcpGuard(token: string, port: number): (request: IncomingMessage) => void {
  const hosts = new Set([`127.0.0.1:${port}`, `localhost:${port}`, `[::1]:${port}`]);
  return (request) => {
    const { host, origin, authorization } = request.headers;
    if (host === undefined || !hosts.has(host.toLowerCase())) {
      throw new SpineError("api_forbidden", "the Host header does not name the loopback address");
    }
    if (origin !== undefined && !(origin.startsWith("http://") && hosts.has(origin.slice(7).toLowerCase()))) {
      throw new SpineError("api_forbidden", "requests from other origins are refused");
    }
    if (OPEN_PATHS.has(request.url ?? "")) return;
    const given = /^Bearer ([\x21-\x7e]+)$/i.exec(authorization ?? "")?.[1];
    if (given === undefined || !isSameSecret(given, token)) {
      throw new SpineError("api_unauthorized", given === undefined ? "no bearer token" : "wrong bearer token");
    }
  };
}
