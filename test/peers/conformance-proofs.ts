/** Bridge commands that answer a waiting packet with crafted proofs, and show the proof of a link request. */
import { Destination } from "../../planes/reticulum/stack/destination.ts";
import { Endpoint } from "../../planes/reticulum/stack/endpoint.ts";
import { Identity } from "../../planes/reticulum/stack/identity.ts";
import type { Link } from "../../planes/reticulum/stack/link.ts";
import { LINK, PLAIN, SINGLE } from "../../planes/reticulum/stack/name.ts";
import {
  ANNOUNCE,
  buildPacket,
  CONTEXT,
  DATA,
  LINK_REQUEST,
  PROOF,
  parsePacket,
} from "../../planes/reticulum/stack/packet.ts";
import { linkProof, singleProof } from "../../planes/reticulum/stack/proof.ts";
import type { Receipt } from "../../planes/reticulum/stack/receipt.ts";
import { concatBytes, toHex } from "../../spine/index.ts";
import { alone, linkedAlone, pendingLink, WIRE } from "./conformance-craft.ts";
import { nodeOf, type Params, random, type Value, type WireCommand } from "./conformance-node.ts";
import { proofLengths, RECEIPT_STATES } from "./conformance-wire.ts";

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
  return { ...outcome(variant, receipt, data), ...proofLengths(identity) };
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
  const result = { ...outcome(variant, receipt, data), ...proofLengths(identity), expl_length: valid.length };
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

/** What waits for a proof after the stack itself has sent a packet of this kind; those of links are sent on a link. */
function receiptGeneration(p: Params): Value {
  const context = Number(p["context"] ?? CONTEXT.none);
  const packetType = Number(p["packet_type"] ?? DATA);
  const bench = linkedAlone();
  const { nearEndpoint: endpoint, near: link, destination } = bench;
  const plain = new Destination({ type: PLAIN, appName: "conformance", aspects: ["receipt"] });
  const own = new Destination({ type: SINGLE, appName: "conformance", aspects: ["receipt"], random });
  const send = (): void => {
    if (packetType === ANNOUNCE) endpoint.announce(own);
    else if (packetType === LINK_REQUEST) endpoint.openLink(destination.hash);
    else if (packetType === PROOF) link.transmitProof(context, random(64));
    else if (p["dest_type"] === "plain") endpoint.sendTo(plain, random(16));
    else if (context === CONTEXT.none) endpoint.send(destination.hash, random(16));
    else link.transmit(context, random(16));
  };
  const waiting = (): number => endpoint.unproved + link.unproved;
  const before = waiting();
  const sent = endpoint.act(Date.now(), send).map(({ frame }) => parsePacket(frame));
  return {
    dest_type: String(p["dest_type"] ?? "single"),
    context: sent[0]?.context ?? null,
    packet_type: sent[0]?.packetType ?? null,
    sent: sent.length > 0,
    has_receipt: waiting() > before,
    // The suite asks for a receipt each time; there is no way to say so here, or not to.
    create_receipt_flag: true,
  };
}

export const PROOFS: Readonly<Record<string, WireCommand>> = {
  wire_inject_crafted_proof: craftedProof,
  wire_packet_receipt_generation: receiptGeneration,
  wire_inject_single_proof_format: singleFormat,
  wire_inject_crafted_link_proof: linkFormat,
  wire_capture_lrproof_frame: linkRequestProofFrame,
};
