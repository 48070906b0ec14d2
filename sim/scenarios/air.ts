/** Meshes on LoRa: the daemon's Reticulum plane over the one radio model. */
import type { BuiltIn } from "../run.ts";
import { converged, group, HOUR, LAN_SHAPE, load, MINUTE, radio, SECOND, scenario, streams } from "./parts.ts";

export const loraChain: BuiltIn = {
  name: "lora-chain",
  summary: "Radios in a row, each in range of its neighbours only: a fact from one end reaches the other hop by hop.",
  file({ nodes = 5 }) {
    return scenario({
      name: this.name,
      summary: this.summary,
      // Radios that were left alone for four hours hold the same (sim/settled.ts).
      durationMs: 5 * HOUR,
      stopEarly: false,
      nodes: [
        group("relay", nodes, { place: { type: "line", from: { x: 0, y: 0 }, to: { x: 4_000 * (nodes - 1), y: 0 } } }),
      ],
      networks: [radio("lora", { pathLoss: { type: "line", lossDb: 120 }, peers: { type: "line" } })],
      load: [
        load("relay-1", { fromMs: 20 * MINUTE, fact: "incident" }),
        load(`relay-${nodes}`, { fromMs: 40 * MINUTE, fact: "note", batch: 3 }),
      ],
      expect: [converged(21 * MINUTE, 30 * MINUTE), converged(60 * MINUTE, 2 * HOUR)],
    });
  },
};

export const loraCity: BuiltIn = {
  name: "lora-city",
  summary: "Fifty radios over a city, terrain between them and a tenth of the air each, for a day.",
  file({ nodes = 50, short = false }) {
    const count = short ? Math.min(nodes, 6) : nodes;
    const durationMs = short ? 3 * HOUR : 24 * HOUR;
    return scenario({
      name: this.name,
      summary: this.summary,
      durationMs,
      stopEarly: short,
      nodes: [group("roof", count, { place: { type: "disc", at: { x: 0, y: 0 }, radiusM: 250 * Math.sqrt(count) } })],
      networks: [
        radio("lora", { pathLoss: { type: "distance", atOneKmDb: 108, exponent: 3.2, terrainDb: 5 }, loss: 0.01 }),
      ],
      load: [
        load("*", {
          fromMs: 30 * MINUTE,
          untilMs: durationMs - HOUR,
          everyMs: 6 * HOUR,
          spread: !short,
          fact: "incident",
        }),
      ],
      expect: [converged(durationMs - HOUR, HOUR - 1)],
    });
  },
};

export const twentyFourHours: BuiltIn = {
  name: "twenty-four-hours",
  summary: "Ten radios with links that come and go and frames that are lost, for a day: no envelope is lost.",
  file({ nodes = 10, short = false }) {
    const hours = short ? 4 : 24;
    const pairs = Array.from({ length: hours - 2 }, (_, i) => i);
    return scenario({
      name: this.name,
      summary: this.summary,
      durationMs: hours * HOUR,
      stopEarly: false,
      nodes: [group("node", nodes, { place: { type: "disc", at: { x: 0, y: 0 }, radiusM: 2_000 } })],
      networks: [
        radio("lora", { pathLoss: { type: "same", lossDb: 118 }, loss: 0.05, peers: { type: "ring", chords: 0 } }),
      ],
      load: [
        load("*", {
          fromMs: 30 * MINUTE,
          untilMs: (hours - 2) * HOUR,
          everyMs: 2 * HOUR,
          spread: true,
          fact: "incident",
        }),
        load("*", {
          fromMs: 30 * MINUTE,
          untilMs: (hours - 2) * HOUR,
          everyMs: 4 * HOUR,
          spread: true,
          fact: "heartbeat",
        }),
      ],
      // Each hour one node is out of range for ten minutes.
      timeline: pairs.flatMap((hour) => {
        const node = `node-${(hour % nodes) + 1}`;
        const atMs = (hour + 0.75) * HOUR;
        return [
          { atMs, type: "network-down", network: "lora", nodes: node } as const,
          { atMs: atMs + 10 * MINUTE, type: "network-up", network: "lora", nodes: node } as const,
        ];
      }),
      expect: [converged((hours - 1) * HOUR, HOUR - 1)],
    });
  },
};

export const mailForAbsent: BuiltIn = {
  name: "mail-for-absent",
  summary:
    "A radio is away when its base revokes a key, and the base is gone when it returns: the mail was kept for it.",
  file() {
    const revoker = { revokers: "base" };
    return scenario({
      name: this.name,
      summary: this.summary,
      durationMs: 4 * HOUR,
      // The office keeps mail of strangers, sealed: none of it is among what its own node stores.
      nodes: [
        group("base", 1, revoker),
        group("scout", 1, revoker),
        group("office", 1, { admits: [] }),
        group("thief", 1),
      ],
      networks: [
        radio("lora", {
          members: ["base", "scout", "office"],
          peers: { type: "links", links: [["base", "scout"]] },
          mailAt: "office",
        }),
      ],
      load: [load("base", { fromMs: 62 * MINUTE, fact: "incident" })],
      timeline: [
        { atMs: 40 * MINUTE, type: "network-down", network: "lora", nodes: "scout" },
        { atMs: 60 * MINUTE, type: "revoke", by: "base", target: "thief" },
        { atMs: 80 * MINUTE, type: "crash", nodes: "base", keepDisk: true, restartsAfterMs: null },
        { atMs: 100 * MINUTE, type: "network-up", network: "lora", nodes: "scout" },
      ],
      expect: [
        { type: "apart", nodes: ["base", "scout"], issuers: "base", afterMs: 99 * MINUTE, withinMs: 0 },
        { type: "revoked", target: "thief", nodes: "scout", afterMs: 100 * MINUTE, withinMs: 45 * MINUTE },
        { type: "converged", nodes: "scout", issuers: "base", afterMs: 100 * MINUTE, withinMs: 45 * MINUTE },
      ],
    });
  },
};

export const fiveBps: BuiltIn = {
  name: "five-bps",
  summary: "A line of about 5 bit/s: heartbeats stay behind, a revocation arrives within twelve minutes of air.",
  file() {
    return slowLine(this.name, this.summary, 1);
  },
};

export const fiveBpsValidation: BuiltIn = {
  name: "five-bps-validation",
  summary: "The same line with a cluster behind it and a busy publisher: urgent facts keep their place.",
  file() {
    return slowLine(this.name, this.summary, 4);
  },
};

/** An announce that is on the air is not cut: the revocation waits for its end. */
const ANNOUNCE_MS = 5 * MINUTE;
/** 355 bytes take about 9.5 minutes of air: 5 bit/s all told. */
const FIVE_BPS = { bandwidthHz: 2_776, spreadingFactor: 12, codingRate: 5, duty: 1 } as const;

function slowLine(name: string, summary: string, size: number): ReturnType<BuiltIn["file"]> {
  const revoker = { revokers: "hq-1", discloses: true };
  return scenario({
    name,
    summary,
    durationMs: 14 * HOUR,
    nodes: [group("hq", Math.max(2, size), revoker), group("far", 1, revoker), group("thief", 1)],
    networks: [
      streams("lan", { members: ["hq", "thief"], topology: { type: "full" }, shape: LAN_SHAPE }),
      radio("line", { members: ["hq-1", "far"], peers: { type: "line" }, ...FIVE_BPS }),
    ],
    load: [
      load("hq", { fromMs: 10 * MINUTE, everyMs: 10 * MINUTE, times: 60, fact: "heartbeat" }),
      load("hq", { fromMs: 10 * MINUTE, everyMs: 30 * MINUTE, times: 20, fact: "node_attestation" }),
    ],
    timeline: [{ atMs: 8 * HOUR, type: "revoke", by: "hq-1", target: "thief" }],
    expect: [
      { type: "revoked", target: "thief", nodes: ["hq"], afterMs: 8 * HOUR, withinMs: 10 * SECOND },
      { type: "revoked", target: "thief", nodes: "far", afterMs: 8 * HOUR, withinMs: 12 * MINUTE + ANNOUNCE_MS },
    ],
  });
}
