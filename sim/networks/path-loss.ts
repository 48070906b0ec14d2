/** How much weaker a signal arrives than it was sent, between the members of one radio network. */
import type { Setup } from "../engine/setup.ts";
import type { Rng } from "../rng.ts";
import type { RadioNetwork } from "../scenario-file.ts";

const NEAREST_KM = 0.01;

export class PathLosses {
  readonly #setup: Setup;
  readonly #network: RadioNetwork;
  readonly #position: ReadonlyMap<number, number>;
  /** Share of the terrain per pair of members, dB; the same both ways. */
  readonly #terrain: Float64Array;
  readonly #pairs = new Set<number>();
  #known: Float64Array;
  #version = -1;

  constructor(setup: Setup, network: RadioNetwork, members: readonly number[]) {
    this.#setup = setup;
    this.#network = network;
    this.#position = new Map(members.map((index, i) => [index, i]));
    const count = members.length;
    this.#terrain = new Float64Array(count * count);
    this.#known = new Float64Array(count * count);
    const { pathLoss } = network;
    if (pathLoss.type === "distance" && pathLoss.terrainDb > 0) {
      for (let a = 0; a < count; a++)
        for (let b = a + 1; b < count; b++) {
          const share = pathLoss.terrainDb * normal(setup.world.rng);
          this.#terrain[a * count + b] = share;
          this.#terrain[b * count + a] = share;
        }
    }
    if (pathLoss.type === "links")
      for (const pair of pathLoss.links) {
        const [a, b] = pair.map((name) => this.#position.get(setup.names.index(name)) ?? -1) as [number, number];
        this.#pairs.add(a * count + b).add(b * count + a);
      }
  }
  /** Partitions or places changed. */
  changed(): void {
    this.#version = -1;
  }

  /** dB; Infinity where nothing arrives. */
  between(from: number, to: number): number {
    const { places, world } = this.#setup;
    const nowMs = world.elapsedMs;
    if (this.#version !== places.version) {
      this.#known.fill(Number.NaN);
      this.#version = places.version;
    }
    const [a, b] = [this.#position.get(from) ?? -1, this.#position.get(to) ?? -1];
    const at = a * this.#position.size + b;
    const known = this.#known[at] as number;
    if (!Number.isNaN(known)) return known;
    const loss = world.barriers.between(this.#network.name, from, to)
      ? Number.POSITIVE_INFINITY
      : this.#loss(a, b, from, to);
    if (!places.isMoving(from, nowMs) && !places.isMoving(to, nowMs)) this.#known[at] = loss;
    return loss;
  }
  #loss(a: number, b: number, from: number, to: number): number {
    const { pathLoss } = this.#network;
    const count = this.#position.size;
    switch (pathLoss.type) {
      case "same":
        return pathLoss.lossDb;
      case "line":
        return Math.abs(a - b) === 1 ? pathLoss.lossDb : Number.POSITIVE_INFINITY;
      case "links":
        return this.#pairs.has(a * count + b) ? pathLoss.lossDb : Number.POSITIVE_INFINITY;
      case "distance": {
        const { places, world } = this.#setup;
        const [one, other] = [places.at(from, world.elapsedMs), places.at(to, world.elapsedMs)];
        const km = Math.max(NEAREST_KM, Math.hypot(one.x - other.x, one.y - other.y) / 1000);
        const terrain = this.#terrain[a * count + b] as number;
        return pathLoss.atOneKmDb + 10 * pathLoss.exponent * Math.log10(km) + terrain;
      }
    }
  }
}

/** Normally distributed with deviation 1 (Box and Muller). */
function normal(rng: Rng): number {
  return Math.sqrt(-2 * Math.log(1 - rng.float())) * Math.cos(2 * Math.PI * rng.float());
}
