/**
 * The sending half of frames over a byte stream: small frames are gathered, callers wait in order while the stream is
 * congested, silence is filled with keep-alives. Owned by the streams of the libp2p and the WireGuard plane.
 */
import { concatBytes, SpineError } from "../spine/index.ts";
import { prefixed } from "./frame-reader.ts";
import { SendLine } from "./send-line.ts";

/** Small frames are gathered up to this size; larger ones go alone. */
const BATCH_BYTES = 64 * 1_024;
const MAX_WAITING_SENDS = 1_024;
const KEEPALIVE = Uint8Array.of(0);

export interface OutletLimits {
  /** Nothing sent for so long: a keep-alive. */
  readonly keepaliveMs: number;
  /** Nothing taken by the stream for so long: stalled. */
  readonly stallMs: number;
}

export class FrameOutlet {
  /** False: the bytes were taken, but no more before `drained`. */
  readonly #write: (bytes: Uint8Array) => boolean;
  readonly #now: () => number;
  readonly #line = new SendLine(MAX_WAITING_SENDS);
  #batch: Uint8Array[] = [];
  #batchBytes = 0;
  #flushing: NodeJS.Immediate | null = null;
  #congestedAt: number | null = null;
  #lastSent: number;
  #ended = false;

  constructor(write: (bytes: Uint8Array) => boolean, now: () => number) {
    this.#write = write;
    this.#now = now;
    this.#lastSent = now();
  }

  /** Resolves when the frame was taken. Rejects with `link_unknown`, `link_congested` or the signal's reason. */
  async send(frame: Uint8Array, signal: AbortSignal): Promise<"at once" | "held"> {
    if (this.#ended) throw new SpineError("link_unknown", "the link is down");
    if (this.#line.length === 0 && this.#take(frame)) return "at once";
    await this.#line.wait(frame, signal);
    return "held";
  }

  /** Past the gathering, for what comes before all frames. */
  sendRaw(bytes: Uint8Array): void {
    this.#lastSent = this.#now();
    if (!this.#write(bytes)) this.#congestedAt ??= this.#now();
  }

  /** The stream takes bytes again. */
  drained(): void {
    if (this.#ended) return;
    this.#congestedAt = null;
    this.#line.drain((frame) => this.#take(frame));
  }

  /** Writes what was taken. */
  flush(): void {
    if (this.#flushing !== null) clearImmediate(this.#flushing);
    this.#flushing = null;
    if (this.#batch.length === 0) return;
    const [only] = this.#batch;
    const bytes = this.#batch.length === 1 && only !== undefined ? only : concatBytes(...this.#batch);
    this.#batch = [];
    this.#batchBytes = 0;
    this.sendRaw(bytes);
  }

  /** Sends a keep-alive now, unless something is on its way already. */
  poke(): void {
    if (!this.#ended && this.#congestedAt === null && this.#batchBytes === 0) this.sendRaw(KEEPALIVE);
  }

  /** Called about once a second. False: the stream has taken nothing for too long. */
  tick({ keepaliveMs, stallMs }: OutletLimits): boolean {
    const now = this.#now();
    if (this.#congestedAt !== null) return now - this.#congestedAt < stallMs;
    if (now - this.#lastSent >= keepaliveMs) this.poke();
    return true;
  }

  /** Refuses everybody who waits, and all who come. */
  end(reason: string): void {
    this.#ended = true;
    if (this.#flushing !== null) clearImmediate(this.#flushing);
    this.#flushing = null;
    this.#batch = [];
    this.#batchBytes = 0;
    this.#line.fail(new SpineError("link_unknown", `the link went down: ${reason}`));
  }

  #take(frame: Uint8Array): boolean {
    if (this.#congestedAt !== null || this.#ended) return false;
    const bytes = prefixed(frame);
    this.#batch.push(bytes);
    this.#batchBytes += bytes.length;
    if (this.#batchBytes >= BATCH_BYTES) this.flush();
    else this.#flushing ??= setImmediate(() => this.flush());
    return true;
  }
}
