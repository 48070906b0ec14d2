/** Meshes that split, grow and lose nodes. */
import type { BuiltIn } from "../run.ts";
import { broker, converged, group, load, ring, SECOND, scenario, streams } from "./parts.ts";

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

export const lateJoiner: BuiltIn = {
  name: "late-joiner",
  summary: "A newcomer catches up with thousands of envelopes, loses its disk on the way, and catches up again.",
  file({ nodes = 4, short = false }) {
    const each = short ? 300 : 1_500;
    const joinsAtMs = 60 * SECOND;
    return scenario({
      name: this.name,
      summary: this.summary,
      durationMs: 300 * SECOND,
      nodes: [group("old", nodes), group("newcomer", 1, { joinsAtMs })],
      networks: [
        streams("internet", { members: "old", topology: ring(nodes) }),
        streams("uplink", {
          topology: {
            type: "links",
            links: [
              ["newcomer", "old-1"],
              ["newcomer", "old-2"],
            ],
          },
        }),
      ],
      load: [load("old", { fromMs: 2 * SECOND, everyMs: 1_000, batch: 100, times: each / 100, fact: "heartbeat" })],
      timeline: [
        { atMs: joinsAtMs + 500, type: "crash", nodes: "newcomer", keepDisk: false, restartsAfterMs: 3 * SECOND },
      ],
      expect: [converged(2.5 * SECOND, 57 * SECOND, "old"), converged(joinsAtMs + 4 * SECOND, 120 * SECOND)],
    });
  },
};

export const swarm1k: BuiltIn = {
  name: "swarm-1k",
  summary: "A thousand nodes, a few dozen of which report something: everybody ends with all of it.",
  file({ nodes = 1_000, short = false }) {
    const count = short ? Math.min(nodes, 50) : nodes;
    const issuers = `node-1..${Math.max(2, Math.floor(count / 25))}`;
    return scenario({
      name: this.name,
      summary: this.summary,
      durationMs: 300 * SECOND,
      nodes: [group("node", count, { admits: issuers })],
      networks: [streams("internet", { topology: { type: "random", degree: 6 } })],
      load: [load(issuers, { fromMs: 5 * SECOND, everyMs: 10 * SECOND, times: 3, spread: true })],
      timeline: [
        { atMs: 20 * SECOND, type: "crash", nodes: "node-7", keepDisk: true, restartsAfterMs: 20 * SECOND },
        { atMs: 25 * SECOND, type: "crash", nodes: `node-${count}`, keepDisk: false, restartsAfterMs: 30 * SECOND },
      ],
      expect: [converged(60 * SECOND, 120 * SECOND)],
    });
  },
};

export const heads10k: BuiltIn = {
  name: "heads-10k",
  summary: "Ten thousand nodes, a hundred issuers with an envelope and a head each: all reach all.",
  file({ nodes = 10_000, short = false }) {
    const count = short ? Math.min(nodes, 60) : nodes;
    const issuers = `node-1..${Math.min(100, Math.floor(count / 2))}`;
    return scenario({
      name: this.name,
      summary: this.summary,
      durationMs: 120 * SECOND,
      nodes: [group("node", count, { admits: issuers })],
      networks: [streams("internet", { topology: { type: "random", degree: 4 } })],
      load: [load(issuers, { fromMs: 5 * SECOND, everyMs: 1 * SECOND, times: 1, spread: true })],
      expect: [converged(7 * SECOND, 60 * SECOND)],
    });
  },
};

export const mixedPlanes: BuiltIn = {
  name: "mixed-planes",
  summary: "Sites behind tunnels, a cluster behind a broker and nodes on the internet: everything reaches all.",
  file({ nodes = 200, short = false }) {
    const count = short ? Math.min(nodes, 24) : nodes;
    const site = Math.max(3, Math.floor(count / 5));
    const rest = count - 2 * site;
    const batches = short ? 2 : 5;
    const everyMs = 105 * SECOND;
    return scenario({
      name: this.name,
      summary: this.summary,
      durationMs: 720 * SECOND,
      stopEarly: false,
      nodes: [group("cloud", rest), group("cluster", site), group("tunnel", site)],
      networks: [
        streams("internet", {
          members: ["cloud", "cluster-1..2", "tunnel-1"],
          topology: { type: "random", degree: 4 },
        }),
        broker("nats", { members: "cluster", shape: { latencyMs: 1, jitterMs: 1, loss: 0, bitrate: 1e9 } }),
        streams("wg", { plane: "wireguard", members: "tunnel", topology: { type: "star", hubs: 2 } }),
      ],
      load: [load("*", { fromMs: 5 * SECOND, everyMs, times: batches, batch: 2, spread: true })],
      expect: [converged(5 * SECOND + everyMs * (batches + 1), 60 * SECOND)],
    });
  },
};
