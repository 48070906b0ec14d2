/**
 * One request to one durable, signed answer: policy in force → engine → receipt → synced publication → answer. Whatever
 * fails on the way ends in a denial that says why. The API, the hooks and the MCP proxy call `answer`; ports are injected.
 */
import { asSpineError, type Json, type Random } from "../../spine/index.ts";
import type { Action, Caller } from "./action.ts";
import { type Decision, type EngineOptions, GuardEngine } from "./engine.ts";
import type { PolicyHolder, PolicyState } from "./policy/holder.ts";
import type { LoadedPolicy } from "./policy/load.ts";
import type { PostureView } from "./posture.ts";
import { type DecisionReceipt, issueReceipt, type ReceiptContext, type SignReceipt, type Tier } from "./receipt.ts";
import { SessionTable } from "./sessions.ts";
import { deny, type GuardResult, verdictOf } from "./verdict.ts";

export interface GuardServicePorts {
  readonly sign: SignReceipt;
  readonly random: Random;
  /** Milliseconds since the Unix epoch. */
  readonly now: () => number;
  /** Resolves with the envelope hash once the fact is signed, chained and synced to disk; rejects otherwise. */
  readonly publish: (fact: Json) => Promise<string>;
  /** Keeps what opens the commitment, on this host only. Resolves when it is on disk. */
  readonly keepOpening: (receipt: DecisionReceipt) => Promise<void>;
  /** Why this caller may do nothing at all, such as a revoked key; undefined when it may. */
  readonly revoked: (caller: Caller) => string | undefined;
  /** Age of the newest revocation set known, when one is. */
  readonly revocationsAgeMs?: () => number | undefined;
}

export interface GuardServiceOptions {
  readonly mode: "enforce" | "observe";
  /** Requests in work at once; more are denied. Default 1024. */
  readonly maxInFlight?: number;
  /** From request to durable answer; what takes longer is denied. Default 5000. */
  readonly deadlineMs?: number;
  readonly engine?: EngineOptions;
}

export interface GuardRequest {
  readonly action: Action;
  readonly caller: Caller;
  /** What the harness was proven to do with a denial; default `best_effort`. */
  readonly tier?: Tier;
  readonly harness?: { readonly kind: string; readonly hookMode: string };
  readonly peer?: { readonly uid: number; readonly pid?: number };
}

export interface GuardAnswer {
  /** What the caller must do. In `observe` mode always allowed. */
  readonly allowed: boolean;
  /** What the guards decided. */
  readonly decision: Decision;
  readonly policyState: PolicyState;
  readonly posture?: PostureView;
  /** Absent when nothing could be recorded; the answer is then a denial, except in `observe` mode. */
  readonly envelopeHash?: string;
  readonly commitment?: string;
}

export interface GuardServiceCounters {
  readonly allowed: number;
  readonly warned: number;
  readonly denied: number;
  /** Denied because the answer could not be recorded in time. */
  readonly unrecorded: number;
  readonly overloaded: number;
}

const NO_POLICY_HASH = "0".repeat(64);

export class GuardService {
  readonly #holder: PolicyHolder;
  readonly #ports: GuardServicePorts;
  readonly #options: GuardServiceOptions;
  readonly #listeners = new Set<(request: GuardRequest, answer: GuardAnswer) => void>();
  readonly #counters = { allowed: 0, warned: 0, denied: 0, unrecorded: 0, overloaded: 0 };
  #engine: GuardEngine | undefined;
  #sessions: { readonly key: string; readonly table: SessionTable } | undefined;
  #inFlight = 0;

  constructor(holder: PolicyHolder, ports: GuardServicePorts, options: GuardServiceOptions) {
    this.#holder = holder;
    this.#ports = ports;
    this.#options = options;
  }

  get counters(): GuardServiceCounters {
    return { ...this.#counters };
  }

  /** Called after each answer is durable, in order; must not throw. Returns a function that ends it. */
  onAnswer(listener: (request: GuardRequest, answer: GuardAnswer) => void): () => void {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }

  /** Never rejects. Resolved = the receipt is on disk, or the answer is a denial that says what failed. */
  async answer(request: GuardRequest): Promise<GuardAnswer> {
    if (this.#inFlight >= (this.#options.maxInFlight ?? 1024)) {
      this.#counters.overloaded++;
      return this.#failed("overloaded", "Too many requests are being decided", undefined);
    }
    this.#inFlight++;
    let decision: Decision | undefined;
    try {
      const work = this.#decide(request).then(async (made) => {
        decision = made.decision;
        return this.#record(request, made);
      });
      const answer = await this.#inTime(work);
      this.#count(answer);
      for (const listener of this.#listeners) listener(request, answer);
      return answer;
    } catch (caught) {
      this.#counters.unrecorded++;
      const error = asSpineError(caught);
      return this.#failed(
        "not_recorded",
        `The decision could not be recorded: ${error.message.slice(0, 200)}`,
        decision,
      );
    } finally {
      this.#inFlight--;
    }
  }

  /** A person's word on a session. False when the policy has no states or nothing follows from it. */
  approve(session: string, trigger: "user_approval" | "user_denial"): boolean {
    const nowMs = this.#ports.now();
    const policy = this.#holder.current;
    return (policy && this.#table(policy)?.open(session, nowMs)?.trigger(trigger, nowMs)) ?? false;
  }

  async #decide(request: GuardRequest): Promise<Made> {
    const policy = this.#holder.current;
    if (policy === undefined)
      return { decision: refusal("policy_missing", "No usable policy: everything is denied", NO_POLICY_HASH) };
    const revoked = this.#ports.revoked(request.caller);
    if (revoked !== undefined) return { decision: refusal("revoked", revoked, policy.hash) };
    const engine = this.#engineOf(policy);
    const table = this.#table(policy);
    if (table === undefined) return { decision: await engine.check(request.action, request.caller) };
    const nowMs = this.#ports.now();
    const session = request.caller.session === undefined ? undefined : table.open(request.caller.session, nowMs);
    if (session === undefined) return { decision: engine.decide(request.action, request.caller) };
    const before = session.view();
    const decision = await engine.check(request.action, request.caller, { session, nowMs });
    return { decision, posture: { before, after: session.view() } };
  }

  async #record(request: GuardRequest, { decision, posture }: Made): Promise<GuardAnswer> {
    const { mode } = this.#options;
    const age = this.#ports.revocationsAgeMs?.();
    const context: ReceiptContext = {
      timestamp: new Date(this.#ports.now()).toISOString(),
      tier: request.tier ?? "best_effort",
      mode,
      policyState: this.#holder.state,
      ...(request.harness !== undefined && { harness: request.harness }),
      ...(request.peer !== undefined && { peer: request.peer }),
      ...(posture !== undefined && { posture }),
      ...(age !== undefined && { revocationsAgeMs: age }),
    };
    const receipt = await issueReceipt(request.action, request.caller, decision, context, this.#ports);
    await this.#ports.keepOpening(receipt);
    const envelopeHash = await this.#ports.publish(receipt.fact);
    return {
      allowed: mode === "observe" || decision.allowed,
      decision,
      policyState: this.#holder.state,
      ...(posture !== undefined && { posture: posture.after }),
      envelopeHash,
      commitment: receipt.commitment,
    };
  }

  async #inTime(work: Promise<GuardAnswer>): Promise<GuardAnswer> {
    const deadlineMs = this.#options.deadlineMs ?? 5000;
    let timer: NodeJS.Timeout | undefined;
    const late = new Promise<never>((_, reject) => {
      timer = setTimeout(() => reject(new Error(`not durable within ${deadlineMs} ms`)), deadlineMs);
    });
    try {
      return await Promise.race([work, late]);
    } finally {
      clearTimeout(timer);
      // What comes too late has nobody left to hear it.
      work.catch(() => undefined);
    }
  }

  #engineOf(policy: LoadedPolicy): GuardEngine {
    if (this.#engine?.policyHash !== policy.hash) this.#engine = new GuardEngine(policy, this.#options.engine);
    return this.#engine;
  }

  /** Sessions outlive a change of policy that leaves its states alone: nobody leaves quarantine by a reload. */
  #table(policy: LoadedPolicy): SessionTable | undefined {
    const { posture, settings } = policy.effective;
    if (posture === null) return undefined;
    const key = JSON.stringify([posture, settings.session_timeout_secs]);
    if (this.#sessions?.key !== key) {
      const table = new SessionTable(posture, { idleMs: settings.session_timeout_secs * 1000 });
      this.#sessions = { key, table };
    }
    return this.#sessions.table;
  }

  /** Nothing is recorded. To observe is never to stand in the way; to enforce is never to let pass unrecorded. */
  #failed(reason: string, message: string, decision: Decision | undefined): GuardAnswer {
    const hash = decision?.policyHash ?? this.#holder.current?.hash ?? NO_POLICY_HASH;
    return {
      allowed: this.#options.mode === "observe",
      decision: refusal(reason, message, hash),
      policyState: this.#holder.state,
    };
  }

  #count(answer: GuardAnswer): void {
    const { verdict } = answer.decision;
    this.#counters[verdict === "allow" ? "allowed" : verdict === "warn" ? "warned" : "denied"]++;
  }
}

interface Made {
  readonly decision: Decision;
  readonly posture?: { readonly before: PostureView; readonly after: PostureView };
}

function refusal(reason: string, message: string, policyHash: string): Decision {
  const result: GuardResult = deny("engine", "critical", message, reason);
  return {
    verdict: verdictOf(result),
    allowed: false,
    ask: false,
    guard: result.guard,
    severity: result.severity,
    message,
    reason,
    results: [result],
    policyHash,
  };
}
