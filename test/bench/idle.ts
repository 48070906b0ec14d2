/** What an idle daemon costs: `spine run` with libp2p, from spawn to its ready line, and its memory four seconds later. */
import { spawn } from "node:child_process";
import { mkdtemp, readFile, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { fileURLToPath } from "node:url";
import { initDir, nodeDir } from "../../node/index.ts";
import { median } from "./helper-process.ts";
import type { BenchResult } from "./run.ts";

const STARTS = 5;
const SETTLE_MS = 4_000;
const CLI = fileURLToPath(new URL("../../node/cli.js", import.meta.url));

export interface Start {
  readonly readyMs: number;
  readonly rssMb: number;
}

async function residentMb(pid: number): Promise<number> {
  const status = await readFile(`/proc/${pid}/status`, "utf8");
  return Number(/VmRSS:\s+(\d+) kB/.exec(status)?.[1] ?? Number.NaN) / 1024;
}

/** Starts the daemon on a directory, lets `use` work with it, stops it. */
export async function startOnce(
  folder: string,
  use: (pid: number) => Promise<void> = () => sleep(SETTLE_MS),
): Promise<Start> {
  // Loading extra certificates costs Node 20 some 60 ms and has nothing to do with us.
  const { NODE_EXTRA_CA_CERTS: _, ...env } = process.env;
  const started = performance.now();
  const flags = ["--set", "planes.libp2p.listen=/ip4/127.0.0.1/tcp/0", "--set", "log.level=error"];
  const child = spawn(process.execPath, [CLI, "run", "--dir", folder, "--json", ...flags], {
    env,
    stdio: ["ignore", "pipe", "inherit"],
  });
  const gone = new Promise((resolve) => child.once("exit", resolve));
  try {
    await new Promise<void>((resolve, reject) => {
      child.stdout.once("data", () => resolve());
      child.once("exit", (code) => reject(new Error(`spine run ended with ${code}`)));
    });
    const readyMs = performance.now() - started;
    await use(child.pid as number);
    return { readyMs, rssMb: await residentMb(child.pid as number) };
  } finally {
    child.kill("SIGTERM");
    await gone;
  }
}

export async function benchIdle(): Promise<BenchResult> {
  const folder = await mkdtemp(join(tmpdir(), "spine-bench-"));
  try {
    await initDir(nodeDir(folder), { open: false, forceNew: false });
    const starts: Start[] = [];
    for (let i = 0; i < STARTS; i++) starts.push(await startOnce(folder));
    return {
      bench: "idle",
      figures: {
        starts: STARTS,
        ready_ms: Math.round(median(starts.map(({ readyMs }) => readyMs))),
        ready_ms_max: Math.round(Math.max(...starts.map(({ readyMs }) => readyMs))),
        rss_mb: Math.round(median(starts.map(({ rssMb }) => rssMb))),
        rss_mb_max: Math.round(Math.max(...starts.map(({ rssMb }) => rssMb))),
      },
    };
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
}
