/** Crypto for simulations: pure @noble code through the core, verdicts memoised by key, message hash and signature. */
import {
  BoundedMap,
  type Claim,
  equalBytes,
  nobleSha256Hex,
  nobleSigner,
  nobleVerify,
  parseIssuer,
  toHex,
} from "../spine/index.ts";
import type { SimKey, SimPorts } from "./world.ts";

const MEMO_ENTRIES = 200_000;

/** Adds a memory of verdicts to any verification: in a mesh every signature is checked once per node. */
export function memoise(
  verify: (claim: Claim) => boolean,
  sha256Hex: SimPorts["sha256Hex"],
): (claim: Claim) => boolean {
  const memo = new BoundedMap<string, boolean>(MEMO_ENTRIES);
  /** By the signature's own array: of what was opened once for all nodes. */
  const same = new WeakMap<Uint8Array, Omit<Claim, "signature"> & { readonly verdict: boolean }>();
  return (claim) => {
    const { key, message, signature } = claim;
    const before = same.get(signature);
    if (before !== undefined && equalBytes(before.message, message) && equalBytes(before.key, key))
      return before.verdict;
    const verdict = check(claim);
    same.set(signature, { key, message, verdict });
    return verdict;
  };
  function check(claim: Claim): boolean {
    const key = `${toHex(claim.key)}|${sha256Hex(claim.message)}|${toHex(claim.signature)}`;
    const known = memo.get(key);
    if (known !== undefined) return known;
    const verdict = verify(claim);
    memo.set(key, verdict);
    return verdict;
  }
}

function keyFromSeed(seed: Uint8Array): SimKey {
  const signer = nobleSigner(seed);
  return {
    issuer: signer.issuer,
    publicKey: parseIssuer(signer.issuer),
    sign: (message) => signer.sign(message) as Uint8Array,
  };
}

export function noblePorts(): SimPorts {
  return { sha256Hex: nobleSha256Hex, keyFromSeed, verify: memoise(nobleVerify, nobleSha256Hex) };
}
