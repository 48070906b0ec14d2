/** A node without daemon: the store opened by this process, for verbs on a directory whose daemon does not run. */
import { authorityWarnings } from "./authority/authority-work.ts";
import { loadConfig } from "./config-file.ts";
import type { NodeDir } from "./dir.ts";
import { EventHub } from "./event-hub.ts";
import type { NodeSession } from "./handle.ts";
import { LocalNode } from "./local-node.ts";
import { Runtime } from "./runtime.ts";

class OfflineNode extends LocalNode implements NodeSession {
  readonly remote = false;
  readonly #runtime: Runtime;
  constructor(runtime: Runtime, hub: EventHub, warnings: readonly string[]) {
    const readiness = () => ({ ready: false, reasons: ["no daemon runs on this directory"] });
    super({ runtime, hub, metrics: undefined, running: false, startedAtMs: 0, readiness, warnings: () => warnings });
    this.#runtime = runtime;
  }
  [Symbol.asyncDispose](): Promise<void> {
    return this.#runtime.close();
  }
}

export interface OfflineOptions {
  /** Ask peers for nothing: for a dry run. */
  readonly passive?: boolean;
}

/**
 * Takes the store's lock. Throws `key_missing` where no node was made, `store_locked` when another process has it.
 * Planes do not run: `sync` connects for its own duration.
 */
export async function openOffline(
  dir: NodeDir,
  env: NodeJS.ProcessEnv,
  options: OfflineOptions = {},
): Promise<NodeSession> {
  const config = await loadConfig({ path: dir.config, required: false, env, flags: {} });
  let hub: EventHub | undefined;
  const runtime = await Runtime.open({
    dir,
    config,
    ...(options.passive === true ? { requestsPerLink: 0 } : {}),
    onEvent(event) {
      if (event.type === "stored") hub?.stored(event.run.hashes.length);
    },
  });
  hub = new EventHub(runtime.store, (await runtime.store.load()).logSize);
  const warnings = [
    ...(config.issuers.open ? ["Lab mode: every issuer is admitted (issuers.open)."] : []),
    ...runtime.ownChain.warnings(),
    ...authorityWarnings(runtime),
  ];
  return new OfflineNode(runtime, hub, warnings);
}
