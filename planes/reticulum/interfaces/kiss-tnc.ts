/** KISS TNC interfaces with optional flow control and AX.25 framing (spec/reticulum.md section 16.2). Used by the station. */
import { setTimeout as sleep } from "node:timers/promises";
import { concatBytes, type Millis, SpineError, utf8 } from "../../../spine/index.ts";
import type { Wire } from "../stack/context.ts";
import { FramedInterface, type Framing, kissFraming, maxFrameBytes } from "./framed.ts";
import { type AccessOptions, accessCode, type Interface, NARROW_ACCESS_BYTES } from "./interface.ts";
import { KISS, type KissSetup, kissSetupFrames } from "./kiss.ts";
import { type OpenLine, type SerialOptions, serialLine } from "./line.ts";
import { PacedLine } from "./paced.ts";
import { SERIAL_MTU, serialQueueBytes } from "./serial.ts";

const SETTLE_MS = 2000;
const READY_TIMEOUT_MS = 5000;
const GUESSED_BITRATE = 1200;
const AX25_HEADER_BYTES = 16;

export interface KissTncOptions extends AccessOptions, SerialOptions, Partial<KissSetup> {
  readonly name: string;
  /** Bits per second on the air, 1200 by default. */
  readonly bitrate?: number;
  /** Wait for the TNC's readiness before each frame; 5 s without it count as ready. */
  readonly flowControl?: boolean;
  /** Time a TNC needs after opening, ms; 2000 by default. */
  readonly settleMs?: Millis;
  /** AX.25: own call sign and SSID go before every packet. */
  readonly ax25?: { readonly callsign: string; readonly ssid: number };
}

/** Destination APZRNS-0 and the given source, unnumbered information, no layer 3. Throws `config_invalid`. */
export function ax25Header(callsign: string, ssid: number): Uint8Array {
  if (!/^[A-Z0-9]{3,6}$/.test(callsign)) throw new SpineError("config_invalid", `call sign ${callsign}`);
  if (!Number.isInteger(ssid) || ssid < 0 || ssid > 15) throw new SpineError("config_invalid", `SSID ${ssid}`);
  const address = (name: string, station: number, last: 0 | 1): Uint8Array =>
    Uint8Array.from([...utf8(name.padEnd(6)).map((byte) => byte << 1), 0x60 | (station << 1) | last]);
  return concatBytes(address("APZRNS", 0, 0), address(callsign, ssid, 1), Uint8Array.of(0x03, 0xf0));
}

function ax25Framing(framing: Framing, header: Uint8Array): Framing {
  return {
    encode: (payload) => framing.encode(concatBytes(header, payload)),
    push: (chunk, frame) =>
      framing.push(chunk, (payload) => {
        if (payload.length > AX25_HEADER_BYTES) frame(payload.slice(AX25_HEADER_BYTES));
      }),
    reset: () => framing.reset(),
    get isMidFrame() {
      return framing.isMidFrame;
    },
  };
}

/** Throws `config_invalid`. */
export function kissTnc(options: KissTncOptions): Interface {
  const info: Wire = {
    id: options.name,
    bitrate: options.bitrate ?? GUESSED_BITRATE,
    hardwareMtu: SERIAL_MTU,
    signalsMtu: false,
    ifac: accessCode(options, NARROW_ACCESS_BYTES),
    policy: options.policy,
    medium: "line",
  };
  const header = options.ax25 === undefined ? undefined : ax25Header(options.ax25.callsign, options.ax25.ssid);
  const limit = maxFrameBytes(info) + (header?.length ?? 0);
  const queueBytes = serialQueueBytes(options.speed ?? 9600);
  let paced: PacedLine | undefined;
  const open: OpenLine = async (events, signal) => {
    const line = await serialLine(options)(events, signal);
    paced = new PacedLine(line, options.flowControl === true ? READY_TIMEOUT_MS : undefined);
    return paced;
  };
  const framing = (): Framing => {
    const kiss = kissFraming(limit, (command) => {
      if (command === KISS.ready) paced?.ready();
    });
    return header === undefined ? kiss : ax25Framing(kiss, header);
  };
  return new FramedInterface({
    type: "kiss",
    info,
    open,
    framing,
    queueBytes,
    partialTimeout: true,
    setup: async () => {
      await sleep(options.settleMs ?? SETTLE_MS);
      const setup: KissSetup = {
        preambleMs: options.preambleMs ?? 350,
        txTailMs: options.txTailMs ?? 20,
        persistence: options.persistence ?? 64,
        slotTimeMs: options.slotTimeMs ?? 20,
      };
      for (const frame of kissSetupFrames(setup)) paced?.writeNow(frame);
    },
  });
}
