/**
 * Variations of a scenario for the search: more faults, other moments, other links, slower disks. Faults end before the
 * run does, and then everything is repaired: if nothing was lost for good, everybody must hold everything.
 */
import type { Rng } from "../rng.ts";
import type { Expectation, LinkShape, Network, ScenarioFile, TimelineEvent } from "../scenario-file.ts";
import { checkNames } from "../text/names.ts";
import { pruneNames } from "./prune.ts";

/** Changes made to one variation at most. */
const MAX_CHANGES = 5;
/** After the faults, for catching up; radios take hours (sim/settled.ts). */
const SETTLE_MS = 600_000;
const RADIO_SETTLE_MS = 4.5 * 3_600_000;
/** A virtual day of radio takes too long to search through. */
const MAX_RUN_MS = 3_600_000;

const LOSSES = [0, 0.02, 0.1, 0.3];
const LATENCIES = [1, 20, 200, 1_500];
const BITRATES = [20_000, 1e6, 50e6, 1e9];
const DISKS = [0, 2, 20, 400];

type Change = (file: ScenarioFile, rng: Rng) => ScenarioFile;

function anyNode(file: ScenarioFile, rng: Rng): string {
  const { name, count } = rng.pick(file.nodes);
  return count === 1 ? name : `${name}-${rng.integer(1, count + 1)}`;
}
function someNodes(file: ScenarioFile, rng: Rng): string[] {
  const total = file.nodes.reduce((sum, { count }) => sum + count, 0);
  return [...new Set(Array.from({ length: rng.integer(1, Math.max(2, total / 2)) }, () => anyNode(file, rng)))];
}
function moment(file: ScenarioFile, rng: Rng): number {
  return Math.round(rng.float() * 0.8 * file.durationMs);
}
function span(file: ScenarioFile, rng: Rng): number {
  return Math.round((0.01 + 0.2 * rng.float()) * file.durationMs);
}

const addCrash: Change = (file, rng) => ({
  ...file,
  timeline: [
    ...file.timeline,
    {
      type: "crash",
      atMs: moment(file, rng),
      nodes: someNodes(file, rng),
      keepDisk: rng.float() < 0.9,
      restartsAfterMs: Math.round(rng.float() * span(file, rng)),
    },
  ],
});
const addPartition: Change = (file, rng) => {
  const atMs = moment(file, rng);
  const cut: TimelineEvent = { type: "partition", atMs, sets: [someNodes(file, rng)], network: null };
  return { ...file, timeline: [...file.timeline, cut, { type: "heal", atMs: atMs + span(file, rng), network: null }] };
};
const addOutage: Change = (file, rng) => {
  if (file.networks.length === 0) return file;
  const [{ name }, atMs] = [rng.pick(file.networks), moment(file, rng)];
  const nodes = someNodes(file, rng);
  const events: TimelineEvent[] = [
    { type: "network-down", atMs, network: name, nodes },
    { type: "network-up", atMs: atMs + span(file, rng), network: name, nodes },
  ];
  return { ...file, timeline: [...file.timeline, ...events] };
};
const addBurst: Change = (file, rng) => ({
  ...file,
  timeline: [
    ...file.timeline,
    {
      type: "publish",
      atMs: moment(file, rng),
      by: someNodes(file, rng),
      fact: rng.pick(["heartbeat", "note", "incident"] as const),
      count: rng.integer(1, 200),
    },
  ],
});
const addSkew: Change = (file, rng) => ({
  ...file,
  timeline: [
    ...file.timeline,
    { type: "skew", atMs: moment(file, rng), nodes: [anyNode(file, rng)], byMs: rng.integer(-600_000, 600_000) },
  ],
});
const addCourier: Change = (file, rng) => ({
  ...file,
  timeline: [
    ...file.timeline,
    {
      type: "courier",
      atMs: moment(file, rng),
      from: anyNode(file, rng),
      to: anyNode(file, rng),
      takesMs: span(file, rng),
    },
  ],
});
const shiftEvent: Change = (file, rng) => {
  if (file.timeline.length === 0) return file;
  const chosen = rng.pick(file.timeline);
  return {
    ...file,
    timeline: file.timeline.map((one) => (one === chosen ? { ...one, atMs: moment(file, rng) } : one)),
  };
};
const dropEvent: Change = (file, rng) => {
  if (file.timeline.length === 0) return file;
  const chosen = rng.pick(file.timeline);
  return { ...file, timeline: file.timeline.filter((one) => one !== chosen) };
};
const slowDisks: Change = (file, rng) => {
  const chosen = rng.pick(file.nodes);
  const diskMs = rng.pick(DISKS);
  return { ...file, nodes: file.nodes.map((one) => (one === chosen ? { ...one, diskMs } : one)) };
};

function otherShape(shape: LinkShape, rng: Rng): LinkShape {
  const latencyMs = rng.pick(LATENCIES);
  return rng.pick([
    { ...shape, loss: rng.pick(LOSSES) },
    { ...shape, latencyMs, jitterMs: rng.pick([0, latencyMs, 4 * latencyMs]) },
    { ...shape, bitrate: rng.pick(BITRATES) },
  ]);
}
const otherLinks: Change = (file, rng) => {
  if (file.networks.length === 0) return file;
  const chosen = rng.pick(file.networks);
  const other = (network: Network): Network => {
    if (network.type === "radio") return { ...network, loss: rng.pick(LOSSES) };
    const shape = otherShape(network.shape, rng);
    return network.type === "stream"
      ? { ...network, shape, duplicates: rng.pick([0, 0.1, 0.5]) }
      : { ...network, shape };
  };
  return { ...file, networks: file.networks.map((one) => (one === chosen ? other(one) : one)) };
};

const CHANGES: readonly Change[] = [
  ...[addCrash, addCrash, addPartition, addPartition, addOutage, addBurst, addSkew, addCourier],
  ...[shiftEvent, shiftEvent, dropEvent, slowDisks, otherLinks, otherLinks],
];

function hasRadio({ networks }: ScenarioFile): boolean {
  return networks.some(({ type }) => type === "radio");
}

/** Whether nobody loses or forges history, so that catching up must succeed. */
function canConverge(file: ScenarioFile): boolean {
  const final = new Set(["attack", "clone", "restore", "revoke"]);
  const isLossless = file.timeline.every(
    (event) => !final.has(event.type) && !(event.type === "crash" && !event.keepDisk),
  );
  return (
    isLossless &&
    !hasRadio(file) &&
    file.networks.length > 0 &&
    file.expect.some(({ type }) => type === "converged") &&
    file.nodes.every(({ discloses }) => !discloses)
  );
}

/** Everything is repaired when the run would have ended, and time is left to catch up. */
function repaired(file: ScenarioFile): ScenarioFile {
  const end = file.durationMs;
  const isDown = file.timeline.some(({ type }) => type === "network-down");
  const repairs: TimelineEvent[] = [
    { type: "heal", atMs: end, network: null },
    ...(isDown ? file.networks : []).map(
      ({ name }): TimelineEvent => ({ type: "network-up", atMs: end, network: name, nodes: "*" }),
    ),
    { type: "restart", atMs: end, nodes: "*" },
  ];
  const timeline = file.timeline.map((event) => ({ ...event, atMs: Math.min(event.atMs, end) }));
  const expected: Expectation = { type: "converged", afterMs: end, withinMs: SETTLE_MS, nodes: "*", issuers: "*" };
  return {
    ...file,
    durationMs: end + (hasRadio(file) ? RADIO_SETTLE_MS : SETTLE_MS),
    timeline: [...timeline, ...repairs].sort((a, b) => a.atMs - b.atMs),
    // What was promised for the undisturbed run does not hold for this one.
    expect: canConverge(file) ? [expected] : [],
    stopEarly: canConverge(file),
  };
}

/** The same for the same numbers of `rng`. */
export function mutateScenario(file: ScenarioFile, rng: Rng): ScenarioFile {
  let out: ScenarioFile = { ...file, durationMs: Math.min(file.durationMs, MAX_RUN_MS) };
  for (let left = rng.integer(1, MAX_CHANGES + 1); left > 0; left--) {
    const changed = pruneNames(rng.pick(CHANGES)(out, rng));
    // A clone that was moved to later leaves events about nobody.
    if (checkNames({ ...changed, expect: [] }).length === 0) out = changed;
  }
  return repaired(out);
}
