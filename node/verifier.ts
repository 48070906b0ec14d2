/**
 * Signature checks on all cores (spine's `Verifier` port). Small batches run inline, larger ones are cut into chunks
 * and go to worker threads as one transferred buffer each, two in flight per worker so that no worker ever waits.
 */
import { availableParallelism } from "node:os";
import { Worker } from "node:worker_threads";
import { type Claim, SpineError, type Verifier } from "../spine/index.ts";
import { createClaimCheck, packClaims } from "./verify-batch.ts";

/** Claims up to this number are cheaper to check here than to pass on. */
const INLINE_CLAIMS = 8;
const CHUNK_CLAIMS = { least: 24, most: 256 } as const;
const IN_FLIGHT_PER_WORKER = 2;
/** Chunks waiting at most, about 64 MB of envelopes; a caller beyond it is refused with `rate_limited`. */
const MAX_WAITING_CHUNKS = 512;

interface Chunk {
  readonly claims: readonly Claim[];
  readonly resolve: (verdicts: Uint8Array) => void;
  readonly reject: (error: SpineError) => void;
  attempts: number;
}

interface Slot {
  readonly worker: Worker;
  /** Answers come in order, so the first is the one being answered. */
  readonly inFlight: Chunk[];
}

export interface VerifierOptions {
  /** Worker threads; the number of cores if omitted. 0 checks everything inline. */
  readonly workers?: number;
  /** For tests: another worker script. */
  readonly script?: URL;
}

export interface VerifierCounters {
  readonly claims: number;
  readonly refused: number;
  readonly workerRestarts: number;
  readonly waitingChunks: number;
}

export class WorkerVerifier implements Verifier, AsyncDisposable {
  readonly #check = createClaimCheck();
  readonly #limit: number;
  readonly #script: URL;
  readonly #slots: Slot[] = [];
  readonly #waiting: Chunk[] = [];
  #claims = 0;
  #refused = 0;
  #restarts = 0;
  #closed = false;

  constructor(options: VerifierOptions = {}) {
    this.#limit = options.workers ?? availableParallelism();
    this.#script = options.script ?? new URL("./verify-worker.js", import.meta.url);
  }

  counters(): VerifierCounters {
    return {
      claims: this.#claims,
      refused: this.#refused,
      workerRestarts: this.#restarts,
      waitingChunks: this.#waiting.length,
    };
  }

  /** Verdicts at once for batches that are cheaper to check here than to pass on, else undefined. */
  verifyInline(batch: readonly Claim[]): readonly boolean[] | undefined {
    if (batch.length > INLINE_CLAIMS) return undefined;
    this.#claims += batch.length;
    const verdicts = batch.map(this.#check);
    for (const verdict of verdicts) if (!verdict) this.#refused++;
    return verdicts;
  }

  /** Rejects with `rate_limited` when too much waits, `internal` when a worker died twice, `api_unavailable` after close. */
  async verify(batch: readonly Claim[]): Promise<readonly boolean[]> {
    if (this.#closed) throw new SpineError("api_unavailable", "the verifier is closed");
    const verdicts = await this.#verdicts(batch);
    this.#claims += batch.length;
    for (const verdict of verdicts) if (!verdict) this.#refused++;
    return verdicts;
  }

  async #verdicts(batch: readonly Claim[]): Promise<boolean[]> {
    if (batch.length <= INLINE_CLAIMS || this.#limit === 0) return batch.map(this.#check);
    const lanes = this.#limit * IN_FLIGHT_PER_WORKER;
    const fewest = Math.ceil(batch.length / CHUNK_CLAIMS.most);
    const count = Math.max(1, fewest, Math.min(lanes, Math.floor(batch.length / CHUNK_CLAIMS.least)));
    const size = Math.ceil(batch.length / count);
    if (this.#waiting.length + count > MAX_WAITING_CHUNKS) {
      throw new SpineError("rate_limited", `${this.#waiting.length} verification chunks wait already`);
    }
    const parts: Promise<Uint8Array>[] = [];
    for (let at = 0; at < batch.length; at += size) parts.push(this.#enqueue(batch.slice(at, at + size)));
    const verdicts: boolean[] = [];
    for (const part of await Promise.all(parts)) for (const verdict of part) verdicts.push(verdict === 1);
    return verdicts;
  }

  #enqueue(claims: readonly Claim[]): Promise<Uint8Array> {
    return new Promise((resolve, reject) => {
      // Sizes are checked before packing: the layout relies on them. A wrong one is simply not a valid signature.
      const misfit = claims.some(({ key, signature }) => key.length !== 32 || signature.length !== 64);
      if (misfit) resolve(Uint8Array.from(claims, (claim) => (this.#check(claim) ? 1 : 0)));
      else {
        this.#waiting.push({ claims, resolve, reject, attempts: 0 });
        this.#dispatch();
      }
    });
  }

  #dispatch(): void {
    while (this.#waiting.length > 0) {
      let slot = this.#slots.reduce<Slot | undefined>(
        (best, one) => (best === undefined || one.inFlight.length < best.inFlight.length ? one : best),
        undefined,
      );
      if ((slot === undefined || slot.inFlight.length > 0) && this.#slots.length < this.#limit)
        slot = this.#startWorker();
      if (slot === undefined || slot.inFlight.length >= IN_FLIGHT_PER_WORKER) return;
      const chunk = this.#waiting.shift() as Chunk;
      slot.inFlight.push(chunk);
      slot.worker.ref();
      const packed = packClaims(chunk.claims);
      slot.worker.postMessage(packed, [packed]);
    }
  }

  #startWorker(): Slot {
    const worker = new Worker(this.#script, { name: "spine-verify" });
    const slot: Slot = { worker, inFlight: [] };
    this.#slots.push(slot);
    worker.on("message", (verdicts: ArrayBuffer) => {
      slot.inFlight.shift()?.resolve(new Uint8Array(verdicts));
      // An idle pool must not keep the process alive.
      if (slot.inFlight.length === 0) worker.unref();
      this.#dispatch();
    });
    let failure: unknown;
    worker.on("error", (error) => {
      failure = error;
    });
    worker.on("exit", () => this.#lost(slot, failure));
    return slot;
  }

  /** A worker ended: its chunks are tried once more elsewhere, then refused. */
  #lost(slot: Slot, cause: unknown): void {
    const at = this.#slots.indexOf(slot);
    if (at >= 0) this.#slots.splice(at, 1);
    if (!this.#closed) this.#restarts++;
    for (const chunk of slot.inFlight.splice(0).reverse()) {
      chunk.attempts++;
      if (this.#closed) chunk.reject(new SpineError("api_unavailable", "the verifier was closed"));
      else if (chunk.attempts > 1) chunk.reject(new SpineError("internal", "a verification worker died", { cause }));
      else this.#waiting.unshift(chunk);
    }
    if (!this.#closed) this.#dispatch();
  }

  /** Ends the workers; what was not answered is rejected. Idempotent. */
  async close(): Promise<void> {
    this.#closed = true;
    for (const chunk of this.#waiting.splice(0)) {
      chunk.reject(new SpineError("api_unavailable", "the verifier was closed"));
    }
    await Promise.all(this.#slots.map(({ worker }) => worker.terminate()));
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.close();
  }
}
