/** A node's transparency log in the simulator: its tree over all leaves, and checkpoints when rules 9 say so. */
import {
  type CheckpointCadence,
  type CheckpointStatement,
  type Commit,
  checkpointDue,
  checkpointMade,
  Frontier,
  formatTime,
  fromHex,
  type JsonObject,
  leafAppended,
  nextStatement,
  type Sha256,
  type Sha256Hex,
  TreeHasher,
  toHex,
  treeRoot,
  writeCheckpointFact,
} from "../../spine/index.ts";
import type { SimPeer } from "../peer.ts";
import type { World } from "../world.ts";

/** The fact of a checkpoint without witnesses. */
export function checkpointFact(statement: CheckpointStatement): JsonObject {
  const factId = `cp_${statement.logId.slice(-8)}_${statement.seq}_${toHex(statement.root).slice(0, 8)}`;
  return writeCheckpointFact({ statement, witnesses: [], note: null }, factId, "aegis");
}

const HOUR_MS = 3_600_000;

export class LogKeeper {
  readonly peer: SimPeer;
  readonly #world: World;
  readonly #sha256: Sha256;
  readonly #hasher: TreeHasher;
  #frontier: Frontier;
  #cadence: CheckpointCadence = { lastAt: null, pendingSince: null };
  #planned = false;
  /** Leaves since the last checkpoint. */
  #since: string[] = [];
  #last: CheckpointStatement | null = null;
  /** When each was made, virtual milliseconds since the start. */
  readonly madeAtMs: number[] = [];

  constructor(world: World, peer: SimPeer) {
    this.#world = world;
    this.peer = peer;
    this.#sha256 = sha256Of(world.ports.sha256Hex);
    this.#hasher = new TreeHasher(this.#sha256);
    this.#frontier = new Frontier(this.#hasher);
  }

  committed(commit: Commit): void {
    for (const run of commit.runs) {
      for (const [i, hash] of run.hashes.entries()) {
        this.#frontier.append(this.#hasher.leaf(leafBytes(hash)));
        this.#since.push(hash);
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
    this.#world.invariants.checkpointed(
      this.peer,
      this.#since,
      this.#world.elapsedMs - (this.madeAtMs.at(-1) ?? -HOUR_MS),
    );
    this.check();
    this.#since = [];
    this.madeAtMs.push(this.#world.elapsedMs);
    const issuedAt = formatTime(Math.floor(this.peer.now() / 1000));
    const head = { logId: this.peer.issuer, root: this.#frontier.root(), size: this.#frontier.size, issuedAt };
    this.#last = nextStatement(this.#sha256, this.#last, head);
    this.peer.publish([checkpointFact(this.#last)]);
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
function sha256Of(sha256Hex: Sha256Hex): Sha256 {
  return (bytes) => fromHex(sha256Hex(bytes), 32);
}
