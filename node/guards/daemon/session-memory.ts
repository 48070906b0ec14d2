/**
 * Sessions over restarts: the receipts of the own chain say in which state each was left, so that no restart lets
 * anybody out of quarantine. A person's word on a session is a fact of its own in the same chain.
 */
import { isJsonObject, type JsonObject } from "../../../spine/index.ts";
import { type AuditSource, factsBackwards } from "../audit.ts";
import type { PostureView } from "../posture.ts";
import { RECEIPT_FACT_SCHEMA } from "../receipt.ts";

export const SESSION_FACT_SCHEMA = "aegis.spine.fact.guard_session.v1";

/** Envelopes looked through at a start. */
const MAX_SCAN = 200_000;

export interface LeftSession {
  readonly name: string;
  readonly view: PostureView;
  /** When it entered that state, as far as known, and when it was last used; milliseconds since the Unix epoch. */
  readonly sinceMs: number;
  readonly lastMs: number;
}

export function sessionFact(name: string, trigger: string, view: PostureView, timestamp: string): JsonObject {
  return {
    schema: SESSION_FACT_SCHEMA,
    session: name,
    trigger,
    state: view.state,
    budgets: view.budgets as unknown as JsonObject,
    timestamp,
  };
}

/** Sessions used since `sinceMs`, the one used last first. */
export async function leftSessions(source: AuditSource, headSeq: number, sinceMs: number): Promise<LeftSession[]> {
  const found = new Map<string, { view: PostureView; sinceMs: number; lastMs: number; settled: boolean }>();
  const schemas = new Set([RECEIPT_FACT_SCHEMA, SESSION_FACT_SCHEMA]);
  for await (const { from, found: facts } of factsBackwards(source, schemas, headSeq + 1)) {
    for (const { fact } of facts) {
      const left = fact["schema"] === SESSION_FACT_SCHEMA ? fromWord(fact) : fromReceipt(fact);
      if (left === undefined) continue;
      if (left.atMs < sinceMs) return list(found);
      const known = found.get(left.name);
      if (known === undefined) {
        found.set(left.name, { view: left.view, sinceMs: left.atMs, lastMs: left.atMs, settled: left.entered });
      } else if (!known.settled) {
        // Going back, the state is the same one as long as nothing was entered.
        known.sinceMs = left.atMs;
        known.settled = left.entered || left.view.state !== known.view.state;
      }
    }
    if (headSeq - from > MAX_SCAN) break;
  }
  return list(found);
}

function list(found: ReadonlyMap<string, Omit<LeftSession, "name">>): LeftSession[] {
  return [...found].map(([name, { view, sinceMs, lastMs }]) => ({ name, view, sinceMs, lastMs }));
}

interface Step {
  readonly name: string;
  readonly view: PostureView;
  readonly atMs: number;
  /** The state was entered by this very step. */
  readonly entered: boolean;
}

function fromWord(fact: JsonObject): Step | undefined {
  const { session, state, budgets, timestamp } = fact as Record<string, unknown>;
  if (typeof session !== "string" || typeof state !== "string" || typeof timestamp !== "string") return undefined;
  const view = { state, budgets: (budgets ?? {}) as PostureView["budgets"] };
  return { name: session, view, atMs: Date.parse(timestamp), entered: true };
}

function fromReceipt(fact: JsonObject): Step | undefined {
  const at = (value: unknown, ...names: readonly string[]): unknown =>
    names.reduce<unknown>(
      (inner, name) => (isJsonObject(inner as JsonObject) ? (inner as JsonObject)[name] : undefined),
      value,
    );
  const name = fact["session"];
  const receipt = at(fact, "receipt", "receipt");
  const posture = at(receipt, "metadata", "clawdstrike", "posture");
  const state = at(posture, "state_after");
  const timestamp = at(receipt, "timestamp");
  if (typeof name !== "string" || typeof state !== "string" || typeof timestamp !== "string") return undefined;
  const budgets = (at(posture, "budgets_after") ?? {}) as PostureView["budgets"];
  const entered = at(posture, "state_before") !== state || isJsonObject(at(posture, "transition") as JsonObject);
  return { name, view: { state, budgets }, atMs: Date.parse(timestamp), entered };
}
