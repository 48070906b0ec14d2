/** Request bodies, read whole within a bound per request and a bound for all requests together. */
import type { IncomingMessage } from "node:http";
import { SpineError } from "../../spine/index.ts";

/** Largest body of one request, bytes; longer input is sent in several requests. */
export const MAX_BODY_BYTES = 16_777_216;
/** Bodies held at one time, bytes; a request beyond it is answered `rate_limited`. */
export const MAX_HELD_BYTES = 67_108_864;

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

  /** Throws `api_input` over the bound or on a body cut short, `rate_limited` when too much is held. */
  async read(request: IncomingMessage): Promise<Body> {
    let taken = 0;
    const release = (): void => {
      this.#heldBytes -= taken;
      taken = 0;
    };
    const parts: Buffer[] = [];
    try {
      for await (const chunk of request as AsyncIterable<Buffer>) {
        taken += chunk.length;
        this.#heldBytes += chunk.length;
        if (taken > MAX_BODY_BYTES) throw new SpineError("api_input", `body longer than ${MAX_BODY_BYTES} bytes`);
        if (this.#heldBytes > MAX_HELD_BYTES) throw new SpineError("rate_limited", "too many large requests at once");
        parts.push(chunk);
      }
    } catch (cause) {
      release();
      if (cause instanceof SpineError) throw cause;
      throw new SpineError("api_input", "the body ended early", { cause });
    }
    return { bytes: parts.length === 1 ? (parts[0] as Buffer) : Buffer.concat(parts), release };
  }
}
