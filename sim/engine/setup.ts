/** Builds the world that a scenario describes, and keeps beside it what the run watches: names, places, envelopes, logs. */
import {
  Admission,
  type AuthorityTrust,
  type Commit,
  type Issuer,
  type IssuerRecord,
  type LinkId,
  NO_TRUST,
  type RevocationScope,
  SpineError,
} from "../../spine/index.ts";
import { Meter } from "../meter.ts";
import type { SimNetwork } from "../networks/network.ts";
import { RadioNetwork } from "../networks/radio.ts";
import { StreamNetwork } from "../networks/stream.ts";
import type { SimPeer } from "../peer.ts";
import type { RunEvent } from "../result.ts";
import type { Network, NodeGroup, ScenarioFile, Select } from "../scenario-file.ts";
import { type SimPorts, World } from "../world.ts";
import { Audiences } from "./audience.ts";
import { LogFollower } from "./log-follower.ts";
import { LogKeeper } from "./log-keeper.ts";
import { Names } from "./names.ts";
import { layOut, Places } from "./places.ts";
import { pairsOf } from "./topology.ts";
import { type Tracked, Tracker } from "./tracker.ts";

const BROKER_DEGREE = 4;
const REVOKER_SCOPES: ReadonlySet<RevocationScope> = new Set(["node", "key"]);
const MAX_EVENTS = 2_000;

export class Setup {
  readonly file: ScenarioFile;
  readonly world: World;
  readonly names: Names;
  readonly places = new Places();
  readonly meter = new Meter();
  readonly tracker: Tracker;
  readonly keepers = new Map<number, LogKeeper>();
  readonly followers = new Map<number, LogFollower>();
  /** Nodes of the scenario whose key an attacker uses. */
  readonly liars = new Set<number>();
  readonly events: RunEvent[] = [];
  /** When something last kept nodes from being settled, virtual milliseconds. */
  disturbedAtMs = 0;
  #mayHold: Audiences | undefined;
  readonly #groupOf: readonly NodeGroup[];
  /** What each node's disk holds at first: whom its operator allows. */
  readonly #basis: Commit[] = [];

  constructor(file: ScenarioFile, seed: number, ports: SimPorts, onStart?: (peer: SimPeer) => void) {
    this.file = file;
    this.world = new World(seed, ports);
    this.world.meter = this.meter;
    this.world.onPeerStart = onStart;
    this.names = new Names(file.nodes);
    this.#groupOf = file.nodes.flatMap((group) => Array.from({ length: group.count }, () => group));
    this.#addNodes();
    this.tracker = new Tracker(
      (by, schema) => audiences.of(by, schema),
      (index, one) => this.#leaked(index, one),
    );
    this.#addNetworks();
    const audiences = this.#audiences();
    for (const peer of this.world.peers) this.#beginLater(peer);
  }

  note(node: number | null, what: string): void {
    if (this.events.length >= MAX_EVENTS) return;
    const name = node === null ? null : this.names.nameOf(node);
    this.events.push({ at_ms: Math.round(this.world.elapsedMs), node: name, what });
  }
  disturb(): void {
    this.disturbedAtMs = this.world.elapsedMs;
  }
  peers(select: Select): SimPeer[] {
    return this.names.select(select).map((index) => this.world.peer(index));
  }
  network(name: string): SimNetwork {
    const found = this.world.networks.get(name);
    if (found === undefined) throw new SpineError("api_input", `the scenario has no network "${name}"`);
    return found;
  }

  // ---- nodes ----

  #addNodes(): void {
    const { world, file } = this;
    const { rng } = world;
    for (const group of file.nodes) {
      for (const place of layOut(group.place, group.count, rng)) {
        const { open, diskMs, discloses, clockSkewMs: skewMs } = group;
        const peer = world.add({ open, diskMs, discloses, skewMs, keepsEvents: false, dormant: true });
        this.places.put(peer.index, place);
        if (group.keepsLog) this.keepers.set(peer.index, new LogKeeper(world, peer));
      }
    }
    // Records are shared by all disks: they are never changed, only replaced.
    const records = new Map<number, IssuerRecord>();
    for (const peer of world.peers) {
      const group = this.#groupOf[peer.index] as NodeGroup;
      const issuers = this.names.select(group.admits).filter((index) => index !== peer.index);
      const admitted = issuers.map((index) => {
        const { issuer } = world.peer(index);
        const fresh = { issuer, admission: Admission.allowed, ranges: [], prunedBelow: 0, frozenAt: null };
        const record: IssuerRecord = records.get(index) ?? fresh;
        records.set(index, record);
        return record;
      });
      this.#basis.push({ runs: [], heads: [], issuers: admitted, forks: [], states: [], rows: [] });
      peer.trustBeforeStart(this.#trustOf(group));
      this.#follow(peer, group);
      this.watch(peer);
    }
  }
  #follow(peer: SimPeer, { follows }: NodeGroup): void {
    const logs = this.names.select(follows).map((index) => this.world.peer(index).issuer);
    if (logs.length === 0) return;
    const found = (logId: Issuer): void => this.note(peer.index, `proved two views of ${this.nameOf(logId)}`);
    this.followers.set(peer.index, new LogFollower(this.world, peer, logs, found));
  }
  #trustOf({ revokers }: NodeGroup): AuthorityTrust {
    const issuers = this.names.select(revokers).map((index) => this.world.peer(index).issuer);
    for (const issuer of issuers) this.world.invariants.revokers.add(issuer);
    if (issuers.length === 0) return NO_TRUST;
    return { ...NO_TRUST, revokers: new Map(issuers.map((issuer) => [issuer, { scopes: REVOKER_SCOPES, quorum: 1 }])) };
  }
  /** Follows what a node stores. */
  watch(peer: SimPeer): void {
    peer.onCommitted = (commit) => this.#committed(peer, commit);
    peer.onEvent = (event) => {
      this.followers.get(peer.index)?.heard(event);
      if (event.type === "fork") this.note(peer.index, `froze ${this.nameOf(event.issuer)} at ${event.seq}`);
      if (event.type === "own-key-conflict") this.note(peer.index, "stopped: somebody else signs with its key");
      if (event.type === "peer-revoked")
        this.note(peer.index, `closed its link to ${this.nameOf(event.issuer)}, revoked`);
    };
  }
  /** Name of the node with that key; the key's begin if there is none. */
  nameOf(issuer: string): string {
    const found = this.world.peers.find((peer) => peer.issuer === issuer);
    return found === undefined ? issuer.slice(0, 28) : this.names.nameOf(found.index);
  }
  #committed(peer: SimPeer, commit: Commit): void {
    if (commit.runs.length === 0) return;
    const { elapsedMs } = this.world;
    for (const run of commit.runs) {
      if (run.issuer !== peer.issuer || this.liars.has(peer.index)) continue;
      this.disturb();
      for (const [i, hash] of run.hashes.entries()) {
        const row = peer.disk.at(run.issuer, run.from + i);
        if (row === undefined) continue;
        const { factSchema: schema, record } = row;
        this.tracker.published(
          { hash, by: peer.index, issuer: run.issuer, seq: run.from + i, schema, bytes: record.length },
          elapsedMs,
        );
      }
    }
    this.tracker.stored(peer.index, commit, elapsedMs);
    this.keepers.get(peer.index)?.committed(commit);
    for (const network of this.world.networks.values()) network.stored?.(peer.index);
  }
  #beginLater(peer: SimPeer): void {
    const { joinsAtMs } = this.#groupOf[peer.index] as NodeGroup;
    if (joinsAtMs <= 0) return this.begin(peer);
    this.world.clock.schedule(this.world.now() + joinsAtMs, () => {
      if (peer.running) return;
      this.begin(peer);
      this.note(peer.index, "joined");
      this.disturb();
    });
  }
  begin(peer: SimPeer): void {
    const basis = this.#basis[peer.index];
    // On a new disk the operator allows again whom he allowed before.
    if (basis !== undefined && peer.disk.load().issuers.length === 0) peer.disk.apply(basis);
    peer.start();
    this.keepers.get(peer.index)?.restarted();
    this.followers.get(peer.index)?.restarted();
    this.world.linkAgain(peer);
    peer.feed({ type: "ask-own-chain" });
  }

  /** Who is at the other end of a link: streams name nodes by number, radios by address. */
  remoteOf(link: LinkId): string {
    const [, network, index] = /^(.*)\/(\d+)#\d+$/.exec(link) ?? [];
    if (index !== undefined) return `${this.names.nameOf(Number(index))} over ${network}`;
    const address = link.slice(0, link.lastIndexOf("/"));
    for (const one of this.world.networks.values()) {
      const found = one instanceof RadioNetwork ? one.indexOf(address) : undefined;
      if (found !== undefined) return `${this.names.nameOf(found)} over ${one.name}`;
    }
    return link;
  }

  /** A node stores what no gateway should have let through to it. */
  #leaked(index: number, { by, seq, schema }: Tracked): void {
    if (this.#mayHold?.of(by, schema).has(index) !== false) return;
    const what = `${this.names.nameOf(index)} holds seq ${seq} of ${this.names.nameOf(by)}, ${schema}`;
    this.world.invariants.fail("gateways let through what policy says", what, index, by);
  }

  // ---- networks ----

  #addNetworks(): void {
    for (const network of this.file.networks) {
      if (this.world.networks.has(network.name))
        throw new SpineError("api_input", `two networks are called "${network.name}"`);
      const members = this.names.select(network.members);
      if (network.type === "radio") this.world.join(new RadioNetwork(this, network, members));
      else this.#addStreams(network, members);
    }
  }
  #addStreams(network: Exclude<Network, { type: "radio" }>, members: readonly number[]): void {
    const { world } = this;
    const { name, type } = network;
    const isBroker = network.type === "broker";
    const plane = isBroker ? "nats" : network.plane;
    const duplicates = isBroker ? 0 : network.duplicates;
    const gossips = plane !== "wireguard";
    const streams = world.join(new StreamNetwork(world, { name, type, plane, gossips, duplicates }));
    const topology = isBroker ? ({ type: "random", degree: BROKER_DEGREE } as const) : network.topology;
    // Everything through a broker goes to it and from it.
    const { shape } = network;
    const whole = { ...shape, latencyMs: 2 * shape.latencyMs, jitterMs: 2 * shape.jitterMs };
    for (const [a, b] of pairsOf(topology, members, world.rng, (one) => this.names.index(one)))
      streams.connect(a, b, isBroker ? whole : shape);
    if (network.type === "broker" && network.streams) streams.addStream(members, shape);
  }
  /** Who should end with what; beside it who may, whatever operators allow, where no courier goes round the gateways. */
  #audiences(): Audiences {
    const networks = [...this.world.networks.values()];
    const everybody = this.#admitted("*");
    const members = this.#groupOf.map(({ discloses, admits, open }) => ({
      discloses,
      admits: open ? everybody : this.#admitted(admits),
    }));
    if (!this.file.timeline.some(({ type }) => type === "courier"))
      this.#mayHold = new Audiences(
        members.map(({ discloses }) => ({ discloses, admits: everybody })),
        networks,
      );
    return new Audiences(members, networks);
  }
  readonly #admittedBy = new Map<Select, ReadonlySet<number>>();
  #admitted(select: Select): ReadonlySet<number> {
    const known = this.#admittedBy.get(select) ?? new Set(this.names.select(select));
    this.#admittedBy.set(select, known);
    return known;
  }
}
