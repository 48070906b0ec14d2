/** Meshes that split, grow and lose nodes. */
import type { BuiltIn } from "../run.ts";
import { converged, group, load, ring, SECOND, scenario, streams } from "./parts.ts";

export const partitionHeal: BuiltIn = {
  name: "partition-heal",
  summary: "Two halves publish apart, one node loses power, the mesh heals: everybody ends with everything.",
  file({ nodes = 8 }) {
    const half = Math.floor(nodes / 2);
    const [left, right] = [`node-1..${half}`, `node-${half + 1}..${nodes}`];
    return scenario({
      name: this.name,
      summary: this.summary,
      durationMs: 240 * SECOND,
      nodes: [group("node", nodes)],
      networks: [streams("internet", { topology: ring(nodes) })],
      load: [
        load("*", { fromMs: 3 * SECOND, batch: 40, fact: "heartbeat" }),
        load("*", { fromMs: 32 * SECOND, batch: 60, fact: "heartbeat" }),
      ],
      timeline: [
        { atMs: 30 * SECOND, type: "partition", sets: [left], network: null },
        { atMs: 33 * SECOND, type: "crash", nodes: "node-2", keepDisk: true, restartsAfterMs: 5 * SECOND },
        { atMs: 60 * SECOND, type: "heal", network: null },
      ],
      expect: [
        converged(3.5 * SECOND, 26 * SECOND),
        { type: "apart", nodes: "*", issuers: "*", afterMs: 59 * SECOND, withinMs: 0 },
        converged(40 * SECOND, 20 * SECOND, left),
        converged(40 * SECOND, 20 * SECOND, right),
        converged(60 * SECOND, 120 * SECOND),
      ],
    });
  },
};
