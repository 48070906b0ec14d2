/** A mesh splits in two while both halves publish and one node crashes; after healing everybody holds everything. */
import { INTERNET } from "../world.ts";
import { agree, publishMany, type Scenario, Stage } from "./scenario.ts";

export const partitionHeal: Scenario = {
  name: "partition-heal",
  summary: "Two halves publish apart, one node loses power, the mesh heals: everybody ends with everything.",
  run(options) {
    const stage = new Stage(this.name, options);
    const { world } = stage;
    const peers = stage.mesh(options.nodes ?? 8, INTERNET);
    const issuers = peers.map(({ issuer }) => issuer);
    world.runFor(3_000);
    for (const peer of peers) publishMany(peer, 40);
    stage.expect(
      world.runUntil(() => agree(peers, issuers), 60_000),
      "the whole mesh agrees before the split",
    );

    const half = new Set(peers.slice(0, peers.length / 2).map(({ index }) => index));
    world.partition(half);
    world.runFor(2_000);
    for (const peer of peers) publishMany(peer, 60);
    world.runFor(500);
    const victim = world.rng.pick(peers);
    victim.crash(true);
    world.runFor(5_000);
    world.restart(victim.index);
    const [left, right] = [peers.filter(({ index }) => half.has(index)), peers.filter(({ index }) => !half.has(index))];
    world.runFor(20_000);
    stage.expect(!agree(peers, issuers), "the halves differ while they are apart");
    const ownOf = (side: typeof peers): string[] => side.map(({ issuer }) => issuer);
    stage.expect(agree(left, ownOf(left)) && agree(right, ownOf(right)), "each half agrees about its own nodes");

    world.heal();
    stage.expect(
      world.runUntil(() => agree(peers, issuers), 120_000),
      "everybody agrees after healing",
    );
    return stage.finish();
  },
};
