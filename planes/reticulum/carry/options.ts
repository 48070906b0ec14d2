/** What the Reticulum plane is told, and its bounds. Read by `plane.ts`. */
import type { Millis, Tier } from "../../../spine/index.ts";
import type { Identity } from "../stack/identity.ts";
import type { RatchetRing } from "../stack/ratchet.ts";
import type { Station } from "../station.ts";
import type { Delivery, MailDrop } from "./absent.ts";

export interface ReticulumLimits {
  /** Largest frame over fast wires, and over those below `slowBitrate`. */
  readonly mtuBytes: number;
  readonly slowMtuBytes: number;
  readonly slowBitrate: number;
  /** Wires below it carry packets only, no links. */
  readonly linkBitrate: number;
  /** Bytes of one link on their way or waiting for the peer's consumer; slow wires take one frame at a time. */
  readonly windowBytes: number;
  readonly maxGossipBytes: number;
  readonly maxLinks: number;
  /** Links that discovery tries to have. */
  readonly targetLinks: number;
  /** On a slow wire: how many of those who come next in the circle of addresses. */
  readonly slowTargetLinks: number;
  /** On slow wires: how much longer a link may take to open than its packets' time on the air, since others speak in between. */
  readonly openTimeoutMs: Millis;
  readonly redialMinMs: Millis;
  readonly redialMaxMs: Millis;
  /** Identifies again when the peer's hello did not come. */
  readonly identifyMs: Millis;
}

export const DEFAULT_RETICULUM_LIMITS: ReticulumLimits = {
  mtuBytes: 512 * 1_024,
  slowMtuBytes: 16 * 1_024,
  slowBitrate: 50_000,
  linkBitrate: 50,
  windowBytes: 1_024 * 1_024,
  maxGossipBytes: 96 * 1_024,
  maxLinks: 64,
  targetLinks: 8,
  slowTargetLinks: 2,
  openTimeoutMs: 60_000,
  redialMinMs: 1_000,
  redialMaxMs: 300_000,
  identifyMs: 4_000,
};

/** Sees what a slow wire's line is given and what it gives to the wire: for airtime by urgency, and to check the order. */
export interface AirWatch {
  /** A frame of so many packets waits for its turns. */
  queued(tier: Tier, receiver: string, packets: number): void;
  /** What waited for a peer is given up. */
  forgot(receiver: string): void;
  /** What is given to the wire from now on is a packet of this tier; undefined: what the stack sends by itself. */
  turn(tier: Tier | undefined, receiver: string): void;
  /** So many bytes wait from now on, revocations apart. */
  waits(bytes: number): void;
}

/** What a slow wire costs. */
export interface Air {
  /** Milliseconds on the air of one packet of that many bytes, framing included. */
  readonly airtimeMs: (packetBytes: number) => Millis;
  /** Share of each hour that this node may use on it: above 0 to 1. */
  readonly duty: number;
  readonly watch?: AirWatch;
}

export type ReticulumLog = (event: string, fields: Readonly<Record<string, string | number>>) => void;

export interface ReticulumPlaneOptions {
  readonly name?: string;
  readonly station: Station;
  /** The station is started and stopped with the plane. */
  readonly ownsStation: boolean;
  readonly identity: Identity;
  readonly ratchets?: RatchetRing;
  /** Addresses "rns:DESTINATION" of peers to stay connected to. */
  readonly peers?: readonly string[];
  /** Link with nodes that announce themselves. */
  readonly discover: boolean;
  /** The air of a slow wire; without it the bitrate alone counts. */
  readonly airOf?: (wireId: string) => Air | undefined;
  /** 64 bytes that all nodes of the group hold: broadcasts on the air are sealed with it, and carry every kind of fact. */
  readonly groupKey?: Uint8Array;
  /** Takes urgent envelopes for peers that are away. */
  readonly mail?: MailDrop;
  /** Told what became of those. */
  readonly onDelivery?: (delivery: Delivery) => void;
  readonly limits?: Partial<ReticulumLimits>;
  /** In [0, 1); spreads retries and announces. */
  readonly chance?: () => number;
  readonly log?: ReticulumLog;
}
