/**
 * The guards inside the daemon: policy with hot reload, service, receipts through the node's publisher, openings, live
 * feed. The composition root opens one beside the runtime; the API, the hooks and the MCP proxy ask it.
 */
import { randomBytes } from "node:crypto";
import { realpathSync } from "node:fs";
import { type JsonObject, MAX_ROW_VALUE_BYTES, type Random, type Run, SpineError } from "../../../spine/index.ts";
import type { Log } from "../../log.ts";
import type { Runtime } from "../../runtime.ts";
import type { AuditSource } from "../audit.ts";
import { readHostLink } from "../check.ts";
import type { CheckRequest } from "../check-request.ts";
import { type EngineOptions, GuardEngine } from "../engine.ts";
import { PolicyHolder, type ReloadReport } from "../policy/holder.ts";
import type { InForce } from "../policy/in-force.ts";
import { actionType, type Tier } from "../receipt.ts";
import { prepareScanner } from "../secrets/scan.ts";
import { type GuardAnswer, type GuardRequest, GuardService } from "../service.ts";
import { type CallerRules, type GuardAuthority, refusalOf, tokenRefusal } from "./caller-rights.ts";
import { CuratedKeeper } from "./curated-keeper.ts";
import { DecisionFeed } from "./decision-feed.ts";
import { type DetectionOptions, detectionOptions } from "./detection.ts";
import type { GuardStatus } from "./guard-status.ts";
import { OpeningsLog } from "./openings.ts";
import { POLL_MS, PolicyFiles, selfPathGlobs } from "./policy-files.ts";
import { policyRow, readPolicyRow } from "./policy-row.ts";
import { leftSessions, sessionFact } from "./session-memory.ts";

export interface GuardHostOptions {
  readonly runtime: Runtime;
  /** Reads own envelopes, for sessions left by an earlier run. */
  readonly source: AuditSource;
  readonly log: Pick<Log, "info" | "warn" | "error">;
  readonly env: Readonly<Record<string, string | undefined>>;
  /** Absolute paths of the API's sockets, which no agent may touch as files. */
  readonly sockets: readonly string[];
  /** Who was revoked; undefined where nothing knows. */
  readonly authority?: () => GuardAuthority | undefined;
  /** Milliseconds since somebody the operator names stated just the revocations known here; null when nobody did. */
  readonly revocationsAgeMs?: () => number | null;
  readonly engine?: Pick<EngineOptions, "customGuards" | "asyncGuards" | "textLayers">;
}

/** With more requests in work than these, signatures are made on other threads: throughput before latency. */
const FEW = 3;
const POOL_BYTES = 8_192;

/** Random bytes drawn many at a time: each draw costs a call into the system. Nothing is handed out twice. */
function randomPool(): Random {
  let pool = Buffer.alloc(0);
  return (count) => {
    if (pool.length < count) pool = randomBytes(Math.max(POOL_BYTES, count));
    const bytes = pool.subarray(0, count);
    pool = pool.subarray(count);
    return bytes;
  };
}

export class GuardHost {
  readonly feed = new DecisionFeed();
  /** What a harness was proven to do with a denial; asked for requests that claim nothing themselves. */
  tierOf: (request: GuardRequest) => Tier = () => "best_effort";
  readonly #options: GuardHostOptions;
  readonly #files: PolicyFiles;
  readonly #holder: PolicyHolder;
  readonly #keeper: CuratedKeeper;
  readonly #openings: OpeningsLog;
  readonly #service: GuardService;
  readonly #detection: DetectionOptions;
  #lastReport: ReloadReport | undefined;
  #unusable = 0;
  #listing: { readonly hash: string; readonly engines: readonly GuardEngine[] } | undefined;
  /** What was last told about the policies in force. */
  #said = "";
  /** Publications of sessions and rows under way, awaited at close. */
  readonly #writes = new Set<Promise<unknown>>();

  private constructor(options: GuardHostOptions, openings: OpeningsLog) {
    this.#options = options;
    this.#openings = openings;
    const { dir, config } = options.runtime;
    this.#detection = detectionOptions(config.guard.detection, options.env, options.engine?.asyncGuards);
    this.#files = new PolicyFiles(config.guard.policy, dir.path, options.env);
    this.#holder = new PolicyHolder(() => this.#files.load(), {
      report: (report) => this.#reloaded(report),
      stageLoosening: config.guard.stageLoosening,
    });
    this.#keeper = new CuratedKeeper({
      ...{ runtime: options.runtime, holder: this.#holder, log: options.log },
      authority: () => options.authority?.(),
      publish: (fact) => this.#publish(fact),
      changed: () => this.#inForceChanged(),
    });
    this.#service = this.#makeService();
  }

  /** Throws store codes, and `config_invalid` for a judge without its token. A policy that cannot be used is no reason not to start: then everything is denied. */
  static async open(options: GuardHostOptions): Promise<GuardHost> {
    const { runtime } = options;
    const openings = await OpeningsLog.open(runtime.dir.guardOpenings, runtime.config.guard.openingsBytes);
    const host = new GuardHost(options, openings);
    const before = await readPolicyRow(runtime.store);
    if (before !== undefined) host.#holder.resume(before);
    host.#holder.reload();
    await host.#keeper.start();
    await host.#restoreSessions();
    return host;
  }

  get service(): GuardService {
    return this.#service;
  }

  /** As `GuardService.answer`: never rejects. */
  answer(request: GuardRequest): Promise<GuardAnswer> {
    return this.#service.answer({ ...request, tier: request.tier ?? this.tierOf(request) });
  }

  /** The same for a request from outside, with the token that came with it. Never rejects. */
  async check({ request, token }: CheckRequest, receivedMs: number): Promise<GuardAnswer> {
    const { requireToken } = this.#options.runtime.config.guard;
    if (token === undefined && !requireToken) return this.answer({ ...request, receivedMs });
    let refused: string | undefined;
    try {
      refused = await tokenRefusal(token, request.caller.agent, this.#rules(), {
        nowMs: Date.now(),
        verify: (claims) => this.#options.runtime.verifier.verify(claims),
      });
    } catch {
      // What cannot be checked does not count.
      refused = "invalid_capability_token";
    }
    return this.answer({ ...request, receivedMs, ...(refused !== undefined && { tokenRefusal: refused }) });
  }

  /** A request that could not even be read: the caller was told so, and the operator sees how many there were. */
  unusable(message: string): void {
    this.#unusable++;
    if (this.#unusable <= 10 || this.#unusable % 1000 === 0)
      this.#options.log.warn({ unusable: this.#unusable, reason: message.slice(0, 200) }, "guard request refused");
  }

  /** Which of these MCP tools no call could use under the policies in force. Nothing is recorded. */
  blockedTools(names: readonly string[]): ReadonlySet<string> {
    const inForce = this.#keeper.policies.inForce;
    if (inForce === undefined || inForce.closed !== undefined) return new Set(names);
    if (this.#service.mode === "observe") return new Set();
    if (this.#listing?.hash !== inForce.hash)
      this.#listing = { hash: inForce.hash, engines: inForce.policies.map((policy) => new GuardEngine(policy)) };
    const { engines } = this.#listing;
    const blocked = (name: string): boolean =>
      engines.some((engine) => {
        const { allowed, guard } = engine.decide({ type: "mcp_tool", name, args: {} }, {});
        // A policy with states cannot be asked without a session; each call will be.
        return !allowed && guard !== "posture";
      });
    return new Set(names.filter(blocked));
  }

  /** The policies a decision is made by now; undefined when there is none. */
  get inForce(): InForce | undefined {
    return this.#keeper.policies.inForce;
  }

  /** Looks at the policy again, now. */
  reload(): ReloadReport {
    return this.#holder.reload();
  }

  /** The operator's word for a policy that loosens, its own or a curator's. False when none of that hash waits. */
  async approve(hash: string): Promise<boolean> {
    const own = this.#holder.approve(hash);
    const curated = await this.#keeper.approve(hash);
    return own || curated;
  }

  /** Envelopes were stored, from whatever plane. Cheap for all but curators. */
  stored(run: Run): void {
    this.#keeper.stored(run);
  }
  /** Who may speak or revoke has changed. */
  authorityChanged(): void {
    this.#keeper.authorityChanged();
  }

  /** A person's word on a session, durable when resolved. False when nothing follows from it. */
  async decideSession(name: string, trigger: "user_approval" | "user_denial"): Promise<boolean> {
    if (!this.#service.approve(name, trigger)) return false;
    const view = this.#service.session(name);
    if (view !== undefined) await this.#publish(sessionFact(name, trigger, view, new Date().toISOString()));
    return true;
  }

  /** Looks for changed policy files until aborted. */
  async watch(signal: AbortSignal): Promise<void> {
    prepareScanner();
    while (!signal.aborted) {
      await new Promise<void>((resolve) => {
        const done = (): void => {
          clearTimeout(timer);
          signal.removeEventListener("abort", done);
          resolve();
        };
        const timer = setTimeout(done, POLL_MS);
        timer.unref();
        signal.addEventListener("abort", done);
      });
      if (!signal.aborted && this.#files.changed()) this.#holder.reload();
    }
  }

  status(): GuardStatus {
    const { allowed, warned, denied, unrecorded, overloaded } = this.#service.counters;
    const inForce = this.#keeper.policies.inForce;
    const staged = this.#holder.staged;
    const report = this.#lastReport;
    return {
      mode: this.#service.mode,
      policy_hash: inForce?.hash ?? null,
      policy_state: this.#holder.state,
      policies: inForce?.policies.map(({ hash }) => hash) ?? [],
      decisions: allowed + warned + denied + unrecorded + overloaded,
      allowed,
      warned,
      denied: denied + unrecorded + overloaded,
      unrecorded,
      overloaded,
      unusable: this.#unusable,
      events_dropped: this.feed.dropped,
      closed: inForce?.closed?.message ?? null,
      staged: [
        ...(staged === undefined
          ? []
          : [{ policy_hash: staged.policy.hash, from: this.#policyName, loosens: staged.loosened.map(sentence) }]),
        ...this.#keeper.policies.staged().map(({ curator, hash, loosened }) => ({
          ...{ policy_hash: hash, from: curator, loosens: loosened.map(sentence) },
        })),
      ],
      curated: this.#keeper.policies.records().map(({ curator, seq, kind, status, envelopeHash }) => ({
        curator,
        seq,
        kind,
        status,
        envelope_hash: envelopeHash,
      })),
      problems: this.#holder.state === "active" ? [] : (report?.problems ?? []).filter(isError).map(sentence),
      revocations_age_ms: this.#revocationsAgeMs() ?? null,
      warnings: this.warnings(),
    };
  }

  /** What the operator should know, one sentence each. */
  warnings(): readonly string[] {
    const { guard } = this.#options.runtime.config;
    const staged = this.#holder.staged;
    const first = (this.#lastReport?.problems ?? []).find(isError);
    const list: string[] = [];
    if (this.#service.mode === "observe") list.push("The guards only observe: what they would deny is let through.");
    if (this.#holder.state === "none")
      list.push(`No usable guard policy: every action is denied (${first === undefined ? "?" : sentence(first)}).`);
    else if (staged !== undefined)
      list.push(`A guard policy that protects less waits: \`spine guard approve ${staged.policy.hash}\`.`);
    else if (this.#holder.state === "stale")
      list.push(
        `The guard policy cannot be used and the last good one is in force (${first ? sentence(first) : "?"}).`,
      );
    const closed = this.#keeper.policies.inForce?.closed;
    if (closed !== undefined) list.push(`${closed.message}.`);
    for (const { hash, curator } of this.#keeper.policies.staged())
      list.push(`A policy bundle of ${curator} that protects less waits: \`spine guard approve ${hash}\`.`);
    if (this.#options.authority?.()?.isRevoked(this.#options.runtime.issuer) === true)
      list.push("This node's key was revoked: every action is denied.");
    const { maxAgeSeconds, stale } = guard.revocations;
    const ageMs = this.#revocationsAgeMs();
    if (maxAgeSeconds !== undefined && !(ageMs !== undefined && ageMs <= maxAgeSeconds * 1000))
      list.push(
        `Knowledge of revocations is stale: ${stale === "deny" ? "everything is denied" : "actions pass still"}.`,
      );
    return list;
  }

  /** Answers under way are waited for by the API; this waits for what they write. */
  async close(): Promise<void> {
    await this.#keeper.settled();
    await Promise.allSettled([...this.#writes]);
    await this.#openings.close();
  }

  get #policyName(): string {
    return this.#options.runtime.config.guard.policy;
  }

  #makeService(): GuardService {
    const { runtime } = this.#options;
    const { guard } = runtime.config;
    const { policies } = this.#keeper;
    const service = new GuardService(
      policies,
      {
        sign: (message) => (service.inFlight > FEW ? runtime.signer.signAside(message) : runtime.signer.sign(message)),
        random: randomPool(),
        now: Date.now,
        publish: (fact) => this.#publish(fact as JsonObject),
        keepOpening: (receipt) => this.#openings.keep(receipt),
        revoked: (request) => refusalOf(request, this.#rules()),
        revocationsAgeMs: () => this.#revocationsAgeMs(),
      },
      {
        mode: () => (policies.enforced ? "enforce" : guard.mode),
        deadlineMs: guard.deadlineMs,
        engine: () => this.#engineOptions(),
      },
    );
    service.onAnswer((request, answer) => this.#tell(request, answer));
    return service;
  }

  #engineOptions(): EngineOptions {
    const { runtime, env, engine, sockets } = this.#options;
    const home = env["HOME"];
    const folders = [...new Set([runtime.dir.path, realPath(runtime.dir.path)])];
    const policyFiles = this.#files.files.flatMap((file) => [file, realPath(file)]);
    return {
      ...engine,
      ...this.#detection,
      readLink: readHostLink,
      ...(home !== undefined && { home }),
      selfPaths: selfPathGlobs(folders, [...new Set([...policyFiles, ...sockets])]),
    };
  }

  #rules(): CallerRules {
    const { runtime, authority } = this.#options;
    const { requireToken, revocations } = runtime.config.guard;
    const { maxAgeSeconds, stale } = revocations;
    return {
      self: runtime.issuer,
      authority: authority?.(),
      requireToken,
      denyAboveMs: stale === "deny" && maxAgeSeconds !== undefined ? maxAgeSeconds * 1000 : undefined,
      revocationsAgeMs: this.#revocationsAgeMs(),
    };
  }

  #revocationsAgeMs(): number | undefined {
    return this.#options.revocationsAgeMs?.() ?? undefined;
  }

  async #publish(fact: JsonObject): Promise<string> {
    const [outcome] = await this.#options.runtime.publisher.publish([fact]);
    if (outcome?.ok === true) return outcome.envelope_hash;
    throw new SpineError(outcome?.code ?? "internal", outcome?.message ?? "the publisher gave no answer");
  }

  #tell(request: GuardRequest, answer: GuardAnswer): void {
    const { decision } = answer;
    this.feed.tell(() => ({
      type: "decision",
      timestamp: new Date().toISOString(),
      action_type: actionType(request.action),
      verdict: decision.verdict,
      allowed: answer.allowed,
      ask: decision.ask,
      guard: decision.guard,
      severity: decision.severity,
      reason: decision.reason ?? null,
      mode: answer.mode,
      session: request.caller.session ?? null,
      agent: request.caller.agent ?? null,
      policy_hash: decision.policyHash,
      envelope_hash: answer.envelopeHash ?? null,
      commitment: answer.commitment ?? null,
    }));
  }

  #reloaded(report: ReloadReport): void {
    const { log } = this.#options;
    const loosened = report.loosened.map(sentence);
    const problems = report.problems.filter(isError).map(sentence);
    // The same trouble seen again is no news.
    const same = !report.changed && JSON.stringify(report) === JSON.stringify(this.#lastReport);
    this.#lastReport = report;
    if (same) return;
    const fields = { policy_hash: report.hash, state: report.state, ...(loosened.length > 0 && { loosened }) };
    if (problems.length > 0) log.error({ ...fields, problems }, "guard policy unusable");
    else if (report.staged) log.warn(fields, "guard policy would protect less: it waits for approval");
    else if (loosened.length > 0) log.warn(fields, "guard policy protects less than before");
    else if (report.changed) log.info(fields, "guard policy in force");
    this.feed.tell(() => ({
      type: "policy",
      timestamp: new Date().toISOString(),
      state: report.state,
      policy_hash: report.hash ?? null,
      changed: report.changed,
      staged: report.staged,
      loosened,
      problems,
    }));
    if (report.changed) this.#remember();
  }

  /** What curators or revocations changed is said to whoever listens, once. */
  #inForceChanged(): void {
    const { policies } = this.#keeper;
    const { inForce } = policies;
    const key = `${inForce?.hash} ${inForce?.closed?.reason} ${policies.enforced}`;
    if (key === this.#said) return;
    this.#said = key;
    const hash = inForce?.hash ?? null;
    this.#options.log.info({ policy_hash: hash, closed: inForce?.closed?.message }, "guard policies in force");
    this.feed.tell(() => ({
      ...{ type: "policy", timestamp: new Date().toISOString(), state: policies.state, policy_hash: hash },
      ...{ changed: true, staged: policies.staged().length > 0, loosened: [], problems: [] },
    }));
  }

  /** The policy now in force is what a later start compares with. */
  #remember(): void {
    const policy = this.#holder.current;
    if (policy === undefined) return;
    const row = policyRow(policy);
    if ((row.value?.length ?? 0) > MAX_ROW_VALUE_BYTES)
      return this.#options.log.warn({ bytes: row.value?.length }, "guard policy too large to be remembered");
    const write = this.#options.runtime.driver.commitRows([row]).catch((error: unknown) => {
      this.#options.log.error({ err: error }, "guard policy could not be remembered");
    });
    this.#writes.add(write);
    void write.finally(() => this.#writes.delete(write));
  }

  async #restoreSessions(): Promise<void> {
    const policies =
      this.#keeper.policies.inForce?.policies.filter(({ effective }) => effective.posture !== null) ?? [];
    const head = this.#options.runtime.driver.mesh.ownHead;
    if (policies.length === 0 || head === undefined) return;
    const seconds = Math.max(...policies.map(({ effective }) => effective.settings.session_timeout_secs));
    const left = await leftSessions(this.#options.source, head.seq, Date.now() - seconds * 1000);
    // The table keeps them in order of last use.
    for (const { name, view, sinceMs, lastMs } of left.reverse())
      this.#service.restoreSession(name, view, sinceMs, lastMs);
  }
}

function isError(problem: { readonly level: string }): boolean {
  return problem.level === "error";
}
function sentence({ path, message }: { readonly path: string; readonly message: string }): string {
  return path === "" ? message : `${path} ${message}`;
}

/** Where a path leads; the path itself when it leads nowhere yet. */
function realPath(path: string): string {
  try {
    return realpathSync(path);
  } catch {
    return path;
  }
}
