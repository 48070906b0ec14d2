/**
 * Plane A-R: Spine frames over Reticulum (spec/spine.md section 16.5). A node is the destination `aegis.spine`; two nodes
 * hold one link, on which the one that dialled identifies itself. Frames arrive, or the link ends. On slow wires envelopes
 * for several neighbours are broadcast once, and below 50 bit/s there are packets instead of links.
 */
import {
  CONTROL_TIER,
  type Envelope,
  encodeCompactHead,
  fromHex,
  type Head,
  isFragment,
  type LinkId,
  type LinkInfo,
  packFrame,
  plainFrame,
  SpineError,
  STATEMENT,
  type Tier,
  toHex,
  unpackFrame,
  type Verdict,
} from "../../../spine/index.ts";
import { EventQueue } from "../../event-queue.ts";
import { Lifecycle } from "../../lifecycle.ts";
import { FAULT_POINTS, PenaltyBook } from "../../penalties.ts";
import type { Plane, PlaneEvent, PlanePeer, PlaneTraits } from "../../plane.ts";
import type { AnnounceEvent } from "../stack/announces.ts";
import { Destination, RemoteDestination } from "../stack/destination.ts";
import { ADDRESS_BYTES } from "../stack/hash.ts";
import type { Link } from "../stack/link.ts";
import { SINGLE } from "../stack/name.ts";
import type { Station } from "../station.ts";
import { Absent, type Delivery } from "./absent.ts";
import { PREFIX, parseReticulumAddress } from "./address.ts";
import { AirBroadcast } from "./air-broadcast.ts";
import { Announcing } from "./announcing.ts";
import { type CarryHooks, CarryLink } from "./carry-link.ts";
import { Comparing } from "./comparing.ts";
import { newCounts } from "./counts.ts";
import { Dialer } from "./dialer.ts";
import { Hearing } from "./hearing.ts";
import { DEFAULT_RETICULUM_LIMITS, type ReticulumLimits, type ReticulumPlaneOptions } from "./options.ts";
import type { RadioWireStatus } from "./radio-line.ts";
import { SlowWires } from "./slow-wires.ts";
import { isSpelling, openSpelling, pushedAlone, sha256Hex } from "./spellings.ts";

const APP_NAME = "aegis";
const ASPECTS = ["spine"];
/** Links dialled by both sides at about the same time: the one of the smaller address stands. */
const CROSSING_MS = 10_000;
/** Nodes that heard of each other at the same moment dial over so long a time. */
const SPREAD_MS = 60_000;

export class ReticulumPlane implements Plane {
  readonly name: string;
  readonly traits: PlaneTraits = {
    broadcast: true,
    ordered: true,
    reliable: true,
    authenticated: true,
    storeAndForward: true,
  };
  readonly destination: Destination;
  readonly #options: ReticulumPlaneOptions;
  readonly #limits: ReticulumLimits;
  readonly #station: Station;
  readonly #life: Lifecycle;
  readonly #queue = new EventQueue();
  readonly #penalties: PenaltyBook;
  readonly #configured = new Set<string>();
  readonly #dialer: Dialer;
  readonly #announcing: Announcing;
  /** Links that are up, and those that only wait for the peer's hello. */
  readonly #links = new Map<LinkId, CarryLink>();
  readonly #startedAt = new Map<CarryLink, number>();
  readonly #counts = newCounts();
  readonly #wires: SlowWires;
  readonly #air: AirBroadcast;
  readonly #absent: Absent;
  readonly #comparing: Comparing;
  readonly #hearing: Hearing;
  readonly #chance: () => number;
  #linkNumber = 0;
  #deafen: () => void = () => {};
  #stopped: Promise<void> | undefined;
  readonly #ending = new AbortController();

  constructor(options: ReticulumPlaneOptions) {
    this.name = options.name ?? "reticulum";
    this.#options = options;
    this.#chance = options.chance ?? Math.random;
    this.#limits = { ...DEFAULT_RETICULUM_LIMITS, ...options.limits };
    this.#station = options.station;
    this.#life = new Lifecycle(this.name);
    this.#penalties = new PenaltyBook({ now: () => this.#station.clock.now() });
    const { identity, ratchets, log } = options;
    const about = { type: SINGLE, appName: APP_NAME, aspects: ASPECTS, identity } as const;
    this.destination = new Destination({ ...about, ...(ratchets === undefined ? {} : { ratchets }) });
    this.destination.onLink = (link) => this.#asked(link);
    this.#hearing = new Hearing(this.name, this.#queue, this.#station.clock, this.#counts);
    this.destination.onPacket = (data) => {
      if (this.#life.running) (data[0] === STATEMENT ? this.#comparing : this.#hearing).packet(data);
    };
    this.destination.proofs = (data) => isSpelling(data) || isFragment(data) || this.#comparing.isGenuine(data);
    this.#wires = new SlowWires(this.#station, this.#limits, options.airOf);
    this.#announcing = new Announcing(this.#station, this.destination, ({ id }) => this.#wires.airOf(id), this.#chance);
    const shared = {
      ...{ station: this.#station, chance: this.#chance, counts: this.#counts },
      lineOf: this.#wires.lineOf.bind(this.#wires),
      packetsOnly: (wire: string) => this.#wires.packetsOnly(wire),
      configured: () => this.#configured,
      isLinked: (peer: string) => this.#linkOf(peer) !== undefined,
    };
    this.#air = new AirBroadcast(
      {
        ...shared,
        neighbours: (wire) => this.#linksOn(wire),
        heard: (wire, envelope) => this.#hearing.stray(this.#viaAir(wire), { type: "envelope", envelope }),
      },
      this.destination.hash,
      options.groupKey,
    );
    const recorded = (delivery: Delivery): void => options.onDelivery?.(delivery);
    this.#absent = new Absent({ ...shared, recorded, mail: options.mail });
    const compare = (peer: string, statement: Uint8Array | null): void =>
      this.#queue.push({ type: "compare", peer, statement }, statement?.length ?? 0);
    this.#comparing = new Comparing({ ...shared, compare, identity, own: this.destination });
    this.#dialer = new Dialer(this.#station, this.#limits, {
      ...shared,
      isBanned: (peer) => this.#penalties.isBanned(peer),
      // A ring and a half of links is enough: the air is heard by all.
      isWanted: (peer, wire) => {
        const { hex } = this.destination;
        const isHard = (one: string): boolean => this.#dialer.isHard(one);
        return this.#hearing.follows(hex, peer, wire, this.#limits.slowTargetLinks, isHard);
      },
      airIn: (wire) => this.#wires.airIn(wire),
      isSlow: (wire) => this.#wires.isSlow(wire),
      aheadMs: (wire) => this.#wires.aheadMs(wire),
      opened: (peer, link) => this.#opened(peer, link),
      log,
    });
  }

  async start({ signal }: { signal: AbortSignal }): Promise<void> {
    this.#life.begin();
    try {
      await Promise.resolve();
      signal.throwIfAborted();
      for (const address of this.#options.peers ?? []) this.#configured.add(parseReticulumAddress(address));
      if (this.#options.ownsStation) await this.#station.start();
      signal.throwIfAborted();
    } catch (cause) {
      await this.stop();
      if (cause instanceof SpineError && cause.code === "port_in_use") throw cause;
      throw new SpineError("plane_start_failed", `${this.name} did not start`, { cause });
    }
    if (!this.#life.ready()) {
      await this.stop();
      throw new SpineError("plane_start_failed", "stopped during start");
    }
    const { endpoint } = this.#station;
    this.#wires.start();
    this.#station.act(() => {
      endpoint.register(this.destination);
      this.#air.start();
      this.#deafen = endpoint.onAnnounce({
        name: this.destination.name,
        pathResponses: true,
        heard: (announce) => this.#met(announce),
      });
    });
    this.#announcing.start();
    this.#comparing.start();
    for (const peer of this.#configured) this.#dialer.dial(peer, true);
  }

  events(): AsyncIterable<PlaneEvent> {
    return this.#queue.events();
  }

  async send(link: LinkId, frame: Uint8Array, options: { signal: AbortSignal; tier?: Tier }): Promise<void> {
    const { signal, tier = CONTROL_TIER } = options;
    this.#life.requireRunning();
    signal.throwIfAborted();
    const known = this.#links.get(link);
    if (known === undefined || !known.up) throw new SpineError("link_unknown", `no link ${link}`);
    const wire = known.link.wireId ?? "";
    const { mtuBytes } = this.#wires.linkLimits(wire);
    if (frame.length < 1 || frame.length > mtuBytes) {
      throw new SpineError("frame_size", `frame of ${frame.length} bytes, limit ${mtuBytes}`);
    }
    const slow = this.#wires.isSlow(wire);
    const envelope = slow ? pushedAlone(frame) : undefined;
    // A push that the air carries to all neighbours at once, or that this one has, needs no frame of its own.
    if (envelope !== undefined && this.#air.push(wire, known.peer, envelope, tier)) return;
    const isNeedless = envelope === undefined ? undefined : () => this.#air.isKnown(known.peer, envelope);
    const packed = slow ? packFrame(frame, sha256Hex) : plainFrame(frame);
    const bytes = packed.length;
    if ((await known.send(packed, signal, tier, isNeedless)) === "held") this.#counts.sends_held++;
    this.#counts.frames_sent++;
    this.#counts.bytes_sent += bytes;
  }

  async broadcast(data: Uint8Array, options: { signal: AbortSignal; tier?: Tier }): Promise<number> {
    const { signal, tier } = options;
    this.#life.requireRunning();
    signal.throwIfAborted();
    if (data.length < 1 || data.length > this.#limits.maxGossipBytes) {
      throw new SpineError("frame_size", `broadcast of ${data.length} bytes, limit ${this.#limits.maxGossipBytes}`);
    }
    return this.#hearing.remember(data) ? this.#spread(data, null, tier) : 0;
  }

  leave(envelope: Envelope, tier: Tier): void {
    if (!this.#life.running) return;
    this.#air.holds(envelope);
    this.#absent.leave(envelope, tier);
  }

  state(peer: string, body: Uint8Array): void {
    if (this.#life.running) this.#comparing.say(peer, body);
  }
  hand(peer: string, envelope: Envelope, tier: Tier): void {
    if (this.#life.running) this.#absent.hand(peer, envelope, tier);
  }

  /** What announces say of the own chain from now on. */
  stateHead(head: Head): void {
    this.destination.appData = encodeCompactHead(head);
  }

  judge(id: string, verdict: Verdict): void {
    const pending = this.#hearing.judged(id);
    if (pending === undefined) return;
    if (verdict === "accept") this.#spread(pending.data, pending.link);
    if (verdict === "reject") this.penalise(pending.link, "gossip_rejected");
  }

  penalise(link: LinkId, code: string): void {
    const known = this.#links.get(link);
    if (known === undefined || !this.#penalties.add(known.peer, FAULT_POINTS)) return;
    this.#options.log?.("reticulum peer banned", { peer: known.peer, code });
    known.end("banned");
  }

  disconnect(link: LinkId, reason: string): void {
    this.#links.get(link)?.end(reason);
  }

  async addPeer(address: string): Promise<void> {
    if (this.#life.state === "stopped") this.#life.requireRunning();
    const peer = parseReticulumAddress(address);
    if (peer === this.destination.hex) throw new SpineError("peer_address", "that is this node's own address");
    this.#configured.add(peer);
    if (this.#life.running) this.#dialer.dial(peer, true);
  }

  async removePeer(id: string): Promise<void> {
    if (!this.#configured.delete(id)) return;
    this.#dialer.forget(id);
    this.#linkOf(id)?.end("removed");
  }

  peers(): readonly PlanePeer[] {
    const linked = new Map([...this.#links.values()].filter(({ up }) => up).map(({ peer, id }) => [peer, id]));
    return [...new Set([...this.#configured, ...linked.keys()])].map((id) => ({
      id,
      addresses: [PREFIX + id],
      configured: this.#configured.has(id),
      link: linked.get(id) ?? null,
    }));
  }

  addresses(): readonly string[] {
    return this.#life.running ? [PREFIX + this.destination.hex] : [];
  }

  counters(): Readonly<Record<string, number>> {
    return {
      ...this.#counts,
      links: [...this.#links.values()].filter(({ up }) => up).length,
      queued_bytes: this.#queue.bytes,
      penalties: this.#penalties.penalties,
      bans: this.#penalties.bans,
    };
  }

  stop(): Promise<void> {
    this.#stopped ??= this.#stop();
    return this.#stopped;
  }
  async #stop(): Promise<void> {
    this.#life.end();
    this.#ending.abort();
    this.#dialer.stop();
    this.#deafen();
    this.#announcing.stop();
    this.#wires.stop();
    this.#absent.stop();
    this.#comparing.stop();
    for (const link of [...this.#links.values()]) link.end("stopped");
    this.#station.act(() => {
      this.#air.stop();
      this.#station.endpoint.deregister(this.destination);
    });
    if (this.#options.ownsStation) await this.#station.stop();
    this.#hearing.clear();
    this.#queue.end("stopped");
  }
  async [Symbol.asyncDispose](): Promise<void> {
    await this.stop();
  }

  // ---- links ----

  /** An `aegis.spine` destination was announced. The node with the smaller address dials, so that one link is made. */
  #met({ destination, appData, hops, wire }: AnnounceEvent): void {
    const peer = toHex(destination);
    if (hops === 1) this.#hearing.from(peer, wire);
    if (!this.#life.running || peer === this.destination.hex) return;
    if (isSpelling(appData)) this.#hearing.spelling("announce", appData);
    this.#dialer.heard(peer);
    this.#absent.heard(peer);
    this.#comparing.heard(peer);
    if (!this.#options.discover || this.#configured.has(peer) || this.#penalties.isBanned(peer)) return;
    if (this.#wires.isSlow(wire)) this.#dialer.meet(peer, wire, SPREAD_MS * this.#chance());
    else if (this.destination.hex < peer && this.#links.size + this.#dialer.size < this.#limits.targetLinks)
      this.#dialer.dial(peer, false);
  }
  #linkOf(peer: string): CarryLink | undefined {
    for (const link of this.#links.values()) if (link.peer === peer && link.up) return link;
    return undefined;
  }

  #linksOn(wire: string): CarryLink[] {
    return [...this.#links.values()].filter(({ up, link }) => up && link.wireId === wire);
  }

  /** A link that this node dialled is established: says who it is until the peer says hello. */
  #opened(peer: string, link: Link): void {
    if (!this.#life.running) return link.close();
    const carry = this.#carry(peer, link, true);
    const identify = (): void => {
      if (carry.up || carry.closed) return;
      this.#station.act(() => link.identify(this.#options.identity));
      const { clock } = this.#station;
      clock.schedule(clock.now() + Math.max(this.#limits.identifyMs, 4 * link.rttMs), identify);
    };
    identify();
  }

  /** A link that a peer dialled: nothing is taken before it has said who it is. */
  #asked(link: Link): void {
    if (!this.#life.running || this.#wires.packetsOnly(link.wireId ?? "")) return link.close();
    // From now on the channel answers; messages before the identification are not ours to hear.
    link.channel();
    link.onIdentified = (identity) => {
      const peer = new RemoteDestination(this.destination.name, identity).hex;
      const refused =
        this.#penalties.isBanned(peer) || (this.#links.size >= this.#limits.maxLinks && !this.#configured.has(peer));
      if (!this.#life.running || refused || peer === this.destination.hex) {
        this.#counts.links_refused++;
        return link.close();
      }
      const carry = this.#carry(peer, link, false);
      this.#station.act(() => carry.sayHello());
      this.#ready(carry, false);
    };
  }
  #carry(peer: string, link: Link, dialled: boolean): CarryLink {
    const id = `${PREFIX}${peer}/${++this.#linkNumber}`;
    const hooks: CarryHooks = {
      act: (task) => this.#station.act(task),
      ready: () => this.#ready(carry, dialled),
      frame: (packed, taken) => {
        this.#counts.frames_received++;
        this.#counts.bytes_received += packed.length;
        this.#hearing.from(peer, link.wireId ?? "");
        const frame = this.#unpacked(packed, carry);
        if (frame !== undefined) this.#queue.push({ type: "frame", link: id, frame }, frame.length, taken);
      },
      gossip: (data) => this.#hearing.gossip(id, data),
      malformed: () => void this.#counts.messages_malformed++,
      repair: (what, names) => this.#repair(carry, what, names),
      closed: (reason) => this.#closed(carry, reason),
      ...this.#wires.turnsOn(link.wireId ?? "", peer, this.#counts),
    };
    const carry: CarryLink = new CarryLink({ id, peer }, link, this.#wires.linkLimits(link.wireId ?? ""), hooks);
    this.#links.set(id, carry);
    return carry;
  }

  /** Both ends know each other. */
  #ready(carry: CarryLink, dialled: boolean): void {
    if (carry.up || carry.closed) return;
    if (this.#penalties.isBanned(carry.peer)) return carry.end("banned");
    const other = this.#linkOf(carry.peer);
    const now = this.#station.clock.now();
    if (other !== undefined) {
      const fresh = now - (this.#startedAt.get(other) ?? 0) < CROSSING_MS;
      const initiator = dialled ? this.destination.hex : carry.peer;
      const othersInitiator = other.link.role === "initiator" ? this.destination.hex : carry.peer;
      // Dialled by both at once: both ends keep the same one.
      if (fresh && othersInitiator < initiator) return carry.end("crossed");
      other.end("the peer opened a new link");
    }
    carry.up = true;
    this.#startedAt.set(carry, now);
    this.#dialer.linked(carry.peer);
    this.#absent.linked(carry.peer);
    this.#queue.push({ type: "up", link: carry.id, info: this.#infoOf(carry) });
  }

  #infoOf({ peer, link }: CarryLink): LinkInfo {
    return {
      ...this.#wires.costOf(link.wireId ?? ""),
      localBinding: this.destination.hash,
      remoteBinding: fromHex(peer, ADDRESS_BYTES),
      configured: this.#configured.has(peer),
      address: PREFIX + peer,
    };
  }

  #closed(carry: CarryLink, reason: string): void {
    if (!this.#links.delete(carry.id)) return;
    this.#startedAt.delete(carry);
    this.#wires.forget(carry.peer);
    if (carry.up) this.#queue.push({ type: "down", link: carry.id, reason });
    if (this.#life.running && this.#linkOf(carry.peer) === undefined) this.#dialer.again(carry.peer);
  }

  // ---- slow wires ----

  #repair(carry: CarryLink, what: "have" | "need", names: Uint8Array): void {
    const frames = this.#air.repair(carry.link.wireId ?? "", carry.peer, what, names);
    for (const { frame, tier } of frames)
      carry.send(packFrame(frame, sha256Hex), this.#ending.signal, tier).catch(() => {});
  }

  /** What slow wires carry and how full they are, by wire. */
  radio(): Readonly<Record<string, RadioWireStatus>> {
    const linkedOn = (wire: string) => this.#linksOn(wire).map(({ peer }) => peer);
    return this.#wires.status((wire) => this.#hearing.neighbours(wire), linkedOn);
  }
  /** Envelopes that wait for peers who are away. */
  get waitingForAbsent(): number {
    return this.#absent.waiting;
  }

  /** A peer that packs wrongly is at fault: its link ends. */
  #unpacked(packed: Uint8Array, { id, peer, link }: CarryLink): Uint8Array | undefined {
    try {
      const frame = unpackFrame(packed, sha256Hex);
      const envelope = this.#wires.isSlow(link.wireId ?? "") ? pushedAlone(frame) : undefined;
      if (envelope !== undefined) this.#air.confirmed(peer, envelope);
      return frame;
    } catch {
      this.#counts.messages_malformed++;
      this.penalise(id, "frame_syntax");
      return undefined;
    }
  }

  // ---- gossip ----

  /** `tier` is absent for what others issued: what is urgent of that comes as pushes, judged by the core. */
  #spread(data: Uint8Array, except: LinkId | null, tier?: Tier): number {
    let reached = this.#spreadOnAir(data, except, tier);
    for (const link of [...this.#links.values()]) {
      if (link.id === except || !link.up || this.#wires.isSlow(link.link.wireId ?? "")) continue;
      if (link.gossip(data)) reached++;
      else this.#counts.gossip_dropped++;
    }
    this.#counts.gossip_sent += reached;
    return reached;
  }

  /** Heads are in the announces. */
  #spreadOnAir(data: Uint8Array, except: LinkId | null, tier?: Tier): number {
    const wires = this.#wires.ids();
    const opened = wires.length === 0 ? undefined : openSpelling(data);
    if (opened?.type === "head" && tier !== undefined) this.stateHead(opened.head);
    if (opened?.type !== "envelope") return 0;
    const { envelope } = opened;
    return wires.reduce((sum, wire) => sum + this.#air.spread(wire, envelope, tier, except === this.#viaAir(wire)), 0);
  }
  #viaAir(wire: string): string {
    return this.#hearing.via(`air:${wire}`);
  }

  /** An envelope or a head that came some other way, such as by mail; false if it is neither. */
  take(how: string, bytes: Uint8Array): boolean {
    return this.#life.running && this.#hearing.spelling(how, bytes) !== undefined;
  }
}
