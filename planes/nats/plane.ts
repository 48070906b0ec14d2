/**
 * The NATS plane: sealed links between nodes over a NATS cluster that only has to deliver (`links.ts`). Streams, log
 * leaves and witness questions go through `bus.ts`, which shares the plane's connection.
 */
import type { NatsConnection } from "@nats-io/transport-node";
import { type LinkId, SpineError, type Verdict } from "../../spine/index.ts";
import { EventQueue } from "../event-queue.ts";
import { GossipMemory } from "../gossip-memory.ts";
import { Lifecycle } from "../lifecycle.ts";
import { FAULT_POINTS, PenaltyBook } from "../penalties.ts";
import type { Plane, PlaneEvent, PlanePeer, PlaneTraits } from "../plane.ts";
import { NatsLine } from "./connection.ts";
import { PlaneKey } from "./link-keys.ts";
import { LINK_PREFIX, NatsLinks, parseNatsAddress } from "./links.ts";
import { DEFAULT_NATS_LIMITS, type NatsLimits, type NatsPlaneOptions } from "./options.ts";

const MAX_GOSSIP_BYTES_WAITING = 8 * 1_024 * 1_024;

/** Told when the plane's connection can be used, and when it cannot. */
export interface ConnectionListener {
  up(connection: NatsConnection): void;
  down(): void;
}

export class NatsPlane implements Plane {
  readonly name = "nats";
  readonly traits: PlaneTraits = {
    broadcast: true,
    ordered: true,
    reliable: true,
    authenticated: true,
    storeAndForward: false,
  };
  readonly #options: NatsPlaneOptions;
  readonly #limits: NatsLimits;
  readonly #key: PlaneKey;
  readonly #life = new Lifecycle("nats");
  readonly #queue = new EventQueue();
  readonly #penalties: PenaltyBook;
  readonly #configured = new Set<string>();
  readonly #listeners = new Set<ConnectionListener>();
  readonly #heard = new GossipMemory();
  readonly #line: NatsLine;
  readonly #links: NatsLinks;
  readonly #counts = {
    frames_sent: 0,
    frames_received: 0,
    bytes_sent: 0,
    bytes_received: 0,
    sends_held: 0,
    gossip_sent: 0,
    gossip_received: 0,
    gossip_dropped: 0,
    opens_refused: 0,
    messages_forged: 0,
    messages_malformed: 0,
    dials: 0,
    dials_failed: 0,
  };
  #stopped: Promise<void> | null = null;

  constructor(options: NatsPlaneOptions) {
    this.#options = options;
    this.#limits = { ...DEFAULT_NATS_LIMITS, ...options.limits };
    this.#key = new PlaneKey(options.privateKeySeed);
    const now = options.now ?? (() => performance.now());
    this.#penalties = new PenaltyBook({ now });
    const { subjectPrefix: prefix, log, discover } = options;
    this.#links = new NatsLinks(this.#key, { prefix, limits: this.#limits, now, log, discover }, this.#counts, {
      up: (link) =>
        this.#queue.push({
          type: "up",
          link: link.id,
          info: {
            mtu: link.mtuBytes,
            bitrate: Number.POSITIVE_INFINITY,
            cost: "free",
            localBinding: this.#key.publicKey,
            remoteBinding: Uint8Array.from(Buffer.from(link.peer, "hex")),
            configured: this.#configured.has(link.peer),
            address: LINK_PREFIX + link.peer,
          },
        }),
      down: (link, reason) => this.#queue.push({ type: "down", link: link.id, reason }),
      frame: (link, frame, taken) => {
        this.#counts.frames_received++;
        this.#counts.bytes_received += frame.length;
        this.#queue.push({ type: "frame", link: link.id, frame }, frame.length, taken);
      },
      gossip: (link, data) => this.#hear(link.id, data),
      isBanned: (peer) => this.#penalties.isBanned(peer),
      isConfigured: (peer) => this.#configured.has(peer),
    });
    this.#line = new NatsLine(options, {
      up: (connection) => {
        if (this.#life.running) this.#connected(connection);
      },
      down: (reason) => {
        this.#options.log?.("nats connection lost", { reason });
        this.#links.disconnected(reason);
        for (const listener of this.#listeners) listener.down();
      },
      log,
    });
  }

  /** The plane's public key in hex. */
  get id(): string {
    return this.#key.id;
  }
  /** Version and name of the server in use, or null. */
  get server(): { readonly version: string; readonly name: string; readonly maxPayloadBytes: number } | null {
    const info = this.#line.connection?.info;
    return info === undefined
      ? null
      : { version: info.version, name: info.server_name, maxPayloadBytes: info.max_payload };
  }
  /** Tells `listener` of the connection, now and whenever it changes. */
  listen(listener: ConnectionListener): void {
    this.#listeners.add(listener);
    const connection = this.#line.connection;
    if (connection !== null && this.#life.running) listener.up(connection);
  }

  async start(options: { signal: AbortSignal }): Promise<void> {
    this.#life.begin();
    try {
      for (const address of this.#options.peers ?? []) this.#configured.add(parseNatsAddress(address));
      await this.#line.open(options.signal, this.#options.startOffline);
    } catch (error) {
      await this.stop();
      if (error instanceof SpineError) throw error;
      throw new SpineError("plane_start_failed", "start was aborted", { cause: error });
    }
    if (options.signal.aborted || !this.#life.ready()) {
      await this.stop();
      throw new SpineError("plane_start_failed", "stopped during start", { cause: options.signal.reason });
    }
    const connection = this.#line.connection;
    if (connection !== null) this.#connected(connection);
    for (const peer of this.#configured) this.#links.keep(peer);
  }

  #connected(connection: NatsConnection): void {
    this.#options.log?.("nats server reached", {
      server: connection.getServer(),
      version: connection.info?.version ?? "unknown",
    });
    this.#links.connected(connection);
    for (const listener of this.#listeners) listener.up(connection);
  }

  events(): AsyncIterable<PlaneEvent> {
    return this.#queue.events();
  }

  async send(link: LinkId, frame: Uint8Array, options: { signal: AbortSignal }): Promise<void> {
    this.#life.requireRunning();
    options.signal.throwIfAborted();
    const known = this.#links.byId(link);
    if (known === undefined) throw new SpineError("link_unknown", `no link ${link}`);
    if (frame.length < 1 || frame.length > known.mtuBytes) {
      throw new SpineError("frame_size", `frame of ${frame.length} bytes, limit ${known.mtuBytes}`);
    }
    const bytes = frame.length;
    if ((await known.send(frame, options.signal)) === "held") this.#counts.sends_held++;
    this.#counts.frames_sent++;
    this.#counts.bytes_sent += bytes;
  }

  async broadcast(data: Uint8Array, options: { signal: AbortSignal }): Promise<number> {
    this.#life.requireRunning();
    options.signal.throwIfAborted();
    if (data.length < 1 || data.length > this.#limits.maxGossipBytes) {
      throw new SpineError("frame_size", `broadcast of ${data.length} bytes, limit ${this.#limits.maxGossipBytes}`);
    }
    return this.#heard.remember(GossipMemory.idOf(data)) ? this.#spread(data, null) : 0;
  }

  judge(id: string, verdict: Verdict): void {
    const pending = this.#heard.take(id);
    if (pending === undefined) return;
    if (verdict === "accept") this.#spread(pending.data, pending.link);
    if (verdict === "reject") this.penalise(pending.link, "gossip_rejected");
  }

  penalise(link: LinkId, code: string): void {
    const peer = peerOf(link);
    if (peer === null || !this.#life.running) return;
    if (!this.#penalties.add(peer, FAULT_POINTS)) return;
    this.#options.log?.("peer banned", { peer, reason: code });
    this.#links.hangUp(peer, "banned");
  }

  disconnect(link: LinkId, reason: string): void {
    this.#links.byId(link)?.end(reason, true);
  }

  async addPeer(address: string): Promise<void> {
    if (this.#life.state === "stopped") this.#life.requireRunning();
    const peer = parseNatsAddress(address);
    if (peer === this.#key.id) throw new SpineError("peer_address", "this is the node's own address");
    this.#configured.add(peer);
    if (this.#life.running) this.#links.keep(peer);
  }

  async removePeer(id: string): Promise<void> {
    if (this.#configured.delete(id)) this.#links.forget(id);
  }

  peers(): readonly PlanePeer[] {
    const linked = [...this.#links.up].map(({ peer }) => peer);
    return [...new Set([...this.#configured, ...linked])].map((id) => ({
      id,
      addresses: [LINK_PREFIX + id],
      configured: this.#configured.has(id),
      link: this.#links.linkOf(id)?.id ?? null,
    }));
  }

  addresses(): readonly string[] {
    return this.#life.running ? [LINK_PREFIX + this.#key.id] : [];
  }

  counters(): Readonly<Record<string, number>> {
    return {
      ...this.#counts,
      links: this.#links.size,
      connected: this.#line.connection === null ? 0 : 1,
      reconnects: this.#line.reconnects,
      connect_failures: this.#line.failures,
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
    for (const listener of this.#listeners) listener.down();
    this.#links.stop();
    await this.#line.close();
    this.#heard.clear();
    this.#queue.end("stopped");
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.stop();
  }

  #spread(data: Uint8Array, except: LinkId | null): number {
    let reached = 0;
    for (const link of this.#links.up) if (link.id !== except && link.gossip(data)) reached++;
    this.#counts.gossip_sent += reached;
    return reached;
  }

  #hear(link: LinkId, data: Uint8Array): void {
    const id = GossipMemory.idOf(data);
    if (!this.#heard.remember(id)) return;
    if (this.#heard.isFull || this.#queue.bytes > MAX_GOSSIP_BYTES_WAITING) {
      this.#counts.gossip_dropped++;
      return;
    }
    this.#counts.gossip_received++;
    this.#heard.hold(id, { link, data });
    this.#queue.push({ type: "gossip", link, id, data: data.slice() }, data.length);
  }
}

/** "nats:KEY/7" → KEY. */
function peerOf(link: LinkId): string | null {
  if (!link.startsWith(LINK_PREFIX)) return null;
  return link.slice(LINK_PREFIX.length).split("/")[0] ?? null;
}
