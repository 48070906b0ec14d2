/** HDLC-like framing of TCP, serial and pipe interfaces (spec/reticulum.md section 16.1). Bytes only. */

const FLAG = 0x7e;
const ESCAPE = 0x7d;
const FLIP = 0x20;

/** Longest frame that a payload of this length can become, bytes. */
export function hdlcBound(payloadBytes: number): number {
  return 2 * payloadBytes + 2;
}

/** Writes one frame with its two flags to the beginning of `out`; returns its length. */
export function hdlcEncodeInto(payload: Uint8Array, out: Uint8Array): number {
  out[0] = FLAG;
  let at = 1;
  const { length } = payload;
  for (let i = 0; i < length; i++) {
    const byte = payload[i] as number;
    // One comparison for nearly all bytes: 7d and 7e share their upper six bits with two others.
    if ((byte & 0xfc) === 0x7c && (byte === FLAG || byte === ESCAPE)) {
      out[at++] = ESCAPE;
      out[at++] = byte ^ FLIP;
    } else out[at++] = byte;
  }
  out[at++] = FLAG;
  return at;
}

/** One frame with its two flags. */
export function hdlcEncode(payload: Uint8Array): Uint8Array {
  const out = new Uint8Array(hdlcBound(payload.length));
  return out.slice(0, hdlcEncodeInto(payload, out));
}

/** Turns one escaped frame into what it means, where it lies. */
function unescapeInPlace(bytes: Uint8Array, from: number, end: number): Uint8Array {
  const first = bytes.indexOf(ESCAPE, from);
  if (first < 0 || first >= end) return bytes.subarray(from, end);
  let at = first;
  for (let i = first; i < end; ) {
    const byte = bytes[i++] as number;
    // An escape with nothing behind it stands for itself.
    bytes[at++] = byte === ESCAPE && i < end ? (bytes[i++] as number) ^ FLIP : byte;
  }
  return bytes.subarray(from, at);
}

/** Joins the parts of one escaped frame into what they mean; an escape may be cut in two. */
function unescapeParts(parts: readonly Uint8Array[], totalBytes: number): Uint8Array {
  const out = new Uint8Array(totalBytes);
  let at = 0;
  let flip = 0;
  for (const part of parts) {
    let from = 0;
    if (flip === 0) {
      const clean = part.indexOf(ESCAPE);
      from = clean < 0 ? part.length : clean;
      out.set(from === part.length ? part : part.subarray(0, from), at);
      at += from;
    }
    for (; from < part.length; from++) {
      const byte = part[from] as number;
      if (flip === 0 && byte === ESCAPE) flip = FLIP;
      else {
        out[at++] = byte ^ flip;
        flip = 0;
      }
    }
  }
  // An escape with nothing behind it stands for itself.
  if (flip !== 0) out[at++] = ESCAPE;
  return out.subarray(0, at);
}

/** Cuts a byte stream into frames. A flag both ends a frame and begins the next; what precedes the first flag is noise. */
export class HdlcDecoder {
  readonly #limit: number;
  #held: Uint8Array[] = [];
  #heldBytes = 0;
  #inFrame = false;
  /** Frames whose escaped form exceeds twice `maxFrameBytes` are dropped. */
  constructor(maxFrameBytes: number) {
    this.#limit = 2 * maxFrameBytes;
  }
  /**
   * Calls `frame` with each complete, unescaped frame; empty ones are skipped. The chunk belongs to the decoder from then
   * on: frames are unescaped where they lie in it, and are the receiver's.
   */
  push(chunk: Uint8Array, frame: (payload: Uint8Array) => void): void {
    let from = 0;
    for (;;) {
      // Two flags in a row, as between two frames.
      while (this.#inFrame && this.#heldBytes === 0 && chunk[from] === FLAG) from++;
      const flag = chunk.indexOf(FLAG, from);
      if (flag < 0) break;
      if (this.#inFrame) {
        if (this.#heldBytes > 0) this.#finish(chunk.subarray(from, flag), frame);
        else if (flag - from <= this.#limit) frame(unescapeInPlace(chunk, from, flag));
      }
      this.#inFrame = true;
      from = flag + 1;
    }
    if (this.#inFrame && from < chunk.length) this.#hold(chunk.subarray(from));
  }
  /** Forgets a partial frame: the line was silent for too long. */
  reset(): void {
    this.#held = [];
    this.#heldBytes = 0;
    this.#inFrame = false;
  }
  get isMidFrame(): boolean {
    return this.#heldBytes > 0;
  }
  #hold(bytes: Uint8Array): void {
    if (this.#heldBytes + bytes.length > this.#limit) this.reset();
    else {
      this.#held.push(bytes);
      this.#heldBytes += bytes.length;
    }
  }
  #finish(tail: Uint8Array, frame: (payload: Uint8Array) => void): void {
    const bytes = this.#heldBytes + tail.length;
    const parts = this.#held.length === 0 ? [tail] : [...this.#held, tail];
    this.#held = [];
    this.#heldBytes = 0;
    if (bytes > 0 && bytes <= this.#limit) frame(unescapeParts(parts, bytes));
  }
}
