/**
 * The single writer of the own chain: drafts, signs and hands over facts in batches, so that one synced write serves
 * many callers. Sequence numbers are taken only here. Called by the API, the command line and the guards.
 */
import {
  asSpineError,
  draftEnvelope,
  type Envelope,
  type EnvelopeHash,
  formatTime,
  type Issuer,
  type JsonObject,
  type Sha256Hex,
  SpineError,
  sealEnvelope,
} from "../spine/index.ts";
import type { IssuerSigner } from "./signer.ts";

export interface PublishedEnvelope {
  readonly ok: true;
  readonly envelope_hash: EnvelopeHash;
  readonly issuer: Issuer;
  readonly seq: number;
}
export interface RefusedFact {
  readonly ok: false;
  readonly code: SpineError["code"];
  readonly message: string;
}
export type PublishOutcome = PublishedEnvelope | RefusedFact;

export interface PublisherOptions {
  readonly signer: IssuerSigner;
  readonly sha256Hex: Sha256Hex;
  readonly now: () => number;
  /** Newest own (seq, hash), committed or not. */
  readonly head: () => { readonly seq: number; readonly hash: EnvelopeHash } | undefined;
  /** Seconds of the newest own `issued_at`: signed times never decrease, whatever the clock does. */
  readonly lastIssuedAtSeconds: number;
  /** Signs on another thread. Used for larger batches: this thread has better things to do than to sign hundreds. */
  readonly signAside?: (message: Uint8Array) => Promise<Uint8Array>;
  /** Resolves when the envelopes are on disk. */
  readonly local: (envelopes: readonly Envelope[]) => Promise<void>;
  readonly maxBatch: number;
  /** Told, at most once an hour, by how many seconds own times are ahead of the clock when that is more than ten minutes. */
  readonly onAhead?: (seconds: number) => void;
  /** Undefined = sign now; else resolves when signing may begin, or rejects. */
  readonly gate?: () => Promise<void> | undefined;
}

/** Peers hold back what is issued further in their future (rules 3). */
const AHEAD_SECONDS = 600;
const AHEAD_AGAIN_SECONDS = 3_600;

type Draft = ReturnType<typeof draftEnvelope>;
type Head = { readonly seq: number; readonly hash: EnvelopeHash } | undefined;

interface Pending {
  readonly facts: readonly JsonObject[];
  readonly resolve: (outcomes: readonly PublishOutcome[]) => void;
  readonly reject: (error: unknown) => void;
  readonly outcomes: (PublishOutcome | undefined)[];
  /** Facts drafted so far, and batches of them not on disk yet. */
  drafted: number;
  open: number;
}

/** Facts waiting at most; beyond it callers get `rate_limited`. */
const MAX_WAITING = 16_384;
/** Batches of fewer are signed at once: a hop to another thread would only delay them. */
const FEW = 4;
/** Batches signed and not yet on disk: one being written while the next is prepared. */
const MAX_OPEN_BATCHES = 2;

export class Publisher {
  readonly #options: PublisherOptions;
  readonly #queue: Pending[] = [];
  #waiting = 0;
  #openBatches = 0;
  #scheduled = false;
  /** A batch is drafted and being signed: the next one has to wait for its place in the chain. */
  #signing = false;
  #issuedAt: number;
  #aheadToldAt = Number.NEGATIVE_INFINITY;
  #stopped: SpineError | undefined;
  constructor(options: PublisherOptions) {
    this.#options = options;
    this.#issuedAt = options.lastIssuedAtSeconds;
  }
  get waiting(): number {
    return this.#waiting;
  }

  /**
   * One outcome per fact, in order; resolved = every `ok` envelope is on disk. Facts of one call keep their order and
   * a refused one does not stop the rest. Rejects with `rate_limited`, `own_key_conflict` or the store's code.
   */
  publish(facts: readonly JsonObject[]): Promise<readonly PublishOutcome[]> {
    if (this.#stopped !== undefined) return Promise.reject(this.#stopped);
    if (facts.length === 0) return Promise.resolve([]);
    const gate = this.#options.gate?.();
    return gate === undefined ? this.#take(facts) : gate.then(() => this.publish(facts));
  }

  #take(facts: readonly JsonObject[]): Promise<readonly PublishOutcome[]> {
    if (this.#waiting + facts.length > MAX_WAITING && this.#waiting > 0) {
      return Promise.reject(new SpineError("rate_limited", `${this.#waiting} facts wait already`));
    }
    return new Promise((resolve, reject) => {
      const outcomes = new Array<PublishOutcome | undefined>(facts.length).fill(undefined);
      this.#queue.push({ facts, resolve, reject, outcomes, drafted: 0, open: 0 });
      this.#waiting += facts.length;
      this.#schedule();
    });
  }

  /** Refuses everything from now on: another node uses the key, or the node stops. */
  stop(error: SpineError): void {
    this.#stopped ??= error;
    for (const pending of this.#queue.splice(0)) pending.reject(this.#stopped);
    this.#waiting = 0;
  }

  #schedule(): void {
    if (this.#scheduled || this.#signing || this.#openBatches >= MAX_OPEN_BATCHES || this.#queue.length === 0) return;
    this.#scheduled = true;
    // Callers of the same turn share a batch.
    setImmediate(() => {
      this.#scheduled = false;
      this.#writeBatch();
      this.#schedule();
    });
  }

  /** Own times never decrease: after a clock that ran ahead peers hold back what is signed until its time has come. */
  #noteAhead(): void {
    const now = this.#options.now() / 1000;
    const ahead = this.#issuedAt - now;
    if (ahead <= AHEAD_SECONDS || now < this.#aheadToldAt + AHEAD_AGAIN_SECONDS) return;
    this.#aheadToldAt = now;
    this.#options.onAhead?.(Math.round(ahead));
  }

  #writeBatch(): void {
    this.#noteAhead();
    const drafts: Draft[] = [];
    const touched = new Set<Pending>();
    const start = this.#options.head();
    let head = start;
    while (drafts.length < this.#options.maxBatch) {
      const pending = this.#queue[0];
      if (pending === undefined) break;
      touched.add(pending);
      const outcome = this.#draft(pending.facts[pending.drafted] as JsonObject, head);
      if (outcome instanceof SpineError) {
        pending.outcomes[pending.drafted] = { ok: false, code: outcome.code, message: outcome.message };
      } else {
        const { hash, issuer, seq } = outcome;
        pending.outcomes[pending.drafted] = { ok: true, envelope_hash: hash, issuer, seq };
        drafts.push(outcome);
        head = outcome;
      }
      pending.drafted++;
      this.#waiting--;
      if (pending.drafted === pending.facts.length) this.#queue.shift();
    }
    for (const pending of touched) pending.open++;
    if (drafts.length === 0) return this.#finish(touched);
    this.#openBatches++;
    this.#seal(drafts, start)
      .then(
        () => this.#finish(touched),
        (error) => this.#fail(touched, error),
      )
      .finally(() => {
        this.#openBatches--;
        this.#schedule();
      });
  }

  /** Signs and hands over; resolves when everything is on disk. */
  #seal(drafts: readonly Draft[], start: Head): Promise<void> {
    const { signer, signAside, local } = this.#options;
    if (signAside === undefined || drafts.length < FEW) {
      try {
        return local(drafts.map((draft) => sealEnvelope(draft, signer.sign(draft.signingBytes))));
      } catch (error) {
        return Promise.reject(error);
      }
    }
    this.#signing = true;
    return Promise.all(drafts.map(({ signingBytes }) => signAside(signingBytes)))
      .finally(() => {
        this.#signing = false;
      })
      .then((signatures) => {
        if (this.#stopped !== undefined) throw this.#stopped;
        // Nobody else writes to the own chain; were it so, a fork must not come of it.
        if (this.#options.head()?.hash !== start?.hash)
          throw new SpineError("internal", "the own chain grew while signing");
        const written = local(drafts.map((draft, i) => sealEnvelope(draft, signatures[i] as Uint8Array)));
        this.#schedule();
        return written;
      });
  }

  #draft(fact: JsonObject, head: Head): Draft | SpineError {
    const { signer, sha256Hex, now } = this.#options;
    try {
      this.#issuedAt = Math.max(this.#issuedAt, Math.floor(now() / 1000));
      return draftEnvelope(
        {
          issuer: signer.issuer,
          seq: head === undefined ? 1 : head.seq + 1,
          prev: head?.hash ?? null,
          issuedAt: formatTime(this.#issuedAt),
          fact,
        },
        sha256Hex,
      );
    } catch (error) {
      return asSpineError(error);
    }
  }

  #finish(touched: ReadonlySet<Pending>): void {
    for (const pending of touched) {
      pending.open--;
      if (pending.open === 0 && pending.drafted === pending.facts.length) {
        pending.resolve(pending.outcomes as readonly PublishOutcome[]);
      }
    }
  }

  #fail(touched: ReadonlySet<Pending>, error: unknown): void {
    for (const pending of touched) pending.reject(error);
    this.stop(asSpineError(error, "store_failed"));
  }
}
