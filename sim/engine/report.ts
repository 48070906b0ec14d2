/** Makes the result of a run from what was watched. */
import type { SimNetwork } from "../networks/network.ts";
import type { Met, NetworkResult, NodeResult, Replay, RunResult, Series, Violation } from "../result.ts";
import { Bounds } from "./bounds.ts";
import type { Setup } from "./setup.ts";

export interface Outcome {
  readonly seed: number;
  readonly violation: Violation | null;
  readonly expectations: readonly Met[];
  readonly series: Series;
  readonly replay: Replay | null;
}

export function resultOf(setup: Setup, outcome: Outcome): RunResult {
  const { world, tracker, file } = setup;
  const { violation, expectations } = outcome;
  const bounds = new Bounds(setup);
  const failures = expectations.filter(({ ok }) => !ok).map(({ what, detail }) => `${what}: ${detail}`);
  return {
    scenario: file.name,
    seed: outcome.seed,
    ok: violation === null && failures.length === 0,
    violation,
    expectations,
    failures,
    virtual_ms: Math.round(world.elapsedMs),
    steps: world.steps,
    frames: world.frames,
    bytes: world.bytes,
    envelopes: world.peers.reduce((sum, { disk }) => sum + disk.leaves.length, 0),
    converged_ms: tracker.convergedAtMs === null ? null : Math.round(tracker.convergedAtMs),
    delivery: tracker.delivery(),
    tiers: setup.meter.tiers().map((use) => ({
      ...use,
      bound_bytes: bounds.bytes[use.tier] as number,
      bound_airtime_ms: Math.round(bounds.airtimeMs[use.tier] as number),
    })),
    networks: [...world.networks.values()].map((network) => networkOf(network, bounds)),
    nodes: world.peers.map(({ index }) => nodeOf(setup, index, bounds)),
    series: outcome.series,
    events: setup.events,
    replay: outcome.replay,
    trace_hash: world.traceHash,
  };
}

function networkOf(network: SimNetwork, bounds: Bounds): NetworkResult {
  const { name, type, members, traffic } = network;
  const bound = bounds.networks.get(name);
  return {
    name,
    type,
    members: members.length,
    frames: traffic.frames,
    bytes: traffic.bytes,
    airtime_ms: Math.round(network.airtimeMs?.() ?? 0),
    bound_bytes: bound?.bytes ?? 0,
    bound_airtime_ms: Math.round(bound?.airtimeMs ?? 0),
  };
}

function nodeOf(setup: Setup, index: number, bounds: Bounds): NodeResult {
  const { world, meter, names, places } = setup;
  const peer = world.peer(index);
  const used = meter.node(index);
  const at = places.at(index, world.elapsedMs);
  const networks = [...world.networks.values()].filter(({ members }) => members.includes(index));
  const bound = bounds.nodes[index];
  const radio = networks.map((network) => network.nodeAir?.(index) ?? null).find((air) => air !== null) ?? null;
  return {
    name: names.nameOf(index),
    x: Math.round(at.x),
    y: Math.round(at.y),
    networks: networks.map(({ name }) => name),
    running: peer.running,
    envelopes: peer.disk.leaves.length,
    issuers: peer.disk.issuers().length,
    sent_bytes: used.sentBytes,
    received_bytes: used.receivedBytes,
    bound_sent_bytes: bound?.sentBytes ?? 0,
    bound_received_bytes: bound?.receivedBytes ?? 0,
    tiers: meter.tiersOf(index),
    queue_peak_bytes: used.queuePeakBytes,
    frames_dropped: peer.queued.dropped,
    radio: radio === null ? null : { ...radio, bound_airtime_ms: Math.round(bound?.airtimeMs ?? 0) },
  };
}
