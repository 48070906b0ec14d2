/** LXMF: messages over Reticulum. Part of the public face of `planes/reticulum`. */
export { readDeliveryAppData, readPropagationAppData } from "./app-data.ts";
export { deliveryHash } from "./delivery-links.ts";
export type { LxmfHost } from "./host.ts";
export type { Arrival, ReceivedMessage } from "./inbox.ts";
export { mailDrop } from "./mail-drop.ts";
export { FIELD, type Fields, type LxMessage, openMessage, packMessage, sealMessage, verifyMessage } from "./message.ts";
export type { Method, Outgoing, OutgoingState } from "./outgoing.ts";
export { openPaper, PAPER_MDU, paperUri } from "./paper.ts";
export type { FetchResult } from "./propagation-client.ts";
export { PropagationNode, type PropagationNodeOptions } from "./propagation-node.ts";
export { MemoryFiles, type MessageFiles, PropagationStore } from "./propagation-store.ts";
export { LxmfRouter, type RouterOptions, type SendOptions } from "./router.ts";
export { InlineStamps, MAX_STAMP_COST, StampPool, type Stamps } from "./stamp-pool.ts";
export { type StationHostOptions, stationHost } from "./station-host.ts";
