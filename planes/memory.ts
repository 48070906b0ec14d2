/**
 * The plane without a medium: planes of one `MemoryNetwork` reach each other by name ("memory:NAME"). The first to pass
 * `planeContract`; tests cut, heal and watch its links.
 */
import { createHash } from "node:crypto";
import { type LinkId, SpineError, type Verdict } from "../spine/index.ts";
import { EventQueue } from "./event-queue.ts";
import { GossipMemory } from "./gossip-memory.ts";
import { Lifecycle } from "./lifecycle.ts";
import { FAULT_POINTS, PenaltyBook } from "./penalties.ts";
import type { Plane, PlaneEvent, PlanePeer, PlaneTraits } from "./plane.ts";
import { SendLine } from "./send-line.ts";

const PREFIX = "memory:";
const MAX_WAITING_SENDS = 1_024;

export interface MemoryPlaneOptions {
  readonly name: string;
  readonly mtuBytes?: number;
  /** Bytes of one link that may wait for this plane's consumer before the sender is held back. */
  readonly queueBytes?: number;
  readonly maxGossipBytes?: number;
  /** Milliseconds, for penalties. */
  readonly now?: () => number;
}

interface MemoryLink {
  readonly id: LinkId;
  readonly peer: MemoryPlane;
  /** The same link seen from the peer. */
  readonly remoteId: LinkId;
  readonly line: SendLine;
  /** Bytes received on this link that wait for our consumer. */
  queuedBytes: number;
}

/** Which planes exist and which pairs may reach each other. */
export class MemoryNetwork {
  readonly #planes = new Map<string, MemoryPlane>();
  readonly #cuts = new Set<string>();

  /** A new idle plane, known to the others by `options.name`. */
  plane(options: MemoryPlaneOptions): MemoryPlane {
    if (this.#planes.has(options.name)) throw new SpineError("internal", `plane name ${options.name} is taken`);
    const plane = new MemoryPlane(this, options);
    this.#planes.set(options.name, plane);
    return plane;
  }
  /** Takes the pair's link down and keeps it down until `heal`. */
  cut(a: MemoryPlane, b: MemoryPlane): void {
    this.#cuts.add(pairKey(a, b));
    a.unlinkPeer(b, "cut");
  }
  heal(a: MemoryPlane, b: MemoryPlane): void {
    this.#cuts.delete(pairKey(a, b));
    this.settle(a);
  }
  /** Links `plane` with everybody it should be linked with now. */
  settle(plane: MemoryPlane): void {
    for (const other of this.#planes.values()) {
      if (other === plane || this.#cuts.has(pairKey(plane, other))) continue;
      if ((plane.wants(other) || other.wants(plane)) && plane.admits(other) && other.admits(plane)) {
        plane.linkPeer(other);
      }
    }
  }
  find(name: string): MemoryPlane | undefined {
    return this.#planes.get(name);
  }
}

function pairKey(a: MemoryPlane, b: MemoryPlane): string {
  return a.nodeName < b.nodeName ? `${a.nodeName}|${b.nodeName}` : `${b.nodeName}|${a.nodeName}`;
}

export class MemoryPlane implements Plane {
  readonly name = "memory";
  readonly nodeName: string;
  readonly traits: PlaneTraits = {
    broadcast: true,
    ordered: true,
    reliable: true,
    authenticated: true,
    storeAndForward: false,
  };
  readonly #network: MemoryNetwork;
  readonly #mtuBytes: number;
  readonly #queueBytes: number;
  readonly #maxGossipBytes: number;
  readonly #life: Lifecycle;
  readonly #queue = new EventQueue();
  readonly #links = new Map<LinkId, MemoryLink>();
  readonly #configured = new Set<string>();
  readonly #penalties: PenaltyBook;
  readonly #heard = new GossipMemory();
  readonly #counts = {
    frames_sent: 0,
    frames_received: 0,
    bytes_sent: 0,
    bytes_received: 0,
    gossip_sent: 0,
    gossip_received: 0,
    gossip_dropped: 0,
    sends_held: 0,
  };
  #linkNumber = 0;

  /** Made by `MemoryNetwork.plane`. */
  constructor(network: MemoryNetwork, options: MemoryPlaneOptions) {
    this.#network = network;
    this.nodeName = options.name;
    this.#mtuBytes = options.mtuBytes ?? 512 * 1_024;
    this.#queueBytes = options.queueBytes ?? 1_024 * 1_024;
    this.#maxGossipBytes = options.maxGossipBytes ?? 96 * 1_024;
    this.#life = new Lifecycle(options.name);
    this.#penalties = new PenaltyBook({ now: options.now ?? Date.now });
  }

  async start(options: { signal: AbortSignal }): Promise<void> {
    this.#life.begin();
    await Promise.resolve();
    if (options.signal.aborted) {
      await this.stop();
      throw new SpineError("plane_start_failed", "start was aborted", { cause: options.signal.reason });
    }
    if (!this.#life.ready()) throw new SpineError("plane_start_failed", "stopped during start");
    this.#network.settle(this);
  }

  events(): AsyncIterable<PlaneEvent> {
    return this.#queue.events();
  }

  async send(link: LinkId, frame: Uint8Array, options: { signal: AbortSignal }): Promise<void> {
    this.#life.requireRunning();
    options.signal.throwIfAborted();
    const known = this.#links.get(link);
    if (known === undefined) throw new SpineError("link_unknown", `no link ${link}`);
    if (frame.length < 1 || frame.length > this.#mtuBytes) {
      throw new SpineError("frame_size", `frame of ${frame.length} bytes, limit ${this.#mtuBytes}`);
    }
    if (known.line.length === 0 && this.#pass(known, frame)) return;
    this.#counts.sends_held++;
    await known.line.wait(frame, options.signal);
  }

  async broadcast(data: Uint8Array, options: { signal: AbortSignal }): Promise<number> {
    this.#life.requireRunning();
    options.signal.throwIfAborted();
    if (data.length < 1 || data.length > this.#maxGossipBytes) {
      throw new SpineError("frame_size", `broadcast of ${data.length} bytes, limit ${this.#maxGossipBytes}`);
    }
    const id = GossipMemory.idOf(data);
    if (!this.#heard.remember(id)) return 0;
    return this.#spread(id, data.slice(), null);
  }

  judge(id: string, verdict: Verdict): void {
    const pending = this.#heard.take(id);
    if (pending === undefined) return;
    if (verdict === "accept") this.#spread(id, pending.data, pending.link);
    if (verdict === "reject") this.penalise(pending.link, "gossip_rejected");
  }

  penalise(link: LinkId, _code: string): void {
    const known = this.#links.get(link);
    if (known !== undefined && this.#penalties.add(known.peer.nodeName, FAULT_POINTS)) this.disconnect(link, "banned");
  }

  disconnect(link: LinkId, reason: string): void {
    const known = this.#links.get(link);
    if (known !== undefined) this.unlinkPeer(known.peer, reason);
  }

  async addPeer(address: string): Promise<void> {
    if (this.#life.state === "stopped") this.#life.requireRunning();
    const name = address.slice(PREFIX.length);
    if (!address.startsWith(PREFIX) || !/^[\w.-]{1,64}$/.test(name) || name === this.nodeName) {
      throw new SpineError("peer_address", `not the address of another memory plane: ${address}`);
    }
    this.#configured.add(name);
    this.#network.settle(this);
  }

  async removePeer(id: string): Promise<void> {
    if (!this.#configured.delete(id)) return;
    const peer = this.#network.find(id);
    if (peer !== undefined) this.unlinkPeer(peer, "removed");
  }

  peers(): readonly PlanePeer[] {
    const linked = new Map([...this.#links.values()].map(({ id, peer }) => [peer.nodeName, id]));
    return [...new Set([...this.#configured, ...linked.keys()])].map((id) => ({
      id,
      addresses: [PREFIX + id],
      configured: this.#configured.has(id),
      link: linked.get(id) ?? null,
    }));
  }

  addresses(): readonly string[] {
    return this.#life.running ? [PREFIX + this.nodeName] : [];
  }

  counters(): Readonly<Record<string, number>> {
    return {
      ...this.#counts,
      links: this.#links.size,
      queued_bytes: this.#queue.bytes,
      penalties: this.#penalties.penalties,
      bans: this.#penalties.bans,
    };
  }

  async stop(): Promise<void> {
    if (!this.#life.end()) return;
    for (const { peer } of [...this.#links.values()]) this.unlinkPeer(peer, "stopped");
    this.#heard.clear();
    this.#queue.end("stopped");
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.stop();
  }

  /** Whether the operator of this plane named `other`. */
  wants(other: MemoryPlane): boolean {
    return this.#configured.has(other.nodeName);
  }
  admits(other: MemoryPlane): boolean {
    return this.#life.running && !this.#penalties.isBanned(other.nodeName);
  }
  /** Brings the link with `peer` up on both sides, unless it is up. Called by the network. */
  linkPeer(peer: MemoryPlane): void {
    if ([...this.#links.values()].some((link) => link.peer === peer)) return;
    const here = `${PREFIX}${peer.nodeName}/${++this.#linkNumber}`;
    const there = `${PREFIX}${this.nodeName}/${++peer.#linkNumber}`;
    this.#up(here, there, peer);
    peer.#up(there, here, this);
  }
  /** Takes the link with `peer` down on both sides. */
  unlinkPeer(peer: MemoryPlane, reason: string): void {
    this.#down(peer, reason);
    peer.#down(this, reason);
  }

  #up(id: LinkId, remoteId: LinkId, peer: MemoryPlane): void {
    this.#links.set(id, { id, peer, remoteId, line: new SendLine(MAX_WAITING_SENDS), queuedBytes: 0 });
    this.#queue.push({
      type: "up",
      link: id,
      info: {
        mtu: this.#mtuBytes,
        bitrate: Number.POSITIVE_INFINITY,
        cost: "free",
        localBinding: binding(this.nodeName),
        remoteBinding: binding(peer.nodeName),
        configured: this.#configured.has(peer.nodeName),
        address: PREFIX + peer.nodeName,
      },
    });
  }

  #down(peer: MemoryPlane, reason: string): void {
    for (const link of this.#links.values()) {
      if (link.peer !== peer) continue;
      this.#links.delete(link.id);
      link.line.fail(new SpineError("link_unknown", `link ${link.id} went down: ${reason}`));
      this.#queue.push({ type: "down", link: link.id, reason });
    }
  }

  /** Hands a copy to the peer unless its queue for this link is full. */
  #pass(link: MemoryLink, frame: Uint8Array): boolean {
    if (!link.peer.#receive(link.remoteId, frame)) return false;
    this.#counts.frames_sent++;
    this.#counts.bytes_sent += frame.length;
    return true;
  }

  #receive(id: LinkId, frame: Uint8Array): boolean {
    const link = this.#links.get(id);
    if (link === undefined) return false;
    if (link.queuedBytes > 0 && link.queuedBytes + frame.length > this.#queueBytes) return false;
    link.queuedBytes += frame.length;
    this.#counts.frames_received++;
    this.#counts.bytes_received += frame.length;
    this.#queue.push({ type: "frame", link: id, frame: frame.slice() }, frame.length, () => {
      link.queuedBytes -= frame.length;
      const back = link.peer.#links.get(link.remoteId);
      back?.line.drain((waiting) => link.peer.#pass(back, waiting));
    });
    return true;
  }

  #spread(id: string, data: Uint8Array, except: LinkId | null): number {
    let reached = 0;
    for (const link of [...this.#links.values()]) {
      if (link.id === except) continue;
      link.peer.#hear(link.remoteId, id, data);
      reached++;
    }
    this.#counts.gossip_sent += reached;
    return reached;
  }

  #hear(link: LinkId, id: string, data: Uint8Array): void {
    if (!this.#life.running || !this.#heard.remember(id)) return;
    if (this.#heard.isFull) {
      this.#counts.gossip_dropped++;
      return;
    }
    this.#counts.gossip_received++;
    this.#heard.hold(id, { link, data });
    this.#queue.push({ type: "gossip", link, id, data: data.slice() }, data.length);
  }
}

/** 32 bytes that stand for a transport identity. */
function binding(name: string): Uint8Array {
  return new Uint8Array(createHash("sha256").update(name).digest());
}
