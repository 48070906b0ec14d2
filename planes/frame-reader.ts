/**
 * Cuts a byte stream into frames: an unsigned varint length (shortest form, at most 3 bytes), then the bytes. A length
 * of 0 is a keep-alive and no frame. Holds at most one frame besides what was pushed and not yet asked for.
 */
import { SpineError } from "../spine/index.ts";

/** Frames below this are copied, so that a small frame does not keep a large network buffer alive. */
const COPY_BELOW_BYTES = 4_096;
const MAX_HEADER_BYTES = 3;
/** Used-up chunks to gather before the list is rewritten. */
const COMPACT_AFTER = 1_024;
const NOTHING = new Uint8Array(0);

export class FrameReader {
  readonly #limitBytes: number;
  #chunks: Uint8Array[] = [];
  /** Index of the first chunk not yet used up: a shift of a long list for each piece would be quadratic. */
  #first = 0;
  /** Read position in that chunk. */
  #at = 0;
  #available = 0;
  /** Length of the frame whose header was read; -1 = between frames. */
  #length = -1;
  #target: Uint8Array | null = null;
  #filled = 0;

  constructor(limitBytes: number) {
    this.#limitBytes = limitBytes;
  }

  /** True while a frame has begun and is not complete. */
  get partial(): boolean {
    return this.#length >= 0 || this.#available > 0;
  }

  /** Takes bytes from the wire. They may still be looked at until the frames they belong to were returned. */
  push(chunk: Uint8Array): void {
    let rest = chunk;
    if (this.#target !== null && this.#available === 0) {
      const taken = Math.min(rest.length, this.#target.length - this.#filled);
      this.#target.set(rest.subarray(0, taken), this.#filled);
      this.#filled += taken;
      rest = rest.subarray(taken);
    }
    if (rest.length === 0) return;
    this.#chunks.push(rest);
    this.#available += rest.length;
  }

  /** The next complete frame, contiguous, or null. Throws `frame_size` or `frame_syntax`; the stream is lost then. */
  next(): Uint8Array | null {
    for (;;) {
      if (this.#length < 0 && !this.#readHeader()) return null;
      if (this.#length > 0) break;
      this.#length = -1;
    }
    const length = this.#length;
    const first = this.#chunks[this.#first];
    if (this.#target === null && first !== undefined && first.length - this.#at >= length) {
      const view = first.subarray(this.#at, this.#at + length);
      this.#skip(length);
      this.#length = -1;
      return length < COPY_BELOW_BYTES ? new Uint8Array(view) : view;
    }
    // Uninitialised memory, on purpose: it is given away only when filled, and untouched pages cost nothing.
    this.#target ??= Buffer.allocUnsafeSlow(length);
    this.#fill(this.#target);
    if (this.#filled < length) return null;
    const frame = this.#target;
    this.#target = null;
    this.#filled = 0;
    this.#length = -1;
    return frame;
  }

  #fill(target: Uint8Array): void {
    while (this.#available > 0 && this.#filled < target.length) {
      const chunk = this.#chunks[this.#first] as Uint8Array;
      const taken = Math.min(chunk.length - this.#at, target.length - this.#filled);
      target.set(chunk.subarray(this.#at, this.#at + taken), this.#filled);
      this.#filled += taken;
      this.#skip(taken);
    }
  }

  /** Moves on within or past the first chunk. */
  #skip(count: number): void {
    this.#at += count;
    this.#available -= count;
    if (this.#at < (this.#chunks[this.#first] as Uint8Array).length) return;
    this.#chunks[this.#first++] = NOTHING;
    this.#at = 0;
    if (this.#first >= COMPACT_AFTER || this.#available === 0) {
      this.#chunks = this.#chunks.slice(this.#first);
      this.#first = 0;
    }
  }

  #readHeader(): boolean {
    let length = 0;
    let chunkIndex = this.#first;
    let at = this.#at;
    for (let i = 0; i < MAX_HEADER_BYTES; i++) {
      if (i >= this.#available) return false;
      while (at >= (this.#chunks[chunkIndex] as Uint8Array).length) {
        chunkIndex++;
        at = 0;
      }
      const byte = (this.#chunks[chunkIndex] as Uint8Array)[at++] as number;
      length += (byte & 127) * 128 ** i;
      if (byte < 128) {
        if (byte === 0 && i > 0) throw new SpineError("frame_syntax", "frame length not in its shortest form");
        if (length > this.#limitBytes) {
          throw new SpineError("frame_size", `frame of ${length} bytes, limit ${this.#limitBytes}`);
        }
        for (let used = 0; used <= i; used++) this.#skip(1);
        this.#length = length;
        return true;
      }
    }
    throw new SpineError("frame_size", `frame length of more than ${MAX_HEADER_BYTES} bytes`);
  }
}

/** `frame` behind its length, as one fresh buffer. */
export function prefixed(frame: Uint8Array): Uint8Array {
  const header = frame.length < 128 ? 1 : frame.length < 16_384 ? 2 : 3;
  const out = Buffer.allocUnsafeSlow(header + frame.length);
  let rest = frame.length;
  for (let i = 0; i < header; i++) {
    out[i] = (rest & 127) | (i < header - 1 ? 128 : 0);
    rest >>>= 7;
  }
  out.set(frame, header);
  return out;
}
