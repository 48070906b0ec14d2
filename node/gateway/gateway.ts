/**
 * Joins planes by policy: keeps the index of what may be told where, the policy in effect, the audit log and its
 * anchors in the own chain, and counts every decision (rules 11). Made by `runtime.ts` when a node has several planes.
 */
import { join } from "node:path";
import {
  type DisclosureDecision,
  DisclosureIndex,
  type DisclosurePolicy,
  HOME_ROW,
  type Issuer,
  type JsonObject,
  type LinkId,
  RowTable,
  type SpineError,
  type StoredPiece,
  TokenBucket,
  utf8,
  utf8Text,
} from "../../spine/index.ts";
import type { Store } from "../../storage/index.ts";
import type { Driver } from "../driver.ts";
import { sha256Hex } from "../hash.ts";
import type { Publisher } from "../publish.ts";
import { ownAnchors } from "./anchors.ts";
import { AuditLog, auditFiles, auditLines } from "./audit-log.ts";
import { type AuditAnchor, type AuditReport, verifyAudit } from "./audit-verify.ts";
import {
  type GatewayPolicy,
  type GatewayPolicyState,
  type PolicyPaths,
  policyHash,
  policyStamp,
  reloadPolicy,
} from "./policy-file.ts";

export interface GatewayOptions {
  readonly own: Issuer;
  /** Key of the own log. */
  readonly ownLog: Issuer;
  readonly store: Store;
  readonly paths: PolicyPaths;
  readonly auditFolder: string;
  readonly auditFileBytes: number;
  readonly auditFiles: number;
  /** Time between anchors while there is something new to anchor. */
  readonly anchorMs: number;
  readonly now: () => number;
  readonly warn: (text: string, fields: Readonly<Record<string, string | number>>) => void;
}

const ANCHOR_ROW = "audit/anchor";
const CLOSED: DisclosurePolicy = { allow: [], deny: [] };
const TICK_MS = 250;
const RELOAD_MS = 2_000;
/** Records of questions for what may not be told; more are only counted. */
const ASKED_PER_SECOND = 10;
/** Records judged between two turns of the event loop. */
const PIECES_PER_TURN = 4;
export const AUDIT_FACT = "gateway_audit";

export interface GatewayStatus {
  readonly policy_hash: string;
  readonly policy_pending: readonly string[];
  readonly policy_problem: string | null;
  readonly judged: boolean;
  readonly deferred: number;
  readonly audit: {
    readonly records: number;
    readonly head_hash: string;
    readonly anchored: number;
    readonly failed: boolean;
  };
  /** "FROM>TO VERDICT REASON" → count since start. */
  readonly decisions: Readonly<Record<string, number>>;
  readonly refusals: Readonly<Record<string, number>>;
  readonly findings: readonly string[];
}

export class Gateway {
  readonly index: DisclosureIndex;
  readonly #options: GatewayOptions;
  readonly #audit: AuditLog;
  #state: GatewayPolicyState;
  readonly #decisions = new Map<string, number>();
  readonly #refusals = new Map<string, number>();
  readonly #queue = new Set<Issuer>();
  readonly #findings: string[] = [];
  #walking = false;
  readonly #askedRate: TokenBucket;
  #parts: { readonly driver: Driver; readonly publisher: Publisher } | null = null;
  #anchored = 0;
  #worthAnchoring = true;
  #wake: (() => void) | null = null;
  /** Told of envelopes that rates held back and that may cross now, and of issuers judged anew. */
  onReleased: (decisions: readonly DisclosureDecision[]) => void = () => {};
  onJudged: () => void = () => {};
  /** Told of envelopes that rates hold back. */
  onDeferred: (decision: DisclosureDecision) => void = () => {};

  private constructor(options: GatewayOptions, audit: AuditLog, state: GatewayPolicyState) {
    this.#options = options;
    this.#audit = audit;
    this.#state = state;
    this.#askedRate = new TokenBucket(ASKED_PER_SECOND, 10 * ASKED_PER_SECOND, options.now());
    this.index = new DisclosureIndex({
      own: options.own,
      ownLog: options.ownLog,
      policy: state.effective.disclosure,
      rates: state.effective.rates,
      now: options.now,
      sha256Hex,
      onDecision: (decision) => this.#decided(decision),
      onHome: (issuer) => this.#judgeAnew(issuer),
    });
  }

  static async open(options: GatewayOptions): Promise<Gateway> {
    const state = await reloadPolicy(options.paths, true);
    let gateway: Gateway | undefined;
    const audit = await AuditLog.open({
      folder: options.auditFolder,
      maxFileBytes: options.auditFileBytes,
      maxFiles: options.auditFiles,
      now: options.now,
      onFailure: (error) => gateway?.closeAll(error),
    });
    gateway = new Gateway(options, audit, state);
    for await (const { key, value } of options.store.rows(RowTable.gateway, HOME_ROW)) {
      gateway.index.restoreHomes(key.slice(HOME_ROW.length), utf8Text(value).split(" "));
    }
    await gateway.#compareAnchor();
    gateway.#findings.push(...audit.findings);
    if (state.problem !== null) gateway.#warn(`${state.problem.message}; the policy in effect stays`, {});
    for (const text of state.pending)
      gateway.#warn("the gateway policy waits for `spine gateway confirm`", { rule: text });
    audit.append({ kind: "policy", policy_hash: policyHash(state.effective), pending: state.pending.length });
    return gateway;
  }

  /** The driver and the publisher are made with the index; they are known from here on. */
  bind(driver: Driver, publisher: Publisher): void {
    this.#parts = { driver, publisher };
    for (const { record } of driver.mesh.issuers()) {
      if (record.frozenAt !== null) this.index.frozen(record.issuer);
      if (record.ranges.length > 0) this.#queue.add(record.issuer);
    }
    // A chain that begins now has nothing behind it to judge first.
    for (const issuer of [this.#options.own, this.#options.ownLog])
      if (!this.#queue.has(issuer)) this.index.finishIssuer(issuer);
  }

  /** Nothing waits to be judged, or is being judged. */
  get judged(): boolean {
    return this.#queue.size === 0 && !this.#walking;
  }
  /** In effect. */
  get policy(): DisclosurePolicy {
    return this.#state.effective.disclosure;
  }
  /** What may cross is known, and can be recorded. */
  get decides(): boolean {
    return this.judged && !this.#audit.failed;
  }

  status(): GatewayStatus {
    const { records, hash } = this.#audit.head;
    return {
      policy_hash: policyHash(this.#state.effective),
      policy_pending: this.#state.pending,
      policy_problem: this.#state.problem?.message ?? null,
      judged: this.judged,
      deferred: this.index.deferred,
      audit: { records, head_hash: hash, anchored: this.#anchored, failed: this.#audit.failed },
      decisions: Object.fromEntries([...this.#decisions].sort()),
      refusals: Object.fromEntries([...this.#refusals].sort()),
      findings: this.#findings,
    };
  }

  counters(): Readonly<Record<string, number>> {
    const totals: Record<string, number> = { forward: 0, drop: 0, defer: 0, refused: 0 };
    for (const [name, count] of this.#decisions) {
      const [, verdict = "drop"] = name.split(" ");
      totals[verdict] = (totals[verdict] ?? 0) + count;
    }
    for (const count of this.#refusals.values()) totals["refused"] = (totals["refused"] ?? 0) + count;
    return { ...totals, deferred: this.index.deferred, audit_records: this.#audit.head.records };
  }

  warnings(): string[] {
    const { pending, problem } = this.#state;
    return [
      ...this.#findings,
      ...(pending.length === 0
        ? []
        : [`The gateway policy would loosen ${pending.length} rule(s): \`spine gateway confirm\`.`]),
      ...(problem === null ? [] : [`The gateway policy file cannot be used: ${problem.message}`]),
      ...(this.#audit.failed ? ["The audit log cannot be written: nothing crosses between planes."] : []),
    ];
  }

  /** Something that came from a plane was refused before it was stored: counted and recorded. */
  refused(plane: string, reason: string, fields: JsonObject = {}): void {
    const name = `${plane} ${reason}`;
    this.#refusals.set(name, (this.#refusals.get(name) ?? 0) + 1);
    this.#worthAnchoring = true;
    this.#audit.append({ kind: "drop", envelope_hash: null, ...fields, direction: `from_${plane}`, reason });
  }

  /** A peer asked for what may not be told on its link: counted, and recorded as far as that fills no disk. */
  asked(link: LinkId): void {
    const plane = this.index.planeOf(link) ?? "link";
    const { now } = this.#options;
    if (this.#askedRate.take(1, now())) return this.refused(plane, "not_disclosed");
    const name = `${plane} not_disclosed`;
    this.#refusals.set(name, (this.#refusals.get(name) ?? 0) + 1);
  }

  /** A fork was proven: recorded, and nothing more of the issuer crosses. */
  forked(issuer: Issuer, seq: number): void {
    this.#audit.append({ kind: "fork", issuer, seq });
  }

  /** What was decided so far is with the operating system. */
  flush(): void {
    this.#audit.flush();
  }

  /** Judges what is stored, follows the policy file, releases what rates held back, anchors the audit log. */
  async run(signal: AbortSignal): Promise<void> {
    let stamp = await policyStamp(this.#options.paths);
    let [reloadAt, anchorAt] = [this.#options.now() + RELOAD_MS, this.#options.now() + this.#options.anchorMs];
    while (!signal.aborted) {
      await this.#judgeAll(signal);
      const released = this.index.release();
      if (released.length > 0) {
        this.#parts?.driver.feed({ type: "disclose", issuers: [...new Set(released.map(({ issuer }) => issuer))] });
        this.onReleased(released);
      }
      const now = this.#options.now();
      if (now >= reloadAt) {
        reloadAt = now + RELOAD_MS;
        const next = await policyStamp(this.#options.paths);
        if (next !== stamp) {
          await this.#reload();
          stamp = await policyStamp(this.#options.paths);
        }
      }
      if (now >= anchorAt) {
        anchorAt = now + this.#options.anchorMs;
        await this.anchor();
      }
      await this.#pause(signal);
    }
  }

  /** States the audit log's head in the own chain. */
  async anchor(): Promise<void> {
    const { records, hash } = this.#audit.head;
    if (!this.#worthAnchoring || records <= this.#anchored || this.#parts === null || this.#audit.failed) return;
    this.#worthAnchoring = false;
    this.#audit.sync();
    const fact = {
      schema: `aegis.spine.fact.${AUDIT_FACT}.v1`,
      fact_id: `ga_${hash.slice(2, 18)}`,
      records,
      head_hash: hash,
    };
    const [outcome] = await this.#parts.publisher.publish([fact]).catch(() => []);
    if (outcome === undefined || !outcome.ok) {
      this.#worthAnchoring = true;
      return;
    }
    this.#anchored = records;
    const value = utf8(JSON.stringify({ records, headHash: hash }));
    await this.#parts.driver.commitRows([{ table: RowTable.gateway, key: ANCHOR_ROW, value }]).catch(() => {});
  }

  /** Compares the log with all anchors of the own chain. */
  async verify(): Promise<AuditReport> {
    this.#audit.flush();
    return verifyAuditFolder(
      this.#options.auditFolder,
      await ownAnchors(this.#options.store, this.#options.own),
      this.#options.auditFiles,
    );
  }

  close(): void {
    this.#audit.close();
  }

  /** What cannot be recorded must not cross. */
  closeAll(error: SpineError): void {
    this.#warn("nothing crosses between planes any more", { code: error.code });
    this.index.setPolicy(CLOSED);
    this.#rejudge();
  }

  // ---- inside ----

  #decided(decision: DisclosureDecision): void {
    const { hash, issuer, seq, kind, from, to, verdict, reason } = decision;
    const name = `${from}>${to} ${verdict} ${reason}`;
    this.#decisions.set(name, (this.#decisions.get(name) ?? 0) + 1);
    if (verdict === "defer") this.onDeferred(decision);
    if (kind === AUDIT_FACT && issuer === this.#options.own) return;
    // A checkpoint follows each anchor: it must not call for the next one.
    if (kind !== "log_checkpoint") this.#worthAnchoring = true;
    this.#audit.append({
      kind: verdict,
      envelope_hash: hash,
      issuer,
      seq,
      fact_kind: kind.slice(0, 256),
      direction: `${from}_to_${to}`,
      reason,
    });
  }

  #judgeAnew(issuer: Issuer): void {
    this.#queue.add(issuer);
    this.#wake?.();
  }

  #rejudge(): void {
    for (const { record } of this.#parts?.driver.mesh.issuers() ?? [])
      if (record.ranges.length > 0) this.#queue.add(record.issuer);
    this.#wake?.();
  }

  async #judgeAll(signal: AbortSignal): Promise<void> {
    let some = false;
    for (const issuer of this.#queue) {
      if (signal.aborted) return;
      this.#queue.delete(issuer);
      this.#walking = true;
      this.index.beginIssuer(issuer);
      await this.#walk(issuer, 0, Number.MAX_SAFE_INTEGER, false, signal);
      while (!this.index.finishIssuer(issuer)) {
        for (const { from, to } of this.index.takeLate(issuer)) await this.#walk(issuer, from, to, true, signal);
      }
      this.#walking = false;
      this.#parts?.driver.feed({ type: "disclose", issuers: [issuer] });
      some = true;
    }
    if (some) this.onJudged();
  }

  async #walk(issuer: Issuer, from: number, to: number, live: boolean, signal: AbortSignal): Promise<void> {
    let pieces = 0;
    for await (const piece of this.#options.store.records(issuer, from, to)) {
      if (signal.aborted) return;
      this.index.judgeRun({ issuer, ...pieceOf(piece) }, live);
      if (++pieces % PIECES_PER_TURN === 0) await new Promise((resolve) => setImmediate(resolve));
    }
  }

  async #reload(): Promise<void> {
    const before = this.#state;
    const state = await reloadPolicy(this.#options.paths, false);
    this.#state = state;
    if (state.problem !== null) return this.#warn(`${state.problem.message}; the policy in effect stays`, {});
    for (const rule of state.pending) this.#warn("the gateway policy waits for `spine gateway confirm`", { rule });
    if (policyHash(state.effective) === policyHash(before.effective)) return;
    this.#take(state.effective);
  }

  #take(policy: GatewayPolicy): void {
    this.#audit.append({ kind: "policy", policy_hash: policyHash(policy), pending: 0 });
    this.index.setPolicy(policy.disclosure, policy.rates);
    this.#rejudge();
  }

  /** A log that is shorter than what was anchored was cut. */
  async #compareAnchor(): Promise<void> {
    const row = await this.#options.store.row(RowTable.gateway, ANCHOR_ROW);
    if (row === undefined) return;
    const { records } = JSON.parse(utf8Text(row)) as AuditAnchor;
    if (this.#audit.head.records >= records) {
      this.#anchored = records;
      return;
    }
    const message = `the audit log ends at record ${this.#audit.head.records}, but ${records} were anchored: it was cut`;
    this.#findings.push(message);
    this.#warn(message, {});
    this.#audit.append({ kind: "error", message });
  }

  #warn(text: string, fields: Readonly<Record<string, string | number>>): void {
    this.#options.warn(text, fields);
  }

  #pause(signal: AbortSignal): Promise<void> {
    if (signal.aborted || this.#queue.size > 0) return Promise.resolve();
    return new Promise((resolve) => {
      const done = (): void => {
        clearTimeout(timer);
        this.#wake = null;
        signal.removeEventListener("abort", done);
        resolve();
      };
      const timer = setTimeout(done, TICK_MS);
      this.#wake = done;
      signal.addEventListener("abort", done);
    });
  }
}

function pieceOf({ from, records }: StoredPiece): { from: number; records: Uint8Array } {
  return { from, records };
}

/** Verifies the files in a folder against anchors; `maxFiles` files or more means that older ones were removed. */
export async function verifyAuditFolder(
  folder: string,
  anchors: readonly AuditAnchor[],
  maxFiles: number,
): Promise<AuditReport> {
  return verifyAudit(auditLines(folder), anchors, (await auditFiles(folder)).length < maxFiles);
}

export function gatewayPaths(root: string): PolicyPaths & { readonly audit: string } {
  return {
    file: join(root, "gateway.yaml"),
    accepted: join(root, "gateway.accepted"),
    audit: join(root, "gateway-audit"),
  };
}
