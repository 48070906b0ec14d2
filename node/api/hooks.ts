/**
 * `POST /v1/hooks/HARNESS`: a harness's hook payload, answered in its own shape, for harnesses with HTTP hooks; with
 * `/process` behind it, what a hook program has to print and its exit code. Always status 200: another one lets the tool run.
 */
import type { IncomingMessage, ServerResponse } from "node:http";
import { SpineError } from "../../spine/index.ts";
import type { CheckPeer } from "../guards/index.ts";
import { type Harness, type HookAnswer, type HookDesk, isHarness } from "../hooks/index.ts";
import type { Routes } from "./app.ts";
import { type BodyReader, MAX_BODY_BYTES } from "./body.ts";
import { errorBody } from "./errors.ts";
import { sendJson } from "./stream.ts";

export interface HookRoute {
  readonly harness: Harness;
  /** For a hook program instead of for the harness itself. */
  readonly process: boolean;
}

const PATH = /^\/v1\/hooks\/([a-z-]+)(\/process)?$/;

/** What answers this request, or undefined when it is none of these. */
export function hookRoute(request: IncomingMessage): HookRoute | undefined {
  const [, name, process] = request.method === "POST" ? (PATH.exec(request.url ?? "") ?? []) : [];
  return name !== undefined && isHarness(name) ? { harness: name, process: process !== undefined } : undefined;
}

/** What the MCP proxy, a process of its own, has seen. */
export function hookRoutes({ route, fields }: Routes, desk: HookDesk): void {
  route("POST", "/v1/hooks/broken-denial", (c, response) =>
    fields(c, { harness: "string", evidence: "string", envelope_hash: "string" }, (given) => {
      const { harness, evidence, envelope_hash: hash = null } = given as Record<string, string | undefined>;
      if (harness !== "mcp-proxy" || evidence !== "mcp_result") throw new SpineError("api_input", "unknown evidence");
      if (hash !== null && !/^0x[0-9a-f]{64}$/.test(hash))
        throw new SpineError("api_input", "envelope_hash: 0x and 64 hex digits");
      desk.brokenDenial({ harness, evidence, envelopeHash: hash });
      sendJson(response, 200, { reported: true });
    }),
  );
}

export async function serveHook(
  request: IncomingMessage,
  response: ServerResponse,
  route: HookRoute,
  desk: HookDesk,
  peer: CheckPeer,
  bodies: BodyReader,
): Promise<void> {
  const receivedMs = performance.now();
  try {
    const announced = Number(request.headers["content-length"] ?? 0);
    if (announced > MAX_BODY_BYTES)
      throw new SpineError("request_size", `a payload of ${announced} bytes, at most ${MAX_BODY_BYTES}`);
    const body = await bodies.read(request);
    try {
      send(response, route, await desk.answer(route.harness, body.bytes, peer, receivedMs));
    } finally {
      body.release();
    }
  } catch (caught) {
    sendHookDenial(response, route, desk, caught);
  }
}

export function sendHookDenial(response: ServerResponse, route: HookRoute, desk: HookDesk, caught: unknown): void {
  const { error } = errorBody(caught);
  send(response, route, desk.refuse(route.harness, undefined, `${error.code}: ${error.message}`));
}

function send(response: ServerResponse, { process }: HookRoute, answer: HookAnswer): void {
  const body = JSON.stringify(answer.body);
  const { exit, reason } = answer;
  const text = process ? JSON.stringify({ exit, stdout: body, stderr: exit === 2 ? reason : "" }) : body;
  response.writeHead(200, { "content-type": "application/json", "content-length": Buffer.byteLength(text) });
  response.end(text);
}
