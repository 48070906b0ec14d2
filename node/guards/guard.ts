/** What a guard is: the one interface of built-in and custom guards, called by the engine in its documented order. */
import type { Action } from "./action.ts";
import type { Dialect } from "./dialect.ts";
import type { PathForms } from "./path-forms.ts";
import type { GuardResult } from "./verdict.ts";

export interface GuardContext {
  readonly dialect: Dialect;
  /** The agent's working directory, absolute. */
  readonly cwd?: string | undefined;
  readonly home?: string | undefined;
  /** All forms of a path under the agent's cwd, or under another one (a shell's after `cd`). Cached for one decision. */
  readonly forms: (path: string, cwd?: string) => PathForms;
  /** Runs all guards on something this action would do besides; for guards that take calls apart. */
  readonly judge: (effect: Action, cwd?: string) => readonly GuardResult[];
}

export interface Guard {
  readonly name: string;
  /** Undefined: this guard has no say on such actions. A throw counts as a denial. */
  check(action: Action, context: GuardContext): GuardResult | undefined;
}

/** A guard that must wait for something (a service, a model). It only runs when everything before it allowed. */
export interface AsyncGuard {
  readonly name: string;
  /** Rejects or outlasts the deadline: what the policy says about time-outs applies. */
  check(
    action: Action,
    context: GuardContext,
    signal: AbortSignal,
    /** What the synchronous guards said; none of them denies. */
    before: readonly GuardResult[],
  ): Promise<GuardResult | undefined>;
}
