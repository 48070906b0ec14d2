/** Identities, their keys and encryption to them (spec/reticulum.md sections 2 and 6). Used by the whole stack. */
import { concatBytes, type Random, SpineError, toHex } from "../../../spine/index.ts";
import { ExchangeKey, hkdf, PeerExchangeKey, SigningKey, VerifyingKey } from "./crypto.ts";
import { truncatedHash } from "./hash.ts";
import { Token } from "./token.ts";

/** Bytes of a public key: X25519, then Ed25519. Private keys (scalar, then seed) have the same size. */
export const IDENTITY_KEY_BYTES = 64;
const KEY_BYTES = 32;

/** What one packet to an identity is encrypted with: the ephemeral public key that it carries, and the key agreed. */
export interface Seal {
  readonly publicKey: Uint8Array;
  readonly token: Token;
}

/** The ciphertext of one packet; a seal is for one. */
export function sealWith(seal: Seal, plaintext: Uint8Array, random: Random): Uint8Array {
  return concatBytes(seal.publicKey, seal.token.encrypt(plaintext, random));
}

/** Somebody else's identity: what an announce carries. */
export class PublicIdentity {
  /** 64 bytes. */
  readonly publicKey: Uint8Array;
  /** 16 bytes. */
  readonly hash: Uint8Array;
  readonly hex: string;
  readonly #verifier: VerifyingKey;
  readonly #sealing: PeerExchangeKey;
  /** Throws `key_invalid` unless given 64 bytes. */
  constructor(publicKey: Uint8Array) {
    if (publicKey.length !== IDENTITY_KEY_BYTES) {
      throw new SpineError("key_invalid", `identity public key of ${publicKey.length} bytes`);
    }
    this.publicKey = publicKey.slice();
    this.hash = truncatedHash(this.publicKey);
    this.hex = toHex(this.hash);
    this.#verifier = new VerifyingKey(this.publicKey.subarray(KEY_BYTES));
    this.#sealing = new PeerExchangeKey(this.publicKey.subarray(0, KEY_BYTES));
  }
  /** The Ed25519 half, 32 bytes. */
  get signingKey(): Uint8Array {
    return this.publicKey.subarray(KEY_BYTES);
  }
  verify(message: Uint8Array, signature: Uint8Array): boolean {
    return this.#verifier.verify(message, signature);
  }
  /** An ephemeral key agreed with ours for one packet: to `ratchet` (32 bytes) when one is known. Throws `key_invalid`. */
  seal(ephemeral: ExchangeKey, ratchet?: Uint8Array): Seal {
    const shared = ephemeral.agree(ratchet ?? this.#sealing);
    if (shared === undefined) throw new SpineError("key_invalid", `identity ${this.hex} has an unusable exchange key`);
    return { publicKey: ephemeral.publicKey, token: new Token(hkdf(64, shared, this.hash)) };
  }
  /** With a new ephemeral key; to `ratchet` when one is known. Throws `key_invalid` for an unusable key. */
  encrypt(plaintext: Uint8Array, random: Random, ratchet?: Uint8Array): Uint8Array {
    return sealWith(this.seal(new ExchangeKey(random(KEY_BYTES)), ratchet), plaintext, random);
  }
}

/** An identity whose private key we hold. */
export class Identity extends PublicIdentity {
  readonly #privateKey: Uint8Array;
  readonly #exchange: ExchangeKey;
  readonly #signing: SigningKey;
  private constructor(privateKey: Uint8Array, exchange: ExchangeKey, signing: SigningKey) {
    super(concatBytes(exchange.publicKey, signing.publicKey));
    this.#privateKey = privateKey;
    this.#exchange = exchange;
    this.#signing = signing;
  }
  /** From the 64 bytes of an identity file. Throws `key_invalid`. */
  static fromPrivateKey(privateKey: Uint8Array): Identity {
    if (privateKey.length !== IDENTITY_KEY_BYTES) {
      throw new SpineError("key_invalid", `identity private key of ${privateKey.length} bytes`);
    }
    const own = privateKey.slice();
    return new Identity(own, new ExchangeKey(own.subarray(0, KEY_BYTES)), new SigningKey(own.subarray(KEY_BYTES)));
  }
  static create(random: Random): Identity {
    return Identity.fromPrivateKey(concatBytes(random(KEY_BYTES), random(KEY_BYTES)));
  }
  /** A copy of the 64 secret bytes, for the key file. */
  exportPrivateKey(): Uint8Array {
    return this.#privateKey.slice();
  }
  sign(message: Uint8Array): Uint8Array {
    return this.#signing.sign(message);
  }
  /** The 32 bytes that the two identities share, or undefined if the other's key is unusable. */
  agree(other: PublicIdentity): Uint8Array | undefined {
    return this.#exchange.agree(other.publicKey.subarray(0, KEY_BYTES));
  }
  /** Tries the given ratchets, newest first, then the identity key unless `ratchetsOnly`. */
  decrypt(
    ciphertext: Uint8Array,
    ratchets: readonly ExchangeKey[] = [],
    ratchetsOnly: boolean = false,
  ): Uint8Array | undefined {
    if (ciphertext.length <= KEY_BYTES) return undefined;
    const ephemeral = ciphertext.subarray(0, KEY_BYTES);
    const token = ciphertext.subarray(KEY_BYTES);
    for (const key of ratchetsOnly ? ratchets : [...ratchets, this.#exchange]) {
      const shared = key.agree(ephemeral);
      const plaintext = shared && new Token(hkdf(64, shared, this.hash)).decrypt(token);
      if (plaintext !== undefined) return plaintext;
    }
    return undefined;
  }
}
