/**
 * Reliable, ordered connections between pairs of nodes: TCP or tunnels (libp2p, WireGuard), or through a server that only
 * delivers (NATS). Loss costs time. Where the plane gossips, broadcasts go from neighbour to neighbour after each
 * neighbour's verdict, as the real planes do it.
 */
import type { LinkId, LinkInfo, Millis, Tier, Verdict } from "../../spine/index.ts";
import { StreamSender } from "../link-sender.ts";
import type { SimPeer } from "../peer.ts";
import type { LinkShape } from "../scenario-file.ts";
import type { World } from "../world.ts";
import { type Broadcast, BroadcastBook } from "./broadcast.ts";
import { BrokerStream } from "./broker-stream.ts";
import type { SimNetwork, Traffic } from "./network.ts";
import { QueueWatch } from "./order-watch.ts";

/** Both ends notice a cut after this long. */
const NOTICE_MS = 1_000;
const REDIAL_MS = 10_000;
const MTU_BYTES = 524_288;
/** Above this a link counts as unlimited. */
const FAST_BITRATE = 1e8;
const RESEND_MS = 200;

export interface StreamOptions {
  readonly name: string;
  readonly type: "stream" | "broker";
  readonly plane: string;
  readonly gossips: boolean;
  /** Of gossip: probability that a copy arrives a second time. */
  readonly duplicates: number;
}

interface Edge {
  readonly a: number;
  readonly b: number;
  readonly shape: LinkShape;
  /** Counts connections: frames of an earlier one are lost. */
  epoch: number;
  up: boolean;
  /** The side that hung up, and the connection it ended: what it had sent arrives all the same. */
  hungUp: { readonly side: 0 | 1; readonly epoch: number } | undefined;
  /** Name of the link at `a` and at `b`. */
  ids: readonly [LinkId, LinkId];
  /** Earliest arrival per direction, which keeps the order. */
  readonly arrival: [Millis, Millis];
}

export class StreamNetwork implements SimNetwork {
  readonly name: string;
  readonly type: "stream" | "broker";
  readonly plane: string;
  readonly traffic: Traffic = { frames: 0, bytes: 0 };
  readonly #world: World;
  readonly #options: StreamOptions;
  readonly #edges: Edge[] = [];
  readonly #byNode = new Map<number, Edge[]>();
  readonly #gossip: BroadcastBook;
  #members: readonly number[] | undefined;
  #stream: BrokerStream | undefined;

  constructor(world: World, options: StreamOptions) {
    this.#world = world;
    this.#options = options;
    this.name = options.name;
    this.type = options.type;
    this.plane = options.plane;
    this.#gossip = new BroadcastBook(world.ports.sha256Hex);
  }
  get members(): readonly number[] {
    this.#members ??= [...this.#byNode.keys()].sort((a, b) => a - b);
    return this.#members;
  }

  /** Its server keeps a stream beside the links. */
  addStream(members: readonly number[], shape: LinkShape): void {
    this.#stream = new BrokerStream(this.#world, this.name, members, shape, this.traffic);
  }
  connect(a: number, b: number, shape: LinkShape): void {
    const edge: Edge = { a, b, shape, epoch: 0, up: false, hungUp: undefined, ids: ["", ""], arrival: [0, 0] };
    this.#edges.push(edge);
    this.#members = undefined;
    for (const index of [a, b]) {
      const edges = this.#byNode.get(index);
      if (edges === undefined) this.#byNode.set(index, [edge]);
      else edges.push(edge);
    }
    this.#raise(edge);
  }
  connected(a: number, b: number): boolean {
    return (this.#byNode.get(a) ?? []).some((edge) => edge.a === b || edge.b === b);
  }
  *links(): IterableIterator<readonly [number, number]> {
    for (const edge of this.#edges) if (edge.up) yield [edge.a, edge.b];
  }

  started({ index }: SimPeer): void {
    for (const edge of this.#byNode.get(index) ?? []) this.#raise(edge);
    this.#stream?.changed();
  }
  stopped(index: number): void {
    for (const edge of this.#byNode.get(index) ?? []) this.#drop(edge);
    this.#stream?.changed();
  }
  stored(index: number): void {
    this.#stream?.stored(index);
  }
  barriersChanged(): void {
    for (const edge of this.#edges) {
      if (this.#world.barriers.between(this.name, edge.a, edge.b)) this.#drop(edge);
      else this.#raise(edge);
    }
    this.#stream?.changed();
  }

  // ---- connections ----

  #raise(edge: Edge): void {
    const { a, b } = edge;
    const world = this.#world;
    if (edge.up || !world.peer(a).running || !world.peer(b).running) return;
    if (world.barriers.between(this.name, a, b)) return;
    edge.up = true;
    edge.epoch++;
    edge.ids = [`${this.name}/${b}#${edge.epoch}`, `${this.name}/${a}#${edge.epoch}`];
    world.trace(`up ${this.name} ${a} ${b}`);
    this.#greet(edge, 0);
    this.#greet(edge, 1);
  }
  #greet(edge: Edge, side: 0 | 1): void {
    const [local, remote] = side === 0 ? [edge.a, edge.b] : [edge.b, edge.a];
    const { epoch } = edge;
    const info = this.#info(edge, local, remote);
    const transmit = (frame: Uint8Array): number =>
      edge.up && edge.epoch === epoch ? this.#transmit(edge, side, frame) : 0;
    const sender = new StreamSender(this.#world, info, transmit, new QueueWatch(this.#world, local));
    this.#world.peer(local).linkUp(edge.ids[side], info, this, sender);
  }
  #info({ shape }: Edge, local: number, remote: number): LinkInfo {
    return {
      mtu: MTU_BYTES,
      bitrate: shape.bitrate >= FAST_BITRATE ? Number.POSITIVE_INFINITY : shape.bitrate,
      cost: "free",
      localBinding: this.#world.peer(local).key.publicKey,
      remoteBinding: this.#world.peer(remote).key.publicKey,
      configured: true,
      address: `${this.name}/${remote}`,
    };
  }
  #drop(edge: Edge): void {
    if (!edge.up) return;
    const { a, b, ids } = edge;
    edge.up = false;
    edge.epoch++;
    this.#world.trace(`down ${this.name} ${a} ${b}`);
    this.#world.clock.schedule(this.#world.now() + NOTICE_MS, () => {
      this.#world.peer(a).linkDown(ids[0]);
      this.#world.peer(b).linkDown(ids[1]);
    });
  }
  /** A node hung up; the other end redials after a while. */
  hangUp(index: number, link: LinkId): void {
    const edge = (this.#byNode.get(index) ?? []).find(({ up, ids }) => up && ids.includes(link));
    if (edge === undefined) return;
    this.#world.trace(`closed ${this.name} ${index}`);
    edge.hungUp = { side: edge.a === index ? 0 : 1, epoch: edge.epoch };
    this.#drop(edge);
    this.#world.clock.schedule(this.#world.now() + REDIAL_MS, () => this.#raise(edge));
  }

  /** The daemon's planes count faults and ban; here the core's own judgement is enough. */
  penalise(): void {}

  // ---- frames ----

  #transmit(edge: Edge, side: 0 | 1, frame: Uint8Array): number {
    const world = this.#world;
    const { shape, epoch } = edge;
    const sendingMs = (frame.length * 8000) / shape.bitrate;
    let delayMs = sendingMs + shape.latencyMs + world.rng.float() * shape.jitterMs;
    while (shape.loss > 0 && world.rng.float() < shape.loss) delayMs += 2 * shape.latencyMs + RESEND_MS;
    const at = Math.max(edge.arrival[side], world.now() + delayMs);
    edge.arrival[side] = at;
    this.#count(frame);
    const [from, to] = side === 0 ? [edge.a, edge.b] : [edge.b, edge.a];
    const link = edge.ids[1 - side] as LinkId;
    world.meter?.sent(from, to, frame.length);
    world.clock.schedule(at, () => {
      const isLast = edge.hungUp?.side === side && edge.hungUp.epoch === epoch;
      if ((!edge.up || edge.epoch !== epoch) && !isLast) return;
      world.trace(`frame ${from} ${to} ${frame[0]} ${frame.length}`);
      const opened = world.decoded.get(frame);
      world.peer(to).feed({ type: "frame", link, frame, ...(opened === undefined ? {} : { opened }) });
    });
    return sendingMs;
  }
  #count(frame: Uint8Array): void {
    this.traffic.frames++;
    this.traffic.bytes += frame.length;
    this.#world.frames++;
    this.#world.bytes += frame.length;
  }

  // ---- broadcasts ----

  broadcast(from: number, data: Uint8Array, tier: Tier): void {
    if (!this.#options.gossips) return;
    const message = this.#gossip.of(data, tier);
    if (message.hear(from)) this.#spread(from, message, null);
  }
  judged(index: number, link: LinkId, id: string, verdict: Verdict): void {
    const message = this.#gossip.release(index, id);
    if (message !== undefined && verdict === "accept") this.#spread(index, message, link);
  }
  #spread(from: number, message: Broadcast, except: LinkId | null): void {
    const world = this.#world;
    for (const edge of this.#byNode.get(from) ?? []) {
      const side = edge.a === from ? 0 : 1;
      if (!edge.up || edge.ids[side] === except) continue;
      const to = side === 0 ? edge.b : edge.a;
      this.#count(message.data);
      world.meter?.queued(from, message.data.length, message.tier);
      world.meter?.sent(from, to, message.data.length);
      if (world.rng.float() < edge.shape.loss) continue;
      // What it knows already costs the wire, and nothing more.
      if (!message.heardBy(to)) this.#carry(edge, side, message);
      if (world.rng.float() < this.#options.duplicates) this.#carry(edge, side, message);
    }
  }
  #carry(edge: Edge, side: 0 | 1, message: Broadcast): void {
    const world = this.#world;
    const { epoch, shape } = edge;
    const to = side === 0 ? edge.b : edge.a;
    world.clock.schedule(world.now() + shape.latencyMs + world.rng.float() * shape.jitterMs, () => {
      if (!edge.up || edge.epoch !== epoch || !message.hear(to)) return;
      const id = this.#gossip.hold(to, message);
      const opened = message.opened(world.ports.sha256Hex);
      const link = edge.ids[1 - side] as LinkId;
      world
        .peer(to)
        .feed({ type: "gossip", link, id, data: message.data, ...(opened === undefined ? {} : { opened }) });
    });
  }
}
