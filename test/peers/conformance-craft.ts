/** Bridge commands that feed hand-made packets to the stack, or look at what it makes. */
import {
  FLAG,
  HASHMAP_ENTRIES,
  MAP_HASH_BYTES,
  packAdvertisement,
  readMapHashes,
  unpackAdvertisement,
} from "../../planes/reticulum/stack/advertisement.ts";
import { announceData, announceRandomHash } from "../../planes/reticulum/stack/announce.ts";
import { ExchangeKey, sha256 } from "../../planes/reticulum/stack/crypto.ts";
import { Destination } from "../../planes/reticulum/stack/destination.ts";
import { Endpoint } from "../../planes/reticulum/stack/endpoint.ts";
import { encodeSignalling, LINK_MODE, linkRequestProof, MAX_LINK_MTU } from "../../planes/reticulum/stack/handshake.ts";
import { Identity } from "../../planes/reticulum/stack/identity.ts";
import type { LinkPort } from "../../planes/reticulum/stack/link-port.ts";
import { LinkResources, type ReceivedResource } from "../../planes/reticulum/stack/link-resources.ts";
import { type Packable, pack } from "../../planes/reticulum/stack/msgpack.ts";
import { LINK, SINGLE } from "../../planes/reticulum/stack/name.ts";
import {
  ANNOUNCE,
  buildPacket,
  CONTEXT,
  LINK_REQUEST,
  PROOF,
  parsePacket,
} from "../../planes/reticulum/stack/packet.ts";
import { SegmentReceiver } from "../../planes/reticulum/stack/resource-receiver.ts";
import { OutgoingResource } from "../../planes/reticulum/stack/resource-sender.ts";
import { INITIAL_WINDOW } from "../../planes/reticulum/stack/resource-window.ts";
import {
  advertise,
  makeSegment,
  mapNumber,
  partBytesAt,
  partOf,
  type Segment,
} from "../../planes/reticulum/stack/segment.ts";
import { Token } from "../../planes/reticulum/stack/token.ts";
import { concatBytes, fromHex, SpineError, toHex } from "../../spine/index.ts";
import { feed, LINK_STATES, linkOf, stateName } from "./conformance-links.ts";
import { nodeOf, type Params, random, type Value, type WireCommand } from "./conformance-node.ts";

// --- the handshake, on an endpoint of its own ---

export const WIRE = { id: "bench", bitrate: 1e7, hardwareMtu: 500, signalsMtu: false };

export interface Alone {
  readonly endpoint: Endpoint;
  readonly identity: Identity;
  readonly destination: Destination;
}

export function alone(): Alone {
  const identity = Identity.create(random);
  const destination = new Destination({ type: SINGLE, appName: "conformance", aspects: ["lr"], identity });
  const endpoint = new Endpoint({ random });
  endpoint.attach(WIRE);
  return { endpoint, identity, destination };
}

/** Opens a link to a destination that was announced; returns it with the request packet. */
export function pendingLink({ endpoint, identity, destination }: Alone) {
  const data = announceData({
    identity,
    destination: destination.hash,
    nameHash: destination.nameHash,
    randomHash: announceRandomHash(random(5), Date.now()),
  });
  const fields = { packetType: ANNOUNCE, destinationType: SINGLE, destination: destination.hash, data } as const;
  endpoint.handle(WIRE.id, buildPacket(fields), Date.now());
  const made: { link?: ReturnType<Endpoint["openLink"]> } = {};
  const [send] = endpoint.act(Date.now(), () => {
    made.link = endpoint.openLink(destination.hash);
  });
  if (made.link === undefined || send === undefined) throw new Error("no link request was made");
  return { link: made.link, request: parsePacket(send.frame) };
}

function linkProofPacket(p: Params): Value {
  const variant = String(p["variant"]);
  const bench = alone();
  const { link } = pendingLink(bench);
  const { endpoint, identity } = bench;
  const ephemeral = new ExchangeKey(random(32)).publicKey;
  const none = new Uint8Array(0);
  const signer = variant === "forged_signature" ? Identity.create(random) : identity;
  const genuine = parsePacket(linkRequestProof(link.id, identity, ephemeral, none)).data;
  let data = genuine;
  if (variant === "forged_signature") {
    const signature = signer.sign(concatBytes(link.id, ephemeral, identity.signingKey));
    data = concatBytes(signature, ephemeral);
  } else if (variant === "wrong_signed_data") data = concatBytes(identity.sign(random(96)), ephemeral);
  else if (variant === "wrong_size") data = genuine.slice(0, -1);
  else if (variant === "mode_mismatch") {
    data = parsePacket(linkRequestProof(link.id, identity, ephemeral, encodeSignalling(500))).data.slice();
    data[96] = ((data[96] as number) & 0x1f) | (2 << 5);
  } else if (variant === "non_pending") endpoint.act(Date.now(), () => link.close());
  const fields = { packetType: PROOF, destinationType: LINK, destination: link.id } as const;
  endpoint.handle(WIRE.id, buildPacket({ ...fields, context: CONTEXT.linkRequestProof, data }), Date.now());
  const result = {
    variant,
    activated: link.state === "active",
    status: LINK_STATES[link.state],
    status_name: stateName(link),
    mtu: link.mtu,
    mode: LINK_MODE,
  };
  endpoint.act(Date.now(), () => link.close());
  return result;
}

function requestPayload(): Value {
  const { request } = pendingLink(alone());
  const { data } = request;
  return {
    request_data_hex: toHex(data),
    pub_bytes: toHex(data.slice(0, 32)),
    sig_pub_bytes: toHex(data.slice(32, 64)),
    signalling_bytes: toHex(data.slice(64)),
    len: data.length,
    ecpubsize: 64,
    link_mtu_size: data.length - 64,
    mtu: 500,
    mode: (data[64] as number) >> 5,
  };
}

function signalling(p: Params): Value {
  const about = {
    mtu: Number(p["mtu"]),
    mode: Number(p["mode"]),
    mtu_bytemask: MAX_LINK_MTU,
    mode_bytemask: 0xe0,
    enabled_modes: [LINK_MODE],
    mode_default: LINK_MODE,
    link_mtu_size: 3,
  };
  try {
    return { ...about, signalling_bytes: toHex(encodeSignalling(about.mtu, about.mode)), raised: false };
  } catch {
    return { ...about, signalling_bytes: null, raised: true };
  }
}

function linkRequest(p: Params): Value {
  const variant = String(p["variant"]);
  const { endpoint, destination } = alone();
  endpoint.register(destination);
  const whole = pendingLink(alone()).request.data.slice();
  const sizes: Readonly<Record<string, number>> = { valid64: 64, size_63: 63, size_66: 66, size_0: 0 };
  if (variant === "bad_mode") whole[64] = 0x60;
  const data = whole.slice(0, sizes[variant] ?? whole.length);
  // A frame counts the hop to here itself.
  const hops = Math.max(0, Number(p["hops"] ?? 0) - 1);
  const fields = {
    packetType: LINK_REQUEST,
    destinationType: SINGLE,
    destination: destination.hash,
    data,
    hops,
  } as const;
  endpoint.handle(WIRE.id, buildPacket(fields), Date.now());
  const [link] = endpoint.links.values();
  const accepted = link !== undefined;
  return {
    variant,
    data_len: data.length,
    accepted,
    inbound_link_created: accepted,
    establishment_timeout: accepted ? link.establishmentTimeoutMs / 1000 : null,
    mode: accepted ? LINK_MODE : null,
    mtu: accepted ? link.mtu : null,
    establishment_timeout_per_hop: 6,
    keepalive: 360,
  };
}

function acceptGate(p: Params): Value {
  const { endpoint, destination } = alone();
  destination.acceptsLinks = p["accepts"] === true;
  endpoint.register(destination);
  const before = endpoint.links.size;
  const { data } = pendingLink(alone()).request;
  const fields = { packetType: LINK_REQUEST, destinationType: SINGLE, destination: destination.hash, data } as const;
  endpoint.handle(WIRE.id, buildPacket(fields), Date.now());
  const after = endpoint.links.size;
  return { accepts: p["accepts"] === true, links_before: before, links_after: after, link_created: after > before };
}

function linkIdentify(p: Params): Value {
  const node = nodeOf(p);
  const link = linkOf(p);
  const variant = String(p["variant"]);
  const claimed = Identity.create(random);
  const signer = variant === "forged_signature" ? Identity.create(random) : claimed;
  const signed = variant === "wrong_signed_data" ? random(80) : concatBytes(link.id, claimed.publicKey);
  const whole = concatBytes(claimed.publicKey, signer.sign(signed));
  const plain = variant === "wrong_length" ? whole.slice(0, 96) : whole;
  feed(node, link, CONTEXT.linkIdentify, link.token.encrypt(plain, random));
  const initiator = link.role === "initiator";
  const after = initiator ? null : (link.peer?.hex ?? null);
  return {
    variant,
    claimed_identity_hash: claimed.hex,
    remote_identity_after: after,
    adopted: link.peer?.hex === claimed.hex,
    initiator,
  };
}

// --- resources, on a link that only remembers what was sent ---

interface Sent {
  readonly context: number;
  readonly data: Uint8Array;
}

class Bench {
  readonly token = new Token(random(64));
  readonly sent: Sent[] = [];
  readonly proofs: Uint8Array[] = [];
  readonly received: ReceivedResource[] = [];
  readonly failures: SpineError[] = [];
  readonly resources: LinkResources;
  readonly port: LinkPort;
  accepts = true;
  constructor() {
    this.port = {
      id: random(16),
      context: {
        now: () => performance.now(),
        random,
        schedule: () => () => undefined,
        transmit: () => undefined,
        count: () => undefined,
        notify: (task) => task(),
      },
      token: this.token,
      mtu: 500,
      mdu: 431,
      rttMs: 1,
      bitrate: 1e7,
      handshakeRate: 1e6,
      transmit: (context, data) => {
        this.sent.push({ context, data });
        return data;
      },
      transmitProof: (_, data) => void this.proofs.push(data),
      transmitProved: () => {
        throw new Error("not on this bench");
      },
      close: () => undefined,
    };
    const handlers = {
      accept: () => this.accepts,
      received: (resource: ReceivedResource) => void this.received.push(resource),
      failed: (_: unknown, reason: SpineError) => void this.failures.push(reason),
    };
    this.resources = new LinkResources(this.port, handlers, 2 ** 26);
  }
  segment(bytes: number): Segment {
    return makeSegment(random(bytes), this.token, partBytesAt(500), random);
  }
  advertisement(segment: Segment, bytes: number, flags: number = FLAG.encrypted) {
    const about = { totalBytes: bytes, originalHash: segment.hash, segment: 1, segments: 1, requestId: null, flags };
    return advertise(segment, about);
  }
  /** One message as it would arrive. */
  hear(context: number, plain: Uint8Array): void {
    const fields = { packetType: 0, destinationType: LINK, destination: this.port.id, context, data: plain } as const;
    this.resources.handle(parsePacket(buildPacket(fields)), plain);
  }
  parts(): number {
    return this.sent.filter(({ context }) => context === CONTEXT.resource).length;
  }
}

const STATES = { queued: "QUEUED", advertised: "ADVERTISED", transferring: "TRANSFERRING" } as const;
function nameOf({ state }: OutgoingResource): string {
  if (state === "awaiting-proof") return "AWAITING_PROOF";
  return state === "complete" ? "COMPLETE" : state === "failed" ? "FAILED" : STATES[state];
}

function resourceRequest(p: Params): Value {
  const variant = String(p["variant"]);
  const bench = new Bench();
  const long = variant === "misaligned_hmu" || variant === "aligned";
  const sender = new OutgoingResource(bench.port, random(long ? 60_000 : 5000), { compress: false });
  sender.start();
  const advertised = unpackAdvertisement((bench.sent[0] as Sent).data, partBytesAt(500));
  const { hash, parts } = advertised;
  const known = readMapHashes(advertised.hashmap);
  if (long) {
    const lastKnown = known[variant === "aligned" ? HASHMAP_ENTRIES - 1 : 10] as number;
    sender.serve({ hash, lastKnown, wanted: [] }, random(32));
    return { variant, cancelled: sender.state === "failed", status_name: nameOf(sender) };
  }
  const request = { hash, lastKnown: undefined, wanted: known };
  const id = random(32);
  sender.serve(request, id);
  const first = bench.sent.slice(1).map(({ data }) => toHex(data));
  const status = nameOf(sender);
  sender.serve(request, variant === "duplicate" ? id : random(32));
  const again = bench.sent.slice(1 + first.length).map(({ data }) => toHex(data));
  return {
    variant,
    total_parts: parts,
    served_indices: first.map((part) => known.indexOf(mapNumber(fromHex(part), advertised.randomHash))),
    sent_parts: first.length,
    status_name: status,
    identical_on_resend: JSON.stringify(first) === JSON.stringify(again),
    first_served: first.length,
    second_served: first.length + again.length,
    first_in_hashlist: again.length === 0,
    req_hashlist_len: again.length === 0 ? 1 : 2,
    deduped: again.length === 0,
  };
}

function assembled(p: Params): Value {
  const corrupt = p["variant"] === "corrupt";
  const bench = new Bench();
  const segment = bench.segment(3000);
  const told = bench.advertisement(segment, 3000);
  bench.hear(CONTEXT.resourceAdvertisement, packAdvertisement(corrupt ? { ...told, hash: random(32) } : told));
  feedParts(bench, segment, 0, segment.mapHashes.length);
  const complete = bench.received.length === 1;
  return {
    variant: String(p["variant"]),
    status_name: complete ? "COMPLETE" : bench.failures.length > 0 ? "CORRUPT" : "TRANSFERRING",
    complete,
    corrupt: bench.failures.length > 0,
    proof_sent: bench.proofs.length > 0,
    proof_calls: bench.proofs.length,
  };
}

/** Each part as soon as it was asked for. */
function feedParts(bench: Bench, segment: Segment, from: number, to: number): void {
  for (let i = from; i < to; i++) bench.hear(CONTEXT.resource, partOf(segment, i));
}

function duplicateAdvertisement(): Value {
  const bench = new Bench();
  const segment = bench.segment(3000);
  const packed = packAdvertisement(bench.advertisement(segment, 3000));
  bench.hear(CONTEXT.resourceAdvertisement, packed);
  const first = bench.resources.incoming;
  bench.hear(CONTEXT.resourceAdvertisement, packed);
  const { incoming } = bench.resources;
  return { first_accepted: first === 1, second_created: incoming > first, incoming_count: incoming };
}

function malformedAdvertisement(p: Params): Value {
  const bench = new Bench();
  let crashed = false;
  try {
    const missing = pack(new Map<Packable, Packable>([["t", 100]]));
    bench.hear(CONTEXT.resourceAdvertisement, p["variant"] === "garbage" ? random(40) : missing);
  } catch (caught) {
    crashed = !(caught instanceof SpineError);
  }
  return { variant: String(p["variant"]), inbound_started: bench.resources.incoming > 0, crashed };
}

function hashmapUpdate(): Value {
  const bench = new Bench();
  const segment = bench.segment(60_000);
  const told = bench.advertisement(segment, 60_000);
  const receiver = new SegmentReceiver(bench.port, told, 60_000, { window: 4, rate: undefined });
  receiver.start();
  const before = receiver.hashmapHeight;
  const at = HASHMAP_ENTRIES * MAP_HASH_BYTES;
  const update = { hash: segment.hash, segment: 1, hashes: segment.hashmap.slice(at, 2 * at) };
  receiver.update(update);
  const first = receiver.hashmapHeight;
  receiver.update(update);
  const second = receiver.hashmapHeight;
  return {
    total_parts: told.parts,
    height_after_advert: before,
    height_after_first: first,
    height_after_duplicate: second,
    grew_on_first: first > before,
    grew_on_duplicate: second > first,
  };
}

function proofCount(): Value {
  const bench = new Bench();
  const segment = bench.segment(5000);
  const parts = segment.mapHashes.length;
  bench.hear(CONTEXT.resourceAdvertisement, packAdvertisement(bench.advertisement(segment, 5000)));
  feedParts(bench, segment, 0, parts - 1);
  const before = bench.proofs.length;
  feedParts(bench, segment, parts - 1, parts);
  return {
    total_parts: parts,
    proofs_before_final: before,
    complete: bench.received.length === 1,
    proofs_after_assembly: bench.proofs.length,
  };
}

function outgoingQueue(): Value {
  const bench = new Bench();
  const empty = bench.resources.outgoing.length === 0;
  const first = bench.resources.send(random(3000), { compress: false });
  const second = bench.resources.send(random(3000), { compress: false });
  return {
    ready_empty: empty && first.state === "advertised",
    ready_with_one: second.state !== "queued",
    queued: second.state === "queued",
    second_status_name: nameOf(second),
  };
}

/** Received parts are counted by the receiver's own progress. */
function craftedPart(p: Params): Value {
  const variant = String(p["variant"]);
  const bench = new Bench();
  const segment = bench.segment(9000);
  const told = bench.advertisement(segment, 9000);
  const receiver = new SegmentReceiver(bench.port, told, 9000, { window: INITIAL_WINDOW, rate: undefined });
  receiver.start();
  const received = () => Math.round(receiver.progress * told.parts);
  if (variant === "duplicate_filled") receiver.part(partOf(segment, 0));
  const before = received();
  if (variant === "forged_map_hash") receiver.part(random(partBytesAt(500)));
  else receiver.part(partOf(segment, variant === "beyond_window" ? INITIAL_WINDOW + 2 : 0));
  const after = received();
  return {
    variant,
    accepted: after > before,
    parts_before: before,
    parts_after: after,
    received_count_after: after,
    total_parts: told.parts,
  };
}

function craftedProof(p: Params): Value {
  const variant = String(p["variant"]);
  const bench = new Bench();
  const body = random(2000);
  const sender = bench.resources.send(body, { compress: false });
  const { hash, hashmap } = unpackAdvertisement((bench.sent[0] as Sent).data, partBytesAt(500));
  sender.serve({ hash, lastKnown: undefined, wanted: readMapHashes(hashmap) }, random(32));
  const right = concatBytes(hash, sha256(body, hash));
  const variants: Readonly<Record<string, Uint8Array>> = {
    wrong_proof: concatBytes(hash, random(32)),
    wrong_length_short: right.slice(0, 32),
    wrong_length_long: concatBytes(right, random(32)),
  };
  const data = variants[variant] ?? right;
  bench.resources.prove(data);
  const concluded = sender.state === "complete";
  return { variant, concluded, status: concluded ? 6 : 4, status_name: nameOf(sender), proof_len: data.length };
}

/** After a cancel neither end reacts to what still comes. */
function lateAfterCancel(): Value {
  const bench = new Bench();
  const segment = bench.segment(60_000);
  const told = bench.advertisement(segment, 60_000);
  const receiver = new SegmentReceiver(bench.port, told, 60_000, { window: INITIAL_WINDOW, rate: undefined });
  let receiverStatus = "TRANSFERRING";
  receiver.onFailed = () => {
    receiverStatus = "FAILED";
  };
  receiver.start();
  const received = () => Math.round(receiver.progress * told.parts);
  receiver.cancel(new SpineError("resource_failed", "cancelled"));
  const [receivedBefore, heightBefore] = [received(), receiver.hashmapHeight];
  receiver.part(partOf(segment, 0));
  const at = HASHMAP_ENTRIES * MAP_HASH_BYTES;
  receiver.update({ hash: segment.hash, segment: 1, hashes: segment.hashmap.slice(at, 2 * at) });
  const sending = (cancel: boolean) => {
    const own = new Bench();
    const body = random(2000);
    const sender = own.resources.send(body, { compress: false });
    const { hash, hashmap } = unpackAdvertisement((own.sent[0] as Sent).data, partBytesAt(500));
    if (cancel) sender.cancel(new SpineError("resource_failed", "cancelled"));
    const sentBefore = own.parts();
    const state = nameOf(sender);
    sender.serve({ hash, lastKnown: undefined, wanted: readMapHashes(hashmap) }, random(32));
    const sentAfter = own.parts();
    sender.prove(concatBytes(hash, sha256(body, hash)));
    return { sentBefore, sentAfter, state, end: nameOf(sender) };
  };
  const cancelled = sending(true);
  return {
    receiver_status: receiverStatus,
    receiver_received_before: receivedBefore,
    receiver_received_after_late_part: received(),
    receiver_height_before: heightBefore,
    receiver_height_after_late_hmu: receiver.hashmapHeight,
    sender_status: cancelled.state,
    sender_sent_before: cancelled.sentBefore,
    sender_sent_after_late_request: cancelled.sentAfter,
    sender_status_after_late_proof: cancelled.end,
    control_status_after_proof: sending(false).end,
  };
}

function keyMaterial(p: Params): Value {
  const link = linkOf(p);
  const about = { status: LINK_STATES[link.state], status_name: stateName(link) };
  // The session key alone outlives the handshake: neither the shared secret nor our ephemeral key is kept to be shown.
  return {
    ...about,
    derived_key_present: link.hasKey,
    shared_key_present: false,
    prv_present: false,
    pub_present: false,
  };
}

export const CRAFT: Readonly<Record<string, WireCommand>> = {
  wire_inject_crafted_lrproof: linkProofPacket,
  wire_link_request_payload: requestPayload,
  wire_link_signalling_bytes: signalling,
  wire_inject_crafted_link_request: linkRequest,
  wire_link_accept_gate: acceptGate,
  wire_link_key_material: keyMaterial,
  wire_inject_crafted_link_identify: linkIdentify,
  wire_inject_crafted_resource_request: resourceRequest,
  wire_inject_corrupt_assembled_resource: assembled,
  wire_inject_duplicate_resource_adv: duplicateAdvertisement,
  wire_inject_malformed_resource_adv: malformedAdvertisement,
  wire_inject_hashmap_update: hashmapUpdate,
  wire_inject_crafted_resource_part: craftedPart,
  wire_inject_crafted_resource_proof: craftedProof,
  wire_resource_late_after_cancel: lateAfterCancel,
  wire_resource_receiver_proof_count: proofCount,
  wire_resource_outgoing_queue_state: outgoingQueue,
};
