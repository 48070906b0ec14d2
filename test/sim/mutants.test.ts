/** Cores that were broken on purpose: the simulator's invariants must notice each of them, and accuse no sound one. */
import assert from "node:assert/strict";
import { heartbeat, InvariantViolation, introduce, LAN, publishMany, type SimPeer, World } from "../../sim/index.ts";
import {
  type Commit,
  draftHead,
  type Effect,
  type Envelope,
  encodeFrame,
  headText,
  type Input,
  type Mesh,
  NOTHING_SIGNED,
  openGossip,
  type Run,
  runOf,
  sealHead,
  utf8,
} from "../../spine/index.ts";
import { nativePorts, nativeSha256Hex } from "../helpers/sim-ports.ts";

type Handle = (input: Input, now: number) => Effect[];
/** Turns a sound core's `handle` into a broken one. */
type Mutation = (sound: Handle, peer: SimPeer) => Handle;

function mutate(peer: SimPeer, mutation: Mutation): void {
  const mesh = peer.mesh as Mesh;
  const sound: Handle = mesh.handle.bind(mesh);
  mesh.handle = mutation(sound, peer);
}
/** Changes what each `handle` gives back. */
const changing =
  (change: (effect: Effect, peer: SimPeer) => Effect[]): Mutation =>
  (sound, peer) =>
  (input, now) =>
    sound(input, now).flatMap((effect) => change(effect, peer));
const changingCommits = (change: (commit: Commit) => Commit): Mutation =>
  changing((effect) => [effect.type === "commit" ? { ...effect, commit: change(effect.commit) } : effect]);

const mutants: readonly (readonly [string, string, Mutation])[] = [
  [
    "believes a commit before it is on disk",
    "nothing sent before committed",
    (sound) => (input, now) => {
      if (input.type === "committed") return [];
      const settle = (effects: Effect[]): Effect[] =>
        effects.flatMap((effect) =>
          effect.type === "commit" ? [effect, ...settle(sound({ type: "committed", id: effect.id }, now))] : [effect],
        );
      return settle(sound(input, now));
    },
  ],
  [
    "announces what it has only decided to store",
    "nothing sent before committed",
    changing((effect, peer) => {
      if (effect.type !== "commit") return [effect];
      const entries = effect.commit.issuers.map(({ issuer, ranges, frozenAt }) => ({
        issuer,
        prunedBelow: 0,
        ranges: ranges.map(({ from, to }) => ({ from, to })),
        frozenAt,
        head: null,
      }));
      const frame = encodeFrame({ type: "inventory", entries });
      const links = peer.mesh?.links() ?? [];
      return [...links.map(({ id }): Effect => ({ type: "send", link: id, frame, tier: 3 })), effect];
    }),
  ],
  [
    "broadcasts a head before it has the envelope",
    "nothing sent before committed",
    changing((effect, peer) => {
      if (effect.type !== "broadcast") return [effect];
      const message = openGossip(effect.data, nativeSha256Hex);
      if (message.type !== "head") return [effect];
      const draft = draftHead({ ...message.head, seq: message.head.seq + 1 });
      return [{ ...effect, data: utf8(headText(sealHead(draft, peer.key.sign(draft.signingBytes)))) }];
    }),
  ],
  [
    "signs a second head for one seq",
    "one head per seq",
    changing((effect, peer) => {
      if (effect.type !== "broadcast") return [effect];
      const message = openGossip(effect.data, nativeSha256Hex);
      if (message.type !== "head") return [effect];
      const draft = draftHead({ ...message.head, sentAt: message.head.sentAt + 1 });
      const data = utf8(headText(sealHead(draft, peer.key.sign(draft.signingBytes))));
      return [effect, { ...effect, data }];
    }),
  ],
  [
    "stores a run twice",
    "nothing overwritten",
    (sound, peer) => {
      let again: readonly Run[] = [];
      const repeat = changingCommits((commit) => {
        const runs = [...again, ...commit.runs];
        again = commit.runs;
        return { ...commit, runs };
      });
      return repeat(sound, peer);
    },
  ],
  [
    "names hashes that its records do not have",
    "runs say what they hold",
    changingCommits((commit) => ({
      ...commit,
      runs: commit.runs.map((run) => ({ ...run, hashes: run.hashes.map(() => `0x${"00".repeat(32)}`) })),
    })),
  ],
  [
    "says it holds more than it stored",
    "ranges are stored",
    changingCommits((commit) => ({
      ...commit,
      issuers: commit.issuers.map((record) => ({
        ...record,
        ranges: record.ranges.map((range) => ({ ...range, to: range.to + 1 })),
      })),
    })),
  ],
  [
    "forgets what its ranges rest on",
    "edges join",
    changingCommits((commit) => ({
      ...commit,
      issuers: commit.issuers.map((record) => ({
        ...record,
        ranges: record.ranges.map((range) => ({ ...range, prev: `0x${"00".repeat(32)}` })),
      })),
    })),
  ],
];

/** Three nodes that publish and catch up; the last one is broken if a mutation is given. */
function run(mutation: Mutation | null): World {
  const world = new World(1, nativePorts());
  const peers = [world.add(), world.add(), world.add()];
  introduce(peers);
  world.connect(0, 1, LAN);
  world.connect(1, 2, LAN);
  world.runFor(500);
  if (mutation !== null) mutate(peers[2] as SimPeer, mutation);
  for (const peer of peers) publishMany(peer, 100);
  world.runFor(5_000);
  world.invariants.wholeChains();
  return world;
}
const violated = (name: string) => (error: unknown) => error instanceof InvariantViolation && error.invariant === name;

/** A liar's two branches of one length, from seq 1. */
function branches(liar: SimPeer): [Envelope[], Envelope[]] {
  const made = ["a", "b"].map((branch) => {
    const out: Envelope[] = [];
    for (let i = 0; i < 5; i++) out.push(liar.sign({ schema: "x", branch }, i, out.at(-1)?.hash ?? null));
    return out;
  });
  return made as [Envelope[], Envelope[]];
}
/** Stores whatever is offered, unchecked, as one run; `from` says which part. */
const credulous =
  (from: number): Mutation =>
  (sound) =>
  (input, now) => {
    if (input.type !== "offer" || input.token !== 2) return sound(input, now);
    const runs = [runOf(input.envelopes.slice(from))];
    return [{ type: "commit", id: 0, commit: { runs, heads: [], issuers: [], forks: [], states: [], rows: [] } }];
  };
function forked(mutation: Mutation | null): SimPeer {
  const world = new World(2, nativePorts());
  const [liar, honest] = [world.add(), world.add()];
  introduce([liar, honest]);
  world.invariants.liars.add(liar.issuer);
  const [left, right] = branches(liar);
  honest.feed({ type: "offer", token: 1, envelopes: left.slice(0, 3) });
  world.runFor(100);
  if (mutation !== null) mutate(honest, mutation);
  honest.feed({ type: "offer", token: 1, envelopes: right.slice(0, 1) });
  world.runFor(100);
  honest.feed({ type: "offer", token: 2, envelopes: right });
  world.runFor(100);
  world.invariants.wholeChains();
  return honest;
}

describe("the simulator's invariants", () => {
  it("hold for the sound core, and look at something", () => {
    const { invariants, peers } = run(null);
    assert.ok(invariants.checks > 100);
    for (const peer of peers) assert.equal(peer.disk.leaves.length, 300);
    assert.equal(forked(null).disk.leaves.length, 3);
  });
  for (const [name, invariant, mutation] of mutants)
    it(`notice a core that ${name}`, () => {
      assert.throws(() => run(mutation), violated(invariant));
    });
  it("notice a core that overwrites one branch of a fork with the other", () => {
    assert.throws(() => forked(credulous(0)), violated("nothing overwritten"));
  });
  it("notice a core that adds to a frozen chain", () => {
    assert.throws(() => forked(credulous(3)), violated("nothing new above a fork"));
  });
  it("notice a node that goes on from an old backup without asking", () => {
    const world = run(null);
    const [peer, other] = world.peers as [SimPeer, SimPeer];
    const backup = peer.disk.copy();
    publishMany(peer, 5);
    world.runFor(5_000);
    peer.restore(backup);
    // As if a mark had come back with the backup.
    peer.highWater = NOTHING_SIGNED;
    world.runFor(2_000);
    world.partition(new Set([peer.index]));
    world.restart(peer.index);
    assert.ok(peer.signs && other.running);
    assert.throws(() => {
      peer.publish([heartbeat(peer, 99)]);
      world.runFor(1_000);
    }, violated("one envelope per seq"));
  });
  it("notice a disk that loses what was acknowledged", () => {
    const world = run(null);
    const [peer] = world.peers as [SimPeer];
    peer.disk.leaves.pop();
    peer.disk.leaves.length = Math.max(0, peer.disk.leaves.length - 250);
    assert.throws(() => world.invariants.wholeChains(), violated("nothing acknowledged is lost"));
  });
});
