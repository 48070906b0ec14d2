/** Channel envelopes and the stream messages inside them (spec/reticulum.md section 15). Used by `channel.ts` and `buffer.ts`. */
import { concatBytes, SpineError } from "../../../spine/index.ts";
import { bunzip2 } from "./bzip2.ts";

export const ENVELOPE_BYTES = 6;
/** Message type of streams; types from 0xf000 are reserved. */
export const STREAM_TYPE = 0xff00;
export const FIRST_RESERVED_TYPE = 0xf000;
/** Stream data in one message: fixed by the network MTU, whatever the link's. */
export const STREAM_DATA_BYTES = 423;
/** What one chunk may inflate to. */
export const MAX_CHUNK_BYTES = 16_384;
const EOF = 0x8000;
const COMPRESSED = 0x4000;
const STREAM_ID = 0x3fff;

export interface Envelope {
  readonly type: number;
  readonly sequence: number;
  readonly payload: Uint8Array;
}

export function packEnvelope(envelope: Envelope): Uint8Array {
  const { type, sequence, payload } = envelope;
  const head = new Uint8Array(ENVELOPE_BYTES);
  const view = new DataView(head.buffer);
  view.setUint16(0, type);
  view.setUint16(2, sequence);
  view.setUint16(4, payload.length);
  return concatBytes(head, payload);
}

/**
 * The payload ends with the packet; the length field is not looked at, as in the reference: by now the envelope has been
 * proved, and to refuse it would lose what its sender believes delivered. Throws `frame_syntax` for less than a header.
 */
export function unpackEnvelope(bytes: Uint8Array): Envelope {
  if (bytes.length < ENVELOPE_BYTES) throw new SpineError("frame_syntax", `channel envelope of ${bytes.length} bytes`);
  const view = new DataView(bytes.buffer, bytes.byteOffset, ENVELOPE_BYTES);
  return { type: view.getUint16(0), sequence: view.getUint16(2), payload: bytes.slice(ENVELOPE_BYTES) };
}

export interface StreamMessage {
  /** 0 to 16383. */
  readonly stream: number;
  readonly eof: boolean;
  readonly data: Uint8Array;
  /** To be sent as `data` is, compressed already; what was received is always inflated. */
  readonly compressed?: boolean;
}

/** Throws `internal` for a stream id beyond 14 bits. */
export function packStreamMessage(message: StreamMessage): Uint8Array {
  if (message.stream < 0 || message.stream > STREAM_ID)
    throw new SpineError("internal", `stream id ${message.stream} is not within 0 to ${STREAM_ID}`);
  const head = (message.eof ? EOF : 0) | (message.compressed === true ? COMPRESSED : 0) | message.stream;
  return concatBytes(Uint8Array.of(head >>> 8, head & 255), message.data);
}

/** Of a message that may be damaged further on. Throws `frame_syntax`. */
export function streamOf(bytes: Uint8Array): number {
  if (bytes.length < 2) throw new SpineError("frame_syntax", "stream message too short");
  return (((bytes[0] as number) << 8) | (bytes[1] as number)) & STREAM_ID;
}

/** Throws `frame_syntax`, or `decompression_limit` for a chunk that inflates beyond 16,384 bytes. */
export function unpackStreamMessage(bytes: Uint8Array): StreamMessage {
  if (bytes.length < 2) throw new SpineError("frame_syntax", "stream message too short");
  const head = ((bytes[0] as number) << 8) | (bytes[1] as number);
  const data = bytes.slice(2);
  return {
    stream: head & STREAM_ID,
    eof: (head & EOF) !== 0,
    data: (head & COMPRESSED) === 0 ? data : bunzip2(data, MAX_CHUNK_BYTES),
  };
}
