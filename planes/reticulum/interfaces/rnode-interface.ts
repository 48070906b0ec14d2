/** RNode interfaces: detection, configuration, telemetry, flow control and recovery (spec/reticulum.md section 16.3). */
import { setTimeout as sleep } from "node:timers/promises";
import { type Millis, SpineError } from "../../../spine/index.ts";
import { packetAirtimeMs } from "../radio.ts";
import type { Wire } from "../stack/context.ts";
import { MIN_FRAME_BYTES } from "./framed.ts";
import {
  type AccessOptions,
  accessCode,
  type Interface,
  type InterfaceStatus,
  type LiveWire,
  NARROW_ACCESS_BYTES,
  type WireHost,
} from "./interface.ts";
import { KissDecoder, kissEncode } from "./kiss.ts";
import { type Line, type OpenLine, type SerialOptions, serialLine, tcpLine } from "./line.ts";
import { type Pause, Reopener } from "./reopen.ts";
import {
  checkRadioConfig,
  detectBurst,
  leaveCommand,
  MIN_FIRMWARE,
  RADIO_ON,
  type RadioConfig,
  RNODE,
  type RNodeEvent,
  RNodeParser,
  type RNodeState,
  radioBitrate,
  radioOff,
  radioSetup,
} from "./rnode.ts";

export const RNODE_MTU = 508;
const RNODE_TCP_PORT = 7633;
const SETTLE_MS = 2000;
/** Answers are awaited by event: some boards are silent for more than half a second. */
const ANSWER_TIMEOUT_MS = 3000;
const FREQUENCY_TOLERANCE_HZ = 100;
const READY_TIMEOUT_MS = 60_000;
const QUEUED_PACKETS = 64;
const STALL_MS = 120_000;
const TCP_KEEPALIVE_MS = 3500;
const QUEUE_FULL_PAUSE_MS = 1000;

export interface RNodeOptions extends AccessOptions {
  readonly name: string;
  readonly radio: RadioConfig;
  /** A serial device, or a host for RNodes on the network (port 7633). */
  readonly device: SerialOptions | { readonly host: string; readonly port?: number };
  /** Ask the device when the next packet may come instead of reckoning its airtime. */
  readonly flowControl?: boolean;
  /** Time a board needs after its port was opened, ms; 2000 by default. */
  readonly settleMs?: Millis;
  /** Between two openings; growing pauses by default. */
  readonly pause?: Pause;
}

export class RNodeInterface implements Interface {
  readonly name: string;
  readonly #options: RNodeOptions;
  readonly #overTcp: boolean;
  readonly #wire: LiveWire;
  readonly #reopener: Reopener;
  #host: WireHost | undefined;
  #line: Line | undefined;
  #parser = new RNodeParser();
  #decoder = new KissDecoder(RNODE_MTU + 64);
  #online = false;
  #framesDropped = 0;
  #queue: Uint8Array[] = [];
  /** So many at its begin go first. */
  #first = 0;
  #waitsForReady = false;
  #airFreeAt: Millis = 0;
  #pumpTimer: NodeJS.Timeout | undefined;
  #watchdog: NodeJS.Timeout | undefined;
  #keepalive: NodeJS.Timeout | undefined;
  #changed: (() => void) | undefined;
  #lastQuality: { readonly rssiDbm?: number; readonly snrDb?: number } = {};
  /** Throws `config_invalid`. */
  constructor(options: RNodeOptions) {
    checkRadioConfig(options.radio);
    this.name = options.name;
    this.#options = options;
    this.#overTcp = "host" in options.device;
    const info: Wire = {
      id: options.name,
      bitrate: radioBitrate(options.radio),
      hardwareMtu: RNODE_MTU,
      signalsMtu: false,
      ifac: accessCode(options, NARROW_ACCESS_BYTES),
      policy: options.policy,
      medium: "line",
    };
    const waiting = (): number => this.#queue.length;
    this.#wire = {
      info,
      send: (frame, first = false) => this.#send(frame, first),
      get waiting() {
        return waiting();
      },
    };
    const { device } = options;
    const open: OpenLine = "host" in device ? tcpLine(device.host, device.port ?? RNODE_TCP_PORT) : serialLine(device);
    const session = {
      opened: (line: Line) => this.#setUp(line),
      data: (chunk: Uint8Array) => this.#decoder.push(chunk, (command, payload) => this.#frame(command, payload)),
      closed: () => this.#closed(),
    };
    this.#reopener = new Reopener(open, session, options.pause);
  }
  async start(host: WireHost): Promise<void> {
    this.#host = host;
    this.#reopener.start();
  }
  /** Turns the radio off and leaves the device ready for others. */
  async stop(): Promise<void> {
    const line = this.#line;
    if (line !== undefined) {
      line.write(radioOff());
      line.write(leaveCommand());
      for (let waits = 0; waits < 20 && line.queuedBytes > 0; waits++) await sleep(10);
      await sleep(20);
    }
    await this.#reopener.stop();
  }
  /** What the device has told about itself and the channel. */
  get state(): Readonly<RNodeState> {
    return this.#parser.state;
  }
  status(): InterfaceStatus {
    return {
      name: this.name,
      type: "rnode",
      online: this.#online,
      wires: this.#online ? 1 : 0,
      bitrate: this.#wire.info.bitrate,
      framesDropped: this.#framesDropped,
      reconnects: this.#reopener.reconnects,
      lastError: this.#reopener.lastError,
      details: { ...this.#parser.state, lastRssiDbm: this.#lastQuality.rssiDbm, lastSnrDb: this.#lastQuality.snrDb },
    };
  }

  // --- bringing the device up ---

  async #setUp(line: Line): Promise<void> {
    this.#parser = new RNodeParser();
    this.#decoder = new KissDecoder(RNODE_MTU + 64);
    this.#line = line;
    await sleep(this.#options.settleMs ?? SETTLE_MS);
    const { state } = this.#parser;
    await this.#ask(
      line,
      detectBurst(),
      () => state.detected === true && state.firmware !== undefined,
      "no RNode answers",
    );
    const [major, minor] = state.firmware as readonly [number, number];
    if (major < MIN_FIRMWARE[0] || (major === MIN_FIRMWARE[0] && minor < MIN_FIRMWARE[1])) {
      throw new SpineError("device_failed", `${this.name}: firmware ${major}.${minor} is older than 1.52`);
    }
    await this.#ask(line, radioSetup(this.#options.radio), () => this.#isConfigured(), "the radio took other settings");
    this.#airFreeAt = performance.now();
    this.#waitsForReady = false;
    this.#online = true;
    if (this.#overTcp) this.#keepalive = setInterval(() => line.write(detectBurst()), TCP_KEEPALIVE_MS);
    this.#host?.up(this.#wire);
  }
  /** Sends once more when the first time brought no answer. */
  async #ask(line: Line, bytes: Uint8Array, done: () => boolean, failure: string): Promise<void> {
    for (let tries = 0; tries < 2; tries++) {
      line.write(bytes);
      const deadline = performance.now() + ANSWER_TIMEOUT_MS;
      while (!done()) {
        const leftMs = deadline - performance.now();
        if (leftMs <= 0) break;
        let timer: NodeJS.Timeout | undefined;
        await new Promise<void>((resolve) => {
          this.#changed = resolve;
          timer = setTimeout(resolve, leftMs);
        });
        clearTimeout(timer);
      }
      if (done()) return;
    }
    throw new SpineError("device_failed", `${this.name}: ${failure}`);
  }
  #isConfigured(): boolean {
    const { radio } = this.#options;
    const s = this.#parser.state;
    return (
      Math.abs((s.frequencyHz ?? 0) - radio.frequencyHz) <= FREQUENCY_TOLERANCE_HZ &&
      s.bandwidthHz === radio.bandwidthHz &&
      s.txPowerDbm === radio.txPowerDbm &&
      s.spreadingFactor === radio.spreadingFactor &&
      s.codingRate === radio.codingRate &&
      s.radioState === RADIO_ON
    );
  }
  #closed(): void {
    this.#line = undefined;
    this.#queue = [];
    this.#first = 0;
    clearTimeout(this.#pumpTimer);
    clearTimeout(this.#watchdog);
    clearInterval(this.#keepalive);
    this.#pumpTimer = undefined;
    this.#watchdog = undefined;
    this.#changed?.();
    if (!this.#online) return;
    this.#online = false;
    this.#host?.down(this.#wire);
  }

  // --- receiving ---

  #frame(command: number, payload: Uint8Array): void {
    const event = this.#parser.frame(command, payload);
    if (event !== undefined) this.#event(event);
    if (command === RNODE.statChannel) this.#feedWatchdog();
    this.#changed?.();
  }
  #event(event: RNodeEvent): void {
    if (event.type === "packet") {
      this.#lastQuality = event;
      if (this.#online && event.payload.length > MIN_FRAME_BYTES - 1) this.#host?.receive(this.#wire, event.payload);
      else this.#framesDropped++;
    } else if (event.type === "ready") {
      clearTimeout(this.#pumpTimer);
      this.#pumpTimer = undefined;
      this.#waitsForReady = false;
      this.#pump();
    } else if (event.type === "reset") {
      if (this.#online) this.#reopener.fail(new SpineError("device_failed", `${this.name}: the device restarted`));
    } else if (event.fatal) {
      const code = event.code.toString(16).padStart(2, "0");
      this.#reopener.fail(new SpineError("device_failed", `${this.name}: the device reports error ${code}`));
    } else this.#airFreeAt = Math.max(this.#airFreeAt, performance.now()) + QUEUE_FULL_PAUSE_MS;
  }
  /** A device that reported its channel and then falls silent has hung. */
  #feedWatchdog(): void {
    clearTimeout(this.#watchdog);
    this.#watchdog = setTimeout(() => {
      this.#reopener.fail(new SpineError("device_failed", `${this.name}: no telemetry for two minutes`));
    }, STALL_MS);
  }

  // --- sending ---

  #send(frame: Uint8Array, first: boolean): boolean {
    if (!this.#online || this.#queue.length >= QUEUED_PACKETS || frame.length > RNODE_MTU) {
      this.#framesDropped++;
      return false;
    }
    // Behind those that went first before it.
    if (first) this.#queue.splice(this.#first++, 0, frame);
    else this.#queue.push(frame);
    this.#pump();
    return true;
  }
  /** Gives the device a packet when it is ready, or at most one packet ahead of what it can have sent. */
  #pump(): void {
    const { flowControl, radio } = this.#options;
    const waited = this.#queue.length;
    this.#give(flowControl === true, radio);
    if (waited > 0 && this.#queue.length === 0) this.#host?.drained?.(this.#wire);
  }
  #give(flowControl: boolean, radio: RNodeOptions["radio"]): void {
    while (this.#line !== undefined && !this.#waitsForReady && this.#pumpTimer === undefined) {
      const [frame] = this.#queue;
      if (frame === undefined) return;
      const now = performance.now();
      const aheadMs = flowControl ? 0 : this.#airFreeAt - now - packetAirtimeMs(radio, RNODE_MTU);
      if (aheadMs > 0) {
        this.#wait(aheadMs);
        return;
      }
      this.#queue.shift();
      this.#first = Math.max(0, this.#first - 1);
      this.#line.write(kissEncode(RNODE.data, frame));
      this.#airFreeAt = Math.max(now, this.#airFreeAt) + packetAirtimeMs(radio, frame.length);
      if (flowControl) {
        this.#waitsForReady = true;
        this.#wait(READY_TIMEOUT_MS);
        return;
      }
    }
  }
  #wait(ms: Millis): void {
    clearTimeout(this.#pumpTimer);
    this.#pumpTimer = setTimeout(() => {
      this.#pumpTimer = undefined;
      this.#waitsForReady = false;
      this.#pump();
    }, ms);
  }
}
