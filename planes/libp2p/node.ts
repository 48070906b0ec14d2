/** Loads the libp2p packages, on demand, and assembles a node from the plane's options. Called by `plane.ts` at start. */
import "./polyfill.ts";
import { createHash } from "node:crypto";
import type { GossipSub } from "@libp2p/gossipsub";
import type { ConnectionGater, Libp2p, PeerId, PrivateKey } from "@libp2p/interface";
import type { Multiaddr } from "@multiformats/multiaddr";
import { GOSSIP_TOPIC, SpineError, toHex, utf8 } from "../../spine/index.ts";
import type { Libp2pLimits, Libp2pOptions } from "./options.ts";
import { SCORE_THRESHOLDS, scoreParams } from "./scoring.ts";

/** The service tag of local discovery; our own, so that other libp2p programs on the network are not dialled. */
const MDNS_TAG = "_spine._udp.local";
/** One gossip RPC. More than one message: an answer to IWANT carries everything asked for at once. */
const MAX_RPC_BYTES = 1_024 * 1_024;
const MAX_GOSSIP_BACKLOG_BYTES = 4 * 1_024 * 1_024;
const RELAY_DURATION_MS = 3_600_000;
const RELAY_DATA_BYTES = 256n * 1_024n * 1_024n;

export type SpineLibp2p = Libp2p<{ pubsub: GossipSub }>;

export type Modules = Awaited<ReturnType<typeof loadModules>>;

/** The packages every start needs. */
export async function loadModules() {
  const [libp2p, tcp, noise, yamux, identify, gossipsub, keys, peerId, multiaddr] = await Promise.all([
    import("libp2p"),
    import("@libp2p/tcp"),
    import("@libp2p/noise"),
    import("@libp2p/yamux"),
    import("@libp2p/identify"),
    import("@libp2p/gossipsub"),
    import("@libp2p/crypto/keys"),
    import("@libp2p/peer-id"),
    import("@multiformats/multiaddr"),
  ]);
  return { libp2p, tcp, noise, yamux, identify, gossipsub, keys, peerId, multiaddr };
}

export interface PeerAddress {
  readonly id: string;
  readonly address: string;
}

/** Checks a dialable multiaddr that ends in /p2p/ID; throws `peer_address`. */
export async function parsePeerAddress(address: string): Promise<PeerAddress> {
  const [{ multiaddr }, { peerIdFromString }] = await Promise.all([
    import("@multiformats/multiaddr"),
    import("@libp2p/peer-id"),
  ]);
  try {
    const last = multiaddr(address).getComponents().at(-1);
    if (last?.name !== "p2p" || last.value === undefined) throw new Error("it must end in /p2p/PEER_ID");
    const peer: PeerId = peerIdFromString(last.value);
    if (peer.type !== "Ed25519") throw new Error("the peer id must be of an Ed25519 key");
    if (multiaddr(address).getComponents().length < 2) throw new Error("it names no place to dial");
    return { id: peer.toString(), address };
  } catch (cause) {
    const reason = cause instanceof Error ? cause.message : String(cause);
    throw new SpineError("peer_address", `${address}: ${reason}`, { cause });
  }
}

/** The text form pnet wants. */
function swarmKey(psk: Uint8Array | string): Uint8Array {
  if (typeof psk === "string") return utf8(psk.trim());
  return utf8(`/key/swarm/psk/1.0.0/\n/base16/\n${toHex(psk)}`);
}

export interface NodeParts {
  readonly node: SpineLibp2p;
  readonly self: PeerId;
  /** Closes what libp2p does not close itself. */
  readonly release: () => Promise<void>;
}

/** A node that is not started. */
export async function buildNode(
  modules: Modules,
  options: Libp2pOptions,
  limits: Libp2pLimits,
  gater: ConnectionGater,
  points: (peer: string) => number,
): Promise<NodeParts> {
  const privateKey: PrivateKey = await modules.keys.generateKeyPairFromSeed("Ed25519", options.privateKeySeed);
  const relayUse = options.relay?.use ?? [];
  const relayServer = options.relay?.server === true;
  const relay = options.relay === undefined ? null : await import("@libp2p/circuit-relay-v2");
  const mdns = options.mdns === true ? await import("@libp2p/mdns") : null;
  const pnet = options.psk === undefined ? null : await import("@libp2p/pnet");
  const store = options.datastorePath === undefined ? null : await openStore(options.datastorePath);
  try {
    const node = await modules.libp2p.createLibp2p({
      start: false,
      privateKey,
      nodeInfo: { name: "spine", userAgent: "spine" },
      addresses: { listen: [...options.listen, ...relayUse.map((address) => `${address}/p2p-circuit`)] },
      transports: [
        modules.tcp.tcp({ maxConnections: limits.maxConnections * 2, backlog: 128 }),
        ...(relay === null ? [] : [relay.circuitRelayTransport()]),
      ],
      connectionEncrypters: [modules.noise.noise()],
      streamMuxers: [
        modules.yamux.yamux({
          maxInboundStreams: relayServer ? 256 : 32,
          maxOutboundStreams: relayServer ? 256 : 32,
          streamOptions: { maxStreamWindowSize: limits.windowBytes },
        }),
      ],
      connectionGater: gater,
      connectionManager: {
        maxConnections: limits.maxConnections,
        inboundConnectionThreshold: limits.inboundPerSecondPerIp,
        maxIncomingPendingConnections: limits.maxPendingInbound,
        maxParallelDials: 16,
        maxDialQueueLength: 64,
        dialTimeout: limits.dialMs,
        inboundUpgradeTimeout: limits.dialMs,
        // Redialling is the plane's own work.
        reconnectRetries: 0,
      },
      // A busy event loop must not pass for a dead peer; the links have their own keep-alive.
      connectionMonitor: { pingInterval: 30_000, pingTimeout: { minTimeout: 20_000 } },
      ...(store === null ? {} : { datastore: store }),
      ...(pnet === null || options.psk === undefined
        ? {}
        : { connectionProtector: pnet.preSharedKey({ psk: swarmKey(options.psk) }) }),
      peerDiscovery: mdns === null ? [] : [mdns.mdns({ serviceTag: MDNS_TAG })],
      services: {
        identify: modules.identify.identify({
          maxInboundStreams: 2,
          maxOutboundStreams: 2,
          runOnLimitedConnection: true,
        }),
        pubsub: modules.gossipsub.gossipsub({
          globalSignaturePolicy: "StrictNoSign",
          msgIdFn: (message) => createHash("sha256").update(message.data).digest(),
          msgIdToStrFn: toHex,
          asyncValidation: true,
          awaitRpcHandler: true,
          allowPublishToZeroTopicPeers: true,
          ignoreDuplicatePublishError: true,
          fallbackToFloodsub: false,
          emitSelf: false,
          doPX: false,
          allowedTopics: [GOSSIP_TOPIC],
          maxTopicBytesPerPeer: 4_096,
          maxInboundDataLength: MAX_RPC_BYTES,
          maxOutboundBufferSize: MAX_GOSSIP_BACKLOG_BYTES,
          maxInboundStreams: 2,
          maxOutboundStreams: 2,
          runOnLimitedConnection: true,
          scoreParams: scoreParams(GOSSIP_TOPIC, points),
          scoreThresholds: SCORE_THRESHOLDS,
        }),
        ...(relay !== null && relayServer
          ? {
              relay: relay.circuitRelayServer({
                reservations: {
                  maxReservations: 32,
                  defaultDurationLimit: RELAY_DURATION_MS,
                  defaultDataLimit: RELAY_DATA_BYTES,
                },
              }),
            }
          : {}),
      },
    });
    return {
      node: node as unknown as SpineLibp2p,
      self: node.peerId,
      release: async () => {
        await store?.close();
      },
    };
  } catch (error) {
    await store?.close();
    throw error;
  }
}

async function openStore(path: string) {
  const { LevelDatastore } = await import("datastore-level");
  const store = new LevelDatastore(path);
  await store.open();
  return store;
}

/** Multiaddrs of one peer, as libp2p's dial takes them. */
export function toMultiaddrs(modules: Modules, addresses: readonly string[]): Multiaddr[] {
  return addresses.map((address) => modules.multiaddr.multiaddr(address));
}
