/** What an interface is to the station that runs it. Implemented by the other files of this folder. */
import type { SpineError } from "../../../spine/index.ts";
import type { Wire } from "../stack/context.ts";
import { Ifac, type IfacOptions } from "../stack/ifac.ts";
import type { WirePolicy } from "../stack/wire-policy.ts";

/** Something packets can be sent through: an interface, or one peer of it. */
export interface LiveWire {
  readonly info: Wire;
  /**
   * Queues a frame and returns at once; false when the bounded queue is full and the frame was dropped. `first`: before
   * everything less urgent that waits here, which matters where a queue grows long, as before a radio.
   */
  send(frame: Uint8Array, first?: boolean): boolean;
  /** Frames that wait here because a device is busy; absent where none ever do. */
  readonly waiting?: number;
}

export interface WireHost {
  up(wire: LiveWire): void;
  down(wire: LiveWire): void;
  receive(wire: LiveWire, frame: Uint8Array): void;
  /** Nothing is `waiting` any more. */
  drained?(wire: LiveWire): void;
}

export interface InterfaceStatus {
  readonly name: string;
  /** Such as "tcp-client". */
  readonly type: string;
  readonly online: boolean;
  readonly wires: number;
  /** Bits per second. */
  readonly bitrate: number;
  readonly framesDropped: number;
  readonly reconnects: number;
  /** Why it is offline, when it is. */
  readonly lastError: SpineError | undefined;
  /** Interface-specific facts, such as an RNode's telemetry. */
  readonly details?: Readonly<Record<string, unknown>>;
}

export interface Interface {
  readonly name: string;
  /** Resolved = it tries; a device or peer that is away is retried for ever. Rejects only for wrong configuration. */
  start(host: WireHost): Promise<void>;
  /** Idempotent; nothing is left open when it resolves. */
  stop(): Promise<void>;
  status(): InterfaceStatus;
}

/** What every interface can be told: its access code, whose size defaults per kind of interface, and its policy. */
export interface AccessOptions {
  readonly networkName?: string;
  readonly passphrase?: string;
  readonly accessCodeBytes?: number;
  /** What transport does with this interface. */
  readonly policy?: WirePolicy;
}

/** Throws `config_invalid`. Undefined when the interface is open. */
export function accessCode(options: AccessOptions, defaultBytes: number): Ifac | undefined {
  const { networkName, passphrase } = options;
  if (networkName === undefined && passphrase === undefined) return undefined;
  const ifac: IfacOptions = {
    ...(networkName === undefined ? {} : { networkName }),
    ...(passphrase === undefined ? {} : { passphrase }),
    sizeBytes: options.accessCodeBytes ?? defaultBytes,
  };
  return new Ifac(ifac);
}

/** Bytes of access code by default: on networks, and on radio and serial lines. */
export const WIDE_ACCESS_BYTES = 16;
export const NARROW_ACCESS_BYTES = 8;

const MTU_STEPS: readonly (readonly [number, number])[] = [
  [750e6, 262_144],
  [400e6, 131_072],
  [200e6, 65_536],
  [100e6, 32_768],
  [10e6, 16_384],
  [5e6, 8192],
  [2e6, 4096],
  [1e6, 2048],
  [62_500, 1024],
];

/** The hardware MTU an interface of this bitrate chooses for itself (spec/reticulum.md section 18), bytes. */
export function automaticMtu(bitrate: number): number {
  if (bitrate >= 1e9) return 524_288;
  return MTU_STEPS.find(([above]) => bitrate > above)?.[1] ?? 500;
}
