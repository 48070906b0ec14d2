/**
 * What a node says over a wire without links of the revocations and checkpoints it holds, in one packet: a sketch of the
 * revocations in effect, and the newest checkpoint of each log (rules 10; format in WIRE.md 13). Pure; `packet-catch-up.ts` makes
 * and answers it, the radio plane carries it.
 */
import { ByteReader, ByteWriter, fromHex, toHex } from "./bytes.ts";
import { SpineError } from "./errors.ts";
import type { EnvelopeHash, Sha256Hex } from "./ports.ts";
import { readSketch, SYNDROME_BYTES, writeSketch } from "./set-sketch.ts";

/** First byte of a packet that holds one. */
export const STATEMENT = 0xc5;
/** Syndromes of a first statement, and of one that follows when that told too little: together with its header one packet. */
export const SMALL_SKETCH = 6;
export const LARGE_SKETCH = 64;
/** Logs named in one statement. */
export const MAX_STATED_LOGS = 8;
export const LOG_NAME_BYTES = 4;
const REPLY = 1;

export interface LogClaim {
  /** First bytes of the log's key, in hex. */
  readonly name: string;
  readonly seq: number;
}

export interface HeldStatement {
  /** Answers another one: it is answered with envelopes alone. */
  readonly reply: boolean;
  /** Drawn for each conversation: two hashes that look alike once do not do so twice. */
  readonly salt: number;
  readonly revocations: number;
  readonly sketch: Uint32Array;
  readonly logs: readonly LogClaim[];
}

export function encodeStatement({ reply, salt, revocations, sketch, logs }: HeldStatement): Uint8Array {
  const writer = new ByteWriter(64)
    .u8(reply ? REPLY : 0)
    .u8(salt)
    .varint(revocations)
    .u8(sketch.length);
  writeSketch(writer, sketch);
  writer.u8(logs.length);
  for (const { name, seq } of logs) writer.bytes(fromHex(name, LOG_NAME_BYTES)).varint(seq);
  return writer.finish();
}

/** Throws `frame_syntax`. */
export function decodeStatement(bytes: Uint8Array): HeldStatement {
  const reader = new ByteReader(bytes);
  const flags = reader.u8();
  const salt = reader.u8();
  const revocations = reader.varint();
  const syndromes = reader.u8();
  if (flags > REPLY || syndromes > LARGE_SKETCH || reader.remaining < syndromes * SYNDROME_BYTES)
    throw new SpineError("frame_syntax", "no statement");
  const sketch = readSketch(reader, syndromes);
  const count = reader.u8();
  if (count > MAX_STATED_LOGS) throw new SpineError("frame_syntax", `a statement of ${count} logs`);
  const logs = Array.from({ length: count }, (): LogClaim => {
    return { name: toHex(reader.bytes(LOG_NAME_BYTES)), seq: reader.varint() };
  });
  if (reader.remaining > 0) throw new SpineError("frame_syntax", "bytes behind a statement");
  return { reply: flags === REPLY, salt, revocations, sketch, logs };
}

/** The number that stands for a revocation in a sketch: the first 32 bits of SHA-256 over salt and hash, never 0. */
export function sketchItem(hash: EnvelopeHash, salt: number, sha256Hex: Sha256Hex): number {
  const writer = new ByteWriter(33).u8(salt).bytes(fromHex(hash.slice(2), 32));
  return Number.parseInt(sha256Hex(writer.finish()).slice(0, 8), 16) || 1;
}
