/** Bridge commands of links: opening, liveness, closing, identify, requests, proofs of link packets. */
import { Identity } from "../../planes/reticulum/stack/identity.ts";
import type { Link } from "../../planes/reticulum/stack/link.ts";
import { pack, unpack } from "../../planes/reticulum/stack/msgpack.ts";
import { LINK } from "../../planes/reticulum/stack/name.ts";
import { buildPacket, CONTEXT, DATA, NETWORK_MTU, parsePacket } from "../../planes/reticulum/stack/packet.ts";
import type { PendingRequest, Response } from "../../planes/reticulum/stack/request.ts";
import { RESPONSE_GRACE_MS, TRAFFIC_TIMEOUT_FACTOR } from "../../planes/reticulum/stack/request.ts";
import { type SpineError, toHex } from "../../spine/index.ts";
import {
  bytes,
  nodeOf,
  type Params,
  random,
  until,
  type Value,
  type WireCommand,
  type WireNode,
} from "./conformance-node.ts";
import { track } from "./conformance-wire.ts";

export const LINK_STATES = { pending: 0, handshake: 1, active: 2, stale: 3, closed: 4 } as const;
const NAMES = ["PENDING", "HANDSHAKE", "ACTIVE", "STALE", "CLOSED"] as const;
/** The protocol knows no reason for a lost interface: its links time out. */
const REASONS = { timeout: 1, wire: 1, initiator: 2, destination: 3 } as const;
const REASON_NAMES = [null, "TIMEOUT", "INITIATOR_CLOSED", "DESTINATION_CLOSED"] as const;

export const linkOf = (p: Params): Link => nodeOf(p).link(String(p["link_id"]));

export function stateName(link: Link): string {
  return NAMES[LINK_STATES[link.state]];
}

function statusOf(node: WireNode, link: Link): Record<string, Value> {
  const reason = link.closeReason === undefined ? null : REASONS[link.closeReason];
  const now = node.act(() => link.context.now());
  const { inboundAt, keepaliveAt } = link.activity;
  const peer = link.role === "responder" ? link.peer : undefined;
  return {
    status: LINK_STATES[link.state],
    status_name: stateName(link),
    teardown_reason: reason,
    teardown_reason_name: reason === null ? null : REASON_NAMES[reason],
    keepalive_s: link.keepaliveMs / 1000,
    stale_time_s: link.staleMs / 1000,
    rtt: link.rttMs / 1000,
    mtu: link.isUp ? link.mtu : null,
    mdu: link.isUp ? link.mdu : null,
    mode: 1,
    no_inbound_for_ms: Math.round(now - inboundAt),
    last_keepalive_ago_ms: keepaliveAt === 0 ? null : Math.round(now - keepaliveAt),
    remote_identified: peer !== undefined,
    remote_identity_hash: peer?.hex ?? null,
  };
}

async function open(p: Params): Promise<Value> {
  const node = nodeOf(p);
  const link = node.act(() => node.station.endpoint.openLink(bytes(p, "destination_hash")));
  await until(() => link.isUp || link.state === "closed", Number(p["timeout_ms"] ?? 10_000));
  if (!link.isUp) throw new Error(`TimeoutError: the link is ${link.state} (${String(link.closeReason)})`);
  node.outLinks.set(link.hex, link);
  return { link_id: link.hex };
}

async function awaitStatus(p: Params): Promise<Value> {
  const link = linkOf(p);
  const target = p["target_status"];
  const wanted =
    typeof target === "number" ? target : NAMES.indexOf(String(target).toUpperCase() as (typeof NAMES)[number]);
  const reached = await until(() => LINK_STATES[link.state] >= wanted, Number(p["timeout_ms"] ?? 15_000));
  return { ...statusOf(nodeOf(p), link), reached };
}

async function listenerStatus(p: Params): Promise<Value> {
  const node = nodeOf(p);
  const { links } = node.listener(p);
  await until(() => links.length > 0, Number(p["timeout_ms"] ?? 0));
  const link = links.at(-1);
  if (link === undefined) return { found: false, link_count: 0 };
  return { ...statusOf(node, link), found: true, link_count: links.length };
}

function registerHandler(p: Params): Value {
  const node = nodeOf(p);
  const listener = node.listener(p);
  const path = String(p["path"]);
  const listed = new Set(((p["allowed_identity_hashes"] ?? []) as readonly string[]).map(String));
  const allow = p["allow"] === "list" ? listed : p["allow"] === "none" ? "none" : "all";
  listener.destination.requests.register({
    path,
    allow,
    handle: ({ data, requestId, requestedAt, identity }, respond) => {
      const entry = {
        data: data instanceof Uint8Array ? toHex(data) : "",
        request_id: toHex(requestId),
        link_id: null,
        remote_identity_hash: identity?.hex ?? null,
        requested_at: requestedAt,
      };
      listener.requests.push({ path, entry });
      if (p["response_none"] === true) return;
      if (p["response_file"] === undefined) respond(bytes(p, "response"));
      else {
        respond(bytes(p, "response_file"), pack(bytes(p, "response_metadata")));
      }
    },
  });
  return { registered: true };
}

interface Outcome {
  response?: Response;
  failure?: SpineError;
}

/** Asks and collects how it ended. */
function ask(node: WireNode, link: Link, p: Params, timeoutMs: number): { pending: PendingRequest; outcome: Outcome } {
  const outcome: Outcome = {};
  const pending = node.act(() => link.request(String(p["path"]), bytes(p, "data"), timeoutMs));
  pending.onResponse = (response) => {
    outcome.response = response;
  };
  pending.onFailed = (failure) => {
    outcome.failure = failure;
  };
  return { pending, outcome };
}

function answerOf({ response, failure }: Outcome): Value {
  if (response === undefined) {
    return { status: failure === undefined ? "timeout" : "failed", response: null, response_metadata: null };
  }
  const { value, metadata } = response;
  const meta = metadata === undefined ? undefined : unpack(metadata);
  return {
    status: "ready",
    response: value instanceof Uint8Array ? toHex(value) : null,
    response_metadata: meta instanceof Uint8Array ? toHex(meta) : null,
    response_time_s: 0,
  };
}

async function request(p: Params): Promise<Value> {
  const node = nodeOf(p);
  const timeoutMs = Number(p["timeout_ms"] ?? 10_000);
  const { outcome } = ask(node, linkOf(p), p, timeoutMs);
  await until(() => outcome.response !== undefined || outcome.failure !== undefined, timeoutMs + 2000);
  return answerOf(outcome);
}

/** Packets that came for the link in the meantime, opened with its key. */
async function captureResponse(p: Params): Promise<Value> {
  const node = nodeOf(p);
  const link = linkOf(p);
  const before = node.lastSeq;
  const timeoutMs = Number(p["timeout_ms"] ?? 15_000);
  const { outcome } = ask(node, link, p, timeoutMs);
  await until(() => outcome.response !== undefined || outcome.failure !== undefined, timeoutMs);
  const captured = node.received
    .filter(({ seq }) => seq > before)
    .map(({ raw }) => parsePacket(raw))
    .filter(({ destination, packetType }) => packetType === DATA && toHex(destination) === link.hex)
    .map((packet) => {
      const plain = packet.context === CONTEXT.resource ? undefined : link.token.decrypt(packet.data);
      return { context: packet.context, plaintext: plain === undefined ? null : toHex(plain) };
    });
  return { ...(answerOf(outcome) as Record<string, Value>), captured };
}

function requestTimeout(p: Params): Value {
  const node = nodeOf(p);
  const link = linkOf(p);
  const explicit = p["timeout_ms"] === undefined ? undefined : Number(p["timeout_ms"]);
  const pending = node.act(() => link.request(String(p["path"]), bytes(p, "data"), explicit));
  return {
    receipt_timeout: pending.timeoutMs / 1000,
    rtt: link.rttMs / 1000,
    traffic_timeout_factor: TRAFFIC_TIMEOUT_FACTOR,
    response_max_grace_time: RESPONSE_GRACE_MS / 1000,
    explicit_timeout: explicit === undefined ? null : explicit / 1000,
  };
}

function sendOversize(p: Params): Value {
  const node = nodeOf(p);
  const link = linkOf(p);
  const about = { mtu: link.mtu, mdu: link.mdu, packet_mtu: link.mtu };
  try {
    node.act(() => link.send(random(Number(p["size"]))));
    return { ...about, sent: true, rejected: false, error: null };
  } catch (caught) {
    const error = `${String(caught)} (link MTU ${link.mtu})`;
    return { ...about, sent: false, rejected: true, error };
  }
}

/** Feeds the link one packet of this context, as from the peer; returns the frames that answered it. */
export function feed(node: WireNode, link: Link, context: number, data: Uint8Array, wire?: string): Uint8Array[] {
  const fields = { packetType: DATA, destinationType: LINK, destination: link.id, context, data } as const;
  return feedRaw(node, link, buildPacket(fields), wire);
}

export function feedRaw(node: WireNode, link: Link, raw: Uint8Array, wire?: string): Uint8Array[] {
  const { endpoint } = node.station;
  const id = wire ?? (link.wireId as string);
  const now = performance.timeOrigin + performance.now();
  const sends = node.act(() => {
    if (wire !== undefined) endpoint.attach({ id: wire, bitrate: 1e7, hardwareMtu: 8192, signalsMtu: true });
    return endpoint.handle(id, raw, now);
  });
  for (const { frame } of sends) node.sendRaw(frame);
  return sends.map(({ frame }) => frame);
}

function keepaliveProbe(p: Params): Value {
  const node = nodeOf(p);
  const link = linkOf(p);
  const before = link.activity;
  const stateBefore = LINK_STATES[link.state];
  const answers = feed(node, link, CONTEXT.keepalive, Uint8Array.of(0xff)).map(parsePacket);
  const answer = answers.find(({ context }) => context === CONTEXT.keepalive);
  if (answer !== undefined) node.keepalives.set(link.hex, toHex(answer.data));
  const after = link.activity;
  return {
    response: answer === undefined ? null : toHex(answer.data),
    answered: answer !== undefined,
    initiator: link.role === "initiator",
    last_inbound_advanced: after.inboundAt > before.inboundAt,
    last_data_advanced: after.dataAt > before.dataAt,
    status_before: stateBefore,
    status_after: LINK_STATES[link.state],
  };
}

function tamperedData(p: Params): Value {
  const node = nodeOf(p);
  const link = linkOf(p);
  const listener = node.listenerOf(link);
  const before = listener.packets.length;
  const corruption = String(p["corruption"] ?? "none");
  const sealed = link.token.encrypt(bytes(p, "data"), random);
  const fields = { packetType: DATA, destinationType: LINK, destination: link.id, context: CONTEXT.none } as const;
  let raw = buildPacket({ ...fields, data: sealed }).slice();
  if (corruption === "ciphertext") raw[23] = ((raw[23] as number) + 1) % 256;
  else if (corruption === "hmac") raw[raw.length - 1] = ((raw[raw.length - 1] as number) + 1) % 256;
  else if (corruption === "truncate") raw = raw.slice(0, -1);
  closedProbe.set(link.hex, raw);
  feedRaw(node, link, raw, corruption === "foreign_interface" ? "foreign" : undefined);
  return {
    corruption,
    unpacked: true,
    delivered: listener.packets.length > before,
    link_active: link.state === "active",
    status_name: stateName(link),
  };
}
const closedProbe = new Map<string, Uint8Array>();

function closedData(p: Params): Value {
  const node = nodeOf(p);
  const link = linkOf(p);
  const listener = node.listenerOf(link);
  const plain = random(8);
  const sealed = link.token.encrypt(plain, random);
  const fields = { packetType: DATA, destinationType: LINK, destination: link.id, context: CONTEXT.none } as const;
  const raw = buildPacket({ ...fields, data: sealed });
  node.act(() => link.close());
  const before = listener.packets.length;
  feedRaw(node, link, raw);
  return {
    delivered_before: listener.packets.slice(0, before).includes(toHex(plain)),
    delivered: listener.packets.length > before,
    status_name: stateName(link),
    link_closed: link.state === "closed",
  };
}

function forgedClose(p: Params): Value {
  const node = nodeOf(p);
  const link = linkOf(p);
  const before = LINK_STATES[link.state];
  const forged = bytes(p, "forged_id");
  feed(node, link, CONTEXT.linkClose, link.token.encrypt(forged, random));
  return {
    torn_down: link.state === "closed",
    status_before: before,
    status_after: LINK_STATES[link.state],
    status_name_after: stateName(link),
    forged_id: toHex(forged),
    real_link_id: link.hex,
  };
}

function identifyPending(p: Params): Value {
  const node = nodeOf(p);
  const link = node.act(() => node.station.endpoint.openLink(bytes(p, "destination_hash")));
  const identity = Identity.fromPrivateKey(bytes(p, "private_key"));
  const before = node.sent.length;
  const sent = () => node.sent.slice(before).some((raw) => parsePacket(raw).context === CONTEXT.linkIdentify);
  // Ours refuses with a code instead of doing nothing; nothing is sent either way.
  try {
    link.identify(identity);
  } catch {}
  const result = {
    crashed: false,
    identify_packet_sent: sent(),
    status: LINK_STATES[link.state],
    status_name: stateName(link),
    initiator: link.role === "initiator",
  };
  node.act(() => link.close());
  return result;
}

/** How many link-close packets went out. */
function closesSent(node: WireNode, from: number): number {
  return node.sent.slice(from).filter((raw) => parsePacket(raw).context === CONTEXT.linkClose).length;
}

function teardownEmission(p: Params): Value {
  const node = nodeOf(p);
  const link = linkOf(p);
  let from = node.sent.length;
  const pending = node.act(() => node.station.endpoint.openLink(link.destinationHash));
  node.act(() => pending.close());
  const ofPending = closesSent(node, from);
  from = node.sent.length;
  const before = stateName(link);
  node.act(() => link.close());
  return {
    pending_linkclose_emitted: ofPending,
    active_linkclose_emitted: closesSent(node, from),
    active_status_before: before,
  };
}

export const LINKS: Readonly<Record<string, WireCommand>> = {
  wire_link_open: open,
  wire_link_send: (p) => {
    const node = nodeOf(p);
    node.act(() => linkOf(p).send(bytes(p, "data")));
    return { sent: true };
  },
  wire_link_poll: async (p) => {
    const listener = nodeOf(p).listener(p);
    await until(() => listener.packets.length > 0, Number(p["timeout_ms"] ?? 5000));
    return { packets: listener.packets.splice(0) };
  },
  wire_link_status: (p) => statusOf(nodeOf(p), linkOf(p)),
  wire_link_await_status: awaitStatus,
  wire_listener_link_status: listenerStatus,
  wire_link_set_watchdog: (p) => {
    const link = linkOf(p);
    const ms = (key: string, fallback: number) => (p[key] === undefined ? fallback : Number(p[key]) * 1000);
    const keepalive = ms("keepalive_s", link.keepaliveMs);
    nodeOf(p).act(() => link.setLiveness(keepalive, ms("stale_time_s", link.staleMs)));
    return { keepalive_s: link.keepaliveMs / 1000, stale_time_s: link.staleMs / 1000 };
  },
  wire_link_set_rtt: (p) => {
    const link = linkOf(p);
    const previous = link.rttMs / 1000;
    link.rttMs = Number(p["rtt"]) * 1000;
    return { rtt: link.rttMs / 1000, previous };
  },
  wire_link_teardown: (p) => {
    nodeOf(p).act(() => linkOf(p).close());
    return { torn_down: true };
  },
  wire_link_mtu: (p) => {
    const link = linkOf(p);
    return { mtu: link.mtu, mdu: link.mdu, mode: 1, status: LINK_STATES[link.state], status_name: stateName(link) };
  },
  wire_interface_hw_mtu: (p) => {
    const { fixedMtu, station } = nodeOf(p);
    const [wire] = station.endpoint.wires.values();
    if (wire === undefined) throw new Error("the interface is down");
    return {
      link_mtu_discovery: wire.signalsMtu,
      reticulum_mtu: NETWORK_MTU,
      hw_mtu: wire.hardwareMtu,
      autoconfigure_mtu: fixedMtu === undefined,
      fixed_mtu: fixedMtu !== undefined,
    };
  },
  wire_link_identify: (p) => {
    const identity = Identity.fromPrivateKey(bytes(p, "private_key"));
    nodeOf(p).act(() => linkOf(p).identify(identity));
    return { identified: true, identity_hash: identity.hex };
  },
  wire_link_identify_pending: identifyPending,
  wire_register_request_handler: registerHandler,
  wire_deregister_request_handler: (p) => {
    const { requests } = nodeOf(p).listener(p).destination;
    return { deregistered: requests.deregister(String(p["path"])) };
  },
  wire_link_request: request,
  wire_link_request_large: request,
  wire_link_request_timeout: requestTimeout,
  wire_capture_response_packet: captureResponse,
  wire_get_request_log: (p) => {
    const entries = nodeOf(p)
      .listener(p)
      .requests.filter(({ path }) => path === p["path"])
      .map(({ entry }) => entry);
    return { count: entries.length, entries };
  },
  wire_set_proof_strategy: (p) => {
    const listener = nodeOf(p).listener(p);
    const strategy = String(p["strategy"]);
    const proofs = strategy === "all" ? "all" : strategy === "app" ? (data: Uint8Array) => data[0] === 1 : "none";
    listener.destination.proofs = proofs;
    for (const link of listener.links) link.proofs = proofs;
    return { strategy, proof_strategy: strategy === "all" ? 35 : strategy === "app" ? 34 : 33 };
  },
  wire_send_link_data: (p) => {
    const node = nodeOf(p);
    const receipt = node.act(() => linkOf(p).send(bytes(p, "data")));
    return { sent: true, receipt_id: p["create_receipt"] === false ? null : track(node, receipt) };
  },
  wire_send_over_closed_link: (p) => {
    const node = nodeOf(p);
    const link = linkOf(p);
    const before = node.txBytes;
    let sent = true;
    try {
      node.act(() => link.send(bytes(p, "data")));
    } catch {
      sent = false;
    }
    const about = { link_status: LINK_STATES[link.state], link_status_name: stateName(link) };
    return { ...about, sent, bytes_transmitted: node.txBytes - before };
  },
  wire_send_oversize_link_packet: sendOversize,
  wire_send_keepalive_probe: keepaliveProbe,
  wire_last_keepalive: (p) => ({ payload: nodeOf(p).keepalives.get(String(p["link_id"])) ?? null }),
  wire_inject_tampered_link_data: tamperedData,
  wire_inject_closed_link_data: closedData,
  wire_send_forged_link_close: forgedClose,
  wire_link_teardown_emission: teardownEmission,
};
