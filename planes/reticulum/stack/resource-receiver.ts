/** Receives one segment of a resource: asks for parts, survives loss, assembles and proves (spec/reticulum.md section 14). */
import { concatBytes, type Millis, SpineError } from "../../../spine/index.ts";
import {
  type Advertisement,
  HASHMAP_ENTRIES,
  type HashmapUpdate,
  packPartRequest,
  readMapHashes,
} from "./advertisement.ts";
import type { LinkPort } from "./link-port.ts";
import { CONTEXT } from "./packet.ts";
import { ResourceWindow } from "./resource-window.ts";
import { mapNumber, openSegment, partBytesAt } from "./segment.ts";
import { giveBackStream, takeStream } from "./stream-pool.ts";

export const PART_RETRIES = 16;
/** Timeout factors before and after the first part of a request. */
const FACTOR_FIRST = 4;
const FACTOR_FLOWING = 2;
const HASHMAP_WAIT_PARTS = 3.5;
/** Senders look for a part only so far behind the height up to which they gave out the hashmap. */
const MAX_LEAD_PARTS = 74;
/** A link goes stale after ten silent seconds: several tries must fit into them. */
const MAX_BACKOFF_MS = 1000;

export interface ReceiverMemory {
  /** Window and rate (bits per second) that the next resource on this link starts with. */
  window: number;
  rate: number | undefined;
}

/** For diagnosis: what has come and what is asked for. */
export interface ReceiverState {
  readonly received: number;
  /** All parts before this one are there. */
  readonly next: number;
  readonly hashmapHeight: number;
  readonly waitsForHashmap: boolean;
  readonly window: number;
  readonly windowMin: number;
  readonly windowMax: number;
}

/** Ends with `onSegment` or `onFailed`, once. */
export class SegmentReceiver {
  readonly advertisement: Advertisement;
  onSegment: ((body: Uint8Array) => void) | undefined;
  onFailed: ((reason: SpineError) => void) | undefined;
  /** After each part that was new; share of all parts, 0 to 1. */
  onProgress: ((share: number) => void) | undefined;
  readonly #link: LinkPort;
  readonly #limit: number;
  readonly #memory: ReceiverMemory;
  /** Filled part by part, wherever each belongs. */
  readonly #stream: Uint8Array;
  readonly #has: Uint8Array;
  readonly #hashes: number[];
  readonly #window: ResourceWindow;
  readonly #partBytes: number;
  readonly #pending = new Map<number, number>();
  #received = 0;
  #next = 0;
  #waitsForHashmap = false;
  #requestedAt: Millis = 0;
  #roundBytes = 0;
  #roundParts = 0;
  #cursor = 0;
  #flowing = false;
  #retries = 0;
  #deadline: Millis = 0;
  #cancelTimer: (() => void) | undefined;
  #ended = false;
  /** `limit` bounds what a compressed body may inflate to, bytes. */
  constructor(link: LinkPort, advertisement: Advertisement, limit: number, memory: ReceiverMemory) {
    this.#link = link;
    this.advertisement = advertisement;
    this.#limit = limit;
    this.#memory = memory;
    this.#stream = takeStream(advertisement.transferBytes);
    this.#has = new Uint8Array(advertisement.parts);
    this.#hashes = readMapHashes(advertisement.hashmap);
    this.#window = new ResourceWindow(memory.window);
    this.#partBytes = partBytesAt(link.mtu);
  }
  /** Parts received of all, 0 to 1. */
  get progress(): number {
    return this.#received / this.#has.length;
  }
  get state(): ReceiverState {
    this.#skipReceived();
    return {
      received: this.#received,
      next: this.#next,
      hashmapHeight: this.#hashes.length,
      waitsForHashmap: this.#waitsForHashmap,
      window: this.#window.size,
      windowMin: this.#window.min,
      windowMax: this.#window.max,
    };
  }
  /** Map hashes known so far. */
  get hashmapHeight(): number {
    return this.#hashes.length;
  }
  start(): void {
    this.#request();
  }
  /** The sender advertises again: our first request was lost, and it will not wait as long as we might. */
  advertisedAgain(): void {
    if (!this.#ended && this.#received === 0) this.#request();
  }
  /** Asks for the missing parts at the window's height; without their hashes, for more of the hashmap. */
  #request(): void {
    this.#skipReceived();
    this.#pending.clear();
    this.#waitsForHashmap = false;
    this.#cursor = this.#next;
    this.#flowing = false;
    this.#beginRound();
    this.#ask(Math.min(this.#next + this.#window.size, this.#has.length));
  }
  #skipReceived(): void {
    while (this.#next < this.#has.length && this.#has[this.#next] === 1) this.#next++;
  }
  /** Asks for what follows while earlier parts are still on their way. */
  #askAhead(): void {
    this.#skipReceived();
    const room = this.#window.size - this.#pending.size;
    const end = Math.min(this.#cursor + room, this.#next + MAX_LEAD_PARTS, this.#has.length);
    if (room * 2 >= this.#window.size) this.#ask(end);
  }
  /** Requests the missing parts from the cursor up to `end`. */
  #ask(end: number): void {
    const wanted: number[] = [];
    for (; this.#cursor < end; this.#cursor++) {
      const hash = this.#hashes[this.#cursor];
      if (hash === undefined) break;
      if (this.#has[this.#cursor] === 1) continue;
      wanted.push(hash);
      this.#pending.set(hash, this.#cursor);
    }
    const exhausted = this.#cursor < end;
    const lastKnown = exhausted && !this.#waitsForHashmap ? this.#hashes[this.#hashes.length - 1] : undefined;
    this.#waitsForHashmap ||= exhausted;
    if (wanted.length === 0 && lastKnown === undefined) return;
    this.#link.transmit(CONTEXT.resourceRequest, packPartRequest({ hash: this.advertisement.hash, lastKnown, wanted }));
    this.#arm();
  }
  #beginRound(): void {
    this.#requestedAt = this.#link.context.now();
    this.#roundBytes = 0;
    this.#roundParts = 0;
  }
  #arm(): void {
    const { context, handshakeRate, rttMs, mtu } = this.#link;
    const rate = this.#memory.rate ?? handshakeRate;
    const partMs = (partBytesAt(mtu) * 8 * 1000) / rate;
    const factor = this.#flowing ? FACTOR_FLOWING : FACTOR_FIRST;
    const timeoutMs =
      factor * this.#pending.size * partMs +
      rttMs +
      250 +
      Math.min(500 * this.#retries, MAX_BACKOFF_MS) +
      (this.#waitsForHashmap ? HASHMAP_WAIT_PARTS * partMs : 0);
    const deadline = context.now() + timeoutMs;
    const earlier = deadline < this.#deadline - 1;
    this.#deadline = deadline;
    if (this.#cancelTimer !== undefined && !earlier) return;
    this.#schedule();
  }
  #schedule(): void {
    const { context } = this.#link;
    this.#cancelTimer?.();
    this.#cancelTimer = context.schedule(this.#deadline, () => {
      this.#cancelTimer = undefined;
      if (this.#deadline > context.now()) this.#schedule();
      else this.#timedOut();
    });
  }
  #timedOut(): void {
    if (++this.#retries > PART_RETRIES) {
      this.cancel(new SpineError("resource_failed", `no parts after ${PART_RETRIES} retries`));
      return;
    }
    this.#window.timedOut();
    this.#request();
  }
  /** A part packet; false when it belongs to no outstanding request of this segment. */
  part(data: Uint8Array): boolean {
    if (this.#ended || data.length > this.#partBytes) return false;
    const hash = mapNumber(data, this.advertisement.randomHash);
    const index = this.#pending.get(hash);
    if (index === undefined) return false;
    const at = index * this.#partBytes;
    if (data.length !== Math.min(this.#partBytes, this.#stream.length - at)) return false;
    this.#pending.delete(hash);
    this.#stream.set(data, at);
    this.#has[index] = 1;
    this.#received++;
    this.#roundBytes += data.length;
    this.#flowing = true;
    this.#retries = 0;
    this.#roundParts++;
    this.onProgress?.(this.progress);
    if (this.#received === this.#has.length) this.#assemble();
    else {
      if (this.#pending.size === 0 || this.#roundParts >= this.#window.size) this.#roundDone();
      if (this.#pending.size > 0 || this.#waitsForHashmap) this.#arm();
      if (this.#pending.size > 0 && this.#window.asksAhead) this.#askAhead();
      else if (this.#pending.size === 0 && !this.#waitsForHashmap) this.#request();
    }
    return true;
  }
  #roundDone(): void {
    const elapsedMs = this.#link.context.now() - this.#requestedAt;
    const rate = elapsedMs > 0 ? (this.#roundBytes * 1000) / elapsedMs : undefined;
    // The few parts that were lost before come within a round trip: they say how near the sender is, not how slow the wire.
    const tells =
      this.#roundParts * 2 >= this.#window.size || rate === undefined || rate * 8 > (this.#memory.rate ?? 0);
    if (rate !== undefined && tells) this.#memory.rate = rate * 8;
    this.#window.completed(rate);
    this.#beginRound();
  }
  /** More of the hashmap. Only the next stretch of it is taken; anything else is ignored. */
  update(update: HashmapUpdate): boolean {
    const height = this.#hashes.length;
    const hashes = readMapHashes(update.hashes);
    const expected = Math.min(HASHMAP_ENTRIES, this.#has.length - height);
    if (this.#ended || update.segment * HASHMAP_ENTRIES !== height || hashes.length !== expected || expected === 0)
      return false;
    this.#hashes.push(...hashes);
    this.#waitsForHashmap = false;
    if (this.#pending.size === 0) this.#request();
    else if (this.#window.asksAhead) this.#askAhead();
    return true;
  }
  #assemble(): void {
    const { token, context } = this.#link;
    try {
      const { body, proof } = openSegment(this.#stream, token, this.advertisement, this.#limit);
      this.#end();
      this.#memory.window = this.#window.size;
      this.#link.transmitProof(CONTEXT.resourceProof, concatBytes(this.advertisement.hash, proof));
      this.onSegment?.(body);
    } catch (caught) {
      context.count("drop_resource_invalid");
      const reason = caught instanceof SpineError ? caught : new SpineError("resource_failed", "resource damaged");
      this.cancel(reason);
    }
  }
  /** Gives up and tells the sender. */
  cancel(reason: SpineError): void {
    if (!this.#ended) this.#link.transmit(CONTEXT.resourceReceiverCancel, this.advertisement.hash);
    this.fail(reason);
  }
  /** The sender gave up, or the link is gone. */
  fail(reason: SpineError): void {
    if (this.#ended) return;
    this.#end();
    this.onFailed?.(reason);
  }
  #end(): void {
    this.#ended = true;
    giveBackStream(this.#stream);
    this.#cancelTimer?.();
    this.#cancelTimer = undefined;
  }
}
