/** Announce bodies: making, parsing and checking them (spec/reticulum.md section 7). Used by the endpoint. */
import { BoundedMap, concatBytes, equalBytes, type Millis, SpineError } from "../../../spine/index.ts";
import { sha256Text } from "./crypto.ts";
import { type Identity, PublicIdentity } from "./identity.ts";
import { destinationHash, NAME_HASH_BYTES } from "./name.ts";
import type { Packet } from "./packet.ts";
import { RATCHET_BYTES } from "./ratchet.ts";

const KEY_BYTES = 64;
const RANDOM_BYTES = 5;
const RANDOM_HASH_BYTES = 10;
const SIGNATURE_BYTES = 64;
const RANDOM_AT = KEY_BYTES + NAME_HASH_BYTES;
const RATCHET_AT = RANDOM_AT + RANDOM_HASH_BYTES;
/** Longest app_data that a transport node can still re-emit; 32 less with a ratchet. */
export const MAX_APP_DATA_BYTES = 317;

/** Announces whose signatures were found good lately: the same one comes by several ways, and to every node of a simulation. */
const MAX_VERIFIED = 512;
const verified = new BoundedMap<string, true>(MAX_VERIFIED);

/** An announce whose signature and address were checked. */
export interface Announce {
  readonly destination: Uint8Array;
  readonly identity: PublicIdentity;
  readonly nameHash: Uint8Array;
  /** 5 random bytes, then the emission time. */
  readonly randomHash: Uint8Array;
  readonly emittedSeconds: number;
  readonly ratchet: Uint8Array | undefined;
  readonly appData: Uint8Array;
}

/** 5 random bytes, then whole unix seconds as 40 bits. */
export function announceRandomHash(random: Uint8Array, now: Millis): Uint8Array {
  const out = new Uint8Array(RANDOM_HASH_BYTES);
  out.set(random.subarray(0, RANDOM_BYTES));
  let seconds = Math.floor(now / 1000);
  for (let i = RANDOM_HASH_BYTES - 1; i >= RANDOM_BYTES; i--) {
    out[i] = seconds % 256;
    seconds = Math.floor(seconds / 256);
  }
  return out;
}

/** Unix seconds from the tail of a random hash. */
function emissionSeconds(randomHash: Uint8Array): number {
  let seconds = 0;
  for (let i = RANDOM_BYTES; i < RANDOM_HASH_BYTES; i++) seconds = seconds * 256 + (randomHash[i] as number);
  return seconds;
}

export interface AnnounceFields {
  readonly identity: Identity;
  readonly destination: Uint8Array;
  readonly nameHash: Uint8Array;
  readonly randomHash: Uint8Array;
  readonly ratchet?: Uint8Array | undefined;
  readonly appData?: Uint8Array | undefined;
}

/** The packet's data; the caller sets the context flag when there is a ratchet. */
export function announceData(fields: AnnounceFields): Uint8Array {
  const head = concatBytes(
    fields.identity.publicKey,
    fields.nameHash,
    fields.randomHash,
    fields.ratchet ?? new Uint8Array(0),
  );
  const appData = fields.appData ?? new Uint8Array(0);
  const signature = fields.identity.sign(concatBytes(fields.destination, head, appData));
  return concatBytes(head, signature, appData);
}

function signatureOffset(packet: Packet): number {
  return RATCHET_AT + (packet.contextFlag ? RATCHET_BYTES : 0);
}

/** The fields, unchecked: enough to see that an announce brings nothing new. Throws `frame_syntax` when it is too short. */
export function readAnnounce(packet: Packet): Announce {
  const { data, destination } = packet;
  const at = signatureOffset(packet);
  if (data.length < at + SIGNATURE_BYTES) throw new SpineError("frame_syntax", `announce of ${data.length} bytes`);
  const randomHash = data.slice(RANDOM_AT, RATCHET_AT);
  return {
    destination: destination.slice(),
    identity: new PublicIdentity(data.subarray(0, KEY_BYTES)),
    nameHash: data.slice(KEY_BYTES, RANDOM_AT),
    randomHash,
    emittedSeconds: emissionSeconds(randomHash),
    ratchet: packet.contextFlag ? data.slice(RATCHET_AT, at) : undefined,
    appData: data.slice(at + SIGNATURE_BYTES),
  };
}

/** Throws `signature_invalid` or `hash_mismatch` (the address is not the key's). */
export function checkAnnounce(packet: Packet, announce: Announce): void {
  const { data, destination } = packet;
  const at = signatureOffset(packet);
  const signed = concatBytes(destination, data.subarray(0, at), announce.appData);
  const signature = data.subarray(at, at + SIGNATURE_BYTES);
  // The key is part of what is signed.
  const name = sha256Text(concatBytes(signed, signature));
  if (!verified.has(name)) {
    if (!announce.identity.verify(signed, signature)) throw new SpineError("signature_invalid", "announce signature");
    verified.set(name, true);
  }
  if (!equalBytes(destinationHash(announce.nameHash, announce.identity.hash), destination)) {
    throw new SpineError("hash_mismatch", "announce for an address that is not of its key");
  }
}

/** Reads and checks; throws as both do. */
export function openAnnounce(packet: Packet): Announce {
  const announce = readAnnounce(packet);
  checkAnnounce(packet, announce);
  return announce;
}
