/**
 * Appending to the log beside Tessera on its POSIX driver (`test/peers/tessera-go`, built on demand): the same count of
 * 32-byte entries in batches of 100 into a fresh folder, synced, until the last is in the tree. Interleaved rounds; without
 * Go the figures that Tessera publishes stand beside ours.
 */
import { execFile } from "node:child_process";
import { access, mkdir, mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { promisify } from "node:util";
import { median } from "./helper-process.ts";
import { logRole } from "./log.ts";
import { PEERS_FOLDER } from "./peer-package.ts";
import type { BenchResult } from "./run.ts";

const run = promisify(execFile);
const SOURCE = resolve(import.meta.dirname, "../../../test/peers/tessera-go");
const VERSION = "v1.0.4";
const PROGRAM = join(PEERS_FOLDER, `tessera-append-${VERSION}`);
const ENTRIES = 50_000;
const ROUNDS = 3;
/** Tessera's own documentation: POSIX driver, slow disk to NVMe. */
const PUBLISHED = "1500-10000";

async function built(): Promise<boolean> {
  const there = await access(PROGRAM).then(
    () => true,
    () => false,
  );
  if (there) return true;
  await mkdir(PEERS_FOLDER, { recursive: true });
  return run("go", ["build", "-mod=readonly", "-o", PROGRAM, "."], { cwd: SOURCE }).then(
    () => true,
    (error: Error) => {
      process.stderr.write(`no Tessera here: ${error.message.split("\n", 1)[0]}\n`);
      return false;
    },
  );
}

async function inFolder<T>(work: (folder: string) => Promise<T>): Promise<T> {
  const folder = await mkdtemp(join(tmpdir(), "spine-bench-"));
  try {
    return await work(folder);
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
}

async function tessera(folder: string): Promise<number> {
  const { stdout } = await run(PROGRAM, ["-dir", folder, "-entries", String(ENTRIES)]);
  return (ENTRIES / (JSON.parse(stdout) as { durableMs: number }).durableMs) * 1000;
}

export async function besideTessera(): Promise<BenchResult["figures"]> {
  const isHere = await built();
  const [ours, theirs]: [number[], number[]] = [[], []];
  for (let round = 0; round < ROUNDS; round++) {
    ours.push(await inFolder(async (folder) => (await logRole("short", folder, ENTRIES))["perSecond"] as number));
    if (isHere) theirs.push(await inFolder(tessera));
  }
  const own = { beside_entries: ENTRIES, beside_ours_per_second: Math.round(median(ours)) };
  if (!isHere) return { ...own, tessera_published_per_second: PUBLISHED };
  const ratios = ours.map((rate, i) => rate / (theirs[i] as number));
  return {
    ...own,
    tessera: VERSION,
    tessera_per_second: Math.round(median(theirs)),
    ratio: median(ratios),
    ratio_least: Math.min(...ratios),
    ratio_most: Math.max(...ratios),
  };
}

export async function benchLogAppend(): Promise<BenchResult> {
  return { bench: "log-append", figures: await besideTessera() };
}
