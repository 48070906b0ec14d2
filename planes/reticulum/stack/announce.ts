/** Announce bodies: making, parsing and checking them (spec/reticulum.md section 7). Used by the endpoint. */
import { concatBytes, equalBytes, type Millis, SpineError } from "../../../spine/index.ts";
import { type Identity, PublicIdentity } from "./identity.ts";
import { destinationHash, NAME_HASH_BYTES } from "./name.ts";
import type { Packet } from "./packet.ts";
import { RATCHET_BYTES } from "./ratchet.ts";

const KEY_BYTES = 64;
const RANDOM_BYTES = 5;
const RANDOM_HASH_BYTES = 10;
const SIGNATURE_BYTES = 64;
const FIXED_BYTES = KEY_BYTES + NAME_HASH_BYTES + RANDOM_HASH_BYTES + SIGNATURE_BYTES;
/** Longest app_data that a transport node can still re-emit; 32 less with a ratchet. */
export const MAX_APP_DATA_BYTES = 317;

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
export function emissionSeconds(randomHash: Uint8Array): number {
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

/** Throws `frame_syntax` (too short), `signature_invalid` or `hash_mismatch` (the address is not the key's). */
export function openAnnounce(packet: Packet): Announce {
  const { data, destination } = packet;
  const ratchetBytes = packet.contextFlag ? RATCHET_BYTES : 0;
  if (data.length < FIXED_BYTES + ratchetBytes)
    throw new SpineError("frame_syntax", `announce of ${data.length} bytes`);
  const nameAt = KEY_BYTES;
  const randomAt = nameAt + NAME_HASH_BYTES;
  const ratchetAt = randomAt + RANDOM_HASH_BYTES;
  const signatureAt = ratchetAt + ratchetBytes;
  const appDataAt = signatureAt + SIGNATURE_BYTES;
  const identity = new PublicIdentity(data.subarray(0, KEY_BYTES));
  const nameHash = data.slice(nameAt, randomAt);
  const signed = concatBytes(destination, data.subarray(0, signatureAt), data.subarray(appDataAt));
  if (!identity.verify(signed, data.subarray(signatureAt, appDataAt))) {
    throw new SpineError("signature_invalid", "announce signature");
  }
  if (!equalBytes(destinationHash(nameHash, identity.hash), destination)) {
    throw new SpineError("hash_mismatch", "announce for an address that is not of its key");
  }
  const randomHash = data.slice(randomAt, ratchetAt);
  return {
    destination: destination.slice(),
    identity,
    nameHash,
    randomHash,
    emittedSeconds: emissionSeconds(randomHash),
    ratchet: ratchetBytes === 0 ? undefined : data.slice(ratchetAt, signatureAt),
    appData: data.slice(appDataAt),
  };
}
