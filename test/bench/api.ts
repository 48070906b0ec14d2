/**
 * The API's own cost: publishing to a node in memory over the unix socket, from a second process, against a server that
 * answers a constant. Open loop at 500/s for latency, batches of 100 for throughput. No disk: `publish` measures that.
 */
import { fork } from "node:child_process";
import { mkdtemp, rm } from "node:fs/promises";
import { Agent, createServer, request } from "node:http";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { ApiServer } from "../../node/index.ts";
import { FakeNode } from "../helpers/fake-node.ts";
import type { BenchResult } from "./run.ts";

const RATE_PER_SECOND = 500;
const SECONDS = 5;
const BATCH = 100;
const BATCHES = 300;

const fact = (i: number): string =>
  JSON.stringify({ schema: "aegis.spine.fact.bench.v1", index: i, text: "x".repeat(300) });

const post = (agent: Agent, socketPath: string, body: string, type: string): Promise<number> =>
  new Promise((resolve, reject) => {
    const headers = { "content-type": type, "content-length": Buffer.byteLength(body) };
    const call = request({ agent, socketPath, method: "POST", path: "/v1/publish", headers }, (answer) => {
      answer.resume();
      answer.once("end", () => resolve(answer.statusCode ?? 0));
    });
    call.once("error", reject);
    call.end(body);
  });

/** Milliseconds per request, sorted, timed from the moment each was due. */
export async function openLoop(socketPath: string): Promise<number[]> {
  const agent = new Agent({ keepAlive: true, maxSockets: 48 });
  const latencies: number[] = [];
  const pending: Promise<void>[] = [];
  const started = performance.now();
  let sent = 0;
  while (sent < RATE_PER_SECOND * SECONDS) {
    const due = ((performance.now() - started) / 1000) * RATE_PER_SECOND;
    while (sent < due && sent < RATE_PER_SECOND * SECONDS) {
      const from = performance.now();
      const one = post(agent, socketPath, fact(sent++), "application/json");
      pending.push(one.then(() => void latencies.push(performance.now() - from)));
    }
    await new Promise((resolve) => setTimeout(resolve, 1));
  }
  await Promise.all(pending);
  agent.destroy();
  return latencies.sort((a, b) => a - b);
}

export async function batchRate(socketPath: string): Promise<number> {
  const agent = new Agent({ keepAlive: true, maxSockets: 4 });
  const bodies = Array.from({ length: 20 }, (_, b) =>
    Array.from({ length: BATCH }, (_, i) => `${fact(b * BATCH + i)}\n`).join(""),
  );
  const started = performance.now();
  let next = 0;
  const lane = async (): Promise<void> => {
    while (next < BATCHES)
      await post(agent, socketPath, bodies[next++ % bodies.length] as string, "application/x-ndjson");
  };
  await Promise.all([lane(), lane(), lane()]);
  agent.destroy();
  return (BATCHES * BATCH * 1000) / (performance.now() - started);
}

async function serve(folder: string): Promise<void> {
  const log = { warn: () => undefined };
  const api = new ApiServer({ node: new FakeNode(), socket: join(folder, "api.sock"), token: "", log });
  await api.start();
  const idle = createServer({ keepAliveTimeout: 60_000 }, (incoming, response) => {
    incoming.resume();
    incoming.once("end", () => response.end('{"ok":true}'));
  });
  await new Promise<void>((resolve) => idle.listen(join(folder, "noop.sock"), resolve));
  process.send?.("ready");
}

export async function benchApi(): Promise<BenchResult> {
  const folder = await mkdtemp(join(tmpdir(), "spine-bench-"));
  const server = fork(import.meta.filename, [folder]);
  try {
    await new Promise((resolve) => server.once("message", resolve));
    const [api, noop] = [join(folder, "api.sock"), join(folder, "noop.sock")];
    await batchRate(api);
    const at = (values: readonly number[], part: number): number => values[Math.floor(values.length * part)] as number;
    const idle = await openLoop(noop);
    const ours = await openLoop(api);
    return {
      bench: "api",
      figures: {
        rate_per_second: RATE_PER_SECOND,
        p50_ms: at(ours, 0.5),
        p99_ms: at(ours, 0.99),
        noop_p50_ms: at(idle, 0.5),
        noop_p99_ms: at(idle, 0.99),
        batch_facts: BATCH,
        batch_per_second: Math.round(await batchRate(api)),
      },
    };
  } finally {
    server.kill();
    await rm(folder, { recursive: true, force: true });
  }
}

const folder = process.argv[2];
if (process.send !== undefined && folder !== undefined) await serve(folder);
