/** Bridge commands of the link handshake: hand-made requests and proofs, and what the stack itself makes. */
import { announceData, announceRandomHash } from "../../planes/reticulum/stack/announce.ts";
import { ExchangeKey } from "../../planes/reticulum/stack/crypto.ts";
import { Destination } from "../../planes/reticulum/stack/destination.ts";
import { Endpoint, type Send } from "../../planes/reticulum/stack/endpoint.ts";
import { encodeSignalling, LINK_MODE, linkRequestProof, MAX_LINK_MTU } from "../../planes/reticulum/stack/handshake.ts";
import { Identity } from "../../planes/reticulum/stack/identity.ts";
import { LINK, SINGLE } from "../../planes/reticulum/stack/name.ts";
import {
  ANNOUNCE,
  buildPacket,
  CONTEXT,
  LINK_REQUEST,
  PROOF,
  parsePacket,
} from "../../planes/reticulum/stack/packet.ts";
import { concatBytes, toHex } from "../../spine/index.ts";
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

/** A link between two endpoints, both up; `hear` lets the far end hear a message of the near one. */
export function linkedAlone(prepare: (destination: Destination) => void = () => undefined) {
  const bench = alone();
  const { endpoint: near, destination } = bench;
  const far = new Endpoint({ random });
  far.attach(WIRE);
  prepare(destination);
  far.register(destination);
  const { link, request } = pendingLink(bench);
  let toFar: readonly Send[] = [{ wire: WIRE.id, frame: request.raw }];
  while (toFar.length > 0) {
    const toNear = toFar.flatMap(({ frame }) => far.handle(WIRE.id, frame, Date.now()));
    toFar = toNear.flatMap(({ frame }) => near.handle(WIRE.id, frame, Date.now()));
  }
  const [farLink] = far.links.values();
  if (farLink === undefined || !link.isUp) throw new Error("the link did not come up");
  const hear = (context: number, plain: Uint8Array): void => {
    const frames = near.act(Date.now(), () => link.transmit(context, plain));
    for (const { frame } of frames) far.handle(WIRE.id, frame, Date.now());
  };
  return { near: link, nearEndpoint: near, far, farLink, destination, hear };
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
};
