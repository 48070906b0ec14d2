/** The one schema of scenario files: names, bounds, defaults and meaning of every field of `ScenarioFile`. */
import type {
  Attack,
  BrokerNetwork,
  Expectation,
  LinkShape,
  Load,
  Network,
  NodeGroup,
  PathLoss,
  Place,
  Placement,
  RadioNetwork,
  ScenarioFile,
  Select,
  StreamNetwork,
  TimelineEvent,
  Topology,
} from "../scenario-file.ts";
import { LOAD_FACTS } from "../scenario-file.ts";
import {
  duration,
  exactly,
  type Fields,
  flag,
  list,
  may,
  need,
  number,
  object,
  orNull,
  pair,
  type Shape,
  text,
  textOrList,
  union,
  whole,
  word,
} from "./shape.ts";

const DAY_MS = 86_400_000;
/** Of a whole run. */
const MAX_DURATION_MS = 366 * DAY_MS;
export const MAX_NODES = 100_000;
const MAX_ITEMS = 10_000;
const MAX_GROUPS = 1_000;

const time: Shape<number> = duration(0, MAX_DURATION_MS);
/** Of a load that goes on for as long as the run. */
const ENDLESS_MS: number = Number.MAX_SAFE_INTEGER;
const until: Shape<number> = {
  schema: { anyOf: [time.schema, { const: "end" }] },
  write: (ms) => (ms >= ENDLESS_MS ? "end" : time.write(ms)),
  read: (value, path, problems) => (value === "end" ? ENDLESS_MS : time.read(value, path, problems)),
};
const between: Shape<number> = duration(1, MAX_DURATION_MS);
const groupName: Shape<string> = text(64, /^[A-Za-z][A-Za-z0-9_]*$/, "a name of letters, digits and _");
const anyName: Shape<string> = text(64, /^[A-Za-z][A-Za-z0-9_-]*$/, "a name of letters, digits, _ and -");
/** `*`, or a group, its first and its last node. */
export const SELECTION: RegExp = /^(?:\*|([A-Za-z][A-Za-z0-9_]*)(?:-(\d{1,6})(?:\.\.(\d{1,6}))?)?)$/;
const selector: Shape<string> = text(64, SELECTION, "*, GROUP, GROUP-3 or GROUP-2..5");
const select: Shape<Select> = textOrList(selector, list(selector, MAX_ITEMS));
const fact: Shape<Load["fact"]> = word(LOAD_FACTS);
const probability: Shape<number> = number(0, 1);
const counts: Shape<number> = whole(0, 1_000_000);
const place: Shape<Place> = pair(
  number(-1e7, 1e7),
  (x, y) => ({ x, y }),
  ({ x, y }) => [x, y],
);
const nodePair: Shape<readonly [string, string]> = pair(
  selector,
  (a, b) => [a, b] as const,
  ([a, b]) => [a, b],
);

const CENTRE: Place = { x: 0, y: 0 };
const NOBODY: Select = [];

const placement: Shape<Placement> = union<Placement>({
  point: { at: may("at", place, CENTRE, "[east, north] in metres; several nodes stand around it.") },
  line: { from: need("from", place, "First node."), to: need("to", place, "Last node.") },
  grid: { from: need("from", place, "One corner."), to: need("to", place, "The opposite corner.") },
  disc: {
    at: may("at", place, CENTRE, "Its centre."),
    radiusM: need("radiusM", number(1, 1e7), "Nodes stand at random within it, by the seed."),
  },
});

const group: Shape<NodeGroup> = object<NodeGroup>({
  name: need("name", groupName, "Nodes are NAME if there is one, else NAME-1, NAME-2 and so on."),
  count: may("count", whole(1, MAX_NODES), 1, "Number of nodes."),
  joinsAtMs: may("joinsAt", time, 0, "When they start for the first time."),
  diskMs: may("disk", duration(0, 60_000), 2, "From a commit to its being durable."),
  open: may("open", flag, false, "Lab mode: admit strangers."),
  admits: may<Select>("admits", select, "*", "Issuers that their operators allow."),
  revokers: may("revokers", select, NOBODY, "Issuers whose revocations of nodes are obeyed."),
  keepsLog: may("keepsLog", flag, false, "Keeps a transparency log and checkpoints it."),
  follows: may("follows", select, NOBODY, "Issuers whose logs' checkpoints it follows."),
  discloses: may("discloses", flag, false, "With several planes: the default gateway policy decides what crosses."),
  clockSkewMs: may("clockSkew", duration(-MAX_DURATION_MS, MAX_DURATION_MS), 0, "How far its clock is ahead."),
  place: may<Placement>("place", placement, { type: "point", at: CENTRE }, "Where they stand."),
});

const shape: Shape<LinkShape> = object<LinkShape>({
  latencyMs: may("latency", duration(0, 3_600_000), 40, "One way."),
  jitterMs: may("jitter", duration(0, 3_600_000), 20, "Added at random, up to this."),
  loss: may("loss", number(0, 0.99), 0.01, "Probability that a frame has to be sent again."),
  bitrate: may("bitrate", number(1, 1e12), 50e6, "Bits per second."),
});
const INTERNET_SHAPE: LinkShape = { latencyMs: 40, jitterMs: 20, loss: 0.01, bitrate: 50e6 };

const topology: Shape<Topology> = union<Topology>({
  line: {},
  ring: { chords: may("chords", counts, 0, "Further links between members picked by the seed.") },
  full: {},
  star: { hubs: may("hubs", whole(1, 1_000), 1, "So many first members are joined with everybody.") },
  random: { degree: may("degree", whole(1, 1_000), 4, "Links of one member, about.") },
  links: { links: need("links", list(nodePair, 1_000_000), "Pairs of nodes.") },
});

const networkName = need("name", anyName, "What the timeline calls it.");
const members = may<Select>("members", select, "*", "Who takes part.");

const stream: Fields<Omit<StreamNetwork, "type">> = {
  name: networkName,
  plane: may("plane", word(["libp2p", "wireguard"]), "libp2p", "libp2p gossips too; wireguard has only its links."),
  members,
  topology: may<Topology>("topology", topology, { type: "ring", chords: 0 }, "Who is linked with whom."),
  shape: may("shape", shape, INTERNET_SHAPE, "Of each link: reliable and ordered, loss costs time."),
  duplicates: may("duplicates", probability, 0, "Of gossip: probability of a second, late copy."),
};

const broker: Fields<Omit<BrokerNetwork, "type">> = {
  name: networkName,
  members,
  shape: may("shape", shape, INTERNET_SHAPE, "Of each member's connection to the server."),
  streams: may("streams", flag, true, "The server keeps what members publish, for all to read (JetStream)."),
};

const pathLoss: Shape<PathLoss> = union<PathLoss>({
  distance: {
    atOneKmDb: may("atOneKmDb", number(0, 300), 125, "Loss over the first kilometre."),
    exponent: may("exponent", number(1, 8), 3.5, "2 in free space, 3 to 4 in a town."),
    terrainDb: may("terrainDb", number(0, 40), 6, "Standard deviation between pairs of places, by the seed."),
  },
  links: {
    links: need("links", list(nodePair, 1_000_000), "Pairs that hear each other; others do not."),
    lossDb: may("lossDb", number(0, 300), 130, "Between them."),
  },
  line: { lossDb: may("lossDb", number(0, 300), 130, "To the member before and after.") },
  same: { lossDb: may("lossDb", number(0, 300), 130, "Between any two.") },
});

const radio: Fields<Omit<RadioNetwork, "type">> = {
  name: networkName,
  members,
  peers: may("peers", orNull(topology), null, "Who is configured to link with whom; left out: by discovery."),
  transport: may("transport", select, NOBODY, "Members that pass Reticulum packets on for others."),
  mailAt: may("mailAt", orNull(selector), null, "Member that keeps urgent facts for absent configured peers (LXMF)."),
  frequencyHz: may("frequencyHz", number(1e8, 3e9), 869_525_000, "Centre of the channel."),
  bandwidthHz: may("bandwidthHz", number(100, 1_625_000), 125_000, "Its width."),
  spreadingFactor: may("spreadingFactor", whole(5, 12), 8, "5 to 12: slower and farther."),
  codingRate: may("codingRate", whole(5, 8), 5, "Denominator of 4/5 to 4/8."),
  txPowerDbm: may("txPowerDbm", number(-20, 40), 14, "Of each sender."),
  duty: may("duty", number(0.0001, 1), 0.1, "Share of each hour that one member may send."),
  pathLoss: may<PathLoss>("pathLoss", pathLoss, { type: "same", lossDb: 130 }, "Who hears whom, and how well."),
  loss: may("loss", number(0, 0.99), 0, "Probability that an otherwise good frame is lost."),
};

const load: Shape<Load> = object<Load>({
  by: need<Select>("by", select, "Who publishes."),
  fact: may<Load["fact"]>("fact", fact, "note", "Kind of fact, which decides its priority."),
  fromMs: may("from", time, 0, "Not before."),
  untilMs: may("until", until, ENDLESS_MS, "Not after."),
  everyMs: may("every", time, 0, "Between two batches of one node; 0 s: there is one only."),
  spread: may("spread", flag, false, "Nodes begin at different moments, by the seed."),
  batch: may("batch", whole(1, 100_000), 1, "Facts at once."),
  times: may("times", counts, 0, "Batches of one node at most; 0: as many as fit."),
  padBytes: may("padBytes", whole(0, 60_000), 0, "Text added to each fact."),
});

const attack: Shape<Attack> = union<Attack>({
  fork: {
    trunk: may("trunk", counts, 10, "Envelopes of the common history before."),
    branches: need(
      "branches",
      list(
        object<{ to: Select; length: number }>({
          to: need<Select>("to", select, "Who is shown this one."),
          length: may("length", whole(1, 100_000), 10, "Its envelopes."),
        }),
        100,
        2,
      ),
      "The histories that contradict each other.",
    ),
  },
  "split-view": {
    left: need<Select>("left", select, "Who is shown one root."),
    right: need<Select>("right", select, "Who is shown the other."),
  },
  sybil: {
    issuers: may("issuers", whole(1, 1_000_000), 1_000, "Made-up identities."),
    everyMs: may("every", between, 100, "Between two of them."),
  },
  flood: {
    perSecond: may("perSecond", number(0.001, 1_000_000), 1_000, "Messages."),
    forMs: may("for", time, 10_000, "How long."),
  },
});

const at = { atMs: need("at", time, "When.") };
const nodes = need<Select>("nodes", select, "Which nodes.");
const oneNetwork = need("network", anyName, "Which network.");
const anyNetwork = may("network", orNull(anyName), null, "One network; all if left out.");

const timelineEvent: Shape<TimelineEvent> = union<TimelineEvent>({
  partition: {
    ...at,
    sets: need("sets", list(select, 1_000, 1), "Links between these, and to everybody else, are cut."),
    network: anyNetwork,
  },
  heal: { ...at, network: anyNetwork },
  "network-down": { ...at, network: oneNetwork, nodes: may<Select>("nodes", select, "*", "For whom.") },
  "network-up": { ...at, network: oneNetwork, nodes: may<Select>("nodes", select, "*", "For whom.") },
  crash: {
    ...at,
    nodes,
    keepDisk: may("keepDisk", flag, true, "false: the disk is lost too."),
    restartsAfterMs: may("restartsAfter", orNull(time), null, "Left out: it stays down until a restart."),
  },
  restart: { ...at, nodes },
  skew: { ...at, nodes, byMs: need("by", duration(-MAX_DURATION_MS, MAX_DURATION_MS), "The clock jumps by.") },
  backup: { ...at, nodes },
  restore: { ...at, nodes },
  clone: {
    ...at,
    of: need("of", selector, "Whose key and disk it has."),
    name: need("name", groupName, "Its name."),
    network: oneNetwork,
    peers: need<Select>("peers", select, "Whom it is linked with."),
  },
  move: { ...at, nodes, to: need("to", place, "Where to."), overMs: may("over", time, 0, "How long it takes.") },
  publish: {
    ...at,
    by: need<Select>("by", select, "Who."),
    fact: may<Load["fact"]>("fact", fact, "note", "Kind of fact."),
    count: may("count", whole(1, 100_000), 1, "How many each."),
  },
  revoke: { ...at, by: need("by", selector, "A revoker."), target: need("target", selector, "Whose key is revoked.") },
  courier: {
    ...at,
    from: need("from", selector, "Whose envelopes are carried."),
    to: need("to", selector, "Who imports them."),
    takesMs: may("takes", time, 3_600_000, "The way."),
  },
  attack: { ...at, by: need("by", selector, "The attacker."), attack: need("attack", attack, "What it does.") },
});

const window = {
  afterMs: may("after", time, 0, "Looked at from here on."),
  withinMs: need("within", time, "Must be so within this."),
};
const issuers = may<Select>("issuers", select, "*", "Whose envelopes.");
const atNodes = may<Select>("nodes", select, "*", "At which nodes.");

const expectation: Shape<Expectation> = union<Expectation>({
  converged: { ...window, nodes: atNodes, issuers },
  apart: { ...window, nodes: atNodes, issuers },
  revoked: { ...window, target: need("target", selector, "Whose key."), nodes: atNodes },
  frozen: {
    ...window,
    issuer: need("issuer", selector, "Who."),
    nodes: atNodes,
    seq: may("seq", orNull(whole(0, 1e9)), null, "At this seq; left out: the same everywhere."),
  },
  "not-frozen": { ...window, issuers, nodes: atNodes },
  signing: { ...window, nodes, is: may("is", flag, true, "false: it must not sign.") },
  "strangers-at-most": {
    ...window,
    nodes: atNodes,
    envelopes: may("envelopes", counts, 0, "Stored."),
    claims: may("claims", counts, 0, "Heads kept."),
  },
  "urgent-within": { ...window, nodes: atNodes, ms: need("time", time, "From durable to held by all of them.") },
  checkpoints: {
    ...window,
    nodes: atNodes,
    atLeast: may("atLeast", counts, 0, "Of each log."),
    atMost: may("atMost", counts, 1_000_000, "Of each log."),
  },
  "split-view-proven": { ...window, log: need("log", selector, "Whose log."), nodes: atNodes },
  "airtime-within": {
    ...window,
    network: oneNetwork,
    timesBound: need("timesBound", number(0, 1e6), "Times the least that would do."),
  },
});

export const SCENARIO_SCHEMA_NAME = "spine.scenario.v1";

/** Seeds are whole numbers of 32 bits. */
export const MAX_SEED = 4_294_967_295;

/** A scenario as it stands in a file. */
export interface StoredScenario extends ScenarioFile {
  readonly schema: typeof SCENARIO_SCHEMA_NAME;
  readonly seed: number;
}

const fields: Fields<StoredScenario> = {
  schema: need("schema", exactly(SCENARIO_SCHEMA_NAME), "Kind and version of the file."),
  name: need("name", text(64, /^[a-z0-9][a-z0-9-]*$/, "a name of lower-case letters, digits and -"), "Its name."),
  seed: may("seed", whole(0, MAX_SEED), 1, "What all chance comes from when --seed is not given."),
  summary: may("summary", text(500), "", "What it shows."),
  durationMs: need("duration", duration(1, MAX_DURATION_MS), "Virtual time of the run."),
  stopEarly: may("stopEarly", flag, true, "End as soon as every expectation was met."),
  nodes: need("nodes", list(group, MAX_GROUPS, 1), "Groups of nodes."),
  networks: may("networks", list<Network>(union<Network>({ stream, broker, radio }), 1_000), [], "What joins them."),
  load: may("load", list(load, MAX_ITEMS), [], "What they publish as time goes by."),
  timeline: may("timeline", list(timelineEvent, MAX_ITEMS), [], "What happens to them."),
  expect: may("expect", list(expectation, MAX_ITEMS), [], "What must be so; the invariants are checked anyway."),
};

export const scenarioShape: Shape<StoredScenario> = object(fields);
