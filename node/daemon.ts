/** The composition root: builds a node from its directory and configuration and takes it down in reverse order. */
import type { Issuer } from "../spine/index.ts";
import { SpineError } from "../spine/index.ts";
import type { Config } from "./config.ts";
import type { NodeDir } from "./dir.ts";
import type { Log } from "./log.ts";

export interface DaemonOptions {
  readonly dir: NodeDir;
  readonly config: Config;
  readonly log: Log;
}

export interface Daemon {
  readonly issuer: Issuer;
  /** `unix:PATH`, then `http://HOST:PORT` if configured. */
  readonly api: readonly string[];
  readonly planes: readonly { readonly name: string; readonly addresses: readonly string[] }[];
  /** What the operator should know, one sentence each. */
  readonly warnings: readonly string[];
  /** Pending while the daemon works; rejects when it can no longer, such as on a failing disk. */
  readonly failed: Promise<never>;
  /** Graceful and idempotent: no handle is left open when it resolves. */
  stop(): Promise<void>;
}

/** Resolved = the node can be used. Rejects with a coded error and leaves nothing open. */
export async function startDaemon(options: DaemonOptions): Promise<Daemon> {
  throw new SpineError("internal", `no composition root for ${options.dir.path}`);
}
