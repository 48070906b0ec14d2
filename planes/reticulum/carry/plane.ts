/**
 * Plane A-R: Spine frames over Reticulum (spec/spine.md section 16.5). A node is the destination `aegis.spine`; two nodes
 * hold one link, on which the one that dialled identifies itself. Frames keep their order and arrive, or the link ends.
 */
import { createHash } from "node:crypto";
import {
  CONTROL_TIER,
  fromHex,
  type LinkId,
  type LinkInfo,
  packFrame,
  plainFrame,
  type Sha256Hex,
  SpineError,
  type Tier,
  toHex,
  unpackFrame,
  type Verdict,
} from "../../../spine/index.ts";
import { EventQueue } from "../../event-queue.ts";
import { GossipMemory } from "../../gossip-memory.ts";
import { Lifecycle } from "../../lifecycle.ts";
import { FAULT_POINTS, PenaltyBook } from "../../penalties.ts";
import type { Plane, PlaneEvent, PlanePeer, PlaneTraits } from "../../plane.ts";
import type { Wire } from "../stack/context.ts";
import { Destination } from "../stack/destination.ts";
import { ADDRESS_BYTES } from "../stack/hash.ts";
import type { PublicIdentity } from "../stack/identity.ts";
import type { Link } from "../stack/link.ts";
import { destinationHash, SINGLE } from "../stack/name.ts";
import type { Station } from "../station.ts";
import { Announcing } from "./announcing.ts";
import { type CarryHooks, type CarryLimits, CarryLink } from "./carry-link.ts";
import { Dialer } from "./dialer.ts";
import { type Air, DEFAULT_RETICULUM_LIMITS, type ReticulumLimits, type ReticulumPlaneOptions } from "./options.ts";
import { RadioLine, type RadioStatus } from "./radio-line.ts";

const PREFIX = "rns:";
const APP_NAME = "aegis";
const ASPECTS = ["spine"];
/** Links dialled by both sides at about the same time: the one of the smaller address stands. */
const CROSSING_MS = 10_000;

/** "rns:HASH" → the 32 hex digits of a destination. Throws `peer_address`. */
export function parseReticulumAddress(address: string): string {
  const hash = address.startsWith(PREFIX) ? address.slice(PREFIX.length) : "";
  if (!/^[0-9a-f]{32}$/.test(hash)) {
    throw new SpineError("peer_address", `expected rns: and the 32 hex digits of a destination: ${address}`);
  }
  return hash;
}

export class ReticulumPlane implements Plane {
  readonly name: string;
  readonly traits: PlaneTraits = {
    broadcast: true,
    ordered: true,
    reliable: true,
    authenticated: true,
    storeAndForward: false,
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
  readonly #heard = new GossipMemory();
  readonly #counts = {
    frames_sent: 0,
    frames_received: 0,
    bytes_sent: 0,
    bytes_received: 0,
    sends_held: 0,
    gossip_sent: 0,
    gossip_received: 0,
    gossip_dropped: 0,
    messages_malformed: 0,
    links_refused: 0,
    dials: 0,
    dials_failed: 0,
    frames_too_slow: 0,
  };
  /** By wire. */
  readonly #lines = new Map<string, RadioLine>();
  #linkNumber = 0;
  #deafen: () => void = () => {};
  #stopped: Promise<void> | undefined;

  constructor(options: ReticulumPlaneOptions) {
    this.name = options.name ?? "reticulum";
    this.#options = options;
    this.#limits = { ...DEFAULT_RETICULUM_LIMITS, ...options.limits };
    this.#station = options.station;
    this.#life = new Lifecycle(this.name);
    this.#penalties = new PenaltyBook({ now: () => this.#station.clock.now() });
    const { identity, ratchets, log } = options;
    const about = { type: SINGLE, appName: APP_NAME, aspects: ASPECTS, identity } as const;
    this.destination = new Destination(ratchets === undefined ? about : { ...about, ratchets });
    this.destination.onLink = (link) => this.#asked(link);
    const chance = options.chance ?? Math.random;
    const airOf = ({ id, bitrate }: Wire): Air | undefined => this.#airOf(id, bitrate);
    this.#announcing = new Announcing(this.#station, this.destination, airOf, chance);
    this.#dialer = new Dialer(this.#station, this.#limits, {
      isLinked: (peer) => this.#linkOf(peer) !== undefined,
      isBanned: (peer) => this.#penalties.isBanned(peer),
      opened: (peer, link) => this.#opened(peer, link),
      chance,
      counts: this.#counts,
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
    this.#station.onSent = (wire, bytes) => this.#lineOf(wire)?.sent(bytes);
    this.#station.act(() => {
      endpoint.register(this.destination);
      this.#deafen = endpoint.onAnnounce({
        name: this.destination.name,
        pathResponses: true,
        heard: ({ destination }) => this.#met(toHex(destination)),
      });
    });
    this.#announcing.start();
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
    const { mtuBytes } = this.#limitsOf(known.link);
    if (frame.length < 1 || frame.length > mtuBytes) {
      throw new SpineError("frame_size", `frame of ${frame.length} bytes, limit ${mtuBytes}`);
    }
    const packed = this.#lines.has(known.link.wireId ?? "") ? packFrame(frame, sha256Hex) : plainFrame(frame);
    const bytes = packed.length;
    if ((await known.send(packed, signal, tier)) === "held") this.#counts.sends_held++;
    this.#counts.frames_sent++;
    this.#counts.bytes_sent += bytes;
  }

  async broadcast(data: Uint8Array, { signal }: { signal: AbortSignal }): Promise<number> {
    this.#life.requireRunning();
    signal.throwIfAborted();
    if (data.length < 1 || data.length > this.#limits.maxGossipBytes) {
      throw new SpineError("frame_size", `broadcast of ${data.length} bytes, limit ${this.#limits.maxGossipBytes}`);
    }
    const id = GossipMemory.idOf(data);
    return this.#heard.remember(id) ? this.#spread(data, null) : 0;
  }

  judge(id: string, verdict: Verdict): void {
    const pending = this.#heard.take(id);
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
    this.#dialer.stop();
    this.#deafen();
    this.#announcing.stop();
    this.#station.onSent = undefined;
    for (const line of this.#lines.values()) line.stop();
    for (const link of [...this.#links.values()]) link.end("stopped");
    this.#station.act(() => this.#station.endpoint.deregister(this.destination));
    if (this.#options.ownsStation) await this.#station.stop();
    this.#heard.clear();
    this.#queue.end("stopped");
  }
  async [Symbol.asyncDispose](): Promise<void> {
    await this.stop();
  }

  // ---- links ----

  /** An `aegis.spine` destination was announced. The node with the smaller address dials, so that one link is made. */
  #met(peer: string): void {
    if (!this.#life.running || peer === this.destination.hex) return;
    this.#dialer.heard(peer);
    if (!this.#options.discover || this.#configured.has(peer) || this.#penalties.isBanned(peer)) return;
    if (this.destination.hex < peer && this.#links.size + this.#dialer.size < this.#limits.targetLinks) {
      this.#dialer.dial(peer, false);
    }
  }

  #linkOf(peer: string): CarryLink | undefined {
    for (const link of this.#links.values()) if (link.peer === peer && link.up) return link;
    return undefined;
  }

  #limitsOf(link: Link): CarryLimits {
    const bitrate = this.#bitrateOf(link);
    const { mtuBytes, slowMtuBytes, slowBitrate, windowBytes, maxGossipBytes } = this.#limits;
    return { mtuBytes: bitrate < slowBitrate ? slowMtuBytes : mtuBytes, windowBytes, maxGossipBytes };
  }
  #bitrateOf({ wireId }: Link): number {
    return this.#station.endpoint.wires.get(wireId ?? "")?.bitrate ?? Number.POSITIVE_INFINITY;
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
    if (!this.#life.running) return link.close();
    // From now on the channel answers; messages before the identification are not ours to hear.
    link.channel();
    link.onIdentified = (identity) => {
      const peer = this.#peerOf(identity);
      const refused = this.#penalties.isBanned(peer) || (this.#isFull() && !this.#configured.has(peer));
      if (!this.#life.running || refused || peer === this.destination.hex) {
        this.#counts.links_refused++;
        return link.close();
      }
      const carry = this.#carry(peer, link, false);
      this.#station.act(() => carry.sayHello());
      this.#ready(carry, false);
    };
  }
  #isFull(): boolean {
    return this.#links.size >= this.#limits.maxLinks;
  }
  #peerOf(identity: PublicIdentity): string {
    return toHex(destinationHash(this.destination.nameHash, identity.hash));
  }

  #carry(peer: string, link: Link, dialled: boolean): CarryLink {
    const id = `${PREFIX}${peer}/${++this.#linkNumber}`;
    const hooks: CarryHooks = {
      act: (task) => this.#station.act(task),
      ready: () => this.#ready(carry, dialled),
      frame: (packed, taken) => {
        this.#counts.frames_received++;
        this.#counts.bytes_received += packed.length;
        const frame = this.#unpacked(packed, id);
        if (frame !== undefined) this.#queue.push({ type: "frame", link: id, frame }, frame.length, taken);
      },
      gossip: (data) => this.#hear(id, data),
      malformed: () => void this.#counts.messages_malformed++,
      closed: (reason) => this.#closed(carry, reason),
      ...this.#turnsOn(link, peer),
    };
    const carry: CarryLink = new CarryLink({ id, peer }, link, this.#limitsOf(link), hooks);
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
    this.#queue.push({ type: "up", link: carry.id, info: this.#infoOf(carry) });
  }

  #infoOf({ peer, link }: CarryLink): LinkInfo {
    const bitrate = this.#bitrateOf(link);
    const slow = bitrate < this.#limits.slowBitrate;
    return {
      mtu: this.#limitsOf(link).mtuBytes,
      bitrate: slow ? bitrate : Number.POSITIVE_INFINITY,
      cost: slow ? "radio" : "free",
      localBinding: this.destination.hash,
      remoteBinding: fromHex(peer, ADDRESS_BYTES),
      configured: this.#configured.has(peer),
      address: PREFIX + peer,
    };
  }

  #closed(carry: CarryLink, reason: string): void {
    if (!this.#links.delete(carry.id)) return;
    this.#startedAt.delete(carry);
    for (const line of this.#lines.values()) line.forget(carry.peer);
    if (carry.up) this.#queue.push({ type: "down", link: carry.id, reason });
    if (this.#life.running && this.#linkOf(carry.peer) === undefined) this.#dialer.again(carry.peer);
  }

  // ---- slow wires ----

  /** The line of a slow wire, which all links over it share. */
  #lineOf(wireId: string): RadioLine | undefined {
    const known = this.#lines.get(wireId);
    if (known !== undefined) return known;
    const bitrate = this.#station.endpoint.wires.get(wireId)?.bitrate ?? Number.POSITIVE_INFINITY;
    const air = this.#airOf(wireId, bitrate);
    if (air === undefined) return undefined;
    const line = new RadioLine(bitrate, air, this.#station.clock);
    this.#lines.set(wireId, line);
    return line;
  }

  /** Undefined for fast wires. */
  #airOf(wireId: string, bitrate: number): Air | undefined {
    if (bitrate >= this.#limits.slowBitrate) return undefined;
    return this.#options.airOf?.(wireId) ?? { airtimeMs: (bytes) => (bytes * 8000) / bitrate, duty: 1 };
  }

  #turnsOn({ wireId = "" }: Link, peer: string): Pick<CarryHooks, "turn"> {
    const line = this.#lineOf(wireId);
    if (line === undefined) return {};
    return {
      turn: (bytes, tier, transmit) => {
        const result = line.offer({ tier, bytes, receiver: peer, transmit });
        if (result === "too_slow") this.#counts.frames_too_slow++;
        return result === "full" ? "later" : result === "too_slow" ? "dropped" : "taken";
      },
    };
  }

  /** What slow wires carry and how full they are, by wire. */
  radio(): Readonly<Record<string, RadioStatus>> {
    return Object.fromEntries([...this.#lines].map(([wire, line]) => [wire, line.status()]));
  }

  /** A peer that packs wrongly is at fault: its link ends. */
  #unpacked(packed: Uint8Array, id: LinkId): Uint8Array | undefined {
    try {
      return unpackFrame(packed, sha256Hex);
    } catch {
      this.#counts.messages_malformed++;
      this.penalise(id, "frame_syntax");
      return undefined;
    }
  }

  // ---- gossip ----

  #spread(data: Uint8Array, except: LinkId | null): number {
    let reached = 0;
    for (const link of [...this.#links.values()]) {
      if (link.id === except || !link.up) continue;
      if (link.gossip(data)) reached++;
      else this.#counts.gossip_dropped++;
    }
    this.#counts.gossip_sent += reached;
    return reached;
  }

  #hear(link: LinkId, data: Uint8Array): void {
    const id = GossipMemory.idOf(data);
    if (!this.#heard.remember(id)) return;
    if (this.#heard.isFull) {
      this.#counts.gossip_dropped++;
      return;
    }
    this.#counts.gossip_received++;
    this.#heard.hold(id, { link, data });
    this.#queue.push({ type: "gossip", link, id, data }, data.length);
  }
}

const sha256Hex: Sha256Hex = (bytes) => createHash("sha256").update(bytes).digest("hex");
