/** Path requests and tunnel synthesis packets (spec/reticulum.md sections 9.2 and 20). Used by the endpoint. */
import { concatBytes, utf8 } from "../../../spine/index.ts";
import { sha256 } from "./crypto.ts";
import { ADDRESS_BYTES } from "./hash.ts";
import type { Identity } from "./identity.ts";
import { destinationHash, nameHash, PLAIN } from "./name.ts";
import { buildPacket, DATA } from "./packet.ts";

/** Address of `rnstransport.path.request`. */
export const PATH_REQUEST_HASH = destinationHash(nameHash("rnstransport.path.request"));
export const TUNNEL_HASH = destinationHash(nameHash("rnstransport.tunnel.synthesize"));

export interface PathRequest {
  readonly target: Uint8Array;
  /** Identity hash of the asking transport node. */
  readonly transportId: Uint8Array | undefined;
  /** At most 16 bytes; (target, tag) pairs are answered once. */
  readonly tag: Uint8Array;
}

export function pathRequestPacket(request: PathRequest): Uint8Array {
  const { target, transportId, tag } = request;
  const data = transportId === undefined ? concatBytes(target, tag) : concatBytes(target, transportId, tag);
  return buildPacket({ packetType: DATA, destinationType: PLAIN, destination: PATH_REQUEST_HASH, data });
}

/** Undefined when no tag is present. */
export function parsePathRequest(data: Uint8Array): PathRequest | undefined {
  if (data.length <= ADDRESS_BYTES) return undefined;
  const long = data.length > 2 * ADDRESS_BYTES;
  const tagAt = long ? 2 * ADDRESS_BYTES : ADDRESS_BYTES;
  return {
    target: data.slice(0, ADDRESS_BYTES),
    transportId: long ? data.slice(ADDRESS_BYTES, tagAt) : undefined,
    tag: data.slice(tagAt, tagAt + ADDRESS_BYTES),
  };
}

export interface Tunnel {
  readonly id: Uint8Array;
  readonly packet: Uint8Array;
}

/** What a TCP initiator sends after connecting; `interfaceName` is the interface's display string. */
export function tunnelSynthesis(identity: Identity, interfaceName: string, random: Uint8Array): Tunnel {
  const interfaceHash = sha256(utf8(interfaceName));
  const signed = concatBytes(identity.publicKey, interfaceHash, random);
  const data = concatBytes(signed, identity.sign(signed));
  return {
    id: sha256(concatBytes(identity.publicKey, interfaceHash)),
    packet: buildPacket({ packetType: DATA, destinationType: PLAIN, destination: TUNNEL_HASH, data }),
  };
}
