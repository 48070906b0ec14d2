/** What announces taught us: keys, app_data and ratchets by destination (spec/reticulum.md section 2). Used by `endpoint.ts`. */
import { equalBytes, fromHex, type Millis, SpineError, toHex } from "../../../spine/index.ts";
import type { Announce } from "./announce.ts";
import { IDENTITY_KEY_BYTES, PublicIdentity } from "./identity.ts";
import { Double, type Packable, pack, packedNumber, unpack } from "./msgpack.ts";
import { RATCHET_BYTES, RATCHET_EXPIRY_MS } from "./ratchet.ts";

const MAX_KNOWN = 16_384;

export interface KnownDestination {
  readonly hash: Uint8Array;
  readonly identity: PublicIdentity;
  readonly appData: Uint8Array;
  readonly ratchet: Uint8Array | undefined;
  readonly ratchetAt: Millis;
  readonly heardAt: Millis;
  /** Kept when the table is full. */
  readonly used: boolean;
}

/** Bounded: when full, the destination heard longest ago that was never used makes room, else the oldest. */
export class KnownDestinations {
  readonly #byHash = new Map<string, KnownDestination>();
  get size(): number {
    return this.#byHash.size;
  }
  get(hash: Uint8Array): KnownDestination | undefined {
    return this.#byHash.get(toHex(hash));
  }
  /** Any destination of the identity with this 16-byte hash. */
  byIdentity(hash: Uint8Array): KnownDestination | undefined {
    const hex = toHex(hash);
    for (const known of this.#byHash.values()) if (known.identity.hex === hex) return known;
    return undefined;
  }
  /** The ratchet to encrypt to, while it is fresh. */
  ratchet(hash: Uint8Array, now: Millis): Uint8Array | undefined {
    const known = this.get(hash);
    return known !== undefined && now - known.ratchetAt < RATCHET_EXPIRY_MS ? known.ratchet : undefined;
  }
  markUsed(hash: Uint8Array): void {
    const known = this.get(hash);
    if (known !== undefined && !known.used) this.#byHash.set(toHex(hash), { ...known, used: true });
  }
  /**
   * A destination that was not announced itself, of an identity known by another one: the caller has checked that the hash
   * belongs to the identity. Changes nothing that is known.
   */
  introduce(hash: Uint8Array, identity: PublicIdentity, now: Millis): void {
    const key = toHex(hash);
    if (this.#byHash.has(key)) return;
    if (this.#byHash.size >= MAX_KNOWN) this.#evict();
    const nothing = { appData: new Uint8Array(0), ratchet: undefined, ratchetAt: 0, used: true };
    this.#byHash.set(key, { hash: hash.slice(), identity, heardAt: now, ...nothing });
  }
  /** False when the destination is already known with another key: the announce is refused. */
  learn(announce: Announce, now: Millis): boolean {
    const key = toHex(announce.destination);
    const earlier = this.#byHash.get(key);
    if (earlier !== undefined && !equalBytes(earlier.identity.publicKey, announce.identity.publicKey)) return false;
    this.#byHash.delete(key);
    if (this.#byHash.size >= MAX_KNOWN) this.#evict();
    this.#byHash.set(key, {
      hash: announce.destination,
      // Made anew: the one that checked the signature holds a key object of kilobytes.
      identity: earlier?.identity ?? new PublicIdentity(announce.identity.publicKey),
      appData: announce.appData,
      ratchet: announce.ratchet ?? earlier?.ratchet,
      ratchetAt: announce.ratchet === undefined ? (earlier?.ratchetAt ?? 0) : now,
      heardAt: now,
      used: earlier?.used ?? false,
    });
    return true;
  }
  #evict(): void {
    for (const [key, known] of this.#byHash) {
      if (known.used) continue;
      this.#byHash.delete(key);
      return;
    }
    const [oldest] = this.#byHash.keys();
    if (oldest !== undefined) this.#byHash.delete(oldest);
  }
  /** For the disk: times as unix seconds. */
  save(): Uint8Array {
    const map = new Map<Packable, Packable>();
    for (const known of this.#byHash.values()) {
      map.set(known.hash, [
        new Double(known.heardAt / 1000),
        known.identity.publicKey,
        known.appData,
        known.ratchet ?? null,
        new Double(known.ratchetAt / 1000),
        known.used,
      ]);
    }
    return pack(map);
  }
  /** Adds what `save` wrote; nothing is then from after `now`. Throws `frame_syntax`. */
  load(file: Uint8Array, now: Millis = Number.POSITIVE_INFINITY): void {
    const map = unpack(file);
    if (!(map instanceof Map)) throw new SpineError("frame_syntax", "known destinations are not a map");
    for (const [hash, entry] of map) {
      const [heardAt, key, appData, ratchet, ratchetAt, used] = Array.isArray(entry)
        ? (entry as readonly Packable[])
        : [];
      const heard = packedNumber(heardAt);
      const ratcheted = packedNumber(ratchetAt);
      const fits =
        hash instanceof Uint8Array &&
        key instanceof Uint8Array &&
        key.length === IDENTITY_KEY_BYTES &&
        appData instanceof Uint8Array &&
        (ratchet === null || (ratchet instanceof Uint8Array && ratchet.length === RATCHET_BYTES));
      if (!fits || heard === undefined || ratcheted === undefined) {
        throw new SpineError("frame_syntax", "known destination entry");
      }
      if (this.#byHash.size >= MAX_KNOWN) this.#evict();
      const own = fromHex(toHex(hash));
      this.#byHash.set(toHex(own), {
        hash: own,
        identity: new PublicIdentity(key),
        appData: appData.slice(),
        ratchet: ratchet === null ? undefined : ratchet.slice(),
        ratchetAt: Math.min(ratcheted * 1000, now),
        heardAt: Math.min(heard * 1000, now),
        used: used === true,
      });
    }
  }
}
