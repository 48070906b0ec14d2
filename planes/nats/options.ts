/** What the NATS plane is told: where the servers are, how to log in, names and bounds. Read by `plane.ts` and `bus.ts`. */

/** How the client proves itself to the server. At most one; texts are the contents of files, never paths. */
export type NatsAuth =
  | { readonly type: "none" }
  | { readonly type: "token"; readonly token: string }
  | { readonly type: "user"; readonly user: string; readonly password: string }
  /** Seed of a user nkey ("SU…"). */
  | { readonly type: "nkey"; readonly seed: string }
  /** Content of a `.creds` file. */
  | { readonly type: "creds"; readonly creds: string };

export interface NatsTls {
  /** PEM texts. `ca` replaces the system's roots. */
  readonly ca?: string;
  readonly cert?: string;
  readonly key?: string;
}

export interface NatsServers {
  /** `host:port` or `nats://…`, `tls://…`; any one that answers will do. */
  readonly servers: readonly string[];
  readonly auth: NatsAuth;
  /** Present = the connection must be encrypted. */
  readonly tls?: NatsTls;
  /** The client's name in the server's monitoring. */
  readonly clientName: string;
}

export interface NatsLimits {
  /** Largest frame of a link, bytes; the server's `max_payload` may lower it. */
  readonly mtuBytes: number;
  /** Bytes of one link that may be on their way or wait for the peer's consumer. */
  readonly windowBytes: number;
  readonly maxGossipBytes: number;
  readonly maxLinks: number;
  /** Links that discovery tries to have. */
  readonly targetLinks: number;
  readonly keepaliveMs: number;
  readonly idleMs: number;
  readonly openTimeoutMs: number;
  readonly presenceMs: number;
  readonly redialMinMs: number;
  readonly redialMaxMs: number;
}

export const DEFAULT_NATS_LIMITS: NatsLimits = {
  mtuBytes: 512 * 1_024,
  windowBytes: 1_024 * 1_024,
  maxGossipBytes: 96 * 1_024,
  maxLinks: 128,
  targetLinks: 4,
  keepaliveMs: 5_000,
  idleMs: 20_000,
  openTimeoutMs: 3_000,
  presenceMs: 10_000,
  redialMinMs: 250,
  redialMaxMs: 30_000,
};

export type NatsLog = (event: string, fields: Readonly<Record<string, string | number>>) => void;

export interface NatsPlaneOptions extends NatsServers {
  /** 32 bytes: the plane's own key, of which peers know the public half. */
  readonly privateKeySeed: Uint8Array;
  /** First word of every subject. */
  readonly subjectPrefix: string;
  /** Addresses "nats:PUBLICKEY" of peers to stay connected to. */
  readonly peers?: readonly string[];
  /** Tell others that this node is here, and dial some that say so. */
  readonly discover: boolean;
  /** Start also when no server answers yet, and go on trying. */
  readonly startOffline: boolean;
  readonly limits?: Partial<NatsLimits>;
  readonly log?: NatsLog;
  /** Milliseconds of any monotone epoch. */
  readonly now?: () => number;
}
