/**
 * Reads one stream through a durable pull consumer: batches go to a handler, and a message is acknowledged only after
 * the handler said so. A watchdog makes the consumer anew when it stalls. Used by `bus.ts`.
 */
import type { ConsumerMessages, JetStreamClient, JetStreamManager, JsMsg } from "@nats-io/jetstream";
import { pause } from "./connection.ts";
import { apiCode } from "./streams.ts";

export interface BusMessage {
  readonly subject: string;
  readonly data: Uint8Array;
  /** Header `X-Aegis-Sender`, unproven; "" without. */
  readonly sender: string;
  readonly redelivered: boolean;
}

/** "done": never again; "later": deliver again after a while; "poison": never again, to nobody of this consumer. */
export type Handled = "done" | "later" | "poison";
export type BatchHandler = (batch: readonly BusMessage[]) => Promise<readonly Handled[]>;

export interface ReaderCounts {
  messages_read: number;
  messages_again: number;
  messages_poison: number;
  consumers_made: number;
  consumer_stalls: number;
}

const MAX_BATCH = 256;
/** Batches at work at once: while one is on its way to the disk, the next is verified. */
const MAX_BATCHES = 3;
/** Unacknowledged at most: what the handler may have in its hands, and what waits for it. */
const MAX_ACK_PENDING = 2_048;
const ACK_WAIT_NANOS = 30_000_000_000;
const HEARTBEAT_MS = 2_000;
const EXPIRES_MS = 10_000;
const CHECK_MS = 10_000;
const LATER_MS = 1_000;
const RETRY_MS = 1_000;
const API_NO_CONSUMER = 10_014;
const API_NO_STREAM = 10_059;

export class StreamReader {
  readonly #stream: string;
  readonly #durable: string;
  readonly #handle: BatchHandler;
  readonly #counts: ReaderCounts;
  #waiting: JsMsg[] = [];
  #wake: (() => void) | null = null;
  #messages: ConsumerMessages | null = null;
  #lastMessageAt = 0;
  #rewind = false;
  /** Delivered here and not answered yet. */
  #unanswered = 0;
  /** Where a consumer that has to be made begins; 0 = at the first message. */
  #from = 0;
  /** Everything that was on the stream when this session began was handled. */
  caughtUp = false;

  constructor(stream: string, durable: string, handle: BatchHandler, counts: ReaderCounts) {
    this.#stream = stream;
    this.#durable = durable;
    this.#handle = handle;
    this.#counts = counts;
  }

  /** From the first message again, as after a change of who is believed. */
  rewind(): void {
    this.#rewind = true;
    this.#messages?.stop();
  }

  /** Until the signal; never throws. */
  async run(js: JetStreamClient, jsm: JetStreamManager, signal: AbortSignal): Promise<void> {
    const stop = (): void => {
      this.#messages?.stop();
      this.#wake?.();
    };
    signal.addEventListener("abort", stop);
    this.caughtUp = false;
    const worker = this.#work(signal);
    while (!signal.aborted) {
      try {
        await this.#consume(js, jsm, signal);
      } catch {
        await pause(RETRY_MS, signal);
      }
    }
    await worker;
    signal.removeEventListener("abort", stop);
  }

  async #consume(js: JetStreamClient, jsm: JetStreamManager, signal: AbortSignal): Promise<void> {
    if (this.#rewind) {
      this.#rewind = false;
      this.#from = 0;
      await jsm.consumers.delete(this.#stream, this.#durable).catch(() => false);
    }
    if (await this.#ensure(jsm)) this.caughtUp = true;
    const consumer = await js.consumers.get(this.#stream, this.#durable);
    const messages = await consumer.consume({
      max_messages: MAX_BATCH * 4,
      expires: EXPIRES_MS,
      idle_heartbeat: HEARTBEAT_MS,
      callback: (message) => {
        this.#lastMessageAt = performance.now();
        this.#unanswered++;
        this.#waiting.push(message);
        this.#wake?.();
      },
    });
    this.#messages = messages;
    this.#counts.consumers_made++;
    this.#lastMessageAt = performance.now();
    if (signal.aborted) messages.stop();
    const over = new AbortController();
    const watch = this.#watch(jsm, messages, AbortSignal.any([signal, over.signal]));
    const ended = messages.closed();
    void (async () => {
      for await (const status of messages.status()) {
        if (
          status.type === "consumer_not_found" ||
          status.type === "consumer_deleted" ||
          status.type === "stream_not_found"
        ) {
          messages.stop();
        } else if (status.type === "heartbeats_missed" && status.count >= 2) {
          this.#counts.consumer_stalls++;
          messages.stop();
        }
      }
    })().catch(() => {});
    const error = await ended;
    over.abort();
    this.#messages = null;
    await watch;
    if (error instanceof Error) throw error;
  }

  /** Pending messages and none that came for two heartbeats: the consumer is stuck. */
  async #watch(jsm: JetStreamManager, messages: ConsumerMessages, signal: AbortSignal): Promise<void> {
    while (!signal.aborted) {
      await pause(CHECK_MS, signal);
      if (signal.aborted) return;
      if (this.#waiting.length > 0 || performance.now() - this.#lastMessageAt < 2 * HEARTBEAT_MS) continue;
      const info = await jsm.consumers.info(this.#stream, this.#durable).catch((error: unknown) => error);
      const gone = info instanceof Error && apiCode(info) !== 0;
      const stuck = !(info instanceof Error) && (info as { num_pending: number }).num_pending > 0;
      if (!gone && !stuck) continue;
      this.#counts.consumer_stalls++;
      messages.stop();
      return;
    }
  }

  /**
   * Whether nothing waits to be read. What a server sent and a cut swallowed would come again only when its time to be
   * acknowledged is over: the consumer is made anew behind what was acknowledged without a gap instead.
   */
  async #ensure(jsm: JetStreamManager): Promise<boolean> {
    try {
      const info = await jsm.consumers.info(this.#stream, this.#durable);
      if (info.num_ack_pending <= this.#unanswered) return info.num_pending === 0 && info.num_ack_pending === 0;
      this.#from = info.ack_floor.stream_seq + 1;
      await jsm.consumers.delete(this.#stream, this.#durable);
    } catch (error) {
      if (apiCode(error) === API_NO_STREAM) this.#from = 0;
      if (apiCode(error) !== API_NO_CONSUMER) throw error;
    }
    const added = jsm.consumers.add(this.#stream, {
      durable_name: this.#durable,
      ack_policy: "explicit",
      ...(this.#from > 0
        ? { deliver_policy: "by_start_sequence", opt_start_seq: this.#from }
        : { deliver_policy: "all" }),
      ack_wait: ACK_WAIT_NANOS,
      max_ack_pending: MAX_ACK_PENDING,
      max_deliver: -1,
    });
    const info = await added.catch((error: unknown) => {
      // Numbers of a stream that is gone say nothing of the next.
      if (apiCode(error) === API_NO_STREAM) this.#from = 0;
      throw error;
    });
    this.#from = 0;
    return info.num_pending === 0;
  }

  async #work(signal: AbortSignal): Promise<void> {
    const running = new Set<Promise<void>>();
    let sawEnd = false;
    while (!signal.aborted) {
      if (this.#waiting.length === 0 || running.size >= MAX_BATCHES) {
        await new Promise<void>((resolve) => {
          this.#wake = resolve;
        });
        continue;
      }
      const batch = this.#waiting.splice(0, MAX_BATCH);
      sawEnd ||= batch.at(-1)?.info.pending === 0;
      const work = this.#batch(batch).then(() => {
        running.delete(work);
        if (sawEnd && running.size === 0 && this.#waiting.length === 0) this.caughtUp = true;
        this.#wake?.();
      });
      running.add(work);
    }
    await Promise.all(running);
    this.#waiting = [];
    this.#unanswered = 0;
  }

  async #batch(batch: readonly JsMsg[]): Promise<void> {
    const results = await this.#handle(batch.map(asBusMessage)).catch(() => batch.map((): Handled => "later"));
    for (const [i, message] of batch.entries()) this.#answer(message, results[i] ?? "later");
  }

  #answer(message: JsMsg, handled: Handled): void {
    this.#unanswered--;
    this.#counts.messages_read++;
    if (handled === "done") message.ack();
    else if (handled === "later") {
      this.#counts.messages_again++;
      message.nak(LATER_MS);
    } else {
      this.#counts.messages_poison++;
      message.term();
    }
  }
}

function asBusMessage(message: JsMsg): BusMessage {
  const sender = message.headers?.get("X-Aegis-Sender") ?? "";
  return {
    subject: message.subject,
    data: message.data,
    sender: sender.slice(0, 128),
    redelivered: message.redelivered,
  };
}
