/**
 * Posture (spec/guards.md section 1.7): a session's state grants capabilities and budgets; violations, approvals, time and
 * used-up budgets move it. One `SessionPosture` per session; the engine asks it before and tells it after each decision.
 */
import type { Action } from "./action.ts";
import type { PosturePolicy, Trigger } from "./policy/effective.ts";
import { deny, type GuardResult } from "./verdict.ts";

export interface PostureTransition {
  readonly from: string;
  readonly to: string;
  readonly trigger: Trigger;
  /** Milliseconds since the Unix epoch. */
  readonly at: number;
}

/** What receipts and answers show. */
export interface PostureView {
  readonly state: string;
  readonly budgets: Readonly<Record<string, { readonly used: number; readonly limit: number }>>;
  readonly transition?: PostureTransition;
}

const BUDGET_OF: Readonly<Record<Action["type"], string | undefined>> = {
  file_access: undefined,
  file_write: "file_writes",
  egress: "egress_calls",
  shell: "shell_commands",
  mcp_tool: "mcp_tool_calls",
  patch: "patches",
  custom: "custom_calls",
};
const UNIT_MS: Readonly<Record<string, number>> = { s: 1000, m: 60_000, h: 3_600_000 };

export class SessionPosture {
  readonly #policy: PosturePolicy;
  #state: string;
  #enteredMs: number;
  #used = new Map<string, number>();
  #transition: PostureTransition | undefined;

  /** `left`: the view of an earlier one to go on from, whose state the policy has; `nowMs` is then when it was entered. */
  constructor(policy: PosturePolicy, nowMs: number, left?: PostureView) {
    this.#policy = policy;
    this.#state = left?.state ?? policy.initial;
    this.#enteredMs = nowMs;
    for (const [name, { used }] of Object.entries(left?.budgets ?? {})) this.#used.set(name, used);
  }

  view(): PostureView {
    const limits = this.#limits();
    return {
      state: this.#state,
      budgets: Object.fromEntries(
        Object.entries(limits).map(([name, limit]) => [name, { used: this.#used.get(name) ?? 0, limit }]),
      ),
      ...(this.#transition !== undefined && { transition: this.#transition }),
    };
  }

  /** Applies time-outs that are due, then refuses what the state does not grant. Undefined: go on to the guards. */
  before(action: Action, nowMs: number): GuardResult | undefined {
    this.#transition = undefined;
    this.#expire(nowMs);
    const state = this.#policy.states[this.#state];
    if (state === undefined || !state.capabilities.includes(action.type)) {
      return deny("posture", "error", `State ${this.#state} does not permit ${action.type}`, "capability_missing", {
        state: this.#state,
      });
    }
    const budget = BUDGET_OF[action.type];
    const limit = budget === undefined ? undefined : this.#limits()[budget];
    if (budget === undefined || limit === undefined || (this.#used.get(budget) ?? 0) < limit) return undefined;
    const state0 = this.#state;
    const used = this.#used.get(budget) ?? 0;
    this.#fire("budget_exhausted", nowMs);
    return deny("posture_budget", "error", `budget '${budget}' exhausted (${used}/${limit})`, "budget_exhausted", {
      state: state0,
      budget,
      used,
      limit,
    });
  }

  /** Takes one unit for an allowed action, or lets a denial move the state. */
  after(action: Action, decided: GuardResult, nowMs: number): void {
    if (!decided.allowed) {
      this.#fire(decided.severity === "critical" ? "critical_violation" : "any_violation", nowMs);
      return;
    }
    const budget = BUDGET_OF[action.type];
    const limit = budget === undefined ? undefined : this.#limits()[budget];
    if (budget === undefined || limit === undefined) return;
    const used = (this.#used.get(budget) ?? 0) + 1;
    this.#used.set(budget, used);
    if (used >= limit) this.#fire("budget_exhausted", nowMs);
  }

  /** A person approved or denied, or an operator moves the session. True when the state changed. */
  trigger(trigger: "user_approval" | "user_denial", nowMs: number): boolean {
    this.#transition = undefined;
    this.#expire(nowMs);
    return this.#fire(trigger, nowMs);
  }

  /** The state `trigger` would move the session to at `nowMs`; undefined when to none. Changes nothing but due time-outs. */
  leadsTo(trigger: Trigger, nowMs: number): string | undefined {
    this.#expire(nowMs);
    return this.#policy.transitions.find((one) => one.on === trigger && this.#leaves(one.from))?.to;
  }

  #limits(): Readonly<Record<string, number>> {
    return this.#policy.states[this.#state]?.budgets ?? {};
  }

  /** At most one time-out per state entered, and no state twice, so cycles of short time-outs end. */
  #expire(nowMs: number): void {
    for (let hops = Object.keys(this.#policy.states).length; hops > 0; hops--) {
      const due = this.#policy.transitions.find(
        (transition) =>
          transition.on === "timeout" &&
          this.#leaves(transition.from) &&
          nowMs - this.#enteredMs >= durationMs(transition.after ?? "") &&
          transition.to !== this.#state,
      );
      if (due === undefined) return;
      this.#enter(due.to, "timeout", nowMs);
    }
  }

  #leaves(from: string): boolean {
    return from === "*" || from === this.#state;
  }

  #fire(trigger: Trigger, nowMs: number): boolean {
    const next = this.#policy.transitions.find((one) => one.on === trigger && this.#leaves(one.from));
    if (next === undefined) return false;
    this.#enter(next.to, trigger, nowMs);
    return true;
  }

  /** Entering a state gives fresh budgets. */
  #enter(to: string, trigger: Trigger, nowMs: number): void {
    this.#transition = { from: this.#state, to, trigger, at: nowMs };
    this.#state = to;
    this.#enteredMs = nowMs;
    this.#used = new Map();
  }
}

function durationMs(text: string): number {
  const parts = /^(\d+)([smh])$/.exec(text);
  return parts === null ? Number.POSITIVE_INFINITY : Number(parts[1]) * (UNIT_MS[parts[2] as string] as number);
}
