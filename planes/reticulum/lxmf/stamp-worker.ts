/** The thread that searches and weighs stamps, one job after the other; searches can be cancelled. Run by `stamp-pool.ts`. */
import { randomBytes } from "node:crypto";
import { setImmediate as breathe } from "node:timers/promises";
import { parentPort } from "node:worker_threads";
import { STAMP_BYTES, stampIsValid, stampValue, workState } from "./stamp.ts";

/** Candidates between two looks at the messages. */
const SLICE = 20_000;

export interface StampJob {
  readonly id: number;
  readonly material: Uint8Array;
  readonly rounds: number;
  /** To weigh; absent for a search. */
  readonly stamp?: Uint8Array;
  readonly cost: number;
}

export type StampOrder = StampJob | { readonly cancel: number };

export interface StampAnswer {
  readonly id: number;
  readonly value: number;
  /** What the search found; absent when it was cancelled. */
  readonly stamp?: Uint8Array;
}

const port = parentPort;
const waiting: StampJob[] = [];
const cancelled = new Set<number>();
let working = false;

async function search(job: StampJob): Promise<StampAnswer> {
  const state = workState(job.material, job.rounds);
  const candidate = new Uint8Array(randomBytes(STAMP_BYTES));
  const view = new DataView(candidate.buffer);
  for (let counter = 0; !cancelled.has(job.id); await breathe()) {
    for (let i = 0; i < SLICE; i++) {
      view.setUint32(0, counter++);
      if (stampIsValid(state, candidate, job.cost)) {
        return { id: job.id, value: stampValue(state, candidate), stamp: candidate.slice() };
      }
    }
  }
  return { id: job.id, value: 0 };
}

async function work(): Promise<void> {
  working = true;
  for (let job = waiting.shift(); job !== undefined; job = waiting.shift()) {
    if (job.stamp === undefined)
      port?.postMessage(cancelled.has(job.id) ? { id: job.id, value: 0 } : await search(job));
    else port?.postMessage({ id: job.id, value: stampValue(workState(job.material, job.rounds), job.stamp) });
    cancelled.delete(job.id);
    await breathe();
  }
  working = false;
}

port?.on("message", (order: StampOrder) => {
  if ("cancel" in order) {
    cancelled.add(order.cancel);
    return;
  }
  // What is weighed is waited for by a peer; searches are our own.
  if (order.stamp === undefined) waiting.push(order);
  else waiting.unshift(order);
  if (!working) void work();
});
