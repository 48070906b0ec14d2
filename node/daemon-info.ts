/** `daemon.json`: where the daemon of a directory can be reached. Written when it is ready, removed when it stops. */
import { readFile, unlink } from "node:fs/promises";
import type { NodeDir } from "./dir.ts";
import { writeFileAtomic } from "./files.ts";

export interface DaemonInfo {
  readonly pid: number;
  /** Absolute path of the API's unix socket. */
  readonly socket: string;
  readonly issuer: string;
  /** RFC 3339. */
  readonly started_at: string;
}

export async function writeDaemonInfo(dir: NodeDir, info: DaemonInfo): Promise<void> {
  await writeFileAtomic(dir.daemonInfo, `${JSON.stringify(info)}\n`, { mode: 0o600, exclusive: false });
}

export async function removeDaemonInfo(dir: NodeDir): Promise<void> {
  await unlink(dir.daemonInfo).catch(() => undefined);
}

/** The socket the directory's daemon listens on if it runs; whether it does must be asked there. */
export async function daemonSocket(dir: NodeDir): Promise<string> {
  try {
    const info: unknown = JSON.parse(await readFile(dir.daemonInfo, "utf8"));
    if (typeof info === "object" && info !== null && "socket" in info && typeof info.socket === "string") {
      return info.socket;
    }
  } catch {
    // Absent or half gone: the default place is as good a guess.
  }
  return dir.socket;
}
