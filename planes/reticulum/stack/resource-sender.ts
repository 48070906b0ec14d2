/** Sends one resource over a link: advertises, serves part requests, waits for the proof (spec/reticulum.md section 14). */
import { concatBytes, equalBytes, type Millis, SpineError, toHex } from "../../../spine/index.ts";
import {
  FLAG,
  HASHMAP_ENTRIES,
  MAP_HASH_BYTES,
  type PartRequest,
  packAdvertisement,
  packHashmapUpdate,
  RESOURCE_HASH_BYTES,
} from "./advertisement.ts";
import type { LinkPort } from "./link-port.ts";
import { LINK } from "./name.ts";
import { buildPacket, CONTEXT, PROOF, packetHash } from "./packet.ts";
import { MAX_WINDOW_FAST } from "./resource-window.ts";
import { advertise, makeSegment, partBytesAt, partOf, planSegments, SEARCH_ENTRIES, type Segment } from "./segment.ts";
import { giveBackStream } from "./stream-pool.ts";

export const ADVERTISEMENT_RETRIES = 4;
/** Of the segments after the first: the peer is there and wants them. */
const SEGMENT_RETRIES = 16;
/** A lost proof is asked for after 1, 2, 4, 8 and 10 s: a link goes stale after ten silent ones. */
const PROOF_RETRIES = 5;
const PROOF_WAIT_MS = 1000;
const MAX_PROOF_WAIT_MS = 10_000;
const TRANSFER_RETRIES = 16;
const MAX_COMPRESSED_BYTES = 65_536;
const SLOW_BITS_PER_SECOND = 250_000;
const REMEMBERED_REQUESTS = 1024;

export interface ResourceOptions {
  /** The block made by `metadataBlock`. */
  readonly metadata?: Uint8Array;
  readonly requestId?: Uint8Array;
  readonly role?: "request" | "response";
  /** By default up to 64 KiB are compressed on slow wires, when that makes them smaller. */
  readonly compress?: boolean;
}

export type OutgoingState = "queued" | "advertised" | "transferring" | "awaiting-proof" | "complete" | "failed";

/** Ends in `complete` or `failed`; `failure` then tells why. */
export class OutgoingResource {
  readonly totalBytes: number;
  state: OutgoingState = "queued";
  failure: SpineError | undefined;
  onConcluded: ((resource: OutgoingResource) => void) | undefined;
  /** For the link: the resource has ended and the next may start. */
  onEnded: (() => void) | undefined;
  readonly #link: LinkPort;
  readonly #data: Uint8Array;
  readonly #options: ResourceOptions;
  readonly #plan: readonly (readonly [number, number])[];
  #at = 0;
  #segment: Segment | undefined;
  #original: Uint8Array | undefined;
  #sent = new Set<number>();
  #low = 0;
  #retries = 0;
  #deadline: Millis = 0;
  #cancelTimer: (() => void) | undefined;
  #requests = new Set<string>();
  constructor(link: LinkPort, data: Uint8Array, options: ResourceOptions = {}) {
    this.#link = link;
    this.#data = data;
    this.#options = options;
    const metadataBytes = options.metadata?.length ?? 0;
    this.totalBytes = data.length + metadataBytes;
    this.#plan = planSegments(data.length, metadataBytes);
  }
  /** The current segment's hash, once advertised. */
  get hash(): Uint8Array | undefined {
    return this.#segment?.hash;
  }
  /** Whether the current segment went out compressed. */
  get compressed(): boolean {
    return this.#segment?.compressed ?? false;
  }
  get segments(): number {
    return this.#plan.length;
  }
  /** Share of all parts that was sent, 0 to 1. */
  get progress(): number {
    if (this.state === "complete") return 1;
    const parts = this.#segment?.mapHashes.length ?? 1;
    return (this.#at + Math.min(1, this.#sent.size / parts)) / this.#plan.length;
  }
  /** For diagnosis: where requested parts are searched from, and how many requests are remembered. */
  get scope(): { readonly from: number; readonly requests: number } {
    return { from: this.#low, requests: this.#requests.size };
  }
  get requestId(): Uint8Array | undefined {
    return this.#options.requestId;
  }
  /** Advertises the current segment. */
  start(): void {
    const [offset, length] = this.#plan[this.#at] as readonly [number, number];
    const slice = this.#data.subarray(offset, offset + length);
    const { metadata } = this.#options;
    const body = this.#at === 0 && metadata !== undefined ? concatBytes(metadata, slice) : slice;
    const { token, mtu, context } = this.#link;
    const compress = this.#options.compress ?? this.#isWorthCompressing(body.length);
    this.#segment = makeSegment(body, token, partBytesAt(mtu), context.random, compress);
    this.#original ??= this.#segment.hash;
    this.#sent = new Set();
    this.#low = 0;
    this.#retries = this.#at === 0 ? ADVERTISEMENT_RETRIES : SEGMENT_RETRIES;
    this.state = "advertised";
    this.#advertise();
  }
  /** Compressing takes a millisecond per kilobyte of everything else's time: the wire must be slower than that. */
  #isWorthCompressing(bodyBytes: number): boolean {
    return bodyBytes <= MAX_COMPRESSED_BYTES && this.#link.bitrate <= SLOW_BITS_PER_SECOND;
  }
  #advertise(): void {
    const segment = this.#segment as Segment;
    const { role, metadata, requestId } = this.#options;
    const flags =
      FLAG.encrypted |
      (segment.compressed ? FLAG.compressed : 0) |
      (this.#plan.length > 1 ? FLAG.split : 0) |
      (role === "request" ? FLAG.request : 0) |
      (role === "response" ? FLAG.response : 0) |
      (metadata === undefined ? 0 : FLAG.metadata);
    const advertisement = advertise(segment, {
      totalBytes: this.totalBytes,
      originalHash: this.#original as Uint8Array,
      segment: this.#at + 1,
      segments: this.#plan.length,
      requestId: requestId ?? null,
      flags,
    });
    this.#link.transmit(CONTEXT.resourceAdvertisement, packAdvertisement(advertisement));
    this.#arm(this.#link.rttMs * 6 + 1000);
  }
  /** One timer follows a moving deadline: the sender is touched by every packet. */
  #arm(inMs: Millis): void {
    const { context } = this.#link;
    const earlier = context.now() + inMs < this.#deadline;
    this.#deadline = context.now() + inMs;
    if (this.#cancelTimer !== undefined && !earlier) return;
    this.#cancelTimer?.();
    this.#cancelTimer = context.schedule(this.#deadline, () => {
      this.#cancelTimer = undefined;
      const left = this.#deadline - context.now();
      if (left > 0) this.#arm(left);
      else this.#expired();
    });
  }
  #expired(): void {
    if (this.state === "advertised" && this.#retries-- > 0) this.#advertise();
    else if (this.state === "awaiting-proof" && this.#retries-- > 0) this.#askForProof();
    else this.cancel(new SpineError("resource_failed", `no answer while ${this.state}`));
  }
  /** The proof may have been lost: asks whoever cached it. */
  #askForProof(): void {
    const { hash, proof } = this.#segment as Segment;
    const expected = buildPacket({
      packetType: PROOF,
      destinationType: LINK,
      destination: this.#link.id,
      context: CONTEXT.resourceProof,
      data: concatBytes(hash, proof),
    });
    this.#link.transmit(CONTEXT.cacheRequest, packetHash(expected), "clear");
    this.#awaitProof();
  }
  #awaitProof(): void {
    const waitMs = PROOF_WAIT_MS * 2 ** (PROOF_RETRIES - this.#retries);
    this.#arm(this.#link.rttMs * 3 + Math.min(waitMs, MAX_PROOF_WAIT_MS));
  }
  /** A part request for this resource; `packet` identifies its repetition. */
  serve(request: PartRequest, packet: Uint8Array): void {
    const segment = this.#segment;
    if (
      segment === undefined ||
      (this.state !== "advertised" && this.state !== "transferring" && this.state !== "awaiting-proof")
    )
      return;
    const id = toHex(packet);
    if (this.#requests.has(id)) return;
    if (this.#requests.size >= REMEMBERED_REQUESTS) this.#requests.clear();
    this.#requests.add(id);
    if (this.state === "advertised") this.state = "transferring";
    for (const wanted of request.wanted) {
      const index = segment.mapHashes.indexOf(wanted, this.#low);
      if (index < 0 || index >= this.#low + SEARCH_ENTRIES) continue;
      this.#sent.add(index);
      this.#link.transmit(CONTEXT.resource, partOf(segment, index), "clear");
    }
    if (request.lastKnown !== undefined && !this.#update(segment, request.lastKnown)) return;
    if (this.#sent.size === segment.mapHashes.length) {
      this.state = "awaiting-proof";
      this.#retries = PROOF_RETRIES;
      this.#awaitProof();
    } else {
      const waits = (TRANSFER_RETRIES * (TRANSFER_RETRIES + 1)) / 4;
      this.#arm(this.#link.rttMs * 6 * TRANSFER_RETRIES + 10_000 + waits * 1000);
    }
  }
  /** Sends the map hashes after `lastKnown`; a receiver that lies about it is cancelled. */
  #update(segment: Segment, lastKnown: number): boolean {
    const last = segment.mapHashes.indexOf(lastKnown, this.#low);
    const next = last + 1;
    if (last < 0 || next % HASHMAP_ENTRIES !== 0 || next >= segment.mapHashes.length) {
      this.cancel(new SpineError("resource_failed", "the receiver's hashmap is out of step"));
      return false;
    }
    this.#low = Math.max(0, next - 1 - MAX_WINDOW_FAST);
    const from = next * MAP_HASH_BYTES;
    const hashes = segment.hashmap.subarray(from, from + HASHMAP_ENTRIES * MAP_HASH_BYTES);
    const update = { hash: segment.hash, segment: next / HASHMAP_ENTRIES, hashes };
    this.#link.transmit(CONTEXT.resourceHashmapUpdate, packHashmapUpdate(update));
    return true;
  }
  /** Proof data, hash first. False when it is wrong. */
  prove(data: Uint8Array): boolean {
    const segment = this.#segment;
    if (segment === undefined || !equalBytes(data.subarray(RESOURCE_HASH_BYTES), segment.proof)) return false;
    if (this.state === "complete" || this.state === "failed") return true;
    this.#at++;
    if (this.#at < this.#plan.length) {
      giveBackStream(segment.stream);
      this.start();
    } else this.#end("complete");
    return true;
  }
  /** Gives up and tells the receiver. */
  cancel(reason: SpineError): void {
    if (this.state === "complete" || this.state === "failed") return;
    if (this.#segment !== undefined) this.#link.transmit(CONTEXT.resourceInitiatorCancel, this.#segment.hash);
    this.fail(reason);
  }
  /** The receiver refused, or the link is gone. */
  fail(reason: SpineError): void {
    if (this.state === "complete" || this.state === "failed") return;
    this.failure = reason;
    this.#end("failed");
  }
  #end(state: "complete" | "failed"): void {
    this.state = state;
    if (this.#segment !== undefined) giveBackStream(this.#segment.stream);
    this.#cancelTimer?.();
    this.#cancelTimer = undefined;
    this.#requests.clear();
    const { onConcluded } = this;
    if (onConcluded !== undefined) this.#link.context.notify(() => onConcluded(this));
    this.onEnded?.();
  }
}
