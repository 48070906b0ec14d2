/**
 * Frames over one TCP connection inside the tunnel, with back-pressure both ways. It opens with a preface as long as the
 * tunnel's MTU, so that a path which swallows full packets shows at once and not under the first load. Owned by a link.
 */
import type { Socket } from "node:net";
import { concatBytes, type ErrorCode, utf8 } from "../../spine/index.ts";
import { FrameInlet } from "../frame-inlet.ts";
import { FrameOutlet } from "../frame-outlet.ts";
import type { EnclaveLimits } from "./options.ts";

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
  readonly #outlet: FrameOutlet;
  readonly #inlet: FrameInlet;
  /** What came of it so far; null = it came whole. */
  #preface: Uint8Array | null = new Uint8Array(0);
  #closed = false;
  #remoteEnded = false;
  readonly #startedAt: number;

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
    this.#outlet = new FrameOutlet((bytes) => socket.write(bytes), now);
    this.#inlet = new FrameInlet(limits.mtuBytes, now, {
      frame: hooks.frame,
      refused: (code) => this.#abort("bad frame", code),
    });
    this.#startedAt = now();
    socket.setNoDelay(true);
    socket.on("data", (chunk: Buffer) => this.#received(chunk));
    socket.on("drain", () => this.#outlet.drained());
    socket.on("end", () => {
      this.#remoteEnded = true;
      this.#finishIfEnded();
    });
    socket.on("error", () => this.#end("reset", null));
    socket.on("close", () => this.#end("closed", null));
    this.#outlet.sendRaw(prefaceOf(paddingBytes));
  }

  /** As {@link FrameOutlet.send}. */
  send(frame: Uint8Array, signal: AbortSignal): Promise<"at once" | "held"> {
    return this.#outlet.send(frame, signal);
  }

  /** Stops reading: the kernel's buffers fill, and TCP holds the peer back. */
  pause(): void {
    if (this.#inlet.pause()) this.#socket.pause();
  }
  resume(): void {
    if (!this.#inlet.resume()) return;
    if (this.#inlet.deliver() && !this.#inlet.paused) this.#socket.resume();
    this.#finishIfEnded();
  }

  /** Keep-alive, and the deadlines of the link. Called about once a second. */
  tick(): void {
    if (this.#closed) return;
    if (this.#preface !== null && this.#now() - this.#startedAt >= this.#limits.prefaceMs) {
      // Small packets made the connection; what is missing is the first full one.
      return this.#abort(this.#preface.length === 0 ? "no full packet passes" : "endless preface", null);
    }
    if (!this.#outlet.tick(this.#limits)) return this.#abort("stalled", null);
    const late = this.#inlet.late(this.#limits);
    if (late !== null) this.#abort(late, late === "idle" ? null : "frame_size");
  }

  /** Sends a keep-alive now. */
  poke(): void {
    this.#outlet.poke();
  }
  /** Sends what was taken, then closes; `closed` is called at once. */
  close(reason: string): void {
    if (this.#closed) return;
    this.#outlet.flush();
    this.#end(reason, null);
    this.#socket.end();
    setTimeout(() => this.#socket.destroy(), this.#limits.closeMs).unref();
    this.#socket.resume();
  }
  /** At once: nothing more leaves towards a peer that has no place here. */
  cut(reason: string): void {
    this.#abort(reason, null);
  }

  #received(chunk: Uint8Array): void {
    if (this.#closed) return;
    this.#inlet.heard();
    const rest = this.#preface === null ? chunk : this.#open(chunk);
    if (rest === null) return;
    this.#inlet.push(rest);
    this.#inlet.deliver();
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

  #finishIfEnded(): void {
    if (this.#remoteEnded && !this.#inlet.paused && !this.#closed) this.close("closed by the peer");
  }
  #abort(reason: string, fault: ErrorCode | null): void {
    if (this.#closed) return;
    this.#end(reason, fault);
    this.#socket.destroy();
  }
  #end(reason: string, fault: ErrorCode | null): void {
    if (this.#closed) return;
    this.#closed = true;
    this.#inlet.end();
    this.#outlet.end(reason);
    this.#hooks.closed(reason, fault);
  }
}
