/**
 * Inclusion proofs over the mesh (rules 10): asks peers to prove envelopes under checkpoints of followed logs, keeps what
 * holds, answers from the own log or from what was kept, and asks on where it has neither. Envelopes never wait for it.
 */
import {
  type About,
  type AttestMessage,
  actsAlone,
  BoundedMap,
  type CheckpointStatement,
  decodeAttestMessage,
  type Envelope,
  type EnvelopeHash,
  type ErrorCode,
  encodeAttestMessage,
  factKind,
  factOf,
  formatPortableProof,
  fromHex,
  type Issuer,
  type LeafProof,
  type LinkId,
  MAX_PROOFS,
  openSigningBytes,
  parseIssuer,
  type Row,
  RowTable,
  type Run,
  readCheckpointFact,
  SpineError,
  TREE_HASH_BYTES,
  toHex,
  verifyInclusion,
  walkRecords,
} from "../../spine/index.ts";
import type { Store } from "../../storage/index.ts";
import { sha256Hex, treeHasher } from "../hash.ts";

type Ask = Extract<AttestMessage, { type: "ask-proofs" }>;
type Given = Extract<AttestMessage, { type: "proofs" }>;

/** A link to a proven peer. */
export interface ProofLink {
  readonly id: LinkId;
  readonly bitrate: number;
}

export interface ProofExchangeOptions {
  readonly store: Store;
  readonly ownLog: () => Issuer;
  /** Path in the own log under a checkpoint; undefined when the leaf is not under it. Rejects with the log's codes. */
  readonly ownProof: (hash: EnvelopeHash, seq: number) => Promise<LeafProof | undefined>;
  readonly links: () => readonly ProofLink[];
  readonly mayTell: (link: LinkId, about: readonly About[]) => boolean;
  readonly send: (link: LinkId, message: AttestMessage) => void;
  readonly penalise: (link: LinkId, code: ErrorCode) => void;
  readonly commitRows: (rows: readonly Row[]) => Promise<void>;
  readonly now: () => number;
}

/** Proofs kept; the oldest go first and can be asked for again. */
const MAX_KEPT = 10_000;
/** Envelopes whose proof is waited for. */
const MAX_WANTED = 4_096;
/** Checkpoints of one log after which an envelope that nobody proves is no longer asked about. */
const MAX_TRIES = 8;
/** Askers remembered until a proof comes. */
const MAX_WAITING = 4_096;
const WAITING_MS = 60_000;
const ASK_AGAIN_MS = 10_000;
const MAX_ASKERS = 16;
/** Peers asked for one proof. */
const MAX_ASKED = 3;
/** Below this many bits per second proofs are asked for only on demand. */
const NARROW_BITRATE = 50;
/** Below it one at a time, so that a proof fits a packet, and by itself only once in so long. */
const SLOW_BITRATE = 100_000;
const SLOW_ASK_MS = 60_000;
/** Questions to one peer at one checkpoint: far below what a peer takes at once (`LINK_RATES.attests`). */
const MAX_QUESTIONS = 32;
const MAX_LINKS = 1_024;

interface Waiting {
  readonly askers: Set<LinkId>;
  readonly wakers: Set<() => void>;
  askedAt: number;
}

interface Place {
  readonly hash: EnvelopeHash;
  readonly issuer: Issuer;
  readonly seq: number;
}

interface Wanted extends Place {
  /** Checkpoints it was asked under, per log. */
  readonly tries: Map<Issuer, number>;
}

const keyOf = (logId: Issuer, hash: EnvelopeHash): string => `proof/${toHex(parseIssuer(logId))}/${hash}`;

export class ProofExchange {
  readonly #options: ProofExchangeOptions;
  /** Rows held, the oldest first. */
  readonly #kept = new Set<string>();
  readonly #wanted = new BoundedMap<EnvelopeHash, Wanted>(MAX_WANTED);
  /** When a slow link was asked last. */
  readonly #slowAskedAt = new BoundedMap<LinkId, number>(MAX_LINKS);
  readonly #waiting = new BoundedMap<string, Waiting>(MAX_WAITING);
  readonly #counts = { proofs_asked: 0, proofs_given: 0, proofs_kept: 0, proofs_spoilt: 0, proofs_given_up: 0 };

  constructor(options: ProofExchangeOptions) {
    this.#options = options;
  }

  counters(): Readonly<Record<string, number>> {
    return { ...this.#counts, proofs_held: this.#kept.size, proofs_wanted: this.#wanted.size };
  }

  async open(): Promise<void> {
    for await (const { key } of this.#options.store.rows(RowTable.log, "proof/")) this.#kept.add(key);
  }

  /** Envelopes came one by one: proofs of those that act or alarm are wanted from every followed log. */
  stored({ issuer, from, records, hashes }: Run): void {
    let seq = from - 1;
    for (const { signingBytes, signature } of walkRecords(records)) {
      const hash = hashes[++seq - from] as EnvelopeHash;
      const schema = openSigningBytes(signingBytes, signature, sha256Hex, hash).factSchema;
      if (!actsAlone(schema) || factKind(schema)?.kind === "log_checkpoint") continue;
      if (this.#wanted.get(hash) === undefined) this.#wanted.set(hash, { hash, issuer, seq, tries: new Map() });
    }
  }

  /** A checkpoint of a followed log is on disk: what is wanted may be under it. */
  checkpoint(logId: Issuer, seq: number): void {
    if (this.#wanted.size === 0 || logId === this.#options.ownLog()) return;
    const due: Place[] = [];
    for (const [hash, wanted] of this.#wanted.entries()) {
      if (this.#kept.has(keyOf(logId, hash))) continue;
      if (due.length === MAX_QUESTIONS * MAX_PROOFS) break;
      const tries = (wanted.tries.get(logId) ?? 0) + 1;
      wanted.tries.set(logId, tries);
      if (tries <= MAX_TRIES) due.push(wanted);
      else {
        this.#wanted.delete(hash);
        this.#counts.proofs_given_up++;
      }
    }
    this.#ask(logId, seq, due, null, NARROW_BITRATE);
  }

  #ask(logId: Issuer, seq: number, places: readonly Place[], except: LinkId | null, leastBitrate: number): void {
    if (places.length === 0) return;
    const { links, mayTell, send } = this.#options;
    let asked = 0;
    for (const { id, bitrate } of links()) {
      if (id === except || bitrate < leastBitrate || asked === MAX_ASKED) continue;
      // A question names what it is about.
      const open = places.filter((place) => mayTell(id, [place, { issuer: logId, seq }])).map(({ hash }) => hash);
      if (open.length > 0) asked++;
      const each = bitrate < SLOW_BITRATE ? 1 : MAX_PROOFS;
      // Nobody waits for what is asked with a least bitrate.
      const isSparing = bitrate < SLOW_BITRATE && leastBitrate > 0;
      if (isSparing && !this.#mayAskSlow(id)) continue;
      const most = isSparing ? 1 : MAX_QUESTIONS * MAX_PROOFS;
      for (let i = 0; i < Math.min(most, open.length); i += each) {
        this.#counts.proofs_asked++;
        send(id, { type: "ask-proofs", logId, seq, hashes: open.slice(i, i + each) });
      }
    }
  }

  #mayAskSlow(link: LinkId): boolean {
    const now = this.#options.now();
    if (now - (this.#slowAskedAt.get(link) ?? Number.NEGATIVE_INFINITY) < SLOW_ASK_MS) return false;
    this.#slowAskedAt.set(link, now);
    return true;
  }

  /** A peer's message. Rejects with coded errors, whose blame is the sender's. */
  message(link: LinkId, message: Ask | Given): Promise<void> {
    return message.type === "ask-proofs" ? this.#asked(link, message) : this.#given(link, message);
  }

  async #asked(link: LinkId, { logId, seq, hashes }: Ask): Promise<void> {
    /** By the checkpoint they are under. */
    const found = new Map<number, LeafProof[]>();
    const open: Place[] = [];
    for (const hash of new Set(hashes)) {
      const place = await this.#options.store.locate(hash);
      // Of what is not held nothing is known, and nobody is asked.
      if (place === undefined) continue;
      const about: Place = { hash, issuer: place.issuer, seq: place.seq };
      const held = await this.#held(logId, hash, seq);
      if (held !== undefined) {
        if (this.#mayGive(link, logId, held.seq, about))
          found.set(held.seq, [...(found.get(held.seq) ?? []), held.proof]);
        continue;
      }
      if (logId === this.#options.ownLog() || (await this.#statement(logId, seq)) === undefined) continue;
      const waiting = this.#waitingFor(logId, hash);
      if (waiting.askers.size < MAX_ASKERS) waiting.askers.add(link);
      const now = this.#options.now();
      if (now - waiting.askedAt < ASK_AGAIN_MS) continue;
      waiting.askedAt = now;
      open.push(about);
    }
    for (const [under, proofs] of found) this.#give(link, logId, under, proofs);
    this.#ask(logId, seq, open, link, 0);
  }

  #waitingFor(logId: Issuer, hash: EnvelopeHash): Waiting {
    const key = keyOf(logId, hash);
    const now = this.#options.now();
    const held = this.#waiting.get(key);
    if (held !== undefined && now - held.askedAt < WAITING_MS) return held;
    const made: Waiting = { askers: new Set(), wakers: held?.wakers ?? new Set(), askedAt: Number.NEGATIVE_INFINITY };
    this.#waiting.set(key, made);
    return made;
  }

  #mayGive(link: LinkId, logId: Issuer, seq: number, about: About): boolean {
    return this.#options.mayTell(link, [about, { issuer: logId, seq }]);
  }
  #give(link: LinkId, logId: Issuer, seq: number, proofs: readonly LeafProof[]): void {
    this.#counts.proofs_given += proofs.length;
    this.#options.send(link, { type: "proofs", logId, seq, proofs });
  }

  async #given(link: LinkId, { logId, seq, proofs }: Given): Promise<void> {
    if (logId === this.#options.ownLog()) return;
    const statement = await this.#statement(logId, seq);
    // Nothing to hold it against: its log is not followed here, or the checkpoint comes later.
    if (statement === undefined) return;
    const passedOn = new Map<LinkId, LeafProof[]>();
    for (const proof of proofs) {
      const { hash } = proof;
      const waiting = this.#waiting.get(keyOf(logId, hash));
      const isWanted = waiting !== undefined || this.#wanted.get(hash) !== undefined;
      const place = isWanted ? await this.#options.store.locate(hash) : undefined;
      if (place === undefined) continue;
      if (!isUnder(proof, statement)) {
        this.#counts.proofs_spoilt++;
        this.#options.penalise(link, "proof_mismatch");
        continue;
      }
      await this.#keep(logId, seq, proof);
      this.#waiting.delete(keyOf(logId, hash));
      for (const asker of waiting?.askers ?? []) {
        if (asker !== link && this.#mayGive(asker, logId, seq, { issuer: place.issuer, seq: place.seq }))
          passedOn.set(asker, [...(passedOn.get(asker) ?? []), proof]);
      }
      for (const wake of waiting?.wakers ?? []) wake();
    }
    for (const [asker, some] of passedOn) this.#give(asker, logId, seq, some);
  }

  async #keep(logId: Issuer, seq: number, proof: LeafProof): Promise<void> {
    const key = keyOf(logId, proof.hash);
    const value = encodeAttestMessage({ type: "proofs", logId, seq, proofs: [proof] });
    const rows: Row[] = [{ table: RowTable.log, key, value }];
    this.#kept.delete(key);
    this.#kept.add(key);
    this.#counts.proofs_kept++;
    for (const oldest of this.#kept) {
      if (this.#kept.size <= MAX_KEPT) break;
      this.#kept.delete(oldest);
      rows.push({ table: RowTable.log, key: oldest, value: null });
    }
    await this.#options.commitRows(rows);
  }

  /** From the own log under that checkpoint, or what was kept under any. */
  async #held(
    logId: Issuer,
    hash: EnvelopeHash,
    seq: number,
  ): Promise<{ readonly seq: number; readonly proof: LeafProof } | undefined> {
    const { store, ownLog, ownProof } = this.#options;
    if (logId === ownLog()) {
      const proof = await ownProof(hash, seq);
      return proof === undefined ? undefined : { seq, proof };
    }
    const value = this.#kept.has(keyOf(logId, hash)) ? await store.row(RowTable.log, keyOf(logId, hash)) : undefined;
    const message = value === undefined ? undefined : decodeAttestMessage(value);
    const proof = message?.type === "proofs" ? message.proofs[0] : undefined;
    return message?.type === "proofs" && proof !== undefined ? { seq: message.seq, proof } : undefined;
  }

  /** What a checkpoint held here states; undefined when there is none of that seq. */
  async #statement(logId: Issuer, seq: number): Promise<CheckpointStatement | undefined> {
    const envelope = await this.#checkpoint(logId, seq);
    if (envelope === undefined || factKind(envelope.factSchema)?.kind !== "log_checkpoint") return undefined;
    const { statement } = readCheckpointFact(factOf(envelope));
    return statement.logId === logId ? statement : undefined;
  }

  async #checkpoint(logId: Issuer, seq: number): Promise<Envelope | undefined> {
    const stored = await this.#options.store.at(logId, seq);
    if (stored === undefined) return undefined;
    return openSigningBytes(stored.signingBytes, stored.signature, sha256Hex, stored.hash);
  }

  /**
   * `clawdstrike-portable-proof-v1` of an envelope held here, in another node's log: from what was kept, else peers are
   * asked until the signal. Rejects with `api_not_found`.
   */
  async portable(
    logId: Issuer,
    hash: EnvelopeHash,
    newestSeq: number | undefined,
    signal: AbortSignal,
  ): Promise<string> {
    const { store } = this.#options;
    const stored = await store.envelope(hash);
    const place = await store.locate(hash);
    if (stored === undefined || place === undefined)
      throw new SpineError("api_not_found", "the envelope itself is not held");
    if (newestSeq === undefined) throw new SpineError("api_not_found", `no checkpoint of ${logId} is held`);
    if ((await this.#held(logId, hash, newestSeq)) === undefined) {
      const waiting = this.#waitingFor(logId, hash);
      waiting.askedAt = this.#options.now();
      await new Promise<void>((resolve) => {
        const done = (): void => {
          waiting.wakers.delete(done);
          signal.removeEventListener("abort", done);
          resolve();
        };
        waiting.wakers.add(done);
        signal.addEventListener("abort", done);
        this.#ask(logId, newestSeq, [{ hash, issuer: place.issuer, seq: place.seq }], null, 0);
        if (signal.aborted || this.#options.links().length === 0) done();
      });
    }
    const found = await this.#held(logId, hash, newestSeq);
    const checkpoint = found === undefined ? undefined : await this.#checkpoint(logId, found.seq);
    const statement = found === undefined ? undefined : await this.#statement(logId, found.seq);
    if (found === undefined || checkpoint === undefined || statement === undefined) {
      throw new SpineError("api_not_found", "no peer could prove that the envelope is in this log");
    }
    return formatPortableProof({
      envelope: openSigningBytes(stored.signingBytes, stored.signature, sha256Hex, stored.hash),
      index: found.proof.index,
      size: statement.size,
      checkpointSeq: found.seq,
      path: found.proof.path,
      checkpoint,
      lateWitnesses: [],
      unjudged: {},
    });
  }
}

function isUnder({ hash, index, path }: LeafProof, { size, root }: CheckpointStatement): boolean {
  try {
    const leafHash = treeHasher.leaf(fromHex(hash.slice(2), TREE_HASH_BYTES));
    verifyInclusion(treeHasher, { leafHash, index, size, path, root });
    return true;
  } catch {
    return false;
  }
}
