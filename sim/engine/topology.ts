/** Which members of a stream or broker network are linked: pairs of positions in the list of members. */
import { SpineError } from "../../spine/index.ts";
import type { Rng } from "../rng.ts";
import type { Topology } from "../scenario-file.ts";

export type Pair = readonly [number, number];

/** `indexOf` finds a member by name; throws `api_input` for others. */
export function pairsOf(
  topology: Topology,
  members: readonly number[],
  rng: Rng,
  indexOf: (name: string) => number,
): Pair[] {
  const count = members.length;
  const at = (position: number): number => members[position] as number;
  switch (topology.type) {
    case "line":
      return members.slice(1).map((member, i) => [at(i), member]);
    case "ring":
      return ring(count, topology.chords, rng).map(([a, b]) => [at(a), at(b)]);
    case "full":
      return members.flatMap((member, i) => members.slice(i + 1).map((other): Pair => [member, other]));
    case "star": {
      const hubs = members.slice(0, topology.hubs);
      const backbone = hubs.flatMap((hub, i) => hubs.slice(i + 1).map((other): Pair => [hub, other]));
      const spokes = members.slice(topology.hubs).map((member, i): Pair => [hubs[i % hubs.length] as number, member]);
      return [...backbone, ...spokes];
    }
    case "random":
      return random(count, topology.degree, rng).map(([a, b]) => [at(a), at(b)]);
    case "links":
      return topology.links.map(([a, b]) => {
        const pair: Pair = [indexOf(a), indexOf(b)];
        if (pair.some((index) => !members.includes(index)))
          throw new SpineError("api_input", `a link of "${a}" and "${b}", which are not both members`);
        return pair;
      });
  }
}

class PairSet {
  readonly pairs: Pair[] = [];
  readonly #known = new Set<number>();
  readonly #count: number;
  constructor(count: number) {
    this.#count = count;
  }
  add(a: number, b: number): boolean {
    const key = Math.min(a, b) * this.#count + Math.max(a, b);
    if (a === b || this.#known.has(key)) return false;
    this.#known.add(key);
    this.pairs.push([a, b]);
    return true;
  }
}

function ring(count: number, chords: number, rng: Rng): readonly Pair[] {
  const set = new PairSet(count);
  for (let i = 1; i < count; i++) set.add(i - 1, i);
  if (count > 2) set.add(count - 1, 0);
  for (let left = chords, tries = 20 * chords; left > 0 && tries > 0; tries--)
    if (set.add(rng.integer(0, count), rng.integer(0, count))) left--;
  return set.pairs;
}

/** A random tree, so that nobody is alone, and random links until there are enough. */
function random(count: number, degree: number, rng: Rng): readonly Pair[] {
  const set = new PairSet(count);
  for (let i = 1; i < count; i++) set.add(rng.integer(Math.max(0, i - 4 * Math.ceil(degree)), i), i);
  const wanted = Math.min((count * (count - 1)) / 2, Math.ceil((count * degree) / 2));
  for (let tries = 20 * wanted; set.pairs.length < wanted && tries > 0; tries--)
    set.add(rng.integer(0, count), rng.integer(0, count));
  return set.pairs;
}
