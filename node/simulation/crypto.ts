/** node:crypto for simulated nodes. Used by the simulation's worker threads. */
import { sha256Hex } from "../hash.ts";
import { createSigner } from "../signer.ts";
import { createClaimCheck } from "../verify-batch.ts";
import type { SimCrypto } from "./face.ts";

export function nativeSimCrypto(): SimCrypto {
  return { sha256Hex, keyFromSeed: createSigner, verify: createClaimCheck() };
}
