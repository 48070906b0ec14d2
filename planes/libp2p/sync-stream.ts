/**
 * Frames over one libp2p stream, with back-pressure both ways: writes are batched and wait for `drain`, reads stop while
 * the consumer is slow, and silence, stalls and endless frames end it. Owned by a link in `links.ts`.
 */
import type { Stream } from "@libp2p/interface";
import type { ErrorCode } from "../../spine/index.ts";
import { FrameInlet } from "../frame-inlet.ts";
import { FrameOutlet } from "../frame-outlet.ts";
import type { Libp2pLimits } from "./options.ts";
import { spareWindowUpdates } from "./window-updates.ts";

const CLOSE_MS = 500;

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
  readonly #outlet: FrameOutlet;
  readonly #inlet: FrameInlet;
  #resuming = false;
  #closed = false;
  #compactedBytes = 0;
  #remoteEnded = false;

  constructor(stream: Stream, limits: Libp2pLimits, now: () => number, hooks: SyncStreamHooks) {
    this.#stream = stream;
    this.#limits = limits;
    this.#hooks = hooks;
    this.#outlet = new FrameOutlet((bytes) => this.#write(bytes), now);
    this.#inlet = new FrameInlet(limits.mtuBytes, now, {
      frame: hooks.frame,
      refused: (code) => this.#abort("bad frame", code),
    });
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

  /** As {@link FrameOutlet.send}. */
  send(frame: Uint8Array, signal: AbortSignal): Promise<"at once" | "held"> {
    return this.#outlet.send(frame, signal);
  }

  /** Stops reading; what the window allows may still arrive and waits in the stream's own buffer. */
  pause(): void {
    if (this.#inlet.pause() && this.#stream.readStatus === "readable" && !this.#resuming) this.#stream.pause();
  }

  resume(): void {
    if (this.#inlet.resume()) this.#proceed();
  }

  /** Keep-alive, and the deadlines of the link. Called about once a second. */
  tick(): void {
    if (this.#closed) return;
    if (!this.#outlet.tick(this.#limits)) return this.#abort("stalled", null);
    if (this.#inlet.paused) return this.#compact();
    const late = this.#inlet.late(this.#limits);
    if (late !== null) this.#abort(late, late === "idle" ? null : "frame_size");
  }

  /** Sends what was taken, then closes; `closed` is called at once. */
  close(reason: string): void {
    if (this.#closed) return;
    this.#outlet.flush();
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

  #write(bytes: Uint8Array): boolean {
    try {
      return this.#stream.send(bytes);
    } catch {
      this.#abort("write failed", null);
      return true;
    }
  }

  #drained(): void {
    if (!this.#closed && !this.#stream.writableNeedsDrain) this.#outlet.drained();
  }

  #received(data: Uint8Array | Iterable<Uint8Array>): void {
    if (this.#closed) return;
    this.#inlet.heard();
    if (data instanceof Uint8Array) this.#inlet.push(data);
    else for (const chunk of data) this.#inlet.push(chunk);
    if (hasEnded(this.#stream)) this.#remoteEnded = true;
    if (this.#resuming) return;
    this.#inlet.deliver();
    this.#finishIfEnded();
  }

  /**
   * Works off what waits, then lets the stream deliver again. A stream that is paused from within its own `resume`
   * would go on granting window and overrun its buffer: what arrives during `resume` is only stored here.
   */
  #proceed(): void {
    while (this.#inlet.deliver()) {
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
    if (this.#inlet.paused && this.#stream.readStatus === "readable") this.#stream.pause();
    this.#finishIfEnded();
  }

  #finishIfEnded(): void {
    if (this.#remoteEnded && !this.#inlet.paused && !this.#closed) this.close("closed by the peer");
  }

  #abort(reason: string, fault: ErrorCode | null): void {
    if (this.#closed) return;
    this.#end(reason, fault);
    this.#stream.abort(new Error(reason));
  }

  #end(reason: string, fault: ErrorCode | null): void {
    if (this.#closed) return;
    this.#closed = true;
    this.#inlet.end();
    this.#outlet.end(reason);
    this.#hooks.closed(reason, fault);
  }
}
