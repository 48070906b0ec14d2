/**
 * Catch-up over libp2p on loopback against hypercore over TCP: two processes each, disk to disk, same number of
 * entries, interleaved rounds. `catch-up` is one issuer, `catch-up-100` a hundred. Timed from dialling to the last
 * envelope on the receiver's disk.
 */
import { cp, mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { HelperProcess, median } from "./helper-process.ts";
import { peerPackage } from "./peer-package.ts";
import type { BenchResult } from "./run.ts";

export const ENVELOPES = 102_400;
const HYPERCORE = "hypercore@11.37.1";

interface Report {
  readonly seconds: number;
  readonly peakRssMb: number;
}

async function spineRound(source: string, folder: string): Promise<{ sink: Report; source: Report }> {
  const from = new HelperProcess("./catch-up-node.js", ["source", source]);
  const { address, issuers } = await from.next<{ address: string; issuers: string[] }>();
  const to = new HelperProcess("./catch-up-node.js", ["sink", folder]);
  await to.next();
  to.send({ address, issuers, envelopes: ENVELOPES });
  const sink = await to.next<Report>();
  from.send({ report: true });
  const report = await from.next<Report>();
  await Promise.all([from.end(), to.end()]);
  return { sink, source: report };
}

async function hypercoreRound(source: string, folder: string, modules: string): Promise<Report> {
  const env = { SPINE_BENCH_MODULES: modules };
  const from = new HelperProcess("./hypercore-node.js", ["source", source, String(ENVELOPES)], env);
  const started = await from.next<{ port: number; key: string }>();
  const to = new HelperProcess("./hypercore-node.js", ["sink", folder], env);
  await to.next();
  to.send({ ...started, blocks: ENVELOPES });
  const report = await to.next<Report>();
  await Promise.all([from.end(), to.end()]);
  return report;
}

export async function benchCatchUp(
  issuers: number,
  rounds = Number(process.env["SPINE_BENCH_ROUNDS"] ?? 5),
): Promise<BenchResult> {
  const modules = await peerPackage(HYPERCORE);
  const folder = await mkdtemp(join(tmpdir(), "spine-bench-"));
  try {
    process.stderr.write(`preparing ${ENVELOPES} envelopes of ${issuers} issuers and as many blocks\n`);
    const maker = new HelperProcess("./catch-up-node.js", [
      "make",
      join(folder, "made"),
      String(issuers),
      String(ENVELOPES),
    ]);
    const made = await maker.next<{ bytes: number }>();
    await maker.end();
    const ours: number[] = [];
    const theirs: number[] = [];
    const rss: Record<"sink" | "source" | "hypercore", number> = { sink: 0, source: 0, hypercore: 0 };
    await new HelperProcess("./hypercore-node.js", ["make", join(folder, "core"), String(ENVELOPES)], {
      SPINE_BENCH_MODULES: modules,
    }).next();
    for (let round = 0; round < rounds; round++) {
      await cp(join(folder, "made"), join(folder, `source-${round}`), { recursive: true });
      const spine = await spineRound(join(folder, `source-${round}`), join(folder, `sink-${round}`));
      const core = await hypercoreRound(join(folder, "core"), join(folder, `core-sink-${round}`), modules);
      ours.push(ENVELOPES / spine.sink.seconds);
      theirs.push(ENVELOPES / core.seconds);
      rss.sink = Math.max(rss.sink, spine.sink.peakRssMb);
      rss.source = Math.max(rss.source, spine.source.peakRssMb);
      rss.hypercore = Math.max(rss.hypercore, core.peakRssMb);
      process.stderr.write(
        `round ${round + 1}: ${Math.round(ours.at(-1) as number)}/s, hypercore ${Math.round(theirs.at(-1) as number)}/s\n`,
      );
      for (const name of [`source-${round}`, `sink-${round}`, `core-sink-${round}`])
        await rm(join(folder, name), { recursive: true, force: true });
    }
    return {
      bench: issuers === 1 ? "catch-up" : `catch-up-${issuers}`,
      figures: {
        envelopes: ENVELOPES,
        issuers,
        json_bytes_per_envelope: Math.round(made.bytes / ENVELOPES),
        rounds,
        per_second: Math.round(median(ours)),
        per_second_min: Math.round(Math.min(...ours)),
        per_second_max: Math.round(Math.max(...ours)),
        peer: HYPERCORE,
        peer_block_bytes: 700,
        peer_per_second: Math.round(median(theirs)),
        ratio: median(ours.map((rate, i) => rate / (theirs[i] as number))),
        sink_peak_rss_mb: rss.sink,
        source_peak_rss_mb: rss.source,
        peer_peak_rss_mb: rss.hypercore,
      },
    };
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
}
