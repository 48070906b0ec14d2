/** A node's transparency log in the simulator: its tree over all leaves, and checkpoints when rules 9 say so. */
import {
  type CheckpointCadence,
  type Commit,
  checkpointDue,
  checkpointMade,
  Frontier,
  fromHex,
  type JsonObject,
  leafAppended,
  type Sha256Hex,
  TreeHasher,
  toHex,
  treeRoot,
} from "../../spine/index.ts";
import type { SimPeer } from "../peer.ts";
import type { World } from "../world.ts";

export function checkpointFact(
  logId: string,
  seq: number,
  prev: string | null,
  root: string,
  size: number,
): JsonObject {
  return {
    schema: "aegis.spine.fact.log_checkpoint.v1",
    fact_id: `cp_${logId.slice(-8)}_${seq}_${root.slice(2, 10)}`,
    log_id: logId,
    checkpoint_seq: seq,
    prev_checkpoint_hash: prev,
    merkle_root: root,
    tree_size: size,
    issued_at: "2026-01-01T00:00:00Z",
    witnesses: [],
  };
}

export class LogKeeper {
  readonly peer: SimPeer;
  readonly #world: World;
  readonly #hasher: TreeHasher;
  #frontier: Frontier;
  #cadence: CheckpointCadence = { lastAt: null, pendingSince: null };
  #planned = false;
  /** When each was made, virtual milliseconds since the start. */
  readonly madeAtMs: number[] = [];

  constructor(world: World, peer: SimPeer) {
    this.#world = world;
    this.peer = peer;
    this.#hasher = new TreeHasher(sha256Of(world.ports.sha256Hex));
    this.#frontier = new Frontier(this.#hasher);
  }

  committed(commit: Commit): void {
    for (const run of commit.runs) {
      for (const [i, hash] of run.hashes.entries()) {
        this.#frontier.append(this.#hasher.leaf(leafBytes(hash)));
        const schema = this.peer.disk.at(run.issuer, run.from + i)?.factSchema ?? "";
        this.#cadence = leafAppended(this.#cadence, schema, this.#world.now());
      }
    }
    this.#plan();
  }
  /** A new life, maybe with another disk. */
  restarted(): void {
    this.#frontier = new Frontier(this.#hasher);
    for (const hash of this.peer.disk.leaves) this.#frontier.append(this.#hasher.leaf(leafBytes(hash)));
    this.#plan();
  }

  #plan(): void {
    const due = checkpointDue(this.#cadence);
    if (due === null || this.#planned) return;
    this.#planned = true;
    this.#world.clock.schedule(Math.max(due, this.#world.now()), () => {
      this.#planned = false;
      this.#make();
    });
  }
  #make(): void {
    const due = checkpointDue(this.#cadence);
    if (!this.peer.running || !this.peer.signs || due === null) return;
    if (due > this.#world.now()) return this.#plan();
    this.#cadence = checkpointMade(this.#world.now());
    this.madeAtMs.push(this.#world.elapsedMs);
    const root = `0x${toHex(this.#frontier.root())}`;
    const seq = this.madeAtMs.length;
    const prev = seq === 1 ? null : `0x${"0".repeat(64)}`;
    this.peer.publish([checkpointFact(this.peer.issuer, seq, prev, root, this.#frontier.size)]);
  }

  /** The root kept while growing is the root of what is on disk. */
  check(): void {
    const { root, size } = treeRoot(this.#hasher, this.peer.disk.leaves.map(leafBytes));
    if (size === this.#frontier.size && toHex(root) === toHex(this.#frontier.root())) return;
    this.#world.invariants.fail("roots recomputed", `node ${this.peer.index}, ${size} leaves`, this.peer.index);
  }
}

function leafBytes(hash: string): Uint8Array {
  return fromHex(hash.slice(2), 32);
}
function sha256Of(sha256Hex: Sha256Hex): (bytes: Uint8Array) => Uint8Array {
  return (bytes) => fromHex(sha256Hex(bytes), 32);
}
