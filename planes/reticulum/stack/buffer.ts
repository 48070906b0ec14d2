/** Byte streams over a channel (spec/reticulum.md section 15). Used by applications. */
import { SpineError } from "../../../spine/index.ts";
import { bzip2 } from "./bzip2-compress.ts";
import type { Channel } from "./channel.ts";
import {
  MAX_CHUNK_BYTES,
  packStreamMessage,
  STREAM_DATA_BYTES,
  STREAM_TYPE,
  type StreamMessage,
  streamOf,
  unpackStreamMessage,
} from "./envelope.ts";

const MAX_STREAM_ID = 0x3fff;
/** A writer takes no more while this many bytes wait. */
const HIGH_WATER_BYTES = 1024 * 1024;
const NOTHING = new Uint8Array(0);
/** Compressing costs a millisecond per kilobyte: as for resources, the wire must be slower than that. */
const SLOW_BITS_PER_SECOND = 250_000;
/** A chunk shorter than this is not worth a try. */
const MIN_COMPRESSED_BYTES = 32;
/** How often a compressed chunk is tried, with a smaller piece each time: whole, half, a third. */
export const COMPRESSION_TRIES = 4;

export interface StreamOptions {
  /** By default on wires up to 250 kbit/s. Each chunk is compressed only where that makes fewer messages. */
  readonly compress?: boolean;
}

interface Reader {
  readonly take: (data: Uint8Array, eof: boolean) => void;
  readonly failed: ((reason: SpineError) => void) | undefined;
}

/** All streams of one channel. Messages of other types go on to `onMessage`. */
export class Buffers {
  onMessage: ((type: number, payload: Uint8Array) => void) | undefined;
  readonly #channel: Channel;
  readonly #readers = new Map<number, Reader>();
  readonly #writers = new Set<StreamWriter>();
  constructor(channel: Channel) {
    this.#channel = channel;
    channel.addHandler((type, payload) => this.#receive(type, payload));
    channel.onDrain = () => {
      for (const writer of this.#writers) if (!writer.pump()) this.#writers.delete(writer);
    };
  }
  /**
   * Calls `take` with each chunk of the stream `id` (0 to 16383); `eof` is set once, with the last. A chunk that cannot be
   * read ends the stream with `failed` (`decompression_limit`, `frame_syntax`): what follows it has a hole before it.
   */
  read(id: number, take: (data: Uint8Array, eof: boolean) => void, failed?: (reason: SpineError) => void): void {
    this.#readers.set(id, { take, failed });
  }
  write(id: number, options: StreamOptions = {}): StreamWriter {
    if (!Number.isInteger(id) || id < 0 || id > MAX_STREAM_ID) throw new SpineError("internal", `stream id ${id}`);
    const compress = options.compress ?? this.#channel.bitrate <= SLOW_BITS_PER_SECOND;
    return new StreamWriter(this.#channel, id, compress, (writer) => this.#writers.add(writer));
  }
  #receive(type: number, payload: Uint8Array): boolean {
    if (type === STREAM_TYPE) this.#chunk(payload);
    else this.onMessage?.(type, payload);
    return type === STREAM_TYPE;
  }
  #chunk(payload: Uint8Array): void {
    const id = streamOf(payload);
    const reader = this.#readers.get(id);
    if (reader === undefined) return;
    let message: StreamMessage;
    try {
      message = unpackStreamMessage(payload);
    } catch (caught) {
      this.#readers.delete(id);
      reader.failed?.(caught instanceof SpineError ? caught : new SpineError("frame_syntax", "stream chunk"));
      return;
    }
    reader.take(message.data, message.eof);
  }
}

/** Writes one stream; chunks wait here until the channel has room. */
export class StreamWriter {
  readonly #channel: Channel;
  readonly #id: number;
  readonly #compress: boolean;
  readonly #stall: (writer: StreamWriter) => void;
  #queue: StreamChunk[] = [];
  #queuedBytes = 0;
  #ended = false;
  #endsWithData = false;
  #eofSent = false;
  constructor(channel: Channel, id: number, compress: boolean, stall: (writer: StreamWriter) => void) {
    this.#channel = channel;
    this.#id = id;
    this.#compress = compress;
    this.#stall = stall;
  }
  /** Bytes that wait here for the channel. */
  get queuedBytes(): number {
    return this.#queuedBytes;
  }
  /** The channel has taken everything, the end included. */
  get ended(): boolean {
    return this.#eofSent;
  }
  /** Throws `link_congested` while more than 1 MiB waits, and `link_unknown` after `end`. */
  write(data: Uint8Array): void {
    if (this.#ended) throw new SpineError("link_unknown", "the stream has ended");
    if (this.#queuedBytes > HIGH_WATER_BYTES) throw new SpineError("link_congested", "the stream's buffer is full");
    this.#enqueue(data);
    if (this.pump()) this.#stall(this);
  }
  #enqueue(data: Uint8Array): void {
    const size = Math.min(STREAM_DATA_BYTES, this.#channel.mdu - 2);
    for (let at = 0; at < data.length; ) {
      const chunk =
        (this.#compress ? compressedChunk(data.subarray(at), size) : undefined) ?? plainChunk(data, at, size);
      this.#queue.push(chunk);
      at += chunk.covers;
    }
    this.#queuedBytes += data.length;
  }
  /** With `last` the final chunk itself carries the end, which saves a message. */
  end(last: Uint8Array = NOTHING): void {
    if (this.#ended) return;
    this.#enqueue(last);
    this.#ended = true;
    this.#endsWithData = last.length > 0;
    if (this.pump()) this.#stall(this);
  }
  /** Gives the channel what it takes now; true while something is left. */
  pump(): boolean {
    while (this.#channel.ready) {
      const data = this.#queue.shift();
      if (data === undefined) {
        if (!this.#ended || this.#eofSent) return false;
        this.#eofSent = true;
        this.#send(plainChunk(NOTHING, 0, 0), true);
        return false;
      }
      this.#queuedBytes -= data.covers;
      this.#eofSent = this.#endsWithData && this.#queue.length === 0;
      this.#send(data, this.#eofSent);
    }
    return this.#queue.length > 0 || (this.#ended && !this.#eofSent);
  }
  #send({ data, compressed }: StreamChunk, eof: boolean): void {
    this.#channel.send(STREAM_TYPE, packStreamMessage({ stream: this.#id, eof, data, compressed }));
  }
}

interface StreamChunk {
  readonly data: Uint8Array;
  readonly compressed: boolean;
  /** Bytes of the stream in it. */
  readonly covers: number;
}

function plainChunk(data: Uint8Array, at: number, size: number): StreamChunk {
  const piece = data.slice(at, at + size);
  return { data: piece, compressed: false, covers: piece.length };
}

/** As much of the beginning of `data` as fits one message when compressed; undefined when that is less than it is plain. */
function compressedChunk(data: Uint8Array, size: number): StreamChunk | undefined {
  if (data.length <= MIN_COMPRESSED_BYTES) return undefined;
  for (let tried = 1; tried < COMPRESSION_TRIES; tried++) {
    const covers = Math.min(MAX_CHUNK_BYTES, Math.floor(data.length / tried));
    const packed = bzip2(data.subarray(0, covers));
    if (packed.length <= size && packed.length < covers && covers > Math.min(size, data.length) - 1) {
      return { data: packed, compressed: true, covers };
    }
  }
  return undefined;
}
