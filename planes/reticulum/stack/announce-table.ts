/**
 * Carries announces on: after a random delay, twice at most, not when others have done it (spec/reticulum.md section 8).
 * Used by `transport.ts`.
 */
import { type Millis, toHex } from "../../../spine/index.ts";
import type { Announce } from "./announce.ts";
import { AnnounceQueue } from "./announce-queue.ts";
import type { StackContext, Wire } from "./context.ts";
import { SINGLE } from "./name.ts";
import { ANNOUNCE, buildPacket, CONTEXT, NETWORK_MTU, type Packet } from "./packet.ts";
import type { CachedAnnounce } from "./path-table.ts";
import { carriesAnnounce, isCapped } from "./wire-policy.ts";

const MAX_WAITING = 4096;
const TRANSMISSIONS = 2;
const RETRY_MS = 5500;
/** Announces due within it go out together. */
const TICK_MS = 1;
/** The random delay keeps neighbours on a shared medium apart; where all wires are fast a shorter one does. */
const WINDOW_MS = 500;
const FAST_WINDOW_MS = 50;
const FAST_BITRATE = 1_000_000;
/** So many neighbours have carried it on that our second transmission is needless. */
const ENOUGH_NEIGHBOURS = 2;

interface Waiting {
  readonly packet: CachedAnnounce & { readonly destination: Uint8Array };
  readonly hops: number;
  readonly emittedSeconds: number;
  readonly fromWire: string;
  readonly addedAt: Millis;
  dueAt: Millis;
  sent: number;
  neighbours: number;
}

/** One announce that waits, for status and tests. */
export interface WaitingAnnounce {
  readonly packet: CachedAnnounce & { readonly destination: Uint8Array };
  readonly hops: number;
  readonly sent: number;
  readonly neighbours: number;
  readonly fromWire: string;
  readonly addedAt: Millis;
  readonly dueAt: Millis;
}

/** The announce of `cached` as this node re-sends it. */
export function carriedAnnounce(
  cached: CachedAnnounce,
  destination: Uint8Array,
  hops: number,
  transportId: Uint8Array,
  context: number,
): Uint8Array {
  const { data, contextFlag } = cached;
  return buildPacket({
    packetType: ANNOUNCE,
    destinationType: SINGLE,
    destination,
    data,
    contextFlag,
    hops,
    transportId,
    context,
  });
}

/** Bounded: when full, a further announce is learned from but not carried on. What is due together goes fewest hops first. */
export class AnnounceTable {
  readonly #context: StackContext;
  readonly #transportId: Uint8Array;
  readonly #wires: ReadonlyMap<string, Wire>;
  readonly #waiting = new Map<string, Waiting>();
  readonly #queues = new Map<string, AnnounceQueue>();
  #armedAt: Millis = Number.POSITIVE_INFINITY;
  #cancelTimer: (() => void) | undefined;
  constructor(context: StackContext, transportId: Uint8Array, wires: ReadonlyMap<string, Wire>) {
    this.#context = context;
    this.#transportId = transportId;
    this.#wires = wires;
  }
  get size(): number {
    return this.#waiting.size;
  }
  /** Announces that wait for their share of a wire, all wires together. */
  get queued(): number {
    let sum = 0;
    for (const queue of this.#queues.values()) sum += queue.size;
    return sum;
  }
  queuedOn(wireId: string): number {
    return this.#queues.get(wireId)?.size ?? 0;
  }
  /** By destination hash in hex. */
  get(key: string): WaitingAnnounce | undefined {
    return this.#waiting.get(key);
  }
  /** Moves the next transmission; false when nothing waits. */
  reschedule(key: string, at: Millis): boolean {
    const waiting = this.#waiting.get(key);
    if (waiting === undefined) return false;
    this.#plan(waiting, at);
    return true;
  }
  /** An accepted announce; `packet` has its hops counted. */
  add(packet: Packet, announce: Announce, cached: CachedAnnounce, fromWire: string): void {
    const key = toHex(announce.destination);
    this.#drop(key);
    if (this.#waiting.size >= MAX_WAITING) {
      this.#context.count("drop_table_full");
      return;
    }
    const now = this.#context.now();
    const waiting: Waiting = {
      packet: { ...cached, destination: announce.destination },
      hops: packet.hops,
      emittedSeconds: announce.emittedSeconds,
      fromWire,
      addedAt: now,
      dueAt: now,
      sent: 0,
      neighbours: 0,
    };
    this.#waiting.set(key, waiting);
    this.#plan(waiting, now + this.#delay());
  }
  #delay(): Millis {
    let window = FAST_WINDOW_MS;
    for (const wire of this.#wires.values()) if (wire.bitrate < FAST_BITRATE) window = WINDOW_MS;
    const [a = 0, b = 0] = this.#context.random(2);
    return ((a * 256 + b) / 65_536) * window;
  }
  #plan(waiting: Waiting, at: Millis): void {
    waiting.dueAt = at;
    if (at < this.#armedAt) this.#arm(at);
  }
  #arm(at: Millis): void {
    this.#cancelTimer?.();
    this.#armedAt = at;
    this.#cancelTimer = this.#context.schedule(at, () => this.#fire());
  }
  /** One timer for all: dropped entries leave it armed for nothing, which costs one look at the table. */
  #fire(): void {
    this.#armedAt = Number.POSITIVE_INFINITY;
    this.#cancelTimer = undefined;
    const now = this.#context.now();
    const due = [...this.#waiting].filter(([, { dueAt }]) => dueAt <= now);
    due.sort(([, a], [, b]) => a.hops - b.hops || a.dueAt - b.dueAt);
    for (const [key, waiting] of due) {
      if (waiting.sent >= TRANSMISSIONS) {
        this.#waiting.delete(key);
        continue;
      }
      this.#send(key, waiting);
      waiting.sent++;
      waiting.dueAt = now + RETRY_MS;
    }
    let next = Number.POSITIVE_INFINITY;
    for (const { dueAt } of this.#waiting.values()) next = Math.min(next, dueAt);
    if (next < Number.POSITIVE_INFINITY) this.#arm(Math.max(next, now + TICK_MS));
  }
  #send(key: string, waiting: Waiting): void {
    const { packet, hops, emittedSeconds, fromWire } = waiting;
    const raw = carriedAnnounce(packet, packet.destination, hops, this.#transportId, CONTEXT.none);
    if (raw.length > NETWORK_MTU) {
      this.#context.count("announces_blocked");
      return;
    }
    const from = this.#wires.get(fromWire);
    for (const wire of this.#wires.values()) {
      // Also where it came from: who sent it to us learns that it was carried on and need not repeat it.
      if (!carriesAnnounce(wire, from)) continue;
      if (isCapped(wire)) this.#queue(wire).offer({ key, raw, hops, emittedSeconds });
      else {
        this.#context.transmit(raw, wire.id);
        this.#context.count("announces_forwarded");
      }
    }
  }
  #queue(wire: Wire): AnnounceQueue {
    let queue = this.#queues.get(wire.id);
    if (queue === undefined) {
      queue = new AnnounceQueue(this.#context, wire);
      this.#queues.set(wire.id, queue);
    }
    return queue;
  }
  /** Any heard announce of another transport node: it may show that our transmission is needless. */
  heard(packet: Packet): void {
    const key = toHex(packet.destination);
    const waiting = this.#waiting.get(key);
    if (waiting === undefined) return;
    const hops = packet.hops - 1;
    if (hops === waiting.hops) {
      waiting.neighbours++;
      if (waiting.sent > 0 && waiting.neighbours >= ENOUGH_NEIGHBOURS) this.#drop(key);
    } else if (hops === waiting.hops + 1 && waiting.sent > 0) this.#drop(key);
  }
  #drop(key: string): void {
    this.#waiting.delete(key);
  }
  dropWire(wireId: string): void {
    this.#queues.get(wireId)?.clear();
    this.#queues.delete(wireId);
  }
}
