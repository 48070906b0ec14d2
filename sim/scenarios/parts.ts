/** Defaults and shorthands for the built-in scenarios. */
import type {
  BrokerNetwork,
  Expectation,
  Load,
  NodeGroup,
  Placement,
  RadioNetwork,
  ScenarioFile,
  StreamNetwork,
  Topology,
} from "../scenario-file.ts";

export const SECOND = 1_000;
export const MINUTE = 60 * SECOND;
export const HOUR = 60 * MINUTE;

export const LAN_SHAPE = { latencyMs: 2, jitterMs: 1, loss: 0, bitrate: 1e9 };
export const INTERNET_SHAPE = { latencyMs: 40, jitterMs: 20, loss: 0.01, bitrate: 50e6 };

const HERE: Placement = { type: "point", at: { x: 0, y: 0 } };

export function group(name: string, count: number, more: Partial<NodeGroup> = {}): NodeGroup {
  return {
    name,
    count,
    joinsAtMs: 0,
    diskMs: 2,
    open: false,
    admits: "*",
    revokers: [],
    follows: [],
    keepsLog: false,
    discloses: false,
    clockSkewMs: 0,
    place: HERE,
    ...more,
  };
}

export function ring(count: number): Topology {
  return { type: "ring", chords: Math.floor(count / 3) };
}

export function streams(name: string, more: Partial<StreamNetwork> = {}): StreamNetwork {
  return {
    type: "stream",
    name,
    plane: "libp2p",
    members: "*",
    topology: { type: "ring", chords: 0 },
    shape: INTERNET_SHAPE,
    duplicates: 0,
    ...more,
  };
}

export function broker(name: string, more: Partial<BrokerNetwork> = {}): BrokerNetwork {
  return { type: "broker", name, members: "*", shape: LAN_SHAPE, streams: true, ...more };
}

/** 868 MHz, SF8 at 125 kHz, a tenth of each hour: 3,125 bit/s nominal. */
export function radio(name: string, more: Partial<RadioNetwork> = {}): RadioNetwork {
  return {
    type: "radio",
    name,
    members: "*",
    peers: null,
    transport: [],
    mailAt: null,
    frequencyHz: 869_525_000,
    bandwidthHz: 125_000,
    spreadingFactor: 8,
    codingRate: 5,
    txPowerDbm: 14,
    duty: 0.1,
    pathLoss: { type: "same", lossDb: 100 },
    loss: 0,
    ...more,
  };
}

export function load(by: string | readonly string[], more: Partial<Load> = {}): Load {
  return {
    by,
    fact: "note",
    fromMs: 0,
    untilMs: Number.MAX_SAFE_INTEGER,
    everyMs: 0,
    spread: false,
    batch: 1,
    times: 0,
    padBytes: 0,
    ...more,
  };
}

export function converged(afterMs: number, withinMs: number, nodes: string | readonly string[] = "*"): Expectation {
  return { type: "converged", nodes, issuers: nodes, afterMs, withinMs };
}

export function scenario(
  file: Omit<ScenarioFile, "stopEarly" | "load" | "timeline"> & Partial<ScenarioFile>,
): ScenarioFile {
  return { stopEarly: true, load: [], timeline: [], ...file };
}
