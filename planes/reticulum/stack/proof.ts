/** Delivery proofs of single packets and of link packets (spec/reticulum.md section 11). Used by the endpoint and links. */
import { concatBytes, equalBytes } from "../../../spine/index.ts";
import { ADDRESS_BYTES } from "./hash.ts";
import { LINK, SINGLE } from "./name.ts";
import { buildPacket, PROOF } from "./packet.ts";

const HASH_BYTES = 32;
const SIGNATURE_BYTES = 64;

interface ProofSigner {
  sign(message: Uint8Array): Uint8Array;
}
interface ProofVerifier {
  verify(message: Uint8Array, signature: Uint8Array): boolean;
}

/** Proof packet of a single packet: the bare signature (implicit), or with the packet hash before it (explicit). */
export function singleProof(hash: Uint8Array, signer: ProofSigner, form: "implicit" | "explicit"): Uint8Array {
  const signature = signer.sign(hash);
  return buildPacket({
    packetType: PROOF,
    destinationType: SINGLE,
    destination: hash.subarray(0, ADDRESS_BYTES),
    data: form === "implicit" ? signature : concatBytes(hash, signature),
  });
}

/** Proof packet of a packet on a link: always explicit, addressed to the link. */
export function linkProof(hash: Uint8Array, signer: ProofSigner, linkId: Uint8Array): Uint8Array {
  const data = concatBytes(hash, signer.sign(hash));
  return buildPacket({ packetType: PROOF, destinationType: LINK, destination: linkId, data });
}

/** Does `data`, in either form, prove the packet with this hash? */
export function proves(data: Uint8Array, hash: Uint8Array, verifier: ProofVerifier): boolean {
  if (data.length === SIGNATURE_BYTES) return verifier.verify(hash, data);
  if (data.length !== HASH_BYTES + SIGNATURE_BYTES) return false;
  return equalBytes(data.subarray(0, HASH_BYTES), hash) && verifier.verify(hash, data.subarray(HASH_BYTES));
}
