/** A destination of our own: its address, keys and what it does with what arrives (spec/reticulum.md section 3). */
import { type Random, SpineError, toHex } from "../../../spine/index.ts";
import { Identity, type PublicIdentity } from "./identity.ts";
import type { Link } from "./link.ts";
import type { ProofStrategy } from "./link-setup.ts";
import {
  type DestinationType,
  destinationHash,
  dottedName,
  GROUP,
  nameHash,
  PLAIN,
  SINGLE,
  splitName,
} from "./name.ts";
import type { Packet } from "./packet.ts";
import type { RatchetRing } from "./ratchet.ts";
import { RequestHandlers } from "./request.ts";
import { Token } from "./token.ts";

export interface DestinationOptions {
  readonly type: typeof SINGLE | typeof GROUP | typeof PLAIN;
  readonly appName: string;
  readonly aspects: readonly string[];
  /** Optional for GROUP, absent for PLAIN. */
  readonly identity?: Identity;
  /** Makes a SINGLE destination its own identity when none is given, whose hash becomes one more aspect of the name. */
  readonly random?: Random;
  /** 64 (or 32) bytes, for GROUP. */
  readonly groupKey?: Uint8Array;
  readonly ratchets?: RatchetRing;
  /** Refuse what was encrypted to the identity key instead of a ratchet. */
  readonly ratchetsOnly?: boolean;
  readonly acceptsLinks?: boolean;
}

/** `app.aspect.HASH`: for people; only the part before the identity's hash is hashed into the address. */
function fullNameOf(name: string, identity: PublicIdentity | undefined): string {
  return identity === undefined ? name : `${name}.${identity.hex}`;
}

/** Somebody else's SINGLE destination: an address and whose it is. */
export class RemoteDestination {
  readonly direction = "out";
  readonly type = SINGLE;
  readonly name: string;
  readonly nameHash: Uint8Array;
  readonly hash: Uint8Array;
  readonly hex: string;
  readonly identity: PublicIdentity;
  /** `name` is dotted. Throws `peer_address` for a bad one. */
  constructor(name: string, identity: PublicIdentity) {
    const { appName, aspects } = splitName(name);
    this.name = dottedName(appName, aspects);
    this.nameHash = nameHash(this.name);
    this.hash = destinationHash(this.nameHash, identity.hash).slice();
    this.hex = toHex(this.hash);
    this.identity = identity;
  }
  get fullName(): string {
    return fullNameOf(this.name, this.identity);
  }
}

const TYPES: readonly DestinationType[] = [SINGLE, GROUP, PLAIN];

export class Destination {
  readonly direction = "in";
  readonly type: DestinationType;
  readonly name: string;
  readonly nameHash: Uint8Array;
  readonly hash: Uint8Array;
  readonly hex: string;
  readonly identity: Identity | undefined;
  readonly ratchets: RatchetRing | undefined;
  readonly requests = new RequestHandlers();
  acceptsLinks: boolean;
  /** Carried by announces that name no other, path responses among them; a function is asked for each. */
  appData: Uint8Array | (() => Uint8Array) | undefined;
  onPacket: ((data: Uint8Array, packet: Packet, wire: string) => void) | undefined;
  onLink: ((link: Link) => void) | undefined;
  readonly #token: Token | undefined;
  readonly #ratchetsOnly: boolean;
  #proofs: ProofStrategy = "none";
  /** Throws `key_missing` when the type's key is absent and `peer_address` for a bad name or type. */
  constructor(options: DestinationOptions) {
    const { type, appName, groupKey, ratchets, random } = options;
    if (!TYPES.includes(type)) throw new SpineError("peer_address", `no destination of type ${type}`);
    const own = type === SINGLE && options.identity === undefined && random !== undefined;
    const identity = own ? Identity.create(random) : options.identity;
    const aspects = own && identity !== undefined ? [...options.aspects, identity.hex] : options.aspects;
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
  get fullName(): string {
    return fullNameOf(this.name, this.identity);
  }
  /** Whether packets are proved to their senders. Setting anything that is no strategy throws `internal`. */
  get proofs(): ProofStrategy {
    return this.#proofs;
  }
  set proofs(strategy: ProofStrategy) {
    if (strategy !== "none" && strategy !== "all" && typeof strategy !== "function") {
      throw new SpineError("internal", `no proof strategy ${String(strategy)}`);
    }
    this.#proofs = strategy;
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
