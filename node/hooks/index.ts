/** The face of the hooks towards the daemon and the command line. */
export type { HookAnswer } from "./answer.ts";
export { keptDenials } from "./denial-memory.ts";
export { type BrokenDenial, HookDesk } from "./desk.ts";
export { diagnose } from "./doctor.ts";
export { HARNESSES, type Harness, isHarness } from "./harness.ts";
export { HookWatch } from "./installs.ts";
