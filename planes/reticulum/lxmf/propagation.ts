/** What clients and nodes of LXMF propagation exchange (spec/reticulum.md section 21.6). Used by both sides. */
import { concatBytes, SpineError } from "../../../spine/index.ts";
import { sha256 } from "../stack/crypto.ts";
import { Double, type Packable, pack, unpack } from "../stack/msgpack.ts";
import { STAMP_BYTES } from "./stamp.ts";

export const TRANSIENT_ID_BYTES = 32;
/** Destination, ephemeral key, and the smallest token: nothing shorter is a message. */
const MIN_MESSAGE_BYTES = 16 + 32 + 48 + 16;

/** Answers in place of data. */
export const REFUSAL = {
  noIdentity: 0xf0,
  noAccess: 0xf1,
  invalidKey: 0xf3,
  invalidData: 0xf4,
  invalidStamp: 0xf5,
  throttled: 0xf6,
  notFound: 0xfd,
  timeout: 0xfe,
} as const;

/** 32 bytes, over destination and encrypted message, without stamp. */
export function transientId(message: Uint8Array): Uint8Array {
  return sha256(message);
}

/** A stored message as it travels: with its stamp at the end. */
export interface StampedMessage {
  readonly id: Uint8Array;
  /** Without stamp. */
  readonly message: Uint8Array;
  readonly stamp: Uint8Array;
}

/** Undefined for what is too short to be one. */
export function splitStamped(bytes: Uint8Array): StampedMessage | undefined {
  if (bytes.length < MIN_MESSAGE_BYTES + STAMP_BYTES) return undefined;
  const message = bytes.slice(0, bytes.length - STAMP_BYTES);
  return { id: transientId(message), message, stamp: bytes.slice(bytes.length - STAMP_BYTES) };
}

export function joinStamped({ message, stamp }: StampedMessage): Uint8Array {
  return concatBytes(message, stamp);
}

/** `at`: unix seconds. */
export function packUpload(at: number, messages: readonly Uint8Array[]): Uint8Array {
  return pack([new Double(at), messages]);
}

/** Throws `frame_syntax`. */
export function readUpload(bytes: Uint8Array): readonly Uint8Array[] {
  const list = unpack(bytes);
  const [, messages] = Array.isArray(list) ? (list as readonly Packable[]) : [];
  return byteList(messages);
}

/** A list of byte strings. Throws `frame_syntax`. */
export function byteList(value: Packable | undefined): readonly Uint8Array[] {
  if (!Array.isArray(value) || !value.every((item) => item instanceof Uint8Array)) {
    throw new SpineError("frame_syntax", "expected a list of byte strings");
  }
  return value as readonly Uint8Array[];
}

/** What the peering key of `sender` with `receiver` is made over: identity hashes. */
export function peeringMaterial(receiver: Uint8Array, sender: Uint8Array): Uint8Array {
  return concatBytes(receiver, sender);
}

export function refusalName(code: number): string {
  return Object.entries(REFUSAL).find(([, value]) => value === code)?.[0] ?? `code ${code}`;
}
