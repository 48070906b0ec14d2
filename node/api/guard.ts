/** Routes of the guards besides checks: status, audit, sessions, approvals, live decisions, and upstream's event stream. */
import type { ServerResponse } from "node:http";
import { SpineError } from "../../spine/index.ts";
import { AUDIT_COLUMNS, type AuditEntry, auditPage, csvLine, readAuditFilter } from "../guards/audit.ts";
import type { GuardEvent } from "../guards/daemon/decision-feed.ts";
import { findOpenings } from "../guards/daemon/openings.ts";
import type { GuardHost } from "../guards/index.ts";
import type { NodeHandle } from "../handle.ts";
import type { Routes } from "./app.ts";
import { readNumber } from "./query.ts";
import { sendJson, sendText } from "./stream.ts";

export interface GuardBackend {
  readonly host: GuardHost;
  /** Where the openings of commitments are kept. */
  readonly openings: string;
}

const MAX_SEQ = Number.MAX_SAFE_INTEGER;
const MAX_SESSIONS = 1_000;
/** Envelopes looked through for one page of the audit. */
const MAX_SCAN = 20_000;
const FILTERS = [
  "verdict",
  "guard",
  "action_type",
  "reason",
  "session",
  "agent",
  "harness",
  "policy_hash",
  "since",
  "until",
] as const;

export function guardRoutes({ route, query, fields, events }: Routes, node: NodeHandle, guard: GuardBackend): void {
  const { host } = guard;

  route("GET", "/v1/guard", (c, response) => {
    query(c);
    sendJson(response, 200, host.status());
  });
  route("POST", "/v1/guard/reload", (_, response) => {
    const { changed, state, hash, staged, loosened, problems } = host.reload();
    sendJson(response, 200, { changed, policy_state: state, policy_hash: hash ?? null, staged, loosened, problems });
  });
  route("POST", "/v1/guard/approve", (c, response) =>
    fields(c, { policy_hash: "string" }, async ({ policy_hash: hash }) => {
      const plain = String(hash ?? "").replace(/^0x/, "");
      if (!(await host.approve(plain))) throw new SpineError("api_not_found", "no policy of that hash waits");
      sendJson(response, 200, { approved: plain });
    }),
  );

  route("POST", "/v1/guard/tools", (c, response) =>
    fields(c, { tools: "strings" }, async ({ tools }) => {
      sendJson(response, 200, { blocked: [...host.blockedTools(tools as readonly string[])] });
    }),
  );

  route("GET", "/v1/guard/sessions", (c, response) => {
    const limit = readNumber("limit", query(c, "limit")["limit"], { least: 1, most: MAX_SESSIONS, fallback: 100 });
    const sessions = host.service.sessions(limit).map(({ session, last, posture }) => ({
      session_id: session,
      last_used: new Date(last).toISOString(),
      posture,
    }));
    sendJson(response, 200, { sessions });
  });
  route("GET", "/v1/guard/sessions/:id", (c, response) => {
    const session = c.req.param("id") ?? "";
    const posture = host.service.session(session);
    if (posture === undefined) throw new SpineError("api_not_found", "no such session");
    sendJson(response, 200, { session_id: session, posture });
  });
  route("DELETE", "/v1/guard/sessions/:id", (c, response) => {
    const session = c.req.param("id") ?? "";
    if (!host.service.endSession(session)) throw new SpineError("api_not_found", "no such session");
    sendJson(response, 200, { session_id: session, ended: true });
  });
  for (const [verb, trigger] of [
    ["approve", "user_approval"],
    ["deny", "user_denial"],
  ] as const) {
    route("POST", `/v1/guard/sessions/:id/${verb}`, async (c, response) => {
      const session = c.req.param("id") ?? "";
      const changed = await host.decideSession(session, trigger);
      sendJson(response, 200, { session_id: session, changed, posture: host.service.session(session) ?? null });
    });
  }

  route("GET", "/v1/guard/audit", async (c, response) => {
    const given = query(c, ...FILTERS, "before", "limit", "format", "reveal");
    const { entries, next } = await auditPage(node, readAuditFilter(given), {
      before: readNumber("before", given["before"], { least: 0, most: MAX_SEQ, fallback: await nextSeq(node) }),
      limit: readNumber("limit", given["limit"], { least: 1, most: 1_000, fallback: 100 }),
      scan: MAX_SCAN,
    });
    const shown = given["reveal"] === "true" ? await withTargets(guard.openings, entries) : entries;
    sendAudit(response, given["format"] ?? "json", shown, next);
  });

  route("GET", "/v1/guard/events", (c, response) => {
    query(c);
    return events(response, (signal) => texts(host, signal, (event) => [event.type, event]));
  });
  route("GET", "/api/v1/events", (_, response) => events(response, (signal) => texts(host, signal, upstreamEvent)));
}

async function nextSeq(node: NodeHandle): Promise<number> {
  return ((await node.status()).head?.seq ?? 0) + 1;
}

/** Entries with what their commitments hide, where that is still kept. */
export async function withTargets(folder: string, entries: readonly AuditEntry[]): Promise<readonly AuditEntry[]> {
  const openings = await findOpenings(folder, new Set(entries.map(({ commitment }) => commitment)));
  return entries.map((entry) => {
    const target = openings.get(entry.commitment)?.target;
    return target === undefined ? entry : { ...entry, target };
  });
}

function sendAudit(
  response: ServerResponse,
  format: string,
  entries: readonly AuditEntry[],
  next: number | null,
): void {
  switch (format) {
    case "json":
      return sendJson(response, 200, { entries, next });
    case "jsonl":
      response.setHeader("spine-next", String(next ?? ""));
      return sendText(response, 200, "application/x-ndjson", entries.map((one) => `${JSON.stringify(one)}\n`).join(""));
    case "csv":
      response.setHeader("spine-next", String(next ?? ""));
      return sendText(response, 200, "text/csv; charset=utf-8", csvText(entries));
    default:
      throw new SpineError("api_input", "format: json, jsonl or csv");
  }
}

/** With a line of column names. */
export function csvText(entries: readonly AuditEntry[]): string {
  return [csvLine(AUDIT_COLUMNS), ...entries.map((one) => csvLine(AUDIT_COLUMNS.map((name) => one[name])))].join("");
}

async function* texts(
  host: GuardHost,
  signal: AbortSignal,
  shape: (event: GuardEvent) => readonly [string, object],
): AsyncGenerator<string> {
  for await (const event of host.feed.subscribe(signal)) {
    const [type, data] = shape(event);
    yield `event: ${type}\ndata: ${JSON.stringify(data)}\n\n`;
  }
}

/** Upstream's names; the target stays a commitment. */
function upstreamEvent(event: GuardEvent): readonly [string, object] {
  if (event.type === "policy") return ["policy_reload", { policy_hash: event.policy_hash, changed: event.changed }];
  const { action_type, allowed, guard, severity, policy_hash, session, agent } = event;
  const target = event.commitment === null ? null : `sha256:${event.commitment}`;
  const data = { action_type, target, allowed, guard, severity, policy_hash, session_id: session, agent_id: agent };
  return [event.verdict === "deny" ? "violation" : "check", data];
}
