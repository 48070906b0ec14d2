/** Where the API's unix socket is: relative paths are inside the node's directory. */
import { isAbsolute, join } from "node:path";
import type { Config } from "./config.ts";
import type { NodeDir } from "./dir.ts";

export function socketPath(dir: NodeDir, config: Config): string {
  return isAbsolute(config.api.socket) ? config.api.socket : join(dir.path, config.api.socket);
}
