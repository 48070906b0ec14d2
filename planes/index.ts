/** The public face of the planes: other folders import this and nothing deeper. */
export * from "./backoff.ts";
export * from "./libp2p/options.ts";
export { Libp2pPlane } from "./libp2p/plane.ts";
export * from "./memory.ts";
export { type BusOptions, MAX_HEAD_BYTES, NatsBus } from "./nats/bus.ts";
export { readNatsFile } from "./nats/connection.ts";
export type { LeafLog } from "./nats/leaf-log.ts";
export { type NatsNames, type NatsPreset, natsNames, subjectMatches, subjectTail } from "./nats/names.ts";
export type { NatsAuth, NatsLimits, NatsPlaneOptions, NatsServers } from "./nats/options.ts";
export { type ConnectionListener, NatsPlane } from "./nats/plane.ts";
export type { BatchHandler, BusMessage, Handled } from "./nats/stream-reader.ts";
export { covers, type ServerFeatures, type StreamLimits, serverFeatures } from "./nats/streams.ts";
export type { WitnessHandler, WitnessLine, WitnessQuestion } from "./nats/witness-line.ts";
export * from "./plane.ts";
export * as reticulum from "./reticulum/index.ts";
export { steadyClock } from "./steady-clock.ts";
export * as wireguard from "./wireguard/index.ts";
