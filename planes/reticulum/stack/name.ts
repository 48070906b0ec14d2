/** Destination names and addresses (spec/reticulum.md section 3). Used by destinations and announces. */
import { concatBytes, SpineError, utf8 } from "../../../spine/index.ts";
import { sha256 } from "./crypto.ts";
import { ADDRESS_BYTES } from "./hash.ts";

export const NAME_HASH_BYTES = 10;

/** Destination type bits of the packet header. */
export const SINGLE = 0;
export const GROUP = 1;
export const PLAIN = 2;
export const LINK = 3;
export type DestinationType = typeof SINGLE | typeof GROUP | typeof PLAIN | typeof LINK;

/** `app.aspect.aspect`. Throws `peer_address` for a part that is empty or contains a dot. */
export function dottedName(appName: string, aspects: readonly string[]): string {
  for (const part of [appName, ...aspects]) {
    if (part.includes(".")) throw new SpineError("peer_address", `dot inside a destination name part: ${part}`);
  }
  return [appName, ...aspects].join(".");
}

/** The parts of a dotted name. Throws `peer_address` for an empty one. */
export function splitName(dotted: string): { readonly appName: string; readonly aspects: readonly string[] } {
  const [appName = "", ...aspects] = dotted.split(".");
  if (appName === "") throw new SpineError("peer_address", "a destination name begins with its application");
  return { appName, aspects };
}

/** 10 bytes. */
export function nameHash(dotted: string): Uint8Array {
  return sha256(utf8(dotted)).subarray(0, NAME_HASH_BYTES);
}

/** 16 bytes; without identity hash for PLAIN destinations. Throws `key_invalid` for an identity hash that has not 16. */
export function destinationHash(name: Uint8Array, identityHash?: Uint8Array): Uint8Array {
  if (identityHash !== undefined && identityHash.length !== ADDRESS_BYTES) {
    throw new SpineError("key_invalid", `identity hash of ${identityHash.length} bytes`);
  }
  return sha256(identityHash === undefined ? name : concatBytes(name, identityHash)).subarray(0, ADDRESS_BYTES);
}
