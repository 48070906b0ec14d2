/** A queue of tasks by time, so that the stack can wait without timers of its own. Used by `endpoint.ts`. */
import type { Millis } from "../../../spine/index.ts";

interface Entry {
  readonly at: Millis;
  readonly order: number;
  task: (() => void) | undefined;
}

function before(a: Entry, b: Entry): boolean {
  return a.at < b.at || (a.at === b.at && a.order < b.order);
}

/** A binary heap; cancelled entries are skipped when they surface, and swept when they outnumber the rest. */
export class Timers {
  #heap: Entry[] = [];
  #order = 0;
  #cancelled = 0;
  /** Waiting tasks. */
  get size(): number {
    return this.#heap.length - this.#cancelled;
  }
  /** Runs `task` in the first `runDue` at or after `at`; returns a function that cancels it. */
  schedule(at: Millis, task: () => void): () => void {
    const entry: Entry = { at, order: this.#order++, task };
    this.#push(entry);
    return () => {
      if (entry.task === undefined) return;
      entry.task = undefined;
      this.#cancelled++;
      if (this.#cancelled > 64 && this.#cancelled * 2 > this.#heap.length) this.#sweep();
    };
  }
  /** When the next task is due. */
  next(): Millis | undefined {
    for (let top = this.#heap[0]; top !== undefined; top = this.#heap[0]) {
      if (top.task !== undefined) return top.at;
      this.#pop();
      this.#cancelled--;
    }
    return undefined;
  }
  /** Runs what is due now; what the tasks schedule for now or earlier waits for the next call. */
  runDue(now: Millis): void {
    const limit = this.#order;
    for (let at = this.next(); at !== undefined && at <= now; at = this.next()) {
      const top = this.#heap[0] as Entry;
      if (top.order >= limit) return;
      this.#pop();
      const { task } = top;
      top.task = undefined;
      task?.();
    }
  }
  #sweep(): void {
    const live = this.#heap.filter((entry) => entry.task !== undefined);
    this.#heap = [];
    this.#cancelled = 0;
    for (const entry of live) this.#push(entry);
  }
  #push(entry: Entry): void {
    const heap = this.#heap;
    let i = heap.length;
    heap.push(entry);
    while (i > 0) {
      const parent = (i - 1) >> 1;
      if (!before(entry, heap[parent] as Entry)) break;
      heap[i] = heap[parent] as Entry;
      i = parent;
    }
    heap[i] = entry;
  }
  #pop(): void {
    const heap = this.#heap;
    const last = heap.pop();
    if (last === undefined || heap.length === 0) return;
    let i = 0;
    for (;;) {
      let child = 2 * i + 1;
      if (child >= heap.length) break;
      if (child + 1 < heap.length && before(heap[child + 1] as Entry, heap[child] as Entry)) child++;
      if (!before(heap[child] as Entry, last)) break;
      heap[i] = heap[child] as Entry;
      i = child;
    }
    heap[i] = last;
  }
}
