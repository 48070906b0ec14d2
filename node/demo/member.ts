/** One daemon of the tour: a process of its own with a directory of its own, reached through its socket. */
import { type ChildProcess, spawn } from "node:child_process";
import { mkdir, open } from "node:fs/promises";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { fileURLToPath } from "node:url";
import { SpineError } from "../../spine/index.ts";
import { nodeDir } from "../dir.ts";
import type { NodeSession } from "../handle.ts";
import { initDir } from "../init.ts";
import { connectDaemon } from "../session.ts";

const CLI = fileURLToPath(new URL("../cli.js", import.meta.url));
const READY_MS = 20_000;

export class Member {
  readonly name: string;
  readonly path: string;
  readonly #child: ChildProcess;
  readonly session: NodeSession;
  /** Where others can dial it; undefined if it does not listen. */
  readonly address: string | undefined;

  private constructor(
    name: string,
    path: string,
    child: ChildProcess,
    session: NodeSession,
    address: string | undefined,
  ) {
    this.name = name;
    this.path = path;
    this.#child = child;
    this.session = session;
    this.address = address;
  }

  /** `listen` false makes a node that only dials. Logs go to `daemon.log` in its directory. */
  static async start(folder: string, name: string, listen: boolean): Promise<Member> {
    const path = join(folder, name);
    await mkdir(path, { recursive: true, mode: 0o700 });
    await initDir(nodeDir(path), { name, open: false, forceNew: false });
    const settings = [
      `planes.libp2p.listen=${listen ? "/ip4/127.0.0.1/tcp/0" : ""}`,
      "planes.libp2p.mdns=false",
      "planes.libp2p.discover=false",
    ].flatMap((setting) => ["--set", setting]);
    const log = await open(join(path, "daemon.log"), "w");
    const child = spawn(process.execPath, [CLI, "run", "--dir", path, "--json", ...settings], {
      stdio: ["ignore", "pipe", log.fd],
    });
    await log.close();
    const line = await firstLine(child, path);
    const { planes } = JSON.parse(line) as { planes: { addresses: string[] }[] };
    const session = await connectDaemon(nodeDir(path));
    if (session === undefined)
      throw new SpineError("daemon_not_running", `${name} is not reachable; see ${path}/daemon.log`);
    return new Member(name, path, child, session, planes[0]?.addresses[0]);
  }

  async stop(): Promise<void> {
    if (this.#child.exitCode !== null) return;
    const gone = new Promise((resolve) => this.#child.once("exit", resolve));
    this.#child.kill("SIGTERM");
    await gone;
  }
}

async function firstLine(child: ChildProcess, path: string): Promise<string> {
  const lines = createInterface({ input: child.stdout as NodeJS.ReadableStream });
  let timer: NodeJS.Timeout | undefined;
  try {
    return await new Promise<string>((resolve, reject) => {
      const fail = (why: string): void =>
        reject(new SpineError("daemon_not_running", `${why}; see ${path}/daemon.log`));
      timer = setTimeout(() => fail("not ready in time"), READY_MS);
      lines.once("line", resolve);
      child.once("exit", (code) => fail(`ended with ${code}`));
    });
  } finally {
    clearTimeout(timer);
    lines.close();
    child.stdout?.resume();
  }
}
