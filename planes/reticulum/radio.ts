/**
 * The one LoRa radio model: time on air, channel access, airtime limits, reception (spec/radio-field-notes.md sections 3
 * and 5). Pure; used by the RNode interface, the emulated radios of the tests and the simulator.
 */
import type { Millis } from "../../spine/index.ts";

export interface Modulation {
  readonly bandwidthHz: number;
  /** 5 to 12. */
  readonly spreadingFactor: number;
  /** Denominator of 4/x: 5 to 8. */
  readonly codingRate: number;
}

/** Payload bytes of one LoRa frame; the firmware's own header byte comes first. */
const FRAME_PAYLOAD_BYTES = 254;
const FRAME_HEADER_BYTES = 1;
const FAST_BITRATE = 30_000;
const MIN_PREAMBLE_SYMBOLS = 18;
const PREAMBLE_TARGET_MS = 24;
const PREAMBLE_TARGET_FAST_MS = 6;
/** Above this symbol time low-data-rate optimisation is on, ms. */
const OPTIMISE_ABOVE_MS = 16;

export function symbolTimeMs(m: Modulation): Millis {
  return (2 ** m.spreadingFactor * 1000) / m.bandwidthHz;
}

/** Bits per second without preamble, header and framing. */
export function nominalBitrate(m: Modulation): number {
  return (m.spreadingFactor * (4 / m.codingRate) * m.bandwidthHz) / 2 ** m.spreadingFactor;
}

export function preambleSymbols(m: Modulation): number {
  const targetMs = nominalBitrate(m) > FAST_BITRATE ? PREAMBLE_TARGET_FAST_MS : PREAMBLE_TARGET_MS;
  return Math.max(MIN_PREAMBLE_SYMBOLS, Math.ceil(targetMs / symbolTimeMs(m)));
}

/** Time on air of one LoRa frame with explicit header and checksum. */
export function frameAirtimeMs(m: Modulation, payloadBytes: number, preamble: number): Millis {
  const { spreadingFactor: sf, codingRate } = m;
  const symbol = symbolTimeMs(m);
  const slow = symbol > OPTIMISE_ABOVE_MS ? 1 : 0;
  const short = sf < 7;
  const bits = 8 * payloadBytes - 4 * sf + (short ? 20 : 28) + 16;
  const symbols = 8 + Math.max(0, Math.ceil(bits / (4 * (sf - 2 * slow))) * codingRate);
  return (preamble + (short ? 6.25 : 4.25) + symbols) * symbol;
}

/** The LoRa frames one packet is sent in: payload bytes of each, header byte included. */
export function packetFrames(packetBytes: number): readonly number[] {
  const frames: number[] = [];
  for (let left = packetBytes; left > 0; left -= FRAME_PAYLOAD_BYTES) {
    frames.push(Math.min(left, FRAME_PAYLOAD_BYTES) + FRAME_HEADER_BYTES);
  }
  return frames;
}

/** Time on air of a packet as an RNode sends it. */
export function packetAirtimeMs(m: Modulation, packetBytes: number): Millis {
  const preamble = preambleSymbols(m);
  return packetFrames(packetBytes).reduce((sum, bytes) => sum + frameAirtimeMs(m, bytes, preamble), 0);
}

// --- channel access ---

const SLOT_SYMBOLS = 12;
const MIN_SLOT_MS = 24;
const MIN_SLOT_FAST_MS = 6;
const MAX_SLOT_MS = 100;
const DIFS_SLOTS = 2;
const BAND_SLOTS = 15;
const BANDS = 4;
/** Own short-term airtime at which the first band ends and the last begins. */
const FIRST_BAND_UP_TO = 0.07;
const LAST_BAND_FROM = 0.85;

export function slotMs(m: Modulation): Millis {
  const least = nominalBitrate(m) > FAST_BITRATE ? MIN_SLOT_FAST_MS : MIN_SLOT_MS;
  return Math.min(Math.max(SLOT_SYMBOLS * symbolTimeMs(m), least), MAX_SLOT_MS);
}

/** The contention band, 1 to 4, for an own airtime share of 0 to 1. */
export function contentionBand(airtime: number): number {
  if (airtime <= FIRST_BAND_UP_TO) return 1;
  if (airtime >= LAST_BAND_FROM) return BANDS;
  const share = (airtime - FIRST_BAND_UP_TO) / (LAST_BAND_FROM - FIRST_BAND_UP_TO);
  return 2 + Math.min(BANDS - 3, Math.floor(share * (BANDS - 2)));
}

/** How long the channel must be free before sending; `chance` is in [0, 1). */
export function accessWaitMs(m: Modulation, airtime: number, chance: number): Millis {
  const slots = (contentionBand(airtime) - 1) * BAND_SLOTS + Math.floor(chance * BAND_SLOTS);
  return (DIFS_SLOTS + slots) * slotMs(m);
}

// --- airtime limits ---

export const BIN_MS = 7500;
const LONG_BINS = 480;

/** Own airtime over the last 15 s and the last hour, in bins of 7.5 s as the firmware counts. */
export class AirtimeLedger {
  readonly #bins = new Float64Array(LONG_BINS);
  #bin = 0;
  #sum: Millis = 0;
  #roll(now: Millis): void {
    const bin = Math.floor(now / BIN_MS);
    if (bin <= this.#bin) return;
    if (bin - this.#bin >= LONG_BINS) this.#bins.fill(0);
    else for (let b = this.#bin + 1; b <= bin; b++) this.#bins[b % LONG_BINS] = 0;
    this.#bin = bin;
    // Anew each time: what was added and taken away again would not be exactly nothing.
    this.#sum = this.#bins.reduce((sum, ms) => sum + ms, 0);
  }
  /** Books time on air that ends about now. */
  add(now: Millis, airMs: Millis): void {
    this.#roll(now);
    const at = this.#bin % LONG_BINS;
    this.#bins[at] = (this.#bins[at] as number) + airMs;
    this.#sum += airMs;
  }
  /** Share of the current and the previous bin, 0 to 1. */
  short(now: Millis): number {
    this.#roll(now);
    const current = this.#bins[this.#bin % LONG_BINS] as number;
    const previous = this.#bins[(this.#bin + LONG_BINS - 1) % LONG_BINS] as number;
    return (current + previous) / (2 * BIN_MS);
  }
  /** Share of the last hour, 0 to 1. */
  long(now: Millis): number {
    this.#roll(now);
    return this.#sum / (LONG_BINS * BIN_MS);
  }
}

// --- reception ---

/** A frame survives an overlapping one that is this much weaker, dB. */
export const CAPTURE_DB = 6;
const NOISE_FIGURE_DB = 6;
const THERMAL_DBM_PER_HZ = -174;

/** Lowest SNR at which a spreading factor is still demodulated, dB. */
export function demodulationFloorDb(spreadingFactor: number): number {
  return -7.5 - 2.5 * (spreadingFactor - 7);
}

export function noiseFloorDbm(bandwidthHz: number): number {
  return THERMAL_DBM_PER_HZ + 10 * Math.log10(bandwidthHz) + NOISE_FIGURE_DB;
}

/** Weakest signal that is received, dBm. */
export function sensitivityDbm({ bandwidthHz, spreadingFactor }: Modulation): number {
  return noiseFloorDbm(bandwidthHz) + demodulationFloorDb(spreadingFactor);
}
