/** Who is let in: banned peers neither way, and only so many inbound connections per address. A libp2p connection gater. */
import type { Connection, ConnectionGater } from "@libp2p/interface";

/** The address a bound is counted on: a whole IPv4 address, an IPv6 /64; null for relayed and other connections. */
export function addressGroup(multiaddr: string): string | null {
  const [, family, host] = multiaddr.split("/");
  if (multiaddr.includes("/p2p-circuit") || host === undefined) return null;
  if (family === "ip4") return host;
  if (family !== "ip6") return null;
  const [head = "", tail] = host.split("::");
  const left = head === "" ? [] : head.split(":");
  const right = tail === undefined || tail === "" ? [] : tail.split(":");
  const gap = tail === undefined ? [] : Array.from({ length: Math.max(0, 8 - left.length - right.length) }, () => "0");
  return [...left, ...gap, ...right].slice(0, 4).join(":");
}

export interface GaterOptions {
  readonly isBanned: (peer: string) => boolean;
  readonly connections: () => readonly Pick<Connection, "direction" | "remoteAddr">[];
  readonly maxConnections: number;
  readonly maxConnectionsPerIp: number;
  readonly refused: () => void;
}

export function connectionGater(options: GaterOptions): ConnectionGater {
  const deny = (refuse: boolean): boolean => {
    if (refuse) options.refused();
    return refuse;
  };
  const crowded = (multiaddr: string): boolean => {
    const open = options.connections();
    // libp2p counts before the handshakes, and afterwards closes only connections without streams: never one of ours.
    if (open.length >= options.maxConnections) return true;
    const group = addressGroup(multiaddr);
    if (group === null) return false;
    const alike = open.filter(({ direction, remoteAddr }) => {
      return direction === "inbound" && addressGroup(remoteAddr.toString()) === group;
    });
    return alike.length >= options.maxConnectionsPerIp;
  };
  return {
    denyDialPeer: (peer) => options.isBanned(peer.toString()),
    denyOutboundEncryptedConnection: (peer) => options.isBanned(peer.toString()),
    denyInboundConnection: (connection) => deny(crowded(connection.remoteAddr.toString())),
    denyInboundEncryptedConnection: (peer) => deny(options.isBanned(peer.toString())),
    // Once more: many may have been in their handshakes at once.
    denyInboundUpgradedConnection: (_peer, connection) => deny(crowded(connection.remoteAddr.toString())),
  };
}
