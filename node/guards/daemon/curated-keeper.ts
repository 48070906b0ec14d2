/**
 * Hands the policy facts of curators to `CuratedPolicies` as they are stored, whichever plane brought them, and keeps what
 * became of each as a row: versions and bundles outlive restarts. A policy hash that does not come out becomes an incident.
 */
import { createHash } from "node:crypto";
import {
  type EnvelopeHash,
  factKind,
  type Issuer,
  isJsonObject,
  type JsonObject,
  openSigningBytes,
  parseJson,
  type Row,
  RowTable,
  type Run,
  utf8,
  utf8Text,
  walkRecords,
} from "../../../spine/index.ts";
import { sha256Hex } from "../../hash.ts";
import type { Log } from "../../log.ts";
import type { Runtime } from "../../runtime.ts";
import {
  type CuratedFact,
  type CuratedOutcome,
  CuratedPolicies,
  type CuratedRecord,
  type CuratorView,
} from "../policy/curated.ts";
import type { PolicyHolder } from "../policy/holder.ts";
import type { GuardAuthority } from "./caller-rights.ts";

export interface CuratedKeeperOptions {
  readonly runtime: Runtime;
  readonly holder: PolicyHolder;
  readonly authority: () => GuardAuthority | undefined;
  readonly log: Pick<Log, "info" | "warn" | "error">;
  /** Durable when resolved. */
  readonly publish: (fact: JsonObject) => Promise<string>;
  /** What is in force may have changed. */
  readonly changed: () => void;
}

const FACT_ROWS = "fact/";
const SEEN_ROWS = "seen/";
const NO_CURATORS: ReadonlySet<Issuer> = new Set();
const KINDS: Readonly<Record<string, CuratedFact["kind"]>> = { policy_delta: "delta", policy_bundle: "bundle" };
/** Cheap to look for in bytes: most envelopes of a curator are no policy. */
const MARK = Buffer.from(".policy_");
/** Every incident is said once a fact; a curator gone wrong must not fill the chain. */
const MAX_INCIDENTS = 32;

export class CuratedKeeper {
  readonly policies: CuratedPolicies;
  readonly #options: CuratedKeeperOptions;
  #queue: Promise<void> = Promise.resolve();
  /** Curators whose stored chains were looked through, by the version of the trust that made them curators. */
  readonly #scanned = new Set<Issuer>();
  #version = -1;
  #incidents = 0;

  constructor(options: CuratedKeeperOptions) {
    this.#options = options;
    const { holder, runtime } = options;
    this.policies = new CuratedPolicies(holder, () => this.#view(), runtime.config.guard.looseningQuorum);
    holder.onChange(() => this.#later(() => this.#retry()));
  }

  /** Takes up what an earlier run decided, then what was stored since. The operator's policy is loaded before. */
  async start(): Promise<void> {
    const { runtime, log } = this.#options;
    for await (const { value } of runtime.store.rows(RowTable.guard, FACT_ROWS)) {
      const record = parseJson(utf8Text(value)) as unknown as CuratedRecord;
      if (record.status !== "refused" && !this.policies.resume(record))
        log.error({ envelope: record.envelopeHash }, "guard policy fact cannot be read any more");
    }
    await this.#scanNew();
  }

  /** Envelopes were stored. Returns at once; what they bring is in force within the same turn or soon after. */
  stored(run: Run): void {
    if (!this.#view().curators.has(run.issuer)) return;
    const facts = factsOf(run.issuer, run.records);
    if (facts.length > 0) this.#later(() => this.#takeAll(facts));
  }

  /** Who may speak has changed: new curators' stored facts count from now on. */
  authorityChanged(): void {
    this.#options.changed();
    this.#later(() => this.#scanNew());
  }

  /** The operator's word for staged bundles; durable when resolved. False when none waits with this policy. */
  async approve(policyHash: string): Promise<boolean> {
    const records = this.policies.approve(policyHash);
    if (records.length === 0) return false;
    await this.#options.runtime.driver.commitRows(records.map(rowOf));
    this.#options.changed();
    return true;
  }

  /** Resolves when everything handed in so far is decided and written. */
  settled(): Promise<void> {
    return this.#queue;
  }

  #view(): CuratorView {
    const { authority, runtime } = this.#options;
    const known = authority();
    return {
      version: known?.version ?? 0,
      curators: known?.trust.curators ?? NO_CURATORS,
      isFull: (curator) =>
        runtime.trust.effective.curators.some(({ key, level }) => key === curator && level === "full"),
      counts: (curator, seq) => known?.decide(curator, seq) === "allowed",
      isBundleRevoked: (hash, curator, seq) => known?.isBundleRevoked(hash, curator, seq) ?? true,
    };
  }

  #later(work: () => Promise<void>): void {
    this.#queue = this.#queue.then(work).catch((error: unknown) => {
      this.#options.log.error({ err: error }, "guard policy from the mesh could not be taken up");
    });
  }

  async #scanNew(): Promise<void> {
    const { version, curators } = this.#view();
    if (version === this.#version) return;
    this.#version = version;
    for (const curator of this.#scanned) if (!curators.has(curator)) this.#scanned.delete(curator);
    for (const curator of curators) {
      if (this.#scanned.has(curator)) continue;
      this.#scanned.add(curator);
      await this.#scan(curator);
    }
    await this.#retry();
  }

  /** A stored chain from where an earlier run left off. */
  async #scan(curator: Issuer): Promise<void> {
    const { store, driver } = this.#options.runtime;
    const key = `${SEEN_ROWS}${curator}`;
    const row = await store.row(RowTable.guard, key);
    const seen = row === undefined ? 0 : Number(utf8Text(row));
    for await (const { records } of store.records(curator, seen, Number.MAX_SAFE_INTEGER))
      await this.#takeAll(factsOf(curator, records));
    // What fills a hole later is told live, or found again from below the hole after a crash.
    const first = driver.mesh.issuer(curator)?.ranges[0];
    const whole = first !== undefined && first.from <= Math.max(1, seen) ? first.to : seen;
    if (whole > seen) await driver.commitRows([{ table: RowTable.guard, key, value: utf8(String(whole)) }]);
  }

  async #takeAll(facts: readonly CuratedFact[]): Promise<void> {
    const { verifier } = this.#options.runtime;
    for (const fact of facts) {
      const outcome = await this.policies.take(
        fact,
        Date.now(),
        async ({ claim }) => (await verifier.verify([claim]))[0] === true,
      );
      if (outcome !== undefined) await this.#settle(outcome);
    }
  }

  async #retry(): Promise<void> {
    for (const outcome of this.policies.retryWaiting(Date.now())) await this.#settle(outcome);
  }

  /** In force already; said, and written down so that the next start knows. */
  async #settle({ record, status, reason, message, loosened, also, forgotten }: CuratedOutcome): Promise<void> {
    const { log, runtime, changed } = this.#options;
    changed();
    const known = await runtime.store.row(RowTable.guard, keyOf(record));
    if (
      known !== undefined &&
      status === "refused" &&
      (parseJson(utf8Text(known)) as JsonObject)["status"] === "refused"
    )
      return;
    const fields = { curator: record.curator, seq: record.seq, kind: record.kind, envelope: record.envelopeHash };
    if (status === "refused") log.warn({ ...fields, reason, problem: message }, "guard policy from the mesh refused");
    else if (status === "staged")
      log.warn(
        { ...fields, loosens: loosened?.map((one) => `${one.path} ${one.message}`) },
        "guard policy from the mesh would protect less: it waits",
      );
    else log.info(fields, `guard policy from the mesh ${status}`);
    const gone = forgotten === undefined ? [] : [{ table: RowTable.guard, key: keyOf(forgotten), value: null }];
    await runtime.driver.commitRows([...[record, ...also].map(rowOf), ...gone]);
    if (status === "refused" && (reason === "result_mismatch" || reason === "signature"))
      this.#say(record, reason, message ?? "");
  }

  /** Not waited for: nothing may be published before the own chain is known to be whole. */
  #say(record: CuratedRecord, reason: string, message: string): void {
    const { log, publish, runtime } = this.#options;
    if (++this.#incidents > MAX_INCIDENTS) return;
    publish(incidentOf(record, reason, message, runtime.issuer, new Date().toISOString())).catch((error: unknown) => {
      log.error({ err: error, reason }, "an incident could not be published");
    });
  }
}

function keyOf({ curator, seq }: CuratedFact): string {
  return `${FACT_ROWS}${curator}/${String(seq).padStart(16, "0")}`;
}

/** Of a refused one only the fact that it was refused is kept. */
function rowOf(record: CuratedRecord): Row {
  const { status, curator, seq, envelopeHash, kind } = record;
  const fact = status === "refused" ? {} : record.fact;
  return {
    table: RowTable.guard,
    key: keyOf(record),
    value: utf8(JSON.stringify({ status, curator, seq, envelopeHash, kind, fact })),
  };
}

function factsOf(curator: Issuer, records: Uint8Array): CuratedFact[] {
  if (!Buffer.from(records.buffer, records.byteOffset, records.byteLength).includes(MARK)) return [];
  const facts: CuratedFact[] = [];
  for (const { signingBytes, signature } of walkRecords(records)) {
    const { factSchema, seq, hash } = openSigningBytes(signingBytes, signature, sha256Hex);
    const known = factKind(factSchema);
    const kind = known?.version === 1 && known.family !== "sdr" ? KINDS[known.kind] : undefined;
    if (kind === undefined) continue;
    const envelope = parseJson(utf8Text(signingBytes));
    const fact = isJsonObject(envelope) ? envelope["fact"] : undefined;
    if (isJsonObject(fact)) facts.push({ curator, seq, envelopeHash: hash as EnvelopeHash, kind, fact });
  }
  return facts;
}

/** `incident.v1` (spec/spine.md section 7.6). */
function incidentOf(record: CuratedRecord, reason: string, message: string, origin: Issuer, at: string): JsonObject {
  const { curator, seq, envelopeHash } = record;
  const digest = createHash("sha256")
    .update(`policy_${reason}|${curator}|${seq}|${envelopeHash}`)
    .digest("hex")
    .slice(0, 16);
  return {
    schema: "aegis.spine.fact.incident.v1",
    fact_id: `inc_${digest}`,
    incident_id: `inc_${digest}`,
    origin,
    escalation_level: "integrity_violation",
    outcome: "ongoing",
    trigger: {
      hypothesis: `spine_policy_${reason}`,
      initial_confidence: 1,
      timestamp: at,
      source_satellite: origin,
      report_id: digest,
    },
    affected_runs: [],
    anchor_actions: ["investigate"],
    ledger: { local_ledger_root: null, spine_head_hash: null },
    evidence: { forensics_bundle_hash: null, artifact_pointer_hashes: [envelopeHash] },
    issued_at: at,
    updated_at: at,
    spine: {
      kind: `policy_${reason}`,
      curator,
      curator_seq: seq,
      envelope_hash: envelopeHash,
      message: message.slice(0, 256),
    },
  };
}
