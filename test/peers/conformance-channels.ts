/** Bridge commands of channels and byte streams over a link; what was sent is read back from the frames on the wire. */
import { type Buffers, COMPRESSION_TRIES } from "../../planes/reticulum/stack/buffer.ts";
import { bzip2 } from "../../planes/reticulum/stack/bzip2-compress.ts";
import { Channel, SLOW_RTT_MS } from "../../planes/reticulum/stack/channel.ts";
import {
  type Envelope,
  MAX_CHUNK_BYTES,
  packEnvelope,
  packStreamMessage,
  STREAM_DATA_BYTES,
  STREAM_TYPE,
  unpackEnvelope,
  unpackStreamMessage,
} from "../../planes/reticulum/stack/envelope.ts";
import { Identity } from "../../planes/reticulum/stack/identity.ts";
import type { Link } from "../../planes/reticulum/stack/link.ts";
import type { LinkPort } from "../../planes/reticulum/stack/link-port.ts";
import { CONTEXT, type Packet, PROOF, packetHash, parsePacket } from "../../planes/reticulum/stack/packet.ts";
import { linkProof } from "../../planes/reticulum/stack/proof.ts";
import type { Receipt } from "../../planes/reticulum/stack/receipt.ts";
import type { Token } from "../../planes/reticulum/stack/token.ts";
import { SpineError, toHex } from "../../spine/index.ts";
import { LINK_STATES, linkOf } from "./conformance-links.ts";
import {
  bytes,
  CHANNEL_TYPE,
  nodeOf,
  type Params,
  random,
  until,
  type Value,
  type WireCommand,
  type WireNode,
} from "./conformance-node.ts";

interface Ends {
  readonly link: Link;
  readonly token: Token;
  readonly channel: Channel;
  readonly buffers: Buffers;
}

const known = new WeakMap<Link, Ends>();

/** The link's channel, with a recorder for the suite's own messages; still there to look at when the link has closed. */
function endsOf(node: WireNode, p: Params): Ends {
  const link = linkOf(p);
  const made = known.get(link);
  if (made !== undefined) return made;
  const channel = node.act(() => link.channel());
  const ends = { link, token: link.token, channel, buffers: node.buffersOf(link) };
  known.set(link, ends);
  return ends;
}

/** Frames sent after the first `from` that belong to the link. */
function sentOn(node: WireNode, link: Link, from: number): Packet[] {
  return node
    .sentSince(from)
    .map((frame) => parsePacket(node.ifac?.open(frame) ?? frame))
    .filter(({ destination }) => toHex(destination) === link.hex);
}

/** Channel envelopes among them, opened again with the key that the link forgets when it closes. */
function envelopesOn(node: WireNode, { link, token }: Ends, from: number): Envelope[] {
  return sentOn(node, link, from)
    .filter(({ context }) => context === CONTEXT.channel)
    .flatMap(({ data }) => {
      const plain = token.decrypt(data);
      return plain === undefined ? [] : [unpackEnvelope(plain)];
    });
}

function inject(p: Params): Value {
  const node = nodeOf(p);
  const { channel } = endsOf(node, p);
  const injected: number[] = [];
  for (const each of (p["envelopes"] ?? []) as readonly Params[]) {
    const sequence = Number(each["sequence"] ?? -1);
    const raw =
      each["raw"] === undefined
        ? packEnvelope({ type: Number(each["msgtype"] ?? CHANNEL_TYPE), sequence, payload: bytes(each, "data") })
        : bytes(each, "raw");
    try {
      node.act(() => channel.handle(raw));
    } catch {}
    injected.push(sequence);
  }
  return { injected };
}

function window(p: Params): Value {
  const node = nodeOf(p);
  const { link, channel } = endsOf(node, p);
  const s = channel.state;
  return {
    window: s.window,
    window_min: s.windowMin,
    window_max: s.windowMax,
    window_flexibility: s.windowFlexibility,
    fast_rate_rounds: s.fastRounds,
    medium_rate_rounds: s.mediumRounds,
    message_handlers: channel.handlers,
    next_rx_sequence: s.receiveNext,
    next_sequence: s.sendNext,
    rx_ring: s.held,
    tx_ring: s.outstanding,
    mdu: channel.mdu,
    outlet_mdu: link.mdu,
  };
}

/** Delivered means proved while the link is up; a closed channel has nothing unproved either. */
async function settled({ link, channel }: Ends, timeoutMs: number): Promise<boolean> {
  await until(() => channel.unproved === 0 || !link.isUp, timeoutMs);
  return channel.unproved === 0 && link.isUp;
}

/** The suite's numbers for why a channel takes no message. */
const REFUSALS: Readonly<Record<string, number>> = { link_unknown: 3, link_congested: 3, payload_size: 5 };

async function send(p: Params): Promise<Value> {
  const node = nodeOf(p);
  const ends = endsOf(node, p);
  const { link, channel } = ends;
  const from = node.sentCount;
  const sequence = channel.state.sendNext;
  const { transmitProved } = link;
  if (p["fail_outlet"] === true) {
    link.transmitProved = () => {
      throw new SpineError("link_congested", "as asked");
    };
  }
  if (p["drop_acks"] === true) node.refusedProofs.add(link.hex);
  try {
    node.act(() => channel.send(Number(p["msgtype"] ?? CHANNEL_TYPE), bytes(p, "data")));
  } catch (caught) {
    const { sendNext, window: size, windowMax } = channel.state;
    const about = { next_sequence: sendNext, window: size, window_max: windowMax };
    const code = caught instanceof SpineError ? caught.code : "internal";
    return {
      ...about,
      sent: false,
      rejected: true,
      delivered: false,
      error: String(caught),
      ce_type: REFUSALS[code] ?? 4,
    };
  } finally {
    link.transmitProved = transmitProved;
  }
  const delivered = await settled(ends, Number(p["timeout_ms"] ?? 20_000));
  const { sendNext, window: size, windowMax } = channel.state;
  const copies = envelopesOn(node, ends, from).filter((one) => one.sequence === sequence);
  return {
    sent: copies.length > 0,
    rejected: false,
    delivered,
    tries: copies.length,
    sequence,
    next_sequence: sendNext,
    window: size,
    window_max: windowMax,
    link_status: LINK_STATES[link.state],
  };
}

/** One message, and the packet that carried it. */
async function emit(p: Params): Promise<Value> {
  const node = nodeOf(p);
  const ends = endsOf(node, p);
  const from = node.sentCount;
  node.act(() => ends.channel.send(CHANNEL_TYPE, bytes(p, "data")));
  const delivered = await settled(ends, Number(p["timeout_ms"] ?? 15_000));
  const packet = sentOn(node, ends.link, from).find(({ packetType }) => packetType !== PROOF);
  return {
    context: packet?.context ?? null,
    packet_type: packet?.packetType ?? null,
    packet_hash: packet === undefined ? null : toHex(packetHash(packet.raw)),
    delivered,
    channel_context: CONTEXT.channel,
    data_context: CONTEXT.none,
  };
}

/** The context of every packet that was proved on the listener's links: the proofs that went out name them. */
function proofLog(p: Params): Value {
  const node = nodeOf(p);
  const contexts = new Map<string, number>();
  for (const { raw } of node.received) {
    const packet = parsePacket(raw);
    contexts.set(toHex(packetHash(raw)), packet.context);
  }
  const proved = node
    .listener(p)
    .links.flatMap((link) => sentOn(node, link, 0))
    .filter(({ packetType, context }) => packetType === PROOF && context === CONTEXT.none)
    .flatMap(({ data }) => contexts.get(toHex(data.subarray(0, 32))) ?? []);
  return {
    contexts: proved,
    channel_proofs: proved.filter((context) => context === CONTEXT.channel).length,
    channel_context: CONTEXT.channel,
  };
}

/** Not a repetition of an envelope before. */
function firstOf(all: readonly Envelope[], at: number): boolean {
  return all.findIndex(({ sequence }) => sequence === all[at]?.sequence) === at;
}

/** The stream messages that went out, each once however often it was sent. */
function manifestOf(node: WireNode, ends: Ends, from: number): Record<string, Value>[] {
  const seen = new Map<number, Record<string, Value>>();
  for (const { type, sequence, payload } of envelopesOn(node, ends, from)) {
    const head = payload[0] as number;
    if (type !== STREAM_TYPE || seen.has(sequence)) continue;
    const flags = { compressed: (head & 0x40) !== 0, eof: (head & 0x80) !== 0 };
    seen.set(sequence, { bytes: payload.length - 2, ...flags, sequence });
  }
  return [...seen.values()];
}

async function stream(p: Params): Promise<Value> {
  const node = nodeOf(p);
  const ends = endsOf(node, p);
  const { link, channel, buffers } = ends;
  const data = bytes(p, "data");
  const id = Number(p["stream_id"] ?? 0);
  const timeoutMs = Number(p["timeout_ms"] ?? 30_000);
  const from = node.sentCount;
  if (p["bomb"] === true) {
    // A compressed chunk that inflates to what was asked for; the end marker comes with it.
    const inflated = Number(p["bomb_decompressed_len"] ?? 65_536);
    const packed = packStreamMessage({ stream: id, eof: true, data: bzip2(new Uint8Array(inflated)) });
    packed[0] = (packed[0] as number) | 0x40;
    node.act(() => channel.send(STREAM_TYPE, packed));
    await settled(ends, timeoutMs);
    const manifest = manifestOf(node, ends, from);
    return { written: 0, eof: true, bomb: true, decompressed_len: inflated, manifest, max_chunk_len: MAX_CHUNK_BYTES };
  }
  const writer = node.act(() => buffers.write(id, { compress: true }));
  const tail = p["eof_with_data"] === true ? data.length - Math.min(data.length, STREAM_DATA_BYTES) : data.length;
  for (let at = 0; at < tail; at += 65_536) {
    await until(() => writer.queuedBytes < 262_144, timeoutMs);
    node.act(() => writer.write(data.subarray(at, Math.min(tail, at + 65_536))));
  }
  node.act(() => writer.end(data.subarray(tail)));
  await until(() => writer.ended || !link.isUp, timeoutMs);
  await settled(ends, timeoutMs);
  const manifest = manifestOf(node, ends, from);
  const returns = envelopesOn(node, ends, from)
    .filter(({ type, payload }, i, all) => type === STREAM_TYPE && payload.length > 2 && firstOf(all, i))
    .map(({ payload }) => unpackStreamMessage(payload).data.length);
  return {
    written: data.length - writer.queuedBytes,
    write_returns: returns,
    compression_tries: COMPRESSION_TRIES,
    eof: manifest.at(-1)?.["eof"] ?? false,
    manifest,
    tx_ring_after: channel.state.outstanding,
    max_data_len: STREAM_DATA_BYTES,
    max_chunk_len: MAX_CHUNK_BYTES,
  };
}

/** What has come since the last time it was asked for. */
async function streamReceived(p: Params): Promise<Value> {
  const { streams } = nodeOf(p).listener(p);
  const of = () => streams.get(Number(p["stream_id"] ?? 0));
  await until(() => of()?.eof === true || of()?.error !== undefined, Number(p["timeout_ms"] ?? 30_000));
  const found = of();
  if (found === undefined) return { data: "", eof: false, aborted: false, error: null };
  const { data, eof, error } = found;
  found.data = "";
  return { data, eof, aborted: error !== undefined, error: error ?? null };
}

/** A new channel on a link of this round trip. */
function profile(p: Params): Value {
  const rtt = Number(p["rtt"]);
  const link = linkOf(p);
  const s = new Channel(portOf(link, rtt * 1000)).state;
  return {
    rtt,
    window: s.window,
    window_min: s.windowMin,
    window_max: s.windowMax,
    window_flexibility: s.windowFlexibility,
    rtt_slow: SLOW_RTT_MS / 1000,
  };
}

/** The link as channels see it, with another round trip; nothing leaves. */
function portOf(link: Link, rttMs: number): LinkPort {
  return {
    id: link.id,
    context: link.context,
    token: link.token,
    mtu: link.mtu,
    mdu: link.mdu,
    rttMs,
    bitrate: link.bitrate,
    handshakeRate: link.handshakeRate,
    transmit: (_, data) => data,
    transmitProof: () => undefined,
    transmitProved: () => {
      throw new SpineError("link_congested", "nothing leaves");
    },
    close: () => undefined,
  };
}

/** One message, and the handlers it meets: each says that it was theirs, that it was not, or fails. */
function handlerChain(p: Params): Value {
  const link = linkOf(p);
  const channel = new Channel(portOf(link, 1));
  const log: number[] = [];
  for (const [index, behaviour] of ((p["handlers"] ?? []) as readonly string[]).entries()) {
    channel.addHandler(() => {
      log.push(index);
      if (behaviour === "raise") throw new Error("as asked");
      return behaviour === "true";
    });
  }
  channel.handle(packEnvelope({ type: CHANNEL_TYPE, sequence: 0, payload: new Uint8Array(4) }));
  return { log, next_rx_sequence: channel.state.receiveNext, handler_count: channel.handlers };
}

/** The proof of a delivered message once more, one for a packet never sent, and the time at which it would have been late. */
async function spuriousProof(p: Params): Promise<Value> {
  const node = nodeOf(p);
  const ends = endsOf(node, p);
  const { link, channel } = ends;
  const { transmitProved } = link;
  const receipts: Receipt[] = [];
  link.transmitProved = (context, data, timeoutMs) => {
    const receipt = transmitProved.call(link, context, data, timeoutMs);
    receipts.push(receipt);
    return receipt;
  };
  const since = node.received.length;
  node.act(() => channel.send(CHANNEL_TYPE, new Uint8Array(8)));
  const delivered = await settled(ends, Number(p["timeout_ms"] ?? 12_000));
  link.transmitProved = transmitProved;
  const before = channel.state;
  const errors: string[] = [];
  const attempt = (task: () => void): void => {
    try {
      node.act(task);
    } catch (caught) {
      errors.push(String(caught));
    }
  };
  const proof = node.received.slice(since).find(({ raw }) => ((raw[0] as number) & 3) === PROOF)?.raw;
  const hear = (raw: Uint8Array): void => node.hear(node.ifac?.mask(raw) ?? raw);
  if (proof !== undefined) attempt(() => node.hear(proof));
  const afterDuplicate = channel.state.window;
  attempt(() => receipts[0]?.fail());
  const stranger = Identity.create(random);
  attempt(() => hear(linkProof(random(32), stranger, link.id)));
  const final = channel.state;
  return {
    delivered,
    window_before: before.window,
    window_after_duplicate: afterDuplicate,
    window_final: final.window,
    tx_ring_before: before.outstanding,
    tx_ring_final: final.outstanding,
    link_status: LINK_STATES[link.state],
    link_closed: link.state === "closed",
    errors,
  };
}

export const CHANNELS: Readonly<Record<string, WireCommand>> = {
  wire_channel_inject: inject,
  wire_channel_received: (p) => {
    const node = nodeOf(p);
    const link = linkOf(p);
    if (link.isUp) endsOf(node, p);
    return { messages: node.channelMessages.get(link.hex)?.splice(0) ?? [] };
  },
  wire_channel_window: window,
  wire_channel_profile: profile,
  wire_channel_handler_chain: handlerChain,
  wire_channel_spurious_proof: spuriousProof,
  wire_channel_send: send,
  wire_channel_emit_capture: emit,
  wire_listener_proof_log: proofLog,
  wire_listener_channel_rx: (p) => {
    const node = nodeOf(p);
    const listener = node.listener(p);
    const link = listener.links.at(-1);
    const state = link?.isUp === true ? node.act(() => link.channel()).state : undefined;
    const messages = listener.links.flatMap(({ hex }) => node.channelMessages.get(hex) ?? []);
    return {
      found: state !== undefined,
      next_rx_sequence: state?.receiveNext ?? 0,
      rx_ring: state?.held ?? 0,
      received: messages,
      messages,
    };
  },
  wire_buffer_stream: stream,
  wire_buffer_received: streamReceived,
};
