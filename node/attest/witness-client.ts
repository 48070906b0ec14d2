/**
 * Collects co-signatures of the own log's checkpoints: from trusted witnesses on the mesh, in both encodings, and from
 * public witnesses over HTTP (c2sp.org/tlog-witness). Called by the log keeper.
 */
import {
  asSpineError,
  checkpointHash,
  decodeWitnessReply,
  type ErrorCode,
  encodeCosignatureShown,
  encodeWitnessRequest,
  equalBytes,
  formatAddCheckpoint,
  formatNote,
  type Issuer,
  MAX_NOTE_BYTES,
  type NoteKey,
  NoteKeyType,
  type NoteSignature,
  noteKey,
  parseIssuer,
  parseWitnessAnswer,
  SpineError,
  type Verifier,
  validWitnesses,
  verifyNote,
  type WitnessLine,
  witnessRequestMessage,
} from "../../spine/index.ts";
import { sha256 } from "../hash.ts";
import type { IssuerSigner } from "../signer.ts";
import type { WitnessCollector } from "./keeper.ts";
import type { CheckpointRecord, Cosignatures } from "./log-record.ts";
import type { LogTree } from "./log-tree.ts";

/** A witness reached over HTTP. */
export interface PublicWitness {
  readonly key: NoteKey;
  /** Submission prefix, without trailing slash. */
  readonly url: string;
}

export interface WitnessClientOptions {
  /** The log's own key. */
  readonly signer: IssuerSigner;
  readonly tree: LogTree;
  readonly verifier: Verifier;
  /** Trusted witnesses on the mesh, and how many must co-sign the statement. */
  readonly trusted: () => { readonly witnesses: readonly Issuer[]; readonly quorum: number };
  readonly publicWitnesses: readonly PublicWitness[];
  /** How many of the public ones must co-sign the note. */
  readonly publicQuorum: number;
  /** Asks one mesh witness; undefined when it is not connected or does not answer in time. */
  readonly ask: (witness: Issuer, body: Uint8Array, signal: AbortSignal) => Promise<Uint8Array | undefined>;
  /** Shows a restored mesh witness one of its own co-signatures. */
  readonly show: (witness: Issuer, body: Uint8Array, signal: AbortSignal) => Promise<void>;
  /** The newest published checkpoint with every co-signature held. */
  readonly latest: () => (CheckpointRecord & { readonly late: Cosignatures }) | null;
  readonly fetch: typeof fetch;
  readonly onEvent: (event: WitnessClientEvent) => void;
}

export type WitnessClientEvent = {
  readonly type: "witness-refused";
  readonly witness: string;
  readonly code: ErrorCode;
  readonly detail: string;
};

/** For one witness, retries included. */
const TIMEOUT_MS = 4_000;
/** Asked at the same time. */
const MAX_ASKED = 32;
/** A witness names its size at most this often before it is given up for this round. */
const MAX_TRIES = 3;

type Found = Partial<Cosignatures>;

export class WitnessClient implements WitnessCollector {
  readonly #options: WitnessClientOptions;
  /** Size each witness signed last, as far as known. Bounded by the witnesses named. */
  readonly #sizes = new Map<string, number>();

  constructor(options: WitnessClientOptions) {
    this.#options = options;
  }

  missing(found: Cosignatures): string | undefined {
    const { trusted, publicWitnesses, publicQuorum } = this.#options;
    const { witnesses, quorum } = trusted();
    const needed = witnesses.length === 0 ? 0 : quorum;
    const lines = new Set(found.lines.map(({ witness }) => witness).filter((one) => witnesses.includes(one))).size;
    if (lines < needed) return `${lines} of ${needed} witnesses co-signed`;
    const notes = publicWitnesses.filter(({ key }) => found.notes.some((line) => isBy(line, key))).length;
    return notes < publicQuorum ? `${notes} of ${publicQuorum} public witnesses co-signed` : undefined;
  }

  async collect(record: CheckpointRecord, onFound: (found: Cosignatures) => void, signal: AbortSignal): Promise<void> {
    const { trusted, publicWitnesses } = this.#options;
    const end = AbortSignal.any([signal, AbortSignal.timeout(TIMEOUT_MS)]);
    const tell = (found: Found | undefined): void => {
      if (found !== undefined && !end.aborted) onFound({ lines: found.lines ?? [], notes: found.notes ?? [] });
    };
    const jobs: (() => Promise<void>)[] = [];
    for (const witness of trusted().witnesses) {
      // One after the other: the witness has one row for both encodings.
      jobs.push(async () => {
        if (!record.lines.some((line) => line.witness === witness)) tell(await this.#statement(witness, record, end));
        if (!record.notes.some((line) => isBy(line, meshKey(line.name, witness))))
          tell(await this.#meshNote(witness, record, end));
      });
    }
    for (const witness of publicWitnesses) {
      if (!record.notes.some((line) => isBy(line, witness.key)))
        jobs.push(async () => tell(await this.#publicNote(witness, record, end)));
    }
    const work = async (): Promise<void> => {
      for (let job = jobs.shift(); job !== undefined && !end.aborted; job = jobs.shift()) {
        // One witness's trouble is not another's.
        await job().catch((caught: unknown) => {
          const { code, message } = asSpineError(caught);
          this.#refused("", code, message);
        });
      }
    };
    const workers = Promise.all(Array.from({ length: Math.min(MAX_ASKED, jobs.length) }, work));
    await Promise.race([workers, new Promise((resolve) => end.addEventListener("abort", resolve, { once: true }))]);
    signal.throwIfAborted();
  }

  /** A proof from the size the witness names; undefined when this log never had a tree that large. */
  #proof(from: number, record: CheckpointRecord): Uint8Array[] | undefined {
    const { size } = record.statement;
    if (from > size) return undefined;
    return from === 0 || from === size ? [] : this.#options.tree.consistency(from, size);
  }

  async #statement(witness: Issuer, record: CheckpointRecord, signal: AbortSignal): Promise<Found | undefined> {
    const { signer, ask, verifier } = this.#options;
    const { statement } = record;
    const logSignature = signer.sign(witnessRequestMessage(checkpointHash(sha256, statement)));
    for (let tries = 0; tries < MAX_TRIES && !signal.aborted; tries++) {
      const oldSize = this.#sizes.get(witness) ?? 0;
      const proof = this.#proof(oldSize, record);
      if (proof === undefined) return this.#refused(witness, "witness_stale", `it signed ${oldSize} leaves already`);
      const body = encodeWitnessRequest({ type: "statement", statement, logSignature, oldSize, proof });
      const answer = await ask(witness, body, signal).catch(() => undefined);
      if (answer === undefined) return undefined;
      const reply = await this.#reading(witness, () => decodeWitnessReply(answer));
      if (reply === undefined) return undefined;
      if (reply.type === "signed") {
        const line: WitnessLine = reply.line;
        const valid = line.witness === witness ? await validWitnesses(sha256, statement, [line], verifier) : [];
        if (valid.length === 0) return this.#refused(witness, "witness_signature", "its signature is wrong");
        this.#sizes.set(witness, statement.size);
        return { lines: [line] };
      }
      if (reply.type !== "refused") return this.#refused(witness, "frame_syntax", "an answer to another question");
      if (reply.code === "witness_restored" && tries === 0) {
        await this.#showLast(witness, record, signal);
        continue;
      }
      if (reply.code !== "witness_stale" || reply.size === oldSize)
        return this.#refused(witness, reply.code, `it stands at ${reply.size} leaves, checkpoint ${reply.seq}`);
      this.#sizes.set(witness, reply.size);
    }
    return undefined;
  }

  /** A witness restored from a backup signs again once it saw what it signed last; this log kept it. */
  async #showLast(witness: Issuer, record: CheckpointRecord, signal: AbortSignal): Promise<void> {
    const { show, signer, latest } = this.#options;
    const before = latest();
    const kept = [...(before === null ? [] : [before, { ...before, ...before.late }]), record];
    for (const { statement, lines, notes, text, logLine } of kept) {
      const logSignature = signer.sign(witnessRequestMessage(checkpointHash(sha256, statement)));
      for (const { signature } of lines.filter((line) => line.witness === witness)) {
        await show(witness, encodeCosignatureShown({ type: "statement", statement, logSignature, signature }), signal);
      }
      for (const line of notes.filter((one) => isBy(one, meshKey(one.name, witness)))) {
        const note = formatNote({ text, signatures: [logLine, line] });
        await show(witness, encodeCosignatureShown({ type: "note", note }), signal);
      }
    }
  }

  #meshNote(witness: Issuer, record: CheckpointRecord, signal: AbortSignal): Promise<Found | undefined> {
    const { ask } = this.#options;
    const post = async (body: string): Promise<{ status: number; body: string } | undefined> => {
      const answer = await ask(witness, encodeWitnessRequest({ type: "note", body }), signal).catch(() => undefined);
      if (answer === undefined) return undefined;
      const reply = await this.#reading(witness, () => decodeWitnessReply(answer));
      return reply?.type === "answer" ? reply : undefined;
    };
    // The witness's key name is its own; what counts is its key.
    return this.#note(witness, post, (line) => meshKey(line.name, witness), record);
  }

  #publicNote({ key, url }: PublicWitness, record: CheckpointRecord, signal: AbortSignal): Promise<Found | undefined> {
    const post = async (body: string): Promise<{ status: number; body: string } | undefined> => {
      try {
        const answer = await this.#options.fetch(`${url}/add-checkpoint`, { method: "POST", body, signal });
        return { status: answer.status, body: await boundedText(answer) };
      } catch {
        return undefined;
      }
    };
    return this.#note(key.name, post, () => key, record);
  }

  async #note(
    name: string,
    post: (body: string) => Promise<{ status: number; body: string } | undefined>,
    keyOf: (line: NoteSignature) => NoteKey,
    record: CheckpointRecord,
  ): Promise<Found | undefined> {
    const note = formatNote({ text: record.text, signatures: [record.logLine] });
    for (let tries = 0; tries < MAX_TRIES; tries++) {
      const oldSize = this.#sizes.get(name) ?? 0;
      const proof = this.#proof(oldSize, record);
      if (proof === undefined) return this.#refused(name, "witness_stale", `it signed ${oldSize} leaves already`);
      const answer = await post(formatAddCheckpoint(oldSize, proof, note));
      if (answer === undefined) return undefined;
      const outcome = await this.#reading(name, () => parseWitnessAnswer(answer.status, answer.body));
      if (outcome === undefined) return undefined;
      if (outcome.type === "refused")
        return this.#refused(name, "witness_signature", `it refused with status ${outcome.status}`);
      if (outcome.type === "cosigned") {
        this.#sizes.set(name, record.statement.size);
        return await this.#verified(name, outcome.lines, keyOf, record);
      }
      if (outcome.size === oldSize) return this.#refused(name, "witness_stale", "it names the size it was shown");
      this.#sizes.set(name, outcome.size);
    }
    return undefined;
  }

  async #verified(
    name: string,
    lines: readonly NoteSignature[],
    keyOf: (line: NoteSignature) => NoteKey,
    record: CheckpointRecord,
  ): Promise<Found | undefined> {
    const keys = lines.map(keyOf);
    const note = { text: record.text, signatures: lines };
    const verified = await verifyNote(note, keys, this.#options.verifier).catch(() => []);
    const line = verified.find(({ key }) => key.type === NoteKeyType.cosignature)?.line;
    return line === undefined ? this.#refused(name, "note_signature", "its co-signature is wrong") : { notes: [line] };
  }

  async #reading<T>(witness: string, read: () => T): Promise<T | undefined> {
    try {
      return read();
    } catch (caught) {
      const error = asSpineError(caught);
      return this.#refused(witness, error.code, error.message);
    }
  }

  #refused(witness: string, code: ErrorCode, detail: string): undefined {
    this.#options.onEvent({ type: "witness-refused", witness, code, detail });
    return undefined;
  }
}

function isBy(line: NoteSignature, key: NoteKey): boolean {
  return line.name === key.name && equalBytes(line.keyId, key.keyId);
}

function meshKey(name: string, witness: Issuer): NoteKey {
  return noteKey(sha256, name, NoteKeyType.cosignature, parseIssuer(witness));
}

/** Throws `note_syntax` above what a note may have. */
async function boundedText(answer: Response): Promise<string> {
  const pieces: Uint8Array[] = [];
  let length = 0;
  for await (const piece of answer.body ?? []) {
    length += (piece as Uint8Array).length;
    if (length > MAX_NOTE_BYTES) throw new SpineError("note_syntax", "a witness's answer is too long");
    pieces.push(piece as Uint8Array);
  }
  return Buffer.concat(pieces).toString("utf8");
}
