/**
 * The audit: receipts of decisions read back from a node's own chain, newest first, with filters. The chain is the
 * record and there is no second one. `spine guard audit` and `/v1/guard/audit` call it; openings are joined by them.
 */
import { isJsonObject, type Json, type JsonObject, parseJson, SpineError } from "../../spine/index.ts";
import { RECEIPT_FACT_SCHEMA } from "./receipt.ts";

export interface AuditFilter {
  readonly verdict?: string;
  /** Denied, or not. */
  readonly blocked?: boolean;
  readonly guard?: string;
  readonly action_type?: string;
  readonly reason?: string;
  readonly session?: string;
  readonly agent?: string;
  readonly harness?: string;
  /** 64 hex digits. */
  readonly policy_hash?: string;
  /** Milliseconds since the Unix epoch; `until` is not included. */
  readonly sinceMs?: number;
  readonly untilMs?: number;
}

/** One decision as the audit shows it. */
export interface AuditEntry {
  readonly seq: number;
  readonly envelope_hash: string;
  /** When it was decided, RFC 3339. */
  readonly timestamp: string;
  readonly verdict: string;
  readonly ask: boolean;
  readonly guard: string;
  readonly severity: string;
  readonly reason: string | null;
  readonly action_type: string;
  readonly commitment: string;
  /** What was decided on, as canonical JSON, where it was asked for and can still be opened. */
  readonly target?: string;
  readonly session: string | null;
  readonly agent: string | null;
  readonly uid: number | null;
  readonly harness: string | null;
  readonly tier: string;
  readonly mode: string;
  readonly policy_hash: string;
  readonly policy_state: string;
  readonly revocations_age_ms: number | null;
  readonly latency_us: number | null;
}

export interface AuditPage {
  readonly entries: readonly AuditEntry[];
  /** Pass as `before` to go on; null when the beginning of the chain was reached. */
  readonly next: number | null;
}

export interface AuditSource {
  readonly issuer: string;
  range(issuer: string, from: number, to: number, limit: number): AsyncIterable<string>;
}

export const AUDIT_COLUMNS: readonly (keyof AuditEntry)[] = [
  "seq",
  "timestamp",
  "verdict",
  "ask",
  "guard",
  "severity",
  "reason",
  "action_type",
  "session",
  "agent",
  "uid",
  "harness",
  "tier",
  "mode",
  "policy_hash",
  "policy_state",
  "revocations_age_ms",
  "latency_us",
  "commitment",
  "envelope_hash",
  "target",
];

const WINDOW = 500;

/** A receipt fact of an envelope, or undefined for any other. */
export interface StoredReceipt {
  readonly seq: number;
  readonly envelopeHash: string;
  readonly fact: JsonObject;
}

/**
 * Facts of one schema in the own chain below seq `before`, newest first, with the seq each window began at. Ends at the
 * beginning of the chain.
 */
export async function* factsBackwards(
  source: AuditSource,
  schemas: ReadonlySet<string>,
  before: number,
): AsyncGenerator<{ readonly from: number; readonly found: readonly StoredReceipt[] }> {
  for (let to = before - 1; to >= 0; to -= WINDOW) {
    const from = Math.max(0, to - WINDOW + 1);
    const found: StoredReceipt[] = [];
    for await (const text of source.range(source.issuer, from, to, WINDOW)) {
      // Reading the text is far cheaper than parsing what is no receipt.
      if (![...schemas].some((schema) => text.includes(schema))) continue;
      const envelope = parseJson(text);
      if (!isJsonObject(envelope) || !isJsonObject(envelope["fact"])) continue;
      const { fact, seq, envelope_hash: hash } = envelope as { fact: JsonObject; seq: number; envelope_hash: string };
      if (schemas.has(fact["schema"] as string)) found.push({ seq, envelopeHash: hash, fact });
    }
    yield { from, found: found.reverse() };
  }
}

/** At most `limit` entries from at most `scan` envelopes below `before`. */
export async function auditPage(
  source: AuditSource,
  filter: AuditFilter,
  page: { readonly before: number; readonly limit: number; readonly scan: number },
): Promise<AuditPage> {
  const entries: AuditEntry[] = [];
  for await (const { from, found } of factsBackwards(source, new Set([RECEIPT_FACT_SCHEMA]), page.before)) {
    for (const receipt of found) {
      const entry = entryOf(receipt);
      if (filter.sinceMs !== undefined && Date.parse(entry.timestamp) < filter.sinceMs) return { entries, next: null };
      if (!matches(entry, filter)) continue;
      entries.push(entry);
      if (entries.length === page.limit) return { entries, next: receipt.seq > 0 ? receipt.seq : null };
    }
    if (from === 0) break;
    if (page.before - from >= page.scan) return { entries, next: from };
  }
  return { entries, next: null };
}

/** Entries `offset` to `offset + limit` of all that match, newest first, and how many match in `scan` envelopes below `before`. */
export async function auditWindow(
  source: AuditSource,
  filter: AuditFilter,
  page: { readonly before: number; readonly offset: number; readonly limit: number; readonly scan: number },
): Promise<{ readonly entries: readonly AuditEntry[]; readonly total: number; readonly complete: boolean }> {
  const entries: AuditEntry[] = [];
  let total = 0;
  for await (const { from, found } of factsBackwards(source, new Set([RECEIPT_FACT_SCHEMA]), page.before)) {
    for (const entry of found.map(entryOf)) {
      if (!matches(entry, filter)) continue;
      if (total >= page.offset && entries.length < page.limit) entries.push(entry);
      total++;
    }
    if (from > 0 && page.before - from >= page.scan) return { entries, total, complete: false };
  }
  return { entries, total, complete: true };
}

function entryOf({ seq, envelopeHash, fact }: StoredReceipt): AuditEntry {
  const decision = object(fact["decision"]);
  const action = object(fact["action"]);
  const agent = object(fact["agent"]);
  const harness = object(fact["harness"]);
  const receipt = object(object(fact["receipt"])["receipt"]);
  return {
    seq,
    envelope_hash: envelopeHash,
    timestamp: text(receipt["timestamp"]) ?? "",
    verdict: text(decision["verdict"]) ?? "",
    ask: decision["ask"] === true,
    guard: text(decision["guard"]) ?? "",
    severity: text(decision["severity"]) ?? "",
    reason: text(decision["reason"]),
    action_type: text(action["type"]) ?? "",
    commitment: (text(action["target_commitment"]) ?? "").replace(/^0x/, ""),
    session: text(fact["session"]),
    agent: text(agent["id"]),
    uid: count(agent["uid"]),
    harness: text(harness["kind"]),
    tier: text(fact["tier"]) ?? "",
    mode: text(fact["mode"]) ?? "",
    policy_hash: (text(fact["policy_hash"]) ?? "").replace(/^0x/, ""),
    policy_state: text(fact["policy_state"]) ?? "",
    revocations_age_ms: count(fact["revocations_age_ms"]),
    latency_us: count(fact["latency_us"]),
  };
}

function object(value: Json | undefined): JsonObject {
  return isJsonObject(value) ? value : {};
}
function text(value: Json | undefined): string | null {
  return typeof value === "string" ? value : null;
}
function count(value: Json | undefined): number | null {
  return typeof value === "number" ? value : null;
}

function matches(entry: AuditEntry, filter: AuditFilter): boolean {
  const { sinceMs: _, untilMs, policy_hash: hash, blocked, ...exact } = filter;
  if (blocked !== undefined && (entry.verdict === "deny") !== blocked) return false;
  if (untilMs !== undefined && Date.parse(entry.timestamp) >= untilMs) return false;
  if (hash !== undefined && entry.policy_hash !== hash.replace(/^0x/, "")) return false;
  return Object.entries(exact).every(([name, wanted]) => entry[name as keyof AuditEntry] === wanted);
}

/** One line of CSV (RFC 4180). A cell that a spreadsheet would compute is prefixed with an apostrophe. */
export function csvLine(cells: readonly unknown[]): string {
  const texts = cells.map((cell) => {
    const plain = cell === null || cell === undefined ? "" : String(cell);
    const safe = typeof cell === "string" && /^[=+\-@\t\r]/.test(plain) ? `'${plain}` : plain;
    return /[",\r\n]/.test(safe) ? `"${safe.replaceAll('"', '""')}"` : safe;
  });
  return `${texts.join(",")}\r\n`;
}

/** Texts of filters, as query parameters and options give them. Throws `api_input` naming the one that is wrong. */
export function readAuditFilter(given: Readonly<Record<string, string | undefined>>): AuditFilter {
  const filter: Record<string, string | number> = {};
  for (const name of ["guard", "action_type", "reason", "session", "agent", "harness"] as const)
    if (given[name] !== undefined) filter[name] = given[name];
  const { verdict, policy_hash: hash, since, until } = given;
  if (verdict !== undefined) {
    if (!["allow", "warn", "deny"].includes(verdict)) throw new SpineError("api_input", "verdict: allow, warn or deny");
    filter["verdict"] = verdict;
  }
  if (hash !== undefined) {
    if (!/^(?:0x)?[0-9a-f]{64}$/.test(hash)) throw new SpineError("api_input", "policy_hash: 64 hex digits");
    filter["policy_hash"] = hash;
  }
  if (since !== undefined) filter["sinceMs"] = timeOf("since", since);
  if (until !== undefined) filter["untilMs"] = timeOf("until", until);
  return filter;
}

/** RFC 3339, or an age such as `15m`, `2h`, `7d`. */
function timeOf(name: string, value: string): number {
  const age = /^(\d{1,6})([smhd])$/.exec(value);
  const unitMs = { s: 1000, m: 60_000, h: 3_600_000, d: 86_400_000 };
  if (age !== null) return Date.now() - Number(age[1]) * unitMs[age[2] as keyof typeof unitMs];
  const time = /^\d{4}-\d\d-\d\d/.test(value) ? Date.parse(value) : Number.NaN;
  if (Number.isNaN(time))
    throw new SpineError("api_input", `${name}: a time such as 2026-01-31T12:00:00Z, or 15m, 2h, 7d`);
  return time;
}
