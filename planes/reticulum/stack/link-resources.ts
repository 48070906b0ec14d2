/** All resources of one link: queue of outgoing ones, acceptance and assembly of incoming ones (spec/reticulum.md section 14). */
import { concatBytes, equalBytes, SpineError, toHex } from "../../../spine/index.ts";
import {
  type Advertisement,
  FLAG,
  RESOURCE_HASH_BYTES,
  unpackAdvertisement,
  unpackHashmapUpdate,
  unpackPartRequest,
} from "./advertisement.ts";
import type { LinkPort } from "./link-port.ts";
import { CONTEXT, type Packet, packetHash } from "./packet.ts";
import { type ReceiverMemory, SegmentReceiver } from "./resource-receiver.ts";
import { OutgoingResource, type ResourceOptions } from "./resource-sender.ts";
import { INITIAL_WINDOW } from "./resource-window.ts";
import { partBytesAt, splitMetadata } from "./segment.ts";

const MAX_QUEUED = 256;
const MAX_INCOMING = 8;
const MAX_CACHED_PROOFS = 32;
/** How long a half-received resource waits for its next segment, ms, on top of 20 round trips. */
const SEGMENT_WAIT_MS = 60_000;

/** A whole received resource. */
export interface ReceivedResource {
  readonly data: Uint8Array;
  /** The packed metadata object, when there is one. */
  readonly metadata: Uint8Array | undefined;
  readonly requestId: Uint8Array | null;
  readonly flags: number;
  readonly hash: Uint8Array;
}

interface Incoming {
  readonly first: Advertisement;
  receiver: SegmentReceiver | undefined;
  segment: number;
  readonly chunks: Uint8Array[];
  metadata: Uint8Array | undefined;
  bytes: number;
  cancelTimer: (() => void) | undefined;
}

export interface ResourceHandlers {
  /** Asked once per resource, with the first segment's advertisement. */
  accept(advertisement: Advertisement): boolean;
  received(resource: ReceivedResource): void;
  failed(advertisement: Advertisement, reason: SpineError): void;
  /** After each new part, with the first segment's advertisement; share of all segments, 0 to 1. */
  progress(advertisement: Advertisement, share: number): void;
}

export class LinkResources {
  /** Largest resource taken, bytes, all segments together. */
  maxBytes: number;
  /** What the next resource starts with. */
  readonly memory: ReceiverMemory = { window: INITIAL_WINDOW, rate: undefined };
  readonly #link: LinkPort;
  readonly #handlers: ResourceHandlers;
  readonly #outgoing: OutgoingResource[] = [];
  readonly #incoming = new Map<string, Incoming>();
  readonly #proofs = new Map<string, Uint8Array>();
  constructor(link: LinkPort, handlers: ResourceHandlers, maxBytes: number) {
    this.#link = link;
    this.#handlers = handlers;
    this.maxBytes = maxBytes;
  }
  get incoming(): number {
    return this.#incoming.size;
  }
  get outgoing(): readonly OutgoingResource[] {
    return this.#outgoing;
  }
  /** Queued behind earlier ones; throws `link_congested` when too many wait. */
  send(data: Uint8Array, options: ResourceOptions = {}): OutgoingResource {
    if (this.#outgoing.length >= MAX_QUEUED) throw new SpineError("link_congested", "too many resources wait");
    const resource = new OutgoingResource(this.#link, data, options);
    resource.onEnded = () => {
      const at = this.#outgoing.indexOf(resource);
      if (at >= 0) this.#outgoing.splice(at, 1);
      if (at === 0) this.#outgoing[0]?.start();
    };
    this.#outgoing.push(resource);
    if (this.#outgoing.length === 1) resource.start();
    return resource;
  }
  /** A decrypted message of one of the resource contexts, or a clear part. Throws coded errors for malformed ones. */
  handle(packet: Packet, plain: Uint8Array): void {
    switch (packet.context) {
      case CONTEXT.resource:
        this.#part(plain);
        return;
      case CONTEXT.resourceAdvertisement:
        this.#advertised(unpackAdvertisement(plain, partBytesAt(this.#link.mtu)));
        return;
      case CONTEXT.resourceRequest: {
        const request = unpackPartRequest(plain);
        this.#outgoingBy(request.hash)?.serve(request, packetHash(packet.raw));
        return;
      }
      case CONTEXT.resourceHashmapUpdate: {
        const update = unpackHashmapUpdate(plain);
        if (this.#receiverBy(update.hash)?.update(update) !== true) this.#link.context.count("drop_resource_part");
        return;
      }
      case CONTEXT.resourceInitiatorCancel:
        this.#receiverBy(plain)?.fail(new SpineError("resource_failed", "the sender cancelled"));
        return;
      case CONTEXT.resourceReceiverCancel: {
        const resource = this.#outgoingBy(plain);
        const code = resource?.state === "advertised" ? "resource_rejected" : "resource_failed";
        resource?.fail(new SpineError(code, "the receiver cancelled"));
        return;
      }
      default:
        return;
    }
  }
  /** A resource proof packet's data. */
  prove(data: Uint8Array): void {
    if (data.length !== 2 * RESOURCE_HASH_BYTES) return;
    const resource = this.#outgoingBy(data.subarray(0, RESOURCE_HASH_BYTES));
    if (resource?.prove(data) === false) this.#link.context.count("drop_proof_invalid");
  }
  /** The peer lost our proof: sends it again when `hash` is the packet hash of one. */
  resendProof(hash: Uint8Array): void {
    const data = this.#proofs.get(toHex(hash));
    if (data !== undefined) this.#link.transmitProof(CONTEXT.resourceProof, data);
  }
  rememberProof(hash: Uint8Array, data: Uint8Array): void {
    const [oldest] = this.#proofs.keys();
    if (this.#proofs.size >= MAX_CACHED_PROOFS && oldest !== undefined) this.#proofs.delete(oldest);
    this.#proofs.set(toHex(hash), data);
  }
  /** Of a segment received lately: an advertisement that comes late must not bring it twice. */
  #proofOf(hash: Uint8Array): Uint8Array | undefined {
    for (const data of this.#proofs.values()) if (equalBytes(data.subarray(0, RESOURCE_HASH_BYTES), hash)) return data;
    return undefined;
  }
  /** The link is gone. */
  failAll(reason: SpineError): void {
    for (const incoming of [...this.#incoming.values()]) {
      if (incoming.receiver !== undefined) incoming.receiver.fail(reason);
      else this.#drop(incoming, reason);
    }
    for (const resource of this.#outgoing.splice(0)) {
      resource.onEnded = undefined;
      resource.fail(reason);
    }
  }
  #outgoingBy(hash: Uint8Array): OutgoingResource | undefined {
    const [current] = this.#outgoing;
    return current?.hash !== undefined && equalBytes(current.hash, hash) ? current : undefined;
  }
  #receiverBy(hash: Uint8Array): SegmentReceiver | undefined {
    for (const { receiver } of this.#incoming.values()) {
      if (receiver !== undefined && equalBytes(receiver.advertisement.hash, hash)) return receiver;
    }
    return undefined;
  }
  #part(data: Uint8Array): void {
    for (const { receiver } of this.#incoming.values()) if (receiver?.part(data) === true) return;
    this.#link.context.count("drop_resource_part");
  }
  #advertised(advertisement: Advertisement): void {
    const running = this.#receiverBy(advertisement.hash);
    if (running !== undefined) {
      running.advertisedAgain();
      return;
    }
    const proof = this.#proofOf(advertisement.hash);
    if (proof !== undefined) {
      this.#link.transmitProof(CONTEXT.resourceProof, proof);
      return;
    }
    const key = toHex(advertisement.originalHash);
    let incoming = this.#incoming.get(key);
    if (incoming === undefined) {
      const wanted =
        advertisement.segment === 1 &&
        advertisement.totalBytes <= this.maxBytes &&
        this.#incoming.size < MAX_INCOMING &&
        this.#handlers.accept(advertisement);
      if (!wanted) {
        this.#link.context.count("drop_resource_refused");
        this.#link.transmit(CONTEXT.resourceReceiverCancel, advertisement.hash);
        return;
      }
      incoming = {
        first: advertisement,
        receiver: undefined,
        segment: 0,
        chunks: [],
        metadata: undefined,
        bytes: 0,
        cancelTimer: undefined,
      };
      this.#incoming.set(key, incoming);
    } else if (incoming.receiver !== undefined || advertisement.segment !== incoming.segment + 1) {
      this.#link.context.count("drop_resource_invalid");
      return;
    }
    this.#receive(incoming, advertisement);
  }
  #receive(incoming: Incoming, advertisement: Advertisement): void {
    incoming.cancelTimer?.();
    incoming.cancelTimer = undefined;
    incoming.segment = advertisement.segment;
    const left = Math.max(0, incoming.first.totalBytes - incoming.bytes);
    const receiver = new SegmentReceiver(this.#link, advertisement, left, this.memory);
    incoming.receiver = receiver;
    receiver.onSegment = (body) => this.#segmentDone(incoming, body);
    receiver.onFailed = (reason) => this.#drop(incoming, reason);
    receiver.onProgress = (share) =>
      this.#handlers.progress(incoming.first, (incoming.segment - 1 + share) / incoming.first.segments);
    receiver.start();
  }
  #segmentDone(incoming: Incoming, body: Uint8Array): void {
    const { first } = incoming;
    incoming.receiver = undefined;
    incoming.bytes += body.length;
    if (incoming.bytes > first.totalBytes) {
      this.#drop(incoming, new SpineError("resource_failed", "the resource is longer than advertised"));
      return;
    }
    try {
      if (incoming.segment === 1 && (first.flags & FLAG.metadata) !== 0) {
        const { metadata, data } = splitMetadata(body);
        incoming.metadata = metadata;
        incoming.chunks.push(data);
      } else incoming.chunks.push(body);
    } catch (caught) {
      this.#drop(incoming, new SpineError("resource_failed", "resource metadata", { cause: caught }));
      return;
    }
    if (incoming.segment < first.segments) {
      const { context, rttMs } = this.#link;
      incoming.cancelTimer = context.schedule(context.now() + SEGMENT_WAIT_MS + 20 * rttMs, () =>
        this.#drop(incoming, new SpineError("resource_failed", "the next segment did not come")),
      );
      return;
    }
    this.#incoming.delete(toHex(first.originalHash));
    this.#handlers.received({
      data: incoming.chunks.length === 1 ? (incoming.chunks[0] as Uint8Array) : concatBytes(...incoming.chunks),
      metadata: incoming.metadata,
      requestId: first.requestId,
      flags: first.flags,
      hash: first.originalHash,
    });
  }
  #drop(incoming: Incoming, reason: SpineError): void {
    incoming.cancelTimer?.();
    if (!this.#incoming.delete(toHex(incoming.first.originalHash))) return;
    this.#handlers.failed(incoming.first, reason);
  }
}
