/**
 * The transparency log at ten million leaves: append in batches of 100 and of 10 with tiles following, reopening,
 * inclusion and consistency proofs in process, memory under proof load. Runs each part in a process of its own.
 */
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
// Not the daemon's face: what is measured is the log, without the memory of everything else that a daemon loads.
import { LogTree } from "../../node/attest/log-tree.ts";
import { sha256, treeHasher } from "../../node/hash.ts";
import { type Commit, type EnvelopeHash, EnvelopeState, verifyInclusion } from "../../spine/index.ts";
import { LevelStore } from "../../storage/index.ts";
import { HelperProcess, quantile } from "./helper-process.ts";
import { besideTessera } from "./log-append.ts";
import type { BenchResult } from "./run.ts";

const ISSUER = `aegis:ed25519:${"5a".repeat(32)}`;
/** A record of one byte: what is measured is the log, and the store's index beside it. */
const RECORD = Uint8Array.of(0, 0, 0, 1, 0, ...new Uint8Array(64));
const PROOFS = 20_000;

/** The leaf of an index: not secret, only different. */
function leafOf(index: number): Uint8Array {
  const bytes = new Uint8Array(32);
  new DataView(bytes.buffer).setFloat64(0, index);
  return sha256(bytes);
}

function commitOf(from: number, count: number): Commit {
  const hashes = Array.from(
    { length: count },
    (_, i): EnvelopeHash => `0x${Buffer.from(leafOf(from + i)).toString("hex")}`,
  );
  const records = Buffer.concat(new Array<Uint8Array>(count).fill(RECORD));
  const states = new Uint8Array(count).fill(EnvelopeState.signature);
  const run = { issuer: ISSUER, from: from + 1, hashes, records, states };
  return { runs: [run], heads: [], issuers: [], forks: [], states: [], rows: [] };
}

/** Appends leaves `from` to `to` − 1, synced, a few commits in flight, the tree following; rate without making leaves. */
async function append(store: LevelStore, tree: LogTree, from: number, to: number, batch: number): Promise<number> {
  let busyMs = 0;
  for (let done = from; done < to; ) {
    const commits: Commit[] = [];
    for (; commits.length < 1_000 && done < to; done += batch) commits.push(commitOf(done, Math.min(batch, to - done)));
    const started = performance.now();
    const following = tree.advance(done - commits.length * batch);
    await Promise.all(commits.map((commit) => store.commit(commit)));
    await following;
    busyMs += performance.now() - started;
  }
  const started = performance.now();
  await tree.advance(to);
  return ((to - from) / (busyMs + performance.now() - started)) * 1000;
}

async function appendRole(path: string, leaves: number): Promise<void> {
  await using store = new LevelStore(path);
  await store.open();
  const tree = new LogTree(store);
  const tens = Math.min(100_000, leaves / 10);
  const perSecond100 = await append(store, tree, 0, leaves - tens, 100);
  const perSecond10 = await append(store, tree, leaves - tens, leaves, 10);
  const rssMb = Math.round(process.resourceUsage().maxRSS / 1024);
  process.send?.({ perSecond100, perSecond10, rssMb, storeBytes: (await store.usage()).bytes });
}

function times(count: number, work: (i: number) => void): number[] {
  return Array.from({ length: count }, (_, i) => {
    const started = performance.now();
    work(i);
    return performance.now() - started;
  });
}

async function proveRole(path: string, leaves: number): Promise<void> {
  const started = performance.now();
  await using store = new LevelStore(path);
  await store.open();
  const openMs = performance.now() - started;
  const tree = new LogTree(store);
  await tree.advance(leaves);
  const startMs = performance.now() - started;
  const root = tree.root(leaves);
  const anywhere = (i: number): number => (i * 7_919_777) % leaves;
  const inclusion: number[] = [];
  // In pieces, as a server works: what a turn leaves behind can be freed between turns.
  for (let done = 0; done < PROOFS; done += 100) {
    const paths: Uint8Array[][] = [];
    inclusion.push(...times(100, (i) => paths.push(tree.inclusion(anywhere(done + i), leaves))));
    for (const [i, path] of paths.entries()) {
      const index = anywhere(done + i);
      const leafHash = treeHasher.leaf(leafOf(index));
      verifyInclusion(treeHasher, { leafHash, index, size: leaves, path, root });
    }
    await new Promise((resolve) => setImmediate(resolve));
  }
  const consistency = times(1_000, (i) => tree.consistency(1 + anywhere(i), leaves));
  const rssMb = Math.round(process.resourceUsage().maxRSS / 1024);
  process.send?.({
    openMs,
    startMs,
    rssMb,
    inclusionP50: quantile(inclusion, 0.5),
    inclusionP99: quantile(inclusion, 0.99),
    consistencyP50: quantile(consistency, 0.5),
    consistencyP99: quantile(consistency, 0.99),
  });
}

/** One part in a process of its own, over the store in this folder. */
export async function logRole(role: string, folder: string, leaves: number): Promise<Record<string, number>> {
  const child = new HelperProcess("./log.js", [role, join(folder, "store"), String(leaves)]);
  const result = await child.next<Record<string, number>>();
  await child.end();
  return result;
}

export async function benchLog(leaves = Number(process.env["SPINE_BENCH_LEAVES"] ?? 10_000_000)): Promise<BenchResult> {
  const folder = await mkdtemp(join(tmpdir(), "spine-bench-"));
  try {
    const beside = await besideTessera();
    process.stderr.write(`appending ${leaves} leaves\n`);
    const made = await logRole("append", folder, leaves);
    const proven = await logRole("prove", folder, leaves);
    return { bench: "log", figures: { ...beside, leaves, ...snake("append", made), ...snake("prove", proven) } };
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
}

function snake(prefix: string, figures: Record<string, number>): Record<string, number> {
  const named = Object.entries(figures).map(([name, value]) => [
    `${prefix}_${name.replaceAll(/[A-Z]|[0-9]+/g, (part) => `_${part.toLowerCase()}`)}`,
    value,
  ]);
  return Object.fromEntries(named);
}

async function shortRole(path: string, leaves: number): Promise<void> {
  await using store = new LevelStore(path);
  await store.open();
  process.send?.({ perSecond: await append(store, new LogTree(store), 0, leaves, 100) });
}

const [role, path, leaves] = process.argv.slice(2) as [string?, string?, string?];
if (role === "append") await appendRole(path as string, Number(leaves));
if (role === "short") await shortRole(path as string, Number(leaves));
if (role === "prove") await proveRole(path as string, Number(leaves));
