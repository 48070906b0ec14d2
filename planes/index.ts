/** The public face of the planes: other folders import this and nothing deeper. */
export * from "./plane.ts";
