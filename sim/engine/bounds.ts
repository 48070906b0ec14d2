/**
 * The least that would have done for what a run delivered: each envelope once to every node of a network that ended with
 * it, and on the air one smallest packet per edge of the best broadcast tree. Made for results and expectations.
 */
import { factTier } from "../../spine/index.ts";
import type { SimNetwork } from "../networks/network.ts";
import type { Setup } from "./setup.ts";
import type { Tracked } from "./tracker.ts";

const TIERS = 8;

export interface NodeBound {
  /** Its own envelopes once, where anybody ended with them. */
  sentBytes: number;
  /** Those of others that it ended with, once. */
  receivedBytes: number;
  /** As `sentBytes`, on its radio. */
  airtimeMs: number;
}

/** Arrays by tier of the facts (1 to 7). */
export class Bounds {
  readonly bytes = new Float64Array(TIERS);
  readonly airtimeMs = new Float64Array(TIERS);
  readonly nodes: readonly NodeBound[];
  readonly networks = new Map<string, { bytes: number; airtimeMs: number }>();

  constructor(setup: Setup) {
    this.nodes = setup.world.peers.map(() => ({ sentBytes: 0, receivedBytes: 0, airtimeMs: 0 }));
    for (const network of setup.world.networks.values()) this.#network(setup, network);
    for (const { by, bytes, held } of setup.tracker.all())
      for (const [index, node] of this.nodes.entries()) {
        if (!held.has(index)) continue;
        if (index !== by) node.receivedBytes += bytes;
        else if (held.count > 1) node.sentBytes += bytes;
      }
  }
  #network(setup: Setup, network: SimNetwork): void {
    const sum = { bytes: 0, airtimeMs: 0 };
    this.networks.set(network.name, sum);
    for (const one of setup.tracker.all()) {
      const edges = edgesOf(network, one);
      if (edges === 0) continue;
      const tier = factTier(one.schema);
      const packetMs = network.packetMs?.(one.hash) ?? 0;
      sum.bytes += edges * one.bytes;
      sum.airtimeMs += edges * packetMs;
      this.bytes[tier] = (this.bytes[tier] as number) + edges * one.bytes;
      this.airtimeMs[tier] = (this.airtimeMs[tier] as number) + edges * packetMs;
      const own = network.members.includes(one.by) ? this.nodes[one.by] : undefined;
      if (own !== undefined) own.airtimeMs += packetMs;
    }
  }
}

/** Who brings an envelope into a network is one of its members already. */
function edgesOf({ members }: SimNetwork, { by, held }: Tracked): number {
  let receivers = 0;
  for (const member of members) if (member !== by && held.has(member)) receivers++;
  return Math.max(0, members.includes(by) ? receivers : receivers - 1);
}

/** Of one network alone, as it is now: milliseconds on the air. */
export function airBoundMs(setup: Setup, network: SimNetwork): number {
  let sum = 0;
  for (const one of setup.tracker.all()) {
    const edges = edgesOf(network, one);
    if (edges > 0) sum += edges * (network.packetMs?.(one.hash) ?? 0);
  }
  return sum;
}
