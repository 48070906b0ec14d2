/**
 * Acknowledged publishing to streams over one inbox: a request of the client library costs an error object with its
 * stack, a timer and an iterator each, which is more than everything else a publish does. Used by `bus.ts`.
 */
import type { Msg, MsgHdrs, NatsConnection, Subscription } from "@nats-io/transport-node";
import { SpineError } from "../../spine/index.ts";

export interface PublishAck {
  readonly seq: number;
  readonly duplicate: boolean;
}

interface Pending {
  readonly resolve: (ack: PublishAck) => void;
  readonly reject: (error: SpineError) => void;
  readonly deadline: number;
}

const SWEEP_MS = 250;
/** Room for the headers of a message. */
const HEADER_BYTES = 512;
/** "message size exceeds maximum allowed": the stream's own limit. */
const API_TOO_LARGE = 10_054;

export class AckedPublisher {
  readonly #connection: NatsConnection;
  readonly #timeoutMs: number;
  readonly #inbox: string;
  readonly #subscription: Subscription;
  readonly #sweeper: NodeJS.Timeout;
  /** By number, the oldest first. */
  readonly #pending = new Map<number, Pending>();
  #next = 0;
  #closed = false;

  /** `inbox` is a subject of its own, below which answers come. */
  constructor(connection: NatsConnection, inbox: string, timeoutMs: number) {
    this.#connection = connection;
    this.#timeoutMs = timeoutMs;
    this.#inbox = inbox;
    this.#subscription = connection.subscribe(`${inbox}.*`, {
      callback: (error, message) => {
        if (error === null) this.#answer(message);
      },
    });
    this.#sweeper = setInterval(() => this.#sweep(), SWEEP_MS);
    this.#sweeper.unref();
  }

  /** Rejects with `nats_unavailable`, when it may have been taken or not, and with `envelope_size`, when it never will. */
  publish(subject: string, data: Uint8Array, headers: MsgHdrs): Promise<PublishAck> {
    return new Promise((resolve, reject) => {
      if (this.#closed || this.#connection.isClosed()) return reject(unavailable("the connection is gone"));
      const { max_payload: maxBytes = Number.POSITIVE_INFINITY } = this.#connection.info ?? {};
      if (data.length + HEADER_BYTES > maxBytes)
        return reject(new SpineError("envelope_size", `the server takes ${maxBytes} bytes`));
      const number = this.#next++;
      this.#pending.set(number, { resolve, reject, deadline: performance.now() + this.#timeoutMs });
      try {
        this.#connection.publish(subject, data, { headers, reply: `${this.#inbox}.${number}` });
      } catch (cause) {
        this.#pending.delete(number);
        reject(unavailable(cause instanceof Error ? cause.message : String(cause), cause));
      }
    });
  }

  /** Nothing more is waited for. */
  close(): void {
    if (this.#closed) return;
    this.#closed = true;
    clearInterval(this.#sweeper);
    if (!this.#connection.isClosed()) this.#subscription.unsubscribe();
    for (const { reject } of this.#pending.values()) reject(unavailable("the connection was lost"));
    this.#pending.clear();
  }

  #answer(message: Msg): void {
    const number = Number(message.subject.slice(this.#inbox.length + 1));
    const pending = this.#pending.get(number);
    if (pending === undefined) return;
    this.#pending.delete(number);
    if (message.headers?.code === 503) return pending.reject(unavailable("no stream takes this subject"));
    let answer: { seq?: unknown; duplicate?: unknown; error?: { description?: unknown; err_code?: unknown } };
    try {
      answer = message.json();
    } catch (cause) {
      return pending.reject(unavailable("an answer that is none", cause));
    }
    const { seq, duplicate, error } = answer;
    if (error?.err_code === API_TOO_LARGE)
      return pending.reject(new SpineError("envelope_size", "larger than the stream's max_msg_size"));
    if (error !== undefined || typeof seq !== "number" || seq < 1)
      return pending.reject(unavailable(String(error?.description ?? "no sequence")));
    pending.resolve({ seq, duplicate: duplicate === true });
  }

  #sweep(): void {
    const now = performance.now();
    for (const [number, { deadline, reject }] of this.#pending) {
      if (deadline > now) return;
      this.#pending.delete(number);
      reject(unavailable(`no answer within ${this.#timeoutMs} ms`));
    }
  }
}

function unavailable(why: string, cause?: unknown): SpineError {
  return new SpineError("nats_unavailable", `not acknowledged: ${why}`, { cause });
}
