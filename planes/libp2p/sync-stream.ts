/**
 * Frames over one libp2p stream, with back-pressure both ways: writes are batched and wait for `drain`, reads stop while
 * the consumer is slow, and silence, stalls and endless frames end it. Owned by a link in `links.ts`.
 */
import type { Stream } from "@libp2p/interface";
import { concatBytes, type ErrorCode, SpineError } from "../../spine/index.ts";
import { FrameReader, prefixed } from "../frame-reader.ts";
import { SendLine } from "../send-line.ts";
import type { Libp2pLimits } from "./options.ts";
import { spareWindowUpdates } from "./window-updates.ts";

/** Small frames are gathered up to this size; larger ones go alone. */
const BATCH_BYTES = 64 * 1_024;
const MAX_WAITING_SENDS = 1_024;
const CLOSE_MS = 500;
const KEEPALIVE = Uint8Array.of(0);

/** What libp2p's streams keep unread bytes in. */
interface PieceList {
  readonly byteLength: number;
  subarray(): Uint8Array;
  consume(bytes: number): void;
  append(bytes: Uint8Array): void;
}

export interface SyncStreamHooks {
  readonly frame: (frame: Uint8Array) => void;
  /** Called once. `fault` names what the peer broke, if it did. */
  readonly closed: (reason: string, fault: ErrorCode | null) => void;
}

/**
 * Nothing more will come of the stream. Its `end` event may have passed before anybody listened, even while bytes left
 * over from the protocol negotiation still waited.
 */
export function hasEnded(stream: Stream): boolean {
  return stream.status !== "open" || (stream.remoteWriteStatus === "closed" && stream.readBufferLength === 0);
}

export class SyncStream {
  readonly #stream: Stream;
  readonly #hooks: SyncStreamHooks;
  readonly #limits: Libp2pLimits;
  readonly #now: () => number;
  readonly #reader: FrameReader;
  readonly #line = new SendLine(MAX_WAITING_SENDS);
  #outbox: Uint8Array[] = [];
  #outboxBytes = 0;
  #flushing: NodeJS.Immediate | null = null;
  #congestedAt: number | null = null;
  #paused = false;
  #resuming = false;
  #closed = false;
  #compactedBytes = 0;
  #remoteEnded = false;
  #lastSent: number;
  #lastReceived: number;
  /** When the frame that is arriving began; null = none is. */
  #partialAt: number | null = null;

  constructor(stream: Stream, limits: Libp2pLimits, now: () => number, hooks: SyncStreamHooks) {
    this.#stream = stream;
    this.#limits = limits;
    this.#now = now;
    this.#hooks = hooks;
    this.#reader = new FrameReader(limits.mtuBytes);
    this.#lastSent = now();
    this.#lastReceived = now();
    // The window bounds what a well-behaved peer can have in flight; only one that breaks yamux reaches the buffer's end.
    stream.maxReadBufferLength = limits.windowBytes * 2;
    stream.maxWriteBufferLength = limits.mtuBytes * 4 + limits.windowBytes;
    spareWindowUpdates(stream);
    stream.addEventListener("message", ({ data }) => this.#received(data));
    stream.addEventListener("drain", () => queueMicrotask(() => this.#drained()));
    stream.addEventListener("end", () => {
      this.#remoteEnded = true;
      this.#finishIfEnded();
    });
    stream.addEventListener("close", ({ error }) => this.#end(error === undefined ? "closed" : "reset", null));
  }

  /** Resolves when the frame was taken. Rejects with `link_unknown`, `link_congested` or the signal's reason. */
  async send(frame: Uint8Array, signal: AbortSignal): Promise<"at once" | "held"> {
    if (this.#closed) throw new SpineError("link_unknown", "the link is down");
    if (this.#line.length === 0 && this.#take(frame)) return "at once";
    await this.#line.wait(frame, signal);
    return "held";
  }

  /** Stops reading; what the window allows may still arrive and waits in the stream's own buffer. */
  pause(): void {
    if (this.#paused || this.#closed) return;
    this.#paused = true;
    if (this.#stream.readStatus === "readable" && !this.#resuming) this.#stream.pause();
  }

  resume(): void {
    if (!this.#paused || this.#closed) return;
    this.#paused = false;
    this.#lastReceived = this.#now();
    this.#partialAt = null;
    this.#proceed();
  }

  /** Keep-alive, and the deadlines of the link. Called about once a second. */
  tick(): void {
    if (this.#closed) return;
    const now = this.#now();
    if (this.#congestedAt !== null) {
      if (now - this.#congestedAt >= this.#limits.stallMs) this.#abort("stalled", null);
    } else if (now - this.#lastSent >= this.#limits.keepaliveMs && this.#outboxBytes === 0) this.#write(KEEPALIVE);
    if (this.#paused) {
      this.#compact();
      return;
    }
    if (now - this.#lastReceived >= this.#limits.idleMs) this.#abort("idle", null);
    else if (this.#partialAt !== null && now - this.#partialAt >= this.#limits.frameMs) {
      this.#abort("endless frame", "frame_size");
    }
  }

  /** Sends what was taken, then closes; `closed` is called at once. */
  close(reason: string): void {
    if (this.#closed) return;
    this.#flush();
    this.#end(reason, null);
    this.#stream.close({ signal: AbortSignal.timeout(CLOSE_MS) }).catch((error: Error) => this.#stream.abort(error));
  }

  /**
   * A paused stream stores what arrives piece by piece, some 300 bytes for each piece of one byte. The library has no
   * way to join them, so this reaches for its buffer; where that is not what it was, nothing happens.
   */
  #compact(): void {
    const { readBuffer } = this.#stream as unknown as { readBuffer?: Partial<PieceList> };
    if (readBuffer?.subarray === undefined || readBuffer.consume === undefined || !readBuffer.append) return;
    const bytes = readBuffer.byteLength ?? 0;
    if (bytes === this.#compactedBytes) return;
    const joined = readBuffer.subarray();
    readBuffer.consume(bytes);
    readBuffer.append(joined);
    this.#compactedBytes = bytes;
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
    try {
      if (!this.#stream.send(bytes)) this.#congestedAt = this.#now();
    } catch {
      this.#abort("write failed", null);
    }
  }

  #drained(): void {
    if (this.#closed || this.#stream.writableNeedsDrain) return;
    this.#congestedAt = null;
    this.#line.drain((frame) => this.#take(frame));
  }

  #received(data: Uint8Array | Iterable<Uint8Array>): void {
    if (this.#closed) return;
    this.#lastReceived = this.#now();
    if (data instanceof Uint8Array) this.#reader.push(data);
    else for (const chunk of data) this.#reader.push(chunk);
    if (hasEnded(this.#stream)) this.#remoteEnded = true;
    if (this.#resuming) return;
    this.#parse();
    this.#finishIfEnded();
  }

  /** Returns false if the consumer asked to stop, or the stream is lost. */
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

  /**
   * Works off what waits, then lets the stream deliver again. A stream that is paused from within its own `resume`
   * would go on granting window and overrun its buffer: what arrives during `resume` is only stored here.
   */
  #proceed(): void {
    while (this.#parse()) {
      if (this.#stream.readStatus !== "paused") break;
      this.#resuming = true;
      try {
        this.#stream.resume();
      } catch {
        this.#abort("read failed", null);
      } finally {
        this.#resuming = false;
      }
    }
    if (this.#paused && this.#stream.readStatus === "readable") this.#stream.pause();
    this.#finishIfEnded();
  }

  #finishIfEnded(): void {
    if (this.#remoteEnded && !this.#paused && !this.#closed) this.close("closed by the peer");
  }

  #abort(reason: string, fault: ErrorCode | null): void {
    if (this.#closed) return;
    this.#end(reason, fault);
    this.#stream.abort(new Error(reason));
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
