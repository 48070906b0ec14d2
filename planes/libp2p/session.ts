/** One running libp2p node with its links, gossip and dialler wired together: what a started plane holds and `stop` closes. */
import type { Connection } from "@libp2p/interface";
import { type ErrorCode, GOSSIP_TOPIC, SYNC_PROTOCOL } from "../../spine/index.ts";
import type { EventQueue } from "../event-queue.ts";
import { FAULT_POINTS, type PenaltyBook } from "../penalties.ts";
import { Gossip, type GossipCounts, type GossipRouter } from "./gossip.ts";
import { connectionGater } from "./limits.ts";
import { LINK_PREFIX, type LinkCounts, LinkTable } from "./links.ts";
import { buildNode, loadModules, type PeerAddress, toMultiaddrs } from "./node.ts";
import type { Libp2pLimits, Libp2pOptions } from "./options.ts";
import { askPeers, PEERS_PROTOCOL, tellPeers } from "./peer-exchange.ts";
import { type DialCounts, Dialler } from "./peers.ts";

const CLOSE_MS = 500;
/** A peer is told of others once in this time. */
const TOLD_MS = 10_000;
/** While links are few, some linked peer is asked again after this. */
const LEARN_MS = 60_000;
const KNOWN_PEERS_AT_START = 16;

export interface SessionOptions {
  readonly options: Libp2pOptions;
  readonly limits: Libp2pLimits;
  readonly now: () => number;
  readonly queue: EventQueue;
  readonly penalties: PenaltyBook;
  readonly counts: LinkCounts & GossipCounts & DialCounts & { connections_refused: number };
  readonly bootstrap: readonly PeerAddress[];
  readonly isConfigured: (peer: string) => boolean;
  readonly punish: (peer: string, points: number, reason: ErrorCode | string) => void;
  readonly signal: AbortSignal;
}

export interface Session {
  readonly links: LinkTable;
  readonly gossip: Gossip;
  readonly dialler: Dialler;
  /** Dials bootstrap and remembered peers. */
  begin(): void;
  addresses(): readonly string[];
  connectionCount(): number;
  gossipScore(peer: string): number;
  /** Closes the peer's link and connections. */
  hangUp(peer: string, reason: string): Promise<void>;
  close(): Promise<void>;
}

/** Resolves when the node listens; whatever goes wrong before, nothing is left open. */
export async function openSession(given: SessionOptions): Promise<Session> {
  const { options, limits, now, queue, penalties, counts, signal } = given;
  const random = options.random ?? Math.random;
  signal.throwIfAborted();
  const modules = await loadModules();
  signal.throwIfAborted();
  const isBanned = (peer: string): boolean => penalties.isBanned(peer);
  let connections: () => readonly Connection[] = () => [];
  const gater = connectionGater({
    isBanned,
    connections: () => connections(),
    maxConnections: limits.maxConnections,
    maxConnectionsPerIp: limits.maxConnectionsPerIp,
    refused: () => {
      counts.connections_refused++;
    },
  });
  const { node, self, release } = await buildNode(modules, options, limits, gater, (peer) => penalties.points(peer));
  connections = () => node.getConnections();
  const connectionsOf = (peer: string): Connection[] =>
    node.getConnections(modules.peerId.peerIdFromString(peer)).filter(({ status }) => status === "open");

  const links = new LinkTable({
    self,
    queue,
    limits,
    now,
    counts,
    isBanned,
    isConfigured: given.isConfigured,
    fault: (peer, code) => given.punish(peer, FAULT_POINTS, code),
    up: (peer, connection) => {
      dialler.linked(peer.toString());
      learn(connection).catch(() => undefined);
    },
    down: (peer) => {
      hangUp(peer, "link lost").catch(() => undefined);
      dialler.lost(peer);
    },
  });
  const dialler = new Dialler({
    limits,
    now,
    random,
    counts,
    dial: async (peer, addresses, deadline) => {
      const target = addresses.length > 0 ? toMultiaddrs(modules, addresses) : modules.peerId.peerIdFromString(peer);
      await node.dial(target, { signal: deadline });
    },
    isConnected: (peer) => connectionsOf(peer).length > 0,
    bannedUntil: (peer) => penalties.bannedUntil(peer),
    linkCount: () => links.size,
    log: (event, fields) => options.log?.(event, fields),
  });
  /** Peers that asked lately, and when. */
  const told = new Map<string, number>();
  /** Connected peers that speak the sync protocol. */
  const speakers = new Set<string>();
  let learnedAt = now();
  let ticking: NodeJS.Timeout | null = null;
  let gossip: Gossip | null = null;

  /** Asks a new neighbour whom else it knows. */
  async function learn(connection: Connection): Promise<void> {
    learnedAt = now();
    if (links.size >= limits.targetLinks) return;
    for (const { id, record } of await askPeers(connection)) {
      if (id === self.toString()) continue;
      const peer = modules.peerId.peerIdFromString(id);
      if (await node.peerStore.consumePeerRecord(record, { expectedPeer: peer })) await dialler.consider(id);
    }
  }
  async function closeConnection(connection: Connection): Promise<void> {
    await connection.close({ signal: AbortSignal.timeout(CLOSE_MS) }).catch((error: Error) => connection.abort(error));
  }
  async function hangUp(peer: string, reason: string): Promise<void> {
    links.close(peer, reason);
    await Promise.all(connectionsOf(peer).map(closeConnection));
  }
  function tick(): void {
    links.tick();
    gossip?.tick((peer) => connectionsOf(peer).length > 0);
    for (const [peer, at] of told) if (now() - at > TOLD_MS) told.delete(peer);
    if (now() - learnedAt > LEARN_MS) {
      const peers = links.peerIds();
      const peer = peers[Math.floor(random() * peers.length)];
      const [connection] = peer === undefined ? [] : connectionsOf(peer.toString());
      if (connection !== undefined) learn(connection).catch(() => undefined);
    }
    const neighbours = new Set(router.getSubscribers(GOSSIP_TOPIC).map(String));
    for (const connection of node.getConnections()) {
      const peer = connection.remotePeer.toString();
      const idle = Date.now() - connection.timeline.open > limits.idleConnectionMs;
      if (links.linkOf(peer) !== null || !idle) continue;
      // A gossip neighbour whose sync stream could not be opened before: perhaps it can now.
      const retry = neighbours.has(peer) && speakers.has(peer);
      if (retry) links.meet(connection.remotePeer, connection).catch(() => undefined);
      else if (!neighbours.has(peer)) closeConnection(connection).catch(() => undefined);
    }
  }
  async function close(): Promise<void> {
    if (ticking !== null) clearInterval(ticking);
    ticking = null;
    dialler.end();
    links.end("stopped");
    gossip?.end();
    // Before libp2p's own stop, which waits half a second for the end of any connection that is closing already.
    await Promise.all(node.getConnections().map(closeConnection));
    await node.stop();
    await release();
  }

  const router = node.services.pubsub as GossipRouter;
  try {
    node.addEventListener("peer:discovery", ({ detail }) => {
      dialler.consider(detail.id.toString()).catch(() => undefined);
    });
    node.addEventListener("peer:disconnect", ({ detail }) => {
      speakers.delete(detail.toString());
      dialler.lost(detail.toString());
    });
    await node.handle(SYNC_PROTOCOL, (stream, connection) => links.accept(stream, connection), {
      maxInboundStreams: 2,
      maxOutboundStreams: 2,
      runOnLimitedConnection: true,
    });
    await node.handle(
      PEERS_PROTOCOL,
      async (stream, connection) => {
        const asker = connection.remotePeer.toString();
        const again = told.has(asker);
        told.set(asker, now());
        await tellPeers(node, stream, again ? [] : links.peerIds().filter((peer) => peer.toString() !== asker));
      },
      { maxInboundStreams: 1, maxOutboundStreams: 1, runOnLimitedConnection: true },
    );
    await node.register(SYNC_PROTOCOL, {
      notifyOnLimitedConnection: true,
      onConnect: (peer, connection) => {
        speakers.add(peer.toString());
        links.meet(peer, connection).catch(() => undefined);
      },
    });
    signal.throwIfAborted();
    await node.start();
    signal.throwIfAborted();
    gossip = new Gossip({
      router,
      results: modules.gossipsub.TopicValidatorResult,
      queue,
      limits,
      now,
      counts,
      linkOf: (peer) => links.linkOf(peer) ?? `${LINK_PREFIX}${peer}/0`,
      penalise: (peer, points) => given.punish(peer, points, "gossip"),
    });
    ticking = setInterval(tick, limits.tickMs);
  } catch (error) {
    await close();
    throw error;
  }

  return {
    links,
    gossip,
    dialler,
    begin: () => {
      for (const { id, address } of given.bootstrap) dialler.keep(id, [address], false);
      recall().catch(() => undefined);
    },
    addresses: () => node.getMultiaddrs().map(String),
    connectionCount: () => node.getConnections().length,
    gossipScore: (peer) => router.getScore(peer),
    hangUp,
    close,
  };

  /** Dials peers the store remembers from before. */
  async function recall(): Promise<void> {
    if (options.datastorePath === undefined) return;
    const known = await node.peerStore.all({ limit: KNOWN_PEERS_AT_START * 4 });
    const ours = known.filter(({ id, protocols }) => !id.equals(self) && protocols.includes(SYNC_PROTOCOL));
    const ids = ours.slice(0, KNOWN_PEERS_AT_START).map(({ id }) => id.toString());
    const lane = async (): Promise<void> => {
      for (let id = ids.shift(); id !== undefined; id = ids.shift()) await dialler.consider(id);
    };
    await Promise.all([lane(), lane(), lane()]);
  }
}
