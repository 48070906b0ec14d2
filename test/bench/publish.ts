/**
 * Durable publishing through the API of a real daemon in its own process: open loop at 500/s for latency, batches of
 * 100 for throughput, in rounds interleaved with a server that answers a constant.
 */
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { batchRate, openLoop } from "./api.ts";
import { HelperProcess, median, quantile } from "./helper-process.ts";
import type { BenchResult } from "./run.ts";

const ROUNDS = 5;

export async function benchPublish(): Promise<BenchResult> {
  const folder = await mkdtemp(join(tmpdir(), "spine-bench-"));
  const daemon = new HelperProcess("./publish-node.js", ["daemon", folder]);
  const control = new HelperProcess("./publish-node.js", ["no-op", folder]);
  try {
    const [api, noop] = [await daemon.next<string>(), await control.next<string>()];
    await batchRate(api);
    const rows: { p50: number; p99: number; noopP50: number; noopP99: number; batches: number }[] = [];
    for (let round = 0; round < ROUNDS; round++) {
      const idle = await openLoop(noop);
      const ours = await openLoop(api);
      const batches = await batchRate(api);
      const [p50, p99] = [quantile(ours, 0.5), quantile(ours, 0.99)];
      rows.push({ p50, p99, noopP50: quantile(idle, 0.5), noopP99: quantile(idle, 0.99), batches });
    }
    return {
      bench: "publish",
      figures: {
        rate_per_second: 500,
        rounds: ROUNDS,
        p50_ms: median(rows.map(({ p50 }) => p50)),
        p99_ms: median(rows.map(({ p99 }) => p99)),
        noop_p50_ms: median(rows.map(({ noopP50 }) => noopP50)),
        noop_p99_ms: median(rows.map(({ noopP99 }) => noopP99)),
        p99_above_noop_ms: median(rows.map(({ p99, noopP99 }) => p99 - noopP99)),
        batch_facts: 100,
        batch_per_second: Math.round(median(rows.map(({ batches }) => batches))),
      },
    };
  } finally {
    await Promise.all([daemon.end(), control.end()]);
    await rm(folder, { recursive: true, force: true });
  }
}
