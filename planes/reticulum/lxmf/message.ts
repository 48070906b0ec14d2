/** LXMF messages: sealing, packing, opening, verifying (spec/reticulum.md section 21.1). Used by the router and paper forms. */
import { concatBytes, equalBytes, SpineError } from "../../../spine/index.ts";
import { sha256 } from "../stack/crypto.ts";
import { ADDRESS_BYTES } from "../stack/hash.ts";
import type { Identity, PublicIdentity } from "../stack/identity.ts";
import { Double, type Packable, pack, packedNumber, unpack } from "../stack/msgpack.ts";

const SIGNATURE_BYTES = 64;
const SIGNATURE_AT = 2 * ADDRESS_BYTES;
const PAYLOAD_AT = SIGNATURE_AT + SIGNATURE_BYTES;
/** Bytes of a message around its content: addresses, signature, time and structure. */
export const LXMF_OVERHEAD = 112;
/** Of a payload, what does not count as content: the time and the structure. */
const PAYLOAD_OVERHEAD = 16;

/** Field numbers of a message that the router itself reads or that carry Spine's own data. */
export const FIELD = { ticket: 0x0c, customType: 0xfb, customData: 0xfc } as const;

export type Fields = ReadonlyMap<Packable, Packable>;

export interface MessageText {
  /** `lxmf.delivery` of the recipient, 16 bytes. */
  readonly destination: Uint8Array;
  /** `lxmf.delivery` of the sender, 16 bytes. */
  readonly source: Uint8Array;
  /** Unix seconds. */
  readonly timestamp: number;
  readonly title: Uint8Array;
  readonly content: Uint8Array;
  readonly fields: Fields;
}

export interface LxMessage extends MessageText {
  /** 32 bytes: the message's id. */
  readonly hash: Uint8Array;
  readonly signature: Uint8Array;
  /** 32 bytes of work, or 16 made from a ticket. */
  readonly stamp: Uint8Array | undefined;
  /** The signed four elements as they were packed. */
  readonly payload: Uint8Array;
}

function messageHash(destination: Uint8Array, source: Uint8Array, payload: Uint8Array): Uint8Array {
  return sha256(destination, source, payload);
}

/** Signed by the source's identity. */
export function sealMessage(text: MessageText, identity: Identity): LxMessage {
  const { destination, source, timestamp, title, content, fields } = text;
  const payload = pack([new Double(timestamp), title, content, fields]);
  const hash = messageHash(destination, source, payload);
  const signature = identity.sign(concatBytes(destination, source, payload, hash));
  return { ...text, hash, signature, stamp: undefined, payload };
}

/** The whole message, stamp included. */
export function packMessage(message: LxMessage): Uint8Array {
  const { destination, source, signature, payload, stamp } = message;
  if (stamp === undefined) return concatBytes(destination, source, signature, payload);
  const five = concatBytes(Uint8Array.of(0x95), payload.subarray(1), pack(stamp));
  return concatBytes(destination, source, signature, five);
}

/** Bytes that count against the limits of packets. */
export function contentBytes(message: LxMessage): number {
  return message.payload.length - PAYLOAD_OVERHEAD;
}

function textBytes(value: Packable | undefined): Uint8Array | undefined {
  if (typeof value === "string") return new TextEncoder().encode(value);
  return value instanceof Uint8Array ? value : undefined;
}

/** Reads a message; nothing is verified yet. Throws `frame_syntax`. */
export function openMessage(packed: Uint8Array): LxMessage {
  if (packed.length <= PAYLOAD_AT) throw new SpineError("frame_syntax", `message of ${packed.length} bytes`);
  const own = packed.slice();
  const body = own.subarray(PAYLOAD_AT);
  const list = unpack(body);
  const items = Array.isArray(list) ? (list as readonly Packable[]) : [];
  const [at, titled, text, fields, work] = items;
  const timestamp = packedNumber(at);
  const title = textBytes(titled);
  const content = textBytes(text);
  const stamp = work instanceof Uint8Array ? work : undefined;
  if (
    (items.length !== 4 && items.length !== 5) ||
    timestamp === undefined ||
    title === undefined ||
    content === undefined ||
    !(fields instanceof Map)
  ) {
    throw new SpineError("frame_syntax", "message fields");
  }
  const payload = items.length === 4 ? body : withoutLast(body, items);
  const destination = own.subarray(0, ADDRESS_BYTES);
  const source = own.subarray(ADDRESS_BYTES, SIGNATURE_AT);
  const hash = messageHash(destination, source, payload);
  const signature = own.subarray(SIGNATURE_AT, PAYLOAD_AT);
  return { destination, source, timestamp, title, content, fields, hash, signature, stamp, payload };
}

/** The four signed elements as the sender packed them: cut out where the fifth is spelled as usual, else packed anew. */
function withoutLast(body: Uint8Array, items: readonly Packable[]): Uint8Array {
  const last = pack(items[4] as Packable);
  const cut = body.length - last.length;
  if (body[0] !== 0x95 || !equalBytes(body.subarray(cut), last)) return pack(items.slice(0, 4));
  return concatBytes(Uint8Array.of(0x94), body.subarray(1, cut));
}

/** Was it signed by this identity? The caller has checked that the identity is the source's. */
export function verifyMessage(message: LxMessage, identity: PublicIdentity): boolean {
  const { destination, source, payload, hash, signature } = message;
  return identity.verify(concatBytes(destination, source, payload, hash), signature);
}
