/**
 * What one transmitter sends next on a narrow medium: classes in order of urgency within their shares of the air, the
 * duty cycle, and revocations first and never discarded (spec/spine.md section 16, rules 10). Chooses packet by packet:
 * one in flight is never cut, what is left of a longer message waits for anything more urgent. Pure; the radio plane
 * and the simulator drive it.
 */
import { DutyCycle } from "./duty-cycle.ts";
import type { Millis } from "./ports.ts";
import { BoundedMap, TokenBucket } from "./quota.ts";
import { AIR_SHARES, carries, RADIO_CLASSES, type RadioClass } from "./radio-class.ts";

export interface RadioOptions {
  /** Bits per second of the medium. */
  readonly bitrate: number;
  /** Time on air of one packet of that many bytes, all framing included. */
  readonly airtimeMs: (packetBytes: number) => Millis;
  /** Share of each hour this transmitter may use: above 0 to 1. */
  readonly duty: number;
  /** Most bytes waiting, revocations apart. */
  readonly maxBytes: number;
  /** Most revocations waiting; more are left to the next comparison with the store. */
  readonly maxRevocations: number;
  /** Revocations per hour of one issuer to one receiver that go before everything else. */
  readonly revocationsPerHour: number;
}

export const RADIO_DEFAULTS = { maxBytes: 65_536, maxRevocations: 1_024, revocationsPerHour: 10 } as const;

/** A message of one or more packets. */
export interface RadioItem<T> {
  readonly class: RadioClass;
  /** Bytes of each packet, in order. */
  readonly packets: readonly number[];
  readonly issuer: string;
  /** Whom it is for; "*" for all neighbours. */
  readonly receiver: string;
  /** A later item of the same name takes the place of one not begun: a newer head, a newer heartbeat. */
  readonly replaces?: string;
  readonly value: T;
}

/** One packet to send now. Whoever transmits books the air it really takes (`RadioSchedule.duty`), this packet's too. */
export interface RadioTurn<T> {
  readonly item: RadioItem<T>;
  readonly packet: number;
  readonly last: boolean;
  readonly airMs: Millis;
}

/** "queued", or why not: too slow a link, no room (a less urgent item may have gone instead). */
export type PushResult = "queued" | "replaced" | "too_slow" | "full";

interface Waiting<T> {
  item: RadioItem<T>;
  sent: number;
}

const HOUR_SECONDS = 3_600;
const MAX_REVOKERS = 1_024;
/** Air a class may save up, so that a share is worth something after a quiet time. */
const SAVED_MS = 60_000;

class Share {
  readonly #rate: number;
  readonly #most: Millis;
  #credit: Millis;
  #at: Millis;
  constructor(share: number, duty: number, now: Millis) {
    this.#rate = share * duty;
    this.#most = share * SAVED_MS;
    this.#credit = this.#most;
    this.#at = now;
  }
  has(now: Millis): boolean {
    if (now > this.#at) this.#credit = Math.min(this.#most, this.#credit + (now - this.#at) * this.#rate);
    this.#at = now;
    return this.#credit > 0;
  }
  spend(airMs: Millis): void {
    this.#credit -= airMs;
  }
}

export class RadioSchedule<T> {
  readonly #options: RadioOptions;
  readonly #queues: Readonly<Record<RadioClass, Waiting<T>[]>>;
  readonly #shares: Readonly<Record<string, Share>>;
  readonly #revokers: BoundedMap<string, TokenBucket> = new BoundedMap(MAX_REVOKERS);
  readonly duty: DutyCycle;
  #bytes = 0;
  /** Items refused or given up, by class. Revocations that found no room are counted here and stay in the store. */
  readonly dropped: Record<RadioClass, number>;

  constructor(options: RadioOptions, now: Millis) {
    this.#options = options;
    this.#queues = Object.fromEntries(RADIO_CLASSES.map((name) => [name, []])) as never;
    this.dropped = Object.fromEntries(RADIO_CLASSES.map((name) => [name, 0])) as never;
    this.#shares = Object.fromEntries(
      Object.entries(AIR_SHARES).map(([name, share]) => [name, new Share(share, options.duty, now)]),
    );
    this.duty = new DutyCycle(options.duty, now);
  }

  /** Items waiting, by class. */
  get waiting(): Readonly<Record<RadioClass, number>> {
    return Object.fromEntries(RADIO_CLASSES.map((name) => [name, this.#queues[name].length])) as never;
  }
  get bytes(): number {
    return this.#bytes;
  }
  /** A revocation waits. */
  get isUrgent(): boolean {
    return this.#queues.revocation.length > 0;
  }

  push(item: RadioItem<T>): PushResult {
    if (!carries(this.#options.bitrate, item.class)) {
      this.dropped[item.class]++;
      return "too_slow";
    }
    const queue = this.#queues[item.class];
    const older = item.replaces === undefined ? undefined : this.#replaceable(queue, item.replaces);
    if (older !== undefined) {
      this.#bytes += bytesOf(item) - bytesOf(older.item);
      older.item = item;
      return "replaced";
    }
    if (item.class === "revocation" ? queue.length >= this.#options.maxRevocations : !this.#makeRoom(item)) {
      this.dropped[item.class]++;
      return "full";
    }
    queue.push({ item, sent: 0 });
    if (item.class !== "revocation") this.#bytes += bytesOf(item);
    return "queued";
  }

  #replaceable(queue: readonly Waiting<T>[], name: string): Waiting<T> | undefined {
    return queue.find(({ item, sent }) => item.replaces === name && sent === 0);
  }

  /** Gives up less urgent, newest items first. */
  #makeRoom(item: RadioItem<T>): boolean {
    const { maxBytes } = this.#options;
    const bytes = bytesOf(item);
    for (const victim of [...RADIO_CLASSES].reverse()) {
      if (victim === item.class || this.#bytes + bytes <= maxBytes) break;
      const queue = this.#queues[victim];
      while (this.#bytes + bytes > maxBytes && queue.at(-1)?.sent === 0) {
        this.#bytes -= bytesOf((queue.pop() as Waiting<T>).item);
        this.dropped[victim]++;
      }
    }
    return this.#bytes + bytes <= maxBytes;
  }

  /** Gives up what waits for one receiver, such as a neighbour that is gone. Broadcasts stay. */
  forget(receiver: string): void {
    for (const name of RADIO_CLASSES) {
      const queue = this.#queues[name];
      const kept = queue.filter(({ item }) => item.receiver !== receiver);
      if (name !== "revocation")
        for (const { item } of queue) if (item.receiver === receiver) this.#bytes -= bytesOf(item);
      queue.splice(0, queue.length, ...kept);
    }
  }

  /** The packet to send now, or undefined: then see `readyAt`. */
  next(now: Millis): RadioTurn<T> | undefined {
    let chosen = this.#choose(now);
    // Where others have used up their air, a revocation still has the reserve.
    if (chosen !== undefined && !this.#allowed(chosen, now)) chosen = this.#queues.revocation[0];
    if (chosen === undefined || !this.#allowed(chosen, now)) return undefined;
    const { item } = chosen;
    const airMs = this.#airOf(chosen);
    const packet = chosen.sent++;
    if (item.class !== "revocation") (this.#shares[item.class] as Share).spend(airMs);
    else if (packet === 0) this.#revoker(item, now).charge(1, now);
    const last = chosen.sent === item.packets.length;
    if (last) this.#remove(chosen);
    return { item, packet, last, airMs };
  }

  /** When to call `next` again; undefined if nothing waits, Infinity if what waits can never be sent. */
  readyAt(now: Millis): Millis | undefined {
    const chosen = this.#choose(now);
    if (chosen === undefined) return undefined;
    const revocation = this.#queues.revocation[0] ?? chosen;
    return Math.min(...[chosen, revocation].map((one) => this.#readyAt(one, now)));
  }
  #readyAt(one: Waiting<T>, now: Millis): Millis {
    return this.duty.readyAt(this.#airOf(one), one.item.class === "revocation", now);
  }
  #allowed(one: Waiting<T>, now: Millis): boolean {
    return this.duty.allows(this.#airOf(one), one.item.class === "revocation", now);
  }

  #airOf({ item, sent }: Waiting<T>): Millis {
    return this.#options.airtimeMs(item.packets[sent] as number);
  }

  #remove(done: Waiting<T>): void {
    const queue = this.#queues[done.item.class];
    queue.splice(queue.indexOf(done), 1);
    if (done.item.class !== "revocation") this.#bytes -= bytesOf(done.item);
  }

  #revoker({ receiver, issuer }: RadioItem<T>, now: Millis): TokenBucket {
    const key = `${receiver} ${issuer}`;
    const perHour = this.#options.revocationsPerHour;
    const bucket = this.#revokers.get(key) ?? new TokenBucket(perHour / HOUR_SECONDS, perHour, now);
    this.#revokers.set(key, bucket);
    return bucket;
  }

  /**
   * Revocations within their rate, then the most urgent class within its share. When all that waits is beyond its
   * share, the air is not left unused: revocations beyond their rate, then the classes in order.
   */
  #choose(now: Millis): Waiting<T> | undefined {
    const revocations = this.#queues.revocation;
    const due = revocations.find((one) => one.sent > 0 || this.#revoker(one.item, now).readyAt(1, now) <= now);
    if (due !== undefined) return due;
    let first: Waiting<T> | undefined;
    for (const name of RADIO_CLASSES) {
      const waiting = name === "revocation" ? undefined : this.#queues[name][0];
      if (waiting === undefined) continue;
      if ((this.#shares[name] as Share).has(now)) return waiting;
      first ??= waiting;
    }
    return revocations[0] ?? first;
  }
}

function bytesOf({ packets }: RadioItem<unknown>): number {
  return packets.reduce((sum, bytes) => sum + bytes, 0);
}
