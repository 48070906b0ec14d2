/**
 * Frames that carry envelopes, in compact form for narrow links: a plane packs what it sends and unpacks what it hears,
 * and the core on either side knows nothing of it. Within one frame an envelope refers to the one before. WIRE.md 10.
 */
import { ByteReader, ByteWriter } from "./bytes.ts";
import { COLD, type CompactContext, type CompactReferences, decodeCompact, encodeCompact } from "./compact.ts";
import type { Envelope } from "./envelope.ts";
import { SpineError } from "./errors.ts";
import { decodeFrame, encodeFrame, type Frame, MAX_FRAME_BYTES, MAX_SEGMENT_ENVELOPES } from "./frame.ts";
import { openSigningBytes } from "./open.ts";
import type { Sha256Hex } from "./ports.ts";
import { walkRecords, writeRecord } from "./record.ts";

/** First bytes of packed frames; no frame type and no text begins with them. */
const PACKED_PUSH = 0xc2;
const PACKED_SEGMENT = 0xc3;
/** Stands before a frame that would begin like one of these: links carry any bytes. */
const VERBATIM = 0xc4;
/** What packing may add to a frame at most, bytes. */
export const PACKING_BYTES = 1;

/** The frame packed, or as `plainFrame` gives it when that is not shorter or it carries no envelopes. */
export function packFrame(bytes: Uint8Array, sha256Hex: Sha256Hex): Uint8Array {
  try {
    return pack(bytes, decodeFrame(bytes), sha256Hex);
  } catch (caught) {
    if (caught instanceof SpineError && caught.code !== "internal") return plainFrame(bytes);
    throw caught;
  }
}

/** The frame as it is, marked if its first byte would be read as a mark; `unpackFrame` undoes it. */
export function plainFrame(bytes: Uint8Array): Uint8Array {
  return isPackedFrame(bytes) ? new ByteWriter(bytes.length + 1).u8(VERBATIM).bytes(bytes).finish() : bytes;
}

function pack(bytes: Uint8Array, frame: Frame, sha256Hex: Sha256Hex): Uint8Array {
  if (frame.type !== "push" && frame.type !== "segment") return bytes;
  const writer = new ByteWriter(bytes.length);
  if (frame.type === "push") writer.u8(PACKED_PUSH).varint(frame.records.length);
  else writer.u8(PACKED_SEGMENT).varint(frame.request).varint(frame.from).varint(frame.count);
  let before: Envelope | undefined;
  const records: Iterable<Uint8Array> = frame.type === "push" ? frame.records : [frame.records];
  for (const record of records)
    for (const { signingBytes, signature } of walkRecords(record)) {
      const envelope: Envelope = openSigningBytes(signingBytes, signature, sha256Hex);
      const compact: Uint8Array | undefined = encodeCompact(envelope, referencesTo(before, envelope));
      if (compact === undefined) return bytes;
      writer.block(compact);
      before = envelope;
    }
  const packed: Uint8Array = writer.finish();
  return packed.length < bytes.length ? packed : bytes;
}

/** What the envelope before in the frame makes needless to say. */
function referencesTo(before: Envelope | undefined, { issuer, seq, prev }: Envelope): CompactReferences {
  if (before?.issuer !== issuer) return COLD;
  return { issuer: "link", previous: before.seq === seq - 1 && before.hash === prev };
}

/** Whether `unpackFrame` has something to do. */
export function isPackedFrame(bytes: Uint8Array): boolean {
  return bytes[0] === PACKED_PUSH || bytes[0] === PACKED_SEGMENT || bytes[0] === VERBATIM;
}

/** Undoes `packFrame` and `plainFrame`; other frames stay as they are. Throws coded errors that blame the sender. */
export function unpackFrame(bytes: Uint8Array, sha256Hex: Sha256Hex): Uint8Array {
  if (!isPackedFrame(bytes)) return bytes;
  if (bytes[0] === VERBATIM) return bytes.subarray(1);
  const reader = new ByteReader(bytes);
  const isPush = reader.u8() === PACKED_PUSH;
  const [request, from] = isPush ? [0, 0] : [reader.varint(), reader.varint()];
  const count = reader.varint();
  if (count > MAX_SEGMENT_ENVELOPES) throw new SpineError("frame_syntax", `${count} envelopes in a packed frame`);
  const records: Uint8Array[] = [];
  let size = 0;
  let before: Envelope | undefined;
  for (let left = count; left > 0; left--) {
    const envelope: Envelope = expand(reader.block(MAX_FRAME_BYTES), before, sha256Hex);
    const record: Uint8Array = writeRecord(envelope.signingBytes, envelope.signature);
    size += record.length;
    if (size > MAX_FRAME_BYTES) throw new SpineError("frame_size", "a packed frame that unpacks beyond a frame");
    records.push(record);
    before = envelope;
  }
  reader.end();
  if (isPush) return encodeFrame({ type: "push", records });
  const joined = new ByteWriter(size);
  for (const record of records) joined.bytes(record);
  return encodeFrame({ type: "segment", request, from, count, records: joined.finish() });
}

function expand(bytes: Uint8Array, before: Envelope | undefined, sha256Hex: Sha256Hex): Envelope {
  const context: CompactContext = {
    linkIssuer: before?.issuer,
    hashAt: (issuer, seq) => (before?.issuer === issuer && before.seq === seq ? before.hash : undefined),
  };
  try {
    return decodeCompact(bytes, context, sha256Hex);
  } catch (cause) {
    // A frame refers to nothing outside itself.
    if (cause instanceof SpineError && cause.code === "compact_reference")
      throw new SpineError("frame_syntax", "a packed frame that refers beyond itself", { cause });
    throw cause;
  }
}
