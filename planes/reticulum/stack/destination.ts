/** A destination of our own: its address, keys and what it does with what arrives (spec/reticulum.md section 3). */
import { type Random, SpineError, toHex } from "../../../spine/index.ts";
import type { Identity } from "./identity.ts";
import type { Link } from "./link.ts";
import type { ProofStrategy } from "./link-setup.ts";
import { type DestinationType, destinationHash, dottedName, GROUP, nameHash, PLAIN, SINGLE } from "./name.ts";
import type { Packet } from "./packet.ts";
import type { RatchetRing } from "./ratchet.ts";
import { RequestHandlers } from "./request.ts";
import { Token } from "./token.ts";

export interface DestinationOptions {
  readonly type: typeof SINGLE | typeof GROUP | typeof PLAIN;
  readonly appName: string;
  readonly aspects: readonly string[];
  /** Needed for SINGLE, optional for GROUP, absent for PLAIN. */
  readonly identity?: Identity;
  /** 64 (or 32) bytes, for GROUP. */
  readonly groupKey?: Uint8Array;
  readonly ratchets?: RatchetRing;
  /** Refuse what was encrypted to the identity key instead of a ratchet. */
  readonly ratchetsOnly?: boolean;
  readonly acceptsLinks?: boolean;
}

export class Destination {
  readonly type: DestinationType;
  readonly name: string;
  readonly nameHash: Uint8Array;
  readonly hash: Uint8Array;
  readonly hex: string;
  readonly identity: Identity | undefined;
  readonly ratchets: RatchetRing | undefined;
  readonly requests = new RequestHandlers();
  acceptsLinks: boolean;
  proofs: ProofStrategy = "none";
  /** Carried by announces that name no other. */
  appData: Uint8Array | undefined;
  onPacket: ((data: Uint8Array, packet: Packet, wire: string) => void) | undefined;
  onLink: ((link: Link) => void) | undefined;
  readonly #token: Token | undefined;
  readonly #ratchetsOnly: boolean;
  /** Throws `key_missing` when the type's key is absent and `peer_address` for a bad name. */
  constructor(options: DestinationOptions) {
    const { type, appName, aspects, identity, groupKey, ratchets } = options;
    if (type === SINGLE && identity === undefined)
      throw new SpineError("key_missing", "a SINGLE destination needs an identity");
    if (type === GROUP && groupKey === undefined)
      throw new SpineError("key_missing", "a GROUP destination needs a key");
    if (type === PLAIN && identity !== undefined)
      throw new SpineError("peer_address", "a PLAIN destination has no identity");
    this.type = type;
    this.name = dottedName(appName, aspects);
    this.nameHash = nameHash(this.name);
    this.identity = identity;
    this.hash = destinationHash(this.nameHash, identity?.hash).slice();
    this.hex = toHex(this.hash);
    this.ratchets = ratchets;
    this.acceptsLinks = type === SINGLE && (options.acceptsLinks ?? true);
    this.#token = groupKey === undefined ? undefined : new Token(groupKey);
    this.#ratchetsOnly = options.ratchetsOnly ?? false;
  }
  /** For GROUP and PLAIN, whose members all hold the same key; throws `internal` for SINGLE. */
  encrypt(plaintext: Uint8Array, random: Random): Uint8Array {
    if (this.type === PLAIN) return plaintext;
    if (this.#token === undefined) throw new SpineError("internal", "encrypt to the announced identity instead");
    return this.#token.encrypt(plaintext, random);
  }
  /** Undefined when it is not for this destination's keys. */
  decrypt(data: Uint8Array): Uint8Array | undefined {
    if (this.type === PLAIN) return data;
    if (this.type === GROUP) return this.#token?.decrypt(data);
    return this.identity?.decrypt(data, this.ratchets?.keys ?? [], this.#ratchetsOnly);
  }
}
