/**
 * Keeps the node's transparency log (rules 9): decides when a checkpoint is due, states and signs the tree head in both
 * encodings, collects co-signatures and publishes it as an envelope of the log's own chain, whose seq is the
 * checkpoint's. The intended checkpoint is on disk before anyone sees it; a smaller or different tree is never signed.
 */
import { randomUUID } from "node:crypto";
import {
  asSpineError,
  CHECKPOINT_INTERVAL_MS,
  type CheckpointCadence,
  type CheckpointStatement,
  type Clock,
  checkpointDue,
  checkpointHashText,
  checkpointMade,
  clockSeen,
  draftEnvelope,
  type Envelope,
  envelopeText,
  equalBytes,
  formatNote,
  formatTime,
  formatTreeHead,
  isQuietLeaf,
  type NoteKey,
  NoteKeyType,
  nextStatement,
  noteKey,
  type Outcome,
  openEnvelope,
  openSigningBytes,
  type Row,
  RowTable,
  type Run,
  realLeafAppended,
  SpineError,
  sealEnvelope,
  utf8,
  writeCheckpointFact,
} from "../../spine/index.ts";
import type { Store } from "../../storage/index.ts";
import { sha256, sha256Hex } from "../hash.ts";
import type { IssuerSigner } from "../signer.ts";
import { checkHighWater, type HighWater } from "./high-water.ts";
import {
  type CheckpointRecord,
  type Cosignatures,
  lateKey,
  lateRow,
  NO_COSIGNATURES,
  readLate,
  readRecord,
  recordRow,
} from "./log-record.ts";
import type { LogTree } from "./log-tree.ts";

export interface KeeperOptions {
  readonly store: Store;
  readonly tree: LogTree;
  /** The log's own key. */
  readonly signer: IssuerSigner;
  readonly origin: string;
  readonly clock: Clock;
  readonly highWater: HighWater;
  /** Durable when resolved. */
  readonly commitRows: (rows: readonly Row[]) => Promise<void>;
  /** Takes the checkpoint's envelope into the mesh; resolves with its outcome once it is on disk. */
  readonly offer: (envelope: Envelope) => Promise<Outcome>;
  /** Hashing waits while this holds, up to BUSY_MS, so that a node that catches up is not slowed down. */
  readonly busy: () => boolean;
  readonly witnesses: WitnessCollector;
  readonly onEvent: (event: KeeperEvent) => void;
}

export type KeeperEvent =
  | { readonly type: "checkpoint"; readonly record: CheckpointRecord }
  /** No quorum: the same statement is shown again later. */
  | { readonly type: "checkpoint-waits"; readonly seq: number; readonly reason: string }
  /** The log signs nothing more until a person looked. */
  | { readonly type: "log-stopped"; readonly error: SpineError };

/** Asks witnesses for a checkpoint; `KeeperOptions.witnesses`. */
export interface WitnessCollector {
  /** Whether these co-signatures suffice to publish; the reason if not. */
  missing(found: Cosignatures): string | undefined;
  /**
   * Asks every witness that has not co-signed yet; hands over each verified co-signature as it comes. Resolves when all
   * have answered or the time is up. Never rejects but with the signal's reason.
   */
  collect(record: CheckpointRecord, onFound: (found: Cosignatures) => void, signal: AbortSignal): Promise<void>;
}

/** A catch-up may hold a checkpoint up this long; with the gathering time it stays within the promised 6 s. */
const BUSY_MS = 4_000;
const BUSY_STEP_MS = 100;
/** Rows of late co-signatures kept. */
const LATE_KEPT = 10_000;
/** Leaves looked at after a start to find out whether a real one waits. */
const START_SCAN = 4_096;

export class LogKeeper {
  readonly #options: KeeperOptions;
  readonly noteKey: NoteKey;
  #cadence: CheckpointCadence = { lastAt: null, pendingSince: null };
  #latest: CheckpointRecord | null = null;
  #intent: CheckpointRecord | null = null;
  #late: Cosignatures = NO_COSIGNATURES;
  #leaves = 0;
  #retryAt = 0;
  #stopped: SpineError | undefined;
  #wake: () => void = () => {};
  #writing: Promise<unknown> = Promise.resolve();

  constructor(options: KeeperOptions) {
    this.#options = options;
    this.noteKey = noteKey(sha256, options.origin, NoteKeyType.ed25519, options.signer.publicKey);
  }

  get logId(): string {
    return this.#options.signer.issuer;
  }
  get origin(): string {
    return this.#options.origin;
  }
  /** Leaves on disk. */
  get leaves(): number {
    return this.#leaves;
  }
  /** The newest published checkpoint with every co-signature held. */
  get latest(): (CheckpointRecord & { readonly late: Cosignatures }) | null {
    return this.#latest === null ? null : { ...this.#latest, late: this.#late };
  }
  get stopped(): SpineError | undefined {
    return this.#stopped;
  }

  /**
   * Reads what was persisted. A log that must not go on is stopped, not thrown: the node works without it. Rejects with
   * the store's codes.
   */
  async open(logSize: number): Promise<void> {
    const { store, highWater } = this.#options;
    this.#leaves = logSize;
    try {
      const [intent, latest] = await Promise.all([
        store.row(RowTable.log, "intent"),
        store.row(RowTable.log, "latest"),
      ]);
      this.#intent = intent === undefined ? null : readRecord(intent);
      this.#latest = latest === undefined ? null : readRecord(latest);
      const late = await store.row(RowTable.log, lateKey(this.#latest?.statement.seq ?? 0));
      this.#late = late === undefined ? NO_COSIGNATURES : readLate(late);
      const newest = this.#intent ?? this.#latest;
      for (const { statement } of [this.#intent, this.#latest].filter((one) => one !== null)) {
        if (statement.logId !== this.logId) throw new SpineError("log_conflict", "the log's key was replaced");
        if (statement.size > logSize)
          throw new SpineError("log_conflict", "the store holds fewer leaves than were signed");
      }
      checkHighWater(await highWater.read(), newest?.statement ?? null);
    } catch (caught) {
      this.#stop(caught);
    }
  }

  /** More envelopes are on disk; `isReal`: some of them ask for a checkpoint. Called for every commit. */
  appended(run: Run, isReal: boolean): void {
    this.#leaves += run.hashes.length;
    if (!isReal || this.#cadence.pendingSince !== null) return;
    this.#cadence = realLeafAppended(this.#cadence, this.#options.clock.now());
    this.#wake();
  }

  /** Works until the signal aborts. */
  async run(signal: AbortSignal): Promise<void> {
    const onAbort = (): void => this.#wake();
    signal.addEventListener("abort", onAbort);
    try {
      await this.#restorePending();
      while (!signal.aborted) {
        if (this.#stopped !== undefined) return;
        await this.#sleep(this.#dueAt(), signal);
        if (signal.aborted) return;
        await this.#round(signal);
      }
    } catch (caught) {
      if (signal.aborted) return;
      this.#stop(caught);
    } finally {
      signal.removeEventListener("abort", onAbort);
      await this.#writing;
    }
  }

  #dueAt(): number | null {
    this.#cadence = clockSeen(this.#cadence, this.#options.clock.now());
    return this.#intent === null ? checkpointDue(this.#cadence) : this.#retryAt;
  }

  async #sleep(at: number | null, signal: AbortSignal): Promise<void> {
    const { clock } = this.#options;
    if (at !== null && at <= clock.now()) return;
    await new Promise<void>((resolve) => {
      const cancel = at === null ? () => {} : clock.schedule(at, () => this.#wake());
      this.#wake = () => {
        cancel();
        resolve();
      };
      if (signal.aborted) this.#wake();
    });
    this.#wake = () => {};
  }

  /** After a start a leaf may wait that no checkpoint covers. */
  async #restorePending(): Promise<void> {
    const { store, clock } = this.#options;
    const from = this.#latest?.statement.size ?? 0;
    const hashes = await store.leaves(from, START_SCAN);
    for (const [i, hash] of hashes.entries()) {
      const stored = await store.envelope(hash);
      const isReal = stored !== undefined && !isQuietLeaf(schemaOf(stored.signingBytes, stored.signature));
      if (!isReal && i < START_SCAN - 1) continue;
      this.#cadence = { ...this.#cadence, pendingSince: clock.now() };
      return;
    }
  }

  async #round(signal: AbortSignal): Promise<void> {
    const { clock } = this.#options;
    if (this.#intent === null) {
      const since = this.#cadence.pendingSince;
      if (since === null || (checkpointDue(this.#cadence) ?? 0) > clock.now()) return;
      while (this.#options.busy() && clock.now() < since + BUSY_MS)
        await this.#sleep(clock.now() + BUSY_STEP_MS, signal);
      if (signal.aborted) return;
      await this.#intend(signal);
    }
    const intent = this.#intent as CheckpointRecord | null;
    if (intent === null) return;
    await this.#hold(intent.statement, signal);
    // Before anyone sees it: written again after a crash in between.
    await this.#options.highWater.write(intent.statement);
    const done = intent.envelope === null ? await this.#gather(intent, signal) : intent;
    if (done === undefined) {
      this.#retryAt = clock.now() + CHECKPOINT_INTERVAL_MS;
      return;
    }
    await this.#publish(done);
  }

  /** States the tree head of every leaf on disk now, signs it and makes it durable. */
  async #intend(signal: AbortSignal): Promise<void> {
    const { tree, signer, clock, commitRows, origin } = this.#options;
    const size = this.#leaves;
    // From here on a leaf is one for the next checkpoint.
    this.#cadence = checkpointMade(clock.now());
    await tree.advance(size, signal);
    const previous = this.#latest?.statement ?? null;
    if (previous !== null) await this.#hold(previous, signal);
    const issuedAt = formatTime(Math.floor(clock.now() / 1000));
    const root = tree.root(size);
    const statement = nextStatement(sha256, previous, { logId: this.logId, root, size, issuedAt });
    const text = formatTreeHead({ origin, size, root, extensions: [] });
    const logLine = { name: origin, keyId: this.noteKey.keyId, signature: signer.sign(utf8(text)) };
    const intent: CheckpointRecord = { ...NO_COSIGNATURES, statement, text, logLine, envelope: null };
    await commitRows([recordRow("intent", intent)]);
    this.#intent = intent;
  }

  /** What was signed must be the tree of the leaves on disk, whatever happened to it. Throws `log_conflict`. */
  async #hold({ size, root }: CheckpointStatement, signal: AbortSignal): Promise<void> {
    const { tree } = this.#options;
    await tree.advance(size, signal);
    if (!equalBytes(tree.root(size), root)) {
      throw new SpineError("log_conflict", `the leaves no longer have the root signed for ${size}`);
    }
  }

  /** Resolves with the sealed checkpoint at quorum, and goes on collecting; undefined when there is no quorum in time. */
  async #gather(intent: CheckpointRecord, signal: AbortSignal): Promise<CheckpointRecord | undefined> {
    const { witnesses, onEvent } = this.#options;
    let found: Cosignatures = { lines: intent.lines, notes: intent.notes };
    let published = false;
    let atQuorum: () => void = () => {};
    const quorum = new Promise<void>((resolve) => {
      atQuorum = resolve;
    });
    const onFound = (more: Cosignatures): void => {
      found = { lines: [...found.lines, ...more.lines], notes: [...found.notes, ...more.notes] };
      if (published) this.#keepLate(intent.statement, more);
      else if (witnesses.missing(found) === undefined) atQuorum();
    };
    const collecting = witnesses.collect(intent, onFound, signal).catch(() => {});
    if (witnesses.missing(found) !== undefined) await Promise.race([quorum, collecting]);
    if (signal.aborted) return undefined;
    published = true;
    const missing = witnesses.missing(found);
    if (missing === undefined) return this.#seal({ ...intent, ...found });
    onEvent({ type: "checkpoint-waits", seq: intent.statement.seq, reason: missing });
    const kept = { ...intent, ...found };
    await this.#options.commitRows([recordRow("intent", kept)]);
    this.#intent = kept;
    return undefined;
  }

  /** The envelope is on disk before it is shown: after a crash the same bytes are published, never others under its seq. */
  async #seal(record: CheckpointRecord): Promise<CheckpointRecord> {
    const { signer, commitRows } = this.#options;
    const { statement, lines } = record;
    const note = formatNote({ text: record.text, signatures: [record.logLine, ...record.notes] });
    const fact = writeCheckpointFact({ statement, witnesses: lines, note }, `cp_${randomUUID()}`, "clawdstrike");
    const before = this.#latest?.envelope ?? null;
    const prev = before === null ? null : openEnvelope(before, sha256Hex).hash;
    const draft = draftEnvelope(
      { issuer: this.logId, seq: statement.seq, prev, issuedAt: statement.issuedAt, fact },
      sha256Hex,
    );
    const sealed = { ...record, envelope: envelopeText(sealEnvelope(draft, signer.sign(draft.signingBytes))) };
    await commitRows([recordRow("intent", sealed)]);
    this.#intent = sealed;
    return sealed;
  }

  async #publish(record: CheckpointRecord): Promise<void> {
    const { offer, commitRows, onEvent } = this.#options;
    const outcome = await offer(openEnvelope(record.envelope as string, sha256Hex));
    if (outcome !== "added" && outcome !== "duplicate") {
      throw new SpineError(outcome, `the log's own checkpoint ${record.statement.seq} was refused`);
    }
    const old = record.statement.seq - LATE_KEPT;
    const rows = [recordRow("latest", record), recordRow("intent", null)];
    await commitRows(old > 0 ? [...rows, lateRow(old, null)] : rows);
    this.#latest = record;
    this.#intent = null;
    await this.#writing;
    this.#late = await this.late(record.statement.seq);
    onEvent({ type: "checkpoint", record });
  }

  /** Co-signatures after the publication: served beside the checkpoint, never in a second envelope. */
  #keepLate({ seq }: CheckpointStatement, more: Cosignatures): void {
    const { store, commitRows } = this.#options;
    const write = this.#writing.then(async () => {
      const stored = await store.row(RowTable.log, lateKey(seq));
      const before = stored === undefined ? NO_COSIGNATURES : readLate(stored);
      const late = { lines: [...before.lines, ...more.lines], notes: [...before.notes, ...more.notes] };
      await commitRows([lateRow(seq, late)]);
      if (this.#latest?.statement.seq === seq) this.#late = late;
    });
    this.#writing = write.catch(() => {});
  }

  /** Late co-signatures of any checkpoint. */
  async late(seq: number): Promise<Cosignatures> {
    const stored = await this.#options.store.row(RowTable.log, lateKey(seq));
    return stored === undefined ? NO_COSIGNATURES : readLate(stored);
  }

  /** `0x` hash of the newest published statement; null before the first. */
  get latestHash(): string | null {
    return this.#latest === null ? null : checkpointHashText(sha256, this.#latest.statement);
  }

  #stop(caught: unknown): void {
    this.#stopped = asSpineError(caught);
    this.#options.onEvent({ type: "log-stopped", error: this.#stopped });
  }
}

function schemaOf(signingBytes: Uint8Array, signature: Uint8Array): string {
  return openSigningBytes(signingBytes, signature, sha256Hex).factSchema;
}
