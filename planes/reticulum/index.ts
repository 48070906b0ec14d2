/** The public face of native Reticulum: stack, interfaces, station and radio model. Other code of planes imports this. */

export type { Delivery, MailDrop } from "./carry/absent.ts";
export { parseReticulumAddress } from "./carry/address.ts";
export * from "./carry/options.ts";
export { ReticulumPlane } from "./carry/plane.ts";
export type { RadioWireStatus } from "./carry/radio-line.ts";
export { isSpelling, openSpelling, spellEnvelope } from "./carry/spellings.ts";
export {
  type AirFrame,
  type EtherOptions as RadioEtherOptions,
  Radio,
  RadioEther,
  type RadioSettings,
} from "./ether.ts";
export { AutoInterface, type AutoOptions } from "./interfaces/auto.ts";
export type { AccessOptions, Interface, InterfaceStatus, LiveWire, WireHost } from "./interfaces/interface.ts";
export { type KissTncOptions, kissTnc } from "./interfaces/kiss-tnc.ts";
export type { SerialOptions } from "./interfaces/line.ts";
export type { RadioConfig, RNodeState } from "./interfaces/rnode.ts";
export { RNODE_MTU, RNodeInterface, type RNodeOptions } from "./interfaces/rnode-interface.ts";
export { type SerialInterfaceOptions, serialInterface } from "./interfaces/serial.ts";
export { type TcpOptions, TcpServerInterface, tcpClient } from "./interfaces/tcp.ts";
export { UdpInterface, type UdpOptions } from "./interfaces/udp.ts";
export * from "./lxmf/index.ts";
export { AirtimeLedger, type Modulation, nominalBitrate, packetAirtimeMs, sensitivityDbm } from "./radio.ts";
export type { AnnounceEvent, AnnounceHandler, AnnounceOptions } from "./stack/announces.ts";
export { Buffers, type StreamWriter } from "./stack/buffer.ts";
export type { Channel } from "./stack/channel.ts";
export type { CounterName, Wire } from "./stack/context.ts";
export { Destination, type DestinationOptions } from "./stack/destination.ts";
export { Endpoint, type EndpointOptions, type Send } from "./stack/endpoint.ts";
export { Identity, PublicIdentity } from "./stack/identity.ts";
export { Ifac, type IfacOptions } from "./stack/ifac.ts";
export type { Link } from "./stack/link.ts";
export type { ReceivedResource } from "./stack/link-resources.ts";
export type { CloseReason, LinkState, ProofStrategy } from "./stack/link-setup.ts";
export { Double, type Packable, pack, packedNumber, unpack } from "./stack/msgpack.ts";
export { GROUP, PLAIN, SINGLE } from "./stack/name.ts";
export type { PathEntry } from "./stack/path-table.ts";
export { type RatchetOptions, RatchetRing } from "./stack/ratchet.ts";
export type { Receipt, ReceiptState } from "./stack/receipt.ts";
export type {
  PendingRequest,
  RequestArrival,
  RequestHandler,
  RequestPolicy,
  Respond,
  Response,
} from "./stack/request.ts";
export type { OutgoingResource, OutgoingState, ResourceOptions } from "./stack/resource-sender.ts";
export { metadataBlock } from "./stack/segment.ts";
export type { TransportStatus } from "./stack/transport.ts";
export type { AnnounceRate, InterfaceMode, WirePolicy } from "./stack/wire-policy.ts";
export { Station, type StationInterface, type StationOptions, type Traffic } from "./station.ts";
export { systemRandom } from "./system-random.ts";
