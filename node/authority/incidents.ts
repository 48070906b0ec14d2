/**
 * The node's own word on what must not be: publishes `incident.v1` (spec/spine.md 7.6) for forks, split views, misuse of
 * its key, damage found in its store and clocks that lie. Each is said once, also over restarts, and only so many an hour.
 */
import { appendFile, readFile, rm, stat } from "node:fs/promises";
import {
  asSpineError,
  decodeFork,
  formatTime,
  type Issuer,
  type JsonObject,
  openSigningBytes,
  type Row,
  RowTable,
  statedHash,
  TokenBucket,
  walkRecords,
} from "../../spine/index.ts";
import type { Store } from "../../storage/index.ts";
import { pause } from "../disk-watch.ts";
import { errorCodeOf } from "../files.ts";
import { sha256Hex } from "../hash.ts";

/** The clock jumped, or the chain's own times are ahead of it, so that peers hold back what is signed. */
export type ClockAnomaly = "clock_jump" | "clock_step_back" | "issued_at_ahead";

/** What happened. Everything in it becomes public. */
export type IncidentCause =
  | { readonly kind: "fork"; readonly issuer: Issuer; readonly seq: number }
  /** `proof_hash` names the split-view proof held here. */
  | { readonly kind: "split_view"; readonly log_id: string; readonly shape: string; readonly proof_hash: string }
  /** Somebody else signed with this node's key. */
  | { readonly kind: "own_key_misuse"; readonly seq: number }
  | {
      readonly kind: "store_tamper";
      readonly problems: number;
      readonly codes: readonly string[];
      readonly day: string;
    }
  /** An action ran after the guards had denied it; `envelope_hash` names the denial. */
  | {
      readonly kind: "enforcement_failed";
      readonly harness: string;
      readonly evidence: string;
      readonly envelope_hash: string | null;
      readonly day: string;
    }
  /** A harness's settings no longer ask the guards. */
  | { readonly kind: "hook_removed"; readonly harness: string; readonly day: string }
  | { readonly kind: ClockAnomaly; readonly seconds: number; readonly day: string };

const HYPOTHESES: Readonly<Record<IncidentCause["kind"], string>> = {
  fork: "spine_fork_detected",
  split_view: "spine_split_view_detected",
  own_key_misuse: "spine_own_key_misuse",
  store_tamper: "spine_store_tamper_detected",
  enforcement_failed: "spine_enforcement_failed",
  hook_removed: "spine_hook_removed",
  clock_jump: "spine_clock_anomaly",
  clock_step_back: "spine_clock_anomaly",
  issued_at_ahead: "spine_clock_anomaly",
};

export const INCIDENT_SCHEMA = "aegis.spine.fact.incident.v1";
const PER_HOUR = 30;
/** Incidents waiting to be said; more are counted and dropped. */
const MAX_WAITING = 128;
/** Remembered as said; the oldest are forgotten, which at worst says one of them again. */
const MAX_REMEMBERED = 1_024;
/** Own envelopes looked through after a start for what a crash kept from being noted as said. */
const TAIL = 512;
const RETRY_MS = 30_000;
const MAX_NOTE_BYTES = 65_536;

/** `YYYY-MM-DD`: clock anomalies and damage are said once a day. */
export function dayOf(ms: number): string {
  return new Date(ms).toISOString().slice(0, 10);
}

/** An incident ready to be said, but for its time. */
interface Prepared {
  /** First 16 hex digits of the SHA-256 of its digest line. */
  readonly id: string;
  readonly details: JsonObject;
  readonly hypothesis: string;
  readonly pointers: readonly string[];
}

interface Remembered {
  readonly id: string;
  readonly at: number;
  /** Empty once said. */
  readonly waiting: Prepared | undefined;
}

export interface IncidentOptions {
  readonly store: Store;
  readonly issuer: Issuer;
  readonly now: () => number;
  /** Durable when resolved. */
  readonly commitRows: (rows: readonly Row[]) => Promise<void>;
  /** Durable when resolved; rejects while the node may not sign: it is tried again. */
  readonly publish: (fact: JsonObject) => Promise<void>;
  readonly head: () => string | null;
  /** File of causes found while no daemon ran. */
  readonly notes: string;
  readonly onSaid: (kind: string, id: string) => void;
}

export class IncidentReporter {
  readonly #options: IncidentOptions;
  readonly #known = new Map<string, Remembered>();
  readonly #bucket: TokenBucket;
  #loaded: () => void = () => {};
  /** One thing after the other; nothing before it is known what was said already. */
  #work: Promise<void> = new Promise((resolve) => {
    this.#loaded = resolve;
  });
  dropped = 0;

  constructor(options: IncidentOptions) {
    this.#options = options;
    this.#bucket = new TokenBucket(PER_HOUR / 3600, PER_HOUR, options.now());
  }
  get waiting(): number {
    let count = 0;
    for (const { waiting } of this.#known.values()) if (waiting !== undefined) count++;
    return count;
  }

  /** Takes up what was known and waiting, and what the store check left. Then runs until the signal aborts. */
  async run(signal: AbortSignal): Promise<void> {
    await this.#load();
    this.#loaded();
    for (const cause of await readNotes(this.#options.notes)) this.report(cause);
    await this.#work;
    await rm(this.#options.notes, { force: true });
    do {
      await this.#flush();
      await pause(RETRY_MS, signal);
    } while (!signal.aborted);
    await this.#work;
  }

  /** Never throws and never waits; the same cause again does nothing. */
  report(cause: IncidentCause): void {
    this.#work = this.#work
      .then(async () => {
        const prepared = await this.#prepare(cause);
        if (this.#known.has(prepared.id)) return;
        if (this.waiting >= MAX_WAITING) {
          this.dropped++;
          return;
        }
        await this.#remember({ id: prepared.id, at: this.#options.now(), waiting: prepared });
        await this.#say();
      })
      .catch(() => {
        this.dropped++;
      });
  }

  #flush(): Promise<void> {
    this.#work = this.#work.then(() => this.#say()).catch(() => {});
    return this.#work;
  }

  async #load(): Promise<void> {
    const { store, issuer } = this.#options;
    const found: Remembered[] = [];
    for await (const { key, value } of store.rows(RowTable.incident)) {
      try {
        found.push({ ...(JSON.parse(Buffer.from(value).toString()) as Omit<Remembered, "id">), id: key });
      } catch {
        // A row that says nothing is as good as none.
      }
    }
    found.sort((a, b) => a.at - b.at);
    for (const one of found) this.#known.set(one.id, one);
    if (this.waiting === 0) return;
    const own = (await store.load()).issuers.find((record) => record.issuer === issuer);
    const top = own?.ranges.at(-1)?.to ?? 0;
    for await (const piece of store.records(issuer, Math.max(0, top - TAIL), top)) {
      for (const { signingBytes, signature } of walkRecords(piece.records)) {
        if (openSigningBytes(signingBytes, signature, sha256Hex).factSchema !== INCIDENT_SCHEMA) continue;
        const { fact } = JSON.parse(Buffer.from(signingBytes).toString()) as { fact: { fact_id?: unknown } };
        const known = this.#known.get(String(fact.fact_id).slice("inc_".length));
        if (known !== undefined) this.#known.set(known.id, { ...known, waiting: undefined });
      }
    }
  }

  async #remember(one: Remembered): Promise<void> {
    this.#known.delete(one.id);
    this.#known.set(one.id, one);
    const rows: Row[] = [
      { table: RowTable.incident, key: one.id, value: Buffer.from(JSON.stringify({ ...one, id: undefined })) },
    ];
    for (const old of this.#known.values()) {
      if (this.#known.size <= MAX_REMEMBERED) break;
      if (old.waiting !== undefined) continue;
      this.#known.delete(old.id);
      rows.push({ table: RowTable.incident, key: old.id, value: null });
    }
    await this.#options.commitRows(rows);
  }

  async #say(): Promise<void> {
    const { now, publish, onSaid } = this.#options;
    for (const one of [...this.#known.values()]) {
      if (one.waiting === undefined) continue;
      if (!this.#bucket.take(1, now())) return;
      await publish(this.#fact(one.waiting, one.at));
      await this.#remember({ ...one, waiting: undefined });
      onSaid(String(one.waiting.details["kind"]), one.id);
    }
  }

  async #prepare(cause: IncidentCause): Promise<Prepared> {
    const hypothesis = HYPOTHESES[cause.kind];
    const { issuer } = this.#options;
    switch (cause.kind) {
      case "fork": {
        const fork = (await this.#options.store.forks()).find((one) => one.issuer === cause.issuer);
        const seq = fork?.seq ?? cause.seq;
        const stated = fork === undefined ? [] : decodeFork(fork.proof, sha256Hex).statements;
        const hashes = stated.map((one) => statedHash(one, seq) ?? "null").sort();
        const details = { kind: "fork", forked_issuer: cause.issuer, forked_seq: seq };
        const pointers = fork === undefined ? [] : [`0x${sha256Hex(fork.proof)}`];
        const id = digest(`fork|${cause.issuer}|${seq}|${hashes.join(",")}`);
        return { id, details: { ...details, conflicting_envelope_hashes: hashes }, hypothesis, pointers };
      }
      case "split_view": {
        const { kind: _, ...rest } = cause;
        const id = digest(`split_view|${cause.log_id}|${cause.proof_hash}`);
        return { id, details: { kind: "split_view", ...rest }, hypothesis, pointers: [cause.proof_hash] };
      }
      case "own_key_misuse": {
        const id = digest(`own_key_misuse|${issuer}|${cause.seq}`);
        return { id, details: { ...cause, issuer }, hypothesis, pointers: [] };
      }
      case "store_tamper": {
        const codes = [...new Set(cause.codes)].sort();
        const id = digest(`store_tamper|${issuer}|${cause.day}|${codes.join(",")}`);
        return { id, details: { ...cause, codes }, hypothesis, pointers: [] };
      }
      case "enforcement_failed": {
        const { harness, evidence, envelope_hash: hash, day } = cause;
        const id = digest(`${cause.kind}|${issuer}|${harness}|${evidence}|${hash ?? day}`);
        return { id, details: { ...cause }, hypothesis, pointers: hash === null ? [] : [hash] };
      }
      case "hook_removed": {
        const id = digest(`${cause.kind}|${issuer}|${cause.harness}|${cause.day}`);
        return { id, details: { ...cause }, hypothesis, pointers: [] };
      }
      default:
        return { id: digest(`${cause.kind}|${issuer}|${cause.day}`), details: { ...cause }, hypothesis, pointers: [] };
    }
  }

  #fact({ id, details, hypothesis, pointers }: Prepared, atMs: number): JsonObject {
    const { issuer, head, now } = this.#options;
    const seen = formatTime(Math.floor(atMs / 1000));
    return {
      schema: INCIDENT_SCHEMA,
      fact_id: `inc_${id}`,
      incident_id: `inc_${id}`,
      origin: issuer,
      escalation_level: "integrity_violation",
      outcome: "ongoing",
      trigger: { hypothesis, initial_confidence: 1, timestamp: seen, source_satellite: issuer, report_id: id },
      affected_runs: [],
      anchor_actions: ["investigate"],
      ledger: { local_ledger_root: null, spine_head_hash: head() },
      evidence: { forensics_bundle_hash: null, artifact_pointer_hashes: [...pointers] },
      issued_at: seen,
      updated_at: formatTime(Math.floor(now() / 1000)),
      spine: details,
    };
  }
}

function digest(line: string): string {
  return sha256Hex(Buffer.from(line)).slice(0, 16);
}

/** Leaves a cause for the daemon to publish when it runs next; bounded. */
export async function noteIncident(path: string, cause: IncidentCause): Promise<void> {
  const size = await stat(path).then(
    (found) => found.size,
    () => 0,
  );
  if (size < MAX_NOTE_BYTES) await appendFile(path, `${JSON.stringify(cause)}\n`, { mode: 0o600 });
}

/** The causes left; what is not one is skipped. */
async function readNotes(path: string): Promise<IncidentCause[]> {
  const text = await readFile(path, "utf8").catch((caught: unknown) => {
    if (errorCodeOf(caught) === "ENOENT") return "";
    throw asSpineError(caught, "store_failed");
  });
  const causes: IncidentCause[] = [];
  for (const line of text.slice(0, 2 * MAX_NOTE_BYTES).split("\n")) {
    try {
      const cause = JSON.parse(line) as IncidentCause | null;
      if (cause?.kind === "store_tamper" && Array.isArray(cause.codes) && typeof cause.day === "string") {
        causes.push({
          kind: cause.kind,
          problems: Number(cause.problems),
          codes: cause.codes.map(String),
          day: cause.day,
        });
      }
    } catch {
      // Cut off, or not ours.
    }
  }
  return causes;
}
