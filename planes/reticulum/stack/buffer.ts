/** Byte streams over a channel (spec/reticulum.md section 15). Used by applications. */
import { SpineError } from "../../../spine/index.ts";
import type { Channel } from "./channel.ts";
import { packStreamMessage, STREAM_DATA_BYTES, STREAM_TYPE, unpackStreamMessage } from "./envelope.ts";

const MAX_STREAM_ID = 0x3fff;
/** A writer takes no more while this many bytes wait. */
const HIGH_WATER_BYTES = 1024 * 1024;

/** All streams of one channel. Messages of other types go on to `onMessage`. */
export class Buffers {
  onMessage: ((type: number, payload: Uint8Array) => void) | undefined;
  readonly #channel: Channel;
  readonly #readers = new Map<number, (data: Uint8Array, eof: boolean) => void>();
  readonly #writers = new Set<StreamWriter>();
  constructor(channel: Channel) {
    this.#channel = channel;
    channel.onMessage = (type, payload) => this.#receive(type, payload);
    channel.onDrain = () => {
      for (const writer of this.#writers) if (!writer.pump()) this.#writers.delete(writer);
    };
  }
  /** Calls `listener` with each chunk of the stream `id` (0 to 16383); `eof` is set once, with the last. */
  read(id: number, listener: (data: Uint8Array, eof: boolean) => void): void {
    this.#readers.set(id, listener);
  }
  write(id: number): StreamWriter {
    if (!Number.isInteger(id) || id < 0 || id > MAX_STREAM_ID) throw new SpineError("internal", `stream id ${id}`);
    return new StreamWriter(this.#channel, id, (writer) => this.#writers.add(writer));
  }
  #receive(type: number, payload: Uint8Array): void {
    if (type !== STREAM_TYPE) {
      this.onMessage?.(type, payload);
      return;
    }
    const message = unpackStreamMessage(payload);
    this.#readers.get(message.stream)?.(message.data, message.eof);
  }
}

/** Writes one stream; chunks wait here until the channel has room. */
export class StreamWriter {
  readonly #channel: Channel;
  readonly #id: number;
  readonly #stall: (writer: StreamWriter) => void;
  #queue: Uint8Array[] = [];
  #queuedBytes = 0;
  #ended = false;
  #eofSent = false;
  constructor(channel: Channel, id: number, stall: (writer: StreamWriter) => void) {
    this.#channel = channel;
    this.#id = id;
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
    const size = Math.min(STREAM_DATA_BYTES, this.#channel.mdu - 2);
    for (let at = 0; at < data.length; at += size) this.#queue.push(data.slice(at, at + size));
    this.#queuedBytes += data.length;
    if (this.pump()) this.#stall(this);
  }
  end(): void {
    this.#ended = true;
    if (this.pump()) this.#stall(this);
  }
  /** Gives the channel what it takes now; true while something is left. */
  pump(): boolean {
    while (this.#channel.ready) {
      const data = this.#queue.shift();
      if (data === undefined) {
        if (!this.#ended || this.#eofSent) return false;
        this.#eofSent = true;
        this.#send(new Uint8Array(0), true);
        return false;
      }
      this.#queuedBytes -= data.length;
      this.#send(data, false);
    }
    return this.#queue.length > 0 || (this.#ended && !this.#eofSent);
  }
  #send(data: Uint8Array, eof: boolean): void {
    this.#channel.send(STREAM_TYPE, packStreamMessage({ stream: this.#id, eof, data }));
  }
}
