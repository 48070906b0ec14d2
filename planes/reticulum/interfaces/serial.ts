/** Serial interfaces, HDLC framed (spec/reticulum.md section 16.1). Used by the station. */
import type { Wire } from "../stack/context.ts";
import { FramedInterface, hdlcFraming, maxFrameBytes } from "./framed.ts";
import { type AccessOptions, accessCode, type Interface, NARROW_ACCESS_BYTES } from "./interface.ts";
import { type SerialOptions, serialLine } from "./line.ts";
import { ResyncLine } from "./resync-line.ts";

export const SERIAL_MTU = 564;
/** A few seconds of line time: what waits longer than that is stale to every timeout above. */
const QUEUE_SECONDS = 8;
const MIN_QUEUE_BYTES = 64 * 1024;

export interface SerialInterfaceOptions extends AccessOptions, SerialOptions {
  readonly name: string;
}

/** Bytes that may wait for a line of this speed (baud). */
export function serialQueueBytes(speed: number): number {
  return Math.max(MIN_QUEUE_BYTES, (speed / 10) * QUEUE_SECONDS);
}

/** Throws `config_invalid`. */
export function serialInterface(options: SerialInterfaceOptions): Interface {
  const bitrate = options.speed ?? 115_200;
  const info: Wire = {
    id: options.name,
    bitrate,
    hardwareMtu: SERIAL_MTU,
    signalsMtu: false,
    ifac: accessCode(options, NARROW_ACCESS_BYTES),
    policy: options.policy,
    medium: "line",
  };
  const open = serialLine(options);
  return new FramedInterface({
    type: "serial",
    info,
    open: async (events, signal) => new ResyncLine(await open(events, signal), bitrate),
    framing: () => hdlcFraming(maxFrameBytes(info)),
    queueBytes: serialQueueBytes(bitrate),
    partialTimeout: true,
  });
}
