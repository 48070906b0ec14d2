/** Ed25519 signing with node:crypto and one cached key object (spine's `Signer` port). */
import { createPrivateKey, createPublicKey, type KeyObject, sign } from "node:crypto";
import { ISSUER_PREFIX, type Issuer, type Signer, SpineError, toHex } from "../spine/index.ts";

/** PKCS #8 header of an Ed25519 private key (RFC 8410); the 32-byte seed follows. */
const PKCS8_HEADER = Buffer.from("302e020100300506032b657004220420", "hex");

export interface IssuerSigner extends Signer {
  /** 32 bytes. */
  readonly publicKey: Uint8Array;
  sign(message: Uint8Array): Uint8Array;
}

/** For guard receipts, of which there may be thousands a second. */
export interface ReceiptSigner extends IssuerSigner {
  /** On another thread: slower for one message, but the caller's thread stays free. */
  signAside(message: Uint8Array): Promise<Uint8Array>;
}

/** `seed` is 32 bytes; throws `key_invalid` otherwise. */
export function createSigner(seed: Uint8Array): ReceiptSigner {
  if (seed.length !== 32) throw new SpineError("key_invalid", `a seed has 32 bytes, not ${seed.length}`);
  const key: KeyObject = createPrivateKey({ key: Buffer.concat([PKCS8_HEADER, seed]), format: "der", type: "pkcs8" });
  const publicKey = new Uint8Array(createPublicKey(key).export({ format: "der", type: "spki" }).subarray(-32));
  const issuer: Issuer = ISSUER_PREFIX + toHex(publicKey);
  return {
    issuer,
    publicKey,
    sign: (message) => sign(null, message, key),
    signAside: (message) =>
      new Promise((resolve, reject) => {
        sign(null, message, key, (error, signature) => (error === null ? resolve(signature) : reject(error)));
      }),
  };
}
