/** Where data goes: waits while the reader is slow, tells when it has gone, and never loses a failed write. */
import type { Writable } from "node:stream";
import { SpineError } from "../spine/index.ts";
import { errorCodeOf } from "./files.ts";

/** Thrown once the reader closed its end (EPIPE): the verb stops quietly. */
export class OutputClosed extends Error {}

export class Output {
  readonly #stream: Writable;
  #failure: Error | undefined;

  constructor(stream: Writable) {
    this.#stream = stream;
    stream.on("error", (error) => this.#fail(error));
  }

  #fail(error: Error): void {
    const code = errorCodeOf(error);
    if (code === "EPIPE" || code === "ERR_STREAM_DESTROYED") this.#failure ??= new OutputClosed();
    else {
      const cause = { cause: error };
      this.#failure ??= new SpineError(
        code === "ENOSPC" ? "store_full" : "store_failed",
        "cannot write the output",
        cause,
      );
    }
  }

  /** Resolved = taken by the stream. Throws `OutputClosed`, `store_full` or `store_failed`, also for earlier writes. */
  async write(text: string): Promise<void> {
    if (this.#failure) throw this.#failure;
    if (this.#stream.write(text)) return;
    await this.flush();
  }

  async line(value: unknown): Promise<void> {
    await this.write(`${typeof value === "string" ? value : JSON.stringify(value)}\n`);
  }

  /** Resolved = everything written was passed on to the system. Throws as `write`. */
  async flush(): Promise<void> {
    await new Promise<void>((resolve) => {
      this.#stream.write("", (error) => {
        if (error) this.#fail(error);
        resolve();
      });
    });
    if (this.#failure) throw this.#failure;
  }
}
