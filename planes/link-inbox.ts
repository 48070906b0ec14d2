/**
 * One link's share of its plane's event queue: takes its frames, and stops reading from the link while its own share or
 * the whole queue is full. Used by the planes whose links are streams.
 */
import type { LinkId } from "../spine/index.ts";
import type { EventQueue } from "./event-queue.ts";

export interface InboxLimits {
  /** Of one link, waiting for the consumer. */
  readonly linkQueueBytes: number;
  readonly linkQueueFrames: number;
  /** Of all links of the plane. */
  readonly totalQueueBytes: number;
}

export class LinkInbox {
  readonly #link: LinkId;
  readonly #stream: { pause(): void; resume(): void };
  readonly #queue: EventQueue;
  readonly #limits: InboxLimits;
  #bytes = 0;
  #frames = 0;

  constructor(link: LinkId, stream: { pause(): void; resume(): void }, queue: EventQueue, limits: InboxLimits) {
    this.#link = link;
    this.#stream = stream;
    this.#queue = queue;
    this.#limits = limits;
  }

  take(frame: Uint8Array): void {
    this.#bytes += frame.length;
    this.#frames++;
    this.#queue.push({ type: "frame", link: this.#link, frame }, frame.length, () => this.#taken(frame.length));
    const { linkQueueBytes, linkQueueFrames, totalQueueBytes } = this.#limits;
    const full = this.#bytes >= linkQueueBytes || this.#frames >= linkQueueFrames;
    if (full || this.#queue.bytes >= totalQueueBytes) this.#stream.pause();
  }

  #taken(bytes: number): void {
    this.#bytes -= bytes;
    this.#frames--;
    const { linkQueueBytes, linkQueueFrames, totalQueueBytes } = this.#limits;
    const relaxed = this.#bytes <= linkQueueBytes / 2 && this.#frames <= linkQueueFrames / 2;
    // Taken in order: when none of its frames wait, none of those that filled the common budget before it do.
    if (this.#frames === 0 || (relaxed && this.#queue.bytes < totalQueueBytes)) this.#stream.resume();
  }
}
