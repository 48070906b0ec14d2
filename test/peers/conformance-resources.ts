/** Bridge commands on resources: a link that only remembers what was sent, fed step by step with genuine and with crafted messages. */
import {
  FLAG,
  HASHMAP_ENTRIES,
  MAP_HASH_BYTES,
  packAdvertisement,
  readMapHashes,
  unpackAdvertisement,
  unpackHashmapUpdate,
  unpackPartRequest,
} from "../../planes/reticulum/stack/advertisement.ts";
import { sha256 } from "../../planes/reticulum/stack/crypto.ts";
import type { LinkPort } from "../../planes/reticulum/stack/link-port.ts";
import { LinkResources, type ReceivedResource } from "../../planes/reticulum/stack/link-resources.ts";
import { type Packable, pack } from "../../planes/reticulum/stack/msgpack.ts";
import { LINK } from "../../planes/reticulum/stack/name.ts";
import { buildPacket, CONTEXT, parsePacket } from "../../planes/reticulum/stack/packet.ts";
import { SegmentReceiver } from "../../planes/reticulum/stack/resource-receiver.ts";
import { OutgoingResource } from "../../planes/reticulum/stack/resource-sender.ts";
import { INITIAL_WINDOW, MAX_WINDOW_FAST } from "../../planes/reticulum/stack/resource-window.ts";
import {
  advertise,
  makeSegment,
  mapNumber,
  partBytesAt,
  partOf,
  type Segment,
} from "../../planes/reticulum/stack/segment.ts";
import { Timers } from "../../planes/reticulum/stack/timers.ts";
import { Token } from "../../planes/reticulum/stack/token.ts";
import { concatBytes, fromHex, SpineError, toHex } from "../../spine/index.ts";
import { type Params, random, type Value, type WireCommand } from "./conformance-node.ts";

interface Sent {
  readonly context: number;
  readonly data: Uint8Array;
}

export class Bench {
  readonly token = new Token(random(64));
  readonly sent: Sent[] = [];
  readonly proofs: Uint8Array[] = [];
  readonly received: ReceivedResource[] = [];
  readonly failures: SpineError[] = [];
  progressCalls = 0;
  readonly resources: LinkResources;
  readonly port: LinkPort;
  accepts = true;
  now = 1000;
  readonly #timers = new Timers();
  constructor() {
    this.port = {
      id: random(16),
      context: {
        now: () => this.now,
        random,
        schedule: (at, task) => this.#timers.schedule(at, task),
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
      progress: () => void this.progressCalls++,
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
  /** Lets what is due next happen. */
  pass(): void {
    const at = this.#timers.next();
    if (at === undefined) return;
    this.now = Math.max(this.now, at);
    this.#timers.runDue(this.now);
  }
  /** A receiver of this segment that has just asked for its first parts. */
  receiver(segment: Segment, bytes: number): SegmentReceiver {
    const told = this.advertisement(segment, bytes);
    const receiver = new SegmentReceiver(this.port, told, bytes, { window: INITIAL_WINDOW, rate: undefined });
    receiver.start();
    return receiver;
  }
  /** Part requests sent so far. */
  requests() {
    return this.sent
      .filter(({ context }) => context === CONTEXT.resourceRequest)
      .map(({ data }) => unpackPartRequest(data));
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
  const long = variant === "misaligned_hmu" || variant === "aligned" || variant === "aligned_scope";
  const sender = new OutgoingResource(bench.port, random(variant === "aligned_scope" ? 90_000 : long ? 60_000 : 5000), {
    compress: false,
  });
  sender.start();
  const advertised = unpackAdvertisement((bench.sent[0] as Sent).data, partBytesAt(500));
  const { hash, parts } = advertised;
  const known = readMapHashes(advertised.hashmap);
  if (long && variant !== "aligned_scope") {
    const lastKnown = known[variant === "aligned" ? HASHMAP_ENTRIES - 1 : 10] as number;
    const before = sender.scope.from;
    sender.serve({ hash, lastKnown, wanted: [] }, random(32));
    return { variant, cancelled: sender.state === "failed", status_name: nameOf(sender), scope_before: before };
  }
  if (variant === "aligned_scope") {
    const before = sender.scope.from;
    sender.serve({ hash, lastKnown: known[HASHMAP_ENTRIES - 1] as number, wanted: [] }, random(32));
    const update = unpackHashmapUpdate((bench.sent.at(-1) as Sent).data);
    const more = readMapHashes(update.hashes);
    sender.serve({ hash, lastKnown: more.at(-1) as number, wanted: [] }, random(32));
    return {
      variant,
      cancelled: sender.state === "failed",
      scope_before: before,
      scope_after: sender.scope.from,
      part_index: known.length + more.length,
      window_max: MAX_WINDOW_FAST,
    };
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
    first_in_hashlist: sender.scope.requests > 0,
    req_hashlist_len: sender.scope.requests,
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

export const RESOURCES: Readonly<Record<string, WireCommand>> = {
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
