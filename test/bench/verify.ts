/**
 * The verify stage: claims through the worker pool, against bare `crypto.verify` loops in as many threads as there are
 * cores, in interleaved rounds on the same messages.
 */
import { createPublicKey, type KeyObject, verify } from "node:crypto";
import { availableParallelism } from "node:os";
import { isMainThread, parentPort, Worker, workerData } from "node:worker_threads";
import { createSigner, WorkerVerifier } from "../../node/index.ts";
import type { Claim } from "../../spine/index.ts";
import type { BenchResult } from "./run.ts";

const ROUNDS = 5;
const CLAIMS = 8192;
const ISSUERS = 100;
const MESSAGE_BYTES = 506;
/** What a driver hands over at once: two sync segments. */
const BATCH_CLAIMS = 512;
const BATCHES_IN_FLIGHT = 4;

function makeClaims(count: number): Claim[] {
  const signers = Array.from({ length: ISSUERS }, (_, i) => createSigner(new Uint8Array(32).fill(i + 1)));
  return Array.from({ length: count }, (_, i) => {
    const signer = signers[i % ISSUERS] as (typeof signers)[0];
    const message = new Uint8Array(MESSAGE_BYTES).fill(i & 255);
    new DataView(message.buffer).setUint32(0, i);
    return { key: signer.publicKey, message, signature: signer.sign(message) };
  });
}

/** In a thread: cached keys, a loop, nothing else. Says when it is ready, runs on the word, says when it is done. */
function bareLoop(count: number): void {
  const keys = new Map<string, KeyObject>();
  const items = makeClaims(count).map(({ key, message, signature }) => {
    const x = Buffer.from(key).toString("base64url");
    const object = keys.get(x) ?? createPublicKey({ key: { kty: "OKP", crv: "Ed25519", x }, format: "jwk" });
    keys.set(x, object);
    return { object, message, signature };
  });
  const check = ({ object, message, signature }: (typeof items)[0]): void => {
    if (!verify(null, message, object, signature)) throw new Error("a good signature was refused");
  };
  items.slice(0, 500).forEach(check);
  parentPort?.once("message", () => {
    items.forEach(check);
    parentPort?.postMessage("done");
  });
  parentPort?.postMessage("ready");
}

async function bareRate(): Promise<number> {
  const threads = availableParallelism();
  const share = Math.floor(CLAIMS / threads);
  const workers = Array.from(
    { length: threads },
    () => new Worker(new URL(import.meta.url), { workerData: { share } }),
  );
  const once = (worker: Worker): Promise<unknown> => new Promise((resolve) => worker.once("message", resolve));
  await Promise.all(workers.map(once));
  const started = performance.now();
  const ends = workers.map(once);
  for (const worker of workers) worker.postMessage("go");
  await Promise.all(ends);
  const seconds = (performance.now() - started) / 1000;
  await Promise.all(workers.map((worker) => worker.terminate()));
  return (share * threads) / seconds;
}

async function poolRate(verifier: WorkerVerifier, claims: readonly Claim[]): Promise<number> {
  const started = performance.now();
  let next = 0;
  const lane = async (): Promise<void> => {
    while (next < claims.length) {
      const batch = claims.slice(next, next + BATCH_CLAIMS);
      next += batch.length;
      if ((await verifier.verify(batch)).includes(false)) throw new Error("a good signature was refused");
    }
  };
  await Promise.all(Array.from({ length: BATCHES_IN_FLIGHT }, lane));
  return (claims.length / (performance.now() - started)) * 1000;
}

const median = (values: readonly number[]): number => values.toSorted((a, b) => a - b)[values.length >> 1] as number;

export async function benchVerify(): Promise<BenchResult> {
  const claims = makeClaims(CLAIMS);
  await using verifier = new WorkerVerifier();
  await poolRate(verifier, claims);
  const bare: number[] = [];
  const pool: number[] = [];
  for (let round = 0; round < ROUNDS; round++) {
    bare.push(await bareRate());
    pool.push(await poolRate(verifier, claims));
  }
  const ratios = pool.map((rate, round) => rate / (bare[round] as number));
  return {
    bench: "verify",
    figures: {
      cores: availableParallelism(),
      rounds: ROUNDS,
      claims_per_round: CLAIMS,
      message_bytes: MESSAGE_BYTES,
      bare_per_second: Math.round(median(bare)),
      pool_per_second: Math.round(median(pool)),
      ratio: median(ratios),
      ratio_least: Math.min(...ratios),
      ratio_most: Math.max(...ratios),
      peer: "node:crypto verify loop",
      peer_version: process.version,
    },
  };
}

if (!isMainThread) bareLoop((workerData as { share: number }).share);
