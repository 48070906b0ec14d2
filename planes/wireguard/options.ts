/** What the daemon sets on the WireGuard plane, with the defaults and bounds of everything else. */
import type { Claim, Issuer, Sha256Hex } from "../../spine/index.ts";
import type { Device } from "./device.ts";

export interface WireguardOptions {
  /** The interface: owned and kept, or adopted and only read. */
  readonly device: Device;
  /** 32 bytes, X25519: never the issuer's key. With an adopted interface: null, the interface has its own. */
  readonly privateKey: Uint8Array | null;
  /** The enclave, such as 10.77.0.0/24. */
  readonly network: string;
  /** This node's own address in it. */
  readonly address: string;
  /** TCP, on that address; the same on every node is convenient, not needed. */
  readonly port: number;
  /** UDP. */
  readonly listenPort: number;
  readonly mtuBytes: number;
  readonly keepaliveSeconds: number;
  readonly issuer: Issuer;
  /** Issuers and cards of the operator's list, in order of precedence. */
  readonly peers?: readonly string[];
  /** This node's own card, once its binding is published; null before. */
  readonly card: () => string | null;
  readonly verify: (claim: Claim) => boolean;
  readonly sha256Hex: Sha256Hex;
  /** Whether what `issuer` signed at `seq` no longer grants anything: revoked, frozen, denied. */
  readonly excluded?: (issuer: Issuer, seq: number) => boolean;
  /** Whether the issuer is attested as the operator demands. */
  readonly attested?: (issuer: Issuer) => boolean;
  readonly limits?: Partial<EnclaveLimits>;
  /** Milliseconds of a monotone clock. */
  readonly now?: () => number;
  /** Wall clock, milliseconds since the epoch: handshakes are told in it. */
  readonly wallNow?: () => number;
  /** In [0, 1), for jitter. */
  readonly random?: () => number;
  /** Told of what an operator may want to read; never of secrets. */
  readonly log?: (event: string, fields: Readonly<Record<string, string | number>>) => void;
}

/** Every bound of the plane. */
export interface EnclaveLimits {
  readonly mtuBytes: number;
  /** Of one link, waiting for the consumer, before the link is paused. */
  readonly linkQueueBytes: number;
  readonly linkQueueFrames: number;
  /** Of all links together. */
  readonly totalQueueBytes: number;
  /** Connections that have not shown their preface, inbound. */
  readonly maxPending: number;
  readonly tickMs: number;
  readonly keepaliveMs: number;
  /** Silence after which a link is given up. */
  readonly idleMs: number;
  /** A peer that reads nothing for so long is given up. */
  readonly stallMs: number;
  /** One frame must arrive within this time. */
  readonly frameMs: number;
  /** The peer's preface must. */
  readonly prefaceMs: number;
  readonly closeMs: number;
  readonly dialMs: number;
  readonly redialMinMs: number;
  readonly redialMaxMs: number;
  /** Between two looks at the interface. */
  readonly pollMs: number;
  readonly retryMinMs: number;
  readonly retryMaxMs: number;
  readonly penaltyLimit: number;
  readonly penaltyHalfLifeMs: number;
  readonly banMs: number;
}

export const DEFAULT_ENCLAVE_LIMITS: EnclaveLimits = {
  mtuBytes: 512 * 1_024,
  linkQueueBytes: 1_024 * 1_024,
  linkQueueFrames: 256,
  totalQueueBytes: 16 * 1_024 * 1_024,
  maxPending: 64,
  tickMs: 1_000,
  keepaliveMs: 15_000,
  idleMs: 60_000,
  stallMs: 120_000,
  frameMs: 60_000,
  prefaceMs: 5_000,
  closeMs: 500,
  dialMs: 5_000,
  redialMinMs: 500,
  redialMaxMs: 30_000,
  pollMs: 2_000,
  retryMinMs: 100,
  retryMaxMs: 5_000,
  penaltyLimit: 100,
  penaltyHalfLifeMs: 60_000,
  banMs: 600_000,
};
