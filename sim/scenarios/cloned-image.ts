/** Two machines run from one image: whoever hears of the other stops; if both were faster, the fork is proven everywhere. */
import type { SimPeer } from "../peer.ts";
import { LAN } from "../world.ts";
import { agree, heartbeat, introduce, publishMany, type Scenario, Stage } from "./scenario.ts";

export const clonedImage: Scenario = {
  name: "cloned-image",
  summary: "A node's image runs twice: the clone stops at the first foreign head; a race ends frozen at one seq.",
  run(options) {
    const stage = new Stage(this.name, options);
    const { world } = stage;
    const peers = stage.mesh(Math.max(4, options.nodes ?? 5), LAN);
    const issuers = peers.map(({ issuer }) => issuer);
    const original = peers[0] as SimPeer;
    const others = peers.slice(1);
    world.runFor(2_000);
    for (const peer of peers) publishMany(peer, 20);
    stage.expect(
      world.runUntil(() => agree(peers, issuers), 30_000),
      "the mesh agrees",
    );
    world.runFor(1_000);

    // The clone hears first and signs nothing: no fork comes of it.
    const quiet = world.clone(original);
    introduce([quiet, ...others]);
    original.publish([heartbeat(original, 500)]);
    world.runFor(3_000);
    world.connect(quiet.index, (peers[1] as SimPeer).index, LAN);
    stage.expect(
      world.runUntil(() => quiet.mesh?.ownPhase === "stopped", 30_000),
      "the clone stops at a head that it did not sign",
    );
    stage.expect(original.signs, "the original goes on");
    publishMany(original, 5);
    stage.expect(
      world.runUntil(() => agree(peers, issuers), 30_000),
      "the mesh still agrees",
    );
    stage.expect(
      others.every(({ disk }) => disk.record(original.issuer)?.frozenAt === null),
      "no fork yet",
    );

    // Apart, both sign: that can only be found out.
    world.invariants.liars.add(original.issuer);
    world.runFor(1_000);
    const racer = world.clone(original);
    introduce([racer, ...others]);
    const seq = (original.mesh?.ownHead?.seq ?? 0) + 1;
    racer.publish([heartbeat(racer, 700)]);
    original.publish([heartbeat(original, 701)]);
    world.connect(racer.index, (peers[2] as SimPeer).index, LAN);
    const frozen = (peer: SimPeer): number | null => peer.disk.record(original.issuer)?.frozenAt ?? null;
    stage.expect(
      world.runUntil(() => others.every((peer) => frozen(peer) === seq), 60_000),
      "everybody froze the key at the seq that both signed",
    );
    stage.expect(
      world.runUntil(() => !original.signs && !racer.signs, 60_000),
      "both stopped signing",
    );
    return stage.finish();
  },
};
