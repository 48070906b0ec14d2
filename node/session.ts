/** How verbs reach a node: through its daemon when one runs on the directory, else by opening the store. */
import { SpineError } from "../spine/index.ts";
import { daemonSocket } from "./daemon-info.ts";
import type { NodeDir } from "./dir.ts";
import type { NodeSession } from "./handle.ts";
import type { OfflineOptions } from "./offline.ts";

/** Undefined when no daemon runs on the directory. */
export async function connectDaemon(dir: NodeDir): Promise<NodeSession | undefined> {
  const { RemoteNode } = await import("./remote.ts");
  try {
    return await RemoteNode.connect(await daemonSocket(dir));
  } catch (caught) {
    if (caught instanceof SpineError && caught.code === "daemon_not_running") return undefined;
    throw caught;
  }
}

/** Close it with `await using`; `offline` matters only without a daemon. Throws `key_missing` where no node was made. */
export async function openSession(
  dir: NodeDir,
  env: NodeJS.ProcessEnv,
  offline: OfflineOptions = {},
): Promise<NodeSession> {
  const remote = await connectDaemon(dir);
  if (remote) return remote;
  const { openOffline } = await import("./offline.ts");
  return openOffline(dir, env, offline);
}
