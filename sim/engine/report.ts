/** Makes the result of a run from what was watched. */
import type { SimNetwork } from "../networks/network.ts";
import type { Met, NetworkResult, NodeResult, Replay, RunResult, Series, Violation } from "../result.ts";
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
    tiers: setup.meter.tiers(),
    networks: [...world.networks.values()].map((network) => networkOf(setup, network)),
    nodes: world.peers.map(({ index }) => nodeOf(setup, index)),
    series: outcome.series,
    events: setup.events,
    replay: outcome.replay,
    trace_hash: world.traceHash,
  };
}

function networkOf({ tracker }: Setup, network: SimNetwork): NetworkResult {
  const { name, type, members, traffic } = network;
  const air = network.air?.() ?? { airtimeMs: 0, boundAirtimeMs: 0 };
  const inside = new Set(members);
  let bound = 0;
  for (const one of tracker.all()) {
    let receivers = 0;
    for (const member of inside) if (member !== one.by && one.held.has(member)) receivers++;
    // Who brings it into the network is one of its members already.
    bound += one.bytes * Math.max(0, inside.has(one.by) ? receivers : receivers - 1);
  }
  return {
    name,
    type,
    members: members.length,
    frames: traffic.frames,
    bytes: traffic.bytes,
    airtime_ms: Math.round(air.airtimeMs),
    bound_bytes: bound,
    bound_airtime_ms: Math.round(air.boundAirtimeMs),
  };
}

function nodeOf(setup: Setup, index: number): NodeResult {
  const { world, meter, names, places } = setup;
  const peer = world.peer(index);
  const used = meter.node(index);
  const at = places.at(index, world.elapsedMs);
  const networks = [...world.networks.values()].filter(({ members }) => members.includes(index));
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
    tiers: meter.tiersOf(index),
    queue_peak_bytes: used.queuePeakBytes,
    frames_dropped: peer.queued.dropped,
    radio,
  };
}
