/** The public face of the WireGuard plane within `planes`. */
export * from "./backend.ts";
export * from "./device.ts";
export * from "./helper-client.ts";
export * from "./helper-protocol.ts";
export * from "./helper-server.ts";
export * from "./ip.ts";
export * from "./keeper.ts";
export * from "./memory-device.ts";
export * from "./peer-watch.ts";
export * from "./plan.ts";
export * from "./transport-key.ts";
export * from "./uapi.ts";
export * from "./wg-tool.ts";
