/**
 * The bodies of `/v1/check`, `/api/v1/check` and `/api/v1/eval`, read into a request for the service, and its answer as
 * each of them spells it (spec/guards.md section 3.3). Used by the API and by whatever speaks these shapes in process.
 */
import { type Json, SpineError, utf8Text } from "../../spine/index.ts";
import { mapOf, parseAction } from "./action.ts";
import { parseEvent } from "./policy-event.ts";
import type { GuardAnswer, GuardRequest } from "./service.ts";

/** Who may ask and as whom; known from the socket, not from the request. */
export interface CheckPeer {
  /** The agent a socket was made for: no other may be named on it. */
  readonly agent?: string;
  /** The only user that can open the socket, root aside. */
  readonly uid?: number;
}

/** A request and the capability token that came with it, not judged yet. */
export interface CheckRequest {
  readonly request: GuardRequest;
  readonly token?: Json;
}

const FIELDS: ReadonlySet<string> = new Set([
  "action_type",
  "target",
  "content",
  "content_hex",
  "args",
  "payload",
  "port",
  "cwd",
  "session_id",
  "agent_id",
  "harness",
  "capability_token",
]);
/** Upstream's kinds; everything else is a 400 there. */
const UPSTREAM_TYPES: ReadonlySet<string> = new Set([
  "file_access",
  "file_write",
  "egress",
  "shell",
  "mcp_tool",
  "patch",
]);
const MAX_NAME_CHARS = 128;

function bodyOf(bytes: Uint8Array): Readonly<Record<string, unknown>> {
  let value: unknown;
  const text = utf8Text(bytes);
  try {
    value = JSON.parse(text);
  } catch (cause) {
    throw new SpineError("json_syntax", "the body is not JSON", { cause });
  }
  return mapOf(value, "the body");
}

/** `/v1/check`. Throws `api_input` or `json_syntax`; unknown fields are refused: a misspelt one would go unjudged. */
export function readCheck(bytes: Uint8Array, peer: CheckPeer): CheckRequest {
  const body = bodyOf(bytes);
  for (const name of Object.keys(body))
    if (!FIELDS.has(name)) throw new SpineError("api_input", `unknown field "${name.slice(0, 40)}"`);
  const { action, caller } = parseAction(body);
  const harness = readHarness(body["harness"]);
  const token = body["capability_token"];
  return {
    request: asPeer({ action, caller, ...(harness !== undefined && { harness }) }, peer),
    ...(token !== undefined && token !== null && { token: token as Json }),
  };
}

/** `/api/v1/check`: upstream's fields; others are ignored as there. */
export function readUpstreamCheck(bytes: Uint8Array, peer: CheckPeer): CheckRequest {
  const body = bodyOf(bytes);
  const type = body["action_type"];
  if (typeof type !== "string" || !UPSTREAM_TYPES.has(type))
    throw new SpineError("api_input", `unknown action_type ${JSON.stringify(type)?.slice(0, 64)}`);
  return { request: asPeer(parseAction(body), peer) };
}

/** `/api/v1/eval`: a PolicyEvent, bare or wrapped in `event`. */
export function readEval(bytes: Uint8Array, peer: CheckPeer): CheckRequest {
  return { request: asPeer(parseEvent(bodyOf(bytes)), peer) };
}

function readHarness(value: unknown): GuardRequest["harness"] {
  if (value === undefined || value === null) return undefined;
  const from = mapOf(value, "harness");
  const name = (field: string): string => {
    const text = from[field];
    if (typeof text !== "string" || text === "" || text.length > MAX_NAME_CHARS)
      throw new SpineError("api_input", `harness.${field} must be 1 to ${MAX_NAME_CHARS} characters`);
    return text;
  };
  return { kind: name("kind"), hookMode: name("hook_mode") };
}

/** The socket's word counts over the request's. Throws `api_forbidden` when they differ. */
function asPeer(request: GuardRequest, peer: CheckPeer): GuardRequest {
  const { agent, uid } = peer;
  const named = request.caller.agent;
  if (agent !== undefined && named !== undefined && named !== agent)
    throw new SpineError("api_forbidden", `this socket speaks for agent ${agent} only`);
  return {
    ...request,
    ...(agent !== undefined && { caller: { ...request.caller, agent } }),
    ...(uid !== undefined && { peer: { uid } }),
  };
}

/** The answer of `/v1/check`. */
export function checkAnswer(answer: GuardAnswer): Readonly<Record<string, unknown>> {
  const { decision, posture, envelopeHash } = answer;
  return {
    allowed: answer.allowed,
    verdict: decision.verdict,
    ask: decision.ask,
    guard: decision.guard,
    severity: decision.severity,
    reason: decision.reason ?? null,
    message: decision.message,
    ...(decision.details !== undefined && { details: decision.details }),
    mode: answer.mode,
    policy_hash: /^0+$/.test(decision.policyHash) ? null : decision.policyHash,
    policy_state: answer.policyState,
    ...(posture !== undefined && { posture }),
    envelope_hash: envelopeHash ?? null,
    commitment: answer.commitment ?? null,
    recorded: envelopeHash !== undefined,
  };
}

/** The answer of `/api/v1/check`, and what stands in the place of upstream's for ours: allowed, guard, severity, message. */
export function upstreamAnswer(answer: GuardAnswer): Readonly<Record<string, unknown>> {
  const { decision, posture } = answer;
  const { guard, severity, message, details } = decision;
  return {
    allowed: answer.allowed,
    guard,
    severity,
    message,
    ...(details !== undefined && { details }),
    ...(posture !== undefined && { posture }),
  };
}

const UPSTREAM_SEVERITY = { info: "low", warning: "medium", error: "high", critical: "critical" } as const;

/** The answer of `/api/v1/eval`. */
export function evalAnswer(answer: GuardAnswer): Readonly<Record<string, unknown>> {
  const { decision, allowed } = answer;
  const { guard, severity, message, reason } = decision;
  const warn = allowed && decision.verdict !== "allow";
  return {
    version: 1,
    command: "policy_eval",
    decision: {
      allowed,
      denied: !allowed,
      warn,
      guard,
      severity: UPSTREAM_SEVERITY[severity],
      message,
      ...(reason !== undefined && { reason, reason_code: reason }),
    },
    report: {
      overall: { allowed, guard, severity, message },
      per_guard: decision.results.map((one) => ({
        allowed: one.allowed,
        guard: one.guard,
        severity: one.severity,
        message: one.message,
      })),
    },
  };
}
