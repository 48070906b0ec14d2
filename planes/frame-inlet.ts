/**
 * The receiving half of frames over a byte stream: cuts it into frames while the consumer takes them, and knows when
 * the peer was silent, or one frame has been arriving, for too long. Owned by the streams of the libp2p and the WireGuard plane.
 */
import { type ErrorCode, SpineError } from "../spine/index.ts";
import { FrameReader } from "./frame-reader.ts";

export interface InletLimits {
  /** Nothing heard for so long: idle. */
  readonly idleMs: number;
  /** The longest one frame may take to arrive. */
  readonly frameMs: number;
}

export interface InletHooks {
  readonly frame: (frame: Uint8Array) => void;
  /** The bytes are no frames: the stream is lost. */
  readonly refused: (code: ErrorCode) => void;
}

export class FrameInlet {
  readonly #hooks: InletHooks;
  readonly #now: () => number;
  readonly #reader: FrameReader;
  #paused = false;
  #ended = false;
  #lastReceived: number;
  /** When the frame that is arriving began; null = none is. */
  #partialAt: number | null = null;

  /** `maxFrameBytes`: longer ones are refused with `frame_size`. */
  constructor(maxFrameBytes: number, now: () => number, hooks: InletHooks) {
    this.#reader = new FrameReader(maxFrameBytes);
    this.#now = now;
    this.#hooks = hooks;
    this.#lastReceived = now();
  }
  get paused(): boolean {
    return this.#paused;
  }

  /** Something came, be it no frame. */
  heard(): void {
    this.#lastReceived = this.#now();
  }
  /** Takes bytes from the wire; `deliver` hands on the frames in them. */
  push(chunk: Uint8Array): void {
    this.#reader.push(chunk);
  }

  /** Hands on what is complete. False: the consumer asked to stop, or the stream is lost. */
  deliver(): boolean {
    try {
      while (!this.#paused && !this.#ended) {
        const frame = this.#reader.next();
        if (frame === null) {
          if (!this.#reader.partial) this.#partialAt = null;
          else this.#partialAt ??= this.#now();
          return true;
        }
        this.#partialAt = null;
        this.#hooks.frame(frame);
      }
    } catch (error) {
      this.#hooks.refused(error instanceof SpineError ? error.code : "frame_syntax");
    }
    return false;
  }

  /** Hands on nothing until `resume`. False: it was so already. */
  pause(): boolean {
    if (this.#paused || this.#ended) return false;
    this.#paused = true;
    return true;
  }
  /** The owner calls `deliver` next. False: it was not paused. */
  resume(): boolean {
    if (!this.#paused || this.#ended) return false;
    this.#paused = false;
    this.#lastReceived = this.#now();
    this.#partialAt = null;
    return true;
  }

  /** Which deadline has passed. While paused none runs: it is we who do not listen. */
  late({ idleMs, frameMs }: InletLimits): "idle" | "endless frame" | null {
    if (this.#paused) return null;
    const now = this.#now();
    if (now - this.#lastReceived >= idleMs) return "idle";
    return this.#partialAt !== null && now - this.#partialAt >= frameMs ? "endless frame" : null;
  }

  end(): void {
    this.#ended = true;
  }
}
