/** Bridge commands that answer a waiting packet with crafted proofs, and show the proof of a link request. */
import { Endpoint } from "../../planes/reticulum/stack/endpoint.ts";
import { Identity } from "../../planes/reticulum/stack/identity.ts";
import type { Link } from "../../planes/reticulum/stack/link.ts";
import { LINK, SINGLE } from "../../planes/reticulum/stack/name.ts";
import { buildPacket, PROOF, parsePacket } from "../../planes/reticulum/stack/packet.ts";
import { linkProof, singleProof } from "../../planes/reticulum/stack/proof.ts";
import type { Receipt } from "../../planes/reticulum/stack/receipt.ts";
import { concatBytes, toHex } from "../../spine/index.ts";
import { alone, pendingLink, WIRE } from "./conformance-craft.ts";
import { nodeOf, type Params, random, type Value, type WireCommand } from "./conformance-node.ts";
import { RECEIPT_STATES } from "./conformance-wire.ts";

/** The lengths of both forms, measured on proofs. */
function lengths(identity: Identity): Record<string, Value> {
  const of = (form: "implicit" | "explicit") => parsePacket(singleProof(random(32), identity, form)).data.length;
  return { impl_length: of("implicit"), expl_length: of("explicit") };
}

function outcome(variant: string, receipt: Receipt, proof: Uint8Array): Record<string, Value> {
  const [status, name] = RECEIPT_STATES[receipt.state];
  const delivered = receipt.state === "delivered";
  return { variant, validated: delivered, proved: delivered, status, status_name: name, proof_len: proof.length };
}

function craft(variant: string, hash: Uint8Array, signer: Identity): Uint8Array {
  const stranger = Identity.create(random);
  const proofs: Readonly<Record<string, () => Uint8Array>> = {
    valid_explicit: () => parsePacket(singleProof(hash, signer, "explicit")).data,
    valid_implicit: () => parsePacket(singleProof(hash, signer, "implicit")).data,
    implicit_valid_sig: () => parsePacket(singleProof(hash, signer, "implicit")).data,
    implicit_random: () => random(64),
    forged_implicit: () => stranger.sign(hash),
    forged_explicit: () => concatBytes(hash, stranger.sign(hash)),
    wrong_hash_explicit: () => concatBytes(random(32), signer.sign(hash)),
    wrong_length_short: () => random(32),
    wrong_length_mid: () => random(65),
    wrong_length_long: () => random(97),
  };
  const made = proofs[variant];
  if (made === undefined) throw new Error(`ValueError: unknown variant ${variant}`);
  return made();
}

function proofPacket(type: typeof SINGLE | typeof LINK, destination: Uint8Array, data: Uint8Array): Uint8Array {
  return buildPacket({ packetType: PROOF, destinationType: type, destination, data });
}

/** A proof for a packet that the node really sent; whoever could sign it is on the other side. */
function craftedProof(p: Params): Value {
  const node = nodeOf(p);
  const receipt = node.receipts.get(String(p["receipt_id"]));
  if (receipt === undefined) throw new Error("ValueError: unknown receipt");
  const variant = String(p["variant"]);
  const data = craft(variant, receipt.hash, Identity.create(random));
  const { endpoint } = node.station;
  const [wire] = endpoint.wires.keys();
  const packet = proofPacket(SINGLE, receipt.hash.subarray(0, 16), data);
  node.act(() => endpoint.handle(wire as string, packet, performance.timeOrigin + performance.now()));
  return outcome(variant, receipt, data);
}

/** A single packet to an announced destination whose key we hold. */
function singleFormat(p: Params): Value {
  const variant = String(p["variant"]);
  const bench = alone();
  const { endpoint, identity, destination } = bench;
  pendingLink(bench);
  const box: { receipt?: Receipt } = {};
  endpoint.act(Date.now(), () => {
    box.receipt = endpoint.send(destination.hash, random(20));
  });
  const receipt = box.receipt as Receipt;
  const data = craft(variant, receipt.hash, identity);
  endpoint.handle(WIRE.id, proofPacket(SINGLE, receipt.hash.subarray(0, 16), data), Date.now());
  return { ...outcome(variant, receipt, data), ...lengths(identity) };
}

/** Two endpoints with a link between them; the answer is a proof as the far end would sign it. */
function linkFormat(p: Params): Value {
  const variant = String(p["variant"]);
  const bench = alone();
  const { endpoint, identity, destination } = bench;
  const { link, request } = pendingLink(bench);
  const far = new Endpoint({ random });
  far.attach(WIRE);
  far.register(destination);
  for (const { frame } of far.handle(WIRE.id, request.raw, Date.now())) endpoint.handle(WIRE.id, frame, Date.now());
  const box: { receipt?: Receipt } = {};
  endpoint.act(Date.now(), () => {
    box.receipt = link.send(random(20));
  });
  const receipt = box.receipt as Receipt;
  const valid = parsePacket(linkProof(receipt.hash, identity, link.id)).data;
  const data = variant === "valid_explicit" ? valid : craft(variant, receipt.hash, identity);
  endpoint.handle(WIRE.id, proofPacket(LINK, link.id, data), Date.now());
  const result = { ...outcome(variant, receipt, data), ...lengths(identity), expl_length: valid.length };
  endpoint.act(Date.now(), () => link.close());
  return result;
}

/** What a destination answers a link request with. */
function linkRequestProofFrame(): Value {
  const bench = alone();
  const { link, request }: { link: Link; request: { raw: Uint8Array } } = pendingLink(bench);
  const far = new Endpoint({ random });
  far.attach(WIRE);
  far.register(bench.destination);
  const [answer] = far.handle(WIRE.id, request.raw, Date.now());
  if (answer === undefined) throw new Error("the link request was not answered");
  const packet = parsePacket(answer.frame);
  return {
    raw: toHex(packet.raw),
    flags: packet.flags,
    link_id: link.hex,
    packet_type: packet.packetType,
    context: packet.context,
    expected_link_dest_type: LINK,
    truncated_hashlength: link.id.length,
  };
}

export const PROOFS: Readonly<Record<string, WireCommand>> = {
  wire_inject_crafted_proof: craftedProof,
  wire_inject_single_proof_format: singleFormat,
  wire_inject_crafted_link_proof: linkFormat,
  wire_capture_lrproof_frame: linkRequestProofFrame,
};
