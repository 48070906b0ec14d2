/** Native SHA-256 for the daemon and the command line: one call, no hash object (spine's `Sha256Hex` and `Sha256` ports). */
import { hash } from "node:crypto";
import type { Sha256Hex } from "../spine/index.ts";

export { sha256, treeHasher } from "../storage/index.ts";

export const sha256Hex: Sha256Hex = (bytes) => hash("sha256", bytes, "hex");
