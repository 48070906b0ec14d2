/**
 * A mesh in virtual time: nodes, virtual networks between them, partitions and crashes, all from one seed. Same seed,
 * same trace hash. Scenarios drive it; invariants are checked after every step.
 */
import { type Claim, type Frame, type Issuer, type Millis, type Sha256Hex, utf8 } from "../spine/index.ts";
import { VirtualClock } from "./clock.ts";
import { Invariants } from "./invariants.ts";
import type { Meter } from "./meter.ts";
import { Barriers } from "./networks/barriers.ts";
import type { SimNetwork } from "./networks/network.ts";
import { StreamNetwork } from "./networks/stream.ts";
import { type PeerOptions, SimPeer } from "./peer.ts";
import { EnvelopePool } from "./pool.ts";
import { Rng } from "./rng.ts";
import type { LinkShape } from "./scenario-file.ts";

export interface SimKey {
  readonly issuer: Issuer;
  readonly publicKey: Uint8Array;
  sign(message: Uint8Array): Uint8Array;
}

/** Crypto as an input: pure by default, native where speed matters. Both give the same bytes and verdicts. */
export interface SimPorts {
  readonly sha256Hex: Sha256Hex;
  /** Deterministic key from 32 bytes. */
  keyFromSeed(seed: Uint8Array): SimKey;
  verify(claim: Claim): boolean;
}

export const LAN: LinkShape = { latencyMs: 2, jitterMs: 1, loss: 0, bitrate: 1e9 };
export const INTERNET: LinkShape = { latencyMs: 40, jitterMs: 20, loss: 0.01, bitrate: 50e6 };

/** Start of virtual time: 2026-01-01T00:00:00Z. */
export const EPOCH_MS: Millis = 1_767_225_600_000;
/** The network of `connect`, for worlds that are built by hand. */
const DEFAULT_NETWORK = "sim";
/** Trace events hashed at once. */
const TRACE_BATCH = 256;

const DEFAULTS: PeerOptions = { open: false, diskMs: 2, skewMs: 0, discloses: false, keepsEvents: true };

export class World {
  readonly clock = new VirtualClock(EPOCH_MS);
  readonly rng: Rng;
  readonly ports: SimPorts;
  readonly peers: SimPeer[] = [];
  readonly barriers = new Barriers();
  readonly networks = new Map<string, SimNetwork>();
  readonly pool: EnvelopePool;
  /** Frames that were decoded when they were sent. */
  readonly decoded = new WeakMap<Uint8Array, Frame>();
  readonly invariants: Invariants;
  /** Measures for reports; undefined where nobody asks. */
  meter: Meter | undefined;
  /** Told of each node that has begun a life: tests break its core here. */
  onPeerStart: ((peer: SimPeer) => void) | undefined;
  /** Told of every traced event. */
  onTrace: ((line: string) => void) | undefined;
  steps = 0;
  frames = 0;
  bytes = 0;
  #trace: string;
  #traced: string[] = [];

  constructor(seed: number, ports: SimPorts) {
    this.rng = new Rng(seed);
    this.ports = ports;
    this.pool = new EnvelopePool(ports.sha256Hex);
    this.invariants = new Invariants(this);
    this.#trace = ports.sha256Hex(utf8(`spine sim ${seed}`));
  }
  now(): Millis {
    return this.clock.now();
  }
  /** Virtual milliseconds since the start. */
  get elapsedMs(): Millis {
    return this.clock.now() - EPOCH_MS;
  }
  get traceHash(): string {
    this.#foldTrace();
    return `0x${this.#trace}`;
  }
  /** Folds one event into the trace hash. */
  trace(event: string): void {
    const line = `${Math.round(this.elapsedMs * 1000) / 1000} ${event}`;
    this.onTrace?.(line);
    if (this.#traced.push(line) >= TRACE_BATCH) this.#foldTrace();
  }
  #foldTrace(): void {
    if (this.#traced.length === 0) return;
    this.#trace = this.ports.sha256Hex(utf8(`${this.#trace}|${this.#traced.join("|")}`));
    this.#traced = [];
  }

  /** `dormant` ones are started later. */
  add(options: Partial<PeerOptions> & { readonly dormant?: boolean } = {}): SimPeer {
    const { dormant = false, ...rest } = options;
    const key = this.ports.keyFromSeed(this.rng.bytes(32));
    const peer = new SimPeer(this, this.peers.length, key, { ...DEFAULTS, ...rest });
    this.peers.push(peer);
    if (!dormant) peer.start();
    return peer;
  }
  /** Another machine with the same key and a copy of the disk. */
  clone(of: SimPeer): SimPeer {
    const copy = new SimPeer(this, this.peers.length, of.key, of.options);
    copy.disk = of.disk.copy();
    copy.highWater = of.highWater;
    this.peers.push(copy);
    copy.start();
    return copy;
  }
  peer(index: number): SimPeer {
    return this.peers[index] as SimPeer;
  }

  // ---- networks ----

  join<N extends SimNetwork>(network: N): N {
    this.networks.set(network.name, network);
    return network;
  }
  get #streams(): StreamNetwork {
    const known = this.networks.get(DEFAULT_NETWORK);
    if (known instanceof StreamNetwork) return known;
    const options = { name: DEFAULT_NETWORK, type: "stream", plane: "memory", gossips: true, duplicates: 0 } as const;
    return this.join(new StreamNetwork(this, options));
  }
  connect(a: number, b: number, shape: LinkShape = LAN): void {
    this.#streams.connect(a, b, shape);
  }
  connected(a: number, b: number): boolean {
    return this.#streams.connected(a, b);
  }
  /** Cuts every link between the two groups; both ends notice after a second. */
  partition(group: ReadonlySet<number>): void {
    this.barriers.partition([[...group]], null);
    this.barriersChanged();
  }
  heal(): void {
    this.barriers.heal(null);
    this.barriersChanged();
  }
  /** To be called after a change of `barriers`. */
  barriersChanged(): void {
    for (const network of this.networks.values()) network.barriersChanged();
  }
  restart(index: number): void {
    const peer = this.peer(index);
    peer.start();
    this.trace(`restart ${index}`);
    this.linkAgain(peer);
    peer.feed({ type: "ask-own-chain" });
  }
  linkAgain(peer: SimPeer): void {
    for (const network of this.networks.values()) network.started(peer);
  }
  dropLinksOf(index: number): void {
    for (const network of this.networks.values()) network.stopped(index);
  }

  // ---- time ----

  /** Real planes run in promises: after a step that touched one they are given their turn before time goes on. */
  planesAtWork = false;
  #planeFailure: unknown;
  async settlePlanes(): Promise<void> {
    this.planesAtWork = false;
    await new Promise((resolve) => setImmediate(resolve));
    this.invariants.afterStep();
    const failure = this.#planeFailure;
    if (failure === undefined) return;
    this.#planeFailure = undefined;
    throw failure;
  }
  /** What a plane's turn threw. */
  planeFailed(error: unknown): void {
    this.#planeFailure ??= error;
    this.planesAtWork = true;
  }

  /** Does the next thing that happens until then; false if there is none. */
  step(until: Millis): boolean {
    this.steps++;
    if (!this.clock.step(until)) {
      this.steps--;
      return false;
    }
    this.invariants.afterStep();
    return true;
  }
  /** Runs until `until` (virtual), checking every invariant after every step. */
  run(until: Millis): void {
    while (this.step(until)) {
      // Everything happens in `step`.
    }
  }
  /** Runs for this long, virtual. */
  runFor(ms: number): void {
    this.run(this.now() + ms);
  }
  /** Runs in slices until the condition holds; false if it did not within the limit. */
  runUntil(condition: () => boolean, limitMs: number, sliceMs = 50): boolean {
    const end = this.now() + limitMs;
    while (this.now() < end) {
      if (condition()) return true;
      this.runFor(sliceMs);
    }
    return condition();
  }
}
