/**
 * kill -9 at random moments, under publish load and under sync load. After each: what was acknowledged is there, no
 * seq ever had two hashes, and the store checks clean. SPINE_LONG=1 runs SPINE_ROUNDS rounds (200 by default), and no
 * longer than SPINE_MINUTES; SPINE_SEED repeats a run's choices (not its timing).
 */
import assert from "node:assert/strict";
import { join } from "node:path";
import { sha256Hex, WorkerVerifier } from "../../node/index.ts";
import { openSigningBytes } from "../../spine/index.ts";
import { checkStore } from "../../storage/index.ts";
import { type Daemon, daemonPool, notes } from "../helpers/daemon.ts";

const LONG = process.env["SPINE_LONG"] === "1";
const ROUNDS = LONG ? Number(process.env["SPINE_ROUNDS"] ?? 200) : 6;
const LIMIT_MS = LONG ? Number(process.env["SPINE_MINUTES"] ?? 60) * 60_000 : 60_000;
const SEED = Number(process.env["SPINE_SEED"] ?? Date.now() % 1_000_000);
/** Rounds in one pair of directories, so that checking all of a store stays quick. */
const ROUNDS_PER_PAIR = 20;
const WRITERS = 3;

/** A small generator of numbers in [0, 1): mulberry32. */
function randomOf(seed: number): () => number {
  let state = seed >>> 0;
  return () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let x = Math.imul(state ^ (state >>> 15), 1 | state);
    x = (x + Math.imul(x ^ (x >>> 7), 61 | x)) ^ x;
    return ((x ^ (x >>> 14)) >>> 0) / 4_294_967_296;
  };
}

const sleep = (ms: number): Promise<void> => new Promise((resolve) => setTimeout(resolve, ms));

describe(`kill -9, ${ROUNDS} rounds (seed ${SEED})`, function () {
  this.timeout(LIMIT_MS + 60_000);
  const pool = daemonPool();
  const random = randomOf(SEED);
  const totals = { rounds: 0, publishKills: 0, syncKills: 0, acknowledged: 0, unanswered: 0 };

  async function assertClean(dir: string): Promise<void> {
    await using verifier = new WorkerVerifier();
    const { findings, moreFindings } = await checkStore(join(dir, "store"), {
      verifier,
      sha256Hex,
      openSigningBytes,
      signal: new AbortController().signal,
      onProgress: () => undefined,
    });
    assert.deepEqual([findings, moreFindings], [[], 0]);
  }

  /** Publishes until the daemon is gone or `until` says so; whatever was answered is remembered. */
  async function publishTo(daemon: Daemon, acknowledged: Map<number, string>, until: () => boolean): Promise<void> {
    while (!until()) {
      const count = 1 + Math.floor(random() * 20);
      try {
        for (const { seq, hash } of await daemon.publish(notes(count, "under load"))) {
          assert.ok(!acknowledged.has(seq), `seq ${seq} was acknowledged twice`);
          acknowledged.set(seq, hash);
        }
      } catch (error) {
        if (error instanceof assert.AssertionError) throw error;
        totals.unanswered += count;
        return;
      }
    }
  }

  async function pairOfDirectories(number: number, rounds: number, isOver: () => boolean): Promise<void> {
    const names = [`a${number}`, `b${number}`] as const;
    let a = await pool.start(names[0]);
    const { port, address, issuer } = a;
    let b = await pool.start(names[1], { peers: [address] });
    const acknowledged = new Map<number, string>();
    /** Every (seq, hash) that was ever seen anywhere. */
    const seen = new Map<number, string>();

    const look = async (daemon: Daemon): Promise<number> => {
      const held = await daemon.held(issuer);
      for (const [seq, hash] of held) {
        assert.equal(seen.get(seq) ?? hash, hash, `seq ${seq} has two hashes`);
        seen.set(seq, hash);
      }
      return held.size;
    };

    for (let round = 0; round < rounds && !isOver(); round++) {
      const victim = round % 2 === 0 ? a : b;
      let stop = false;
      const writers = Array.from({ length: WRITERS }, () => publishTo(a, acknowledged, () => stop));
      await sleep(20 + random() * 250);
      await victim.kill();
      stop = true;
      await Promise.all(writers);
      await assertClean(victim.dir);
      if (victim === a) {
        totals.publishKills++;
        // What the other one has was on disk here before it was sent.
        await look(b);
        a = await pool.start(names[0], { port });
        await look(a);
        for (const [seq, hash] of acknowledged) assert.equal(seen.get(seq), hash, `acknowledged seq ${seq} is lost`);
        assert.equal(await a.count(issuer), Math.max(0, ...seen.keys()), "the chain has no holes");
      } else {
        totals.syncKills++;
        // Something to catch up with, so that the next kill may hit a sync.
        for (const { seq, hash } of await a.publish(notes(300, "to catch up"))) acknowledged.set(seq, hash);
        b = await pool.start(names[1], { peers: [address] });
      }
      totals.rounds++;
    }
    const count = await look(a);
    await b.holds(issuer, count, 30_000);
    assert.equal(await look(b), count);
    assert.deepEqual([await a.forks(), await b.forks()], [[], []]);
    totals.acknowledged += acknowledged.size;
    await pool.stopAll();
    await assertClean(a.dir);
    await assertClean(b.dir);
  }

  it("loses nothing that was acknowledged and reuses no seq", async () => {
    const deadline = performance.now() + LIMIT_MS;
    const isOver = (): boolean => performance.now() > deadline;
    for (let number = 0; totals.rounds < ROUNDS && !isOver(); number++) {
      await pairOfDirectories(number, Math.min(ROUNDS_PER_PAIR, ROUNDS - totals.rounds), isOver);
    }
    if (LONG) console.log(`      ${JSON.stringify(totals)}`);
    assert.ok(totals.acknowledged > 0 && totals.syncKills > 0 && totals.publishKills > 0);
  });
});
