/**
 * A mesh in virtual time: nodes, links with latency, jitter, loss and bitrate, partitions and crashes, all from one
 * seed. Same seed, same trace hash. Scenarios drive it; invariants are checked after every step.
 */
import {
  type Claim,
  type Issuer,
  type LinkId,
  type LinkInfo,
  type Millis,
  type Sha256Hex,
  utf8,
  type Verdict,
} from "../spine/index.ts";
import { VirtualClock } from "./clock.ts";
import { Invariants } from "./invariants.ts";
import { type PeerOptions, SimPeer } from "./peer.ts";
import { Rng } from "./rng.ts";

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

export interface LinkShape {
  readonly latencyMs: number;
  readonly jitterMs: number;
  /** Chance that a frame has to be sent again: the link is reliable and ordered, loss costs time. */
  readonly loss: number;
  /** Bits per second. */
  readonly bitrate: number;
}

export const LAN: LinkShape = { latencyMs: 2, jitterMs: 1, loss: 0, bitrate: 1e9 };
export const INTERNET: LinkShape = { latencyMs: 40, jitterMs: 20, loss: 0.01, bitrate: 50e6 };

interface Edge {
  readonly a: number;
  readonly b: number;
  readonly shape: LinkShape;
  /** Counts connections: frames of an earlier one are lost. */
  epoch: number;
  up: boolean;
  /** The nodes want it: a cut edge is not wanted until healed. */
  wanted: boolean;
  /** Earliest arrival per direction, which keeps the order. */
  readonly arrival: [Millis, Millis];
}

/** Start of virtual time: 2026-01-01T00:00:00Z. */
export const EPOCH_MS: Millis = 1_767_225_600_000;
const RECONNECT_MS = 1_000;
const MAX_SEEN_GOSSIP = 50_000;

export class World {
  readonly clock = new VirtualClock(EPOCH_MS);
  readonly rng: Rng;
  readonly ports: SimPorts;
  readonly peers: SimPeer[] = [];
  readonly invariants: Invariants;
  steps = 0;
  frames = 0;
  bytes = 0;
  #trace: string;
  readonly #edges: Edge[] = [];
  /** Gossip heard per node: id → data, for passing on after the verdict. */
  readonly #heard = new Map<string, Uint8Array>();
  readonly #seen = new Set<string>();

  constructor(seed: number, ports: SimPorts) {
    this.rng = new Rng(seed);
    this.ports = ports;
    this.invariants = new Invariants(this);
    this.#trace = ports.sha256Hex(utf8(`spine sim ${seed}`));
  }
  now(): Millis {
    return this.clock.now();
  }
  get traceHash(): string {
    return `0x${this.#trace}`;
  }
  /** Folds one event into the trace hash. */
  trace(event: string): void {
    this.#trace = this.ports.sha256Hex(utf8(`${this.#trace}|${this.now() - EPOCH_MS}|${event}`));
  }

  add(options: Partial<PeerOptions> = {}): SimPeer {
    const index = this.peers.length;
    const peer = new SimPeer(this, index, this.ports.keyFromSeed(this.rng.bytes(32)), {
      open: false,
      diskMs: 2,
      ...options,
    });
    this.peers.push(peer);
    peer.start();
    return peer;
  }
  /** Another machine with the same key and a copy of the disk. */
  clone(of: SimPeer): SimPeer {
    const copy = new SimPeer(this, this.peers.length, of.key, { open: false, diskMs: 2 });
    copy.disk = of.disk.copy();
    copy.highWater = of.highWater;
    this.peers.push(copy);
    copy.start();
    return copy;
  }
  peer(index: number): SimPeer {
    return this.peers[index] as SimPeer;
  }

  connect(a: number, b: number, shape: LinkShape = LAN): void {
    const edge: Edge = { a, b, shape, epoch: 0, up: false, wanted: true, arrival: [0, 0] };
    this.#edges.push(edge);
    this.#raise(edge);
  }
  connected(a: number, b: number): boolean {
    return this.#edges.some((edge) => (edge.a === a && edge.b === b) || (edge.a === b && edge.b === a));
  }
  /** Cuts every link between the two groups; both ends notice after a second. */
  partition(group: ReadonlySet<number>): void {
    for (const edge of this.#edges) {
      if (group.has(edge.a) === group.has(edge.b)) continue;
      edge.wanted = false;
      this.#drop(edge);
    }
  }
  heal(): void {
    for (const edge of this.#edges) {
      edge.wanted = true;
      this.#raise(edge);
    }
  }
  restart(index: number): void {
    this.peer(index).start();
    this.trace(`restart ${index}`);
    for (const edge of this.#edges) if (edge.a === index || edge.b === index) this.#raise(edge);
    this.peer(index).feed({ type: "ask-own-chain" });
  }

  #raise(edge: Edge): void {
    if (edge.up || !edge.wanted || !this.peer(edge.a).running || !this.peer(edge.b).running) return;
    edge.up = true;
    edge.epoch++;
    this.trace(`up ${edge.a} ${edge.b}`);
    this.peer(edge.a).linkUp(linkId(edge, edge.b), this.#info(edge, edge.a, edge.b));
    this.peer(edge.b).linkUp(linkId(edge, edge.a), this.#info(edge, edge.b, edge.a));
  }
  #info(edge: Edge, local: number, remote: number): LinkInfo {
    return {
      mtu: 524_288,
      bitrate: edge.shape.bitrate >= 1e8 ? Number.POSITIVE_INFINITY : edge.shape.bitrate,
      cost: "free",
      localBinding: this.peer(local).key.publicKey,
      remoteBinding: this.peer(remote).key.publicKey,
      configured: true,
      address: `sim/${remote}`,
    };
  }
  #drop(edge: Edge): void {
    if (!edge.up) return;
    edge.up = false;
    edge.epoch++;
    this.trace(`down ${edge.a} ${edge.b}`);
    const epoch = edge.epoch;
    this.clock.schedule(this.now() + RECONNECT_MS, () => {
      if (edge.epoch !== epoch) return;
      this.peer(edge.a).linkDown(linkId({ ...edge, epoch: epoch - 1 }, edge.b));
      this.peer(edge.b).linkDown(linkId({ ...edge, epoch: epoch - 1 }, edge.a));
    });
  }
  dropLinksOf(index: number): void {
    for (const edge of this.#edges) if (edge.a === index || edge.b === index) this.#drop(edge);
  }
  /** A node hung up; the other end redials after a while. */
  closed(index: number, link: LinkId): void {
    const edge = this.#edgeOf(index, link);
    if (edge === undefined) return;
    this.trace(`closed ${index} ${link}`);
    this.#drop(edge);
    this.clock.schedule(this.now() + 10 * RECONNECT_MS, () => this.#raise(edge));
  }
  #edgeOf(index: number, link: LinkId): Edge | undefined {
    return this.#edges.find(
      (edge) =>
        edge.up &&
        ((edge.a === index && linkId(edge, edge.b) === link) || (edge.b === index && linkId(edge, edge.a) === link)),
    );
  }

  /** Puts a frame on the wire; returns how long it occupies the sender's side, milliseconds. */
  transmit(from: number, link: LinkId, frame: Uint8Array): number {
    const edge = this.#edgeOf(from, link);
    if (edge === undefined) return 0;
    const to = edge.a === from ? edge.b : edge.a;
    const sendingMs = (frame.length * 8000) / edge.shape.bitrate;
    let delayMs = sendingMs + edge.shape.latencyMs + this.rng.float() * edge.shape.jitterMs;
    while (edge.shape.loss > 0 && this.rng.float() < edge.shape.loss) delayMs += 2 * edge.shape.latencyMs + 200;
    const side = edge.a === from ? 0 : 1;
    const at = Math.max(edge.arrival[side], this.now() + delayMs);
    edge.arrival[side] = at;
    const { epoch } = edge;
    this.frames++;
    this.bytes += frame.length;
    this.clock.schedule(at, () => {
      if (!edge.up || edge.epoch !== epoch) return;
      this.trace(`frame ${from} ${to} ${frame[0]} ${frame.length}`);
      this.peer(to).feed({ type: "frame", link: linkId(edge, from), frame });
    });
    return sendingMs;
  }

  /** Broadcast as a gossip mesh does it: to every neighbour, and on from each that accepts. */
  gossip(from: number, data: Uint8Array, except: number | null): void {
    const id = this.ports.sha256Hex(data);
    if (this.#seen.size > MAX_SEEN_GOSSIP) this.#seen.clear();
    this.#seen.add(`${from}|${id}`);
    for (const edge of this.#edges) {
      if (!edge.up || (edge.a !== from && edge.b !== from)) continue;
      const to = edge.a === from ? edge.b : edge.a;
      if (to === except || this.rng.float() < edge.shape.loss) continue;
      const { epoch } = edge;
      this.clock.schedule(this.now() + edge.shape.latencyMs + this.rng.float() * edge.shape.jitterMs, () => {
        if (!edge.up || edge.epoch !== epoch || this.#seen.has(`${to}|${id}`)) return;
        this.#seen.add(`${to}|${id}`);
        this.#heard.set(`${to}|${id}`, data);
        this.peer(to).feed({ type: "gossip", link: linkId(edge, from), id, data });
      });
    }
  }
  judged(index: number, link: LinkId, id: string, verdict: Verdict): void {
    const key = `${index}|${id}`;
    const data = this.#heard.get(key);
    this.#heard.delete(key);
    if (data === undefined || verdict !== "accept") return;
    const edge = this.#edgeOf(index, link);
    this.gossip(index, data, edge === undefined ? null : edge.a === index ? edge.b : edge.a);
  }

  /** Runs until `until` (virtual), checking every invariant after every step. */
  run(until: Millis): void {
    while (this.clock.step(until)) {
      this.steps++;
      this.invariants.afterStep();
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

function linkId(edge: Edge, remote: number): LinkId {
  return `sim/${remote}#${edge.epoch}`;
}
