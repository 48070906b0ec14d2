/**
 * One request to one durable, signed answer: policy in force → engine → receipt → synced publication → answer. Whatever
 * fails on the way ends in a denial that says why. The API, the hooks and the MCP proxy call `answer`; ports are injected.
 */
import { asSpineError, type Json, type Random } from "../../spine/index.ts";
import type { Action, Caller } from "./action.ts";
import { type Decision, type EngineOptions, GuardEngine } from "./engine.ts";
import type { PolicyState } from "./policy/holder.ts";
import type { InForce, PolicySource } from "./policy/in-force.ts";
import type { LoadedPolicy } from "./policy/load.ts";
import type { PostureView } from "./posture.ts";
import { type DecisionReceipt, issueReceipt, type ReceiptContext, type SignReceipt, type Tier } from "./receipt.ts";
import { SessionTable, type SessionView } from "./sessions.ts";
import { decisive, deny, type GuardResult, verdictOf } from "./verdict.ts";

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
  readonly revoked: (request: GuardRequest) => Refusal | undefined;
  /** Age of the newest revocation set known, when one is. */
  readonly revocationsAgeMs?: () => number | undefined;
}

/** Why a request is denied before any guard looks at it. `reason` is a stable code. */
export interface Refusal {
  readonly reason: string;
  readonly message: string;
}

export type GuardMode = "enforce" | "observe";

export interface GuardServiceOptions {
  /** A function is asked at every decision. */
  readonly mode: GuardMode | (() => GuardMode);
  /** Requests in work at once; more are denied. Default 1024. */
  readonly maxInFlight?: number;
  /** From request to durable answer; what takes longer is denied. Default 5000. */
  readonly deadlineMs?: number;
  /** A function is asked whenever policies change. */
  readonly engine?: EngineOptions | (() => EngineOptions);
}

export interface GuardRequest {
  readonly action: Action;
  readonly caller: Caller;
  /** What the harness was proven to do with a denial; default `best_effort`. */
  readonly tier?: Tier;
  readonly harness?: { readonly kind: string; readonly hookMode: string };
  readonly peer?: { readonly uid: number; readonly pid?: number };
  /** Why the capability token that came with it does not count. */
  readonly tokenRefusal?: string;
  /** Milliseconds as `performance.now()` counts them, when the request came in. */
  readonly receivedMs?: number;
}

export interface GuardAnswer {
  /** What the caller must do. In `observe` mode always allowed. */
  readonly allowed: boolean;
  /** What the guards decided. */
  readonly decision: Decision;
  readonly mode: GuardMode;
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
/** Posture tables kept: one per distinct posture section among the policies in force. */
const MAX_TABLES = 32;

export class GuardService {
  readonly #source: PolicySource;
  readonly #ports: GuardServicePorts;
  readonly #options: GuardServiceOptions;
  readonly #listeners = new Set<(request: GuardRequest, answer: GuardAnswer) => void>();
  readonly #counters = { allowed: 0, warned: 0, denied: 0, unrecorded: 0, overloaded: 0 };
  #engines: { readonly hash: string; readonly list: readonly GuardEngine[] } | undefined;
  /** By posture section and time-out: sessions outlive a change of policy that leaves its states alone. */
  readonly #tables = new Map<string, SessionTable>();
  #inFlight = 0;

  constructor(source: PolicySource, ports: GuardServicePorts, options: GuardServiceOptions) {
    this.#source = source;
    this.#ports = ports;
    this.#options = options;
  }

  /** Requests in work. */
  get inFlight(): number {
    return this.#inFlight;
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

  get mode(): GuardMode {
    const { mode } = this.#options;
    return typeof mode === "function" ? mode() : mode;
  }

  /** A person's word on a session. False when no policy has states or nothing follows from it. */
  approve(session: string, trigger: "user_approval" | "user_denial"): boolean {
    const nowMs = this.#ports.now();
    let changed = false;
    for (const table of this.#tablesInForce())
      if (table.open(session, nowMs)?.trigger(trigger, nowMs) === true) changed = true;
    return changed;
  }

  /** Sessions with a state, newest first, as the first policy with states sees them. */
  sessions(limit: number): readonly SessionView[] {
    return this.#tablesInForce()[0]?.list(limit) ?? [];
  }
  session(name: string): PostureView | undefined {
    return this.#tablesInForce()[0]?.peek(name)?.view();
  }
  /** Begins a session, or takes up one that lives. Undefined when no policy has states or the table is full. */
  openSession(name: string): PostureView | undefined {
    const nowMs = this.#ports.now();
    const opened = this.#tablesInForce().map((table) => table.open(name, nowMs));
    return opened.includes(undefined) ? undefined : opened[0]?.view();
  }
  /** Whether any policy in force has states: without them there are no sessions to keep. */
  get keepsSessions(): boolean {
    return this.#tablesInForce().length > 0;
  }
  /** Where a person's word would move a session; undefined when nowhere or no such session lives. */
  sessionLeadsTo(name: string, trigger: "user_approval" | "user_denial"): string | undefined {
    return this.#tablesInForce()[0]?.peek(name)?.leadsTo(trigger, this.#ports.now());
  }
  /** Forgets a session, which may then begin anew. False when it was not known. */
  endSession(name: string): boolean {
    return this.#tablesInForce()
      .map((table) => table.close(name))
      .includes(true);
  }
  /** What a session was left in when the daemon last ran, newest first; `sinceMs` is when it entered that state. */
  restoreSession(name: string, view: PostureView, sinceMs: number, lastMs: number): void {
    for (const table of this.#tablesInForce()) table.restore(name, view, sinceMs, lastMs);
  }

  async #decide(request: GuardRequest): Promise<Made> {
    const inForce = this.#source.inForce;
    if (inForce === undefined)
      return { decision: refusal("policy_missing", "No usable policy: everything is denied", NO_POLICY_HASH) };
    const refused = inForce.closed ?? this.#ports.revoked(request);
    if (refused !== undefined) return { decision: refusal(refused.reason, refused.message, inForce.hash), inForce };
    const engines = this.#enginesOf(inForce);
    const made: Made[] = [];
    for (const [at, engine] of engines.entries())
      made.push(await this.#decideBy(engine, inForce.policies[at] as LoadedPolicy, request));
    const posture = made.find((one) => one.posture !== undefined)?.posture;
    const decision = made.length === 1 ? (made[0] as Made).decision : combined(made, inForce.hash);
    return { decision, inForce, ...(posture !== undefined && { posture }) };
  }

  async #decideBy(engine: GuardEngine, policy: LoadedPolicy, request: GuardRequest): Promise<Made> {
    const table = this.#table(policy);
    if (table === undefined) return { decision: await engine.check(request.action, request.caller) };
    const nowMs = this.#ports.now();
    const session = request.caller.session === undefined ? undefined : table.open(request.caller.session, nowMs);
    if (session === undefined) return { decision: engine.decide(request.action, request.caller) };
    const before = session.view();
    const decision = await engine.check(request.action, request.caller, { session, nowMs });
    return { decision, posture: { before, after: session.view() } };
  }

  async #record(request: GuardRequest, { decision, posture, inForce }: Made): Promise<GuardAnswer> {
    const mode = this.mode;
    const policyState = this.#source.state;
    const age = this.#ports.revocationsAgeMs?.();
    const { receivedMs } = request;
    const context: ReceiptContext = {
      timestamp: new Date(this.#ports.now()).toISOString(),
      tier: request.tier ?? "best_effort",
      mode,
      policyState,
      ...(inForce !== undefined && inForce.policies.length > 1 && { policies: inForce.policies.map(hashOf) }),
      ...(request.harness !== undefined && { harness: request.harness }),
      ...(request.peer !== undefined && { peer: request.peer }),
      ...(posture !== undefined && { posture }),
      ...(age !== undefined && { revocationsAgeMs: age }),
      ...(receivedMs !== undefined && { latencyUs: Math.round((performance.now() - receivedMs) * 1000) }),
    };
    const receipt = await issueReceipt(request.action, request.caller, decision, context, this.#ports);
    // Both are synced to disk; an opening without a receipt does no harm, and neither waits for the other.
    const [envelopeHash] = await Promise.all([this.#ports.publish(receipt.fact), this.#ports.keepOpening(receipt)]);
    return {
      allowed: mode === "observe" || decision.allowed,
      decision,
      mode,
      policyState,
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

  #enginesOf(inForce: InForce): readonly GuardEngine[] {
    if (this.#engines?.hash !== inForce.hash) {
      const { engine } = this.#options;
      const options = typeof engine === "function" ? engine() : engine;
      const list = inForce.policies.map((policy) => new GuardEngine(policy, options));
      this.#engines = { hash: inForce.hash, list };
    }
    return this.#engines.list;
  }

  #tablesInForce(): readonly SessionTable[] {
    return this.#source.inForce?.policies.flatMap((policy) => this.#table(policy) ?? []) ?? [];
  }

  /** Nobody leaves quarantine by a reload. */
  #table(policy: LoadedPolicy): SessionTable | undefined {
    const { posture, settings } = policy.effective;
    if (posture === null) return undefined;
    const key = JSON.stringify([posture, settings.session_timeout_secs]);
    let table = this.#tables.get(key);
    if (table === undefined) {
      table = new SessionTable(posture, { idleMs: settings.session_timeout_secs * 1000 });
      if (this.#tables.size >= MAX_TABLES) this.#tables.delete(this.#tables.keys().next().value as string);
      this.#tables.set(key, table);
    }
    return table;
  }

  /** Nothing is recorded. To observe is never to stand in the way; to enforce is never to let pass unrecorded. */
  #failed(reason: string, message: string, decision: Decision | undefined): GuardAnswer {
    // A denial stands with its own reason, such as that this node may not sign any more.
    if (decision?.allowed === false) {
      return { allowed: this.mode === "observe", decision, mode: this.mode, policyState: this.#source.state };
    }
    const hash = decision?.policyHash ?? this.#source.inForce?.hash ?? NO_POLICY_HASH;
    const mode = this.mode;
    return {
      allowed: mode === "observe",
      decision: refusal(reason, message, hash),
      mode,
      policyState: this.#source.state,
    };
  }

  #count(answer: GuardAnswer): void {
    const { verdict } = answer.decision;
    this.#counters[verdict === "allow" ? "allowed" : verdict === "warn" ? "warned" : "denied"]++;
  }
}

interface Made {
  readonly decision: Decision;
  readonly inForce?: InForce;
  readonly posture?: { readonly before: PostureView; readonly after: PostureView };
}

function hashOf(policy: LoadedPolicy): string {
  return policy.hash;
}

/** Each policy's decision counts as one result: a denial by any of them denies. */
function combined(made: readonly Made[], policyHash: string): Decision {
  const decisions = made.map(({ decision }) => decision);
  const decided = decisive(decisions) as Decision;
  return { ...decided, results: decisions.flatMap(({ results }) => results), policyHash };
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
