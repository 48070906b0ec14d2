/**
 * What an agent waits for at each tool call: the hook program against a bare `node -e 0` in interleaved starts, and the
 * hook endpoint on a kept connection, both on a real daemon that signs and stores each decision.
 */
import { spawnSync } from "node:child_process";
import { mkdtemp, rm } from "node:fs/promises";
import { Agent, request } from "node:http";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { HelperProcess, median, quantile } from "./helper-process.ts";
import type { BenchResult } from "./run.ts";

const LAUNCHER = resolve(import.meta.dirname, "../../node/hooks/launcher.cjs");
const STARTS = 30;
const CALLS = 1_000;
const PAYLOAD = JSON.stringify({
  ...{ session_id: "bench", cwd: "/w/repo", hook_event_name: "PreToolUse", tool_use_id: "toolu_01" },
  ...{ tool_name: "Bash", tool_input: { command: "npm test" } },
});

function start(args: readonly string[]): number {
  const env = { PATH: process.env["PATH"] ?? "" };
  const from = performance.now();
  const { status, stderr } = spawnSync(process.execPath, args, { input: PAYLOAD, env });
  const took = performance.now() - from;
  if (status !== 0) throw new Error(`ended with ${status}: ${String(stderr)}`);
  return took;
}

function post(agent: Agent, socketPath: string): Promise<number> {
  const from = performance.now();
  return new Promise((settle, reject) => {
    const headers = { host: "localhost", "content-length": Buffer.byteLength(PAYLOAD) };
    const outgoing = request(
      { agent, socketPath, method: "POST", path: "/v1/hooks/claude-code", headers },
      (answer) => {
        let text = "";
        answer.on("data", (part: Buffer) => {
          text += part.toString();
        });
        answer.once("end", () => (text === "{}" ? settle(performance.now() - from) : reject(new Error(text))));
      },
    );
    outgoing.once("error", reject);
    outgoing.end(PAYLOAD);
  });
}

export async function benchHook(): Promise<BenchResult> {
  const folder = await mkdtemp(join(tmpdir(), "spine-bench-"));
  const daemon = new HelperProcess("./decisions-node.js", ["daemon", folder]);
  const agent = new Agent({ keepAlive: true, maxSockets: 1 });
  try {
    const socket = await daemon.next<string>();
    const hook = [LAUNCHER, "claude-code", "--socket", socket];
    for (let i = 0; i < 3; i++) start(hook);
    const bare: number[] = [];
    const ours: number[] = [];
    for (let i = 0; i < STARTS; i++) {
      bare.push(start(["-e", "0"]));
      ours.push(start(hook));
    }
    const calls: number[] = [];
    for (let i = 0; i < CALLS + 100; i++) {
      const took = await post(agent, socket);
      if (i >= 100) calls.push(took);
    }
    return {
      bench: "hook",
      figures: {
        node: process.version,
        starts: STARTS,
        bare_node_p50_ms: median(bare),
        hook_p50_ms: median(ours),
        hook_p90_ms: quantile(ours, 0.9),
        above_bare_p50_ms: median(ours.map((one, i) => one - (bare[i] as number))),
        http_hook_p50_ms: median(calls),
        http_hook_p99_ms: quantile(calls, 0.99),
      },
    };
  } finally {
    agent.destroy();
    await daemon.end();
    await rm(folder, { recursive: true, force: true });
  }
}
