/** The symmetric token, IV, AES-CBC and HMAC (spec/reticulum.md section 6). Used by identities, groups and links. */
import { concatBytes, type Random, SpineError } from "../../../spine/index.ts";
import { aesDecrypt, aesEncrypt, aesEncryptInto, type CipherName, hmacSha256, sameBytes } from "./crypto.ts";

/** Bytes of IV and HMAC; padding (1 to 16 bytes) comes on top. */
export const TOKEN_OVERHEAD_BYTES = 48;
const MAC_BYTES = 32;
const KEY_BYTES: Readonly<Partial<Record<string, number>>> = { "aes-256-cbc": 64, "aes-128-cbc": 32 };
const IV_BYTES = 16;

/** Size of the token of so many bytes. */
export function sealedBytes(plainBytes: number): number {
  return TOKEN_OVERHEAD_BYTES + (Math.floor(plainBytes / IV_BYTES) + 1) * IV_BYTES;
}

/** One symmetric key: 64 bytes (HMAC, AES-256), or 32 bytes of the old AES-128 form. */
export class Token {
  readonly #signing: Uint8Array;
  readonly #encryption: Uint8Array;
  readonly #cipher: CipherName;
  /** Throws `key_invalid` for any other length. */
  constructor(key: Uint8Array) {
    if (key.length !== 64 && key.length !== 32) throw new SpineError("key_invalid", `token key of ${key.length} bytes`);
    this.#signing = key.slice(0, key.length / 2);
    this.#encryption = key.slice(key.length / 2);
    this.#cipher = key.length === 64 ? "aes-256-cbc" : "aes-128-cbc";
  }
  /** A new key, 64 bytes unless the old AES-128 form is asked for. Throws `key_invalid` for any other cipher. */
  static generateKey(random: Random, cipher: CipherName = "aes-256-cbc"): Uint8Array {
    const bytes = KEY_BYTES[cipher];
    if (bytes === undefined) throw new SpineError("key_invalid", `no token mode ${cipher}`);
    return random(bytes);
  }
  /** The plaintext may come in parts, which are encrypted as one. */
  encrypt(plaintext: Uint8Array | readonly Uint8Array[], random: Random): Uint8Array {
    const iv = random(IV_BYTES);
    const parts = plaintext instanceof Uint8Array ? [plaintext] : plaintext;
    const sealed = [iv, ...aesEncrypt(this.#cipher, this.#encryption, iv, parts)];
    return concatBytes(...sealed, hmacSha256(this.#signing, ...sealed));
  }
  /** Like `encrypt`, into the beginning of `out`, which has room for `sealedBytes`. */
  encryptInto(plaintext: readonly Uint8Array[], random: Random, out: Uint8Array): void {
    const iv = random(IV_BYTES);
    out.set(iv);
    const end = aesEncryptInto(this.#cipher, this.#encryption, iv, plaintext, out, IV_BYTES);
    out.set(hmacSha256(this.#signing, out.subarray(0, end)), end);
  }
  /** Whether the code at the end is by this key; what it protects may still not decrypt. */
  isAuthentic(token: Uint8Array): boolean {
    if (token.length <= MAC_BYTES + IV_BYTES) return false;
    const end = token.length - MAC_BYTES;
    return sameBytes(hmacSha256(this.#signing, token.subarray(0, end)), token.subarray(end));
  }
  /** Undefined when the token is too short, was tampered with or is for another key. */
  decrypt(token: Uint8Array): Uint8Array | undefined {
    if (!this.isAuthentic(token)) return undefined;
    const body = token.subarray(0, token.length - MAC_BYTES);
    return aesDecrypt(this.#cipher, this.#encryption, body.subarray(0, IV_BYTES), body.subarray(IV_BYTES));
  }
}
