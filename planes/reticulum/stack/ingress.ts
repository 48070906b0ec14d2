/**
 * Burst control of a wire: of what comes in (spec/reticulum.md section 8): announces for unknown destinations are held back while a
 * wire brings too many, path requests are dropped. One per wire; used by `announces.ts` and `path-finder.ts`.
 */
import type { Millis } from "../../../spine/index.ts";
import type { StackContext, Wire } from "./context.ts";
import { type Packet, parsePacket } from "./packet.ts";

const SAMPLES = 48;
const SAMPLE_LIFE_MS = 10_000;
const NEW_WIRE_MS = 7_200_000;
const ANNOUNCE_HZ_NEW = 3;
const ANNOUNCE_HZ = 10;
const REQUEST_HZ_NEW = 3;
const REQUEST_HZ = 8;
const MIN_BURST_MS = 15_000;
const RELEASE_PENALTY_MS = 15_000;
const RELEASE_INTERVAL_MS = 5000;
const MAX_HELD = 256;

/** Events per second over the last few, and whether they come in a burst. */
class Burst {
  readonly #times: Millis[] = [];
  #since: Millis | undefined;
  note(now: Millis): void {
    this.#times.push(now);
    if (this.#times.length > SAMPLES) this.#times.shift();
  }
  /** More than two within the last ten seconds, and closer together than the limit. */
  isAbove(now: Millis, limitHz: number): boolean {
    while (this.#times.length > 0 && now - (this.#times[0] as Millis) > SAMPLE_LIFE_MS) this.#times.shift();
    const count = this.#times.length;
    const spanMs = now - (this.#times[0] ?? now);
    return count > 2 && count * 1000 > limitHz * Math.max(spanMs, 1);
  }
  /** True from the moment the limit is passed until the rate is below it and 15 s have gone by. */
  isOn(now: Millis, limitHz: number): boolean {
    const above = this.isAbove(now, limitHz);
    if (this.#since === undefined) {
      if (above) this.#since = now;
    } else if (!above && now - this.#since >= MIN_BURST_MS) this.#since = undefined;
    return this.#since !== undefined;
  }
}

export class Ingress {
  readonly #context: StackContext;
  readonly #wire: Wire;
  readonly #startedAt: Millis;
  readonly #release: (packet: Packet) => void;
  readonly #announces = new Burst();
  readonly #requests = new Burst();
  readonly #sentRequests = new Burst();
  readonly #held = new Map<string, Packet>();
  #cancelTimer: (() => void) | undefined;
  /** `release` gets a held announce when its time has come. */
  constructor(context: StackContext, wire: Wire, release: (packet: Packet) => void) {
    this.#context = context;
    this.#wire = wire;
    this.#startedAt = context.now();
    this.#release = release;
  }
  get held(): number {
    return this.#held.size;
  }
  get #controlled(): boolean {
    const medium = this.#wire.medium ?? "line";
    return medium !== "line" && this.#wire.policy?.ingressControl !== false;
  }
  #limit(fresh: number, settled: number): number {
    return this.#context.now() - this.#startedAt < NEW_WIRE_MS ? fresh : settled;
  }
  noteAnnounce(): void {
    this.#announces.note(this.#context.now());
  }
  /** Holds the announce of an unknown destination while there is a burst; `key` is the destination in hex. */
  holds(key: string, packet: Packet): boolean {
    if (!this.#controlled || !this.#announces.isOn(this.#context.now(), this.#limit(ANNOUNCE_HZ_NEW, ANNOUNCE_HZ))) {
      return false;
    }
    if (!this.#held.has(key) && this.#held.size >= MAX_HELD) {
      this.#context.count("drop_held_announce");
      return true;
    }
    this.#held.set(key, { ...parsePacket(packet.raw.slice()), hops: packet.hops });
    this.#context.count("announces_held");
    this.#arm(RELEASE_PENALTY_MS);
    return true;
  }
  /** False while path requests come in a burst. */
  takesRequest(): boolean {
    const now = this.#context.now();
    this.#requests.note(now);
    if (this.#wire.policy?.ingressControl === false) return true;
    return !this.#requests.isOn(now, this.#limit(REQUEST_HZ_NEW, REQUEST_HZ));
  }
  /** False when the wire's share of path requests is used up. */
  sendsRequest(): boolean {
    const limit = this.#wire.policy?.pathRequestHz;
    if (limit === undefined) return true;
    const now = this.#context.now();
    if (this.#sentRequests.isAbove(now, limit)) {
      this.#context.count("drop_rate_limited");
      return false;
    }
    this.#sentRequests.note(now);
    return true;
  }
  clear(): void {
    this.#cancelTimer?.();
    this.#held.clear();
  }
  #arm(inMs: Millis): void {
    this.#cancelTimer ??= this.#context.schedule(this.#context.now() + inMs, () => {
      this.#cancelTimer = undefined;
      this.#tick();
    });
  }
  #tick(): void {
    const now = this.#context.now();
    if (this.#announces.isOn(now, this.#limit(ANNOUNCE_HZ_NEW, ANNOUNCE_HZ))) {
      this.#arm(RELEASE_PENALTY_MS);
      return;
    }
    let nearest: readonly [string, Packet] | undefined;
    for (const entry of this.#held) if (nearest === undefined || entry[1].hops < nearest[1].hops) nearest = entry;
    if (nearest === undefined) return;
    this.#held.delete(nearest[0]);
    if (this.#held.size > 0) this.#arm(RELEASE_INTERVAL_MS);
    this.#release(nearest[1]);
  }
}
