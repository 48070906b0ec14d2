/** The public face of the simulator. */

import { clonedImage } from "./scenarios/cloned-image.ts";
import { restoredBackup } from "./scenarios/restored-backup.ts";
import type { Scenario } from "./scenarios/scenario.ts";

export { type HistoryResult, runAuthorityHistory } from "./authority-history.ts";
export * from "./built-in.ts";
export { VirtualClock } from "./clock.ts";
export { SimDisk } from "./disk.ts";
export type { Setup } from "./engine/setup.ts";
export { InvariantViolation } from "./invariants.ts";
export { Meter } from "./meter.ts";
export { SimPeer } from "./peer.ts";
export { memoise, noblePorts } from "./ports.ts";
export * from "./report/page.ts";
export * from "./report/rows.ts";
export * from "./report/sweep-page.ts";
export * from "./report/text.ts";
export * from "./report/trace-text.ts";
export * from "./result.ts";
export { Rng } from "./rng.ts";
export * from "./run.ts";
export * from "./scenario-file.ts";
export * from "./scenarios/scenario.ts";
export * from "./search/mutate.ts";
export * from "./search/promise.ts";
export * from "./search/search.ts";
export * from "./search/shrink.ts";
export * from "./task.ts";
export * from "./text/mesh-import.ts";
export * from "./text/scenario-text.ts";
export * from "./text/settings.ts";
export * from "./verbs/index.ts";
export { EPOCH_MS, INTERNET, LAN, type SimKey, type SimPorts, World } from "./world.ts";

/** Scenarios that need a program: what happens depends on what happened before. */
export const SCENARIOS: readonly Scenario[] = [restoredBackup, clonedImage];
