/** Keys that lie, are stolen, revoked or come back from a backup. */
import type { BuiltIn } from "../run.ts";
import { broker, converged, group, LAN_SHAPE, load, MINUTE, radio, ring, SECOND, scenario, streams } from "./parts.ts";

export const forkAttack: BuiltIn = {
  name: "fork-attack",
  summary: "One key signs two histories for two halves of a mesh: all end frozen at the first differing seq.",
  file({ nodes = 5, short = false }) {
    const half = Math.floor(nodes / 2);
    const [left, right] = [`honest-1..${half}`, `honest-${half + 1}..${nodes}`];
    const [trunk, shorter, longer] = short ? [60, 40, 70] : [300, 200, 350];
    return scenario({
      name: this.name,
      summary: this.summary,
      durationMs: 240 * SECOND,
      nodes: [group("liar", 1), group("honest", nodes)],
      networks: [streams("lan", { members: "*", topology: ring(nodes + 1), shape: LAN_SHAPE })],
      load: [load("honest", { fromMs: 1 * SECOND, batch: 20, fact: "heartbeat" })],
      timeline: [
        { atMs: 2 * SECOND, type: "partition", sets: [left, right], network: null },
        {
          atMs: 5 * SECOND,
          type: "attack",
          by: "liar",
          attack: {
            type: "fork",
            trunk,
            branches: [
              { to: left, length: shorter },
              { to: right, length: longer },
            ],
          },
        },
        { atMs: 20 * SECOND, type: "heal", network: null },
      ],
      expect: [
        { type: "not-frozen", issuers: "*", nodes: "honest", afterMs: 19 * SECOND, withinMs: 0 },
        {
          type: "frozen",
          issuer: "liar",
          nodes: "honest",
          seq: trunk + 1,
          afterMs: 20 * SECOND,
          withinMs: 120 * SECOND,
        },
        converged(20 * SECOND, 120 * SECOND, "honest"),
        { type: "not-frozen", issuers: "honest", nodes: "honest", afterMs: 150 * SECOND, withinMs: 0 },
      ],
    });
  },
};

export const splitView: BuiltIn = {
  name: "split-view",
  summary: "A log shows two roots for one size to two halves: once they meet, everybody holds the proof.",
  file({ nodes = 6 }) {
    const half = Math.floor(nodes / 2);
    const [left, right] = [`follower-1..${half}`, `follower-${half + 1}..${nodes}`];
    return scenario({
      name: this.name,
      summary: this.summary,
      durationMs: 180 * SECOND,
      nodes: [group("log", 1), group("follower", nodes, { follows: "log" })],
      networks: [streams("internet", { topology: ring(nodes + 1) })],
      load: [load("follower", { fromMs: 1 * SECOND, batch: 5 })],
      timeline: [
        { atMs: 10 * SECOND, type: "partition", sets: [left, right], network: null },
        { atMs: 13 * SECOND, type: "attack", by: "log", attack: { type: "split-view", left, right } },
        { atMs: 30 * SECOND, type: "heal", network: null },
      ],
      expect: [
        { type: "not-frozen", issuers: "*", nodes: "follower", afterMs: 29 * SECOND, withinMs: 0 },
        { type: "split-view-proven", log: "log", nodes: "follower", afterMs: 30 * SECOND, withinMs: 90 * SECOND },
        { type: "frozen", issuer: "log", nodes: "follower", seq: 1, afterMs: 30 * SECOND, withinMs: 90 * SECOND },
        converged(30 * SECOND, 90 * SECOND, "follower"),
      ],
    });
  },
};

export const restoredBackup: BuiltIn = {
  name: "restored-backup",
  summary: "A machine is replaced from an old backup, alone and then among its peers: no seq is signed twice.",
  file({ nodes = 6 }) {
    return scenario({
      name: this.name,
      summary: this.summary,
      durationMs: 240 * SECOND,
      nodes: [group("node", nodes)],
      networks: [streams("internet", { topology: ring(nodes) })],
      load: [
        load("*", { fromMs: 3 * SECOND, batch: 20, fact: "heartbeat" }),
        load("node-1", { fromMs: 15 * SECOND, batch: 37, fact: "heartbeat" }),
        load("node-1", { fromMs: 80 * SECOND, everyMs: 200, times: 20, fact: "heartbeat" }),
      ],
      timeline: [
        { atMs: 10 * SECOND, type: "backup", nodes: "node-1" },
        { atMs: 30 * SECOND, type: "partition", sets: ["node-1"], network: null },
        { atMs: 31 * SECOND, type: "restore", nodes: "node-1" },
        { atMs: 45 * SECOND, type: "heal", network: null },
      ],
      expect: [
        converged(16 * SECOND, 14 * SECOND),
        { type: "signing", nodes: "node-1", is: false, afterMs: 44 * SECOND, withinMs: 0 },
        { type: "signing", nodes: "node-1", is: true, afterMs: 45 * SECOND, withinMs: 30 * SECOND },
        converged(85 * SECOND, 60 * SECOND),
        { type: "not-frozen", issuers: "*", nodes: "*", afterMs: 150 * SECOND, withinMs: 0 },
      ],
    });
  },
};

export const clonedImage: BuiltIn = {
  name: "cloned-image",
  summary:
    "A machine runs twice from one image: the copy that hears of the other stops, and if both sign, both freeze.",
  file({ nodes = 5 }) {
    const others = `node-2..${nodes}`;
    return scenario({
      name: this.name,
      summary: this.summary,
      durationMs: 240 * SECOND,
      nodes: [group("node", nodes)],
      networks: [streams("lan", { topology: ring(nodes), shape: LAN_SHAPE })],
      load: [
        load("*", { fromMs: 2 * SECOND, batch: 10, fact: "heartbeat" }),
        load("node-1", { fromMs: 60 * SECOND, fact: "heartbeat" }),
      ],
      timeline: [
        { atMs: 30 * SECOND, type: "clone", of: "node-1", name: "copy", network: "lan", peers: "node-2" },
        { atMs: 45 * SECOND, type: "partition", sets: ["copy"], network: null },
        { atMs: 60 * SECOND, type: "publish", by: "copy", fact: "note", count: 1 },
        { atMs: 90 * SECOND, type: "heal", network: null },
      ],
      expect: [
        converged(2.5 * SECOND, 20 * SECOND),
        { type: "frozen", issuer: "node-1", nodes: others, seq: 11, afterMs: 90 * SECOND, withinMs: 60 * SECOND },
        { type: "signing", nodes: ["node-1", "copy"], is: false, afterMs: 90 * SECOND, withinMs: 60 * SECOND },
      ],
    });
  },
};

export const mutualRevocation: BuiltIn = {
  name: "mutual-revocation",
  summary: "Two revokers revoke each other while apart: whoever heard which one first, both are revoked everywhere.",
  file({ nodes = 6 }) {
    const half = Math.floor(nodes / 2);
    return scenario({
      name: this.name,
      summary: this.summary,
      durationMs: 200 * SECOND,
      stopEarly: false,
      nodes: [group("node", nodes, { revokers: ["node-1", `node-${nodes}`] })],
      networks: [streams("internet", { topology: ring(nodes) })],
      load: [load("*", { fromMs: 3 * SECOND, batch: 3 })],
      timeline: [
        { atMs: 20 * SECOND, type: "partition", sets: [`node-1..${half}`], network: null },
        { atMs: 30 * SECOND, type: "revoke", by: "node-1", target: `node-${nodes}` },
        { atMs: 31 * SECOND, type: "revoke", by: `node-${nodes}`, target: "node-1" },
        { atMs: 50 * SECOND, type: "heal", network: null },
      ],
      expect: [
        converged(3.5 * SECOND, 16 * SECOND),
        { type: "revoked", target: "node-1", nodes: "*", afterMs: 50 * SECOND, withinMs: 80 * SECOND },
        { type: "revoked", target: `node-${nodes}`, nodes: "*", afterMs: 50 * SECOND, withinMs: 80 * SECOND },
      ],
    });
  },
};

export const revocationRace: BuiltIn = {
  name: "revocation-race",
  summary: "A stolen key publishes all it can while its revocation runs over every plane: all end with it revoked.",
  file({ short = false }) {
    const size = short ? 3 : 8;
    const everybody = ["cloud", "cluster", "site", "field", "gate"];
    const revoker = { revokers: "cloud-1" };
    return scenario({
      name: this.name,
      summary: this.summary,
      durationMs: 130 * MINUTE,
      nodes: [
        group("cloud", size, revoker),
        group("cluster", size, revoker),
        group("site", size, revoker),
        group("gate", 1, { ...revoker, discloses: true }),
        group("field", 4, revoker),
        group("thief", 1),
      ],
      networks: [
        streams("internet", {
          members: ["cloud", "thief", "gate", "cluster-1", "site-1"],
          topology: { type: "random", degree: 4 },
        }),
        broker("nats", { members: "cluster" }),
        streams("wg", { plane: "wireguard", members: "site", topology: { type: "star", hubs: 1 } }),
        radio("lora", { members: ["gate", "field"] }),
      ],
      load: [
        load("thief", { fromMs: 25 * MINUTE, untilMs: 32 * MINUTE, everyMs: 2 * SECOND, batch: short ? 4 : 20 }),
        load("*", { fromMs: 20 * MINUTE, everyMs: 5 * MINUTE, times: 5, spread: true, fact: "heartbeat" }),
      ],
      timeline: [{ atMs: 30 * MINUTE, type: "revoke", by: "cloud-1", target: "thief" }],
      expect: [
        {
          type: "revoked",
          target: "thief",
          nodes: ["cloud", "cluster", "site", "gate"],
          afterMs: 30 * MINUTE,
          withinMs: 10 * SECOND,
        },
        { type: "revoked", target: "thief", nodes: everybody, afterMs: 30 * MINUTE, withinMs: 5 * MINUTE },
        // Radios that missed a heartbeat find it when they compare, each half hour.
        converged(51 * MINUTE, 75 * MINUTE, everybody),
      ],
    });
  },
};
