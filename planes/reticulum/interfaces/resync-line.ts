/**
 * A serial line whose listener is brought back into step. The reference takes every second flag for the end of a frame: once
 * half a frame was lost it hears what lies between frames, and nothing else for ever. A flag and one byte, then silence, are
 * a half frame to one in step and an empty one to one out of step; both wait for the next frame after it. Used by `serial.ts`.
 */
import type { Millis } from "../../../spine/index.ts";
import type { Line } from "./line.ts";

const FLAG = 0x7e;
const HALF_FRAME = Uint8Array.of(FLAG, 0);
const BITS_PER_BYTE = 10;
/** After the last byte was on the line, ms. */
const QUIET_MS = 2000;
/** Half frames are dropped after 100 ms; the reference looks every 80. */
const SILENCE_MS = 300;

export class ResyncLine implements Line {
  readonly #line: Line;
  readonly #speed: number;
  readonly #held: Uint8Array[] = [];
  #heldBytes = 0;
  #isSilent = false;
  #freeAt: Millis = 0;
  #timer: NodeJS.Timeout | undefined;
  /** `speed` in baud. */
  constructor(line: Line, speed: number) {
    this.#line = line;
    this.#speed = speed;
  }
  get queuedBytes(): number {
    return this.#heldBytes + this.#line.queuedBytes;
  }
  write(bytes: Uint8Array): void {
    if (this.#isSilent) {
      this.#held.push(bytes.slice());
      this.#heldBytes += bytes.length;
      return;
    }
    this.#give(bytes);
    // A timer that fires early waits for the rest; it need not be moved for every frame.
    this.#timer ??= setTimeout(() => this.#quiet(), this.#leftMs() + QUIET_MS);
  }
  async close(): Promise<void> {
    clearTimeout(this.#timer);
    this.#held.length = 0;
    this.#heldBytes = 0;
    await this.#line.close();
  }
  #give(bytes: Uint8Array): void {
    const now = performance.now();
    this.#freeAt = Math.max(now, this.#freeAt) + (bytes.length * BITS_PER_BYTE * 1000) / this.#speed;
    this.#line.write(bytes);
  }
  /** Until what was given to the line has been sent. */
  #leftMs(): Millis {
    return Math.max(0, this.#freeAt - performance.now());
  }
  #quiet(): void {
    const leftMs = this.#freeAt + QUIET_MS - performance.now();
    if (leftMs > 1) {
      this.#timer = setTimeout(() => this.#quiet(), leftMs);
      return;
    }
    this.#give(HALF_FRAME);
    this.#isSilent = true;
    this.#timer = setTimeout(() => this.#resume(), this.#leftMs() + SILENCE_MS);
  }
  #resume(): void {
    this.#timer = undefined;
    this.#isSilent = false;
    this.#heldBytes = 0;
    for (const bytes of this.#held.splice(0)) this.write(bytes);
  }
}
