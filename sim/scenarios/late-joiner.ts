/** A node joins when thousands of envelopes exist, loses its disk half way, and still ends with everything. */
import { INTERNET } from "../world.ts";
import { agree, introduce, publishMany, type Scenario, Stage } from "./scenario.ts";

export const lateJoiner: Scenario = {
  name: "late-joiner",
  summary: "A newcomer catches up with thousands of envelopes, loses its disk on the way, and catches up again.",
  run(options) {
    const stage = new Stage(this.name, options);
    const { world } = stage;
    const peers = stage.mesh(options.nodes ?? 4, INTERNET);
    const issuers = peers.map(({ issuer }) => issuer);
    world.runFor(2_000);
    for (const peer of peers) publishMany(peer, 1_500);
    stage.expect(
      world.runUntil(() => agree(peers, issuers), 120_000),
      "the old nodes agree",
    );

    const newcomer = world.add();
    introduce([...peers, newcomer]);
    world.connect(newcomer.index, 0, INTERNET);
    world.connect(newcomer.index, 1, INTERNET);
    world.runUntil(() => newcomer.disk.leaves.length > 2_000, 60_000, 10);
    newcomer.crash(false);
    world.runFor(3_000);
    stage.expect(newcomer.disk.leaves.length === 0, "the crash took the disk");
    world.restart(newcomer.index);
    introduce([newcomer, ...peers]);
    const everyone = [...peers, newcomer];
    stage.expect(
      world.runUntil(() => agree(everyone, issuers), 120_000),
      "the newcomer holds everything",
    );
    stage.expect(newcomer.disk.leaves.length >= peers.length * 1_500, "nothing is missing");
    return stage.finish();
  },
};
