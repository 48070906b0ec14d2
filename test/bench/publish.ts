/**
 * Durable publishing through the API of a real daemon in its own process: open loop at 500/s for latency, in rounds
 * interleaved with a server that answers a constant; then batches of 100 for throughput.
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
    await openLoop(api);
    const rows: { ours: number[]; idle: number[] }[] = [];
    for (let round = 0; round < ROUNDS; round++) rows.push({ idle: await openLoop(noop), ours: await openLoop(api) });
    const batches: number[] = [];
    for (let round = 0; round < ROUNDS; round++) batches.push(await batchRate(api));
    // The store tidies up after a burst: what a caller notices of it.
    const after = await openLoop(api);
    const of = (share: number, kind: "ours" | "idle"): number[] => rows.map((row) => quantile(row[kind], share));
    return {
      bench: "publish",
      figures: {
        rate_per_second: 500,
        rounds: ROUNDS,
        p50_ms: median(of(0.5, "ours")),
        p99_ms: median(of(0.99, "ours")),
        noop_p50_ms: median(of(0.5, "idle")),
        noop_p99_ms: median(of(0.99, "idle")),
        p99_above_noop_ms: median(rows.map(({ ours, idle }) => quantile(ours, 0.99) - quantile(idle, 0.99))),
        p99_after_burst_ms: quantile(after, 0.99),
        batch_facts: 100,
        batch_per_second: Math.round(median(batches)),
      },
    };
  } finally {
    await Promise.all([daemon.end(), control.end()]);
    await rm(folder, { recursive: true, force: true });
  }
}
