/** The public face of storage: other folders import this and nothing deeper. */
export * from "./store.ts";
