/**
 * The links of the libp2p plane: one sync stream per peer. Of two peers the one whose peer id bytes sort lower opens the
 * stream, whoever dialled, so that simultaneous dials give one link. A second stream on the same connection is refused;
 * one on a new connection (the peer restarted) replaces the old link.
 */
import type { Connection, PeerId, Stream } from "@libp2p/interface";
import { compareBytes, type ErrorCode, type LinkId, SpineError, SYNC_PROTOCOL } from "../../spine/index.ts";
import type { EventQueue } from "../event-queue.ts";
import { LinkInbox } from "../link-inbox.ts";
import type { Libp2pLimits } from "./options.ts";
import { hasEnded, SyncStream } from "./sync-stream.ts";

export const LINK_PREFIX = "libp2p:";
const SIMULTANEOUS_MS = 5_000;

interface Link {
  readonly id: LinkId;
  readonly peer: PeerId;
  readonly connection: Connection;
  readonly sync: SyncStream;
  readonly upAt: number;
  readonly inbox: LinkInbox;
  /** It goes down for a newer link of the same peer. */
  replaced: boolean;
}

export interface LinkCounts {
  frames_sent: number;
  frames_received: number;
  bytes_sent: number;
  bytes_received: number;
  sends_held: number;
  links_opened: number;
  streams_refused: number;
}

export interface LinkTableOptions {
  readonly self: PeerId;
  readonly queue: EventQueue;
  readonly limits: Libp2pLimits;
  readonly now: () => number;
  readonly counts: LinkCounts;
  readonly isBanned: (peer: string) => boolean;
  readonly isConfigured: (peer: string) => boolean;
  /** A peer broke the rules of the stream. */
  readonly fault: (peer: string, code: ErrorCode) => void;
  readonly up: (peer: PeerId, connection: Connection) => void;
  readonly down: (peer: string, reason: string) => void;
}

export class LinkTable {
  readonly #options: LinkTableOptions;
  readonly #byId = new Map<LinkId, Link>();
  readonly #byPeer = new Map<string, Link>();
  readonly #opening = new Set<string>();
  #number = 0;
  #closed = false;
  constructor(options: LinkTableOptions) {
    this.#options = options;
  }
  get size(): number {
    return this.#byId.size;
  }
  linkOf(peer: string): LinkId | null {
    return this.#byPeer.get(peer)?.id ?? null;
  }
  peerIds(): readonly PeerId[] {
    return [...this.#byId.values()].map(({ peer }) => peer);
  }
  addressOf(peer: string): string | null {
    return this.#byPeer.get(peer)?.connection.remoteAddr.toString() ?? null;
  }

  /** The peer speaks our protocol on `connection`: opens the stream if that is our part. Called after identify. */
  async meet(peer: PeerId, connection: Connection): Promise<void> {
    const name = peer.toString();
    const existing = this.#byPeer.get(name);
    if (this.#closed || !this.#opensTo(peer) || this.#opening.has(name)) return;
    if (existing !== undefined && !this.#supersedes(connection, existing)) return;
    this.#opening.add(name);
    try {
      const stream = await connection.newStream(SYNC_PROTOCOL, {
        runOnLimitedConnection: true,
        maxOutboundStreams: 2,
        signal: AbortSignal.timeout(this.#options.limits.dialMs),
      });
      this.#replace(name);
      this.#adopt(stream, connection);
    } catch {
      // The dialler tries again when the connection is gone; a connection that leads nowhere is closed as idle.
    } finally {
      this.#opening.delete(name);
    }
  }

  /** A peer opened the sync protocol. */
  accept(stream: Stream, connection: Connection): void {
    const name = connection.remotePeer.toString();
    const existing = this.#byPeer.get(name);
    const wrongSide = this.#opensTo(connection.remotePeer);
    if (this.#closed || wrongSide || existing?.connection.id === connection.id) {
      this.#options.counts.streams_refused++;
      stream.abort(new Error("sync stream refused"));
      if (!this.#closed) this.#options.fault(name, "frame_unexpected");
      return;
    }
    this.#replace(name);
    this.#adopt(stream, connection);
  }

  /** Rejects with `link_unknown`, `frame_size`, `link_congested` or the signal's reason. */
  async send(id: LinkId, frame: Uint8Array, signal: AbortSignal): Promise<void> {
    const { limits, counts } = this.#options;
    const link = this.#byId.get(id);
    if (link === undefined) throw new SpineError("link_unknown", `no link ${id}`);
    if (frame.length < 1 || frame.length > limits.mtuBytes) {
      throw new SpineError("frame_size", `frame of ${frame.length} bytes, limit ${limits.mtuBytes}`);
    }
    if ((await link.sync.send(frame, signal)) === "held") counts.sends_held++;
    counts.frames_sent++;
    counts.bytes_sent += frame.length;
  }

  close(peer: string, reason: string): void {
    this.#byPeer.get(peer)?.sync.close(reason);
  }
  tick(): void {
    for (const link of [...this.#byId.values()]) link.sync.tick();
  }
  /** Closes all and takes no more. */
  end(reason: string): void {
    this.#closed = true;
    for (const link of [...this.#byId.values()]) link.sync.close(reason);
  }

  /** Takes the peer's present link down, if any, for another that follows at once. */
  #replace(peer: string): void {
    const link = this.#byPeer.get(peer);
    if (link === undefined) return;
    link.replaced = true;
    link.sync.close("replaced");
  }

  /**
   * Whether a further connection of a linked peer means that it started anew. Two connections made at about the same
   * time, one by each side, are a simultaneous dial; otherwise nobody dials whom it is connected to.
   */
  #supersedes(connection: Connection, { connection: old, upAt }: Link): boolean {
    if (connection.id === old.id) return false;
    return connection.direction === old.direction || this.#options.now() - upAt > SIMULTANEOUS_MS;
  }

  #opensTo(peer: PeerId): boolean {
    return compareBytes(this.#options.self.toMultihash().bytes, peer.toMultihash().bytes) < 0;
  }

  #adopt(stream: Stream, connection: Connection): void {
    const { limits, now, queue } = this.#options;
    const peer = connection.remotePeer;
    const name = peer.toString();
    const localKey = this.#options.self.publicKey?.raw;
    const remoteKey = peer.publicKey?.raw;
    if (this.#closed || this.#options.isBanned(name) || peer.type !== "Ed25519" || !localKey || !remoteKey) {
      stream.abort(new Error("link refused"));
      return;
    }
    // A refusal of the peer may have arrived while we negotiated; no event would tell of it again.
    if (hasEnded(stream)) {
      closeQuietly(connection);
      return;
    }
    const id = `${LINK_PREFIX}${name}/${++this.#number}`;
    const sync = new SyncStream(stream, limits, now, {
      frame: (frame) => this.#received(link, frame),
      closed: (reason, fault) => this.#gone(link, reason, fault),
    });
    const inbox = new LinkInbox(id, sync, queue, limits);
    const link: Link = { id, peer, connection, sync, inbox, upAt: now(), replaced: false };
    this.#byId.set(id, link);
    this.#byPeer.set(name, link);
    this.#options.counts.links_opened++;
    queue.push({
      type: "up",
      link: id,
      info: {
        mtu: limits.mtuBytes,
        bitrate: Number.POSITIVE_INFINITY,
        cost: connection.limits === undefined ? "free" : "metered",
        localBinding: new Uint8Array(localKey),
        remoteBinding: new Uint8Array(remoteKey),
        configured: this.#options.isConfigured(name),
        address: connection.remoteAddr.toString(),
      },
    });
    this.#options.up(peer, connection);
  }

  #received(link: Link, frame: Uint8Array): void {
    const { counts } = this.#options;
    counts.frames_received++;
    counts.bytes_received += frame.length;
    link.inbox.take(frame);
  }

  #gone(link: Link, reason: string, fault: ErrorCode | null): void {
    const name = link.peer.toString();
    this.#byId.delete(link.id);
    if (this.#byPeer.get(name) === link) this.#byPeer.delete(name);
    this.#options.queue.push({ type: "down", link: link.id, reason });
    if (fault !== null) this.#options.fault(name, fault);
    // One link, one connection: a peer without its stream starts over with a new connection.
    closeQuietly(link.connection);
    if (!link.replaced) this.#options.down(name, reason);
  }
}

function closeQuietly(connection: Connection): void {
  connection.close({ signal: AbortSignal.timeout(500) }).catch((error: Error) => connection.abort(error));
}
