/**
 * Every cryptographic primitive of the Reticulum stack (spec/reticulum.md sections 1, 2 and 6), in one file so that a
 * browser or simulator twin can stand in for it. Used by the rest of `stack/`; no other file there names a crypto library.
 */
import {
  createCipheriv,
  createDecipheriv,
  createHash,
  createHmac,
  createPrivateKey,
  createPublicKey,
  diffieHellman,
  type Hash,
  hash,
  type KeyObject,
  sign,
  timingSafeEqual,
  verify,
} from "node:crypto";

const EMPTY: Uint8Array = new Uint8Array(0);

/** A Buffer without its class: `slice` of a Buffer shares memory, of a Uint8Array it copies. */
function plain(buffer: Buffer): Uint8Array {
  return new Uint8Array(buffer.buffer, buffer.byteOffset, buffer.length);
}

/** Over the parts in order, as if they were one. */
export function sha256(...parts: readonly Uint8Array[]): Uint8Array {
  const [first = EMPTY] = parts;
  if (parts.length === 1) return plain(hash("sha256", first, "buffer"));
  const all = createHash("sha256");
  for (const part of parts) all.update(part);
  return plain(all.digest());
}

/**
 * SHA-256 as 32 characters of one byte each (latin1): less than half the cost of bytes, which is what counts where every
 * packet that passes is hashed.
 */
export function sha256Text(bytes: Uint8Array): string {
  return hash("sha256", bytes, "binary");
}

/** SHA-256 of one body followed by different ends, the body hashed once. */
export class HashedBody {
  readonly #state: Hash;
  constructor(body: Uint8Array) {
    this.#state = createHash("sha256").update(body);
  }
  followedBy(end: Uint8Array): Uint8Array {
    return plain(this.#state.copy().update(end).digest());
  }
}

const HASH_BLOCK_BYTES = 64;
/** Messages up to here are hashed from one buffer of their own, bytes: no native object is made and left to the collector. */
const MAX_SMALL_BYTES = 1024;
const inner = new Uint8Array(HASH_BLOCK_BYTES + MAX_SMALL_BYTES);
const outer = new Uint8Array(HASH_BLOCK_BYTES + 32);

/** RFC 2104, over the parts in order, as if they were one. */
export function hmacSha256(key: Uint8Array, ...parts: readonly Uint8Array[]): Uint8Array {
  let end = HASH_BLOCK_BYTES;
  for (const part of parts) end += part.length;
  if (end > inner.length || key.length > HASH_BLOCK_BYTES) {
    const mac = createHmac("sha256", key);
    for (const part of parts) mac.update(part);
    return plain(mac.digest());
  }
  for (let i = 0; i < HASH_BLOCK_BYTES; i++) {
    const byte = i < key.length ? (key[i] as number) : 0;
    inner[i] = byte ^ 0x36;
    outer[i] = byte ^ 0x5c;
  }
  let at = HASH_BLOCK_BYTES;
  for (const part of parts) {
    inner.set(part, at);
    at += part.length;
  }
  outer.set(hash("sha256", inner.subarray(0, end), "buffer"), HASH_BLOCK_BYTES);
  const mac = plain(hash("sha256", outer, "buffer"));
  // Neither key nor message stays behind.
  inner.fill(0, 0, end);
  outer.fill(0);
  return mac;
}

/** HKDF-SHA256. The block counter wraps modulo 256, so any `length` (bytes) is allowed; Reticulum leaves `info` empty. */
export function hkdf(length: number, ikm: Uint8Array, salt?: Uint8Array, info: Uint8Array = EMPTY): Uint8Array {
  const prk = hmacSha256(salt === undefined || salt.length === 0 ? new Uint8Array(32) : salt, ikm);
  const out = new Uint8Array(length);
  let block = EMPTY;
  for (let at = 0, counter = 1; at < length; at += 32, counter = (counter + 1) & 255) {
    block = hmacSha256(prk, block, info, Uint8Array.of(counter));
    out.set(block.subarray(0, Math.min(32, length - at)), at);
  }
  return out;
}

/** Constant time; false when the lengths differ. */
export function sameBytes(a: Uint8Array, b: Uint8Array): boolean {
  return a.length === b.length && timingSafeEqual(a, b);
}

/** Named by the caller: a key of another length is an error, not another cipher. */
export type CipherName = "aes-128-cbc" | "aes-256-cbc";

const BLOCK_BYTES = 16;

/** CBC with PKCS#7. Plaintext and ciphertext are in parts, to be joined in order. Throws for a key or IV of a wrong length. */
export function aesEncrypt(
  name: CipherName,
  key: Uint8Array,
  iv: Uint8Array,
  plaintext: readonly Uint8Array[],
): Uint8Array[] {
  const cipher = createCipheriv(name, key, iv);
  const parts = plaintext.map((part) => plain(cipher.update(part)));
  parts.push(plain(cipher.final()));
  return parts;
}

/** Pieces of a large text, bytes: what the cipher returns for one is garbage at once. */
const PIECE_BYTES = 16_384;

/** The same, written to `out` from `at` on; returns the new end. For texts of megabytes, which are then in memory once. */
export function aesEncryptInto(
  name: CipherName,
  key: Uint8Array,
  iv: Uint8Array,
  plaintext: readonly Uint8Array[],
  out: Uint8Array,
  at: number,
): number {
  const cipher = createCipheriv(name, key, iv);
  let end = at;
  for (const part of plaintext) {
    for (let from = 0; from < part.length; from += PIECE_BYTES) {
      const sealed = cipher.update(part.subarray(from, from + PIECE_BYTES));
      out.set(sealed, end);
      end += sealed.length;
    }
  }
  const last = cipher.final();
  out.set(last, end);
  return end + last.length;
}

/**
 * Undefined when the padding or length is wrong. The caller has authenticated the ciphertext, so that only the last byte
 * of the padding is looked at, as the reference does: what another writer fills it with is its own matter.
 */
export function aesDecrypt(
  name: CipherName,
  key: Uint8Array,
  iv: Uint8Array,
  ciphertext: Uint8Array,
): Uint8Array | undefined {
  if (ciphertext.length === 0 || ciphertext.length % BLOCK_BYTES !== 0) return undefined;
  const decipher = createDecipheriv(name, key, iv);
  decipher.setAutoPadding(false);
  const padded = plain(decipher.update(ciphertext));
  decipher.final();
  const padding = padded[padded.length - 1] as number;
  if (padding > BLOCK_BYTES || padded.length !== ciphertext.length) return undefined;
  return padded.subarray(0, padded.length - padding);
}

type Curve = "X25519" | "Ed25519";

function base64url(bytes: Uint8Array): string {
  return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length).toString("base64url");
}

/** Key objects are made from JWK: an order of magnitude faster here than from DER. */
function importPublic(crv: Curve, raw: Uint8Array): KeyObject {
  return createPublicKey({ format: "jwk", key: { kty: "OKP", crv, x: base64url(raw) } });
}

const NO_PUBLIC_KEY = base64url(new Uint8Array(32));

/** The public half in the JWK is required but not read: it follows from the secret. */
function importPrivate(crv: Curve, raw: Uint8Array): KeyObject {
  return createPrivateKey({ format: "jwk", key: { kty: "OKP", crv, x: NO_PUBLIC_KEY, d: base64url(raw) } });
}

/** Raw 32 bytes of the public key. */
function publicHalf(secret: KeyObject): Uint8Array {
  return new Uint8Array(Buffer.from(createPublicKey(secret).export({ format: "jwk" }).x as string, "base64url"));
}

/** Somebody's X25519 public key, imported once. */
export class PeerExchangeKey {
  readonly #raw: Uint8Array;
  #key: KeyObject | undefined;
  constructor(raw: Uint8Array) {
    this.#raw = raw;
  }
  get key(): KeyObject {
    this.#key ??= importPublic("X25519", this.#raw);
    return this.#key;
  }
}

/** An X25519 key pair made from its 32-byte scalar. */
export class ExchangeKey {
  readonly publicKey: Uint8Array;
  readonly #secret: KeyObject;
  constructor(scalar: Uint8Array) {
    this.#secret = importPrivate("X25519", scalar);
    this.publicKey = publicHalf(this.#secret);
  }
  /** The 32-byte shared secret, or undefined for a peer key of small order. */
  agree(peer: Uint8Array | PeerExchangeKey): Uint8Array | undefined {
    try {
      const publicKey = peer instanceof PeerExchangeKey ? peer.key : importPublic("X25519", peer);
      return plain(diffieHellman({ privateKey: this.#secret, publicKey }));
    } catch {
      return undefined;
    }
  }
}

const SEED_BYTES = 32;

/** An Ed25519 key pair made from its 32-byte seed, or from seed and public key (64 bytes), as other programs keep it. */
export class SigningKey {
  readonly publicKey: Uint8Array;
  readonly #secret: KeyObject;
  constructor(secret: Uint8Array) {
    const seed = secret.length === 2 * SEED_BYTES ? secret.subarray(0, SEED_BYTES) : secret;
    this.#secret = importPrivate("Ed25519", seed);
    this.publicKey = publicHalf(this.#secret);
  }
  /** 64 bytes. */
  sign(message: Uint8Array): Uint8Array {
    return plain(sign(null, message, this.#secret));
  }
}

/** An Ed25519 public key that checks signatures; false for any malformed key or signature. */
export class VerifyingKey {
  readonly #raw: Uint8Array;
  #key: KeyObject | undefined;
  constructor(raw: Uint8Array) {
    this.#raw = raw;
  }
  verify(message: Uint8Array, signature: Uint8Array): boolean {
    if (signature.length !== 64) return false;
    try {
      this.#key ??= importPublic("Ed25519", this.#raw);
      return verify(null, message, this.#key, signature);
    } catch {
      return false;
    }
  }
}
