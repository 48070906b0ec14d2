/** What a scenario is, and helpers they share. A scenario drives one world and says whether it ended as it must. */
import type { Issuer, JsonObject } from "../../spine/index.ts";
import type { SimPeer } from "../peer.ts";
import type { LinkShape } from "../scenario-file.ts";
import { EPOCH_MS, type SimPorts, World } from "../world.ts";

export interface ScenarioOptions {
  readonly seed: number;
  readonly ports: SimPorts;
  /** Number of nodes, where the scenario lets one choose. */
  readonly nodes?: number;
}

export interface ScenarioResult {
  readonly scenario: string;
  readonly seed: number;
  /** Every expectation met. Broken invariants throw instead. */
  readonly ok: boolean;
  readonly failures: readonly string[];
  readonly virtual_ms: number;
  readonly steps: number;
  readonly frames: number;
  readonly bytes: number;
  readonly envelopes: number;
  readonly trace_hash: string;
}

export interface Scenario {
  readonly name: string;
  readonly summary: string;
  run(options: ScenarioOptions): ScenarioResult;
}

export class Stage {
  readonly world: World;
  readonly #name: string;
  readonly #seed: number;
  readonly #failures: string[] = [];
  constructor(name: string, options: ScenarioOptions) {
    this.#name = name;
    this.#seed = options.seed;
    this.world = new World(options.seed, options.ports);
  }
  expect(condition: boolean, what: string): void {
    if (!condition) this.#failures.push(what);
  }
  /** Nodes in a ring with a few chords, all admitting each other. */
  mesh(count: number, shape: LinkShape): SimPeer[] {
    const peers = Array.from({ length: count }, () => this.world.add());
    introduce(peers);
    for (let i = 1; i < count; i++) this.world.connect(i - 1, i, shape);
    if (count > 2) this.world.connect(count - 1, 0, shape);
    for (let i = 0; i < count / 3; i++) {
      const [a, b] = [this.world.rng.integer(0, count), this.world.rng.integer(0, count)];
      if (a !== b && !this.world.connected(a, b)) this.world.connect(a, b, shape);
    }
    return peers;
  }
  finish(): ScenarioResult {
    const { world } = this;
    world.invariants.wholeChains();
    return {
      scenario: this.#name,
      seed: this.#seed,
      ok: this.#failures.length === 0,
      failures: this.#failures,
      virtual_ms: Math.round(world.now() - EPOCH_MS),
      steps: world.steps,
      frames: world.frames,
      bytes: world.bytes,
      envelopes: world.peers.reduce((sum, { disk }) => sum + disk.leaves.length, 0),
      trace_hash: world.traceHash,
    };
  }
}

/** Every node's operator allows every other issuer. */
export function introduce(peers: readonly SimPeer[]): void {
  for (const peer of peers) for (const other of peers) if (peer !== other) peer.allow(other.issuer);
}

export function heartbeat(peer: SimPeer, count: number): JsonObject {
  return {
    schema: "aegis.spine.fact.heartbeat.v1",
    fact_id: `hb_${peer.index}_${count}`,
    node_id: peer.issuer,
    uptime_secs: count,
  };
}

export function publishMany(peer: SimPeer, count: number, batch = 64): void {
  for (let done = 0; done < count; done += batch) {
    peer.publish(Array.from({ length: Math.min(batch, count - done) }, (_, i) => heartbeat(peer, done + i)));
  }
}

/** Whether all of them hold the same of these issuers, and each issuer's whole chain. */
export function agree(peers: readonly SimPeer[], issuers: readonly Issuer[]): boolean {
  return issuers.every((issuer) => {
    const own = peers.find((peer) => peer.issuer === issuer)?.mesh?.ownHead;
    if (own !== undefined && own.seq !== peers[0]?.disk.record(issuer)?.ranges.at(-1)?.to) return false;
    const views = peers.map(({ disk }) =>
      JSON.stringify(disk.record(issuer)?.ranges.map(({ from, to, last }) => [from, to, last]) ?? []),
    );
    return views.every((view) => view === views[0]);
  });
}
