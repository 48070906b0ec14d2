/** The public face of storage: other folders import this and nothing deeper. */
export { checkStore } from "./check.ts";
export type { CheckOptions, CheckReport, Finding, FindingCode, SignedTreeHead } from "./check-report.ts";
export { dumpEntries, restoreDump } from "./dump.ts";
export { LevelStore } from "./level.ts";
export { MemoryStore } from "./memory.ts";
export { MemoryTables } from "./memory-tables.ts";
export * from "./store.ts";
