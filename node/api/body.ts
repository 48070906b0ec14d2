/** Request bodies, read whole within a bound per request and a bound for all requests together. */
import type { IncomingMessage } from "node:http";
import { SpineError } from "../../spine/index.ts";

/** Largest body of one request, bytes; longer input is sent in several requests. */
export const MAX_BODY_BYTES = 16_777_216;
/** Bodies held at one time, bytes; a request beyond it is answered `rate_limited`. */
export const MAX_HELD_BYTES = 67_108_864;

/** A refused body longer than this is not read to its end. */
const MAX_DROPPED_BYTES = 4 * MAX_BODY_BYTES;

/** `release` must be called when the body is no longer needed. */
export interface Body {
  readonly bytes: Buffer;
  release(): void;
}

export class BodyReader {
  #heldBytes = 0;

  get heldBytes(): number {
    return this.#heldBytes;
  }

  /**
   * Throws `api_input` over the bound or on a body cut short, `rate_limited` when too much is held. What is refused is
   * still read and dropped, so that the client gets to see the answer; endless bodies are cut off.
   */
  async read(request: IncomingMessage): Promise<Body> {
    let heldHere = 0;
    const release = (): void => {
      this.#heldBytes -= heldHere;
      heldHere = 0;
    };
    let parts: Buffer[] = [];
    let takenBytes = 0;
    let refusal: SpineError | undefined;
    const refuse = (error: SpineError): void => {
      refusal ??= error;
      parts = [];
      release();
    };
    const take = (chunk: Buffer): void => {
      takenBytes += chunk.length;
      if (takenBytes > MAX_DROPPED_BYTES) request.destroy();
      if (refusal !== undefined) return;
      heldHere += chunk.length;
      this.#heldBytes += chunk.length;
      if (takenBytes > MAX_BODY_BYTES) refuse(new SpineError("api_input", `body longer than ${MAX_BODY_BYTES} bytes`));
      else if (this.#heldBytes > MAX_HELD_BYTES)
        refuse(new SpineError("rate_limited", "too many large requests at once"));
      else parts.push(chunk);
    };
    await new Promise<void>((resolve) => {
      request.on("data", take);
      request.once("end", resolve);
      request.once("error", () => resolve());
      request.once("close", () => resolve());
    });
    if (!request.complete) refuse(new SpineError("api_input", "the body ended early"));
    if (refusal !== undefined) throw refusal;
    return { bytes: parts.length === 1 ? (parts[0] as Buffer) : Buffer.concat(parts), release };
  }
}
