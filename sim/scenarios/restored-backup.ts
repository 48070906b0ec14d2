/** A node is lost and comes back from an old backup: it signs nothing before it knows how far it went, and forks nothing. */
import type { SimPeer } from "../peer.ts";
import { INTERNET } from "../world.ts";
import { agree, heartbeat, introduce, publishMany, type Scenario, Stage } from "./scenario.ts";

export const restoredBackup: Scenario = {
  name: "restored-backup",
  summary: "A machine is replaced from an old backup, without peers, with one, with all: no seq is signed twice.",
  run(options) {
    const stage = new Stage(this.name, options);
    const { world } = stage;
    const peers = stage.mesh(Math.max(4, options.nodes ?? 6), INTERNET);
    const issuers = peers.map(({ issuer }) => issuer);
    const lost = peers[0] as SimPeer;
    world.runFor(3_000);
    for (const peer of peers) publishMany(peer, 20);
    world.runFor(5_000);
    const backup = lost.disk.copy();
    publishMany(lost, world.rng.integer(1, 60));
    stage.expect(
      world.runUntil(() => agree(peers, issuers), 60_000),
      "everybody holds what the backup does not",
    );
    const before = lost.mesh?.ownHead?.seq ?? 0;

    // Alone it must not guess.
    world.partition(new Set([lost.index]));
    lost.restore(backup);
    world.runFor(2_000);
    world.restart(lost.index);
    introduce([lost, ...peers.slice(1)]);
    world.runFor(8_000);
    stage.expect(!lost.signs, "without peers nothing is signed");

    world.heal();
    stage.expect(
      world.runUntil(() => lost.signs, 30_000),
      "with its peers it knows how far it went",
    );
    stage.expect(lost.mesh?.ownHead?.seq === before, "it goes on above everything it signed before");
    for (let i = 0; i < 20; i++) {
      lost.publish([heartbeat(lost, 1_000 + i)]);
      world.runFor(world.rng.integer(1, 300));
    }
    stage.expect(
      world.runUntil(() => agree(peers, issuers), 60_000),
      "everybody agrees, and the hole is fetched back",
    );

    // Rolled back beside its mark, such as by a snapshot of the volume: the mark alone keeps it from forking.
    const snapshot = lost.disk.copy();
    publishMany(lost, 10);
    world.runFor(2_000);
    lost.crash(true);
    lost.disk = snapshot;
    world.runFor(2_000);
    world.restart(lost.index);
    stage.expect(!lost.signs, "a store below its mark is not believed");
    stage.expect(
      world.runUntil(() => lost.signs, 30_000),
      "it goes on once more",
    );
    publishMany(lost, 5);
    stage.expect(
      world.runUntil(() => agree(peers, issuers), 60_000),
      "everybody agrees in the end",
    );
    stage.expect(
      peers.every(({ disk }) => disk.record(lost.issuer)?.frozenAt === null),
      "nobody ever saw a fork",
    );
    return stage.finish();
  },
};
