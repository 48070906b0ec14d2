/** A virtual network for tests: endpoints with several wires, joined by segments that can be cut; all in virtual time. */

import type { Wire } from "../../../planes/reticulum/stack/context.ts";
import { Destination } from "../../../planes/reticulum/stack/destination.ts";
import { Endpoint, type EndpointOptions, type Send } from "../../../planes/reticulum/stack/endpoint.ts";
import { Identity } from "../../../planes/reticulum/stack/identity.ts";
import { SINGLE } from "../../../planes/reticulum/stack/name.ts";
import { Timers } from "../../../planes/reticulum/stack/timers.ts";
import type { Millis } from "../../../spine/index.ts";
import { seededRandom } from "./ether.ts";

export interface SegmentOptions {
  readonly latencyMs?: number;
  /** 0 to 1. */
  readonly loss?: number;
  readonly bitrate?: number;
  readonly wire?: Partial<Wire>;
}

/** All nodes of a segment hear each other. */
export class Segment {
  readonly name: string;
  readonly options: SegmentOptions;
  readonly nodes: NetNode[] = [];
  isUp = true;
  /** Frames and bytes sent on it. */
  frames = 0;
  bytes = 0;
  /** Sees every frame; returning false loses it. */
  tap: ((frame: Uint8Array, from: NetNode) => boolean) | undefined;
  /** When the medium is free again: one frame at a time is sent on it. */
  freeAt: Millis = 0;
  constructor(name: string, options: SegmentOptions) {
    this.name = name;
    this.options = options;
  }
}

export interface NetNode {
  readonly name: string;
  readonly endpoint: Endpoint;
  readonly destination: Destination;
}

export class Net {
  now: Millis = 1_750_000_000_000;
  /** Added to the time for the wall clocks of single nodes. */
  readonly clockErrorMs = new Map<string, number>();
  readonly nodes = new Map<string, NetNode>();
  readonly segments = new Map<string, Segment>();
  readonly #seed: string;
  readonly #chance: () => number;
  readonly #timers = new Timers();
  readonly #wakeAt = new Map<NetNode, Millis>();
  constructor(seed: string) {
    this.#seed = seed;
    const random = seededRandom(`${seed}/net`);
    let pool = random(3000);
    let at = 0;
    this.#chance = () => {
      if (at >= pool.length) {
        pool = random(3000);
        at = 0;
      }
      const [a = 0, b = 0, c = 0] = pool.subarray(at, at + 3);
      at += 3;
      return (a * 65_536 + b * 256 + c) / 16_777_216;
    };
  }
  chance(): number {
    return this.#chance();
  }
  node(name: string, options: Partial<EndpointOptions> = {}): NetNode {
    const identity = Identity.create(seededRandom(`${this.#seed}/${name}/identity`));
    const endpoint = new Endpoint({
      random: seededRandom(`${this.#seed}/${name}`),
      unixMs: () => this.now + (this.clockErrorMs.get(name) ?? 0),
      identity,
      onError: (error) => {
        throw error;
      },
      ...options,
    });
    const destination = new Destination({ type: SINGLE, appName: "test", aspects: ["service"], identity });
    destination.proofs = "all";
    const node = { name, endpoint, destination };
    this.nodes.set(name, node);
    this.act(node, () => endpoint.register(destination));
    return node;
  }
  /** A node that forwards. */
  router(name: string, options: Partial<EndpointOptions> = {}): NetNode {
    return this.node(name, { transport: true, ...options });
  }
  /** Joins nodes by a new segment; `wires` tells what each one's own wire is like. */
  join(
    name: string,
    nodes: readonly NetNode[],
    options: SegmentOptions = {},
    wires: Readonly<Record<string, Partial<Wire>>> = {},
  ): Segment {
    const segment = new Segment(name, options);
    this.segments.set(name, segment);
    for (const node of nodes) this.attach(segment, node, wires[node.name]);
    return segment;
  }
  attach(segment: Segment, node: NetNode, wire: Partial<Wire> = {}): void {
    segment.nodes.push(node);
    const { bitrate = 1_000_000 } = segment.options;
    const base: Wire = { id: segment.name, bitrate, hardwareMtu: 500, signalsMtu: false };
    this.act(node, () => node.endpoint.attach({ ...base, ...segment.options.wire, ...wire }));
  }
  detach(segment: Segment, node: NetNode, wireId: string = segment.name): void {
    segment.nodes.splice(segment.nodes.indexOf(node), 1);
    this.act(node, () => node.endpoint.detach(wireId));
  }
  act<T>(node: NetNode, task: () => T): T {
    const box: { result?: T } = {};
    const sends = node.endpoint.act(this.now, () => {
      box.result = task();
    });
    this.#perform(node, sends);
    return box.result as T;
  }
  announce(node: NetNode): void {
    this.act(node, () => node.endpoint.announce(node.destination));
  }
  /** Puts a frame on a segment as if `from` had sent it. */
  inject(segment: Segment, from: NetNode | undefined, frame: Uint8Array): void {
    const { latencyMs = 1, loss = 0, bitrate = 1_000_000 } = segment.options;
    segment.frames++;
    segment.bytes += frame.length;
    if (!segment.isUp || (from !== undefined && segment.tap?.(frame, from) === false)) return;
    const start = Math.max(this.now, segment.freeAt);
    segment.freeAt = start + (frame.length * 8000) / bitrate;
    for (const to of segment.nodes) {
      if (to === from || (loss > 0 && this.#chance() < loss)) continue;
      const copy = frame.slice();
      this.#timers.schedule(segment.freeAt + latencyMs, () => {
        if (!segment.isUp || !segment.nodes.includes(to)) return;
        const wireId = [...to.endpoint.wires.keys()].find(
          (id) => id === segment.name || id.startsWith(`${segment.name}/`),
        );
        if (wireId !== undefined) this.#perform(to, to.endpoint.handle(wireId, copy, this.now));
      });
    }
  }
  #perform(node: NetNode, sends: readonly Send[]): void {
    for (const { wire, frame } of sends) {
      const segment = this.segments.get(wire.split("/")[0] as string);
      if (segment !== undefined) this.inject(segment, node, frame);
    }
    const at = node.endpoint.nextWakeAt;
    if (at === undefined || at >= (this.#wakeAt.get(node) ?? Number.POSITIVE_INFINITY)) return;
    this.#wakeAt.set(node, at);
    this.#timers.schedule(at, () => {
      if (this.#wakeAt.get(node) !== at) return;
      this.#wakeAt.delete(node);
      this.#perform(node, node.endpoint.wake(this.now));
    });
  }
  schedule(at: Millis, task: () => void): () => void {
    return this.#timers.schedule(at, task);
  }
  /** Runs until `done` or for `forMs`; true when done. */
  run(forMs: Millis, done: () => boolean = () => false): boolean {
    const until = this.now + forMs;
    for (;;) {
      if (done()) return true;
      const next = this.#timers.next();
      if (next === undefined || next > until) {
        this.now = until;
        return done();
      }
      this.now = Math.max(this.now, next);
      this.#timers.runDue(this.now);
    }
  }
}

export function hasPath(from: NetNode, to: NetNode): boolean {
  return from.endpoint.hasPath(to.destination.hash);
}

/** A row of nodes, leaves at both ends, routers between, a segment between each two. */
export function chain(net: Net, hops: number, options: SegmentOptions = {}): NetNode[] {
  const nodes = Array.from({ length: hops + 1 }, (_, i) =>
    i === 0 || i === hops ? net.node(`n${i}`) : net.router(`n${i}`),
  );
  for (let i = 0; i < hops; i++) net.join(`s${i}`, [nodes[i] as NetNode, nodes[i + 1] as NetNode], options);
  return nodes;
}
