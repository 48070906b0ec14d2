/**
 * The queue between a plane's links and the one consumer of its `events()`. It keeps the promise "up, frames, at most
 * one down" and forgets links that came and went unseen; planes bound it by pausing links on the bytes it reports.
 */
import { type LinkId, SpineError } from "../spine/index.ts";
import type { PlaneEvent } from "./plane.ts";

interface Entry {
  readonly event: PlaneEvent;
  readonly bytes: number;
  readonly taken: (() => void) | null;
}

export class EventQueue {
  #entries: Entry[] = [];
  #head = 0;
  #bytes = 0;
  #ended = false;
  #consumed = false;
  #wake: (() => void) | null = null;
  /** Links whose `up` the consumer has seen and whose `down` is still owed. */
  readonly #announced = new Set<LinkId>();

  /** Payload bytes waiting for the consumer. */
  get bytes(): number {
    return this.#bytes;
  }
  get length(): number {
    return this.#entries.length - this.#head;
  }

  /** Appends; `taken` runs when the consumer receives the event, or when it is dropped with its link. */
  push(event: PlaneEvent, bytes = 0, taken: (() => void) | null = null): void {
    if (this.#ended) return;
    if (event.type === "down" && !this.#announced.has(event.link)) this.#forget(event.link);
    else {
      this.#entries.push({ event, bytes, taken });
      this.#bytes += bytes;
      this.#signal();
    }
  }

  /** Drops what waits, owes a `down` to every link the consumer knows, and ends the iteration after those. */
  end(reason: string): void {
    if (this.#ended) return;
    const downs = this.#entries.slice(this.#head).filter(({ event }) => event.type === "down");
    for (const { event } of downs) if (event.type === "down") this.#announced.delete(event.link);
    for (const link of this.#announced) {
      downs.push({ event: { type: "down", link, reason }, bytes: 0, taken: null });
    }
    this.#entries = downs;
    this.#head = 0;
    this.#bytes = 0;
    this.#ended = true;
    this.#signal();
  }

  /** One consumer at a time: a second one throws `internal` at its first step. */
  async *events(): AsyncGenerator<PlaneEvent, void, undefined> {
    if (this.#consumed) throw new SpineError("internal", "the events of a plane have one consumer");
    this.#consumed = true;
    try {
      for (;;) {
        const event = this.#shift();
        if (event !== null) yield event;
        else if (this.#ended) return;
        else
          await new Promise<void>((resolve) => {
            this.#wake = resolve;
          });
      }
    } finally {
      this.#consumed = false;
    }
  }

  #signal(): void {
    const wake = this.#wake;
    this.#wake = null;
    wake?.();
  }

  #shift(): PlaneEvent | null {
    const entry = this.#entries[this.#head];
    if (entry === undefined) return null;
    this.#head++;
    if (this.#head > 1_024 || this.#head === this.#entries.length) {
      this.#entries = this.#entries.slice(this.#head);
      this.#head = 0;
    }
    this.#bytes -= entry.bytes;
    if (entry.event.type === "up") this.#announced.add(entry.event.link);
    if (entry.event.type === "down") this.#announced.delete(entry.event.link);
    entry.taken?.();
    return entry.event;
  }

  /** The link went down before its `up` was seen: nobody needs to hear of it. Its gossip stays, it stands alone. */
  #forget(link: LinkId): void {
    const kept: Entry[] = [];
    for (const entry of this.#entries.slice(this.#head)) {
      const { event } = entry;
      if ("link" in event && event.type !== "gossip" && event.link === link) {
        this.#bytes -= entry.bytes;
        entry.taken?.();
      } else kept.push(entry);
    }
    this.#entries = kept;
    this.#head = 0;
  }
}
