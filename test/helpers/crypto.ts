/** Native hashing and Ed25519 behind the core's ports, for suites that check vectors or many signatures. */
import { createHash, createPrivateKey, createPublicKey, type KeyObject, sign, verify } from "node:crypto";
import { type Claim, type Sha256, TreeHasher, toHex, type Verifier } from "../../spine/index.ts";

export const sha256: Sha256 = (bytes) => Uint8Array.from(createHash("sha256").update(bytes).digest());
export const sha256Hex = (bytes: Uint8Array): string => createHash("sha256").update(bytes).digest("hex");
export const hasher = new TreeHasher(sha256);

const PKCS8 = Buffer.from("302e020100300506032b657004220420", "hex");
const SPKI = Buffer.from("302a300506032b6570032100", "hex");

export interface TestKey {
  /** 32 bytes. */
  readonly publicKey: Uint8Array;
  readonly issuer: string;
  sign(message: Uint8Array): Uint8Array;
}

/** A key from a 32-byte seed. */
export function testKey(seed: Uint8Array): TestKey {
  const key = createPrivateKey({ key: Buffer.concat([PKCS8, seed]), format: "der", type: "pkcs8" });
  const spki = createPublicKey(key).export({ format: "der", type: "spki" });
  const publicKey = Uint8Array.from(spki.subarray(SPKI.length));
  return {
    publicKey,
    issuer: `aegis:ed25519:${toHex(publicKey)}`,
    sign: (message) => Uint8Array.from(sign(null, message, key)),
  };
}

/** A different key for each name. */
export function namedKey(name: string): TestKey {
  return testKey(sha256(new TextEncoder().encode(name)));
}

function isValid(claim: Claim): boolean {
  if (claim.key.length !== 32 || claim.signature.length !== 64) return false;
  try {
    const key: KeyObject = createPublicKey({ key: Buffer.concat([SPKI, claim.key]), format: "der", type: "spki" });
    return verify(null, claim.message, key, claim.signature);
  } catch {
    return false;
  }
}

export const verifier: Verifier = { verify: async (batch) => batch.map(isValid) };
