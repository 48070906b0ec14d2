/** Bridge commands of resources over a link. */
import {
  HASHMAP_ENTRIES,
  MAP_HASH_BYTES,
  packPartRequest,
  SEGMENT_BYTES,
  unpackPartRequest,
} from "../../planes/reticulum/stack/advertisement.ts";
import type { Link } from "../../planes/reticulum/stack/link.ts";
import { pack } from "../../planes/reticulum/stack/msgpack.ts";
import { CONTEXT, type Packet, parsePacket } from "../../planes/reticulum/stack/packet.ts";
import { PART_RETRIES } from "../../planes/reticulum/stack/resource-receiver.ts";
import {
  ADVERTISEMENT_RETRIES,
  type OutgoingResource,
  type ResourceOptions,
} from "../../planes/reticulum/stack/resource-sender.ts";
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
import { linkOf } from "./conformance-links.ts";
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

// --- resources ---

function statusOf(resource: OutgoingResource): number {
  const states = { queued: 1, advertised: 2, transferring: 3, "awaiting-proof": 4, complete: 6, failed: 7 } as const;
  return resource.failure?.code === "resource_rejected" ? 0 : states[resource.state];
}

function metadataOf(p: Params): Uint8Array | undefined {
  const hex = p["metadata"];
  return typeof hex === "string" ? metadataBlock(pack(fromHex(hex))) : undefined;
}

function send(p: Params): Promise<Value> {
  return sendBytes(p, bytes(p, "data"), {});
}

async function sendBytes(p: Params, data: Uint8Array, options: ResourceOptions): Promise<Value> {
  const node = nodeOf(p);
  const link = linkOf(p);
  const metadata = metadataOf(p);
  const resource = node.act(() => link.sendResource(data, metadata === undefined ? options : { ...options, metadata }));
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

/** Zeros, compressed: the reference's listener takes no resource that inflates beyond half a megabyte. */
function sendBomb(p: Params): Promise<Value> {
  const inflated = Number(p["decompressed_size"] ?? 1_048_576);
  return sendBytes(p, new Uint8Array(Math.min(inflated, SEGMENT_BYTES)), { compress: true });
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

/** Requests for more of the hashmap that went out on the link, and the updates that came in; both as they were on the wire. */
function hashmapTraffic(node: WireNode, link: Link): Record<string, Value> {
  const on = (raw: Uint8Array, context: number): Packet[] => {
    const packet = parsePacket(raw);
    return packet.context === context && toHex(packet.destination) === link.hex ? [packet] : [];
  };
  const asked = node.sent
    .flatMap((raw) => on(raw, CONTEXT.resourceRequest))
    .flatMap(({ data }) => link.token.decrypt(data) ?? [])
    .filter((plain) => unpackPartRequest(plain).lastKnown !== undefined);
  const updates = node.received.flatMap(({ raw }) => on(raw, CONTEXT.resourceHashmapUpdate));
  return { hmu_requests_sent: asked.length, hashmap_updates_received: updates.length };
}

async function receiverStatus(p: Params): Promise<Value> {
  const { incoming } = nodeOf(p).listener(p);
  await until(() => (incoming.at(-1)?.status ?? 3) !== 3, Number(p["timeout_ms"] ?? 0));
  const last = incoming.at(-1);
  if (last === undefined) return { found: false, resource_count: 0 };
  return {
    found: true,
    resource_count: incoming.length,
    status: last.status,
    status_name: STATUS_NAMES[last.status] ?? null,
    corrupt: last.status === 8,
    ...hashmapTraffic(nodeOf(p), last.link),
    compressed: last.compressed,
    has_metadata: last.hasMetadata,
    metadata: last.metadata,
    data: last.data,
    failure: last.failure,
  };
}

export const TRANSFERS: Readonly<Record<string, WireCommand>> = {
  wire_resource_send: send,
  wire_resource_send_bomb: sendBomb,
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
};
