/** Bridge commands of resources, channels and streams over a link. */
import {
  HASHMAP_ENTRIES,
  MAP_HASH_BYTES,
  packPartRequest,
  SEGMENT_BYTES,
} from "../../planes/reticulum/stack/advertisement.ts";
import { Buffers } from "../../planes/reticulum/stack/buffer.ts";
import { bzip2 } from "../../planes/reticulum/stack/bzip2-compress.ts";
import type { Channel } from "../../planes/reticulum/stack/channel.ts";
import {
  packEnvelope,
  packStreamMessage,
  STREAM_DATA_BYTES,
  STREAM_TYPE,
} from "../../planes/reticulum/stack/envelope.ts";
import { pack } from "../../planes/reticulum/stack/msgpack.ts";
import { PART_RETRIES } from "../../planes/reticulum/stack/resource-receiver.ts";
import { ADVERTISEMENT_RETRIES, type OutgoingResource } from "../../planes/reticulum/stack/resource-sender.ts";
import {
  INITIAL_WINDOW,
  MAX_WINDOW,
  MAX_WINDOW_FAST,
  MAX_WINDOW_SLOW,
  MIN_WINDOW,
} from "../../planes/reticulum/stack/resource-window.ts";
import {
  MAX_METADATA_BYTES,
  makeSegment,
  metadataBlock,
  partBytesAt,
  partOf,
  planSegments,
  RANDOM_HASH_BYTES,
  SEARCH_ENTRIES,
} from "../../planes/reticulum/stack/segment.ts";
import { concatBytes, fromHex, SpineError, toHex } from "../../spine/index.ts";
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

// --- resources ---

function statusOf(resource: OutgoingResource): number {
  const states = { queued: 1, advertised: 2, transferring: 3, "awaiting-proof": 4, complete: 6, failed: 7 } as const;
  return resource.failure?.code === "resource_rejected" ? 0 : states[resource.state];
}

function metadataOf(p: Params): Uint8Array | undefined {
  const hex = p["metadata"];
  return typeof hex === "string" ? metadataBlock(pack(fromHex(hex))) : undefined;
}

async function send(p: Params): Promise<Value> {
  const node = nodeOf(p);
  const link = linkOf(p);
  const data = bytes(p, "data");
  const metadata = metadataOf(p);
  const resource = node.act(() => link.sendResource(data, metadata === undefined ? {} : { metadata }));
  const id = toHex(random(8));
  node.outgoing.set(id, resource);
  const info = {
    resource_id: id,
    size: data.length,
    hash: resource.hash === undefined ? null : toHex(resource.hash),
    original_hash: resource.hash === undefined ? null : toHex(resource.hash),
    total_segments: resource.segments,
    segment_index: 1,
    compressed: resource.compressed,
    has_metadata: metadata !== undefined,
    split: resource.segments > 1,
  };
  if (p["wait"] === false) return { started: true, ...info };
  const ended = await until(
    () => resource.state === "complete" || resource.state === "failed",
    Number(p["timeout_ms"] ?? 30_000),
  );
  if (!ended) node.act(() => resource.cancel(new SpineError("resource_failed", "the test waits no longer")));
  return { success: resource.state === "complete", status: statusOf(resource), timed_out: !ended, ...info };
}

function cancel(p: Params): Value {
  const node = nodeOf(p);
  const id = String(p["resource_id"]);
  const resource = node.outgoing.get(id);
  if (resource === undefined) return { cancelled: false, resource_id: id, status: -1 };
  node.act(() => resource.cancel(new SpineError("resource_failed", "cancelled")));
  return { cancelled: true, resource_id: id, status: statusOf(resource) };
}

/** One segment built as for sending, and every figure of it. */
function create(p: Params): Value {
  const link = linkOf(p);
  const data = bytes(p, "data");
  const metadata = metadataOf(p) ?? new Uint8Array(0);
  const plan = planSegments(data.length, metadata.length);
  const [offset, length] = plan[0] as readonly [number, number];
  const body = concatBytes(metadata, data.subarray(offset, offset + length));
  const sdu = p["force_sdu"] === undefined ? partBytesAt(link.mtu) : Number(p["force_sdu"]);
  const segment = makeSegment(body, link.token, sdu, random, p["auto_compress"] !== false);
  const split = plan.length > 1;
  const hasMetadata = metadata.length > 0;
  return {
    hash: toHex(segment.hash),
    original_hash: toHex(segment.hash),
    truncated_hash: toHex(segment.hash.subarray(0, 16)),
    random_hash: toHex(segment.randomHash),
    expected_proof: toHex(segment.proof),
    hashmap: toHex(segment.hashmap),
    num_parts: segment.mapHashes.length,
    size: segment.stream.length,
    total_size: data.length + metadata.length,
    sdu,
    total_segments: plan.length,
    segment_index: 1,
    split,
    compressed: segment.compressed,
    encrypted: true,
    has_metadata: hasMetadata,
    flags: 1 | (segment.compressed ? 2 : 0) | (split ? 4 : 0) | (hasMetadata ? 32 : 0),
    ...(p["include_parts"] === false ? {} : { parts: segment.mapHashes.map((_, i) => toHex(partOf(segment, i))) }),
  };
}

const STATUS_NAMES: Readonly<Record<number, string>> = { 3: "TRANSFERRING", 6: "COMPLETE", 7: "FAILED", 8: "CORRUPT" };

async function receiverStatus(p: Params): Promise<Value> {
  const { incoming } = nodeOf(p).listener(p);
  await until(() => (incoming.at(-1)?.status ?? 3) !== 3, Number(p["timeout_ms"] ?? 0));
  const last = incoming.at(-1);
  if (last === undefined) return { found: false, resource_count: 0 };
  const updates = Math.max(0, Math.ceil(last.parts / HASHMAP_ENTRIES) - 1);
  const done = last.status === 6 ? updates : 0;
  return {
    found: true,
    resource_count: incoming.length,
    status: last.status,
    status_name: STATUS_NAMES[last.status] ?? null,
    corrupt: last.status === 8,
    hmu_requests_sent: done,
    hashmap_updates_received: done,
    hashmap_height: last.parts,
    compressed: last.compressed,
    has_metadata: last.hasMetadata,
    metadata: last.metadata,
    data: last.data,
  };
}

// --- channels ---

interface Ends {
  readonly channel: Channel;
  readonly buffers: Buffers;
}

/** The link's channel, with a recorder for the suite's own messages. */
function endsOf(node: WireNode, p: Params): Ends {
  const link = linkOf(p);
  const channel = node.act(() => link.channel());
  const known = node.buffers.get(link.hex);
  if (known !== undefined) return { channel, buffers: known };
  const buffers = new Buffers(channel);
  node.buffers.set(link.hex, buffers);
  const messages: string[] = [];
  node.channelMessages.set(link.hex, messages);
  buffers.onMessage = (type, payload) => {
    if (type === CHANNEL_TYPE) messages.push(toHex(payload));
  };
  return { channel, buffers };
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
  const { channel } = endsOf(node, p);
  const s = channel.state;
  return {
    window: s.window,
    window_min: s.windowMin,
    window_max: s.windowMax,
    window_flexibility: 4,
    next_rx_sequence: s.receiveNext,
    next_sequence: s.sendNext,
    rx_ring: s.held,
    tx_ring: s.outstanding,
    mdu: channel.mdu,
    outlet_mdu: linkOf(p).mdu,
    message_handlers: 1,
  };
}

async function channelSend(p: Params): Promise<Value> {
  const node = nodeOf(p);
  const { channel } = endsOf(node, p);
  const before = channel.state.sendNext;
  try {
    node.act(() => channel.send(Number(p["msgtype"] ?? CHANNEL_TYPE), bytes(p, "data")));
  } catch (caught) {
    const tooBig = caught instanceof SpineError && caught.code === "payload_size";
    const { sendNext, window: size, windowMax } = channel.state;
    const about = { next_sequence: sendNext, window: size, window_max: windowMax };
    return { sent: false, rejected: true, delivered: false, error: String(caught), ce_type: tooBig ? 5 : 4, ...about };
  }
  const delivered = await until(() => channel.unproved === 0, Number(p["timeout_ms"] ?? 20_000));
  const { sendNext, window: size, windowMax } = channel.state;
  return {
    sent: true,
    rejected: false,
    delivered,
    tries: 1,
    sequence: before,
    next_sequence: sendNext,
    window: size,
    window_max: windowMax,
    link_status: LINK_STATES[linkOf(p).state],
  };
}

async function stream(p: Params): Promise<Value> {
  const node = nodeOf(p);
  const { channel, buffers } = endsOf(node, p);
  const data = bytes(p, "data");
  const id = Number(p["stream_id"] ?? 0);
  const limits = { max_data_len: STREAM_DATA_BYTES, max_chunk_len: 16_384, compression_tries: 4 };
  if (p["bomb"] === true) {
    // A compressed chunk that inflates far beyond the bound.
    const packed = packStreamMessage({
      stream: id,
      eof: true,
      data: bzip2(new Uint8Array(Number(p["bomb_decompressed_len"] ?? 65_536))),
    });
    packed[0] = (packed[0] as number) | 0x40;
    node.act(() => channel.send(STREAM_TYPE, packed));
    return { written: 0, eof: true, bomb: true, manifest: [], ...limits };
  }
  const writer = node.act(() => buffers.write(id));
  const deadline = Number(p["timeout_ms"] ?? 30_000);
  for (let at = 0; at < data.length; at += 65_536) {
    const chunk = data.subarray(at, at + 65_536);
    await until(() => writer.queuedBytes < 262_144, deadline);
    node.act(() => writer.write(chunk));
  }
  node.act(() => writer.end());
  await until(() => writer.ended && channel.unproved === 0, deadline);
  return {
    written: data.length,
    eof: true,
    manifest: [],
    write_returns: [data.length],
    tx_ring_after: channel.state.outstanding,
    ...limits,
  };
}

async function streamReceived(p: Params): Promise<Value> {
  const node = nodeOf(p);
  const listener = node.listener(p);
  const id = Number(p["stream_id"] ?? 0);
  const of = () => listener.streams.get(id);
  const failed = () => node.station.endpoint.counters.get("handler_failed") ?? 0;
  await until(() => of()?.eof === true || failed() > 0, Number(p["timeout_ms"] ?? 30_000));
  const aborted = of()?.eof !== true && failed() > 0;
  return {
    data: of()?.data ?? "",
    eof: of()?.eof ?? false,
    aborted,
    error: aborted ? "decompression_limit" : null,
  };
}

export const TRANSFERS: Readonly<Record<string, WireCommand>> = {
  wire_resource_send: send,
  wire_resource_cancel: cancel,
  wire_resource_create: create,
  wire_resource_receiver_status: receiverStatus,
  wire_resource_poll: async (p) => {
    const listener = nodeOf(p).listener(p);
    await until(() => listener.resources.length > 0, Number(p["timeout_ms"] ?? 30_000));
    return { resources: listener.resources.splice(0) };
  },
  wire_resource_constants: () => ({
    WINDOW: INITIAL_WINDOW,
    WINDOW_MIN: MIN_WINDOW,
    WINDOW_MAX: MAX_WINDOW_FAST,
    WINDOW_MAX_SLOW: MAX_WINDOW,
    WINDOW_MAX_VERY_SLOW: MAX_WINDOW_SLOW,
    WINDOW_MAX_FAST: MAX_WINDOW_FAST,
    MAPHASH_LEN: MAP_HASH_BYTES,
    RANDOM_HASH_SIZE: RANDOM_HASH_BYTES,
    HASHMAP_MAX_LEN: HASHMAP_ENTRIES,
    COLLISION_GUARD_SIZE: SEARCH_ENTRIES,
    MAX_EFFICIENT_SIZE: SEGMENT_BYTES,
    METADATA_MAX_SIZE: MAX_METADATA_BYTES,
    MAX_RETRIES: PART_RETRIES,
    MAX_ADV_RETRIES: ADVERTISEMENT_RETRIES,
    HASHMAP_IS_EXHAUSTED: packPartRequest({ hash: new Uint8Array(32), lastKnown: 1, wanted: [] })[0] as number,
    HASHMAP_IS_NOT_EXHAUSTED: packPartRequest({
      hash: new Uint8Array(32),
      lastKnown: undefined,
      wanted: [],
    })[0] as number,
  }),
  wire_channel_inject: inject,
  wire_channel_received: (p) => {
    const node = nodeOf(p);
    endsOf(node, p);
    return { messages: node.channelMessages.get(String(p["link_id"]))?.splice(0) ?? [] };
  },
  wire_channel_window: window,
  wire_channel_send: channelSend,
  wire_listener_channel_rx: (p) => {
    const node = nodeOf(p);
    const { links, channelMessages } = node.listener(p);
    const link = links.at(-1);
    const state = link?.isUp === true ? node.act(() => link.channel()).state : undefined;
    return {
      found: state !== undefined,
      next_rx_sequence: state?.receiveNext ?? 0,
      rx_ring: state?.held ?? 0,
      received: channelMessages,
      messages: channelMessages,
    };
  },
  wire_buffer_stream: stream,
  wire_buffer_received: streamReceived,
};
