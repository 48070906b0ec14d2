/** What `spine rns status` and `rns interfaces` show, of a running station or of the configuration alone. */
import type { reticulum } from "../../planes/index.ts";
import type { ReticulumConfig } from "./config.ts";
import type { RnsInterface, RnsStatus, RnsTransport } from "./service.ts";

function interfaceOf(one: reticulum.StationInterface): RnsInterface {
  const { traffic, lastError } = one;
  return {
    name: one.name,
    type: one.type,
    online: one.online,
    peers: one.wires,
    bitrate: Math.round(one.bitrate),
    received_packets: traffic.receivedPackets,
    received_bytes: traffic.receivedBytes,
    sent_packets: traffic.sentPackets,
    sent_bytes: traffic.sentBytes,
    dropped_frames: one.framesDropped,
    reconnects: one.reconnects,
    last_error: one.online || lastError === undefined ? null : { code: lastError.code, message: lastError.message },
    details: one.details ?? {},
  };
}

export function statusOf(of: {
  readonly station: reticulum.Station;
  readonly identity: string;
  readonly uptimeMs: number;
  readonly destinations: RnsStatus["destinations"];
  readonly lxmf: RnsStatus["lxmf"];
}): RnsStatus {
  const { station, identity, uptimeMs, destinations, lxmf } = of;
  const { endpoint } = station;
  return {
    running: true,
    identity,
    uptime_seconds: Math.round(uptimeMs / 1000),
    destinations,
    interfaces: station.status().map(interfaceOf),
    links: endpoint.links.size,
    paths: endpoint.paths.size,
    known_destinations: endpoint.known.size,
    transport: transportOf(endpoint),
    lxmf,
    counters: Object.fromEntries(endpoint.counters),
  };
}

function transportOf(endpoint: reticulum.Endpoint): RnsTransport | null {
  const status = endpoint.transport?.status();
  if (status === undefined) return null;
  const { links, reverse, announces, queuedAnnounces, searches } = status;
  const held = endpoint.heldAnnounces;
  const tunnels = endpoint.memory.tunnels.size;
  return { links, reverse, announces, queued_announces: queuedAnnounces, held_announces: held, searches, tunnels };
}

/** Nothing runs: the interfaces as configured. */
export function configuredStatus(config: ReticulumConfig, identity: string | null): RnsStatus {
  const nothing = { received_packets: 0, received_bytes: 0, sent_packets: 0, sent_bytes: 0 };
  return {
    running: false,
    identity,
    uptime_seconds: 0,
    destinations: [],
    interfaces: config.interfaces.map(({ name, type }) => ({
      name,
      type,
      online: false,
      peers: 0,
      bitrate: 0,
      ...nothing,
      dropped_frames: 0,
      reconnects: 0,
      last_error: null,
      details: {},
    })),
    links: 0,
    paths: 0,
    known_destinations: 0,
    transport: null,
    lxmf: null,
    counters: {},
  };
}
