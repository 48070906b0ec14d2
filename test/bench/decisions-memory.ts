/**
 * Memory of a daemon over 1,000,000 guard decisions through its socket, each signed and durable: resident size at twenty
 * points. SPINE_DECISIONS sets another count.
 */
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { closedLoop, Lanes } from "./decisions.ts";
import { HelperProcess, median } from "./helper-process.ts";
import type { BenchResult } from "./run.ts";

const SAMPLES = 20;
const COUNT = Number(process.env["SPINE_DECISIONS"] ?? 1_000_000);

/** Least squares: MiB per 100,000 decisions over the second half, when caches are full. */
function slope(memory: readonly number[]): number {
  const points = memory.map((mib, at) => [((at + 1) * COUNT) / SAMPLES / 100_000, mib] as const).slice(SAMPLES / 2);
  const mean = (at: 0 | 1): number => points.reduce((sum, point) => sum + point[at], 0) / points.length;
  const [meanX, meanY] = [mean(0), mean(1)];
  const top = points.reduce((sum, [x, y]) => sum + (x - meanX) * (y - meanY), 0);
  return top / points.reduce((sum, [x]) => sum + (x - meanX) ** 2, 0);
}

export async function benchDecisionsMemory(): Promise<BenchResult> {
  const folder = await mkdtemp(join(tmpdir(), "spine-bench-"));
  const daemon = new HelperProcess("./decisions-node.js", ["daemon", folder]);
  let lanes: Lanes | undefined;
  try {
    lanes = await Lanes.open(await daemon.next<string>());
    const memory: number[] = [];
    const rates: number[] = [];
    for (let sample = 0; sample < SAMPLES; sample++) {
      rates.push(await closedLoop(lanes, COUNT / SAMPLES));
      daemon.send({});
      memory.push((await daemon.next<{ rssMib: number }>()).rssMib);
      process.stderr.write(
        `${((sample + 1) * COUNT) / SAMPLES} decisions: ${Math.round(memory.at(-1) as number)} MiB\n`,
      );
    }
    return {
      bench: "decisions-memory",
      figures: {
        node: process.version,
        decisions: COUNT,
        per_second: Math.round(median(rates)),
        rss_mib: memory.map(Math.round).join(" "),
        rss_first_mib: Math.round(memory[0] as number),
        rss_half_mib: Math.round(memory[SAMPLES / 2 - 1] as number),
        rss_end_mib: Math.round(memory.at(-1) as number),
        rss_second_half_mib_per_100000: slope(memory),
      },
    };
  } finally {
    lanes?.close();
    await daemon.end();
    await rm(folder, { recursive: true, force: true });
  }
}
