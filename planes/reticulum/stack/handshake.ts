/** The link handshake's bytes: signalling, link id, keys, request and proof (spec/reticulum.md section 12). Used by `link.ts`. */
import { concatBytes, type Random, SpineError } from "../../../spine/index.ts";
import { ExchangeKey, hkdf, SigningKey } from "./crypto.ts";
import { truncatedHash } from "./hash.ts";
import type { Identity, PublicIdentity } from "./identity.ts";
import { LINK, SINGLE } from "./name.ts";
import { buildPacket, CONTEXT, hashablePart, LINK_REQUEST, NETWORK_MTU, type Packet, PROOF } from "./packet.ts";

const KEYS_BYTES = 64;
const KEY_BYTES = 32;
const SIGNATURE_BYTES = 64;
const SIGNALLING_BYTES = 3;
/** AES-256-CBC, the only mode in use. */
export const LINK_MODE = 1;
export const MAX_LINK_MTU = 0x1fffff;

/** 24 bits: mode, then MTU in bytes. Throws `frame_syntax` for a mode that is not in use. */
export function encodeSignalling(mtu: number, mode: number = LINK_MODE): Uint8Array {
  if (mode !== LINK_MODE) throw new SpineError("frame_syntax", `link mode ${mode} is not supported`);
  return Uint8Array.of((mode << 5) | (mtu >>> 16), (mtu >>> 8) & 255, mtu & 255);
}

/** MTU and mode; a peer without signalling means 500 bytes and AES-256-CBC. Throws `frame_syntax` for another mode. */
export function decodeSignalling(bytes: Uint8Array): { readonly mtu: number; readonly mode: number } {
  if (bytes.length === 0) return { mtu: NETWORK_MTU, mode: LINK_MODE };
  const [high = 0, middle = 0, low = 0] = bytes;
  const mode = high >>> 5;
  if (mode !== LINK_MODE) throw new SpineError("frame_syntax", `link mode ${mode} is not supported`);
  return { mtu: ((high & 31) << 16) | (middle << 8) | low, mode };
}

/** Largest clear payload of one link packet, bytes. */
export function linkMdu(mtu: number): number {
  return Math.floor((mtu - 1 - 19 - 48) / 16) * 16 - 1;
}

export interface LinkRequest {
  readonly linkId: Uint8Array;
  readonly exchangeKey: Uint8Array;
  readonly signingKey: Uint8Array;
  /** Empty when the peer does not signal. */
  readonly signalling: Uint8Array;
}

/** The keys an initiator makes for one link. */
export interface LinkKeys {
  readonly exchange: ExchangeKey;
  readonly signing: SigningKey;
}

export function makeLinkKeys(random: Random): LinkKeys {
  const exchange = new ExchangeKey(random(KEY_BYTES));
  return { exchange, signing: new SigningKey(random(KEY_BYTES)) };
}

/** The request packet with a short header; `signalling` may be empty. */
export function linkRequestPacket(destination: Uint8Array, keys: LinkKeys, signalling: Uint8Array): Uint8Array {
  return buildPacket({
    packetType: LINK_REQUEST,
    destinationType: SINGLE,
    destination,
    data: concatBytes(keys.exchange.publicKey, keys.signing.publicKey, signalling),
  });
}

/** Throws `frame_syntax` for data of another length. */
export function parseLinkRequest(packet: Packet): LinkRequest {
  const { data, raw } = packet;
  const signals = data.length === KEYS_BYTES + SIGNALLING_BYTES;
  if (!signals && data.length !== KEYS_BYTES)
    throw new SpineError("frame_syntax", `link request of ${data.length} bytes`);
  const part = hashablePart(raw);
  return {
    linkId: truncatedHash(signals ? part.subarray(0, part.length - SIGNALLING_BYTES) : part).slice(),
    exchangeKey: data.slice(0, KEY_BYTES),
    signingKey: data.slice(KEY_BYTES, KEYS_BYTES),
    signalling: data.slice(KEYS_BYTES),
  };
}

/** The 64-byte link key, or undefined when the peer's key is unusable. */
export function deriveLinkKey(own: ExchangeKey, peer: Uint8Array, linkId: Uint8Array): Uint8Array | undefined {
  const shared = own.agree(peer);
  return shared && hkdf(64, shared, linkId);
}

/** The responder's proof: signed by its identity, over the identity's signing key as well. */
export function linkRequestProof(
  linkId: Uint8Array,
  identity: Identity,
  exchangeKey: Uint8Array,
  signalling: Uint8Array,
): Uint8Array {
  const signature = identity.sign(concatBytes(linkId, exchangeKey, identity.signingKey, signalling));
  return buildPacket({
    packetType: PROOF,
    destinationType: LINK,
    destination: linkId,
    context: CONTEXT.linkRequestProof,
    data: concatBytes(signature, exchangeKey, signalling),
  });
}

export interface LinkProof {
  readonly exchangeKey: Uint8Array;
  readonly mtu: number;
}

/** Throws `frame_syntax` or `signature_invalid`. */
export function openLinkProof(data: Uint8Array, linkId: Uint8Array, identity: PublicIdentity): LinkProof {
  const signalsAt = SIGNATURE_BYTES + KEY_BYTES;
  if (data.length !== signalsAt && data.length !== signalsAt + SIGNALLING_BYTES) {
    throw new SpineError("frame_syntax", `link proof of ${data.length} bytes`);
  }
  const exchangeKey = data.slice(SIGNATURE_BYTES, signalsAt);
  const signalling = data.subarray(signalsAt);
  const signed = concatBytes(linkId, exchangeKey, identity.signingKey, signalling);
  if (!identity.verify(signed, data.subarray(0, SIGNATURE_BYTES))) {
    throw new SpineError("signature_invalid", "link proof signature");
  }
  return { exchangeKey, mtu: decodeSignalling(signalling).mtu };
}
