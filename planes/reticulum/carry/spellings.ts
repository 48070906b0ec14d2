/**
 * The spellings in which envelopes and heads come over Reticulum outside of links: compact, upstream's `CB` and `Z1`, and
 * plain JSON (spec/spine.md section 16.4). Used for packets, broadcasts, announces and mail.
 */
import { createHash } from "node:crypto";
import { inflateSync } from "node:zlib";
import {
  COMPACT_ENVELOPE,
  COMPACT_HEAD,
  decodeCbor,
  decodeCompact,
  decodeCompactHead,
  decodeFrame,
  type Envelope,
  encodeAttestMessage,
  encodeCompact,
  encodeFrame,
  envelopeBytes,
  envelopeOfRecord,
  type GossipMessage,
  headText,
  isCbor,
  openEnvelopeValue,
  openGossip,
  type Sha256Hex,
  SpineError,
  utf8,
} from "../../../spine/index.ts";

const BRACE = 0x7b;
/** `Z1` and a zlib stream. */
const Z1 = [0x5a, 0x31] as const;
/** Largest text that a zlib stream may grow to. */
const MAX_INFLATED_BYTES = 262_144;

export const sha256Hex: Sha256Hex = (bytes) => createHash("sha256").update(bytes).digest("hex");

/** Whether the bytes may be an envelope or a head at all: what people write to each other rarely begins so. */
export function isSpelling(bytes: Uint8Array): boolean {
  const [first, second] = bytes;
  const marked = first === COMPACT_ENVELOPE || first === COMPACT_HEAD || first === BRACE || isCbor(bytes);
  return marked || (first === Z1[0] && second === Z1[1]);
}

/** Opens any spelling; the signature is not verified. Throws coded errors that blame the sender. */
export function openSpelling(bytes: Uint8Array): GossipMessage {
  if (bytes[0] === COMPACT_ENVELOPE) return { type: "envelope", envelope: decodeCompact(bytes, {}, sha256Hex) };
  if (bytes[0] === COMPACT_HEAD) return { type: "head", head: decodeCompactHead(bytes, {}) };
  if (isCbor(bytes)) return { type: "envelope", envelope: openEnvelopeValue(decodeCbor(bytes), sha256Hex) };
  if (bytes[0] === Z1[0] && bytes[1] === Z1[1]) return openGossip(inflated(bytes.subarray(2)), sha256Hex);
  return openGossip(bytes, sha256Hex);
}

function inflated(bytes: Uint8Array): Uint8Array {
  try {
    return new Uint8Array(inflateSync(bytes, { maxOutputLength: MAX_INFLATED_BYTES }));
  } catch (cause) {
    throw new SpineError("frame_syntax", "a zlib stream that does not inflate", { cause });
  }
}

/** The shortest spelling of an envelope for a receiver of whom nothing is known. */
export function spellEnvelope(envelope: Envelope): Uint8Array {
  return encodeCompact(envelope) ?? envelopeBytes(envelope);
}

/** Canonical JSON, as planes hand it to the core. */
export function canonicalBytes(message: GossipMessage): Uint8Array {
  return message.type === "head" ? utf8(headText(message.head)) : envelopeBytes(message.envelope);
}

const FORK = encodeFrame({ type: "fork", proof: new Uint8Array(0) })[0];
const SPLIT_VIEW = encodeAttestMessage({ type: "split-view", proof: new Uint8Array(0) })[0] as number;
const ATTEST = encodeFrame({ type: "attest", body: Uint8Array.of(SPLIT_VIEW) })[0];

/** Whether a frame proves a fork or a split view. */
export function isEvidence(frame: Uint8Array): boolean {
  return frame[0] === FORK || (frame[0] === ATTEST && frame[1] === SPLIT_VIEW);
}

/** First byte of a push frame. */
const PUSH = encodeFrame({ type: "push", records: [] })[0];

/** The envelope of a frame that pushes just one. */
export function pushedAlone(frame: Uint8Array): Envelope | undefined {
  if (frame[0] !== PUSH) return undefined;
  try {
    const decoded = decodeFrame(frame);
    if (decoded.type !== "push" || decoded.records.length !== 1) return undefined;
    return envelopeOfRecord(decoded.records[0] as Uint8Array, sha256Hex);
  } catch {
    return undefined;
  }
}
