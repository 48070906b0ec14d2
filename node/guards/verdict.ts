/** What a guard answers and what a decision is made of (spec/guards.md sections 2 and 3.2). Every guard and the engine use it. */

/** Weakest first; the order is the rank. */
export const SEVERITIES = ["info", "warning", "error", "critical"] as const;
export type Severity = (typeof SEVERITIES)[number];
export type Verdict = "allow" | "warn" | "deny";

/** One guard's answer to one effect of a call. */
export interface GuardResult {
  readonly guard: string;
  readonly allowed: boolean;
  readonly severity: Severity;
  /** One sentence for the agent; never holds a secret or the judged text. */
  readonly message: string;
  /** Stable code of the rule that spoke, such as `matches_forbidden_pattern`. */
  readonly reason?: string;
  /** A person must approve: harnesses map it to their own prompt, and a caller that cannot ask treats it as a denial. */
  readonly ask?: boolean;
  /** Evidence: counts, pattern names, positions; never raw secrets. */
  readonly details?: Readonly<Record<string, unknown>>;
}

export function severityRank(severity: Severity): number {
  return SEVERITIES.indexOf(severity);
}

export function allow(guard: string, details?: Readonly<Record<string, unknown>>): GuardResult {
  return { guard, allowed: true, severity: "info", message: "Allowed", ...(details && { details }) };
}

export function warn(
  guard: string,
  message: string,
  reason: string,
  details?: Readonly<Record<string, unknown>>,
): GuardResult {
  return { guard, allowed: true, severity: "warning", message, reason, ...(details && { details }) };
}

export function deny(
  guard: string,
  severity: Severity,
  message: string,
  reason: string,
  details?: Readonly<Record<string, unknown>>,
): GuardResult {
  return { guard, allowed: false, severity, message, reason, ...(details && { details }) };
}

/** Warn = allowed with severity warning (or above, for results that a custom guard gives). */
export function verdictOf(result: Pick<GuardResult, "allowed" | "severity">): Verdict {
  if (!result.allowed) return "deny";
  return severityRank(result.severity) >= severityRank("warning") ? "warn" : "allow";
}

/**
 * The result that decides: the first one, replaced by a later one only if that one denies and the present one does
 * not, or has the same deny-state and a strictly higher severity. Undefined for an empty list.
 */
export function decisive<T extends Pick<GuardResult, "allowed" | "severity">>(results: readonly T[]): T | undefined {
  let best: T | undefined;
  for (const result of results) {
    if (best === undefined) best = result;
    else if (best.allowed && !result.allowed) best = result;
    else if (best.allowed === result.allowed && severityRank(result.severity) > severityRank(best.severity))
      best = result;
  }
  return best;
}
