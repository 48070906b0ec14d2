/** A verdict as each harness wants to read it: the JSON of its documentation, and exit code 2 for whatever is blocked. */
import { canAsk, type Harness, type Phase } from "./harness.ts";

export type Outcome = "allow" | "ask" | "deny";

export interface HookAnswer {
  readonly outcome: Outcome;
  /** The harness's own shape. */
  readonly body: Readonly<Record<string, unknown>>;
  /** 2 blocks in all four harnesses; what a hook printed is then read from standard error. */
  readonly exit: 0 | 2;
  /** One line for the agent; empty when there is nothing to say. */
  readonly reason: string;
}

/** Where a harness has no prompt of its own at this event, `ask` is the denial it would be without a person. */
export function hookAnswer(
  harness: Harness,
  event: string,
  phase: Phase,
  wanted: Outcome,
  message: string,
): HookAnswer {
  const asks = wanted === "ask" && canAsk(harness, event);
  const outcome: Outcome = wanted === "ask" && !asks ? "deny" : wanted;
  const reason =
    wanted === "ask" && !asks ? `${message} (a person must allow this, and this harness cannot ask here)` : message;
  const body =
    harness === "cursor" ? cursorBody(event, phase, outcome, reason) : bodyOf(harness, event, phase, outcome, reason);
  return { outcome, body, exit: outcome === "deny" ? 2 : 0, reason };
}

function bodyOf(harness: Harness, event: string, phase: Phase, outcome: Outcome, reason: string): HookAnswer["body"] {
  if (phase === "quiet" || (phase !== "before" && outcome === "allow")) return {};
  if (harness === "gemini-cli") return outcome === "allow" ? { decision: "allow" } : { decision: "deny", reason };
  if (phase !== "before") return { decision: "block", reason };
  // "allow" would switch off the harness's own question to its user, and Codex knows no such answer: no opinion instead.
  if (outcome === "allow") return {};
  return {
    hookSpecificOutput: { hookEventName: event, permissionDecision: outcome, permissionDecisionReason: reason },
  };
}

function cursorBody(event: string, phase: Phase, outcome: Outcome, reason: string): HookAnswer["body"] {
  if (phase === "prompt") return outcome === "deny" ? { continue: false, user_message: reason } : { continue: true };
  if (phase === "quiet") return {};
  if (phase === "after") return outcome === "deny" && event === "postToolUse" ? { additional_context: reason } : {};
  if (outcome === "allow") return { permission: "allow" };
  return { permission: outcome, user_message: reason, agent_message: reason };
}
