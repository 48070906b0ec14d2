/** Standard output for data: waits while the reader is slow, and tells when it has gone. */
import { once } from "node:events";
import type { Writable } from "node:stream";

/** Thrown by `write` once the reader closed its end (EPIPE): the verb stops quietly. */
export class OutputClosed extends Error {}

export class Output {
  readonly #stream: Writable;
  #closed = false;

  constructor(stream: Writable) {
    this.#stream = stream;
    stream.on("error", () => {
      this.#closed = true;
    });
  }

  /** Resolved = taken by the stream. Throws `OutputClosed`. */
  async write(text: string): Promise<void> {
    if (this.#closed) throw new OutputClosed();
    if (!this.#stream.write(text)) {
      await once(this.#stream, "drain").catch(() => {
        this.#closed = true;
      });
    }
    if (this.#closed) throw new OutputClosed();
  }

  async line(value: unknown): Promise<void> {
    await this.write(`${typeof value === "string" ? value : JSON.stringify(value)}\n`);
  }
}
