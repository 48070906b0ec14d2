/** The public face of the core: other folders import this and nothing deeper. */
export * from "./bytes.ts";
export * from "./commit.ts";
export * from "./envelope.ts";
export * from "./errors.ts";
export * from "./have.ts";
export * from "./head.ts";
export * from "./link.ts";
export * from "./merkle.ts";
export * from "./merkle-prove.ts";
export * from "./merkle-verify.ts";
export * from "./ports.ts";
export * from "./tags.ts";
export * from "./tile.ts";
