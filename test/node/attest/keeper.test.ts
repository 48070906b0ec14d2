/** The log keeper: cadence, chain, both encodings, quorum, and a stop at every single write, which forks nothing. */
import assert from "node:assert/strict";
import {
  type CheckpointRecord,
  type Cosignatures,
  type HighWater,
  type KeeperEvent,
  LogKeeper,
  LogTree,
  NO_COSIGNATURES,
  recordRow,
} from "../../../node/index.ts";
import {
  type CheckpointStatement,
  type Clock,
  checkpointHashText,
  draftEnvelope,
  type Envelope,
  equalBytes,
  factOf,
  NoteKeyType,
  noteKey,
  openSigningBytes,
  parseNote,
  parseTreeHead,
  RowTable,
  readCheckpointFact,
  runOf,
  sealEnvelope,
  statementText,
  verifyNote,
} from "../../../spine/index.ts";
import { MemoryStore } from "../../../storage/index.ts";
import { NOTHING } from "../../contract/store-model.ts";
import { namedKey, sha256, sha256Hex, verifier } from "../../helpers/crypto.ts";
import { eventually } from "../../helpers/daemon.ts";

class Crash extends Error {}
const KEY = namedKey("the log");
const ORIGIN = "log.example.org/a";

/** Time that jumps to whatever is waited for. */
class JumpingClock implements Clock {
  at = 1_795_000_000_000;
  now(): number {
    return this.at;
  }
  schedule(at: number, task: () => void): () => void {
    const timer = setImmediate(() => {
      this.at = Math.max(this.at, at);
      task();
    });
    return () => clearImmediate(timer);
  }
}

/** A log's disk and what the world saw of it, over any number of lives. */
class World {
  readonly store = new MemoryStore();
  readonly clock = new JumpingClock();
  readonly ada = new Chain("ada");
  /** Statements and envelopes that anyone saw, by checkpoint_seq. */
  readonly shown = new Map<number, Set<string>>();
  readonly published: Envelope[] = [];
  mark: CheckpointStatement | undefined;
  /** Writes until the process is killed. */
  budget = Number.POSITIVE_INFINITY;
  writes = 0;
  lacking: string | undefined;
  unproven = false;
  lines: Cosignatures = NO_COSIGNATURES;
  readonly events: KeeperEvent[] = [];

  see(seq: number, text: string): void {
    this.shown.set(seq, (this.shown.get(seq) ?? new Set()).add(text));
  }
  async write<T>(work: () => Promise<T>): Promise<T> {
    if (this.writes >= this.budget) throw new Crash();
    this.writes++;
    return work();
  }
  async grow(keeper: LogKeeper | undefined, count: number, kind = "note"): Promise<void> {
    const run = runOf(this.ada.next(count, kind));
    await this.store.commit({ ...NOTHING, runs: [run] });
    keeper?.appended(run, kind !== "heartbeat");
  }

  async life(): Promise<{ keeper: LogKeeper; run: (signal: AbortSignal) => Promise<void> }> {
    const { store } = this;
    const highWater: HighWater = {
      read: async () => this.mark,
      write: (statement) =>
        this.write(async () => {
          this.mark = statement;
        }),
    };
    const tree = new LogTree(store);
    const keeper = new LogKeeper({
      store,
      tree,
      signer: { ...KEY },
      origin: ORIGIN,
      clock: this.clock,
      highWater,
      commitRows: (rows) => this.write(() => store.commit({ ...NOTHING, rows })),
      offer: (envelope) =>
        this.write(async () => {
          this.see(envelope.seq, `envelope ${envelope.hash}`);
          const held = await store.at(envelope.issuer, envelope.seq);
          if (held !== undefined) return held.hash === envelope.hash ? "duplicate" : "issuer_frozen";
          await store.commit({ ...NOTHING, runs: [runOf([envelope])] });
          keeper.appended(runOf([envelope]), false);
          this.published.push(envelope);
          return "added";
        }),
      busy: () => false,
      witnesses: {
        missing: () => this.lacking,
        collect: async (record: CheckpointRecord, onFound) => {
          this.see(record.statement.seq, `statement ${statementText(record.statement)}`);
          // Witnesses want consistency proofs, also of a checkpoint that was intended in an earlier life.
          this.unproven ||= tree.size < record.statement.size;
          onFound(this.lines);
        },
      },
      onEvent: (event) => this.events.push(event),
    });
    await keeper.open((await store.load()).logSize);
    return { keeper, run: (signal) => keeper.run(signal) };
  }

  /** Every checkpoint is linked, signed in both encodings, and has the root of its leaves. */
  async check(): Promise<void> {
    const tree = new LogTree(this.store);
    await tree.advance((await this.store.load()).logSize);
    let previous: CheckpointStatement | null = null;
    let hash: string | null = null;
    for (let seq = 1; ; seq++) {
      const stored = await this.store.at(KEY.issuer, seq);
      if (stored === undefined) break;
      const envelope = openSigningBytes(stored.signingBytes, stored.signature, sha256Hex);
      const { statement, note } = readCheckpointFact(factOf(envelope));
      assert.equal(envelope.prev, hash);
      assert.equal(statement.seq, seq);
      assert.equal(statement.prev, previous === null ? null : checkpointHashText(sha256, previous));
      assert.ok(equalBytes(statement.root, tree.root(statement.size)), `root of ${statement.size}`);
      assert.ok(statement.size >= ((previous as CheckpointStatement | null)?.size ?? 0));
      const parsed = parseNote(note as string);
      const head = parseTreeHead(parsed.text);
      assert.deepEqual([head.origin, head.size], [ORIGIN, statement.size]);
      assert.ok(equalBytes(head.root, statement.root));
      await verifyNote(parsed, [noteKey(sha256, ORIGIN, NoteKeyType.ed25519, KEY.publicKey)], verifier);
      previous = statement;
      hash = envelope.hash;
    }
    assert.ok(!this.unproven, "a witness was asked before the tree was hashed");
    for (const [seq, texts] of this.shown) {
      for (const kind of ["envelope", "statement"]) {
        const seen = [...texts].filter((text) => text.startsWith(kind));
        assert.ok(seen.length <= 1, `checkpoint ${seq} was shown as ${seen.length} different ${kind}s`);
      }
    }
  }
}

/** Envelopes of one issuer, with facts of a kind. */
class Chain {
  readonly #key;
  #last: Envelope | undefined;
  constructor(name: string) {
    this.#key = namedKey(name);
  }
  next(count: number, kind: string): Envelope[] {
    return Array.from({ length: count }, () => {
      const seq = (this.#last?.seq ?? 0) + 1;
      const fact = { schema: `aegis.spine.fact.${kind}.v1`, text: `${kind} ${seq}` };
      const draft = draftEnvelope(
        { issuer: this.#key.issuer, seq, prev: this.#last?.hash ?? null, issuedAt: "2026-01-01T00:00:00Z", fact },
        sha256Hex,
      );
      this.#last = sealEnvelope(draft, this.#key.sign(draft.signingBytes));
      return this.#last;
    });
  }
}

/** One life of the keeper until `until` holds or it is killed. */
async function live(
  world: World,
  during: (keeper: LogKeeper) => Promise<void>,
  until: (keeper: LogKeeper) => boolean,
): Promise<"done" | "killed"> {
  const stop = new AbortController();
  try {
    const { keeper, run } = await world.life();
    const running = run(stop.signal);
    await during(keeper);
    await eventually("the keeper is done or stopped", async () => until(keeper) || keeper.stopped !== undefined);
    stop.abort();
    await running;
    return keeper.stopped === undefined ? "done" : "killed";
  } finally {
    stop.abort();
  }
}

describe("log keeper", () => {
  it("checkpoints real leaves within the interval, and quiet ones only with them", async () => {
    const world = new World();
    await world.store.open();
    const start = world.clock.at;
    await live(
      world,
      async (keeper) => {
        await world.grow(keeper, 3, "heartbeat");
        await new Promise((resolve) => setTimeout(resolve, 50));
        assert.equal(world.published.length, 0);
        await world.grow(keeper, 2);
        await eventually("the first", async () => world.published.length === 1);
        assert.ok(world.clock.at - start < 6_000);
        await new Promise((resolve) => setTimeout(resolve, 50));
        assert.equal(world.published.length, 1, "its own leaf brings no checkpoint about");
        const first = world.clock.at;
        await world.grow(keeper, 1);
        await eventually("the second", async () => world.published.length === 2);
        assert.ok(world.clock.at - first >= 4_500 && world.clock.at - first < 6_000);
      },
      () => true,
    );
    assert.deepEqual(
      world.published.map((one) => readCheckpointFact(factOf(one)).statement.size),
      [5, 7],
    );
    await world.check();
  });

  it("forks nothing when killed at any write, and publishes every checkpoint that was begun", async function () {
    this.timeout(30_000);
    let kills = 0;
    for (let budget = 0; budget < 12; budget++) {
      for (const again of [1, 2, 5]) {
        const world = new World();
        await world.store.open();
        const grow = (keeper: LogKeeper) => world.grow(keeper, 3);
        /** Two checkpoints, one after the other, or as far as it gets. */
        const twice = async (keeper: LogKeeper): Promise<void> => {
          for (const goal of [world.published.length + 1, world.published.length + 2]) {
            await grow(keeper);
            await eventually("published", async () => world.published.length >= goal || keeper.stopped !== undefined);
          }
        };
        world.budget = budget;
        if ((await live(world, twice, () => true)) === "killed") kills++;
        // Killed again early in the next lives, with more leaves in between.
        for (let life = 0; life < 2; life++) {
          world.budget = world.writes + again;
          if ((await live(world, twice, () => true)) === "killed") kills++;
        }
        world.budget = Number.POSITIVE_INFINITY;
        const outcome = await live(world, twice, () => true);
        assert.equal(outcome, "done");
        await world.check();
      }
    }
    assert.ok(kills >= 100, `${kills} kills`);
  });

  it("shows the same statement again until there is a quorum, then seals once; late co-signatures stand beside", async () => {
    const world = new World();
    await world.store.open();
    world.lacking = "0 of 1 witnesses co-signed";
    const witness = namedKey("a witness");
    await live(
      world,
      async (keeper) => {
        await world.grow(keeper, 4);
        await eventually(
          "it waits twice",
          async () => world.events.filter(({ type }) => type === "checkpoint-waits").length > 1,
        );
        await world.grow(keeper, 4);
        world.lacking = undefined;
        await eventually("published", async () => world.published.length === 2);
      },
      () => true,
    );
    const [first, second] = world.published.map((one) => readCheckpointFact(factOf(one)).statement);
    assert.deepEqual([first?.size, second?.size], [4, 9]);
    assert.ok(witness.issuer !== KEY.issuer);
    await world.check();
  });

  it("goes on when the clock runs backwards, and never states an earlier time", async () => {
    const world = new World();
    await world.store.open();
    await live(
      world,
      async (keeper) => {
        await world.grow(keeper, 1);
        await eventually("the first", async () => world.published.length === 1);
        world.clock.at -= 86_400_000;
        await world.grow(keeper, 1);
        await eventually("the second", async () => world.published.length === 2);
      },
      () => true,
    );
    const times = world.published.map((one) => readCheckpointFact(factOf(one)).statement.issuedAt);
    assert.ok((times[1] as string) >= (times[0] as string));
    await world.check();
  });

  const lives = async (world: World, count: number): Promise<void> => {
    for (let i = 0; i < count; i++) {
      const before = world.published.length;
      await live(
        world,
        (keeper) => world.grow(keeper, 2),
        () => world.published.length > before,
      );
    }
  };
  const refusals: Record<string, (world: World) => Promise<void>> = {
    "a store behind what was shown": async (world) => {
      world.mark = { ...(world.mark as CheckpointStatement), seq: 9 };
    },
    "a store with another checkpoint than was shown": async (world) => {
      world.mark = { ...(world.mark as CheckpointStatement), root: new Uint8Array(32) };
    },
    "a missing mark beside a grown log": async (world) => {
      world.mark = undefined;
    },
    "a mark beside an empty store": async (world) => {
      await world.store.commit({ ...NOTHING, rows: [recordRow("latest", null)] });
    },
  };
  for (const [what, change] of Object.entries(refusals)) {
    it(`signs nothing more with ${what}`, async () => {
      const world = new World();
      await world.store.open();
      await lives(world, 2);
      await change(world);
      const shown = world.shown.size;
      const { keeper, run } = await world.life();
      await world.grow(keeper, 2);
      await run(new AbortController().signal);
      assert.equal(keeper.stopped?.code, "log_conflict");
      assert.equal(world.shown.size, shown);
    });
  }

  it("signs nothing more over leaves that no longer have the root it signed", async () => {
    const world = new World();
    await world.store.open();
    await lives(world, 2);
    const other = new World();
    await other.store.open();
    await other.grow(undefined, 40, "other");
    for (const key of ["latest"]) {
      const value = (await world.store.row(RowTable.log, key)) as Uint8Array;
      await other.store.commit({ ...NOTHING, rows: [{ table: RowTable.log, key, value }] });
    }
    other.mark = world.mark;
    const outcome = await live(
      other,
      (keeper) => other.grow(keeper, 1),
      () => false,
    );
    assert.equal(outcome, "killed");
    assert.equal(other.shown.size, 0);
  });
});
