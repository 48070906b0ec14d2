/** Nodes that are flooded, and logs that must not drive each other. */
import type { BuiltIn } from "../run.ts";
import { converged, group, LAN_SHAPE, load, ring, SECOND, scenario, streams } from "./parts.ts";

export const sybilFlood: BuiltIn = {
  name: "sybil-flood",
  summary: "A member introduces thousands of made-up issuers: nobody keeps more than a few bytes of each.",
  file({ nodes = 8, short = false }) {
    return scenario({
      name: this.name,
      summary: this.summary,
      durationMs: 180 * SECOND,
      nodes: [group("sybil", 1), group("node", nodes)],
      networks: [streams("internet", { topology: ring(nodes + 1) })],
      load: [load("node", { fromMs: 5 * SECOND, everyMs: 5 * SECOND, times: 10, spread: true, batch: 3 })],
      timeline: [
        {
          atMs: 10 * SECOND,
          type: "attack",
          by: "sybil",
          attack: { type: "sybil", issuers: short ? 400 : 12_000, everyMs: 4 },
        },
      ],
      expect: [
        converged(65 * SECOND, 60 * SECOND, "node"),
        { type: "strangers-at-most", nodes: "node", envelopes: 0, claims: 10_000, afterMs: 70 * SECOND, withinMs: 0 },
      ],
    });
  },
};

export const floodingNeighbour: BuiltIn = {
  name: "flooding-neighbour",
  summary: "One neighbour sends useless messages without end: urgent facts of the others arrive all the same.",
  file({ nodes = 8, short = false }) {
    return scenario({
      name: this.name,
      summary: this.summary,
      durationMs: 180 * SECOND,
      nodes: [group("flooder", 1), group("node", nodes)],
      networks: [streams("internet", { topology: ring(nodes + 1) })],
      load: [
        load("node", { fromMs: 12 * SECOND, everyMs: 10 * SECOND, times: 4, spread: true, fact: "incident" }),
        load("node", { fromMs: 5 * SECOND, everyMs: 2 * SECOND, times: 20, spread: true, fact: "heartbeat" }),
      ],
      timeline: [
        {
          atMs: 10 * SECOND,
          type: "attack",
          by: "flooder",
          attack: { type: "flood", perSecond: short ? 100 : 1_000, forMs: 40 * SECOND },
        },
      ],
      expect: [
        converged(60 * SECOND, 60 * SECOND, "node"),
        { type: "urgent-within", nodes: "node", ms: 5_000, afterMs: 60 * SECOND, withinMs: 60 * SECOND },
      ],
    });
  },
};

export const checkpointStorm: BuiltIn = {
  name: "checkpoint-storm",
  summary: "Fifty logs checkpoint the same mesh: at most one each 5 s, and none once real leaves have stopped.",
  file({ nodes = 50, short = false }) {
    const count = short ? Math.min(nodes, 12) : nodes;
    const busy = 20;
    return scenario({
      name: this.name,
      summary: this.summary,
      durationMs: 90 * SECOND,
      stopEarly: false,
      nodes: [group("log", count, { keepsLog: true })],
      networks: [streams("lan", { topology: ring(count), shape: LAN_SHAPE })],
      load: [load("*", { fromMs: 0, untilMs: busy * SECOND, everyMs: 5 * SECOND, spread: true })],
      expect: [
        converged((busy + 10) * SECOND, 30 * SECOND),
        // One each 5 s while there are leaves and 10 s later; any more were brought about by others.
        { type: "checkpoints", nodes: "*", atLeast: 1, atMost: (busy + 10) / 5, afterMs: 89 * SECOND, withinMs: 0 },
      ],
    });
  },
};
