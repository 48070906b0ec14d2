/** Native crypto for simulations in tests: the same bytes and verdicts as the pure code, some twenty times faster. */
import { createPrivateKey, createPublicKey, hash, type KeyObject, sign, verify } from "node:crypto";
import { memoise, type SimPorts } from "../../sim/index.ts";
import {
  BoundedMap,
  type Claim,
  isStrictKey,
  isStrictSignature,
  issuerOf,
  type Sha256Hex,
  toHex,
} from "../../spine/index.ts";

const PKCS8_HEADER = Buffer.from("302e020100300506032b657004220420", "hex");
const SPKI_HEADER = Buffer.from("302a300506032b6570032100", "hex");
const keys = new BoundedMap<string, KeyObject>(1_000);

export const nativeSha256Hex: Sha256Hex = (bytes) => hash("sha256", bytes, "hex");

export function nativeVerify({ key, message, signature }: Claim): boolean {
  if (!isStrictKey(key) || !isStrictSignature(signature)) return false;
  const name = toHex(key);
  const known =
    keys.get(name) ?? createPublicKey({ key: Buffer.concat([SPKI_HEADER, key]), format: "der", type: "spki" });
  keys.set(name, known);
  return verify(null, message, known, signature);
}

export function nativePorts(): SimPorts {
  return {
    sha256Hex: nativeSha256Hex,
    verify: memoise(nativeVerify, nativeSha256Hex),
    keyFromSeed(seed) {
      const key = createPrivateKey({ key: Buffer.concat([PKCS8_HEADER, seed]), format: "der", type: "pkcs8" });
      const publicKey = new Uint8Array(createPublicKey(key).export({ format: "der", type: "spki" }).subarray(-32));
      return { issuer: issuerOf(publicKey), publicKey, sign: (message) => new Uint8Array(sign(null, message, key)) };
    },
  };
}
