/** The log's copy on a cluster: in order, from where it stood, nothing that must not be told, and never another log's. */
import assert from "node:assert/strict";
import { LeafMirror } from "../../../node/index.ts";
import type { LeafLog } from "../../../planes/index.ts";
import { type Envelope, runOf, type Span, writeCheckpointFact } from "../../../spine/index.ts";
import { MemoryStore } from "../../../storage/index.ts";
import { NOTHING } from "../../contract/store-model.ts";
import { chainBy, envelopeBy, keyOf } from "../../helpers/mesh-harness.ts";
import { until } from "../../planes/nats/bus-rig.ts";

const [author, logKey] = [keyOf(1), keyOf(2)];
const LOG = logKey.issuer;

/** A cluster's log as far as the mirror sees it. */
class FakeLog {
  readonly leaves: string[] = [];
  readonly checkpoints: number[] = [];
  writer: string = LOG;
  latest: string | undefined;
  get size(): number {
    return this.leaves.length;
  }
  async newest() {
    const hash = this.leaves.at(-1);
    return hash === undefined ? undefined : { hash, writer: this.writer };
  }
  async latestCheckpoint() {
    return this.latest;
  }
  async extend(hashes: readonly string[]) {
    this.leaves.push(...hashes);
  }
  async putCheckpoint(seq: number, text: string) {
    this.checkpoints.push(seq);
    this.latest = text;
  }
}

const checkpoint = (size: number): Envelope =>
  envelopeBy(logKey, {
    seq: 1,
    prev: null,
    fact: writeCheckpointFact(
      {
        statement: { logId: LOG, seq: 1, prev: null, root: new Uint8Array(32), size, issuedAt: "2027-01-15T08:00:00Z" },
        witnesses: [],
        note: null,
      },
      "cp_1",
      "aegis",
    ),
  });

describe("the log's copy on a cluster", () => {
  const chain = chainBy(author, 600);
  let stop: AbortController;
  let running: Promise<void>;

  async function mirror(log: FakeLog, spans?: readonly Span[]): Promise<LeafMirror> {
    const store = new MemoryStore();
    await store.open();
    await store.commit({ ...NOTHING, runs: [runOf(chain), runOf([checkpoint(600)])] });
    const index = { spansOn: () => spans };
    const made = new LeafMirror({
      store,
      keeper: { logId: LOG, latest: { statement: { seq: 1 } } } as never,
      gateway: spans === undefined ? undefined : ({ index } as never),
      bus: { ready: true, openLog: async () => log as unknown as LeafLog },
    });
    stop = new AbortController();
    running = made.run(stop.signal);
    return made;
  }
  afterEach(async () => {
    stop.abort();
    await running;
  });

  it("holds every leaf under a checkpoint, then the checkpoint", async () => {
    const log = new FakeLog();
    const copy = await mirror(log);
    await until("the checkpoint is there", () => log.checkpoints.length === 1);
    assert.deepEqual(
      log.leaves,
      chain.map(({ hash }) => hash),
    );
    assert.equal(copy.problem, null);
  });

  it("goes on from what stands there", async () => {
    const log = new FakeLog();
    log.leaves.push(...chain.slice(0, 300).map(({ hash }) => hash));
    await mirror(log);
    await until("all leaves are there", () => log.checkpoints.length === 1);
    assert.equal(new Set(log.leaves).size, 600);
    assert.equal(log.size, 600);
  });

  it("ends before the first leaf that must not be told, without its checkpoint, and says so", async () => {
    const log = new FakeLog();
    const copy = await mirror(log, [
      { from: 1, to: 511 },
      { from: 513, to: 600 },
    ]);
    await until("it says so", () => copy.problem !== null);
    assert.match(copy.problem ?? "", /leaf 511 .*must not be told.*gateway_policy/);
    assert.ok(log.size <= 511 && !log.leaves.includes(chain[511]?.hash ?? ""));
    assert.deepEqual(log.checkpoints, []);
  });

  it("leaves alone what another log began, or another program wrote", async () => {
    for (const prepare of [
      (log: FakeLog) => log.leaves.push(`0x${"ab".repeat(32)}`),
      (log: FakeLog) => {
        log.leaves.push(chain[0]?.hash ?? "");
        log.writer = "";
      },
      (log: FakeLog) => {
        log.latest = JSON.stringify({});
      },
    ]) {
      const log = new FakeLog();
      prepare(log);
      const before = log.size;
      const copy = await mirror(log);
      await until("it says so", () => copy.problem !== null);
      assert.equal(log.size, before);
      stop.abort();
      await running;
    }
  });
});
