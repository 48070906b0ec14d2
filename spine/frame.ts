/**
 * Message frames of the sync protocol: one type byte, then a fixed layout (spine/WIRE.md). Big endian; numbers are
 * shortest-form LEB128 unless a width is given; keys and hashes are raw. A frame that starts with `{` is a message
 * of the parent implementation in JSON (`parent.ts`).
 */
import { ByteReader, ByteWriter, fromHex, toHex, utf8, utf8Text } from "./bytes.ts";
import { SpineError } from "./errors.ts";
import type { Span } from "./have.ts";
import { type Head, readHead, writeHead } from "./head.ts";
import { issuerOf, parseIssuer } from "./identity.ts";
import type { EnvelopeHash, Issuer } from "./ports.ts";

export const PROTOCOL_VERSION = 1;
/** Largest frame on links that do not ask for less, bytes. */
export const MAX_FRAME_BYTES = 524_288;
/** Largest segment: rules 5. */
export const MAX_SEGMENT_ENVELOPES = 256;
export const MAX_SEGMENT_BYTES = 262_144;
/** Most envelopes and bytes of records in one answer, whatever was asked for. */
export const MAX_ANSWER_ITEMS = 1_024;
export const MAX_ANSWER_BYTES = 524_288;
/** Most issuers in one inventory frame. */
export const MAX_INVENTORY_ENTRIES = 256;
/** Most seqs in one hash query. */
export const MAX_LIST = 64;
/** Most ranges in one inventory entry. */
export const MAX_ENTRY_RANGES = 1_024;

/** What a node holds of one issuer. */
export interface InventoryEntry {
  readonly issuer: Issuer;
  readonly prunedBelow: number;
  readonly ranges: readonly Span[];
  /** Speaks only of what is at or above its first range: what was said before of lower seqs stays. */
  readonly continues?: boolean;
  /** Smallest seq at which the sender holds a fork proof, or null. */
  readonly frozenAt: number | null;
  /** Newest signed head the sender holds. */
  readonly head: Head | null;
}

/** Why an answer ended: "done" = all that was asked, "limit" = ask again from the next seq, "none" = not held. */
export type EndReason = "done" | "limit" | "none" | "busy";
const END_REASONS: readonly EndReason[] = ["done", "limit", "none", "busy"];

export type Frame =
  | {
      readonly type: "hello";
      readonly minVersion: number;
      readonly maxVersion: number;
      readonly maxFrameBytes: number;
      readonly issuer: Issuer;
      readonly proof: Uint8Array;
    }
  | { readonly type: "inventory"; readonly entries: readonly InventoryEntry[] }
  | { readonly type: "ask-inventory"; readonly issuers: readonly Issuer[] }
  | {
      readonly type: "want";
      readonly request: number;
      readonly issuer: Issuer;
      readonly from: number;
      readonly to: number;
      readonly maxItems: number;
      readonly maxBytes: number;
    }
  | { readonly type: "offer"; readonly request: number; readonly count: number; readonly bytes: number }
  | {
      readonly type: "segment";
      readonly request: number;
      readonly from: number;
      readonly count: number;
      readonly records: Uint8Array;
    }
  | { readonly type: "end"; readonly request: number; readonly reason: EndReason }
  | { readonly type: "push"; readonly records: readonly Uint8Array[] }
  | { readonly type: "reconcile"; readonly round: number; readonly payload: Uint8Array }
  | { readonly type: "ask-hashes"; readonly request: number; readonly issuer: Issuer; readonly seqs: readonly number[] }
  | { readonly type: "hashes"; readonly request: number; readonly hashes: readonly (EnvelopeHash | null)[] }
  | { readonly type: "fork"; readonly proof: Uint8Array }
  | { readonly type: "bye"; readonly code: string; readonly message: string }
  /** As `reconcile`, over the facts that travel on their own. */
  | { readonly type: "facts"; readonly round: number; readonly payload: Uint8Array }
  /** A message between transparency logs, witnesses and those who follow them (`attest-message.ts`). */
  | { readonly type: "attest"; readonly body: Uint8Array }
  /** As `reconcile`, over the revocations in effect; on narrow links, before anything else. */
  | { readonly type: "revoked"; readonly round: number; readonly payload: Uint8Array };

const TYPES: readonly Frame["type"][] = [
  "hello",
  "inventory",
  "ask-inventory",
  "want",
  "offer",
  "segment",
  "end",
  "push",
  "reconcile",
  "ask-hashes",
  "hashes",
  "fork",
  "bye",
  "facts",
  "attest",
  "revoked",
];

const writeHash = (writer: ByteWriter, hash: EnvelopeHash): ByteWriter => writer.bytes(fromHex(hash.slice(2), 32));
const readHash = (reader: ByteReader): EnvelopeHash => `0x${toHex(reader.bytes(32))}`;
function readMaybeHash(reader: ByteReader): EnvelopeHash | null {
  const flag = reader.u8();
  if (flag > 1) throw new SpineError("frame_syntax", `unknown hash flag ${flag}`);
  return flag === 0 ? null : readHash(reader);
}
const writeIssuer = (writer: ByteWriter, issuer: Issuer): ByteWriter => writer.bytes(parseIssuer(issuer));
const readIssuer = (reader: ByteReader): Issuer => issuerOf(reader.bytes(32));

function readCount(reader: ByteReader, limit: number, what: string): number {
  const count = reader.varint();
  if (count > limit) throw new SpineError("frame_syntax", `${count} ${what}, limit ${limit}`);
  return count;
}

/** Ascending disjoint spans as gaps: from − (last to + 2), to − from. */
function writeSpans(writer: ByteWriter, spans: readonly Span[]): void {
  writer.varint(spans.length);
  let floor = 0;
  for (const { from, to } of spans) {
    writer.varint(from - floor).varint(to - from);
    floor = to + 2;
  }
}

function readSpans(reader: ByteReader): Span[] {
  const spans: Span[] = [];
  let floor = 0;
  for (let left = readCount(reader, MAX_ENTRY_RANGES, "ranges"); left > 0; left--) {
    const from = floor + reader.varint();
    const to = from + reader.varint();
    if (to > Number.MAX_SAFE_INTEGER) throw new SpineError("seq_range", "range beyond the largest seq");
    spans.push({ from, to });
    floor = to + 2;
  }
  return spans;
}

const HAS_HEAD = 1;
const HAS_FROZEN = 2;
const CONTINUES = 4;

function writeEntry(writer: ByteWriter, entry: InventoryEntry): void {
  const flags =
    (entry.head === null ? 0 : HAS_HEAD) |
    (entry.frozenAt === null ? 0 : HAS_FROZEN) |
    (entry.continues === true ? CONTINUES : 0);
  writeIssuer(writer, entry.issuer).varint(entry.prunedBelow).u8(flags);
  writeSpans(writer, entry.ranges);
  if (entry.frozenAt !== null) writer.varint(entry.frozenAt);
  if (entry.head !== null) writeHead(writer, entry.head);
}

function readEntry(reader: ByteReader): InventoryEntry {
  const issuer = readIssuer(reader);
  const prunedBelow = reader.varint();
  const flags = reader.u8();
  if (flags > 7) throw new SpineError("frame_syntax", `unknown inventory flags ${flags}`);
  const ranges = readSpans(reader);
  const frozenAt = flags & HAS_FROZEN ? reader.varint() : null;
  const head = flags & HAS_HEAD ? readHead(reader) : null;
  if (head !== null && head.issuer !== issuer) throw new SpineError("frame_syntax", "head of another issuer");
  if ((flags & CONTINUES) === 0) return { issuer, prunedBelow, ranges, frozenAt, head };
  if (ranges.length === 0) throw new SpineError("frame_syntax", "nothing that continues an entry");
  return { issuer, prunedBelow, ranges, continues: true, frozenAt, head };
}

function readEntries(reader: ByteReader): InventoryEntry[] {
  const entries = times(readCount(reader, MAX_INVENTORY_ENTRIES, "entries"), () => readEntry(reader));
  return onlyOnce(
    entries,
    entries.map(({ issuer }) => issuer),
  );
}

/** A repeated issuer would multiply the work that a small frame causes. */
function onlyOnce<T>(list: T[], issuers: readonly Issuer[]): T[] {
  if (new Set(issuers).size !== issuers.length) throw new SpineError("frame_syntax", "an issuer is named twice");
  return list;
}

/** The bytes before a segment's records; the driver writes the records behind them without copying them twice. */
export function segmentPrefix(request: number, from: number, count: number): Uint8Array {
  return new ByteWriter(24)
    .u8(TYPES.indexOf("segment") + 1)
    .varint(request)
    .varint(from)
    .varint(count)
    .finish();
}

export function encodeFrame(frame: Frame): Uint8Array {
  const writer = new ByteWriter().u8(TYPES.indexOf(frame.type) + 1);
  switch (frame.type) {
    case "hello":
      writer.u8(frame.minVersion).u8(frame.maxVersion).varint(frame.maxFrameBytes);
      writeIssuer(writer, frame.issuer).bytes(frame.proof);
      break;
    case "inventory":
      writer.varint(frame.entries.length);
      for (const entry of frame.entries) writeEntry(writer, entry);
      break;
    case "ask-inventory":
      writer.varint(frame.issuers.length);
      for (const issuer of frame.issuers) writeIssuer(writer, issuer);
      break;
    case "want":
      writeIssuer(writer.varint(frame.request), frame.issuer)
        .varint(frame.from)
        .varint(frame.to - frame.from);
      writer.varint(frame.maxItems).varint(frame.maxBytes);
      break;
    case "offer":
      writer.varint(frame.request).varint(frame.count).varint(frame.bytes);
      break;
    case "segment":
      return new ByteWriter(frame.records.length + 24)
        .bytes(segmentPrefix(frame.request, frame.from, frame.count))
        .bytes(frame.records)
        .finish();
    case "end":
      writer.varint(frame.request).u8(END_REASONS.indexOf(frame.reason));
      break;
    case "push":
      writer.varint(frame.records.length);
      for (const record of frame.records) writer.block(record);
      break;
    case "reconcile":
    case "facts":
    case "revoked":
      writer.u8(frame.round).bytes(frame.payload);
      break;
    case "ask-hashes":
      writeIssuer(writer.varint(frame.request), frame.issuer).varint(frame.seqs.length);
      for (const seq of frame.seqs) writer.varint(seq);
      break;
    case "hashes":
      writer.varint(frame.request).varint(frame.hashes.length);
      for (const hash of frame.hashes) hash === null ? writer.u8(0) : writeHash(writer.u8(1), hash);
      break;
    case "fork":
      writer.bytes(frame.proof);
      break;
    case "bye":
      writer.block(utf8(frame.code)).block(utf8(frame.message));
      break;
    case "attest":
      writer.bytes(frame.body);
      break;
  }
  return writer.finish();
}

/** What a frame says it is, without reading further. */
export function frameTypeOf(bytes: Uint8Array): Frame["type"] | undefined {
  return TYPES[(bytes[0] ?? 0) - 1];
}

/** Throws only coded errors with blame "sender". Byte fields are views of `bytes`. */
export function decodeFrame(bytes: Uint8Array): Frame {
  const reader = new ByteReader(bytes);
  const type = TYPES[reader.u8() - 1];
  const frame = type === undefined ? undefined : readBody(type, reader);
  if (frame === undefined) throw new SpineError("frame_syntax", "unknown frame type");
  reader.end();
  return frame;
}

function times<T>(count: number, read: () => T): T[] {
  return Array.from({ length: count }, read);
}

function readBody(type: Frame["type"], reader: ByteReader): Frame {
  switch (type) {
    case "hello": {
      const [minVersion, maxVersion] = [reader.u8(), reader.u8()];
      return {
        type,
        minVersion,
        maxVersion,
        maxFrameBytes: reader.varint(),
        issuer: readIssuer(reader),
        proof: reader.bytes(64),
      };
    }
    case "inventory":
      return { type, entries: readEntries(reader) };
    case "ask-inventory": {
      const issuers = times(readCount(reader, MAX_INVENTORY_ENTRIES, "issuers"), () => readIssuer(reader));
      return { type, issuers: onlyOnce(issuers, issuers) };
    }
    case "want": {
      const [request, issuer, from] = [reader.varint(), readIssuer(reader), reader.varint()];
      const to = from + reader.varint();
      if (to > Number.MAX_SAFE_INTEGER) throw new SpineError("seq_range", "range beyond the largest seq");
      return { type, request, issuer, from, to, maxItems: reader.varint(), maxBytes: reader.varint() };
    }
    case "offer":
      return { type, request: reader.varint(), count: reader.varint(), bytes: reader.varint() };
    case "segment": {
      const [request, from] = [reader.varint(), reader.varint()];
      const count = readCount(reader, MAX_SEGMENT_ENVELOPES, "envelopes");
      return { type, request, from, count, records: reader.bytes(reader.remaining) };
    }
    case "end": {
      const request = reader.varint();
      const reason = END_REASONS[reader.u8()];
      if (reason === undefined) throw new SpineError("frame_syntax", "unknown end reason");
      return { type, request, reason };
    }
    case "push":
      return {
        type,
        records: times(readCount(reader, MAX_SEGMENT_ENVELOPES, "envelopes"), () => reader.block(MAX_FRAME_BYTES)),
      };
    case "reconcile":
    case "facts":
    case "revoked":
      return { type, round: reader.u8(), payload: reader.bytes(reader.remaining) };
    case "ask-hashes": {
      const [request, issuer] = [reader.varint(), readIssuer(reader)];
      return { type, request, issuer, seqs: times(readCount(reader, MAX_LIST, "seqs"), () => reader.varint()) };
    }
    case "hashes": {
      const request = reader.varint();
      const count = readCount(reader, MAX_LIST, "hashes");
      return { type, request, hashes: times(count, () => readMaybeHash(reader)) };
    }
    case "fork":
      return { type, proof: reader.bytes(reader.remaining) };
    case "bye":
      return { type, code: utf8Text(reader.block(64)), message: utf8Text(reader.block(512)) };
    case "attest":
      return { type, body: reader.bytes(reader.remaining) };
  }
}
