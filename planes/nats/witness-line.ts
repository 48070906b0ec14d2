/**
 * Questions to witnesses and their answers on the witness subject (spec/spine.md 9.3): one question with a private
 * inbox, as many answers as come. What is said is the caller's; here it is only carried, and bounded.
 */
import type { MsgHdrs, NatsConnection } from "@nats-io/transport-node";
import { SpineError } from "../../spine/index.ts";

export interface WitnessQuestion {
  readonly data: Uint8Array;
  /** Value of a header, undefined without. */
  readonly header: (name: string) => string | undefined;
}

/** Bytes to answer with, or undefined for silence. */
export type WitnessHandler = (question: WitnessQuestion) => Promise<Uint8Array | undefined>;

const MAX_QUESTION_BYTES = 65_536;
const MAX_ANSWER_BYTES = 65_536;
/** Questions answered at once; more are dropped. */
const MAX_ANSWERING = 16;
const MAX_ANSWERS = 256;

export class WitnessLine {
  readonly #subject: string;
  readonly #connection: () => NatsConnection | null;
  #handler: WitnessHandler | null = null;
  #answering = 0;
  readonly #counts = {
    witness_asked: 0,
    witness_answered: 0,
    witness_silent: 0,
    witness_dropped: 0,
    witness_oversized: 0,
  };

  constructor(subject: string, connection: () => NatsConnection | null) {
    this.#subject = subject;
    this.#connection = connection;
  }

  counters(): Readonly<Record<string, number>> {
    return this.#counts;
  }

  /** Answers questions of others from now on, over reconnects too. */
  serve(handler: WitnessHandler): void {
    this.#handler = handler;
  }

  /** Called by the bus for every connection. */
  connected(connection: NatsConnection): void {
    connection.subscribe(this.#subject, {
      callback: (error, message) => {
        const handler = this.#handler;
        if (error !== null || handler === null || message.reply === undefined || message.reply === "") return;
        if (message.data.length > MAX_QUESTION_BYTES) {
          this.#counts.witness_oversized++;
        } else if (this.#answering >= MAX_ANSWERING) {
          this.#counts.witness_dropped++;
        } else {
          this.#answering++;
          handler({ data: message.data, header: (name) => headerOf(message.headers, name) })
            .then(
              (answer) => {
                if (answer === undefined) this.#counts.witness_silent++;
                else if (message.respond(answer)) this.#counts.witness_answered++;
              },
              () => {
                this.#counts.witness_silent++;
              },
            )
            .finally(() => {
              this.#answering--;
            });
        }
      },
    });
  }

  /**
   * Asks every witness; hands each answer to `enough` until it says true, the signal aborts or nobody is there.
   * Rejects with `nats_unavailable` without a connection.
   */
  async ask(
    question: { readonly data: Uint8Array; readonly headers: readonly (readonly [string, string])[] },
    signal: AbortSignal,
    enough: (answer: Uint8Array) => boolean,
  ): Promise<void> {
    const connection = this.#connection();
    if (connection === null) throw new SpineError("nats_unavailable", "no server to ask witnesses through");
    const { createInbox, headers: makeHeaders } = await import("@nats-io/transport-node");
    if (signal.aborted) return;
    const headers = makeHeaders();
    for (const [name, value] of question.headers) headers.set(name, value);
    this.#counts.witness_asked++;
    const inbox = createInbox();
    await new Promise<void>((resolve) => {
      let answers = 0;
      const done = (): void => {
        signal.removeEventListener("abort", done);
        subscription.unsubscribe();
        resolve();
      };
      signal.addEventListener("abort", done);
      const subscription = connection.subscribe(inbox, {
        callback: (error, message) => {
          if (error !== null || message.headers?.code === 503) return done();
          answers++;
          if (message.data.length > MAX_ANSWER_BYTES) this.#counts.witness_oversized++;
          else if (enough(message.data)) return done();
          if (answers >= MAX_ANSWERS) done();
        },
      });
      connection.publish(this.#subject, question.data, { reply: inbox, headers });
    });
  }
}

function headerOf(headers: MsgHdrs | undefined, name: string): string | undefined {
  return headers?.has(name) === true ? headers.get(name) : undefined;
}
