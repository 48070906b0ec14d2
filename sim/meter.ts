/** Counts for reports what nodes hand to their networks and what networks carry. Fed by the world; read by `sampler.ts`. */
import type { Tier } from "../spine/index.ts";
import type { TierUse } from "./result.ts";

const TIERS = 7;

/** Of one node. */
class NodeMeter {
  readonly frames = new Float64Array(TIERS);
  readonly bytes = new Float64Array(TIERS);
  sentBytes = 0;
  receivedBytes = 0;
  queuePeakBytes = 0;
  sent(bytes: number): void {
    this.sentBytes += bytes;
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
    const node = this.node(index);
    node.frames[tier - 1] = (node.frames[tier - 1] as number) + 1;
    node.bytes[tier - 1] = (node.bytes[tier - 1] as number) + bytes;
  }
  /** A network carried something. */
  sent(from: number, to: number, bytes: number): void {
    this.node(from).sentBytes += bytes;
    this.node(to).receivedBytes += bytes;
    this.#pairs?.add(from * Meter.pairBase + to);
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
  return Array.from({ length: TIERS }, (_, i) => ({
    tier: i + 1,
    frames: nodes.reduce((sum, { frames }) => sum + (frames[i] as number), 0),
    bytes: nodes.reduce((sum, { bytes }) => sum + (bytes[i] as number), 0),
  }));
}
