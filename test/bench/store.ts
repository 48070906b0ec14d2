/**
 * Measures the LevelDB store: `node dist/test/bench/store.js [envelopes]`. Prints one JSON object per measurement.
 * Reading is measured in a fresh process, whose memory is what a starting node would need.
 */
import { fork } from "node:child_process";
import { mkdtemp, readdir, rm, stat } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { EnvelopeState, type Run } from "../../spine/index.ts";
import { LevelStore } from "../../storage/index.ts";
import { SyntheticIssuer } from "../helpers/synthetic.ts";

const NOTHING = { runs: [], heads: [], issuers: [], forks: [], states: [], rows: [] };
const RUN = 256;

function report(what: string, numbers: Record<string, number>): void {
  const rounded = Object.entries(numbers).map(([name, value]) => [name, Math.round(value * 100) / 100]);
  console.log(JSON.stringify({ what, ...Object.fromEntries(rounded) }));
}

async function timedMs(action: () => Promise<unknown>): Promise<number> {
  const start = performance.now();
  await action();
  return performance.now() - start;
}

function quantile(samples: readonly number[], share: number): number {
  const sorted = samples.toSorted((a, b) => a - b);
  return sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * share))] ?? 0;
}

async function diskBytes(directory: string): Promise<number> {
  let bytes = 0;
  for (const name of await readdir(directory)) bytes += (await stat(join(directory, name))).size;
  return bytes;
}

/** Commits `count` envelopes in runs, `ahead` commits at a time; runs are made in slices that are not timed. */
async function commitRuns(directory: string, what: string, issuerCount: number, count: number, ahead: number) {
  const issuers = Array.from({ length: issuerCount }, (_, i) => new SyntheticIssuer(`bench ${i}`));
  const cpuStart = process.cpuUsage();
  let busyMs = 0;
  let cpuMs = 0;
  const store = new LevelStore(directory);
  await store.open();
  for (let done = 0, next = 0; done < count; ) {
    const runs: [SyntheticIssuer, Run][] = [];
    for (; runs.length < 100 && done < count; done += RUN) {
      const issuer = issuers[next++ % issuerCount] as SyntheticIssuer;
      runs.push([issuer, issuer.next(RUN, { signed: false, state: EnvelopeState.chain })]);
    }
    const cpu = process.cpuUsage();
    busyMs += await timedMs(async () => {
      let at = 0;
      const work = async () => {
        for (let pair = runs[at++]; pair !== undefined; pair = runs[at++]) {
          const [issuer, run] = pair;
          const to = run.from + RUN - 1;
          await store.commit({ ...NOTHING, runs: [run], heads: [], issuers: [issuer.record([1, to])] });
        }
      };
      await Promise.all(Array.from({ length: ahead }, work));
    });
    const used = process.cpuUsage(cpu);
    cpuMs += (used.user + used.system) / 1000;
  }
  const usage = await store.usage();
  await store.close();
  const bytes = await diskBytes(directory);
  report(what, {
    perSecond: (count / busyMs) * 1000,
    cpuMicrosPerEnvelope: (cpuMs / count) * 1000,
    diskBytesPerEnvelope: bytes / count,
    estimatedBytesPerEnvelope: usage.bytes / count,
    rssMB: process.memoryUsage().rss / 1e6,
    totalCpuS: (process.cpuUsage(cpuStart).user + process.cpuUsage(cpuStart).system) / 1e6,
  });
}

async function commitSingles(directory: string, count: number): Promise<void> {
  const issuer = new SyntheticIssuer("single");
  const runs = Array.from({ length: count }, () => issuer.next(1, { signed: false }));
  const store = new LevelStore(directory);
  await store.open();
  const latencies: number[] = [];
  const totalMs = await timedMs(async () => {
    for (const run of runs) {
      const commit = { ...NOTHING, runs: [run], issuers: [issuer.record([1, run.from])] };
      latencies.push(await timedMs(() => store.commit(commit)));
    }
  });
  const ranges: number[] = [];
  for (let i = 0; i < 200; i++) {
    const from = 1 + Math.floor((i * (count - 100)) / 200);
    ranges.push(await timedMs(() => drain(store.runs(issuer.issuer, from, from + 99))));
  }
  await store.close();
  report("single commits, one after the other", {
    perSecond: (count / totalMs) * 1000,
    p50Ms: quantile(latencies, 0.5),
    p99Ms: quantile(latencies, 0.99),
    diskBytesPerEnvelope: (await diskBytes(directory)) / count,
    range100P50Ms: quantile(ranges, 0.5),
    range100P99Ms: quantile(ranges, 0.99),
  });
}

async function drain(items: AsyncIterable<unknown>): Promise<void> {
  for await (const _ of items);
}

/** Runs in a fresh process: opens what `commitRuns` left. */
async function readBack(directory: string, count: number): Promise<void> {
  const rssStart = process.memoryUsage().rss;
  const store = new LevelStore(directory);
  const openMs = await timedMs(() => store.open());
  let ranges = 0;
  const loadMs = await timedMs(async () => {
    ranges = (await store.load()).issuers.length;
  });
  const { issuer } = new SyntheticIssuer("bench 0");
  const measure = async (read: (from: number) => Promise<unknown>, samples: number) => {
    const all: number[] = [];
    for (let i = 0; i < samples; i++) {
      const from = 1 + ((i * 7_919_317) % (count - 100));
      all.push(await timedMs(() => read(from)));
    }
    return all;
  };
  const serve = await measure((from) => drain(store.records(issuer, from, from + 99)), 500);
  const runs = await measure((from) => drain(store.runs(issuer, from, from + 99)), 500);
  const single = await measure((from) => store.at(issuer, from), 500);
  const [known] = await store.leaves(count >> 1, 1);
  const located = await measure(() => store.locate(known as string), 500);
  const unverifiedMs = await timedMs(() => store.unverified(1024));
  const rssReads = process.memoryUsage().rss;
  const scanMs = await timedMs(() => drain(store.records(issuer, 1, count)));
  report("reading in a fresh process", {
    envelopes: count,
    openMs,
    loadMs,
    issuers: ranges,
    records100P50Ms: quantile(serve, 0.5),
    records100P99Ms: quantile(serve, 0.99),
    runs100P50Ms: quantile(runs, 0.5),
    runs100P99Ms: quantile(runs, 0.99),
    at1P50Ms: quantile(single, 0.5),
    at1P99Ms: quantile(single, 0.99),
    locateP50Ms: quantile(located, 0.5),
    unverified1024Ms: unverifiedMs,
    scanAllMs: scanMs,
    rssStartMB: rssStart / 1e6,
    rssAfterReadsMB: rssReads / 1e6,
    rssAfterScanMB: process.memoryUsage().rss / 1e6,
  });
  await store.close();
}

async function main(): Promise<void> {
  const [mode, where, size] = process.argv.slice(2);
  if (mode === "read") return readBack(where as string, Number(size));
  const count = Number(mode ?? 1_000_000);
  const base = await mkdtemp(join(tmpdir(), "spine-bench-"));
  try {
    await commitRuns(join(base, "seq"), "runs of 256, one commit at a time", 1, 102_400, 1);
    await commitRuns(join(base, "ahead"), "runs of 256, 4 commits ahead", 1, 102_400, 4);
    await commitRuns(join(base, "many"), "runs of 256, 4 ahead, 100 issuers", 100, 102_400, 4);
    await commitSingles(join(base, "single"), 20_000);
    const big = Math.ceil(count / RUN) * RUN;
    await commitRuns(join(base, "big"), `runs of 256, 4 ahead, ${big} in all`, 1, big, 4);
    await new Promise((resolve, reject) => {
      const child = fork(fileURLToPath(import.meta.url), ["read", join(base, "big"), String(big)]);
      child.once("exit", resolve);
      child.once("error", reject);
    });
  } finally {
    await rm(base, { recursive: true, force: true });
  }
}

await main();
