/**
 * The engine (spec/guards.md section 3.2): canonical forms, guards in their documented order, every derived effect, one
 * decision. Nothing that goes wrong inside ends in permission. The daemon holds one engine per policy.
 */
import type { Action, Caller } from "./action.ts";
import { computerUseGuard } from "./computer-use.ts";
import { deriveEffects } from "./derive.ts";
import type { Dialect } from "./dialect.ts";
import { egressAllowlistGuard } from "./egress-allowlist.ts";
import { forbiddenPathGuard } from "./forbidden-path.ts";
import type { AsyncGuard, Guard, GuardContext } from "./guard.ts";
import { inputInjectionGuard } from "./input-injection.ts";
import { jailbreakGuard, type TextLayer } from "./jailbreak.ts";
import { mcpToolGuard } from "./mcp-tool.ts";
import { type LearnedLayer, learnedLayer } from "./model/learned-layer.ts";
import { patchIntegrityGuard } from "./patch-integrity.ts";
import { pathAllowlistGuard } from "./path-allowlist.ts";
import { type LinkReader, type PathForms, pathForms } from "./path-forms.ts";
import type { EffectivePolicy } from "./policy/effective.ts";
import type { LoadedPolicy } from "./policy/load.ts";
import type { SessionPosture } from "./posture.ts";
import { promptInjectionGuard } from "./prompt-injection.ts";
import { secretLeakGuard } from "./secret-leak.ts";
import { selfProtectionGuard } from "./self-protection.ts";
import { shellCommandGuard } from "./shell-command.ts";
import { sideChannelGuard } from "./side-channel.ts";
import { allow, decisive, deny, type GuardResult, type Severity, type Verdict, verdictOf } from "./verdict.ts";

export interface Decision {
  readonly verdict: Verdict;
  readonly allowed: boolean;
  /** A person must approve before the action may go on. */
  readonly ask: boolean;
  /** The guard that decided; `engine` when none had a say. */
  readonly guard: string;
  readonly severity: Severity;
  readonly message: string;
  readonly reason?: string;
  readonly details?: Readonly<Record<string, unknown>>;
  /** Every result in order: of the call itself, then of what was derived from it. */
  readonly results: readonly GuardResult[];
  readonly policyHash: string;
}

/** Makes the guard for a `custom_guards` entry; throws when its configuration is wrong. */
export type CustomGuardFactory = (config: Readonly<Record<string, unknown>>) => Guard;

export interface EngineOptions {
  /** Symbolic links on the agent's host; absent: paths are judged as written. */
  readonly readLink?: LinkReader;
  readonly home?: string;
  /** Globs of the node's own files. */
  readonly selfPaths?: readonly string[];
  /** By `id` of `custom_guards`. */
  readonly customGuards?: Readonly<Record<string, CustomGuardFactory>>;
  /** By package name, for `guards.custom`. */
  readonly asyncGuards?: readonly AsyncGuard[];
  readonly textLayers?: readonly TextLayer[];
  /** The learned classifier of texts; absent: the shipped one as trained. `false`: texts are judged by rules alone. */
  readonly learned?: LearnedLayer | false;
  /** All asynchronous guards together may take this long; what is late counts as a denial. Default 2000. */
  readonly asyncBudgetMs?: number;
}

const MAX_JUDGE_DEPTH = 4;
/** What counts against a text that is a path only perhaps. */
const PROHIBITIONS: ReadonlySet<string> = new Set([
  "matches_forbidden_pattern",
  "self_protection",
  "wildcard_reaches_forbidden_path",
  "wildcard_may_reach_forbidden_path",
]);

export class GuardEngine {
  readonly policyHash: string;
  readonly #dialect: Dialect;
  readonly #policy: EffectivePolicy;
  readonly #guards: readonly Guard[];
  readonly #options: EngineOptions;
  /** A policy that cannot be carried out denies everything, and says why. */
  readonly #broken: GuardResult | undefined;

  constructor(policy: LoadedPolicy, options: EngineOptions = {}) {
    this.policyHash = policy.hash;
    this.#dialect = policy.dialect;
    this.#policy = policy.effective;
    this.#options = options;
    try {
      this.#guards = buildGuards(policy.effective, policy.dialect, options);
    } catch (caught) {
      this.#guards = [];
      const message = caught instanceof Error ? caught.message : String(caught);
      this.#broken = deny("engine", "critical", `The policy cannot be carried out: ${message}`, "configuration_error");
    }
  }

  get policy(): EffectivePolicy {
    return this.#policy;
  }

  /** The synchronous guards' decision. Never throws. `posture` is the session's, when the policy has states. */
  decide(
    action: Action,
    caller: Caller,
    posture?: { readonly session: SessionPosture; readonly nowMs: number },
  ): Decision {
    if (this.#broken !== undefined) return this.#decision([this.#broken], action);
    if (this.#policy.posture !== null && posture === undefined) {
      return this.#decision(
        [deny("posture", "error", "The policy has states and the request names no session", "session_missing")],
        action,
      );
    }
    const refused = posture?.session.before(action, posture.nowMs);
    if (refused !== undefined) return this.#decision([refused], action);
    const decision = this.#decision(this.#judgeAll(action, caller), action);
    posture?.session.after(action, decision, posture.nowMs);
    return decision;
  }

  /**
   * As `decide`, then the asynchronous guards if everything so far allowed. Resolves within the budget; a guard that
   * throws, rejects or is late denies.
   */
  async check(
    action: Action,
    caller: Caller,
    posture?: { readonly session: SessionPosture; readonly nowMs: number },
  ): Promise<Decision> {
    const first = this.decide(action, caller, posture);
    const late = this.#options.asyncGuards ?? [];
    if (!first.allowed || late.length === 0) return first;
    const budgetMs = this.#options.asyncBudgetMs ?? 2000;
    const signal = AbortSignal.timeout(budgetMs);
    const context = this.#context(caller, 0);
    const results = await Promise.all(late.map((guard) => runAsync(guard, action, context, signal, first.results)));
    const decision = this.#decision([...first.results, ...results.flatMap((result) => result ?? [])], action);
    if (!decision.allowed) posture?.session.after(action, decision, posture.nowMs);
    return decision;
  }

  #judgeAll(action: Action, caller: Caller): readonly GuardResult[] {
    const context = this.#context(caller, 0);
    const results = [...this.#run(action, context)];
    if (this.#dialect !== "spine" || this.#stops(results)) return results;
    try {
      const { effects, overflow } = deriveEffects(action, caller.cwd);
      if (overflow) results.push(deny("engine", "error", "The call does more than can be judged", "too_many_effects"));
      for (const effect of effects) {
        if (this.#stops(results)) break;
        const { action: what, cwd, doubtful } = effect;
        const spoken = (cwd === undefined ? this.#run(what, context) : context.judge(what, cwd)).filter(
          (result) => verdictOf(result) !== "allow" && !(doubtful === true && !PROHIBITIONS.has(result.reason ?? "")),
        );
        results.push(...spoken);
      }
    } catch (caught) {
      results.push(failure("engine", caught));
    }
    return results;
  }

  #stops(results: readonly GuardResult[]): boolean {
    return this.#policy.settings.fail_fast && results.some((result) => !result.allowed);
  }

  #run(action: Action, context: GuardContext): readonly GuardResult[] {
    const results: GuardResult[] = [];
    for (const guard of this.#guards) {
      let result: GuardResult | undefined;
      try {
        result = guard.check(action, context);
      } catch (caught) {
        result = failure(guard.name, caught);
      }
      if (result === undefined) continue;
      results.push(result);
      if (this.#stops(results)) break;
    }
    return results;
  }

  #context(caller: Caller, depth: number): GuardContext {
    const cache = new Map<string, PathForms>();
    const { home } = this.#options;
    const readLink = remembering(this.#options.readLink);
    const forms = (path: string, cwd = caller.cwd): PathForms => {
      const key = `${cwd ?? ""}\0${path}`;
      let found = cache.get(key);
      if (found === undefined) {
        found = pathForms(path, { cwd, home, readLink }, this.#dialect);
        if (cache.size < 4096) cache.set(key, found);
      }
      return found;
    };
    return {
      dialect: this.#dialect,
      cwd: caller.cwd,
      home,
      forms,
      judge: (effect, cwd) => {
        if (depth >= MAX_JUDGE_DEPTH)
          return [deny("engine", "error", "The call nests too deep to be judged", "too_deep")];
        return this.#run(
          effect,
          cwd === undefined || cwd === caller.cwd
            ? { ...this.#context(caller, depth + 1), forms }
            : this.#context({ ...caller, cwd }, depth + 1),
        );
      },
    };
  }

  #decision(results: readonly GuardResult[], action: Action): Decision {
    const handled = results.filter((result) => result.guard !== "self_protection" || verdictOf(result) !== "allow");
    const decided = decisive(handled) ?? this.#unhandled(action);
    return {
      verdict: verdictOf(decided),
      allowed: decided.allowed,
      ask: decided.ask === true,
      guard: decided.guard,
      severity: decided.severity,
      message: decided.message,
      ...(decided.reason !== undefined && { reason: decided.reason }),
      ...(decided.details !== undefined && { details: decided.details }),
      results: handled,
      policyHash: this.policyHash,
    };
  }

  /** No guard spoke. An action whose guard the operator switched off is allowed; one nobody understands is not. */
  #unhandled(action: Action): GuardResult {
    const choice = this.#policy.settings.unhandled_action;
    if (choice === "allow" || isUnderstood(action)) return allow("engine");
    const message = `No guard understands ${action.type === "custom" ? action.kind.slice(0, 128) : action.type}`;
    const denied = deny("engine", "error", message, "unhandled_action");
    return choice === "ask" ? { ...denied, ask: true } : denied;
  }
}

function isUnderstood(action: Action): boolean {
  if (action.type !== "custom") return true;
  return /^(?:hushclaw\.)?(?:untrusted_text|user_input)$/.test(action.kind) || /^(?:remote|input)\./.test(action.kind);
}

/** Paths of one decision share most of their components. */
function remembering(readLink: LinkReader | undefined): LinkReader | undefined {
  if (readLink === undefined) return undefined;
  const known = new Map<string, string | undefined>();
  return (path) => {
    if (known.has(path)) return known.get(path);
    const target = readLink(path);
    if (known.size < 4096) known.set(path, target);
    return target;
  };
}

/** A guard that breaks has not allowed anything. */
function failure(guard: string, caught: unknown): GuardResult {
  const message = caught instanceof Error ? caught.message : String(caught);
  return deny(guard, "critical", `Guard failed: ${message.slice(0, 200)}`, "guard_failed");
}

async function runAsync(
  guard: AsyncGuard,
  action: Action,
  context: GuardContext,
  signal: AbortSignal,
  before: readonly GuardResult[],
): Promise<GuardResult | undefined> {
  const late = new Promise<GuardResult>((settle) => {
    const refuse = (): void => settle(deny(guard.name, "error", "Guard did not answer in time", "guard_timeout"));
    if (signal.aborted) refuse();
    else signal.addEventListener("abort", refuse, { once: true });
  });
  try {
    return await Promise.race([guard.check(action, context, signal, before), late]);
  } catch (caught) {
    return failure(guard.name, caught);
  }
}

/** The documented order; a guard that is switched off is not built. */
function buildGuards(policy: EffectivePolicy, dialect: Dialect, options: EngineOptions): readonly Guard[] {
  const { guards } = policy;
  const learned = options.learned === false ? undefined : (options.learned ?? learnedLayer());
  const list: Guard[] = [];
  const add = (enabled: boolean, make: () => Guard): void => {
    if (enabled) list.push(make());
  };
  if (dialect === "spine") list.push(selfProtectionGuard(options.selfPaths ?? []));
  add(guards.forbidden_path.enabled, () => forbiddenPathGuard(guards.forbidden_path));
  const allowlist = guards.path_allowlist;
  if (allowlist !== null) add(allowlist.enabled, () => pathAllowlistGuard(allowlist));
  add(guards.egress_allowlist.enabled, () => egressAllowlistGuard(guards.egress_allowlist));
  add(guards.mcp_tool.enabled, () => mcpToolGuard(guards.mcp_tool));
  add(guards.shell_command.enabled, () => shellCommandGuard(guards.shell_command, guards.forbidden_path));
  add(guards.secret_leak.enabled, () => secretLeakGuard(guards.secret_leak));
  add(guards.patch_integrity.enabled, () => patchIntegrityGuard(guards.patch_integrity));
  add(guards.prompt_injection.enabled, () => promptInjectionGuard(guards.prompt_injection, learned));
  add(guards.jailbreak.enabled, () => jailbreakGuard(guards.jailbreak, options.textLayers, learned));
  add(guards.computer_use.enabled, () => computerUseGuard(guards.computer_use));
  add(guards.remote_desktop_side_channel.enabled, () => sideChannelGuard(guards.remote_desktop_side_channel));
  add(guards.input_injection_capability.enabled, () => inputInjectionGuard(guards.input_injection_capability));
  for (const entry of policy.custom_guards.filter((one) => one.enabled)) {
    const factory = options.customGuards?.[entry.id];
    if (factory === undefined) throw new Error(`custom guard ${entry.id} is not registered on this host`);
    list.push(factory(entry.config));
  }
  for (const entry of guards.custom.filter((one) => one.enabled)) {
    if (options.asyncGuards?.some((guard) => guard.name === entry.package) !== true) {
      throw new Error(`package ${entry.package} is not available on this host`);
    }
  }
  return list;
}
