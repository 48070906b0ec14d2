/**
 * A scenario as plain data: what `spine sim` reads from YAML, what built-in scenarios are, and what goes to workers. Every
 * default is filled in by `scenario-text.ts`; the engine (`run.ts`) reads nothing else. Times are virtual milliseconds since
 * the start of the run, places metres.
 */

/**
 * Names of nodes: "GROUP" for all of a group, "GROUP-3" for its third (from 1), "GROUP-2..5" for some, "*" for all. A list
 * is their union. A group of one is its own node.
 */
export type Select = string | readonly string[];

export interface Place {
  readonly x: number;
  readonly y: number;
}

export interface ScenarioFile {
  readonly name: string;
  readonly summary: string;
  /** The run ends here, or `settleMs` after the last expectation was met if that is sooner and `stopEarly`. */
  readonly durationMs: number;
  readonly stopEarly: boolean;
  readonly nodes: readonly NodeGroup[];
  readonly networks: readonly Network[];
  readonly load: readonly Load[];
  readonly timeline: readonly TimelineEvent[];
  readonly expect: readonly Expectation[];
}

export interface NodeGroup {
  readonly name: string;
  /** At least 1. */
  readonly count: number;
  /** When its nodes start. */
  readonly joinsAtMs: number;
  /** From commit to durable. */
  readonly diskMs: number;
  /** Lab mode: strangers are admitted. */
  readonly open: boolean;
  /** Whom its operators allow. */
  readonly admits: Select;
  /** Whose revocations of nodes act here. */
  readonly revokers: Select;
  /** Logs (nodes) whose checkpoints it compares with what its peers were shown. */
  readonly follows: Select;
  /** Keeps a log and checkpoints it as rules 9 say. */
  readonly keepsLog: boolean;
  /** Several planes: the daemon's default disclosure decides what crosses. Otherwise everything does. */
  readonly discloses: boolean;
  /** How wrong its clock is. */
  readonly clockSkewMs: number;
  readonly place: Placement;
}

export type Placement =
  /** All at or evenly around a point. */
  | { readonly type: "point"; readonly at: Place }
  | { readonly type: "line"; readonly from: Place; readonly to: Place }
  | { readonly type: "grid"; readonly from: Place; readonly to: Place }
  /** At random, from the seed. */
  | { readonly type: "disc"; readonly at: Place; readonly radiusM: number };

// ---- networks ----

export type Network = StreamNetwork | BrokerNetwork | RadioNetwork;

/** What a reliable, ordered connection is like; loss costs time. */
export interface LinkShape {
  readonly latencyMs: number;
  readonly jitterMs: number;
  /** Probability that a frame has to be sent again. */
  readonly loss: number;
  /** Bits per second. */
  readonly bitrate: number;
}

/** Point to point connections: "libp2p" gossips heads and fresh envelopes too, "wireguard" has only its links. */
export interface StreamNetwork {
  readonly type: "stream";
  readonly name: string;
  readonly plane: "libp2p" | "wireguard";
  readonly members: Select;
  readonly topology: Topology;
  readonly shape: LinkShape;
  /** Of gossip: probability that it arrives twice, and a late copy overtaken by others. */
  readonly duplicates: number;
}

export type Topology =
  /** Each member with the next. */
  | { readonly type: "line" }
  /** A ring with `chords` more links between members picked from the seed. */
  | { readonly type: "ring"; readonly chords: number }
  | { readonly type: "full" }
  /** Everybody with the first `hubs` members, which are joined with each other. */
  | { readonly type: "star"; readonly hubs: number }
  /** A connected graph in which members have about `degree` links. */
  | { readonly type: "random"; readonly degree: number }
  | { readonly type: "links"; readonly links: readonly (readonly [string, string])[] };

/** A server like NATS through which every member reaches every other. */
export interface BrokerNetwork {
  readonly type: "broker";
  readonly name: string;
  readonly members: Select;
  /** Of each member's connection to it. */
  readonly shape: LinkShape;
  /** It keeps what members publish, and members read it there, as with JetStream; else it only joins them by links. */
  readonly streams: boolean;
}

/** One shared LoRa channel: Spine frames over the real Reticulum stack on the one radio model. */
export interface RadioNetwork {
  readonly type: "radio";
  readonly name: string;
  readonly members: Select;
  /** Who is configured to link with whom; null = they find each other by their announces. */
  readonly peers: Topology | null;
  /** Members that pass Reticulum packets on for others. */
  readonly transport: Select;
  /** The member that keeps urgent facts for peers who are away, as an LXMF propagation node; null = none. */
  readonly mailAt: string | null;
  readonly frequencyHz: number;
  readonly bandwidthHz: number;
  readonly spreadingFactor: number;
  /** Denominator of 4/x. */
  readonly codingRate: number;
  readonly txPowerDbm: number;
  /** Share of each hour that one member may send. */
  readonly duty: number;
  readonly pathLoss: PathLoss;
  /** Probability that an otherwise good frame is lost. */
  readonly loss: number;
}

export type PathLoss =
  /** atOneKmDb + 10·exponent·log10(km), and a normal share of terrain per pair from the seed. */
  | { readonly type: "distance"; readonly atOneKmDb: number; readonly exponent: number; readonly terrainDb: number }
  /** Members hear each other along these pairs only. */
  | { readonly type: "links"; readonly links: readonly (readonly [string, string])[]; readonly lossDb: number }
  /** Each member hears the one before and the one after. */
  | { readonly type: "line"; readonly lossDb: number }
  | { readonly type: "same"; readonly lossDb: number };

// ---- what happens ----

/** Facts that loads publish. */
export const LOAD_FACTS = ["heartbeat", "note", "incident", "run_receipt", "node_attestation"] as const;
export type LoadFact = (typeof LOAD_FACTS)[number];

export interface Load {
  readonly by: Select;
  readonly fact: LoadFact;
  readonly fromMs: number;
  readonly untilMs: number;
  /** Between two batches of one node; the first at a random part of it when `spread`. */
  readonly everyMs: number;
  readonly spread: boolean;
  /** Facts of one batch. */
  readonly batch: number;
  /** Batches of one node at most; 0 = as many as fit. */
  readonly times: number;
  /** Text added to each fact. */
  readonly padBytes: number;
}

export type TimelineEvent = { readonly atMs: number } & Happening;

export type Happening =
  /** Cuts links between the sets (and everybody else), of all networks or one. */
  | { readonly type: "partition"; readonly sets: readonly Select[]; readonly network: string | null }
  | { readonly type: "heal"; readonly network: string | null }
  /** The whole network, or its use by some, is lost; "network-up" brings it back. */
  | { readonly type: "network-down"; readonly network: string; readonly nodes: Select }
  | { readonly type: "network-up"; readonly network: string; readonly nodes: Select }
  | {
      readonly type: "crash";
      readonly nodes: Select;
      readonly keepDisk: boolean;
      readonly restartsAfterMs: number | null;
    }
  | { readonly type: "restart"; readonly nodes: Select }
  | { readonly type: "skew"; readonly nodes: Select; readonly byMs: number }
  /** Keeps a copy of the disk, which "restore" brings back without the mark beside it. */
  | { readonly type: "backup"; readonly nodes: Select }
  | { readonly type: "restore"; readonly nodes: Select }
  /** Another machine from the same image, linked with `peers` over the network. */
  | {
      readonly type: "clone";
      readonly of: string;
      readonly name: string;
      readonly network: string;
      readonly peers: Select;
    }
  | { readonly type: "move"; readonly nodes: Select; readonly to: Place; readonly overMs: number }
  | { readonly type: "publish"; readonly by: Select; readonly fact: LoadFact; readonly count: number }
  | { readonly type: "revoke"; readonly by: string; readonly target: string }
  /** Somebody carries a file: everything `from` holds reaches `to` later. */
  | { readonly type: "courier"; readonly from: string; readonly to: string; readonly takesMs: number }
  | { readonly type: "attack"; readonly by: string; readonly attack: Attack };

export type Attack =
  /** Signs two histories after a common one and shows one to each set. */
  | {
      readonly type: "fork";
      readonly trunk: number;
      readonly branches: readonly { readonly to: Select; readonly length: number }[];
    }
  /** A log signs two roots for one size and shows one to each set. */
  | { readonly type: "split-view"; readonly left: Select; readonly right: Select }
  /** Introduces made-up issuers with their heads to its neighbours. */
  | { readonly type: "sybil"; readonly issuers: number; readonly everyMs: number }
  /** Sends valid but useless messages as fast as it can. */
  | { readonly type: "flood"; readonly perSecond: number; readonly forMs: number };

// ---- what must be so ----

export interface Window {
  /** Looked at from here on; must be so within `withinMs`. */
  readonly afterMs: number;
  readonly withinMs: number;
}
export type Expectation = Window & Expected;

export type Expected =
  /** All of them hold everything that the issuers published up to then and later. */
  | { readonly type: "converged"; readonly nodes: Select; readonly issuers: Select }
  /** They do not all hold the same. */
  | { readonly type: "apart"; readonly nodes: Select; readonly issuers: Select }
  /** All of them hold the revocations that were published. */
  | { readonly type: "revoked"; readonly target: string; readonly nodes: Select }
  /** All of them froze the issuer at the same seq. */
  | { readonly type: "frozen"; readonly issuer: string; readonly nodes: Select; readonly seq: number | null }
  | { readonly type: "not-frozen"; readonly issuers: Select; readonly nodes: Select }
  | { readonly type: "signing"; readonly nodes: Select; readonly is: boolean }
  /** At most so many envelopes of issuers outside the scenario are stored. */
  | { readonly type: "strangers-at-most"; readonly nodes: Select; readonly envelopes: number; readonly claims: number }
  /** Between the sending and holding of urgent facts at all nodes, at most. */
  | { readonly type: "urgent-within"; readonly nodes: Select; readonly ms: number }
  /** Checkpoints of one log since the start, at most. */
  | { readonly type: "checkpoints"; readonly nodes: Select; readonly atLeast: number; readonly atMost: number }
  | { readonly type: "split-view-proven"; readonly log: string; readonly nodes: Select }
  /** Airtime of all together against the bound, in multiples. */
  | { readonly type: "airtime-within"; readonly network: string; readonly timesBound: number };
