/** What the daemon may set on the libp2p plane, with the defaults and bounds of everything else. */

export interface Libp2pOptions {
  /** 32 bytes of the plane's own Ed25519 key: never the issuer's. */
  readonly privateKeySeed: Uint8Array;
  /** Multiaddrs such as /ip4/0.0.0.0/tcp/4801; empty = dial only. */
  readonly listen: readonly string[];
  /** Multiaddrs with /p2p/ID: dialled and kept, but strangers otherwise. */
  readonly bootstrap?: readonly string[];
  /** Multiaddrs with /p2p/ID of peers the operator trusts to introduce issuers. */
  readonly peers?: readonly string[];
  /** Find peers on the local network. Default false. */
  readonly mdns?: boolean;
  /** 32 bytes, or the text of a swarm key file: only holders of the same key can connect. */
  readonly psk?: Uint8Array | string;
  /** Present, even if empty: peers can be dialled through relays. Absent: one of any two peers must be reachable. */
  readonly relay?: {
    /** Carry limited traffic for peers that cannot be reached. Default false. */
    readonly server?: boolean;
    /** Multiaddrs of relays to be reachable through. */
    readonly use?: readonly string[];
  };
  /** Directory of the peer store; absent = forgotten at stop. */
  readonly datastorePath?: string;
  readonly limits?: Partial<Libp2pLimits>;
  /** Milliseconds of a monotone clock. */
  readonly now?: () => number;
  /** In [0, 1), for jitter. */
  readonly random?: () => number;
  /** Told of what an operator may want to read; never of secrets. */
  readonly log?: (event: string, fields: Readonly<Record<string, string | number>>) => void;
}

/** Every bound of the plane. */
export interface Libp2pLimits {
  readonly maxConnections: number;
  /** Inbound, counted per IPv4 address or IPv6 /64. */
  readonly maxConnectionsPerIp: number;
  /** New inbound connections per second and address. libp2p's own default of 5 refuses a handful of peers behind one NAT. */
  readonly inboundPerSecondPerIp: number;
  readonly maxPendingInbound: number;
  /** Discovered peers are dialled only while fewer links than this are up. */
  readonly targetLinks: number;
  readonly mtuBytes: number;
  /** Of one link, waiting for the consumer, before the link is paused. */
  readonly linkQueueBytes: number;
  readonly linkQueueFrames: number;
  /** Of all links together. */
  readonly totalQueueBytes: number;
  /** What a peer may send ahead of our reading (yamux window), and below the read buffer, or a pause would reset the stream. */
  readonly windowBytes: number;
  /** How often the deadlines below are looked at. */
  readonly tickMs: number;
  readonly keepaliveMs: number;
  /** Silence after which a link is given up. */
  readonly idleMs: number;
  /** A peer that reads nothing for so long is given up. */
  readonly stallMs: number;
  /** One frame must arrive within this time. */
  readonly frameMs: number;
  /** A connection that becomes neither a link nor a gossip neighbour is closed after this. */
  readonly idleConnectionMs: number;
  readonly dialMs: number;
  readonly redialMinMs: number;
  readonly redialMaxMs: number;
  readonly maxGossipBytes: number;
  /** Unjudged broadcasts of one neighbour and of all. */
  readonly pendingGossipPerPeer: number;
  readonly pendingGossip: number;
  readonly pendingGossipBytes: number;
  /** Unjudged for so long = ignored. Below the five heartbeats for which gossipsub keeps a message. */
  readonly judgeMs: number;
  /** Broadcasts per second of one neighbour, and its burst. */
  readonly gossipPerSecond: number;
  readonly gossipBurst: number;
  readonly penaltyLimit: number;
  readonly penaltyHalfLifeMs: number;
  readonly banMs: number;
}

export const DEFAULT_LIMITS: Libp2pLimits = {
  maxConnections: 128,
  maxConnectionsPerIp: 32,
  inboundPerSecondPerIp: 32,
  maxPendingInbound: 32,
  targetLinks: 8,
  mtuBytes: 512 * 1_024,
  linkQueueBytes: 1_024 * 1_024,
  linkQueueFrames: 256,
  totalQueueBytes: 16 * 1_024 * 1_024,
  windowBytes: 2 * 1_024 * 1_024,
  tickMs: 1_000,
  keepaliveMs: 15_000,
  idleMs: 60_000,
  stallMs: 120_000,
  frameMs: 60_000,
  idleConnectionMs: 20_000,
  dialMs: 10_000,
  redialMinMs: 1_000,
  redialMaxMs: 300_000,
  maxGossipBytes: 96 * 1_024,
  pendingGossipPerPeer: 256,
  pendingGossip: 2_048,
  pendingGossipBytes: 8 * 1_024 * 1_024,
  judgeMs: 4_000,
  gossipPerSecond: 500,
  gossipBurst: 4_000,
  penaltyLimit: 100,
  penaltyHalfLifeMs: 60_000,
  banMs: 600_000,
};
