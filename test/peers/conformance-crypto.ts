/**
 * Bridge commands on the cipher and its padding. The stack pads and unpads inside `aesEncrypt` and `aesDecrypt` only, so
 * both are driven there: OpenSSL without padding shows what they added, or hands them what they shall take off.
 */
import { createCipheriv, createDecipheriv } from "node:crypto";
import { aesDecrypt, aesEncrypt, ExchangeKey, SigningKey, VerifyingKey } from "../../planes/reticulum/stack/crypto.ts";
import { concatBytes, toHex } from "../../spine/index.ts";
import { bytes, type Params, random, type Value } from "./conformance-node.ts";

const BLOCK_BYTES = 16;
const CIPHER = "aes-256-cbc";

/** The stack's cipher without its last block, which holds nothing but padding when the plaintext is aligned. */
function rawEncrypt(p: Params): Uint8Array {
  const plaintext = bytes(p, "plaintext");
  if (plaintext.length % BLOCK_BYTES !== 0) throw new Error("ValueError: not a multiple of the block");
  return concatBytes(...aesEncrypt(CIPHER, bytes(p, "key"), bytes(p, "iv"), [plaintext])).slice(0, plaintext.length);
}

/** The stack decrypts padded text alone: the block of padding that follows this ciphertext is made by it as well. */
function rawDecrypt(p: Params): Value {
  const [key, ciphertext] = [bytes(p, "key"), bytes(p, "ciphertext")];
  const padding = aesEncrypt(CIPHER, key, ciphertext.slice(-BLOCK_BYTES), [new Uint8Array(0)]);
  const plaintext = aesDecrypt(CIPHER, key, bytes(p, "iv"), concatBytes(ciphertext, ...padding));
  if (plaintext === undefined) throw new Error("ValueError: does not decrypt");
  return { plaintext: toHex(plaintext) };
}

function pad(p: Params): Value {
  const [key, iv] = [random(32), random(BLOCK_BYTES)];
  const decipher = createDecipheriv(CIPHER, key, iv).setAutoPadding(false);
  const padded = decipher.update(concatBytes(...aesEncrypt(CIPHER, key, iv, [bytes(p, "data")])));
  return { padded: toHex(concatBytes(padded, decipher.final())) };
}

function unpad(p: Params): Value {
  const [key, iv] = [random(32), random(BLOCK_BYTES)];
  const cipher = createCipheriv(CIPHER, key, iv).setAutoPadding(false);
  const sealed = concatBytes(cipher.update(bytes(p, "data")), cipher.final());
  const unpadded = aesDecrypt(CIPHER, key, iv, sealed);
  if (unpadded === undefined) throw new Error("ValueError: wrong padding");
  return { unpadded: toHex(unpadded) };
}

/** There is one backend: it answers under both names, which the suite provides for. */
function backend(p: Params): Value {
  switch (p["op"]) {
    case "x25519_exchange": {
      const shared = new ExchangeKey(bytes(p, "private_key")).agree(bytes(p, "peer_public_key"));
      if (shared === undefined) throw new Error("ValueError: unusable peer key");
      return { result: toHex(shared) };
    }
    case "ed25519_sign":
      return { result: toHex(new SigningKey(bytes(p, "private_key")).sign(bytes(p, "message"))) };
    case "ed25519_verify":
      return { valid: new VerifyingKey(bytes(p, "public_key")).verify(bytes(p, "message"), bytes(p, "signature")) };
    case "aes_256_cbc_encrypt":
      return { result: toHex(rawEncrypt(p)) };
    default:
      throw new Error(`ValueError: unknown operation ${String(p["op"])}`);
  }
}

export const CIPHERS: Readonly<Record<string, (params: Params) => Value>> = {
  aes_256_cbc_encrypt: (p) => ({ ciphertext: toHex(rawEncrypt(p)) }),
  aes_256_cbc_decrypt: rawDecrypt,
  pkcs7_pad: pad,
  pkcs7_unpad: unpad,
  crypto_provider_op: backend,
};
