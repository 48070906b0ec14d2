/**
 * Follows logs (rules 9): compares what peers hold of a followed log with what is stored here, asks for the evidence
 * where the two differ, and keeps and spreads the proof that a log showed two views. Different sizes alone accuse nobody.
 */
import {
  type About,
  type AttestMessage,
  asSpineError,
  decodeFork,
  type ErrorCode,
  encodeSplitView,
  envelopeText,
  type Issuer,
  type LinkId,
  type LogHeadClaim,
  MAX_LOG_HEADS,
  openEnvelope,
  openSigningBytes,
  parseIssuer,
  type Row,
  RowTable,
  type SignedHead,
  type SplitView,
  type SplitViewShape,
  toHex,
  type Verifier,
  verifySplitView,
} from "../../spine/index.ts";
import type { Store } from "../../storage/index.ts";
import { sha256, sha256Hex } from "../hash.ts";

export interface FollowerOptions {
  readonly store: Pick<Store, "at" | "rows" | "forks">;
  readonly verifier: Verifier;
  readonly ownLog: () => Issuer;
  readonly commitRows: (rows: readonly Row[]) => Promise<void>;
  /** `about`: the envelope that the message speaks of. */
  readonly send: (link: LinkId, message: AttestMessage, about?: About) => void;
  /** Links whose peer proved itself. */
  readonly links: () => readonly LinkId[];
  readonly penalise: (link: LinkId, code: ErrorCode) => void;
  readonly onEvent: (event: FollowerEvent) => void;
}

/** A log signed two heads that cannot both be true; the proof is stored. Told once for each log. */
export interface FollowerEvent {
  readonly type: "split-view";
  readonly logId: Issuer;
  readonly shape: SplitViewShape;
  readonly proof: Uint8Array;
  /** `0x` and SHA-256 of the proof. */
  readonly proofHash: string;
}

const HASHES = { sha256, sha256Hex };

export function splitViewKey(logId: Issuer): string {
  return `split/${toHex(parseIssuer(logId))}`;
}

export class Follower {
  readonly #options: FollowerOptions;
  #followed: ReadonlySet<Issuer> = new Set();
  /** Newest checkpoint held of each followed log. */
  readonly #newest = new Map<Issuer, LogHeadClaim>();
  /** Proofs held, by log. */
  readonly #proofs = new Map<Issuer, Uint8Array>();

  constructor(options: FollowerOptions) {
    this.#options = options;
  }

  /** Logs proven to have shown two views. */
  get proofs(): ReadonlyMap<Issuer, Uint8Array> {
    return this.#proofs;
  }

  async open(): Promise<void> {
    for await (const { key, value } of this.#options.store.rows(RowTable.log, "split/")) {
      this.#proofs.set(`aegis:ed25519:${key.slice("split/".length)}`, value);
    }
  }

  /** The operator's word on which logs to follow; `newest` is what the store holds of one. */
  async follow(logs: readonly Issuer[], newestSeq: (logId: Issuer) => number | undefined): Promise<void> {
    this.#followed = new Set(logs);
    for (const logId of logs) {
      const seq = newestSeq(logId);
      const stored = seq === undefined ? undefined : await this.#options.store.at(logId, seq);
      if (stored !== undefined) this.#newest.set(logId, { logId, seq: stored.seq, hash: stored.hash });
    }
  }

  /** Whether any log of others is followed. */
  get some(): boolean {
    return this.#followed.size > 0;
  }
  isFollowed(logId: Issuer): boolean {
    return this.#followed.has(logId);
  }
  follows(logId: Issuer): boolean {
    return this.#followed.has(logId) || logId === this.#options.ownLog();
  }

  /** Envelopes of a log are on disk: its newest head is told to every peer, as a claim of a few bytes. */
  stored(logId: Issuer, seq: number, hash: string): void {
    if (!this.follows(logId) || (this.#newest.get(logId)?.seq ?? -1) >= seq) return;
    const head = { logId, seq, hash };
    this.#newest.set(logId, head);
    if (!this.#followed.has(logId)) return;
    for (const link of this.#options.links()) this.#tell(link, head);
  }

  /** A peer has proved itself: both sides say what they hold. Nodes that follow no log stay silent. */
  ready(link: LinkId): void {
    const heads = [...this.#newest.values()].filter(({ logId }) => this.#followed.has(logId));
    for (const head of heads.slice(0, MAX_LOG_HEADS)) this.#tell(link, head);
    for (const [logId, proof] of this.#proofs) {
      if (this.follows(logId)) this.#show(link, logId, proof);
    }
  }

  /** Two checkpoints stand in it: told where such proofs and the log's checkpoints may be. */
  #show(link: LinkId, logId: Issuer, proof: Uint8Array): void {
    this.#options.send(link, { type: "split-view", proof }, { issuer: logId, kind: "log_checkpoint" });
  }

  #tell(link: LinkId, head: LogHeadClaim): void {
    this.#options.send(link, { type: "log-heads", heads: [head] }, { issuer: head.logId, seq: head.seq });
  }

  /** A peer's message. Rejects with coded errors, whose blame is the sender's. */
  async message(link: LinkId, message: AttestMessage): Promise<void> {
    const { store, send } = this.#options;
    switch (message.type) {
      case "log-heads":
        for (const { logId, seq, hash } of message.heads) {
          if (!this.follows(logId)) continue;
          const stored = await store.at(logId, seq);
          if (stored !== undefined && stored.hash !== hash) send(link, { type: "ask-checkpoint", logId, seq });
        }
        return;
      case "ask-checkpoint": {
        const text = this.follows(message.logId) ? await this.#text(message.logId, message.seq) : undefined;
        if (text !== undefined) send(link, { type: "checkpoint", text }, { issuer: message.logId, seq: message.seq });
        return;
      }
      case "checkpoint":
        return this.#compare(message.text);
      case "split-view":
        return this.#received(message.proof, link);
    }
  }

  async #text(logId: Issuer, seq: number): Promise<string | undefined> {
    const stored = await this.#options.store.at(logId, seq);
    if (stored === undefined) return undefined;
    return envelopeText(openSigningBytes(stored.signingBytes, stored.signature, sha256Hex, stored.hash));
  }

  /** Another checkpoint of a followed log against those stored of the same seq and beside it. */
  async #compare(text: string): Promise<void> {
    const { issuer: logId, seq } = openEnvelope(text, sha256Hex);
    if (!this.follows(logId) || this.#proofs.has(logId)) return;
    for (const near of [seq, seq - 1, seq + 1]) {
      const own = near < 1 ? undefined : await this.#text(logId, near);
      if (own === undefined) continue;
      if (await this.accuse(logId, { type: "envelope", text }, { type: "envelope", text: own })) return;
    }
  }

  /** The core holds a fork proof of a log's key: if both sides are checkpoints, it is a split view too. */
  async forked(logId: Issuer): Promise<void> {
    if (!this.follows(logId) || this.#proofs.has(logId)) return;
    const fork = (await this.#options.store.forks()).find(({ issuer }) => issuer === logId);
    if (fork === undefined) return;
    const heads = decodeFork(fork.proof, sha256Hex).statements.flatMap((one): SignedHead[] =>
      one.kind === "head" ? [] : [{ type: "envelope", text: envelopeText(one.envelope) }],
    );
    const [a, b] = heads;
    if (a !== undefined && b !== undefined) await this.accuse(logId, a, b);
  }

  /** True when the two heads are a proof, which then is stored and spread. Heads that agree accuse nobody. */
  async accuse(logId: Issuer, a: SignedHead, b: SignedHead): Promise<boolean> {
    let proof: Uint8Array;
    try {
      proof = encodeSplitView(HASHES, logId, [a, b]);
      await this.#keep(await verifySplitView(HASHES, proof, this.#options.verifier), proof, null);
      return true;
    } catch (caught) {
      const error = asSpineError(caught);
      if (error.code === "internal" || error.code.startsWith("store_")) throw error;
      return false;
    }
  }

  async #received(proof: Uint8Array, link: LinkId): Promise<void> {
    const view = await verifySplitView(HASHES, proof, this.#options.verifier);
    await this.#keep(view, proof, link);
  }

  /** One proof for each followed log: whoever accuses a log a second time costs nothing more. */
  async #keep({ logId, shape }: SplitView, proof: Uint8Array, from: LinkId | null): Promise<void> {
    const { commitRows, links, onEvent } = this.#options;
    if (!this.follows(logId) || this.#proofs.has(logId)) return;
    this.#proofs.set(logId, proof);
    await commitRows([{ table: RowTable.log, key: splitViewKey(logId), value: proof }]);
    onEvent({ type: "split-view", logId, shape, proof, proofHash: `0x${sha256Hex(proof)}` });
    for (const link of links()) if (link !== from) this.#show(link, logId, proof);
  }
}
