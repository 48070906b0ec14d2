/**
 * Virtual time: a queue of tasks. Tasks at the same instant run in the order they were scheduled. What is due soon waits in
 * buckets of a millisecond, each put in order when its turn comes: a single heap would be as slow as it is large.
 */
import type { Clock, Millis } from "../spine/index.ts";

interface Entry {
  readonly at: Millis;
  readonly order: number;
  readonly task: () => void;
  cancelled: boolean;
}

/** Milliseconds ahead that have a bucket each; a power of two. */
const BUCKETS = 4_096;

export class VirtualClock implements Clock {
  #now: Millis;
  #order = 0;
  /** Entry `at` waits in bucket `floor(at) % BUCKETS` while `floor(at) < #tick + BUCKETS`. */
  readonly #buckets: Entry[][] = Array.from({ length: BUCKETS }, () => []);
  #inBuckets = 0;
  /** The millisecond whose bucket is being emptied. */
  #tick: number;
  /** That bucket as a heap by (at, order). */
  readonly #current = new Heap();
  /** Everything later than the buckets reach. */
  readonly #later = new Heap();
  constructor(start: Millis) {
    this.#now = start;
    this.#tick = Math.floor(start);
  }
  now(): Millis {
    return this.#now;
  }
  schedule(at: Millis, task: () => void): () => void {
    const entry: Entry = { at: Math.max(at, this.#now), order: this.#order++, task, cancelled: false };
    this.#place(entry);
    return () => {
      entry.cancelled = true;
    };
  }
  /** Runs the next task at or before `until`; false if there is none, and time then stands at `until`. */
  step(until: Millis): boolean {
    for (;;) {
      const entry = this.#first(until);
      if (entry === undefined || entry.at > until) {
        this.#now = Math.max(this.#now, until);
        return false;
      }
      this.#current.pop();
      if (entry.cancelled) continue;
      this.#now = entry.at;
      entry.task();
      return true;
    }
  }

  #place(entry: Entry): void {
    const tick = Math.floor(entry.at);
    if (tick <= this.#tick) this.#current.push(entry);
    else if (tick < this.#tick + BUCKETS) {
      (this.#buckets[tick % BUCKETS] as Entry[]).push(entry);
      this.#inBuckets++;
    } else this.#later.push(entry);
  }
  /** The next entry, if it is in the millisecond of `until` or before. */
  #first(until: Millis): Entry | undefined {
    const last = Math.floor(until);
    for (;;) {
      const entry = this.#current.first;
      if (entry !== undefined) return entry;
      const next = this.#nextTick();
      if (next > last) return undefined;
      this.#turn(next);
    }
  }
  /** What is later than the buckets reach comes after all that is in them. */
  #nextTick(): number {
    if (this.#inBuckets === 0) return Math.floor(this.#later.first?.at ?? Number.POSITIVE_INFINITY);
    let tick = this.#tick + 1;
    while (this.#buckets[tick % BUCKETS]?.length === 0) tick++;
    return tick;
  }
  #turn(tick: number): void {
    this.#tick = tick;
    for (let entry = this.#later.first; entry !== undefined; entry = this.#later.first) {
      if (Math.floor(entry.at) >= tick + BUCKETS) break;
      this.#later.pop();
      this.#place(entry);
    }
    const bucket = this.#buckets[tick % BUCKETS] as Entry[];
    this.#inBuckets -= bucket.length;
    for (const entry of bucket) this.#current.push(entry);
    bucket.length = 0;
  }
}

/** Binary heap by (at, order). */
class Heap {
  readonly #entries: Entry[] = [];
  get first(): Entry | undefined {
    return this.#entries[0];
  }
  push(entry: Entry): void {
    const heap = this.#entries;
    let at = heap.push(entry) - 1;
    while (at > 0) {
      const parent = (at - 1) >>> 1;
      if (!before(entry, heap[parent] as Entry)) break;
      heap[at] = heap[parent] as Entry;
      at = parent;
    }
    heap[at] = entry;
  }
  pop(): void {
    const heap = this.#entries;
    const last = heap.pop() as Entry;
    if (heap.length === 0) return;
    let at = 0;
    for (;;) {
      let child = 2 * at + 1;
      if (child >= heap.length) break;
      if (child + 1 < heap.length && before(heap[child + 1] as Entry, heap[child] as Entry)) child++;
      if (!before(heap[child] as Entry, last)) break;
      heap[at] = heap[child] as Entry;
      at = child;
    }
    heap[at] = last;
  }
}

function before(a: Entry, b: Entry): boolean {
  return a.at === b.at ? a.order < b.order : a.at < b.at;
}
