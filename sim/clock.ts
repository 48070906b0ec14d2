/** Virtual time: a priority queue of tasks. Tasks at the same instant run in the order they were scheduled. */
import type { Clock, Millis } from "../spine/index.ts";

interface Entry {
  readonly at: Millis;
  readonly order: number;
  readonly task: () => void;
  cancelled: boolean;
}

export class VirtualClock implements Clock {
  #now: Millis;
  #order = 0;
  /** Binary heap by (at, order). */
  readonly #heap: Entry[] = [];
  constructor(start: Millis) {
    this.#now = start;
  }
  now(): Millis {
    return this.#now;
  }
  schedule(at: Millis, task: () => void): () => void {
    const entry: Entry = { at: Math.max(at, this.#now), order: this.#order++, task, cancelled: false };
    this.#push(entry);
    return () => {
      entry.cancelled = true;
    };
  }
  /** Runs the next task at or before `until`; false if there is none, and time then stands at `until`. */
  step(until: Millis): boolean {
    for (;;) {
      const entry = this.#heap[0];
      if (entry === undefined || entry.at > until) {
        this.#now = Math.max(this.#now, until);
        return false;
      }
      this.#pop();
      if (entry.cancelled) continue;
      this.#now = entry.at;
      entry.task();
      return true;
    }
  }
  #push(entry: Entry): void {
    const heap = this.#heap;
    let at = heap.push(entry) - 1;
    while (at > 0) {
      const parent = (at - 1) >>> 1;
      if (!before(entry, heap[parent] as Entry)) break;
      heap[at] = heap[parent] as Entry;
      at = parent;
    }
    heap[at] = entry;
  }
  #pop(): void {
    const heap = this.#heap;
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
