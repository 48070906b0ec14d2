/** A line that holds each frame back until the device is ready for it. Used by KISS TNCs and RNodes with flow control. */
import type { Millis } from "../../../spine/index.ts";
import type { Line } from "./line.ts";

export class PacedLine implements Line {
  readonly #line: Line;
  readonly #timeoutMs: Millis | undefined;
  readonly #waiting: Uint8Array[] = [];
  #waitingBytes = 0;
  #busy = false;
  #timer: NodeJS.Timeout | undefined;
  /** Without `timeoutMs` nothing is held back; with it, a device silent for so long counts as ready. */
  constructor(line: Line, timeoutMs: Millis | undefined) {
    this.#line = line;
    this.#timeoutMs = timeoutMs;
  }
  get queuedBytes(): number {
    return this.#waitingBytes + this.#line.queuedBytes;
  }
  /** A command, not a frame: goes at once. */
  writeNow(bytes: Uint8Array): void {
    this.#line.write(bytes);
  }
  write(bytes: Uint8Array): void {
    if (this.#timeoutMs === undefined) this.#line.write(bytes);
    else if (this.#busy) {
      this.#waiting.push(bytes.slice());
      this.#waitingBytes += bytes.length;
    } else this.#give(bytes);
  }
  /** The device takes the next frame. */
  ready(): void {
    clearTimeout(this.#timer);
    this.#busy = false;
    const next = this.#waiting.shift();
    if (next === undefined) return;
    this.#waitingBytes -= next.length;
    this.#give(next);
  }
  async close(): Promise<void> {
    clearTimeout(this.#timer);
    this.#waiting.length = 0;
    this.#waitingBytes = 0;
    await this.#line.close();
  }
  #give(bytes: Uint8Array): void {
    this.#busy = true;
    this.#line.write(bytes);
    this.#timer = setTimeout(() => this.ready(), this.#timeoutMs);
  }
}
