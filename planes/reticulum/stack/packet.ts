/** The packet header, its parsing and its hash (spec/reticulum.md sections 4 and 5). Used by the whole stack. */
import { SpineError } from "../../../spine/index.ts";
import { sha256, sha256Text } from "./crypto.ts";
import { ADDRESS_BYTES } from "./hash.ts";
import type { DestinationType } from "./name.ts";

export const DATA = 0;
export const ANNOUNCE = 1;
export const LINK_REQUEST = 2;
export const PROOF = 3;
export type PacketType = typeof DATA | typeof ANNOUNCE | typeof LINK_REQUEST | typeof PROOF;

/** What a packet means to its receiver. */
export const CONTEXT = {
  none: 0x00,
  resource: 0x01,
  resourceAdvertisement: 0x02,
  resourceRequest: 0x03,
  resourceHashmapUpdate: 0x04,
  resourceProof: 0x05,
  resourceInitiatorCancel: 0x06,
  resourceReceiverCancel: 0x07,
  cacheRequest: 0x08,
  request: 0x09,
  response: 0x0a,
  pathResponse: 0x0b,
  command: 0x0c,
  commandStatus: 0x0d,
  channel: 0x0e,
  keepalive: 0xfa,
  linkIdentify: 0xfb,
  linkClose: 0xfc,
  linkProof: 0xfd,
  linkRtt: 0xfe,
  linkRequestProof: 0xff,
} as const;

/** Contexts that legitimately repeat. */
export const REPEATABLE: ReadonlySet<number> = new Set([
  CONTEXT.keepalive,
  CONTEXT.resourceRequest,
  CONTEXT.resourceProof,
  CONTEXT.resource,
  CONTEXT.cacheRequest,
  CONTEXT.channel,
]);

/** The MTU of everything outside links, in bytes. */
export const NETWORK_MTU = 500;
export const MAX_HOPS = 128;
export const HEADER_BYTES = 19;
export const LONG_HEADER_BYTES = 35;
/** Longest clear payload of a packet that a transport node may still re-address. */
export const PLAIN_MDU = NETWORK_MTU - LONG_HEADER_BYTES - 1;
/** Longest payload of a packet to PLAIN and GROUP destinations, encrypted if it is: it never gets a longer header. */
export const DIRECT_MDU = NETWORK_MTU - HEADER_BYTES;
/** Longest payload to a SINGLE destination. */
export const ENCRYPTED_MDU = 383;

/** A received packet; `data` and the addresses are views of `raw`. */
export interface Packet {
  readonly raw: Uint8Array;
  readonly flags: number;
  /** As on the wire; whoever takes the packet in counts the hop to here. */
  hops: number;
  readonly packetType: PacketType;
  readonly destinationType: DestinationType;
  readonly contextFlag: boolean;
  /** Present in long headers: 16 bytes naming the transport node that shall forward it. */
  readonly transportId: Uint8Array | undefined;
  /** 16 bytes: destination hash, link id, or for proofs the truncated hash of the proved packet. */
  readonly destination: Uint8Array;
  readonly context: number;
  readonly data: Uint8Array;
}

/** Throws `frame_syntax` for a truncated packet or one that travelled too far. The interface-access bit is not looked at. */
export function parsePacket(raw: Uint8Array): Packet {
  if (raw.length <= 2) throw new SpineError("frame_syntax", `packet of ${raw.length} bytes`);
  const flags = raw[0] as number;
  const hops = raw[1] as number;
  if (hops >= MAX_HOPS) throw new SpineError("frame_syntax", `packet travelled ${hops} hops`);
  const long = (flags & 0x40) !== 0;
  const header = long ? LONG_HEADER_BYTES : HEADER_BYTES;
  if (raw.length < header) throw new SpineError("frame_syntax", `packet of ${raw.length} bytes, header of ${header}`);
  const at = header - 1 - ADDRESS_BYTES;
  return {
    raw,
    flags,
    hops,
    packetType: (flags & 3) as PacketType,
    destinationType: ((flags >> 2) & 3) as DestinationType,
    contextFlag: (flags & 0x20) !== 0,
    transportId: long ? raw.subarray(2, 2 + ADDRESS_BYTES) : undefined,
    destination: raw.subarray(at, at + ADDRESS_BYTES),
    context: raw[header - 1] as number,
    data: raw.subarray(header),
  };
}

export interface PacketFields {
  readonly packetType: PacketType;
  readonly destinationType: DestinationType;
  readonly destination: Uint8Array;
  readonly data: Uint8Array;
  /** 0 by default. */
  readonly context?: number;
  readonly contextFlag?: boolean;
  readonly hops?: number;
  /** 16 bytes: makes a long header with transport type 1, which only announces are built with. */
  readonly transportId?: Uint8Array;
  /** The transport type of a short header; false by default. */
  readonly transport?: boolean;
}

const SLAB_BYTES = 65_536;
let slab = new Uint8Array(0);
let slabAt = 0;

/** Packets live for moments: many share one block of memory, which costs a fraction of a block each. */
function allocate(length: number): Uint8Array {
  if (length > SLAB_BYTES / 4) return new Uint8Array(length);
  if (slabAt + length > slab.length) {
    slab = new Uint8Array(SLAB_BYTES);
    slabAt = 0;
  }
  slabAt += length;
  return slab.subarray(slabAt - length, slabAt);
}

/**
 * The packet on the wire, without interface access code. Throws `internal` for a long header on anything but an announce
 * (other packets get theirs on their way, `routeVia`) and for a transport id that is none.
 */
export function buildPacket(fields: PacketFields): Uint8Array {
  const { transportId, data } = fields;
  if (transportId !== undefined && (fields.packetType !== ANNOUNCE || transportId.length !== ADDRESS_BYTES)) {
    throw new SpineError("internal", `a long header of type ${fields.packetType}, id of ${transportId.length} bytes`);
  }
  const header = transportId === undefined ? HEADER_BYTES : LONG_HEADER_BYTES;
  const raw = allocate(header + data.length);
  raw[0] =
    (transportId === undefined ? 0 : 0x50) |
    (fields.transport === true ? 0x10 : 0) |
    (fields.contextFlag === true ? 0x20 : 0) |
    (fields.destinationType << 2) |
    fields.packetType;
  raw[1] = fields.hops ?? 0;
  if (transportId !== undefined) raw.set(transportId, 2);
  raw.set(fields.destination, header - 1 - ADDRESS_BYTES);
  raw[header - 1] = fields.context ?? CONTEXT.none;
  raw.set(data, header);
  return raw;
}

/** The part that stays the same while transport nodes rewrite the header. */
export function hashablePart(raw: Uint8Array): Uint8Array {
  const flags = raw[0] as number;
  const skipped = (flags & 0x40) === 0 ? 1 : 1 + ADDRESS_BYTES;
  const part = raw.slice(skipped);
  part[0] = flags & 0x0f;
  return part;
}

/** 32 bytes; the first 16 address the packet's proof. */
export function packetHash(raw: Uint8Array): Uint8Array {
  return sha256(hashablePart(raw));
}

/** The hash as text, one character a byte, of a packet with a long header: nothing is copied for it. */
export function longPacketHash(raw: Uint8Array): string {
  const at = 1 + ADDRESS_BYTES;
  const saved = raw[at] as number;
  raw[at] = (raw[0] as number) & 0x0f;
  const text = sha256Text(raw.subarray(at));
  raw[at] = saved;
  return text;
}

/** Turns a short header into a long one towards the transport node `nextHop` (section 10.2). */
export function routeVia(raw: Uint8Array, nextHop: Uint8Array): Uint8Array {
  const out = new Uint8Array(raw.length + ADDRESS_BYTES);
  out[0] = 0x50 | ((raw[0] as number) & 0x0f);
  out[1] = raw[1] as number;
  out.set(nextHop, 2);
  out.set(raw.subarray(2), 2 + ADDRESS_BYTES);
  return out;
}
