/** An emulated RNode on a virtual ether: the device's side of the host protocol, over a TCP port that a pty can join. */
import { createServer, type Server, type Socket } from "node:net";
import type { Radio, RadioEther } from "../../planes/reticulum/ether.ts";
import { KissDecoder, kissEncode } from "../../planes/reticulum/interfaces/kiss.ts";
import { DETECT_REQUEST, DETECT_RESPONSE, RADIO_ON, RNODE } from "../../planes/reticulum/interfaces/rnode.ts";
import { preambleSymbols, slotMs, symbolTimeMs } from "../../planes/reticulum/radio.ts";
import { type Clock, concatBytes } from "../../spine/index.ts";

const STATISTICS_MS = 1000;
const PLATFORM_NRF52 = 0x70;
const MCU_NRF52 = 0x71;
const RSSI_OFFSET = 157;

/** The time of an ether in real time, or with the air `timesFaster`. */
export function airClock(timesFaster = 1): Clock {
  const now = (): number => performance.now() * timesFaster;
  return {
    now,
    schedule: (at, task) => {
      const timer = setTimeout(task, Math.max(0, at - now()) / timesFaster);
      return () => clearTimeout(timer);
    },
  };
}

function u16(value: number): number[] {
  return [(value >>> 8) & 255, value & 255];
}
function number(bytes: Uint8Array): number {
  return bytes.reduce((sum, byte) => sum * 256 + byte, 0);
}

export interface RNodeQuirks {
  /** Major and minor. */
  readonly firmware?: readonly [number, number];
  /** Settings that the device echoes differently. */
  readonly wrongEcho?: number;
  /** Never answers. */
  readonly mute?: boolean;
}

export class EmulatedRNode {
  readonly radio: Radio;
  quirks: RNodeQuirks = {};
  readonly #ether: RadioEther;
  #server: Server | undefined;
  #socket: Socket | undefined;
  #timer: NodeJS.Timeout | undefined;
  #frequencyHz = 0;
  #bandwidthHz = 125_000;
  #txPowerDbm = 0;
  #spreadingFactor = 7;
  #codingRate = 5;
  #airtimeShort = 0;
  #airtimeLong = 0;
  constructor(ether: RadioEther, name: string) {
    this.#ether = ether;
    this.radio = ether.join(name, (packet, rssi, snr) => {
      this.#say(RNODE.statRssi, Math.max(0, Math.round(rssi) + RSSI_OFFSET));
      this.#say(RNODE.statSnr, Math.max(-128, Math.min(127, Math.round(snr * 4))) & 255);
      this.#write(kissEncode(RNODE.data, packet));
    });
    this.radio.onSent = () => this.#say(RNODE.ready, 1);
  }
  /** Listens; resolves with the port. One host at a time. */
  async listen(): Promise<number> {
    const server = createServer((socket) => this.#attach(socket));
    this.#server = server;
    await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
    this.#timer = setInterval(() => this.#statistics(), STATISTICS_MS);
    const address = server.address();
    return typeof address === "object" && address !== null ? address.port : 0;
  }
  async close(): Promise<void> {
    clearInterval(this.#timer);
    this.radio.off();
    this.#ether.leave(this.radio);
    this.#socket?.destroy();
    await new Promise<void>((resolve) =>
      this.#server === undefined ? resolve() : this.#server.close(() => resolve()),
    );
  }
  /** Says so to the host, as a board does that restarted by itself. */
  restart(): void {
    this.radio.off();
    this.#say(RNODE.reset, 0xf8);
  }
  fail(code: number): void {
    this.#say(RNODE.error, code);
  }
  #attach(socket: Socket): void {
    this.#socket?.destroy();
    this.#socket = socket;
    socket.setNoDelay(true);
    const decoder = new KissDecoder(600);
    socket.on("data", (chunk) => decoder.push(chunk, (command, payload) => this.#command(command, payload)));
    socket.on("error", () => undefined);
  }
  #write(bytes: Uint8Array): void {
    if (this.quirks.mute !== true && this.#socket?.writable === true) this.#socket.write(bytes);
  }
  #say(command: number, ...payload: readonly number[]): void {
    this.#write(kissEncode(command, Uint8Array.from(payload)));
  }
  #command(command: number, payload: Uint8Array): void {
    const [first = 0] = payload;
    switch (command) {
      case RNODE.data:
        if (!this.radio.send(payload)) this.#say(RNODE.error, 0x04);
        return;
      case RNODE.detect:
        if (first === DETECT_REQUEST) this.#say(RNODE.detect, DETECT_RESPONSE);
        return;
      case RNODE.firmware:
        this.#say(RNODE.firmware, ...(this.quirks.firmware ?? [1, 80]));
        return;
      case RNODE.platform:
        this.#say(RNODE.platform, PLATFORM_NRF52);
        return;
      case RNODE.mcu:
        this.#say(RNODE.mcu, MCU_NRF52);
        return;
      case RNODE.frequency:
        this.#frequencyHz = number(payload);
        break;
      case RNODE.bandwidth:
        this.#bandwidthHz = number(payload);
        break;
      case RNODE.txPower:
        this.#txPowerDbm = first;
        break;
      case RNODE.spreadingFactor:
        this.#spreadingFactor = first;
        break;
      case RNODE.codingRate:
        this.#codingRate = first;
        break;
      case RNODE.airtimeShort:
        this.#airtimeShort = number(payload) / 10_000;
        break;
      case RNODE.airtimeLong:
        this.#airtimeLong = number(payload) / 10_000;
        break;
      case RNODE.radioState:
        this.#switch(first === RADIO_ON);
        break;
      case RNODE.leave:
        this.radio.off();
        return;
      default:
        return;
    }
    const echo = command === this.quirks.wrongEcho ? payload.map((byte) => byte ^ 1) : payload;
    this.#say(command, ...echo);
  }
  #switch(on: boolean): void {
    if (!on) {
      this.radio.off();
      return;
    }
    const settings = {
      frequencyHz: this.#frequencyHz,
      bandwidthHz: this.#bandwidthHz,
      txPowerDbm: this.#txPowerDbm,
      spreadingFactor: this.#spreadingFactor,
      codingRate: this.#codingRate,
      airtimeShort: this.#airtimeShort,
      airtimeLong: this.#airtimeLong,
    };
    this.radio.settings = settings;
    const symbolMs = symbolTimeMs(settings);
    const preamble = preambleSymbols(settings);
    const slot = slotMs(settings);
    this.#say(
      RNODE.statPhy,
      ...[symbolMs * 1000, 1000 / symbolMs, preamble, preamble * symbolMs, slot, 2 * slot].flatMap((v) =>
        u16(Math.round(v)),
      ),
    );
  }
  #statistics(): void {
    const { settings, ledger } = this.radio;
    if (settings === undefined) return;
    const now = this.#ether.options.clock.now();
    const short = u16(Math.round(ledger.short(now) * 10_000));
    const long = u16(Math.round(ledger.long(now) * 10_000));
    this.#write(
      kissEncode(RNODE.statChannel, concatBytes(Uint8Array.from([...short, ...long, ...short, ...long, 60, 40, 0xff]))),
    );
    this.#say(RNODE.statCsma, 1, 0, 14);
    this.#say(RNODE.statBattery, 3, 100);
    this.#say(RNODE.statTemperature, 145);
  }
}
