/** A destination's own ratchet keys and their file (spec/reticulum.md section 6). Used by `destination.ts`. */
import { concatBytes, type Millis, type Random, SpineError } from "../../../spine/index.ts";
import { ExchangeKey, sha256 } from "./crypto.ts";
import type { Identity, PublicIdentity } from "./identity.ts";
import { pack, unpack } from "./msgpack.ts";
import { NAME_HASH_BYTES } from "./name.ts";

export const RATCHET_BYTES = 32;
/** Retained private keys. */
const KEEP = 512;
/** Shortest time between two rotations, ms. */
const ROTATE_INTERVAL_MS = 1_800_000;
/** How long a ratchet heard in an announce may be used, ms. */
export const RATCHET_EXPIRY_MS = 2_592_000_000;

export interface RatchetOptions {
  /** Stores the file durably before it returns: a ratchet is announced only after that. */
  readonly save?: (file: Uint8Array) => void;
  readonly keep?: number;
  readonly rotateIntervalMs?: number;
}

/** 10 bytes naming a ratchet in local bookkeeping. */
export function ratchetId(publicKey: Uint8Array): Uint8Array {
  return sha256(publicKey).subarray(0, NAME_HASH_BYTES);
}

/** The keys of one destination, newest first. */
export class RatchetRing {
  readonly #identity: Identity;
  readonly #options: RatchetOptions;
  #secrets: Uint8Array[] = [];
  #keys: ExchangeKey[] = [];
  /** When the newest was made; unknown after a load, so that the next announce rotates. */
  rotatedAt: Millis | undefined;
  /** Shortest time between two rotations. */
  rotateIntervalMs: Millis;
  /** Retained keys. */
  readonly keep: number;
  constructor(identity: Identity, options: RatchetOptions = {}) {
    this.#identity = identity;
    this.#options = options;
    this.rotateIntervalMs = options.rotateIntervalMs ?? ROTATE_INTERVAL_MS;
    this.keep = options.keep ?? KEEP;
  }
  /** Newest first. */
  get keys(): readonly ExchangeKey[] {
    return this.#keys;
  }
  /** Rotates when due; returns the public key to announce. */
  rotate(now: Millis, random: Random): Uint8Array {
    const current = this.#keys[0];
    if (current !== undefined && this.rotatedAt !== undefined && now - this.rotatedAt < this.rotateIntervalMs) {
      return current.publicKey;
    }
    const secret = random(RATCHET_BYTES);
    const key = new ExchangeKey(secret);
    this.#secrets = [secret, ...this.#secrets].slice(0, this.keep);
    this.#keys = [key, ...this.#keys].slice(0, this.keep);
    this.rotatedAt = now;
    this.#options.save?.(this.file());
    return key.publicKey;
  }
  /** The signed file. */
  file(): Uint8Array {
    const ratchets = pack(this.#secrets);
    return pack(
      new Map([
        ["signature", this.#identity.sign(ratchets)],
        ["ratchets", ratchets],
      ]),
    );
  }
  /** Replaces the keys by those of a file. Throws `frame_syntax` or `signature_invalid`. */
  load(file: Uint8Array): void {
    this.#secrets = readRatchetFile(file, this.#identity).slice(0, this.keep);
    this.#keys = this.#secrets.map((secret) => new ExchangeKey(secret));
    this.rotatedAt = undefined;
  }
}

function readRatchetFile(file: Uint8Array, identity: PublicIdentity): Uint8Array[] {
  const map = unpack(file);
  if (!(map instanceof Map)) throw new SpineError("frame_syntax", "ratchet file is not a map");
  const signature = map.get("signature");
  const blob = map.get("ratchets");
  if (!(signature instanceof Uint8Array) || !(blob instanceof Uint8Array)) {
    throw new SpineError("frame_syntax", "ratchet file lacks its fields");
  }
  if (!identity.verify(blob, signature)) throw new SpineError("signature_invalid", "ratchet file signature");
  const list = unpack(blob);
  if (!Array.isArray(list)) throw new SpineError("frame_syntax", "ratchet file holds no list");
  return list.map((item) => {
    if (!(item instanceof Uint8Array) || item.length !== RATCHET_BYTES) {
      throw new SpineError("frame_syntax", "ratchet of wrong size");
    }
    return concatBytes(item);
  });
}
