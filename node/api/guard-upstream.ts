/**
 * Upstream's routes around checks (spec/guards.md sections 3.3 and 3.5): `/api/v1/audit`, `/api/v1/policy`,
 * `/api/v1/session`. Its shapes, filled from our chain: an event's id is its envelope, a target is a commitment.
 */
import { randomUUID } from "node:crypto";
import { stringify } from "yaml";
import { SpineError } from "../../spine/index.ts";
import { type AuditEntry, type AuditFilter, auditWindow, csvLine } from "../guards/audit.ts";
import type { NodeHandle } from "../handle.ts";
import type { Routes } from "./app.ts";
import type { GuardBackend } from "./guard.ts";
import { readNumber } from "./query.ts";
import { sendJson, sendText } from "./stream.ts";

const MAX_OFFSET = 100_000;
/** Envelopes looked through for one answer; `total` then counts what was seen, and says so. */
const MAX_SCAN = 20_000;

interface AuditEvent {
  readonly id: string;
  readonly timestamp: string;
  readonly event_type: "check" | "violation";
  readonly action_type: string;
  readonly target: string;
  readonly decision: "allowed" | "blocked";
  readonly guard: string;
  readonly severity: string;
  readonly message: string;
  readonly session_id: string | null;
  readonly agent_id: string | null;
  readonly metadata: Readonly<Record<string, unknown>>;
}

const COLUMNS: readonly (keyof AuditEvent)[] = [
  "id",
  "timestamp",
  "event_type",
  "action_type",
  "target",
  "decision",
  "guard",
  "severity",
  "message",
  "session_id",
  "agent_id",
];

export function upstreamGuardRoutes({ route, query, fields }: Routes, node: NodeHandle, guard: GuardBackend): void {
  const { host } = guard;

  route("GET", "/api/v1/audit", async (c, response) => {
    const given = query(c, "event_type", "action_type", "decision", "session_id", "limit", "offset", "format");
    const limit = readNumber("limit", given["limit"], { least: 1, most: 1_000, fallback: 100 });
    const offset = readNumber("offset", given["offset"], { least: 0, most: MAX_OFFSET, fallback: 0 });
    const before = ((await node.status()).head?.seq ?? 0) + 1;
    const filter = filterOf(given);
    const { entries, total, complete } =
      filter === undefined
        ? { entries: [], total: 0, complete: true }
        : await auditWindow(node, filter, { before, offset, limit, scan: MAX_SCAN });
    const events = entries.map(eventOf);
    switch (given["format"] ?? "json") {
      case "json":
        return sendJson(response, 200, { events, total, limit, offset, ...(!complete && { total_is_least: true }) });
      case "jsonl":
        return sendText(
          response,
          200,
          "application/x-ndjson",
          events.map((event) => `${JSON.stringify(event)}\n`).join(""),
        );
      case "csv": {
        const lines = events.map((event) => csvLine(COLUMNS.map((name) => event[name])));
        return sendText(response, 200, "text/csv; charset=utf-8", [csvLine(COLUMNS), ...lines].join(""));
      }
      default:
        throw new SpineError("api_input", "format: json, jsonl or csv");
    }
  });

  route("GET", "/api/v1/policy", (c, response) => {
    query(c);
    const { inForce } = host;
    const policy = inForce?.policies[0];
    if (inForce === undefined || policy === undefined)
      throw new SpineError("api_not_found", "no usable policy is in force: every action is denied");
    const { name, version, description } = policy.effective;
    sendJson(response, 200, {
      ...{ name, version, description },
      policy_hash: inForce.hash,
      yaml: stringify(policy.effective),
      policy_hashes: inForce.policies.map(({ hash }) => hash),
    });
  });
  route("PUT", "/api/v1/policy", () => {
    throw new SpineError(
      "api_forbidden",
      "the policy is the operator's file: change it there, or publish a bundle as a curator",
    );
  });
  route("POST", "/api/v1/policy/reload", (_, response) => {
    const { problems, staged, changed } = host.reload();
    const first = problems.find(({ level }) => level === "error");
    if (first !== undefined)
      throw new SpineError("config_invalid", `policy ${first.path}: ${first.message}; the old one stays in force`);
    const message = staged
      ? "the policy protects less than the one in force and waits for `spine guard approve`"
      : changed
        ? "the policy was replaced"
        : "the policy is the one in force already";
    sendJson(response, 200, { success: !staged, message, policy_hash: host.inForce?.hash ?? null });
  });

  route("POST", "/api/v1/session", (c, response) =>
    fields(c, { session_id: "string", agent_id: "string" }, ({ session_id: named, agent_id: agent }) => {
      const session = typeof named === "string" ? named : randomUUID();
      const posture = host.service.openSession(session);
      // Without states in the policy a session is a name on receipts and nothing is kept of it.
      if (posture === undefined && host.service.keepsSessions)
        throw new SpineError("api_unavailable", "no room for another session, or its name is unusable");
      sendJson(response, 200, { session_id: session, agent_id: agent ?? null, posture: posture ?? null });
    }),
  );
  route("GET", "/api/v1/session/:id", (c, response) => {
    query(c);
    const session = c.req.param("id") ?? "";
    sendJson(response, 200, { session_id: session, posture: known(session) });
  });
  route("GET", "/api/v1/session/:id/posture", (c, response) => {
    query(c);
    sendJson(response, 200, known(c.req.param("id") ?? ""));
  });
  route("DELETE", "/api/v1/session/:id", (c, response) => {
    const session = c.req.param("id") ?? "";
    if (!host.service.endSession(session)) throw new SpineError("api_not_found", "no such session");
    sendJson(response, 200, { success: true, session_id: session });
  });
  route("POST", "/api/v1/session/:id/transition", (c, response) =>
    fields(c, { toState: "string", trigger: "string" }, async ({ toState, trigger }) => {
      const session = c.req.param("id") ?? "";
      const before = known(session);
      if (trigger !== "user_approval" && trigger !== "user_denial")
        throw new SpineError("api_input", "trigger: user_approval or user_denial; the others fire by themselves");
      const to = host.service.sessionLeadsTo(session, trigger);
      if (to === undefined || to !== toState)
        throw new SpineError(
          "api_input",
          `toState: ${trigger} leads from ${before.state} ${to === undefined ? "nowhere" : `to ${to}`}`,
        );
      await host.decideSession(session, trigger);
      sendJson(response, 200, { success: true, from_state: before.state, posture: known(session) });
    }),
  );

  function known(session: string) {
    const posture = host.service.session(session);
    if (posture === undefined) throw new SpineError("api_not_found", "no such session");
    return posture;
  }
}

/** Undefined: nothing can match, such as an event type that our chain does not have. */
function filterOf(given: Partial<Record<string, string>>): AuditFilter | undefined {
  const { event_type: type, action_type: action, decision, session_id: session } = given;
  if (decision !== undefined && decision !== "allowed" && decision !== "blocked")
    throw new SpineError("api_input", "decision: allowed or blocked");
  const blocked = [
    ...(decision === undefined ? [] : [decision === "blocked"]),
    ...(type === "violation" ? [true] : type === "check" ? [false] : []),
  ];
  if (type !== undefined && type !== "violation" && type !== "check") return undefined;
  if (blocked.length === 2 && blocked[0] !== blocked[1]) return undefined;
  return {
    ...(blocked[0] !== undefined && { blocked: blocked[0] }),
    ...(action !== undefined && { action_type: action }),
    ...(session !== undefined && { session }),
  };
}

function eventOf(entry: AuditEntry): AuditEvent {
  const blocked = entry.verdict === "deny";
  return {
    id: entry.envelope_hash,
    timestamp: entry.timestamp,
    event_type: blocked ? "violation" : "check",
    action_type: entry.action_type,
    target: `sha256:${entry.commitment}`,
    decision: blocked ? "blocked" : "allowed",
    guard: entry.guard,
    severity: `${entry.severity[0]?.toUpperCase() ?? ""}${entry.severity.slice(1)}`,
    // Receipts hold a reason code: a message may quote what was judged.
    message: entry.reason ?? entry.verdict,
    session_id: entry.session,
    agent_id: entry.agent,
    metadata: {
      policy_hash: entry.policy_hash,
      policy_state: entry.policy_state,
      tier: entry.tier,
      mode: entry.mode,
      ask: entry.ask,
      seq: entry.seq,
    },
  };
}
