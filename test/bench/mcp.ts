/**
 * What the MCP proxy adds to a call: the same tool of the same real server, asked by the official client directly and
 * through `spine mcp` in turns. Call and result are judged, signed and durable at a real daemon each time.
 */
import { mkdtemp, rm } from "node:fs/promises";
import { createRequire } from "node:module";
import { tmpdir } from "node:os";
import { dirname, join, resolve } from "node:path";
import { Client } from "@modelcontextprotocol/sdk/client/index.js";
import { StdioClientTransport } from "@modelcontextprotocol/sdk/client/stdio.js";
import { HelperProcess, median, quantile } from "./helper-process.ts";
import type { BenchResult } from "./run.ts";

const CALLS = 1_000;
const WARM = 100;
const CLI = resolve(import.meta.dirname, "../../node/cli.js");
const require = createRequire(import.meta.url);

async function connect(args: readonly string[]): Promise<Client> {
  const env = { PATH: process.env["PATH"] ?? "", HOME: "/nonexistent" };
  const transport = new StdioClientTransport({ command: process.execPath, args: [...args], stderr: "ignore", env });
  const client = new Client({ name: "bench", version: "1" });
  await client.connect(transport);
  return client;
}

async function call(client: Client, i: number): Promise<number> {
  const message = `what is said in call ${i}`;
  const from = performance.now();
  const { content } = await client.callTool({ name: "echo", arguments: { message } });
  const took = performance.now() - from;
  if (!JSON.stringify(content).includes(message)) throw new Error(JSON.stringify(content));
  return took;
}

export async function benchMcp(): Promise<BenchResult> {
  const folder = await mkdtemp(join(tmpdir(), "spine-bench-"));
  const daemon = new HelperProcess("./decisions-node.js", ["daemon", folder]);
  const clients: Client[] = [];
  try {
    const socket = await daemon.next<string>();
    const server = dirname(require.resolve("@modelcontextprotocol/server-everything/package.json"));
    const command = [join(server, "dist", "index.js")];
    const bare = await connect(command);
    const proxy = ["mcp", "--dir", folder, "--socket", socket, "--", process.execPath];
    const guarded = await connect([CLI, ...proxy, ...command]);
    clients.push(bare, guarded);
    const times: Record<"bare" | "guarded", number[]> = { bare: [], guarded: [] };
    for (let i = 0; i < CALLS + WARM; i++) {
      const [direct, judged] = [await call(bare, i), await call(guarded, i)];
      if (i < WARM) continue;
      times.bare.push(direct);
      times.guarded.push(judged);
    }
    return {
      bench: "mcp",
      figures: {
        node: process.version,
        calls: CALLS,
        bare_p50_ms: median(times.bare),
        guarded_p50_ms: median(times.guarded),
        added_p50_ms: median(times.guarded) - median(times.bare),
        bare_p99_ms: quantile(times.bare, 0.99),
        guarded_p99_ms: quantile(times.guarded, 0.99),
        added_p99_ms: quantile(times.guarded, 0.99) - quantile(times.bare, 0.99),
      },
    };
  } finally {
    await Promise.all(clients.map((client) => client.close()));
    await daemon.end();
    await rm(folder, { recursive: true, force: true });
  }
}
