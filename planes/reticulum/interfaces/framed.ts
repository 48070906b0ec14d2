/** Interfaces that are one framed byte line: TCP client, serial, KISS TNC (spec/reticulum.md section 16). */
import type { SpineError } from "../../../spine/index.ts";
import type { Wire } from "../stack/context.ts";
import { HdlcDecoder, hdlcBound, hdlcEncodeInto } from "./hdlc.ts";
import type { Interface, InterfaceStatus, LiveWire, WireHost } from "./interface.ts";
import { KISS, KissDecoder, kissEncode } from "./kiss.ts";
import type { Line, OpenLine } from "./line.ts";
import { Reopener } from "./reopen.ts";

/** Frames up to this length cannot be packets. */
export const MIN_FRAME_BYTES = 19;
/** A serial line that is silent for this long in the middle of a frame has lost its end, ms. */
const PARTIAL_TIMEOUT_MS = 100;

export interface Framing {
  /** The result is valid until the next call. */
  encode(payload: Uint8Array): Uint8Array;
  push(chunk: Uint8Array, frame: (payload: Uint8Array) => void): void;
  reset(): void;
  readonly isMidFrame: boolean;
}

export function hdlcFraming(maxFrameBytes: number): Framing {
  const decoder = new HdlcDecoder(maxFrameBytes);
  let scratch: Uint8Array = new Uint8Array(0);
  return {
    encode: (payload) => {
      const bound = hdlcBound(payload.length);
      if (scratch.length < bound) scratch = new Uint8Array(bound);
      return scratch.subarray(0, hdlcEncodeInto(payload, scratch));
    },
    push: (chunk, frame) => decoder.push(chunk, frame),
    reset: () => decoder.reset(),
    get isMidFrame() {
      return decoder.isMidFrame;
    },
  };
}

/** Data frames only; the port nibble is ignored. `other` gets the remaining commands. */
export function kissFraming(maxFrameBytes: number, other?: (command: number, payload: Uint8Array) => void): Framing {
  const decoder = new KissDecoder(maxFrameBytes);
  return {
    encode: (payload) => kissEncode(KISS.data, payload),
    push: (chunk, frame) =>
      decoder.push(chunk, (command, payload) => {
        if ((command & 0x0f) === KISS.data) frame(payload);
        else other?.(command, payload);
      }),
    reset: () => decoder.reset(),
    get isMidFrame() {
      return decoder.isMidFrame;
    },
  };
}

/** Longest frame a wire may carry, access code included. */
export function maxFrameBytes(info: Wire): number {
  return info.hardwareMtu + (info.ifac?.sizeBytes ?? 0);
}

export interface FramedOptions {
  readonly type: string;
  readonly info: Wire;
  readonly open: OpenLine;
  /** Made anew for each opening. */
  readonly framing: () => Framing;
  /** Bytes that may wait for the line. */
  readonly queueBytes: number;
  /** Drops half frames after a silence, and repairs a line without end-to-end framing. */
  readonly partialTimeout: boolean;
  /** Prepares a fresh line before packets flow. */
  readonly setup?: (line: Line) => Promise<void>;
}

export class FramedInterface implements Interface {
  readonly name: string;
  readonly #options: FramedOptions;
  readonly #reopener: Reopener;
  readonly #wire: LiveWire;
  #host: WireHost | undefined;
  #line: Line | undefined;
  #online = false;
  #framing: Framing;
  #framesDropped = 0;
  #partialTimer: NodeJS.Timeout | undefined;
  constructor(options: FramedOptions) {
    this.#options = options;
    this.name = options.info.id;
    this.#framing = options.framing();
    this.#wire = { info: options.info, send: (frame) => this.#send(frame) };
    this.#reopener = new Reopener(options.open, {
      opened: (line) => this.#opened(line),
      data: (chunk) => this.#data(chunk),
      closed: () => this.#closed(),
    });
  }
  async start(host: WireHost): Promise<void> {
    this.#host = host;
    this.#reopener.start();
  }
  async stop(): Promise<void> {
    await this.#reopener.stop();
  }
  /** Ends the line; it is opened again. */
  fail(reason: SpineError): void {
    this.#reopener.fail(reason);
  }
  status(): InterfaceStatus {
    return {
      name: this.name,
      type: this.#options.type,
      online: this.#online,
      wires: this.#online ? 1 : 0,
      bitrate: this.#options.info.bitrate,
      framesDropped: this.#framesDropped,
      reconnects: this.#reopener.reconnects,
      lastError: this.#reopener.lastError,
    };
  }
  #opened(line: Line): void | Promise<void> {
    this.#framing = this.#options.framing();
    this.#line = line;
    const { setup } = this.#options;
    if (setup === undefined) this.#up();
    else return setup(line).then(() => this.#up());
  }
  #up(): void {
    if (this.#line === undefined) return;
    this.#online = true;
    this.#host?.up(this.#wire);
  }
  #closed(): void {
    clearTimeout(this.#partialTimer);
    this.#line = undefined;
    if (!this.#online) return;
    this.#online = false;
    this.#host?.down(this.#wire);
  }
  #send(frame: Uint8Array): boolean {
    const line = this.#line;
    if (line === undefined || line.queuedBytes > this.#options.queueBytes) {
      this.#framesDropped++;
      return false;
    }
    line.write(this.#framing.encode(frame));
    return true;
  }
  #data(chunk: Uint8Array): void {
    const limit = maxFrameBytes(this.#options.info);
    this.#framing.push(chunk, (payload) => {
      if (payload.length > MIN_FRAME_BYTES && payload.length <= limit) this.#host?.receive(this.#wire, payload);
      else this.#framesDropped++;
    });
    if (!this.#options.partialTimeout) return;
    clearTimeout(this.#partialTimer);
    if (this.#framing.isMidFrame) this.#partialTimer = setTimeout(() => this.#framing.reset(), PARTIAL_TIMEOUT_MS);
  }
}
