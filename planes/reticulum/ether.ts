/**
 * A virtual LoRa channel joining radios: airtime, half duplex, carrier sense, collisions with capture, loss and range, on
 * the model of `radio.ts`. Pure: time comes from a Clock. Used by the emulated RNodes of the tests and by the simulator.
 */
import type { Clock, Millis } from "../../spine/index.ts";
import {
  AirtimeLedger,
  accessWaitMs,
  BIN_MS,
  CAPTURE_DB,
  demodulationFloorDb,
  frameAirtimeMs,
  type Modulation,
  noiseFloorDbm,
  packetFrames,
  preambleSymbols,
} from "./radio.ts";

const DEVICE_QUEUE_PACKETS = 16;
/** Energy this far above the noise keeps a radio from sending, dB. */
const INTERFERENCE_DB = 12;

export interface RadioSettings extends Modulation {
  readonly frequencyHz: number;
  readonly txPowerDbm: number;
  /** Shares of time, 0 to 1; 0 = no limit. */
  readonly airtimeShort: number;
  readonly airtimeLong: number;
}

export interface EtherOptions {
  readonly clock: Clock;
  /** In [0, 1). */
  readonly chance: () => number;
  /** Path loss from one radio to another, dB; 100 by default. */
  readonly attenuationDb?: (from: string, to: string) => number;
  /** Probability that an otherwise good frame is lost. */
  readonly loss?: number;
  /** Packets that a device keeps waiting; 16 by default. */
  readonly queuePackets?: number;
  /** Told of each frame when it is put on the air. */
  readonly onAir?: (frame: AirFrame) => void;
}

/** A LoRa frame on the air, from `start` to `end`. */
export interface AirFrame {
  readonly from: Radio;
  readonly settings: RadioSettings;
  readonly start: Millis;
  readonly end: Millis;
  readonly bytes: Uint8Array;
  /** Of the packet: the high nibble of the firmware's header byte, and whether a second frame follows. */
  readonly sequence: number;
  readonly split: boolean;
}

export type RadioCounter = "sent" | "received" | "collided" | "too_weak" | "deaf" | "lost" | "queue_full" | "half_lost";

export class RadioEther {
  readonly options: EtherOptions;
  readonly #radios = new Set<Radio>();
  /** Frames on the air, and ended ones that another on the air may have overlapped. */
  #frames: AirFrame[] = [];
  #longestMs: Millis = 0;
  constructor(options: EtherOptions) {
    this.options = options;
  }
  join(name: string, received: Radio["received"]): Radio {
    const radio = new Radio(this, name, received);
    this.#radios.add(radio);
    return radio;
  }
  leave(radio: Radio): void {
    this.#radios.delete(radio);
  }
  /** Strength of `frame` at `radio`, dBm. */
  #strength(frame: AirFrame, radio: Radio): number {
    return frame.settings.txPowerDbm - (this.options.attenuationDb?.(frame.from.name, radio.name) ?? 100);
  }
  /** When the channel as `radio` hears it becomes free; `now` if it is. */
  busyUntil(radio: Radio, settings: RadioSettings, now: Millis): Millis {
    let until = now;
    for (const frame of this.#frames) {
      const heard =
        frame.from === radio ||
        (overlaps(frame.settings, settings) &&
          this.#strength(frame, radio) >= noiseFloorDbm(settings.bandwidthHz) + interference(frame, settings));
      if (heard && frame.start <= now) until = Math.max(until, frame.end);
    }
    return until;
  }
  /** Puts a frame on the air; it is judged at each radio when it ends. */
  emit(frame: AirFrame): void {
    this.#longestMs = Math.max(this.#longestMs, frame.end - frame.start);
    const keptAfter = this.options.clock.now() - this.#longestMs;
    if (this.#frames.some((old) => old.end <= keptAfter))
      this.#frames = this.#frames.filter((old) => old.end > keptAfter);
    this.#frames.push(frame);
    this.options.onAir?.(frame);
    this.options.clock.schedule(frame.end, () => {
      const others = this.#frames.filter((f) => f !== frame && f.start < frame.end && f.end > frame.start);
      for (const radio of this.#radios) if (radio !== frame.from) this.#judge(frame, radio, others);
    });
  }
  #judge(frame: AirFrame, radio: Radio, others: readonly AirFrame[]): void {
    const { settings } = radio;
    if (settings === undefined || !sameModulation(frame.settings, settings)) return;
    const rssi = this.#strength(frame, radio);
    const snr = rssi - noiseFloorDbm(settings.bandwidthHz);
    if (others.some((f) => f.from === radio)) radio.count("deaf");
    else if (snr < demodulationFloorDb(settings.spreadingFactor)) radio.count("too_weak");
    else if (others.some((f) => sameModulation(f.settings, settings) && this.#strength(f, radio) > rssi - CAPTURE_DB)) {
      radio.count("collided");
    } else if (this.options.chance() < (this.options.loss ?? 0)) radio.count("lost");
    else radio.take(frame, rssi, snr);
  }
}

function sameModulation(a: RadioSettings, b: RadioSettings): boolean {
  return overlaps(a, b) && a.bandwidthHz === b.bandwidthHz && a.spreadingFactor === b.spreadingFactor;
}
function overlaps(a: RadioSettings, b: RadioSettings): boolean {
  return Math.abs(a.frequencyHz - b.frequencyHz) < (a.bandwidthHz + b.bandwidthHz) / 2;
}
/** A frame of one's own modulation is heard down to the demodulation floor, others only as energy. */
function interference(frame: AirFrame, settings: RadioSettings): number {
  return sameModulation(frame.settings, settings) ? demodulationFloorDb(settings.spreadingFactor) : INTERFERENCE_DB;
}

/** One device on the ether: queue, channel access, two-frame packets. */
export class Radio {
  readonly name: string;
  /** Undefined = switched off. */
  settings: RadioSettings | undefined;
  readonly ledger = new AirtimeLedger();
  readonly received: (packet: Uint8Array, rssiDbm: number, snrDb: number, from: Radio) => void;
  /** A packet has left the queue. */
  onSent: (() => void) | undefined;
  readonly counters = new Map<RadioCounter, number>();
  readonly #ether: RadioEther;
  readonly #queue: Uint8Array[] = [];
  #sequence = 0;
  #busy = false;
  #half: AirFrame | undefined;
  constructor(ether: RadioEther, name: string, received: Radio["received"]) {
    this.#ether = ether;
    this.name = name;
    this.received = received;
  }
  count(name: RadioCounter): void {
    this.counters.set(name, (this.counters.get(name) ?? 0) + 1);
  }
  get queued(): number {
    return this.#queue.length;
  }
  /** False when the radio is off or its queue is full. */
  send(packet: Uint8Array): boolean {
    const room = this.#ether.options.queuePackets ?? DEVICE_QUEUE_PACKETS;
    if (this.settings === undefined || this.#queue.length >= room) {
      this.count("queue_full");
      return false;
    }
    this.#queue.push(packet);
    if (!this.#busy) this.#contend();
    return true;
  }
  off(): void {
    this.settings = undefined;
    this.#queue.length = 0;
    this.#half = undefined;
  }
  /** Waits until the channel has been free for a random while, then sends. */
  #contend(): void {
    const { settings } = this;
    const { clock, chance } = this.#ether.options;
    const now = clock.now();
    this.#busy = settings !== undefined && this.#queue.length > 0;
    if (settings === undefined || !this.#busy) return;
    const limited =
      (settings.airtimeShort > 0 && this.ledger.short(now) >= settings.airtimeShort) ||
      (settings.airtimeLong > 0 && this.ledger.long(now) >= settings.airtimeLong);
    if (limited) {
      // The account changes when its next bin begins, and not before.
      clock.schedule((Math.floor(now / BIN_MS) + 1) * BIN_MS, () => this.#contend());
      return;
    }
    const free = this.#ether.busyUntil(this, settings, now);
    if (free > now) {
      clock.schedule(free, () => this.#contend());
      return;
    }
    clock.schedule(now + accessWaitMs(settings, this.ledger.short(now), chance()), () => {
      const then = clock.now();
      if (this.settings !== undefined && this.#ether.busyUntil(this, this.settings, then) > then) this.#contend();
      else this.#transmit();
    });
  }
  #transmit(): void {
    const { settings } = this;
    const packet = this.#queue.shift();
    if (settings === undefined || packet === undefined) {
      this.#busy = false;
      return;
    }
    const { clock } = this.#ether.options;
    const sizes = packetFrames(packet.length);
    const sequence = this.#sequence++ & 15;
    const preamble = preambleSymbols(settings);
    let start = clock.now();
    let at = 0;
    for (const bytes of sizes) {
      const airMs = frameAirtimeMs(settings, bytes, preamble);
      const slice = packet.subarray(at, at + bytes - 1);
      const end = start + airMs;
      this.#ether.emit({ from: this, settings, start, end, bytes: slice, sequence, split: sizes.length > 1 });
      this.ledger.add(end, airMs);
      at += bytes - 1;
      start = end;
    }
    clock.schedule(start, () => {
      this.count("sent");
      this.onSent?.();
      this.#contend();
    });
  }
  /** A frame was received well: joins the halves of long packets. */
  take(frame: AirFrame, rssiDbm: number, snrDb: number): void {
    const half = this.#half;
    this.#half = undefined;
    let packet = frame.bytes;
    if (frame.split) {
      const fits = half !== undefined && half.from === frame.from && half.sequence === frame.sequence;
      if (!fits) {
        if (half !== undefined) this.count("half_lost");
        this.#half = frame;
        return;
      }
      packet = new Uint8Array(half.bytes.length + frame.bytes.length);
      packet.set(half.bytes);
      packet.set(frame.bytes, half.bytes.length);
    }
    this.count("received");
    this.received(packet, rssiDbm, snrDb, frame.from);
  }
}
