/** A transport. Promises are stated here; `planeContract` checks them on every plane in every lifecycle state. */
import type { Envelope, LinkId, LinkInfo, Tier, Verdict } from "../spine/index.ts";

/** What a plane can do; the contract suite skips what is declared absent. */
export interface PlaneTraits {
  /** `broadcast` reaches more than one peer and `gossip` events arrive. */
  readonly broadcast: boolean;
  /** Frames of one link arrive in the order sent. */
  readonly ordered: boolean;
  /** A frame taken by `send` arrives unless the link goes down. */
  readonly reliable: boolean;
  /** LinkInfo bindings are proven by the transport. */
  readonly authenticated: boolean;
  /** Frames may be delivered although the peer is away. */
  readonly storeAndForward: boolean;
}

export type PlaneEvent =
  | { readonly type: "up"; readonly link: LinkId; readonly info: LinkInfo }
  | { readonly type: "down"; readonly link: LinkId; readonly reason: string }
  | { readonly type: "frame"; readonly link: LinkId; readonly frame: Uint8Array }
  /** A broadcast heard from the neighbour `link`; it is passed on only after `judge(id, "accept")`. */
  | { readonly type: "gossip"; readonly link: LinkId; readonly id: string; readonly data: Uint8Array }
  /**
   * An envelope or a head in canonical JSON that came on no link: from a mailbox, an announce, a broadcast on the air.
   * Judged like gossip, but there is no neighbour to blame. `via` is "PLANE:HOW".
   */
  | { readonly type: "stray"; readonly via: string; readonly id: string; readonly data: Uint8Array }
  /** A peer to whom no link is possible is to hear what this node holds (null), or has said what it holds: see `state` and `hand`. */
  | { readonly type: "compare"; readonly peer: string; readonly statement: Uint8Array | null };

/** A peer as the operator sees it. */
export interface PlanePeer {
  /** The plane's own name of the peer, such as a libp2p peer id. */
  readonly id: string;
  readonly addresses: readonly string[];
  /** The operator named it; it is dialled and kept. */
  readonly configured: boolean;
  readonly link: LinkId | null;
  /** Of a plane inside a tunnel: what the tunnel knows of the peer. */
  readonly tunnel?: TunnelStatus;
}

export interface TunnelStatus {
  /** Lower-case hex of the transport key; null while unknown. */
  readonly publicKey: string | null;
  /** Why the peer is not let in; null if it is. */
  readonly absence: string | null;
  /** alive: heard within 180 s. */
  readonly health: "alive" | "stale" | "never";
  /** Milliseconds since the epoch; 0 = never. */
  readonly handshakeAtMs: number;
  readonly rxBytes: number;
  readonly txBytes: number;
  /** Where its packets come from. */
  readonly endpoint: string | null;
  readonly endpointChanges: number;
}

export interface Plane extends AsyncDisposable {
  /** Unique within the node, such as "libp2p" or "reticulum/rnode0". */
  readonly name: string;
  readonly traits: PlaneTraits;
  /**
   * Resolved = frames can be sent and peers can reach us. Rejects with `plane_start_failed` (or `port_in_use`) and
   * leaves nothing open; aborting `signal` during start does the same. A second call rejects with
   * `plane_start_failed`; a stopped plane is never started again (`plane_stopped`).
   */
  start(options: { signal: AbortSignal }): Promise<void>;
  /**
   * One consumer. Ends, never throws, after stop. For each link: `up` first, then frames, then at most one `down`.
   * Bounded: while the consumer is slow the plane stops reading from its links (reliable planes) or drops and counts.
   */
  events(): AsyncIterable<PlaneEvent>;
  /**
   * Taken, not delivered; waits while the link is congested. Rejects with `plane_not_started`, `plane_stopped`,
   * `link_unknown` (gone, also while waiting), `frame_size` (over the link's mtu) or the signal's reason. The frame is copied or sent
   * before resolution: the caller may reuse it. `tier` is for planes that share a narrow medium; others ignore it.
   */
  send(link: LinkId, frame: Uint8Array, options: { signal: AbortSignal; tier?: Tier }): Promise<void>;
  /**
   * Gives data to the plane's broadcast medium; resolved with the number of neighbours it went to (0 is no error). `tier`
   * is for planes that share a narrow medium.
   */
  broadcast(data: Uint8Array, options: { signal: AbortSignal; tier?: Tier }): Promise<number>;
  /**
   * Only with the trait `storeAndForward`: an urgent envelope for peers to whom there is no link now. What becomes of it
   * is the plane's to record; repeats are ignored. Never throws.
   */
  leave?(envelope: Envelope, tier: Tier): void;
  /** Only planes with `compare` events: says to that peer what this node holds. Never throws. */
  state?(peer: string, body: Uint8Array): void;
  /** The same: an envelope that the peer lacks. Never throws. */
  hand?(peer: string, envelope: Envelope, tier: Tier): void;
  /** Answers a gossip event once; unknown ids are ignored. "reject" also counts against the neighbour. */
  judge(id: string, verdict: Verdict): void;
  /** Counts a fault of the peer; the plane may disconnect and ban it for a while. */
  penalise(link: LinkId, code: string): void;
  /** Closes one link; a `down` event follows. Unknown links are ignored. */
  disconnect(link: LinkId, reason: string): void;
  /** Adds a configured peer by address (`peer_address` if malformed): dialled now and kept connected with backoff. */
  addPeer(address: string): Promise<void>;
  /** Forgets a configured peer and drops its link. Unknown ids are ignored. */
  removePeer(id: string): Promise<void>;
  peers(): readonly PlanePeer[];
  /** Addresses others can dial, complete with the peer id. */
  addresses(): readonly string[];
  /** Counters for metrics: name without prefix → value. Names are a closed set per plane. */
  counters(): Readonly<Record<string, number>>;
  /** Idempotent; no handle, timer or socket is left open when it resolves. */
  stop(): Promise<void>;
}
