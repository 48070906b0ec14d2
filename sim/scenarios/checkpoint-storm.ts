/**
 * Fifty nodes that each keep a log: real leaves bring checkpoints about, checkpoints do not bring about more, and when
 * the leaves stop so does everything (rules 9).
 */
import {
  type CheckpointCadence,
  checkpointDue,
  checkpointMade,
  type JsonObject,
  leafAppended,
  openSigningBytes,
  walkRecords,
} from "../../spine/index.ts";
import type { SimPeer } from "../peer.ts";
import { LAN } from "../world.ts";
import { type Scenario, Stage } from "./scenario.ts";

const STEP_MS = 250;
const BUSY_MS = 20_000;
const QUIET_MS = 30_000;
/** Between the leaves of one node. */
const LEAF_MS = 5_000;

interface Keeper {
  readonly peer: SimPeer;
  cadence: CheckpointCadence;
  readonly madeAt: number[];
}

export interface StormResult {
  /** Checkpoints of the node that made most of them, during the leaves and altogether. */
  readonly most: number;
  readonly total: number;
  /** Made later than 10 s after the last leaf. */
  readonly late: number;
  /** Shortest time between two of one node, milliseconds. */
  readonly shortestMs: number;
}

function checkpointFact(keeper: Keeper): JsonObject {
  return {
    schema: "aegis.spine.fact.log_checkpoint.v1",
    fact_id: `cp_${keeper.peer.index}_${keeper.madeAt.length}`,
    log_id: keeper.peer.issuer,
    checkpoint_seq: keeper.madeAt.length,
    prev_checkpoint_hash: keeper.madeAt.length === 1 ? null : `0x${"0".repeat(64)}`,
    merkle_root: `0x${"0".repeat(64)}`,
    tree_size: keeper.peer.disk.leaves.length,
    issued_at: "2026-01-01T00:00:00Z",
    witnesses: [],
  };
}

/** `kindOf` renames a leaf's schema before the cadence sees it: the control lets checkpoints pass for real leaves. */
export function runStorm(stage: Stage, nodes: number, kindOf: (schema: string) => string): StormResult {
  const { world } = stage;
  const keepers = stage
    .mesh(nodes, LAN)
    .map((peer): Keeper => ({ peer, cadence: { lastAt: null, pendingSince: null }, madeAt: [] }));
  const start = world.now();
  for (let at = 0; at < BUSY_MS + QUIET_MS; at += STEP_MS) {
    for (const { peer } of keepers) {
      const isTurn = at < BUSY_MS && at % LEAF_MS === (peer.index * STEP_MS) % LEAF_MS;
      if (isTurn) peer.publish([{ schema: "aegis.spine.fact.note.v1", text: `${peer.index} at ${at}` }]);
    }
    world.runFor(STEP_MS);
    for (const keeper of keepers) {
      for (const event of keeper.peer.events.splice(0)) {
        if (event.type !== "stored") continue;
        for (const { signingBytes, signature } of walkRecords(event.run.records)) {
          const { factSchema } = openSigningBytes(signingBytes, signature, world.ports.sha256Hex);
          keeper.cadence = leafAppended(keeper.cadence, kindOf(factSchema), world.now());
        }
      }
      if ((checkpointDue(keeper.cadence) ?? Number.POSITIVE_INFINITY) > world.now()) continue;
      keeper.cadence = checkpointMade(world.now());
      keeper.madeAt.push(world.now() - start);
      keeper.peer.publish([checkpointFact(keeper)]);
    }
  }
  const all = keepers.flatMap(({ madeAt }) => madeAt);
  const gaps = keepers.flatMap(({ madeAt }) => madeAt.slice(1).map((at, i) => at - (madeAt[i] as number)));
  return {
    most: Math.max(...keepers.map(({ madeAt }) => madeAt.length)),
    total: all.length,
    late: all.filter((at) => at > BUSY_MS + 10_000).length,
    shortestMs: Math.min(...gaps),
  };
}

export const checkpointStorm: Scenario = {
  name: "checkpoint-storm",
  summary: "Fifty logs checkpoint the same mesh: at most one each 5 s, and none once real leaves have stopped.",
  run(options) {
    const stage = new Stage(this.name, options);
    const nodes = options.nodes ?? 50;
    const { most, total, late, shortestMs } = runStorm(stage, nodes, (schema) => schema);
    stage.expect(total >= nodes, "every log was checkpointed");
    stage.expect(shortestMs >= 5_000, `two checkpoints of one log within ${shortestMs} ms`);
    stage.expect(most <= Math.ceil((BUSY_MS + 10_000) / 5_000), `${most} checkpoints of one log`);
    stage.expect(late === 0, `${late} checkpoints without a real leaf`);
    return stage.finish();
  },
};
