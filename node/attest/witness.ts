/**
 * The witness role (rules 9, c2sp.org/tlog-witness): one row per log for both encodings. A row is on disk before what it
 * allows is signed, and its mark outside the store soon after; requests for one log are decided one after the other.
 */
import { readFile } from "node:fs/promises";
import {
  asSpineError,
  type CheckpointStatement,
  type CosignatureShown,
  canonicalText,
  confirmRow,
  cosignatureMessage,
  cosignedAnswer,
  decideNote,
  decideStatement,
  decodeWitnessRow,
  type ErrorCode,
  encodeWitnessRow,
  equalBytes,
  formatNote,
  fromHex,
  guardRow,
  type Issuer,
  isJsonObject,
  type JsonObject,
  joinCosignature,
  monitoredNote,
  type NoteKey,
  NoteKeyType,
  type NoteSignature,
  noteKey,
  openAddCheckpoint,
  openStatementRequest,
  parseJson,
  parseNote,
  parseTreeHead,
  type Row,
  RowTable,
  refusalAnswer,
  type ShownCosignature,
  type SignedHead,
  SpineError,
  showCosignature,
  startRow,
  statementText,
  toHex,
  utf8,
  utf8Text,
  type Verifier,
  verifyNote,
  type WitnessAnswer,
  type WitnessDecision,
  type WitnessedLog,
  type WitnessMark,
  type WitnessReply,
  type WitnessRequest,
  type WitnessRow,
  witnessClaim,
  witnessMark,
  witnessRequestClaim,
} from "../../spine/index.ts";
import type { Store } from "../../storage/index.ts";
import { errorCodeOf, writeFileAtomic } from "../files.ts";
import { sha256, treeHasher } from "../hash.ts";
import type { IssuerSigner } from "../signer.ts";

export interface WitnessOptions {
  readonly store: Store;
  /** The node's issuer key: its id is the witness's. */
  readonly signer: IssuerSigner;
  /** Key name of its co-signatures of notes. */
  readonly name: string;
  readonly verifier: Verifier;
  readonly nowSeconds: () => number;
  /** File of marks, outside the store and its backups. */
  readonly marks: string;
  readonly commitRows: (rows: readonly Row[]) => Promise<void>;
  readonly onEvent: (event: WitnessEvent) => void;
}

export type WitnessEvent =
  | { readonly type: "cosigned"; readonly logId: Issuer; readonly size: number }
  /** The request and what was signed before contradict each other: evidence. */
  | {
      readonly type: "witness-conflict";
      readonly logId: Issuer;
      readonly reason: string;
      /** What the log signed before, and what it signed now. */
      readonly before: readonly SignedHead[];
      readonly now: SignedHead;
    }
  /** A signed tree without a proof that it extends the one co-signed: an alarm, never an accusation (rules 9). */
  | { readonly type: "witness-unproven"; readonly logId: Issuer; readonly size: number; readonly reason: string };

/** In place of a log's signature on a request that had none: evidence of nothing. */
const UNSIGNED = new Uint8Array(64);
/** Marks follow their rows well within a second (rules 7), many with one write. */
const MARKS_DELAY_MS = 250;
/** Refusals of a head that its log signed, for want of a proof. */
const UNPROVEN: ReadonlySet<ErrorCode> = new Set(["proof_mismatch", "proof_shape"]);
/** Rows kept; a witness signs only for logs that its operator named. */
const MAX_LOGS = 4_096;

export class Witness {
  readonly #options: WitnessOptions;
  readonly noteKey: NoteKey;
  readonly #rows = new Map<Issuer, WitnessRow>();
  readonly #marks = new Map<Issuer, WitnessMark>();
  /** Size co-signed when a log's tree came without a good proof; until the log proves itself again. */
  readonly #unproven = new Map<Issuer, number>();
  readonly #locks = new Map<Issuer, Promise<unknown>>();
  #logs: readonly WitnessedLog[] = [];
  #marksWriting: Promise<void> = Promise.resolve();
  #marksTimer: NodeJS.Timeout | undefined;
  #marksNext: Promise<void> | undefined;
  /** The last write of the marks did not end well. */
  #marksFailed = false;

  constructor(options: WitnessOptions) {
    this.#options = options;
    this.noteKey = noteKey(sha256, options.name, NoteKeyType.cosignature, options.signer.publicKey);
  }

  get id(): Issuer {
    return this.#options.signer.issuer;
  }
  get logs(): readonly WitnessedLog[] {
    return this.#logs;
  }
  row(logId: Issuer): WitnessRow | undefined {
    return this.#rows.get(logId);
  }
  /** Logs whose row waits to be shown its last co-signature. */
  get restored(): readonly Issuer[] {
    return [...this.#rows].filter(([, row]) => row.restored !== null).map(([logId]) => logId);
  }

  get unproven(): readonly Issuer[] {
    return [...this.#unproven.keys()];
  }

  /** Compares every row with its mark. Rejects with `store_corrupt`. */
  async open(): Promise<void> {
    const marks = await readMarks(this.#options.marks);
    for await (const { key, value } of this.#options.store.rows(RowTable.witness)) {
      this.#rows.set(key, decodeWitnessRow(utf8Text(value)));
    }
    for (const [logId, row] of this.#rows) this.#rows.set(logId, guardRow(sha256, row, marks?.get(logId)));
    for (const [logId, mark] of marks ?? []) {
      this.#marks.set(logId, mark);
      if (!this.#rows.has(logId)) this.#rows.set(logId, guardRow(sha256, startRow(treeHasher, null), mark));
    }
  }

  /** The operator's word on whom it signs for. */
  allow(logs: readonly WitnessedLog[]): void {
    this.#logs = logs.slice(0, MAX_LOGS);
  }

  /** A request of a peer, on whatever plane. Never rejects for its content. */
  async answer(request: WitnessRequest): Promise<WitnessReply> {
    if (request.type === "note") {
      const { status, body } = await this.addCheckpoint(request.body);
      return { type: "answer", status, body };
    }
    try {
      const opened = await openStatementRequest(sha256, request, this.#logs, this.#options.verifier);
      const { statement, logSignature } = opened;
      const shown: SignedHead = { type: "request", text: statementText(statement), signature: logSignature };
      const { decision, signature } = await this.#decide(opened.log, shown, (row) =>
        decideStatement(sha256, treeHasher, opened, row),
      );
      if (signature !== undefined) return { type: "signed", line: { witness: this.id, signature } };
      const code = decision.outcome === "refuse" ? decision.code : "internal";
      return { type: "refused", code, size: decision.row.size, seq: decision.row.statement?.statement.seq ?? 0 };
    } catch (caught) {
      return { type: "refused", code: asSpineError(caught).code, size: 0, seq: 0 };
    }
  }

  /**
   * A statement without its log's signature, as an upstream log asks: only with the root of leaves that were read by this
   * node itself, for an allowed log. Never rejects for its content.
   */
  async answerHeld(
    statement: CheckpointStatement,
    rootOf: (size: number) => Promise<Uint8Array | undefined>,
  ): Promise<WitnessReply> {
    const log = this.#logs.find(({ logId }) => logId === statement.logId);
    if (log === undefined) return { type: "refused", code: "log_not_allowed", size: 0, seq: 0 };
    try {
      const { size } = this.#rows.get(log.logId) ?? startRow(treeHasher, log.pin);
      const before = size === 0 ? treeHasher.emptyRoot : await rootOf(size);
      const root = await rootOf(statement.size);
      if (root === undefined || !equalBytes(root, statement.root))
        return { type: "refused", code: "proof_mismatch", size, seq: 0 };
      const ownRoot = (wanted: number): Uint8Array | undefined =>
        wanted === statement.size ? root : wanted === size ? before : undefined;
      const shown: SignedHead = { type: "request", text: statementText(statement), signature: UNSIGNED };
      const opened = { type: "statement", log, statement, logSignature: UNSIGNED, oldSize: size, proof: [] } as const;
      const { decision, signature } = await this.#decide(log, shown, (row) =>
        decideStatement(sha256, treeHasher, opened, row, ownRoot),
      );
      if (signature !== undefined) return { type: "signed", line: { witness: this.id, signature } };
      const code = decision.outcome === "refuse" ? decision.code : "internal";
      return { type: "refused", code, size: decision.row.size, seq: decision.row.statement?.statement.seq ?? 0 };
    } catch (caught) {
      return { type: "refused", code: asSpineError(caught).code, size: 0, seq: 0 };
    }
  }

  /** An add-checkpoint body; the answer has the protocol's status. */
  async addCheckpoint(body: string): Promise<WitnessAnswer> {
    try {
      const opened = await openAddCheckpoint(body, this.#logs, this.#options.verifier);
      const decide = (row: WitnessRow | undefined): WitnessDecision =>
        decideNote(treeHasher, opened, row, this.#options.nowSeconds());
      const note = formatNote({ text: opened.request.text, signatures: opened.logSignatures });
      const { decision, signature } = await this.#decide(opened.log, { type: "note", text: note }, decide);
      if (decision.outcome === "refuse") return refusalAnswer(decision.code, decision.reason, decision.row.size);
      return cosignedAnswer([this.#line(decision.row, signature as Uint8Array)]);
    } catch (caught) {
      const error = asSpineError(caught);
      return refusalAnswer(error.code, error.code === "internal" ? "internal" : error.message, 0);
    }
  }

  #line(row: WitnessRow, signature: Uint8Array): NoteSignature {
    const timestamp = row.note?.timestamp ?? 0;
    return { name: this.noteKey.name, keyId: this.noteKey.keyId, signature: joinCosignature(timestamp, signature) };
  }

  /** Latest co-signed note of a log, whose path names it by its origin's hash; undefined when there is none. */
  monitored(originHash: string): string | undefined {
    const log = this.#logs.find(({ origin }) => origin !== null && toHex(sha256(utf8(origin))) === originHash);
    const row = log === undefined ? undefined : this.#rows.get(log.logId);
    if (row?.note == null || row.restored !== null) return undefined;
    const signature = this.#options.signer.sign(cosignatureMessage(row.note.timestamp, row.note.text));
    return monitoredNote(row.note, this.#line(row, signature));
  }

  /** One decision at a time for a log: row and mark on disk, then the signature. */
  #decide(
    log: WitnessedLog,
    shown: SignedHead,
    decide: (row: WitnessRow | undefined) => WitnessDecision,
  ): Promise<{ decision: WitnessDecision; signature: Uint8Array | undefined }> {
    return this.#locked(log.logId, async () => {
      const decision = decide(this.#rows.get(log.logId));
      const { onEvent, signer } = this.#options;
      if (decision.outcome === "refuse") {
        if (decision.code === "log_conflict") {
          const before = signedHeads(decision.row);
          onEvent({ type: "witness-conflict", logId: log.logId, reason: decision.reason, before, now: shown });
        } else if (
          UNPROVEN.has(decision.code) &&
          !(shown.type === "request" && shown.signature === UNSIGNED) &&
          this.#unproven.get(log.logId) !== decision.row.size
        ) {
          this.#unproven.set(log.logId, decision.row.size);
          const { row, reason } = decision;
          onEvent({ type: "witness-unproven", logId: log.logId, size: row.size, reason });
        }
        return { decision, signature: undefined };
      }
      if (decision.outcome === "sign") {
        await this.#keep(log.logId, decision.row);
        this.#unproven.delete(log.logId);
        onEvent({ type: "cosigned", logId: log.logId, size: decision.row.size });
      }
      return { decision, signature: signer.sign(decision.message) };
    });
  }

  #locked<T>(logId: Issuer, work: () => Promise<T>): Promise<T> {
    const done = (this.#locks.get(logId) ?? Promise.resolve()).then(work, work);
    this.#locks.set(
      logId,
      done.catch(() => {}),
    );
    return done;
  }

  async #keep(logId: Issuer, row: WitnessRow): Promise<void> {
    const { commitRows } = this.#options;
    if (row.restored === null && !this.#marks.has(logId)) {
      // A row that was killed before its first mark would look like one whose mark is lost.
      this.#marks.set(logId, witnessMark(sha256, startRow(treeHasher, null)));
      await this.#writeMarks();
    }
    await commitRows([{ table: RowTable.witness, key: logId, value: utf8(encodeWitnessRow(row)) }]);
    this.#rows.set(logId, row);
    if (row.restored !== null) return;
    this.#marks.set(logId, witnessMark(sha256, row));
    // A mark behind its row is no harm after a crash, so nobody waits for it; one that cannot be written stops the signing.
    if (this.#marksFailed) return this.#writeMarks();
    this.#marksTimer ??= setTimeout(() => this.#flushMarks(), MARKS_DELAY_MS).unref();
  }

  #flushMarks(): void {
    clearTimeout(this.#marksTimer);
    this.#marksTimer = undefined;
    this.#writeMarks().catch(() => {});
  }

  /** Marks of whatever came until the write begins are in it. */
  #writeMarks(): Promise<void> {
    this.#marksNext ??= this.#marksWriting.then(async () => {
      this.#marksNext = undefined;
      try {
        await writeMarks(this.#options.marks, this.#marks);
        this.#marksFailed = false;
      } catch (error) {
        this.#marksFailed = true;
        throw error;
      }
    });
    const next = this.#marksNext;
    this.#marksWriting = next.catch(() => {});
    return next;
  }

  /** Resolves when every mark is on disk, or could not be written. */
  settled(): Promise<void> {
    if (this.#marksTimer !== undefined) this.#flushMarks();
    return this.#marksWriting;
  }

  /**
   * After a restore: one of this witness's own co-signatures, shown by the log that kept it. Resolves with the row's
   * place. Rejects with `log_not_allowed`, `witness_signature`, `signature_invalid` or the note's codes.
   */
  async shown(shown: CosignatureShown): Promise<WitnessRow> {
    const { verifier } = this.#options;
    if (shown.type === "statement") {
      const { statement, logSignature, signature } = shown;
      const log = this.#logs.find(({ logId }) => logId === statement.logId);
      if (log === undefined) throw new SpineError("log_not_allowed", "unknown log");
      const line = { witness: this.id, signature };
      const [byLog, byMe] = await verifier.verify([
        witnessRequestClaim(sha256, statement, logSignature),
        witnessClaim(sha256, statement, line),
      ]);
      if (byLog !== true) throw new SpineError("signature_invalid", "the log did not sign this statement");
      if (byMe !== true) throw new SpineError("witness_signature", "this witness did not sign this statement");
      return this.#show(log.logId, { type: "statement", statement, logSignature });
    }
    const note = parseNote(shown.note);
    const { origin } = parseTreeHead(note.text);
    const log = this.#logs.find((one) => one.origin === origin);
    if (log === undefined) throw new SpineError("log_not_allowed", "unknown log");
    const verified = await verifyNote(note, [...log.noteKeys, this.noteKey], verifier);
    const own = verified.find(({ key }) => key === this.noteKey);
    const logSignatures = verified.filter(({ key }) => key !== this.noteKey).map(({ line }) => line);
    if (own === undefined || logSignatures.length === 0) {
      throw new SpineError("note_unsigned", "the log and this witness must have signed it");
    }
    return this.#show(log.logId, { type: "note", text: note.text, timestamp: own.timestamp ?? 0, logSignatures });
  }

  /** Takes over what was verified, and unlocks the row once the last co-signatures were seen. */
  #show(logId: Issuer, shown: ShownCosignature): Promise<WitnessRow> {
    return this.#locked(logId, async () => {
      const row = this.#rows.get(logId);
      if (row === undefined) throw new SpineError("log_not_allowed", `nothing was signed for ${logId}`);
      const next = showCosignature(sha256, row, shown);
      if (next !== row) await this.#keep(logId, next);
      return next;
    });
  }

  /** The operator's word that a locked row is the last state. Throws `log_not_allowed`. */
  confirm(logId: Issuer): Promise<void> {
    return this.#locked(logId, async () => {
      const row = this.#rows.get(logId);
      if (row === undefined) throw new SpineError("log_not_allowed", `nothing was signed for ${logId}`);
      if (row.restored !== null) await this.#keep(logId, confirmRow(row));
    });
  }
}

/** What a row remembers with the log's own signatures. */
function signedHeads({ statement, note }: WitnessRow): SignedHead[] {
  const heads: SignedHead[] = [];
  if (statement !== null) {
    heads.push({ type: "request", text: statementText(statement.statement), signature: statement.logSignature });
  }
  if (note !== null)
    heads.push({ type: "note", text: formatNote({ text: note.text, signatures: note.logSignatures }) });
  return heads;
}

/** Undefined where the file is missing: then rows that exist are locked. Throws `store_corrupt`. */
async function readMarks(path: string): Promise<Map<Issuer, WitnessMark> | undefined> {
  let text: string;
  try {
    text = await readFile(path, "utf8");
  } catch (cause) {
    if (errorCodeOf(cause) === "ENOENT") return undefined;
    throw new SpineError("store_corrupt", `${path}: cannot be read`, { cause });
  }
  try {
    const marks = new Map<Issuer, WitnessMark>();
    for (const [logId, value] of Object.entries(parseJson(text) as JsonObject)) {
      if (!isJsonObject(value)) throw new SpineError("store_corrupt", "no object");
      const digest = (name: string): Uint8Array | null =>
        value[name] === null ? null : fromHex(String(value[name]), 32);
      marks.set(logId, { revision: Number(value["revision"]), statement: digest("statement"), note: digest("note") });
    }
    return marks;
  } catch (cause) {
    throw new SpineError("store_corrupt", `${path}: not a file of witness marks`, { cause });
  }
}

async function writeMarks(path: string, marks: ReadonlyMap<Issuer, WitnessMark>): Promise<void> {
  const digest = (bytes: Uint8Array | null): string | null => (bytes === null ? null : toHex(bytes));
  const entries = [...marks].map(([logId, { revision, statement, note }]) => [
    logId,
    { revision, statement: digest(statement), note: digest(note) },
  ]);
  await writeFileAtomic(path, canonicalText(Object.fromEntries(entries)), { mode: 0o600, exclusive: false });
}
