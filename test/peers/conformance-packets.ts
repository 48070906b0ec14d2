/** Bridge commands that build, send and take apart packets outside links. */
import { announceData, announceRandomHash } from "../../planes/reticulum/stack/announce.ts";
import { Destination } from "../../planes/reticulum/stack/destination.ts";
import { Endpoint } from "../../planes/reticulum/stack/endpoint.ts";
import { Identity } from "../../planes/reticulum/stack/identity.ts";
import { destinationHash, GROUP, nameHash, PLAIN, SINGLE } from "../../planes/reticulum/stack/name.ts";
import {
  ANNOUNCE,
  buildPacket,
  CONTEXT,
  DATA,
  NETWORK_MTU,
  type PacketType,
  packetHash,
  parsePacket,
} from "../../planes/reticulum/stack/packet.ts";
import { toHex } from "../../spine/index.ts";
import { bytes, type Params, random, type Value } from "./conformance-node.ts";

export const TYPES: Readonly<Record<string, typeof SINGLE | typeof GROUP | typeof PLAIN>> = {
  single: SINGLE,
  group: GROUP,
  plain: PLAIN,
};
const NAME = { appName: "conformance", aspects: ["packet"] };
const WIRE = { id: "wire", bitrate: 1e6, hardwareMtu: NETWORK_MTU, signalsMtu: false };

function endpointAlone(): Endpoint {
  const endpoint = new Endpoint({ random });
  endpoint.attach(WIRE);
  return endpoint;
}

/** The only packet that the task makes. */
function sentBy(endpoint: Endpoint, task: () => void): Uint8Array {
  const [only] = endpoint.act(Date.now(), task);
  if (only === undefined) throw new Error("nothing was sent");
  return only.frame;
}

function header(raw: Uint8Array): { readonly raw: Value; readonly [key: string]: Value } {
  const packet = parsePacket(raw);
  return {
    raw: toHex(raw),
    flags: packet.flags,
    hops: packet.hops,
    header_type: packet.transportId === undefined ? 0 : 1,
    context_flag: packet.contextFlag ? 1 : 0,
    transport_type: (packet.flags >> 4) & 1,
    destination_type: packet.destinationType,
    packet_type: packet.packetType,
    destination_hash: toHex(packet.destination),
    transport_id: packet.transportId === undefined ? null : toHex(packet.transportId),
    context: packet.context,
    data: toHex(packet.data),
    hash: toHex(packetHash(raw)),
  };
}

/** What an application can send goes through the endpoint, which knows the limits; odd headers are only built. */
function build(p: Params): { readonly raw: Value; readonly [key: string]: Value } {
  const type = TYPES[String(p["dest_type"] ?? "")] ?? SINGLE;
  const packetType = Number(p["packet_type"] ?? 0) as PacketType;
  const context = Number(p["context"] ?? 0);
  const contextFlag = Number(p["context_flag"] ?? 0) === 1;
  const hops = Number(p["hops"] ?? 0);
  const transport = Number(p["transport_type"] ?? 0) === 1;
  const ordinary = packetType === DATA && context === CONTEXT.none && !contextFlag && hops === 0 && !transport;
  if (type === PLAIN && ordinary && p["header_type"] === undefined) {
    const endpoint = endpointAlone();
    const destination = new Destination({ type: PLAIN, ...NAME });
    return header(sentBy(endpoint, () => endpoint.sendTo(destination, bytes(p, "data"))));
  }
  const identity = Identity.create(random);
  const sealed = type === SINGLE && packetType === DATA && context === CONTEXT.none;
  const long = Number(p["header_type"] ?? 1) === 2;
  const raw = buildPacket({
    packetType,
    destinationType: type,
    destination: destinationHash(nameHash("conformance.packet"), type === PLAIN ? undefined : identity.hash),
    data: sealed ? identity.encrypt(bytes(p, "data"), random) : bytes(p, "data"),
    context,
    contextFlag,
    hops,
    transport,
    ...(long ? { transportId: bytes(p, "transport_id") } : {}),
  });
  return header(raw);
}

/** The same payload sent twice: the stack itself never repeats a packet outside a link. */
function sendTwice(p: Params): Value {
  const endpoint = endpointAlone();
  const data = bytes(p, "data");
  let send: () => void;
  if (p["dest_type"] === "single") {
    const identity = Identity.create(random);
    const { hash, nameHash: about } = new Destination({ type: SINGLE, ...NAME, identity });
    const randomHash = announceRandomHash(random(5), Date.now());
    const heard = announceData({ identity, destination: hash, nameHash: about, randomHash });
    const fields = { packetType: ANNOUNCE, destinationType: SINGLE, destination: hash, data: heard } as const;
    endpoint.handle(WIRE.id, buildPacket(fields), Date.now());
    send = () => void endpoint.send(hash, data);
  } else {
    const destination =
      p["dest_type"] === "group"
        ? new Destination({ ...NAME, type: GROUP, groupKey: random(64) })
        : new Destination({ ...NAME, type: PLAIN });
    send = () => endpoint.sendTo(destination, data);
  }
  const [first, second] = [sentBy(endpoint, send), sentBy(endpoint, send)];
  return {
    raw_1: toHex(first),
    hash_1: toHex(packetHash(first)),
    raw_2: toHex(second),
    hash_2: toHex(packetHash(second)),
  };
}

export const PACKETS: Readonly<Record<string, (params: Params) => Value>> = {
  packet_build: build,
  packet_build_raw_header2: (p) => {
    try {
      return { raw: build({ ...p, header_type: 2 }).raw };
    } catch (caught) {
      return { error: String(caught) };
    }
  },
  packet_unpack: (p) => {
    try {
      return { unpacked: true, ...header(bytes(p, "raw")) };
    } catch {
      return { unpacked: false };
    }
  },
  packet_hash: (p) => ({ hash: toHex(packetHash(bytes(p, "raw"))) }),
  packet_resend_observe: sendTwice,
};
