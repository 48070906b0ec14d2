/** Counts for reports what nodes hand to their networks and what networks carry. Fed by the world; read by `sampler.ts`. */
import type { Tier } from "../spine/index.ts";
import type { TierUse } from "./result.ts";

/** The seven, and before them what radios' stacks send by themselves. */
const TIERS = 8;
const STACK = 0;

/** Of one node; the arrays by tier. */
class NodeMeter {
  readonly frames = new Float64Array(TIERS);
  readonly bytes = new Float64Array(TIERS);
  readonly airtimeMs = new Float64Array(TIERS);
  sentBytes = 0;
  receivedBytes = 0;
  queuePeakBytes = 0;
  add(tier: number, bytes: number): void {
    this.frames[tier] = (this.frames[tier] as number) + 1;
    this.bytes[tier] = (this.bytes[tier] as number) + bytes;
  }
}

export class Meter {
  readonly #nodes: NodeMeter[] = [];
  /** "FROM TO" of what was sent since it was asked last; undefined where nobody records. */
  #pairs: Set<number> | undefined;
  /** Largest number of nodes a pair can be packed for. */
  static readonly pairBase = 65_536;

  recordPairs(): void {
    this.#pairs = new Set();
  }
  node(index: number): NodeMeter {
    const known = this.#nodes[index];
    if (known !== undefined) return known;
    const made = new NodeMeter();
    this.#nodes[index] = made;
    return made;
  }
  /** A frame was handed to a link. */
  queued(index: number, bytes: number, tier: Tier): void {
    this.node(index).add(tier, bytes);
  }
  /** So many bytes wait on all links of a node together. */
  waits(index: number, bytes: number): void {
    const node = this.node(index);
    node.queuePeakBytes = Math.max(node.queuePeakBytes, bytes);
  }
  /** A radio put a frame on the air; without a tier it is its stack's own. */
  onAir(index: number, bytes: number, airtimeMs: number, tier: Tier | undefined): void {
    const node = this.node(index);
    node.sentBytes += bytes;
    node.airtimeMs[tier ?? STACK] = (node.airtimeMs[tier ?? STACK] as number) + airtimeMs;
    if (tier === undefined) node.add(STACK, bytes);
  }
  /** A member gave a message to its server, or took some. */
  published(index: number, bytes: number): void {
    this.node(index).sentBytes += bytes;
  }
  fetched(index: number, bytes: number): void {
    this.node(index).receivedBytes += bytes;
  }
  /** A radio received a packet well. */
  received(from: number, to: number, bytes: number): void {
    this.node(to).receivedBytes += bytes;
    this.#pairs?.add(from * Meter.pairBase + to);
  }
  /** A network carried something. */
  sent(from: number, to: number, bytes: number): void {
    this.node(from).sentBytes += bytes;
    this.received(from, to, bytes);
  }
  tiersOf(index: number): TierUse[] {
    return tiersOf([this.node(index)]);
  }
  tiers(): TierUse[] {
    return tiersOf(this.#nodes.filter((node) => node !== undefined));
  }
  takePairs(): [number, number][] {
    const pairs = [...(this.#pairs ?? [])].map((packed): [number, number] => [
      Math.floor(packed / Meter.pairBase),
      packed % Meter.pairBase,
    ]);
    this.#pairs?.clear();
    return pairs;
  }
}

function tiersOf(nodes: readonly NodeMeter[]): TierUse[] {
  const sum = (of: (node: NodeMeter) => number): number => nodes.reduce((total, node) => total + of(node), 0);
  return Array.from({ length: TIERS }, (_, tier) => ({
    tier,
    frames: sum(({ frames }) => frames[tier] as number),
    bytes: sum(({ bytes }) => bytes[tier] as number),
    airtime_ms: Math.round(sum(({ airtimeMs }) => airtimeMs[tier] as number)),
  }));
}
