/** X25519 keys of the tunnel: never the issuer's (rules 1). The public key is derived, never stored beside. */
import { createPrivateKey, createPublicKey } from "node:crypto";
import { SpineError } from "../../spine/index.ts";

/** PKCS #8 header of an X25519 private key (RFC 8410); 32 bytes follow. */
const PKCS8_HEADER = Buffer.from("302e020100300506032b656e04220420", "hex");

/** 32 bytes to 32 bytes; throws `key_invalid`. */
export function publicKeyOf(privateKey: Uint8Array): Uint8Array {
  if (privateKey.length !== 32)
    throw new SpineError("key_invalid", `a transport key has 32 bytes, not ${privateKey.length}`);
  const key = createPrivateKey({ key: Buffer.concat([PKCS8_HEADER, privateKey]), format: "der", type: "pkcs8" });
  return new Uint8Array(createPublicKey(key).export({ format: "der", type: "spki" }).subarray(-32));
}
