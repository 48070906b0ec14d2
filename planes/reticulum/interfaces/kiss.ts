/** KISS framing and the commands of a KISS TNC (spec/reticulum.md section 16.2). Bytes only; RNodes use the framing too. */

const FEND = 0xc0;
const FESC = 0xdb;
const TFEND = 0xdc;
const TFESC = 0xdd;

/** Commands that every KISS TNC knows. */
export const KISS = {
  data: 0x00,
  txDelay: 0x01,
  persistence: 0x02,
  slotTime: 0x03,
  txTail: 0x04,
  ready: 0x0f,
} as const;

/** One frame with its two ends. */
export function kissEncode(command: number, payload: Uint8Array): Uint8Array {
  let escapes = 0;
  for (const byte of payload) if (byte === FEND || byte === FESC) escapes++;
  const out = new Uint8Array(payload.length + escapes + 3);
  out[0] = FEND;
  out[1] = command;
  let at = 2;
  for (const byte of payload) {
    if (byte === FEND || byte === FESC) {
      out[at++] = FESC;
      out[at++] = byte === FEND ? TFEND : TFESC;
    } else out[at++] = byte;
  }
  out[at] = FEND;
  return out;
}

/** Cuts a byte stream into commands and their payloads. */
export class KissDecoder {
  readonly #buffer: Uint8Array;
  #length = 0;
  #command = -1;
  #inFrame = false;
  #escaped = false;
  #overflow = false;
  /** Longer payloads are dropped whole. */
  constructor(maxPayloadBytes: number) {
    this.#buffer = new Uint8Array(maxPayloadBytes);
  }
  push(chunk: Uint8Array, frame: (command: number, payload: Uint8Array) => void): void {
    for (const byte of chunk) {
      if (byte === FEND) {
        if (this.#inFrame && this.#command >= 0 && !this.#overflow) {
          frame(this.#command, this.#buffer.slice(0, this.#length));
        }
        this.#begin();
      } else if (!this.#inFrame) {
      } else if (this.#command < 0) this.#command = byte;
      else this.#take(byte);
    }
  }
  reset(): void {
    this.#begin();
    this.#inFrame = false;
  }
  get isMidFrame(): boolean {
    return this.#inFrame && this.#command >= 0;
  }
  #begin(): void {
    this.#inFrame = true;
    this.#command = -1;
    this.#length = 0;
    this.#escaped = false;
    this.#overflow = false;
  }
  #take(byte: number): void {
    if (byte === FESC && !this.#escaped) {
      this.#escaped = true;
      return;
    }
    let value = byte;
    if (this.#escaped) {
      this.#escaped = false;
      if (byte === TFEND) value = FEND;
      else if (byte === TFESC) value = FESC;
    }
    if (this.#length >= this.#buffer.length) this.#overflow = true;
    else this.#buffer[this.#length++] = value;
  }
}

export interface KissSetup {
  readonly preambleMs: number;
  readonly txTailMs: number;
  /** 0 to 255. */
  readonly persistence: number;
  readonly slotTimeMs: number;
}

function byteOf(value: number): Uint8Array {
  return Uint8Array.of(Math.min(255, Math.max(0, Math.floor(value))));
}

/** The commands that configure a TNC after opening, in order; the last asks for flow control. */
export function kissSetupFrames(setup: KissSetup): readonly Uint8Array[] {
  return [
    kissEncode(KISS.txDelay, byteOf(setup.preambleMs / 10)),
    kissEncode(KISS.txTail, byteOf(setup.txTailMs / 10)),
    kissEncode(KISS.persistence, byteOf(setup.persistence)),
    kissEncode(KISS.slotTime, byteOf(setup.slotTimeMs / 10)),
    kissEncode(KISS.ready, Uint8Array.of(1)),
  ];
}
