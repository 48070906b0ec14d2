/**
 * Frames over one TCP connection inside the tunnel, with back-pressure both ways. It opens with a preface as long as the
 * tunnel's MTU, so that a path which swallows full packets shows at once and not under the first load. Owned by a link.
 */
import type { Socket } from "node:net";
import { concatBytes, type ErrorCode, SpineError, utf8 } from "../../spine/index.ts";
import { FrameReader, prefixed } from "../frame-reader.ts";
import { SendLine } from "../send-line.ts";
import type { EnclaveLimits } from "./options.ts";

/** Small frames are gathered up to this size. */
const BATCH_BYTES = 64 * 1_024;
const MAX_WAITING_SENDS = 1_024;
const KEEPALIVE = Uint8Array.of(0);
const MAGIC = utf8("spine-enclave/1\n");
/** Magic, then the length of the padding as u16, then so many zero bytes. */
const PREFACE_HEAD_BYTES = MAGIC.length + 2;
const MAX_PADDING_BYTES = 9_000;

export function prefaceOf(paddingBytes: number): Uint8Array {
  const preface = new Uint8Array(PREFACE_HEAD_BYTES + paddingBytes);
  preface.set(MAGIC);
  preface.set([paddingBytes >> 8, paddingBytes & 255], MAGIC.length);
  return preface;
}

export interface TunnelStreamHooks {
  /** The peer's preface came whole: it speaks our protocol, and full packets pass. */
  readonly opened: () => void;
  readonly frame: (frame: Uint8Array) => void;
  /** Called once. `fault` names what the peer broke, if it did. */
  readonly closed: (reason: string, fault: ErrorCode | null) => void;
}

export class TunnelStream {
  readonly #socket: Socket;
  readonly #hooks: TunnelStreamHooks;
  readonly #limits: EnclaveLimits;
  readonly #now: () => number;
  readonly #reader: FrameReader;
  readonly #line = new SendLine(MAX_WAITING_SENDS);
  #preface: Uint8Array | null = new Uint8Array(0);
  #outbox: Uint8Array[] = [];
  #outboxBytes = 0;
  #flushing: NodeJS.Immediate | null = null;
  #congestedAt: number | null = null;
  #paused = false;
  #closed = false;
  #remoteEnded = false;
  readonly #startedAt: number;
  #lastSent: number;
  #lastReceived: number;
  /** When the frame that is arriving began; null = none is. */
  #partialAt: number | null = null;

  /** `socket` is connected. `paddingBytes`: of the preface, the tunnel's MTU. */
  constructor(
    socket: Socket,
    paddingBytes: number,
    limits: EnclaveLimits,
    now: () => number,
    hooks: TunnelStreamHooks,
  ) {
    this.#socket = socket;
    this.#limits = limits;
    this.#now = now;
    this.#hooks = hooks;
    this.#reader = new FrameReader(limits.mtuBytes);
    this.#startedAt = now();
    this.#lastSent = this.#startedAt;
    this.#lastReceived = this.#startedAt;
    socket.setNoDelay(true);
    socket.on("data", (chunk: Buffer) => this.#received(chunk));
    socket.on("drain", () => this.#drained());
    socket.on("end", () => {
      this.#remoteEnded = true;
      this.#finishIfEnded();
    });
    socket.on("error", () => this.#end("reset", null));
    socket.on("close", () => this.#end("closed", null));
    this.#write(prefaceOf(paddingBytes));
  }

  /** Resolves when the frame was taken. Rejects with `link_unknown`, `link_congested` or the signal's reason. */
  async send(frame: Uint8Array, signal: AbortSignal): Promise<"at once" | "held"> {
    if (this.#closed) throw new SpineError("link_unknown", "the link is down");
    if (this.#line.length === 0 && this.#take(frame)) return "at once";
    await this.#line.wait(frame, signal);
    return "held";
  }

  /** Stops reading: the kernel's buffers fill, and TCP holds the peer back. */
  pause(): void {
    if (this.#paused || this.#closed) return;
    this.#paused = true;
    this.#socket.pause();
  }
  resume(): void {
    if (!this.#paused || this.#closed) return;
    this.#paused = false;
    this.#lastReceived = this.#now();
    this.#partialAt = null;
    if (this.#parse() && !this.#paused) this.#socket.resume();
    this.#finishIfEnded();
  }

  /** Keep-alive, and the deadlines of the link. Called about once a second. */
  tick(): void {
    if (this.#closed) return;
    const now = this.#now();
    if (this.#preface !== null && now - this.#startedAt >= this.#limits.prefaceMs) {
      // Small packets made the connection; what is missing is the first full one.
      this.#abort(this.#preface.length === 0 ? "no full packet passes" : "endless preface", null);
      return;
    }
    if (this.#congestedAt !== null) {
      if (now - this.#congestedAt >= this.#limits.stallMs) this.#abort("stalled", null);
    } else if (now - this.#lastSent >= this.#limits.keepaliveMs && this.#outboxBytes === 0) this.#write(KEEPALIVE);
    if (this.#paused) return;
    if (now - this.#lastReceived >= this.#limits.idleMs) this.#abort("idle", null);
    else if (this.#partialAt !== null && now - this.#partialAt >= this.#limits.frameMs) {
      this.#abort("endless frame", "frame_size");
    }
  }

  /** Sends a keep-alive now. */
  poke(): void {
    if (!this.#closed && this.#congestedAt === null && this.#outboxBytes === 0) this.#write(KEEPALIVE);
  }
  /** Sends what was taken, then closes; `closed` is called at once. */
  close(reason: string): void {
    if (this.#closed) return;
    this.#flush();
    this.#end(reason, null);
    this.#socket.end();
    setTimeout(() => this.#socket.destroy(), this.#limits.closeMs).unref();
    this.#socket.resume();
  }
  /** At once: nothing more leaves towards a peer that has no place here. */
  cut(reason: string): void {
    this.#abort(reason, null);
  }

  #take(frame: Uint8Array): boolean {
    if (this.#congestedAt !== null || this.#closed) return false;
    const bytes = prefixed(frame);
    this.#outbox.push(bytes);
    this.#outboxBytes += bytes.length;
    if (this.#outboxBytes >= BATCH_BYTES) this.#flush();
    else this.#flushing ??= setImmediate(() => this.#flush());
    return true;
  }

  #flush(): void {
    if (this.#flushing !== null) clearImmediate(this.#flushing);
    this.#flushing = null;
    if (this.#outbox.length === 0) return;
    const [only] = this.#outbox;
    const bytes = this.#outbox.length === 1 && only !== undefined ? only : concatBytes(...this.#outbox);
    this.#outbox = [];
    this.#outboxBytes = 0;
    this.#write(bytes);
  }

  #write(bytes: Uint8Array): void {
    this.#lastSent = this.#now();
    if (!this.#socket.write(bytes)) this.#congestedAt ??= this.#now();
  }

  #drained(): void {
    if (this.#closed) return;
    this.#congestedAt = null;
    this.#line.drain((frame) => this.#take(frame));
  }

  #received(chunk: Uint8Array): void {
    if (this.#closed) return;
    this.#lastReceived = this.#now();
    const rest = this.#preface === null ? chunk : this.#open(chunk);
    if (rest === null) return;
    this.#reader.push(rest);
    this.#parse();
    this.#finishIfEnded();
  }

  /** What follows the preface, or null while it is not whole or was wrong. */
  #open(chunk: Uint8Array): Uint8Array | null {
    const have = concatBytes(this.#preface ?? new Uint8Array(0), chunk);
    this.#preface = have;
    for (let i = 0; i < Math.min(have.length, MAGIC.length); i++) {
      if (have[i] !== MAGIC[i]) return this.#refusePreface();
    }
    if (have.length < PREFACE_HEAD_BYTES) return null;
    const length = PREFACE_HEAD_BYTES + (((have[MAGIC.length] as number) << 8) | (have[MAGIC.length + 1] as number));
    if (length - PREFACE_HEAD_BYTES > MAX_PADDING_BYTES) return this.#refusePreface();
    if (have.length < length) return null;
    this.#preface = null;
    this.#hooks.opened();
    return this.#closed ? null : have.subarray(length);
  }
  #refusePreface(): null {
    this.#abort("not the enclave's protocol", "frame_syntax");
    return null;
  }

  /** False if the consumer asked to stop, or the stream is lost. */
  #parse(): boolean {
    try {
      while (!this.#paused && !this.#closed) {
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
      this.#abort("bad frame", error instanceof SpineError ? error.code : "frame_syntax");
    }
    return false;
  }

  #finishIfEnded(): void {
    if (this.#remoteEnded && !this.#paused && !this.#closed) this.close("closed by the peer");
  }
  #abort(reason: string, fault: ErrorCode | null): void {
    if (this.#closed) return;
    this.#end(reason, fault);
    this.#socket.destroy();
  }
  #end(reason: string, fault: ErrorCode | null): void {
    if (this.#closed) return;
    this.#closed = true;
    if (this.#flushing !== null) clearImmediate(this.#flushing);
    this.#flushing = null;
    this.#outbox = [];
    this.#line.fail(new SpineError("link_unknown", `the link went down: ${reason}`));
    this.#hooks.closed(reason, fault);
  }
}
