/**
 * One slow wire that all links over it share: what is sent next, and when the air is free for it. Books what the stack
 * really sends, its own proofs and announces too. Made by `plane.ts`.
 */
import {
  type Clock,
  carries,
  type Millis,
  type PushResult,
  RADIO_DEFAULTS,
  type RadioClass,
  RadioSchedule,
  REVOCATION_RESERVE,
  type Tier,
} from "../../../spine/index.ts";
import type { Emission } from "../station.ts";
import type { Air } from "./options.ts";

const SMALL_BYTES = 128;
const MAX_TIMER_MS = 60_000;

const CLASS_OF_TIER: Readonly<Record<Tier, RadioClass>> = {
  1: "revocation",
  2: "checkpoint",
  3: "incident",
  4: "policy_delta",
  5: "run",
  6: "node_attestation",
  7: "heartbeat",
};

/** Of what proves and of checkpoints alike; the air tells them apart. */
const EVIDENCE_TIER: Tier = 2;

export interface RadioStatus {
  /** Milliseconds on the air in the last hour, and how many are allowed. */
  readonly usedMs: Millis;
  readonly allowedMs: Millis;
  /** Frames that wait, and that were refused or given up, by class. */
  readonly waiting: Readonly<Record<RadioClass, number>>;
  readonly dropped: Readonly<Record<RadioClass, number>>;
  /** Packets that the stack wanted to send beyond the hour's air: lost, as on the air. */
  readonly withheld: number;
  readonly bitrate: number;
}

/** A slow wire as its operator sees it. */
export interface RadioWireStatus extends RadioStatus {
  /** Too slow for links. */
  readonly packetsOnly: boolean;
  /** Peers heard on it. */
  readonly neighbours: readonly { readonly peer: string; readonly linked: boolean; readonly agoMs: Millis }[];
}

export class RadioLine {
  readonly #bitrate: number;
  readonly #air: Air;
  readonly #clock: Clock;
  readonly #schedule: RadioSchedule<{ readonly tier: Tier; readonly transmit: (packet: number) => void }>;
  /** What was given to the wire is on the air until then. */
  #busyUntil: Millis = 0;
  /** Tier of the scheduled packet that is being given to the stack. */
  #inTurn: Tier | undefined;
  /** Packets of the stack that the hour had no air for. */
  withheld = 0;
  #cancelTimer: (() => void) | undefined;
  #stopped = false;

  readonly #isBusy: () => boolean;

  /** `isBusy`: packets wait for the air already, which others use too: see `drained`. */
  constructor(bitrate: number, air: Air, clock: Clock, isBusy: () => boolean) {
    this.#bitrate = bitrate;
    this.#isBusy = isBusy;
    this.#air = air;
    this.#clock = clock;
    const { airtimeMs, duty } = air;
    this.#schedule = new RadioSchedule({ ...RADIO_DEFAULTS, bitrate, airtimeMs, duty }, clock.now());
  }

  carries(tier: Tier): boolean {
    const kind = CLASS_OF_TIER[tier];
    if (carries(this.#bitrate, kind)) return true;
    this.#schedule.dropped[kind]++;
    return false;
  }
  /** Share of each hour that may be used. */
  get duty(): number {
    return this.#air.duty;
  }
  airtimeMs(packetBytes: number): Millis {
    return this.#air.airtimeMs(packetBytes);
  }

  /** Runs `transmit` for each packet when it is its turn. */
  offer(frame: {
    readonly tier: Tier;
    /** Bytes on the air of each, in order. */
    readonly packets: readonly number[];
    readonly receiver: string;
    /** Whose revocations are counted together; the receiver's if omitted. */
    readonly issuer?: string;
    readonly transmit: (packet: number) => void;
    /** It proves a fork or a split view, or says who speaks for a key: before checkpoints. */
    readonly evidence?: boolean;
  }): PushResult {
    const { tier, packets, receiver, issuer = receiver, transmit, evidence } = frame;
    const kind = evidence === true && tier === EVIDENCE_TIER ? "proof" : CLASS_OF_TIER[tier];
    const result = this.#schedule.push({ class: kind, packets, issuer, receiver, value: { tier, transmit } });
    if (result === "queued") this.#air.watch?.queued(tier, receiver, packets.length);
    this.#air.watch?.waits(this.#schedule.bytes);
    this.#run();
    return result;
  }

  /**
   * Whether a packet may be given to the wire now, and how: revocations go first. What the stack sends by itself leaves the reserve to revocations; small
   * packets, which are proofs and keepalives, leave half of it: without them no link lives and no revocation is proved.
   */
  emission(bytes: number): Emission {
    const { duty } = this.#schedule;
    const share = this.#inTurn !== undefined ? 1 : 1 - REVOCATION_RESERVE / (bytes > SMALL_BYTES ? 1 : 2);
    const allowed = duty.usedMs(this.#clock.now()) + this.#air.airtimeMs(bytes) <= share * duty.allowedMs;
    if (!allowed) this.withheld++;
    return !allowed ? "drop" : this.#inTurn === 1 ? "first" : "in order";
  }
  /** The stack gave a packet to the wire. */
  sent(bytes: number): void {
    const now = this.#clock.now();
    const airMs = this.#air.airtimeMs(bytes);
    this.#schedule.duty.book(airMs, now);
    this.#busyUntil = Math.max(now, this.#busyUntil) + airMs;
  }

  /** What was given to the wire, and what waits for it, takes so long. */
  aheadMs(): Millis {
    const { bytes } = this.#schedule;
    const others = this.#isBusy() ? this.#air.airtimeMs(SMALL_BYTES) : 0;
    return Math.max(others, this.#busyUntil - this.#clock.now()) + (bytes > 0 ? this.#air.airtimeMs(bytes) : 0);
  }
  /** Nothing waits for the air any more. */
  drained(): void {
    this.#wake(0);
  }
  forget(receiver: string): void {
    this.#schedule.forget(receiver);
    this.#air.watch?.forgot(receiver);
    this.#air.watch?.waits(this.#schedule.bytes);
  }
  status(): RadioStatus {
    const { duty, waiting, dropped } = this.#schedule;
    return {
      usedMs: duty.usedMs(this.#clock.now()),
      allowedMs: duty.allowedMs,
      waiting,
      dropped: { ...dropped },
      withheld: this.withheld,
      bitrate: this.#bitrate,
    };
  }
  stop(): void {
    this.#stopped = true;
    this.#cancelTimer?.();
  }

  #run(): void {
    this.#cancelTimer?.();
    this.#cancelTimer = undefined;
    while (!this.#stopped) {
      const now = this.#clock.now();
      const waits = this.#isBusy();
      // A revocation goes before what waits in front of the radio, so it does not wait for the air that is booked for that.
      const overtakes = waits && this.#schedule.isUrgent;
      if (now < this.#busyUntil && !overtakes) return this.#wake(this.#busyUntil - now);
      // What waits here can still be overtaken or given up; what waits at the device cannot.
      if (waits && !overtakes) return this.#wake(MAX_TIMER_MS);
      const turn = this.#schedule.next(now);
      if (turn === undefined) {
        const at = this.#schedule.readyAt(now);
        if (at !== undefined) this.#wake(at - now);
        return;
      }
      const { receiver, value } = turn.item;
      this.#air.watch?.waits(this.#schedule.bytes);
      this.#inTurn = value.tier;
      this.#air.watch?.turn(value.tier, receiver);
      try {
        value.transmit(turn.packet);
      } finally {
        this.#inTurn = undefined;
        this.#air.watch?.turn(undefined, receiver);
      }
    }
  }
  #wake(inMs: Millis): void {
    const at = this.#clock.now() + Math.min(Math.max(1, inMs), MAX_TIMER_MS);
    this.#cancelTimer?.();
    this.#cancelTimer = this.#clock.schedule(at, () => this.#run());
  }
}
