/** The RNode host protocol: commands, configuration and telemetry (spec/reticulum.md section 16.3). Bytes only. */
import { concatBytes, SpineError } from "../../../spine/index.ts";
import { kissEncode } from "./kiss.ts";

export const RNODE = {
  data: 0x00,
  frequency: 0x01,
  bandwidth: 0x02,
  txPower: 0x03,
  spreadingFactor: 0x04,
  codingRate: 0x05,
  radioState: 0x06,
  radioLock: 0x07,
  detect: 0x08,
  leave: 0x0a,
  airtimeShort: 0x0b,
  airtimeLong: 0x0c,
  ready: 0x0f,
  statRx: 0x21,
  statTx: 0x22,
  statRssi: 0x23,
  statSnr: 0x24,
  statChannel: 0x25,
  statPhy: 0x26,
  statBattery: 0x27,
  statCsma: 0x28,
  statTemperature: 0x29,
  blink: 0x30,
  random: 0x40,
  platform: 0x48,
  mcu: 0x49,
  firmware: 0x50,
  reset: 0x55,
  error: 0x90,
} as const;

export const DETECT_REQUEST = 0x73;
export const DETECT_RESPONSE = 0x46;
const RADIO_OFF = 0x00;
export const RADIO_ON = 0x01;
const RESET_BYTE = 0xf8;
/** Oldest firmware that is spoken to: major, minor. */
export const MIN_FIRMWARE = [1, 52] as const;

export interface RadioConfig {
  readonly frequencyHz: number;
  readonly bandwidthHz: number;
  readonly txPowerDbm: number;
  readonly spreadingFactor: number;
  /** Denominator of the coding rate 4/x: 5 to 8. */
  readonly codingRate: number;
  /** Percent of the last 15 s and of the last hour that may be spent sending. */
  readonly airtimeShortPercent?: number;
  readonly airtimeLongPercent?: number;
}

const BOUNDS: readonly (readonly [keyof RadioConfig, number, number])[] = [
  ["frequencyHz", 137_000_000, 3_000_000_000],
  ["bandwidthHz", 7800, 1_625_000],
  ["txPowerDbm", 0, 37],
  ["spreadingFactor", 5, 12],
  ["codingRate", 5, 8],
  ["airtimeShortPercent", 0, 100],
  ["airtimeLongPercent", 0, 100],
];

/** Throws `config_invalid` naming the field. */
export function checkRadioConfig(config: RadioConfig): void {
  for (const [field, low, high] of BOUNDS) {
    const value = config[field];
    if (value === undefined) continue;
    const whole = field.endsWith("Percent") || Number.isInteger(value);
    if (!whole || !(value >= low && value <= high)) {
      throw new SpineError("config_invalid", `${field}: ${value} is not within ${low} to ${high}`);
    }
  }
}

/** Nominal bits per second of the modulation. */
export function radioBitrate(config: RadioConfig): number {
  const { spreadingFactor: sf, codingRate, bandwidthHz } = config;
  return ((sf * (4 / codingRate)) / (2 ** sf / (bandwidthHz / 1000))) * 1000;
}

function u16(value: number): Uint8Array {
  return Uint8Array.of((value >>> 8) & 255, value & 255);
}
function u32(value: number): Uint8Array {
  return concatBytes(u16(value >>> 16), u16(value & 0xffff));
}

/** Detection, firmware, platform and processor in one burst; neighbouring frames share their ends. */
export function detectBurst(): Uint8Array {
  return Uint8Array.of(0xc0, 0x08, 0x73, 0xc0, 0x50, 0x00, 0xc0, 0x48, 0x00, 0xc0, 0x49, 0x00, 0xc0);
}

/** Radio parameters in order, then radio on. */
export function radioSetup(config: RadioConfig): Uint8Array {
  const { airtimeShortPercent, airtimeLongPercent } = config;
  return concatBytes(
    kissEncode(RNODE.frequency, u32(config.frequencyHz)),
    kissEncode(RNODE.bandwidth, u32(config.bandwidthHz)),
    kissEncode(RNODE.txPower, Uint8Array.of(config.txPowerDbm)),
    kissEncode(RNODE.spreadingFactor, Uint8Array.of(config.spreadingFactor)),
    kissEncode(RNODE.codingRate, Uint8Array.of(config.codingRate)),
    ...(airtimeShortPercent === undefined
      ? []
      : [kissEncode(RNODE.airtimeShort, u16(Math.floor(airtimeShortPercent * 100)))]),
    ...(airtimeLongPercent === undefined
      ? []
      : [kissEncode(RNODE.airtimeLong, u16(Math.floor(airtimeLongPercent * 100)))]),
    kissEncode(RNODE.radioState, Uint8Array.of(RADIO_ON)),
  );
}

/** Radio off, then leave: what a host sends before it closes. */
export function radioOff(): Uint8Array {
  return kissEncode(RNODE.radioState, Uint8Array.of(RADIO_OFF));
}
export function leaveCommand(): Uint8Array {
  return kissEncode(RNODE.leave, Uint8Array.of(0xff));
}

/** What a device has told about itself; absent until it did. */
export interface RNodeState {
  detected?: boolean;
  firmware?: readonly [number, number];
  platform?: number;
  mcu?: number;
  frequencyHz?: number;
  bandwidthHz?: number;
  txPowerDbm?: number;
  spreadingFactor?: number;
  codingRate?: number;
  radioState?: number;
  airtimeLimitShortPercent?: number;
  airtimeLimitLongPercent?: number;
  rxPackets?: number;
  txPackets?: number;
  airtimeShortPercent?: number;
  airtimeLongPercent?: number;
  channelLoadShortPercent?: number;
  channelLoadLongPercent?: number;
  rssiDbm?: number;
  noiseFloorDbm?: number;
  /** Null = no interference seen. */
  interferenceDbm?: number | null;
  symbolTimeMs?: number;
  symbolRate?: number;
  preambleSymbols?: number;
  preambleMs?: number;
  csmaSlotMs?: number;
  csmaDifsMs?: number;
  csmaBand?: number;
  csmaMin?: number;
  csmaMax?: number;
  /** 0 unknown, 1 discharging, 2 charging, 3 charged. */
  batteryState?: number;
  batteryPercent?: number;
  temperatureC?: number;
}

export type RNodeEvent =
  | { readonly type: "packet"; readonly payload: Uint8Array; readonly rssiDbm?: number; readonly snrDb?: number }
  | { readonly type: "ready" }
  | { readonly type: "reset" }
  | { readonly type: "error"; readonly code: number; readonly fatal: boolean };

/** Errors that only ask for patience: EEPROM locked is fatal, queue full, memory low and modem timeout are not. */
const PASSING_ERRORS: ReadonlySet<number> = new Set([0x04, 0x05, 0x06]);
const RSSI_OFFSET = 157;

function be(bytes: Uint8Array, at: number, length: number): number {
  let value = 0;
  for (let i = at; i < at + length; i++) value = value * 256 + (bytes[i] ?? 0);
  return value;
}

type Reader = (state: RNodeState, bytes: Uint8Array) => void;
/** Length and meaning of each telemetry frame; frames of another length are ignored. */
const READERS: ReadonlyMap<number, readonly [number, Reader]> = new Map<number, readonly [number, Reader]>([
  [RNODE.detect, [1, (s, b) => (s.detected = b[0] === DETECT_RESPONSE)]],
  [RNODE.firmware, [2, (s, b) => (s.firmware = [be(b, 0, 1), be(b, 1, 1)])]],
  [RNODE.platform, [1, (s, b) => (s.platform = be(b, 0, 1))]],
  [RNODE.mcu, [1, (s, b) => (s.mcu = be(b, 0, 1))]],
  [RNODE.frequency, [4, (s, b) => (s.frequencyHz = be(b, 0, 4))]],
  [RNODE.bandwidth, [4, (s, b) => (s.bandwidthHz = be(b, 0, 4))]],
  [RNODE.txPower, [1, (s, b) => (s.txPowerDbm = be(b, 0, 1))]],
  [RNODE.spreadingFactor, [1, (s, b) => (s.spreadingFactor = be(b, 0, 1))]],
  [RNODE.codingRate, [1, (s, b) => (s.codingRate = be(b, 0, 1))]],
  [RNODE.radioState, [1, (s, b) => (s.radioState = be(b, 0, 1))]],
  [RNODE.airtimeShort, [2, (s, b) => (s.airtimeLimitShortPercent = be(b, 0, 2) / 100)]],
  [RNODE.airtimeLong, [2, (s, b) => (s.airtimeLimitLongPercent = be(b, 0, 2) / 100)]],
  [RNODE.statRx, [4, (s, b) => (s.rxPackets = be(b, 0, 4))]],
  [RNODE.statTx, [4, (s, b) => (s.txPackets = be(b, 0, 4))]],
  [RNODE.statChannel, [11, readChannel]],
  [RNODE.statPhy, [12, readPhy]],
  [
    RNODE.statCsma,
    [
      3,
      (s, b) => {
        s.csmaBand = be(b, 0, 1);
        s.csmaMin = be(b, 1, 1);
        s.csmaMax = be(b, 2, 1);
      },
    ],
  ],
  [
    RNODE.statBattery,
    [
      2,
      (s, b) => {
        s.batteryState = be(b, 0, 1);
        s.batteryPercent = Math.min(100, be(b, 1, 1));
      },
    ],
  ],
  [RNODE.statTemperature, [1, (s, b) => (s.temperatureC = be(b, 0, 1) - 120)]],
]);

function readChannel(state: RNodeState, b: Uint8Array): void {
  state.airtimeShortPercent = be(b, 0, 2) / 100;
  state.airtimeLongPercent = be(b, 2, 2) / 100;
  state.channelLoadShortPercent = be(b, 4, 2) / 100;
  state.channelLoadLongPercent = be(b, 6, 2) / 100;
  state.rssiDbm = be(b, 8, 1) - RSSI_OFFSET;
  state.noiseFloorDbm = be(b, 9, 1) - RSSI_OFFSET;
  state.interferenceDbm = b[10] === 0xff ? null : be(b, 10, 1) - RSSI_OFFSET;
}

function readPhy(state: RNodeState, b: Uint8Array): void {
  state.symbolTimeMs = be(b, 0, 2) / 1000;
  state.symbolRate = be(b, 2, 2);
  state.preambleSymbols = be(b, 4, 2);
  state.preambleMs = be(b, 6, 2);
  state.csmaSlotMs = be(b, 8, 2);
  state.csmaDifsMs = be(b, 10, 2);
}

/** Keeps a device's state from its frames; signal quality belongs to the packet that follows it. */
export class RNodeParser {
  readonly state: RNodeState = {};
  #rssiDbm: number | undefined;
  #snrDb: number | undefined;
  /** A decoded KISS frame; returns what the driver must act on. */
  frame(command: number, payload: Uint8Array): RNodeEvent | undefined {
    const [first] = payload;
    switch (command) {
      case RNODE.data:
        return this.#packet(payload);
      case RNODE.ready:
        return { type: "ready" };
      case RNODE.reset:
        return first === RESET_BYTE ? { type: "reset" } : undefined;
      case RNODE.error:
        return first === undefined ? undefined : { type: "error", code: first, fatal: !PASSING_ERRORS.has(first) };
      case RNODE.statRssi:
        if (first !== undefined) this.#rssiDbm = first - RSSI_OFFSET;
        return undefined;
      case RNODE.statSnr:
        if (first !== undefined) this.#snrDb = ((first << 24) >> 24) / 4;
        return undefined;
      default: {
        const reader = READERS.get(command);
        if (reader !== undefined && reader[0] === payload.length) reader[1](this.state, payload);
        return undefined;
      }
    }
  }
  #packet(payload: Uint8Array): RNodeEvent {
    const rssiDbm = this.#rssiDbm;
    const snrDb = this.#snrDb;
    this.#rssiDbm = undefined;
    this.#snrDb = undefined;
    return {
      type: "packet",
      payload,
      ...(rssiDbm === undefined ? {} : { rssiDbm }),
      ...(snrDb === undefined ? {} : { snrDb }),
    };
  }
}

/** Signal quality in percent, from SNR and spreading factor. */
export function signalQuality(snrDb: number, spreadingFactor: number): number {
  const floor = -9 - 2 * (spreadingFactor - 7);
  return Math.round(Math.min(1, Math.max(0, (snrDb - floor) / (6 - floor))) * 1000) / 10;
}
