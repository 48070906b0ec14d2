/** Real agent harnesses for tests (`setup-harnesses.sh` installs them): one headless run with a scripted model. */
import { execFile } from "node:child_process";
import { existsSync } from "node:fs";
import { join, resolve } from "node:path";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";
import type { ModelLog, ScriptedCall } from "../../node/hooks/rehearsal/model.ts";

export type RealHarness = "claude-code" | "codex" | "gemini-cli";

export interface HarnessTask {
  readonly harness: RealHarness;
  /** Folder of its program. */
  readonly programs: string;
  readonly home: string;
  readonly cwd: string;
  readonly prompt: string;
  readonly calls: readonly ScriptedCall[];
  readonly extra?: readonly string[];
  /** A loopback port, inside, that leads to this unix socket: a daemon outside is asked over HTTP. */
  readonly relay?: { readonly port: number; readonly socket: string };
}

export interface HarnessRun extends ModelLog {
  readonly code: number | null;
  /** The end of what it printed. */
  readonly said: string;
}

const ROOT = resolve(import.meta.dirname, "../../..");
const RUNNER = fileURLToPath(new URL("./harness-run.js", import.meta.url));

export function programsOf(harness: RealHarness): string {
  const peers = process.env["SPINE_PEERS_DIR"] ?? join(ROOT, ".peers");
  return join(peers, "harnesses", harness, "node_modules/.bin");
}

export function isInstalled(harness: RealHarness): boolean {
  return existsSync(programsOf(harness));
}

/** In namespaces of its own: nothing but loopback, and with `etc` that folder in the place of /etc. */
export async function inside(words: readonly string[], env: NodeJS.ProcessEnv, etc?: string): Promise<string> {
  const bind = etc === undefined ? "" : `mount --bind '${etc}' /etc && `;
  const enter = ["--map-root-user", "--net", "--mount", "sh", "-c", `ip link set lo up && ${bind}exec "$0" "$@"`];
  const options = { timeout: 120_000, maxBuffer: 1_048_576, env };
  return (await promisify(execFile)("unshare", [...enter, ...words], options)).stdout;
}

export async function runHarness(task: Omit<HarnessTask, "programs">, etc?: string): Promise<HarnessRun> {
  const given = JSON.stringify({ ...task, programs: programsOf(task.harness) });
  return JSON.parse(await inside([process.execPath, RUNNER, given], process.env, etc)) as HarnessRun;
}
