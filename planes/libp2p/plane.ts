/**
 * The libp2p plane: TCP, Noise, Yamux, gossipsub. A link is a connected peer with one sync stream on SYNC_PROTOCOL (see
 * `links.ts`). Its packages are loaded at start. Broadcasts may come from neighbours that speak gossip only; their link
 * name ends in /0 and is never announced by `up`.
 */
import { type ErrorCode, type LinkId, SpineError, type Verdict } from "../../spine/index.ts";
import { EventQueue } from "../event-queue.ts";
import { Lifecycle } from "../lifecycle.ts";
import { FAULT_POINTS, PenaltyBook } from "../penalties.ts";
import type { Plane, PlaneEvent, PlanePeer, PlaneTraits } from "../plane.ts";
import { LINK_PREFIX } from "./links.ts";
import { type PeerAddress, parsePeerAddress } from "./node.ts";
import { DEFAULT_LIMITS, type Libp2pLimits, type Libp2pOptions } from "./options.ts";
import { openSession, type Session } from "./session.ts";

export class Libp2pPlane implements Plane {
  readonly name = "libp2p";
  readonly traits: PlaneTraits = {
    broadcast: true,
    ordered: true,
    reliable: true,
    authenticated: true,
    storeAndForward: false,
  };
  readonly #options: Libp2pOptions;
  readonly #limits: Libp2pLimits;
  readonly #now: () => number;
  readonly #life = new Lifecycle("libp2p");
  readonly #queue = new EventQueue();
  readonly #penalties: PenaltyBook;
  readonly #stopping = new AbortController();
  /** Operator's peers by id. */
  readonly #configured = new Map<string, string[]>();
  readonly #counts = {
    frames_sent: 0,
    frames_received: 0,
    bytes_sent: 0,
    bytes_received: 0,
    sends_held: 0,
    links_opened: 0,
    streams_refused: 0,
    connections_refused: 0,
    gossip_sent: 0,
    gossip_unsent: 0,
    gossip_received: 0,
    gossip_dropped: 0,
    gossip_expired: 0,
    gossip_accepted: 0,
    gossip_ignored: 0,
    gossip_rejected: 0,
    dials: 0,
    dials_failed: 0,
  };
  #starting: Promise<Session> | null = null;
  #session: Session | null = null;
  #stopped: Promise<void> | null = null;

  constructor(options: Libp2pOptions) {
    this.#options = options;
    this.#limits = { ...DEFAULT_LIMITS, ...options.limits };
    this.#now = options.now ?? (() => performance.now());
    this.#penalties = new PenaltyBook({
      now: this.#now,
      limit: this.#limits.penaltyLimit,
      halfLifeMs: this.#limits.penaltyHalfLifeMs,
      banMs: this.#limits.banMs,
    });
  }

  async start(options: { signal: AbortSignal }): Promise<void> {
    this.#life.begin();
    const signal = AbortSignal.any([options.signal, this.#stopping.signal]);
    try {
      this.#starting = this.#open(signal);
      this.#session = await this.#starting;
    } catch (error) {
      this.#life.end();
      this.#queue.end("start failed");
      throw startError(error);
    }
    if (!this.#life.ready()) {
      await this.#session.close();
      throw new SpineError("plane_start_failed", "stopped during start");
    }
    for (const [id, addresses] of this.#configured) this.#session.dialler.keep(id, addresses, true);
    this.#session.begin();
  }

  async #open(signal: AbortSignal): Promise<Session> {
    for (const address of this.#options.peers ?? []) this.#configure(await parsePeerAddress(address));
    const bootstrap: PeerAddress[] = [];
    for (const address of this.#options.bootstrap ?? []) bootstrap.push(await parsePeerAddress(address));
    return openSession({
      options: this.#options,
      limits: this.#limits,
      now: this.#now,
      queue: this.#queue,
      penalties: this.#penalties,
      counts: this.#counts,
      bootstrap,
      isConfigured: (peer) => this.#configured.has(peer),
      punish: (peer, points, reason) => this.#punish(peer, points, reason),
      signal,
    });
  }

  events(): AsyncIterable<PlaneEvent> {
    return this.#queue.events();
  }

  async send(link: LinkId, frame: Uint8Array, options: { signal: AbortSignal }): Promise<void> {
    const { links } = this.#running();
    options.signal.throwIfAborted();
    await links.send(link, frame, options.signal);
  }

  async broadcast(data: Uint8Array, options: { signal: AbortSignal }): Promise<number> {
    const { gossip } = this.#running();
    options.signal.throwIfAborted();
    return gossip.publish(data);
  }

  judge(id: string, verdict: Verdict): void {
    this.#session?.gossip.judge(id, verdict);
  }

  penalise(link: LinkId, code: string): void {
    const peer = peerOf(link);
    if (peer !== null && this.#session !== null) this.#punish(peer, FAULT_POINTS, code);
  }

  disconnect(link: LinkId, reason: string): void {
    const peer = peerOf(link);
    if (peer !== null && this.#session?.links.linkOf(peer) === link) this.#session.links.close(peer, reason);
  }

  async addPeer(address: string): Promise<void> {
    if (this.#life.state === "stopped") this.#life.requireRunning();
    const parsed = await parsePeerAddress(address);
    this.#configure(parsed);
    this.#session?.dialler.keep(parsed.id, [address], true);
  }

  async removePeer(id: string): Promise<void> {
    if (!this.#configured.delete(id)) return;
    this.#session?.dialler.forget(id);
    await this.#session?.hangUp(id, "removed");
  }

  peers(): readonly PlanePeer[] {
    const links = this.#session?.links;
    const linked = links?.peerIds().map(String) ?? [];
    return [...new Set([...this.#configured.keys(), ...linked])].map((id) => {
      const current = links?.addressOf(id) ?? null;
      const addresses = [...(this.#configured.get(id) ?? []), ...(current === null ? [] : [current])];
      return {
        id,
        addresses: [...new Set(addresses)],
        configured: this.#configured.has(id),
        link: links?.linkOf(id) ?? null,
      };
    });
  }

  addresses(): readonly string[] {
    return this.#life.running ? (this.#session?.addresses() ?? []) : [];
  }

  counters(): Readonly<Record<string, number>> {
    return {
      ...this.#counts,
      links: this.#session?.links.size ?? 0,
      connections: this.#session?.connectionCount() ?? 0,
      queued_bytes: this.#queue.bytes,
      penalties: this.#penalties.penalties,
      bans: this.#penalties.bans,
    };
  }

  /** gossipsub's score of a peer by id: what its router makes of our penalties. 0 if unknown. */
  gossipScore(peer: string): number {
    return this.#session?.gossipScore(peer) ?? 0;
  }

  stop(): Promise<void> {
    this.#stopped ??= this.#stop();
    return this.#stopped;
  }

  async #stop(): Promise<void> {
    this.#life.end();
    this.#stopping.abort(new Error("stopped"));
    const session = await this.#starting?.catch(() => null);
    await session?.close();
    this.#session = null;
    this.#queue.end("stopped");
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.stop();
  }

  #running(): Session {
    this.#life.requireRunning();
    if (this.#session === null) throw new SpineError("plane_not_started", "the libp2p plane is not running");
    return this.#session;
  }

  #configure({ id, address }: PeerAddress): void {
    this.#configured.set(id, [...new Set([...(this.#configured.get(id) ?? []), address])]);
  }

  #punish(peer: string, points: number, reason: ErrorCode | string): void {
    if (!this.#penalties.add(peer, points)) return;
    this.#options.log?.("peer banned", { peer, reason });
    this.#session?.hangUp(peer, "banned").catch(() => undefined);
  }
}

/** "libp2p:PEER/7" → PEER. */
function peerOf(link: LinkId): string | null {
  if (!link.startsWith(LINK_PREFIX)) return null;
  const [peer] = link.slice(LINK_PREFIX.length).split("/");
  return peer === undefined || peer === "" ? null : peer;
}

function startError(error: unknown): SpineError {
  if (error instanceof SpineError) return error;
  const text = error instanceof Error ? error.message : String(error);
  const code: ErrorCode = text.includes("EADDRINUSE") ? "port_in_use" : "plane_start_failed";
  return new SpineError(code, text, { cause: error });
}
