/**
 * The verb `guard check`: cases in, verdicts out, one JSON line each. Offline: it signs nothing and asks no daemon. The
 * command module and the acceptance tests call `runGuardCheck`.
 */
import { lstatSync, readlinkSync } from "node:fs";
import { asSpineError, SpineError } from "../../spine/index.ts";
import { mapOf, parseAction } from "./action.ts";
import { expandInput } from "./check-input.ts";
import { type Dialect, isDialect } from "./dialect.ts";
import { type Decision, GuardEngine } from "./engine.ts";
import type { LinkReader } from "./path-forms.ts";
import { type LoadedPolicy, loadPolicy, loadRuleset } from "./policy/load.ts";
import { errorsIn } from "./policy/problem.ts";
import { SessionPosture } from "./posture.ts";

export interface GuardCheckOptions {
  /** For lines that name none; default: ruleset `default`. */
  readonly policy?: LoadedPolicy;
  /** For lines that name no `profile`. Default `spine`. */
  readonly profile?: Dialect;
  /** Milliseconds since the Unix epoch, for posture time-outs. */
  readonly now: () => number;
  readonly home?: string;
  /** Follow the links of this host for lines that bring no `symlinks`. Default true. */
  readonly followLinks?: boolean;
}

/** One line of output. `error` is set, and the verdict is `deny`, when a line cannot be judged. */
export interface GuardCheckAnswer {
  readonly line: number;
  readonly id?: string;
  readonly verdict: "allow" | "warn" | "deny";
  readonly guard: string;
  readonly severity: string;
  readonly reason: string | null;
  readonly message: string;
  readonly ask?: boolean;
  readonly guards_run?: readonly string[];
  readonly details?: unknown;
  readonly policy_hash?: string;
  readonly state?: string;
  readonly error?: string;
  /** For lines with `steps`: the answer of each. */
  readonly steps?: readonly Omit<GuardCheckAnswer, "line">[];
}

/** Longest line read. */
const MAX_LINE_CHARS = 64 << 20;
/** Policies and engines kept; the oldest goes first. */
const MAX_ENGINES = 256;

/** Yields one answer per non-empty line. Never throws for the content of a line. */
export async function* runGuardCheck(
  lines: AsyncIterable<string> | Iterable<string>,
  options: GuardCheckOptions,
): AsyncIterable<GuardCheckAnswer> {
  const engines = new Map<string, { engine: GuardEngine; policy: LoadedPolicy }>();
  let line = 0;
  for await (const text of lines) {
    line++;
    if (text.trim() === "") continue;
    try {
      if (text.length > MAX_LINE_CHARS)
        throw new SpineError("api_input", `line longer than ${MAX_LINE_CHARS} characters`);
      yield { line, ...answerLine(mapOf(JSON.parse(text), "line"), options, engines) };
    } catch (caught) {
      const error = asSpineError(caught, "api_input");
      yield {
        line,
        verdict: "deny",
        guard: "engine",
        severity: "critical",
        reason: "unusable_request",
        message: error.message,
        error: error.code,
      };
    }
  }
}

type Engines = Map<string, { engine: GuardEngine; policy: LoadedPolicy }>;

function answerLine(
  from: Readonly<Record<string, unknown>>,
  options: GuardCheckOptions,
  engines: Engines,
): Omit<GuardCheckAnswer, "line"> {
  const profile = profileOf(from, options);
  const id = typeof from["id"] === "string" ? { id: from["id"] } : {};
  if (Array.isArray(from["steps"])) return { ...id, ...answerSteps(from, from["steps"], profile, options, engines) };
  const action = mapOf(from["action"] ?? from, "action");
  const { engine, policy } = engineOf(from["policy"], action["symlinks"], profile, options, engines);
  const { action: parsed, caller } = parseAction(expandInput(withoutLinks(action)));
  const posture = policy.effective.posture;
  const nowMs = options.now();
  const session = posture === null ? undefined : { session: new SessionPosture(posture, nowMs), nowMs };
  return { ...id, ...answerOf(engine.decide(parsed, caller, session)) };
}

/** `profile`, or for lines that compare with upstream (`kind: parity`) the upstream line they name. */
function profileOf(from: Readonly<Record<string, unknown>>, options: GuardCheckOptions): Dialect {
  const named = from["profile"] ?? (from["kind"] === "parity" ? from["upstream"] : undefined);
  if (named === undefined) return options.profile ?? "spine";
  if (!isDialect(named)) throw new SpineError("api_input", `unknown profile ${JSON.stringify(named)}`);
  return named;
}

function answerSteps(
  from: Readonly<Record<string, unknown>>,
  steps: readonly unknown[],
  profile: Dialect,
  options: GuardCheckOptions,
  engines: Engines,
): Omit<GuardCheckAnswer, "line"> {
  const { engine, policy } = engineOf(from["policy"], undefined, profile, options, engines);
  const posture = policy.effective.posture;
  const session = posture === null ? undefined : new SessionPosture(posture, options.now());
  const answers: Omit<GuardCheckAnswer, "line">[] = [];
  let last: Omit<GuardCheckAnswer, "line"> | undefined;
  for (const value of steps) {
    const step = mapOf(value, "step");
    const nowMs = options.now();
    const trigger = step["transition"];
    if (trigger === "user_approval" || trigger === "user_denial") session?.trigger(trigger, nowMs);
    else if (trigger !== undefined) throw new SpineError("api_input", `unknown transition ${JSON.stringify(trigger)}`);
    if (step["action"] !== undefined) {
      const { action, caller } = parseAction(expandInput(withoutLinks(mapOf(step["action"], "action"))));
      last = answerOf(engine.decide(action, caller, session === undefined ? undefined : { session, nowMs }));
    }
    const view = session?.view();
    const state = view === undefined ? {} : { state: view.state, details: { budgets: view.budgets } };
    answers.push({ ...(last ?? idle()), ...state });
  }
  return { ...(answers.at(-1) ?? idle()), steps: answers };
}

function idle(): Omit<GuardCheckAnswer, "line"> {
  return { verdict: "allow", guard: "engine", severity: "info", reason: null, message: "Nothing was asked" };
}

function withoutLinks(action: Readonly<Record<string, unknown>>): Readonly<Record<string, unknown>> {
  const { symlinks: _, ...rest } = action;
  return rest;
}

function answerOf(decision: Decision): Omit<GuardCheckAnswer, "line"> {
  return {
    verdict: decision.verdict,
    guard: decision.guard,
    severity: decision.severity,
    reason: decision.reason ?? null,
    message: decision.message,
    ...(decision.ask && { ask: true }),
    guards_run: decision.results.map((result) => result.guard),
    ...(decision.details !== undefined && { details: decision.details }),
    policy_hash: decision.policyHash,
  };
}

function engineOf(
  policy: unknown,
  symlinks: unknown,
  profile: Dialect,
  options: GuardCheckOptions,
  engines: Engines,
): { engine: GuardEngine; policy: LoadedPolicy } {
  const key = JSON.stringify([profile, policy ?? null, symlinks ?? null]);
  const known = engines.get(key);
  if (known !== undefined) return known;
  const loaded = policyOf(policy, profile, options);
  const readLink = linksOf(symlinks, options);
  const made = {
    policy: loaded,
    engine: new GuardEngine(loaded, {
      ...(readLink !== undefined && { readLink }),
      ...(options.home !== undefined && { home: options.home }),
    }),
  };
  if (engines.size >= MAX_ENGINES) engines.delete(engines.keys().next().value as string);
  engines.set(key, made);
  return made;
}

function policyOf(value: unknown, profile: Dialect, options: GuardCheckOptions): LoadedPolicy {
  if (value === undefined || value === null) {
    if (options.policy !== undefined && options.policy.dialect === profile) return options.policy;
    return usable(loadRuleset("default", { dialect: profile }));
  }
  const from = mapOf(value, "policy");
  if (typeof from["ruleset"] === "string") return usable(loadRuleset(from["ruleset"], { dialect: profile }));
  if (typeof from["yaml"] === "string") return usable(loadPolicy(from["yaml"], { dialect: profile }));
  throw new SpineError("api_input", "policy must be {ruleset} or {yaml}");
}

function usable(result: ReturnType<typeof loadPolicy>): LoadedPolicy {
  if (result.policy !== undefined) return result.policy;
  const first = errorsIn(result.problems)[0];
  throw new SpineError("config_invalid", `policy ${first?.path ?? ""}: ${first?.message ?? "unusable"}`);
}

function linksOf(symlinks: unknown, options: GuardCheckOptions): LinkReader | undefined {
  if (symlinks === undefined || symlinks === null) return options.followLinks === false ? undefined : readHostLink;
  const links = mapOf(symlinks, "symlinks");
  return (path) => (Object.hasOwn(links, path) && typeof links[path] === "string" ? links[path] : undefined);
}

/**
 * A link's target on this host. What can be neither seen nor said to be absent throws: the path is then refused. Most
 * components are no links, and asking for a link's target first would make an error object of each of them.
 */
export const readHostLink: LinkReader = (path) =>
  lstatSync(path, { throwIfNoEntry: false })?.isSymbolicLink() === true ? readlinkSync(path) : undefined;
