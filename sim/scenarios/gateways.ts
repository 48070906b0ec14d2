/** Several planes, joined by gateways with the daemon's default disclosure. */
import type { BuiltIn } from "../run.ts";
import {
  broker,
  converged,
  group,
  HOUR,
  LAN_SHAPE,
  load,
  MINUTE,
  radio,
  ring,
  SECOND,
  scenario,
  streams,
} from "./parts.ts";

export const gatewayBridge: BuiltIn = {
  name: "gateway-bridge",
  summary: "A gateway joins nodes on the internet with radios: what may cross does, both ways, and nothing else.",
  file({ nodes = 4 }) {
    return scenario({
      name: this.name,
      summary: this.summary,
      durationMs: 3 * HOUR,
      nodes: [group("net", nodes), group("gate", 1, { discloses: true }), group("field", 3)],
      networks: [
        streams("internet", { members: ["net", "gate"], topology: ring(nodes + 1) }),
        radio("lora", { members: ["gate", "field"] }),
      ],
      load: [
        load("*", { fromMs: 20 * MINUTE, fact: "incident" }),
        load("*", { fromMs: 25 * MINUTE, fact: "note", batch: 2 }),
        load("*", { fromMs: 26 * MINUTE, fact: "heartbeat" }),
      ],
      expect: [converged(30 * MINUTE, 2 * HOUR)],
    });
  },
};

export const loraNatsGateway: BuiltIn = {
  name: "lora-nats-gateway",
  summary: "Two gateways stand between one radio channel and one broker: everything crosses once, nothing is doubled.",
  file({ nodes = 5 }) {
    return scenario({
      name: this.name,
      summary: this.summary,
      durationMs: 4 * HOUR,
      nodes: [group("cluster", nodes), group("gate", 2, { discloses: true }), group("field", 4)],
      networks: [broker("nats", { members: ["cluster", "gate"] }), radio("lora", { members: ["gate", "field"] })],
      load: [
        load("field", { fromMs: 20 * MINUTE, everyMs: 20 * MINUTE, times: 3, spread: true, fact: "incident" }),
        load("cluster", { fromMs: 20 * MINUTE, everyMs: 20 * MINUTE, times: 3, spread: true, fact: "incident" }),
      ],
      timeline: [{ atMs: 50 * MINUTE, type: "crash", nodes: "gate-1", keepDisk: true, restartsAfterMs: 5 * MINUTE }],
      expect: [converged(90 * MINUTE, 2 * HOUR)],
    });
  },
};

export const revocationClusterToField: BuiltIn = {
  name: "revocation-cluster-to-field",
  summary: "A cluster revokes a key while the radio's budget is nearly used up: the field hears of it within seconds.",
  file({ nodes = 4 }) {
    const revoker = { revokers: "cluster-1" };
    return scenario({
      name: this.name,
      summary: this.summary,
      durationMs: 3 * HOUR,
      nodes: [
        group("cluster", nodes, revoker),
        group("gate", 1, { ...revoker, discloses: true }),
        group("field", 3, revoker),
        group("thief", 1),
      ],
      networks: [
        broker("nats", { members: ["cluster", "gate", "thief"] }),
        radio("lora", { members: ["gate", "field"], spreadingFactor: 9 }),
      ],
      load: [load("cluster", { fromMs: 20 * MINUTE, untilMs: 61 * MINUTE, everyMs: 30 * SECOND, fact: "incident" })],
      timeline: [{ atMs: 60 * MINUTE, type: "revoke", by: "cluster-1", target: "thief" }],
      expect: [
        { type: "revoked", target: "thief", nodes: ["cluster", "gate"], afterMs: 60 * MINUTE, withinMs: 5 * SECOND },
        { type: "revoked", target: "thief", nodes: "field", afterMs: 60 * MINUTE, withinMs: 60 * SECOND },
      ],
    });
  },
};

export const catchUpAfterReconnect: BuiltIn = {
  name: "catch-up-after-reconnect",
  summary: "A radio node is away for an hour: it catches up within its budget, revocations before everything else.",
  file() {
    const revoker = { revokers: "base" };
    const awayMs = HOUR;
    return scenario({
      name: this.name,
      summary: this.summary,
      durationMs: 5 * HOUR,
      nodes: [group("base", 1, revoker), group("field", 2, revoker), group("away", 1, revoker), group("thief", 1)],
      networks: [
        radio("lora", { members: ["base", "field", "away"] }),
        streams("lan", { members: ["base", "thief"], topology: { type: "line" }, shape: LAN_SHAPE }),
      ],
      load: [load(["base", "field"], { fromMs: 40 * MINUTE, everyMs: 5 * MINUTE, times: 10, fact: "incident" })],
      timeline: [
        { atMs: 30 * MINUTE, type: "network-down", network: "lora", nodes: "away" },
        { atMs: 60 * MINUTE, type: "revoke", by: "base", target: "thief" },
        { atMs: 30 * MINUTE + awayMs, type: "network-up", network: "lora", nodes: "away" },
      ],
      expect: [
        { type: "revoked", target: "thief", nodes: ["base", "field"], afterMs: 60 * MINUTE, withinMs: 2 * MINUTE },
        { type: "revoked", target: "thief", nodes: "away", afterMs: 90 * MINUTE, withinMs: 30 * MINUTE },
        converged(90 * MINUTE, 2 * HOUR, ["base", "field", "away"]),
      ],
    });
  },
};

export const disaster: BuiltIn = {
  name: "disaster",
  summary: "The backbone is lost and only radio is left, gateways lose power, then it heals: nothing urgent is lost.",
  file({ nodes = 6 }) {
    const admits = "*";
    return scenario({
      name: this.name,
      summary: this.summary,
      durationMs: 6 * HOUR,
      nodes: [
        group("city", nodes, { admits }),
        group("gate", 2, { admits, discloses: true }),
        group("field", 4, { admits }),
      ],
      networks: [
        streams("internet", { members: ["city", "gate"], topology: ring(nodes + 2) }),
        radio("lora", { members: ["gate", "field"] }),
      ],
      load: [
        load("*", { fromMs: 20 * MINUTE, untilMs: 100 * MINUTE, everyMs: 25 * MINUTE, spread: true, fact: "incident" }),
        load("city", {
          fromMs: 20 * MINUTE,
          untilMs: 100 * MINUTE,
          everyMs: 5 * MINUTE,
          spread: true,
          fact: "heartbeat",
        }),
      ],
      timeline: [
        { atMs: 40 * MINUTE, type: "network-down", network: "internet", nodes: "*" },
        { atMs: 45 * MINUTE, type: "crash", nodes: "gate-1", keepDisk: true, restartsAfterMs: 15 * MINUTE },
        { atMs: 50 * MINUTE, type: "crash", nodes: "city-2", keepDisk: false, restartsAfterMs: 40 * MINUTE },
        { atMs: 95 * MINUTE, type: "courier", from: "city-1", to: "gate-2", takesMs: 4 * MINUTE },
        { atMs: 100 * MINUTE, type: "network-up", network: "internet", nodes: "*" },
      ],
      expect: [
        { type: "apart", nodes: "*", issuers: "*", afterMs: 98 * MINUTE, withinMs: 0 },
        converged(110 * MINUTE, 3 * HOUR),
      ],
    });
  },
};
