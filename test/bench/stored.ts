/** A daemon with a million stored envelopes: start, range queries of a hundred through the API, memory after them. */
import { randomBytes } from "node:crypto";
import { mkdtemp, rm } from "node:fs/promises";
import { Agent, request } from "node:http";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createSigner, initDir, nodeDir, sha256Hex } from "../../node/index.ts";
import {
  Admission,
  draftEnvelope,
  type Envelope,
  formatTime,
  type IssuerRecord,
  runOf,
  sealEnvelope,
} from "../../spine/index.ts";
import { LevelStore } from "../../storage/index.ts";
import { fact } from "./bench-fact.ts";
import { median, quantile } from "./helper-process.ts";
import { startOnce } from "./idle.ts";
import type { BenchResult } from "./run.ts";

const ISSUERS = 20;
const RUN = 250;
const QUERIES = 200;

/** Envelopes as the publisher drafts them; their signatures are not looked at here and so are not made. */
async function fill(folder: string, envelopes: number): Promise<string[]> {
  await using store = new LevelStore(nodeDir(folder).store);
  await store.open();
  const issuers = Array.from({ length: ISSUERS }, () => createSigner(randomBytes(32)).issuer);
  const heads = new Map<string, Envelope>();
  for (let from = 1; from <= envelopes / ISSUERS; from += RUN) {
    for (const issuer of issuers) {
      const batch: Envelope[] = [];
      for (let seq = from; seq < from + RUN; seq++) {
        const prev = heads.get(issuer)?.hash ?? null;
        const draft = draftEnvelope(
          { issuer, seq, prev, issuedAt: formatTime(1_795_000_000 + seq), fact: fact(seq) },
          sha256Hex,
        );
        heads.set(issuer, sealEnvelope(draft, new Uint8Array(64)));
        batch.push(heads.get(issuer) as Envelope);
      }
      const ranges = [{ from: 1, to: from + RUN - 1, prev: null, last: (batch.at(-1) as Envelope).hash }];
      const record: IssuerRecord = { issuer, admission: Admission.allowed, ranges, prunedBelow: 0, frozenAt: null };
      await store.commit({ runs: [runOf(batch)], heads: [], issuers: [record], forks: [], states: [], rows: [] });
    }
  }
  return issuers;
}

function query(agent: Agent, socketPath: string, path: string): Promise<{ ms: number; lines: number }> {
  const started = performance.now();
  return new Promise((resolve, reject) => {
    const call = request({ agent, socketPath, path }, (answer) => {
      let lines = 0;
      answer.on("data", (chunk: Buffer) => {
        for (const byte of chunk) if (byte === 10) lines++;
      });
      answer.once("end", () => resolve({ ms: performance.now() - started, lines }));
    });
    call.once("error", reject);
    call.end();
  });
}

export async function benchStored(
  envelopes = Number(process.env["SPINE_BENCH_ENVELOPES"] ?? 1_000_000),
): Promise<BenchResult> {
  const folder = await mkdtemp(join(tmpdir(), "spine-bench-"));
  try {
    await initDir(nodeDir(folder), { open: false, forceNew: false });
    process.stderr.write(`storing ${envelopes} envelopes\n`);
    const issuers = await fill(folder, envelopes);
    const agent = new Agent({ keepAlive: true, maxSockets: 1 });
    const times: number[] = [];
    let short = 0;
    const start = await startOnce(folder, async () => {
      for (let i = 0; i < QUERIES; i++) {
        const from = 1 + ((i * 7919) % (envelopes / ISSUERS - 100));
        const issuer = issuers[i % ISSUERS] as string;
        const path = `/v1/issuers/${issuer}/envelopes?from=${from}&to=${from + 99}`;
        const { ms, lines } = await query(agent, nodeDir(folder).socket, path);
        times.push(ms);
        if (lines !== 100) short++;
      }
    });
    agent.destroy();
    if (short > 0) throw new Error(`${short} queries did not answer 100 envelopes`);
    return {
      bench: "stored",
      figures: {
        envelopes,
        start_ms: Math.round(start.readyMs),
        range_queries: QUERIES,
        range_100_p50_ms: median(times),
        range_100_p99_ms: quantile(times, 0.99),
        rss_mb: Math.round(start.rssMb),
      },
    };
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
}
