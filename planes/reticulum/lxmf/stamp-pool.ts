/** Stamps off the event loop: a worker thread started on first use, with a bounded queue. Used by the router and the node. */
import { Worker } from "node:worker_threads";
import type { Random } from "../../../spine/index.ts";
import { SpineError } from "../../../spine/index.ts";
import { STAMP_BYTES, stampIsValid, stampValue, workState } from "./stamp.ts";
import type { StampAnswer, StampJob, StampOrder } from "./stamp-worker.ts";

const MAX_WAITING = 256;
/** About a minute of search on a small machine; more is refused. */
export const MAX_STAMP_COST = 26;

export interface Stamps {
  /** A stamp of at least `cost` bits. Rejects with `stamp_cost`, `rate_limited`, or the signal's reason. */
  search(material: Uint8Array, rounds: number, cost: number, signal?: AbortSignal): Promise<Uint8Array>;
  /** How many bits of work a stamp shows. Rejects with `rate_limited` when too much waits. */
  value(material: Uint8Array, rounds: number, stamp: Uint8Array): Promise<number>;
  /** Idempotent; what waits is rejected. */
  close(): Promise<void>;
}

interface Waiting {
  readonly job: StampJob;
  readonly resolve: (answer: StampAnswer) => void;
  readonly reject: (reason: unknown) => void;
}

export class StampPool implements Stamps {
  readonly #waiting = new Map<number, Waiting>();
  #worker: Worker | undefined;
  #nextId = 1;
  #closed = false;
  async search(material: Uint8Array, rounds: number, cost: number, signal?: AbortSignal): Promise<Uint8Array> {
    if (cost > MAX_STAMP_COST) throw new SpineError("stamp_cost", `a stamp of cost ${cost}, limit ${MAX_STAMP_COST}`);
    signal?.throwIfAborted();
    const id = this.#nextId++;
    const cancel = (): void => this.#post({ cancel: id });
    signal?.addEventListener("abort", cancel, { once: true });
    try {
      const { stamp } = await this.#run({ id, material, rounds, cost });
      signal?.throwIfAborted();
      if (stamp === undefined) throw new SpineError("internal", "a stamp search ended without a stamp");
      return stamp;
    } finally {
      signal?.removeEventListener("abort", cancel);
    }
  }
  async value(material: Uint8Array, rounds: number, stamp: Uint8Array): Promise<number> {
    return (await this.#run({ id: this.#nextId++, material, rounds, cost: 0, stamp })).value;
  }
  #run(job: StampJob): Promise<StampAnswer> {
    if (this.#closed) return Promise.reject(new SpineError("plane_stopped", "stamps are no longer made"));
    if (this.#waiting.size >= MAX_WAITING) {
      return Promise.reject(new SpineError("rate_limited", `${this.#waiting.size} stamps wait already`));
    }
    return new Promise((resolve, reject) => {
      this.#waiting.set(job.id, { job, resolve, reject });
      this.#worker ??= this.#start();
      this.#worker.ref();
      this.#post(job);
    });
  }
  #post(order: StampOrder): void {
    this.#worker?.postMessage(order);
  }
  #start(): Worker {
    const extension = import.meta.url.endsWith(".ts") ? "ts" : "js";
    const worker = new Worker(new URL(`./stamp-worker.${extension}`, import.meta.url), { name: "spine-stamps" });
    worker.on("message", (answer: StampAnswer) => {
      this.#waiting.get(answer.id)?.resolve(answer);
      this.#waiting.delete(answer.id);
      // An idle pool must not keep the process alive.
      if (this.#waiting.size === 0) worker.unref();
    });
    worker.on("error", (cause) => this.#lost(worker, new SpineError("internal", "the stamp worker died", { cause })));
    worker.on("exit", () => this.#lost(worker, new SpineError("plane_stopped", "the stamp worker ended")));
    return worker;
  }
  #lost(worker: Worker, reason: SpineError): void {
    if (this.#worker === worker) this.#worker = undefined;
    for (const { reject } of this.#waiting.values()) reject(reason);
    this.#waiting.clear();
  }
  async close(): Promise<void> {
    this.#closed = true;
    await this.#worker?.terminate();
  }
}

/** Stamps made on the spot, for virtual time; only for small costs. */
export class InlineStamps implements Stamps {
  readonly #random: Random;
  constructor(random: Random) {
    this.#random = random;
  }
  async search(material: Uint8Array, rounds: number, cost: number): Promise<Uint8Array> {
    if (cost > MAX_STAMP_COST) throw new SpineError("stamp_cost", `a stamp of cost ${cost}, limit ${MAX_STAMP_COST}`);
    const state = workState(material, rounds);
    for (;;) {
      const stamp = this.#random(STAMP_BYTES);
      if (stampIsValid(state, stamp, cost)) return stamp;
    }
  }
  async value(material: Uint8Array, rounds: number, stamp: Uint8Array): Promise<number> {
    return stampValue(workState(material, rounds), stamp);
  }
  async close(): Promise<void> {}
}
