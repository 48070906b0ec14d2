/** The public face of the planes: other folders import this and nothing deeper. */
export * from "./backoff.ts";
export * from "./libp2p/options.ts";
export { Libp2pPlane } from "./libp2p/plane.ts";
export * from "./memory.ts";
export * from "./plane.ts";
export * as reticulum from "./reticulum/index.ts";
export * as wireguard from "./wireguard/index.ts";
