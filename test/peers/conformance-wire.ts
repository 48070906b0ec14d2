/** Bridge commands of a live node: start and stop, announces and paths, ratchets, packets and proofs, access codes. */

import { announceData, announceRandomHash } from "../../planes/reticulum/stack/announce.ts";
import { ExchangeKey } from "../../planes/reticulum/stack/crypto.ts";
import { Destination } from "../../planes/reticulum/stack/destination.ts";
import { Identity, PublicIdentity } from "../../planes/reticulum/stack/identity.ts";
import { GROUP, PLAIN, SINGLE } from "../../planes/reticulum/stack/name.ts";
import { ANNOUNCE, buildPacket, HEADER_BYTES, parsePacket } from "../../planes/reticulum/stack/packet.ts";
import { singleProof } from "../../planes/reticulum/stack/proof.ts";
import { ratchetId } from "../../planes/reticulum/stack/ratchet.ts";
import type { Receipt } from "../../planes/reticulum/stack/receipt.ts";
import { fromHex, toHex } from "../../spine/index.ts";
import {
  addNode,
  aspects,
  bytes,
  type Listener,
  nodeOf,
  type Params,
  random,
  stopNode,
  until,
  type Value,
  type WireCommand,
  WireNode,
} from "./conformance-node.ts";

async function start(p: Params, role: "server" | "client"): Promise<Value> {
  const node = new WireNode(p, role);
  await node.station.start();
  if (role === "client") await until(() => node.station.status()[0]?.online === true, 5000);
  const handle = addNode(node);
  return { handle, port: node.port, identity_hash: node.identity.hex, transport_enabled: node.transport };
}

function currentId(listener: Listener, back = 0): string | null {
  const key = listener.ring?.keys[back];
  return key === undefined ? null : toHex(ratchetId(key.publicKey));
}

function announce(p: Params): Value {
  const node = nodeOf(p);
  const listener = node.listen(p);
  const appData = bytes(p, "app_data");
  const options = appData.length === 0 && p["app_data_empty"] !== true ? {} : { appData };
  node.act(() => node.station.endpoint.announce(listener.destination, options));
  return {
    destination_hash: listener.destination.hex,
    identity_hash: listener.identity.hex,
    ratchets_enabled: listener.ring !== undefined,
    ratchet_count: listener.ring?.keys.length ?? 0,
    current_ratchet_id: currentId(listener),
  };
}

function listen(p: Params): Value {
  const node = nodeOf(p);
  const { destination, identity, ring } = node.listen(p);
  node.act(() => node.station.endpoint.announce(destination));
  return {
    destination_hash: destination.hex,
    identity_hash: identity.hex,
    public_key: toHex(identity.publicKey),
    ratchets_enabled: ring !== undefined,
  };
}

/** Whoever came after the announce asks for the path. */
async function pollPath(p: Params): Promise<Value> {
  const node = nodeOf(p);
  const hash = bytes(p, "destination_hash");
  const { endpoint } = node.station;
  const has = () => node.act(() => endpoint.path(hash)) !== undefined;
  const timeoutMs = Number(p["timeout_ms"] ?? 5000);
  if (!(await until(has, Math.min(400, timeoutMs)))) {
    node.act(() => endpoint.requestPath(hash));
    await until(has, timeoutMs - 400);
  }
  const path = node.act(() => endpoint.path(hash));
  return path === undefined ? { found: false, hops: null } : { found: true, hops: path.hops };
}

async function recall(p: Params): Promise<Value> {
  const node = nodeOf(p);
  const hash = bytes(p, "destination_hash");
  const find = () => {
    const { known } = node.station.endpoint;
    return p["from_identity_hash"] === true ? known.byIdentity(hash) : known.get(hash);
  };
  await until(() => find() !== undefined, Number(p["timeout_ms"] ?? 0));
  const found = find();
  if (found === undefined) return { found: false, app_data: null };
  const { identity, appData } = found;
  return { found: true, public_key: toHex(identity.publicKey), hash: identity.hex, app_data: toHex(appData) };
}

export const RECEIPT_STATES = { failed: [0, "FAILED"], sent: [1, "SENT"], delivered: [2, "DELIVERED"] } as const;

export function track(node: WireNode, receipt: Receipt): string {
  const id = toHex(random(8));
  node.receipts.set(id, receipt);
  return id;
}

async function receiptStatus(p: Params): Promise<Value> {
  const receipt = nodeOf(p).receipts.get(String(p["receipt_id"]));
  if (receipt === undefined) throw new Error("ValueError: unknown receipt");
  await until(() => receipt.state !== "sent", Number(p["timeout_ms"] ?? 0));
  const [status, name] = RECEIPT_STATES[receipt.state];
  return { status, status_name: name, delivered: status === 2, proved: status === 2 };
}

function sendPacket(p: Params): Value {
  const node = nodeOf(p);
  const hash = bytes(p, "destination_hash");
  const receipt = node.act(() => node.station.endpoint.send(hash, bytes(p, "data")));
  const hops = node.act(() => node.station.endpoint.path(hash))?.hops ?? 128;
  return { sent: true, receipt_id: p["create_receipt"] === false ? null : track(node, receipt), hops };
}

async function sendOpportunistic(p: Params): Promise<Value> {
  const node = nodeOf(p);
  const receipt = node.act(() => node.station.endpoint.send(bytes(p, "destination_hash"), bytes(p, "data")));
  await until(() => receipt.state !== "sent", Number(p["timeout_ms"] ?? 5000));
  const delivered = receipt.state === "delivered";
  return { sent: true, delivered, status: delivered ? "delivered" : "failed" };
}

/** The lengths of both forms, measured on proofs. */
export function proofLengths(identity: Identity): Record<string, Value> {
  const of = (form: "implicit" | "explicit") => parsePacket(singleProof(random(32), identity, form)).data.length;
  return { impl_length: of("implicit"), expl_length: of("explicit") };
}

/** Sends, waits, and finds the proof among the frames that came. */
async function sendForProof(p: Params): Promise<Value> {
  const node = nodeOf(p);
  const before = node.lastSeq;
  const receipt = node.act(() => node.station.endpoint.send(bytes(p, "destination_hash"), bytes(p, "data")));
  await until(() => receipt.state !== "sent", Number(p["timeout_ms"] ?? 10_000));
  const address = toHex(receipt.hash.subarray(0, 16));
  const proof = node.received
    .filter(({ seq }) => seq > before)
    .map(({ raw }) => parsePacket(raw))
    .find(({ destination, packetType }) => packetType === 3 && toHex(destination) === address);
  const length = proof?.data.length;
  return {
    sent: true,
    receipt_id: track(node, receipt),
    hops: node.station.endpoint.path(bytes(p, "destination_hash"))?.hops ?? null,
    delivered: receipt.state === "delivered",
    proved: receipt.state === "delivered",
    implicit_proof_config: true,
    proof_data: proof === undefined ? null : toHex(proof.data),
    proof_len: length ?? null,
    proof_is_implicit: length === 64,
    proof_is_explicit: length === 96,
    ...proofLengths(node.identity),
    proof_raw: proof === undefined ? null : toHex(proof.raw),
    proved_packet_hash: toHex(receipt.hash),
  };
}

/** A packet whose ciphertext or code is damaged on its way out; whether it was proved all the same is up to the peer. */
async function sendUndecryptable(p: Params): Promise<Value> {
  const node = nodeOf(p);
  node.damageNext((frame) => {
    const at = p["corruption"] === "hmac" ? frame.length - 1 : HEADER_BYTES + 40;
    frame[at] = ((frame[at] as number) + 1) % 256;
    return frame;
  });
  const receipt = node.act(() => node.station.endpoint.send(bytes(p, "destination_hash"), bytes(p, "data")));
  await until(() => receipt.state !== "sent", Number(p["timeout_ms"] ?? 0));
  const delivered = receipt.state === "delivered";
  return { sent: true, receipt_id: track(node, receipt), delivered, status: delivered ? "delivered" : "failed" };
}

function receivedPackets(p: Params): Value {
  const node = nodeOf(p);
  const since = Number(p["since_seq"] ?? 0);
  const packets = node.received
    .filter(({ seq }) => seq > since)
    .map(({ seq, raw }) => {
      const open = node.ifac?.open(raw) ?? raw;
      return { seq, raw_hex: toHex(open), packet_type: (open[0] ?? 0) & 3 };
    });
  return { packets, highest_seq: node.lastSeq };
}

// --- ratchets ---

function ratchets(p: Params): Value {
  const listener = nodeOf(p).listener(p);
  return {
    ratchet_count: listener.ring?.keys.length ?? 0,
    current_ratchet_id: currentId(listener),
    previous_ratchet_id: currentId(listener, 1),
    ratchet_interval: (listener.ring?.rotateIntervalMs ?? 0) / 1000,
    retained_ratchets: listener.ring?.keep ?? 0,
    latest_ratchet_id: listener.latestRatchet,
    latest_ratchet_time: null,
  };
}

/** Opens with own ratchets, newest first, then the identity key; tells which ratchet it was. */
function openWithRatchets(
  listener: Listener,
  sealed: Uint8Array,
): { plain: Uint8Array | undefined; id: string | null } {
  for (const key of listener.ring?.keys ?? []) {
    const plain = listener.identity.decrypt(sealed, [key], true);
    if (plain !== undefined) return { plain, id: toHex(ratchetId(key.publicKey)) };
  }
  return { plain: listener.destination.decrypt(sealed), id: null };
}

function latestRatchetId(p: Params): Value {
  const listener = nodeOf(p).listener(p);
  const probe = random(16);
  const current = listener.ring?.keys[0];
  const sealed = listener.identity.encrypt(probe, random, current?.publicKey);
  const { plain, id } = openWithRatchets(listener, sealed);
  listener.latestRatchet = id;
  const encryptId = current === undefined ? null : toHex(ratchetId(current.publicKey));
  return {
    decrypted: plain !== undefined && toHex(plain) === toHex(probe),
    plaintext: plain === undefined ? null : toHex(plain),
    latest_ratchet_id: id,
    encrypt_ratchet_id: encryptId,
    current_ratchet_id: currentId(listener),
    match: id !== null && id === encryptId,
    ratchet_count: listener.ring?.keys.length ?? 0,
  };
}

function rotate(p: Params): Value {
  const node = nodeOf(p);
  const listener = node.listener(p);
  const { ring } = listener;
  if (ring === undefined) throw new Error("SystemError: ratchets are not enabled");
  const now = performance.timeOrigin + performance.now();
  if (p["last_rotation_ago_s"] !== undefined) ring.rotatedAt = now - Number(p["last_rotation_ago_s"]) * 1000;
  const beforeCount = ring.keys.length;
  const beforeId = currentId(listener);
  ring.rotate(now, random);
  return {
    rotated: ring.keys.length > beforeCount,
    before_count: beforeCount,
    after_count: ring.keys.length,
    before_current_id: beforeId,
    current_ratchet_id: currentId(listener),
    previous_ratchet_id: currentId(listener, 1),
    ratchet_interval: ring.rotateIntervalMs / 1000,
    latest_ratchet_time: null,
  };
}

function reannounce(p: Params): Value {
  const node = nodeOf(p);
  const listener = node.listener(p);
  const now = performance.timeOrigin + performance.now();
  if (p["rotate_ago_s"] !== undefined && listener.ring !== undefined) {
    listener.ring.rotatedAt = now - Number(p["rotate_ago_s"]) * 1000;
  }
  const appData = p["app_data"] === undefined ? {} : { appData: bytes(p, "app_data") };
  const send = () => node.act(() => node.station.endpoint.announce(listener.destination, appData));
  send();
  // Emissions count whole seconds: one in the same second as the first is ignored, so it is repeated in the next.
  setTimeout(send, 1100);
  return { announced: true, current_ratchet_id: currentId(listener) };
}

function adopted(p: Params): Value {
  const { endpoint } = nodeOf(p).station;
  const ratchet = endpoint.known.get(bytes(p, "destination_hash"))?.ratchet;
  if (ratchet === undefined) return { found: false, ratchet_public: null, ratchet_id: null };
  return { found: true, ratchet_public: toHex(ratchet), ratchet_id: toHex(ratchetId(ratchet)) };
}

function encryptToRemote(p: Params): Value {
  const { endpoint } = nodeOf(p).station;
  const known = endpoint.known.get(bytes(p, "destination_hash"));
  if (known === undefined) throw new Error("RuntimeError: no identity known");
  const ratchet = p["use_ratchet"] === false ? undefined : known.ratchet;
  return {
    ciphertext: toHex(known.identity.encrypt(bytes(p, "plaintext"), random, ratchet)),
    used_ratchet: ratchet !== undefined,
    ratchet_id: ratchet === undefined ? null : toHex(ratchetId(ratchet)),
    ratchet_public: ratchet === undefined ? null : toHex(ratchet),
  };
}

function destinationDecrypt(p: Params): Value {
  const { plain, id } = openWithRatchets(nodeOf(p).listener(p), bytes(p, "ciphertext"));
  return {
    decrypted: plain !== undefined,
    plaintext: plain === undefined ? null : toHex(plain),
    latest_ratchet_id: id,
  };
}

function identityDecrypt(p: Params): Value {
  const keys = ((p["ratchets"] ?? []) as readonly string[]).map((hex) => new ExchangeKey(fromHex(hex)));
  const identity = Identity.fromPrivateKey(bytes(p, "private_key"));
  const plain = identity.decrypt(bytes(p, "ciphertext"), keys, p["enforce_ratchets"] === true);
  return { decrypted: plain !== undefined, plaintext: plain === undefined ? null : toHex(plain) };
}

// --- frames and access codes ---

function foreignAnnounce(): { hash: Uint8Array; raw: Uint8Array } {
  const identity = Identity.create(random);
  const about = new Destination({ type: SINGLE, appName: "rawframe", aspects: ["inject"], identity });
  const data = announceData({
    identity,
    destination: about.hash,
    nameHash: about.nameHash,
    randomHash: announceRandomHash(random(5), Date.now()),
    appData: Uint8Array.of(112, 114, 111, 98, 101),
  });
  const fields = { packetType: ANNOUNCE, destinationType: SINGLE, destination: about.hash, data } as const;
  return { hash: about.hash, raw: buildPacket(fields) };
}

/** Feeds one frame as if it had come through an interface of the node. */
function injectFrame(p: Params): Value {
  const node = nodeOf(p);
  const { endpoint } = node.station;
  const variant = String(p["variant"]);
  const { hash, raw } = foreignAnnounce();
  const size = node.ifac?.sizeBytes ?? 0;
  if (variant === "build_masked") {
    const masked = node.ifac?.mask(raw) ?? raw;
    return { dest_hash: toHex(hash), raw: toHex(masked), frame_len: masked.length, ifac_size: size };
  }
  const masked = node.ifac?.mask(raw) ?? raw;
  const target = variant === "inject_external" ? bytes(p, "dest_hash") : hash;
  const frames: Readonly<Record<string, Uint8Array>> = {
    inject_external: bytes(p, "raw"),
    masked_full: masked,
    masked_short: masked.slice(0, 2 + size),
    min_short: raw.slice(0, Number(p["trim_to"] ?? 2)),
  };
  const frame = frames[variant] ?? raw;
  const info = { id: "injected", bitrate: 1e7, hardwareMtu: 8192, signalsMtu: true, ifac: node.ifac };
  const learned = node.act(() => {
    endpoint.attach(info);
    endpoint.handle(info.id, frame, performance.timeOrigin + performance.now());
    return endpoint.hasPath(target);
  });
  return { dest_hash: toHex(target), frame_len: frame.length, learned, ifac_size: size };
}

function ifacCompute(p: Params): Value {
  const { ifac } = nodeOf(p);
  if (ifac === undefined) throw new Error("RuntimeError: no access code on this interface");
  const size = p["ifac_size"] === undefined ? ifac.sizeBytes : Number(p["ifac_size"]);
  const signature = Identity.fromPrivateKey(ifac.key).sign(bytes(p, "packet_data"));
  return {
    ifac_key: toHex(ifac.key),
    ifac_size: size,
    signature: toHex(signature),
    ifac: toHex(signature.slice(signature.length - size)),
  };
}

const groups = new Map<string, Destination>();

function groupCreate(p: Params): Value {
  const key = p["key"] === undefined ? random(64) : bytes(p, "key");
  const group = new Destination({ type: GROUP, appName: String(p["app_name"]), aspects: aspects(p), groupKey: key });
  groups.set(group.hex, group);
  return { destination_hash: group.hex, key: toHex(key) };
}
function groupOf(p: Params): Destination {
  const group = groups.get(String(p["destination_hash"]));
  if (group === undefined) throw new Error("ValueError: unknown group");
  return group;
}
function plainOf(p: Params): Destination {
  return new Destination({ type: PLAIN, appName: String(p["app_name"]), aspects: aspects(p) });
}

export const WIRE: Readonly<Record<string, WireCommand>> = {
  wire_start_tcp_server: (p) => start(p, "server"),
  wire_start_tcp_client: (p) => start(p, "client"),
  wire_stop: async (p) => ({ stopped: await stopNode(String(p["handle"])) }),
  wire_announce: announce,
  wire_listen: listen,
  wire_poll_path: pollPath,
  wire_has_discovery_path_request: (p) => {
    const { finder } = nodeOf(p).station.endpoint.transport ?? {};
    return { found: finder?.isSearching(toHex(bytes(p, "destination_hash"))) === true };
  },
  wire_has_announce_table_entry: (p) => {
    const { announces } = nodeOf(p).station.endpoint.transport ?? {};
    const key = toHex(bytes(p, "destination_hash"));
    return { found: announces?.get(key) !== undefined };
  },
  wire_read_path_random_hash: (p) => {
    const path = nodeOf(p).act(() => nodeOf(p).station.endpoint.path(bytes(p, "destination_hash")));
    return { found: path !== undefined, random_hash: path?.randomHashes.at(-1) ?? "" };
  },
  wire_request_path: (p) => {
    const node = nodeOf(p);
    node.act(() => node.station.endpoint.requestPath(bytes(p, "destination_hash")));
    return { sent: true };
  },
  wire_read_path_entry: (p) => {
    const node = nodeOf(p);
    const path = node.act(() => node.station.endpoint.path(bytes(p, "destination_hash")));
    if (path === undefined) return { found: false };
    return {
      found: true,
      timestamp: Math.round(path.expiresAt - path.lifetimeMs),
      expires: Math.round(path.expiresAt),
      hops: path.hops,
      next_hop: toHex(path.nextHop),
      receiving_interface_name: path.wireId,
    };
  },
  wire_identity_recall: recall,
  wire_tx_bytes: (p) => ({ tx_bytes: nodeOf(p).txBytes }),
  wire_send_packet: sendPacket,
  wire_packet_receipt_status: receiptStatus,
  wire_send_opportunistic: sendOpportunistic,
  wire_send_undecryptable: sendUndecryptable,
  wire_send_packet_with_proof_request: sendForProof,
  wire_opportunistic_poll: async (p) => {
    const listener = nodeOf(p).listener(p);
    await until(() => listener.opportunistic.length > 0, Number(p["timeout_ms"] ?? 5000));
    return { packets: listener.opportunistic.splice(0) };
  },
  wire_get_received_packets: receivedPackets,
  wire_set_proof_implicit: (p) => {
    nodeOf(p).station.endpoint.explicitProofs = p["enabled"] !== true;
    return { implicit_proof: p["enabled"] === true };
  },
  wire_read_ratchets: ratchets,
  wire_destination_latest_ratchet_id: latestRatchetId,
  wire_set_ratchet_interval: (p) => {
    const { ring } = nodeOf(p).listener(p);
    if (ring === undefined) return { ok: false, ratchet_interval: null };
    ring.rotateIntervalMs = Number(p["seconds"]) * 1000;
    return { ok: true, ratchet_interval: ring.rotateIntervalMs / 1000 };
  },
  wire_rotate_ratchet: rotate,
  wire_reannounce: reannounce,
  wire_get_adopted_ratchet: adopted,
  wire_encrypt_to_remote: encryptToRemote,
  wire_destination_decrypt: destinationDecrypt,
  wire_identity_keypair: () => {
    const identity = Identity.create(random);
    return {
      private_key: toHex(identity.exportPrivateKey()),
      public_key: toHex(identity.publicKey),
      hash: identity.hex,
    };
  },
  wire_ratchet_keypair: () => {
    const secret = random(32);
    return { private_key: toHex(secret), public_key: toHex(new ExchangeKey(secret).publicKey) };
  },
  wire_identity_encrypt: (p) => {
    const ratchet = p["ratchet_pub"] === undefined ? undefined : bytes(p, "ratchet_pub");
    const identity = new PublicIdentity(bytes(p, "public_key"));
    return { ciphertext: toHex(identity.encrypt(bytes(p, "plaintext"), random, ratchet)) };
  },
  wire_identity_decrypt: identityDecrypt,
  wire_inject_raw_frame: injectFrame,
  wire_ifac_compute: ifacCompute,
  wire_group_create: groupCreate,
  wire_group_encrypt: (p) => ({ ciphertext: toHex(groupOf(p).encrypt(bytes(p, "plaintext"), random)) }),
  wire_group_decrypt: (p) => {
    const plain = groupOf(p).decrypt(bytes(p, "ciphertext"));
    return { decrypted: plain !== undefined, plaintext: plain === undefined ? null : toHex(plain) };
  },
  wire_plain_encrypt: (p) => ({ ciphertext: toHex(plainOf(p).encrypt(bytes(p, "plaintext"), random)) }),
  wire_plain_decrypt: (p) => ({ plaintext: toHex(plainOf(p).decrypt(bytes(p, "ciphertext")) as Uint8Array) }),
};
