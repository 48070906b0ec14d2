/** An issuer signs two histories and shows each to one half; every healthy node ends frozen at the same seq. */
import type { Envelope } from "../../spine/index.ts";
import type { SimPeer } from "../peer.ts";
import { LAN } from "../world.ts";
import { agree, heartbeat, publishMany, type Scenario, Stage } from "./scenario.ts";

/** Extends a chain in secret: signed, linked, and stored only where the attacker puts it. */
function secretBranch(liar: SimPeer, after: Envelope | null, length: number, label: string): Envelope[] {
  const out: Envelope[] = [];
  let head = after;
  for (let i = 0; i < length; i++) {
    const fact = { ...heartbeat(liar, i), branch: label };
    head = liar.sign(fact, head?.seq ?? 0, head?.hash ?? null);
    out.push(head);
  }
  return out;
}

export const forkAttack: Scenario = {
  name: "fork-attack",
  summary: "One key signs two histories for two halves of a mesh: all end frozen at the first differing seq.",
  run(options) {
    const stage = new Stage(this.name, options);
    const { world } = stage;
    const peers = stage.mesh(options.nodes ?? 6, LAN);
    const liar = peers[0] as SimPeer;
    const honest = peers.slice(1);
    world.invariants.liars.add(liar.issuer);
    world.runFor(1_000);
    for (const peer of honest) publishMany(peer, 20);
    const trunk = secretBranch(liar, null, 300, "trunk");
    const [left, right] = [honest.slice(0, honest.length / 2), honest.slice(honest.length / 2)];
    world.partition(new Set(left.map(({ index }) => index)));
    world.runFor(3_000);
    const fork = trunk.at(-1) as Envelope;
    for (const [side, label, length] of [
      [left, "left", 200],
      [right, "right", 350],
    ] as const) {
      const branch = [...trunk, ...secretBranch(liar, fork, length, label)];
      for (let i = 0; i < branch.length; i += 64) {
        (side[0] as SimPeer).feed({ type: "offer", token: i, envelopes: branch.slice(i, i + 64) });
      }
    }
    world.runFor(10_000);
    const frozen = (peer: SimPeer): number | null => peer.disk.record(liar.issuer)?.frozenAt ?? null;
    stage.expect(
      honest.every((peer) => frozen(peer) === null),
      "nobody is accused while each half sees one history",
    );
    stage.expect(
      honest.every((peer) => (peer.disk.record(liar.issuer)?.ranges.at(-1)?.to ?? 0) > 400),
      "each half took its branch",
    );

    world.heal();
    const first = fork.seq + 1;
    stage.expect(
      world.runUntil(() => honest.every((peer) => frozen(peer) === first), 120_000),
      `all are frozen at ${first}: ${honest.map(frozen).join()}`,
    );
    const issuers = honest.map(({ issuer }) => issuer);
    stage.expect(
      world.runUntil(() => agree(honest, issuers), 60_000),
      "honest histories are complete everywhere",
    );
    const spared = honest.every((peer) =>
      issuers.every((issuer) => (peer.disk.record(issuer)?.frozenAt ?? null) === null),
    );
    stage.expect(spared, "no honest issuer is frozen");
    return stage.finish();
  },
};
