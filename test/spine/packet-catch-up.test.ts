/** Two cores that reach each other by single packets: each hands over what the other lacks of revocations and checkpoints. */
import assert from "node:assert/strict";
import {
  type AuthorityTrust,
  decodeStatement,
  encodeStatement,
  type JsonObject,
  NO_TRUST,
  revocationFact,
  sketchOf,
} from "../../spine/index.ts";
import { keyOf, MeshNode, START_MS } from "../helpers/mesh-harness.ts";

const [near, far, boss, log, stranger] = [1, 2, 3, 4, 5].map(keyOf) as [
  ReturnType<typeof keyOf>,
  ReturnType<typeof keyOf>,
  ReturnType<typeof keyOf>,
  ReturnType<typeof keyOf>,
  ReturnType<typeof keyOf>,
];
const trust: AuthorityTrust = {
  ...NO_TRUST,
  revokers: new Map([[boss.issuer, { scopes: new Set(["node"] as const), quorum: 1 }]]),
  named: new Set([boss.issuer]),
};
const revocation = (n: number): JsonObject =>
  revocationFact({
    factId: `rev_${n}`,
    targets: [{ scope: "node", value: keyOf(100 + n).issuer, fromSeq: 1 }],
    reason: "stolen",
    issuedAt: START_MS / 1000,
  });
const checkpoint = (n: number): JsonObject => ({ schema: "aegis.spine.fact.log_checkpoint.v1", fact_id: `cp_${n}`, n });

function node(key: ReturnType<typeof keyOf>): MeshNode {
  const made = new MeshNode(key, { trust }).allow(boss, log);
  made.feed({ type: "trust", trust });
  return made;
}
/** The first `count` revocations of the boss, and checkpoints of a log, as two chains. */
function give(to: MeshNode, revocations: number, checkpoints = 0): void {
  const source = new MeshNode(boss, { trust });
  const other = new MeshNode(log, { trust });
  source.feed({ type: "trust", trust });
  const envelopes = [
    ...(revocations === 0 ? [] : source.publish(revocations, (seq) => ({ fact: revocation(seq) }))),
    ...(checkpoints === 0 ? [] : other.publish(checkpoints, (seq) => ({ fact: checkpoint(seq) }))),
  ];
  to.feed({ type: "offer", token: 1, envelopes });
}
const peerOf = (peer: string) => ({ plane: "reticulum", peer });

/** Lets `first` begin and carries statements until both are silent; returns how many were said. */
function converse(first: MeshNode, second: MeshNode): number {
  const sides = [
    { made: first, to: "second", said: first.statements.length },
    { made: second, to: "first", said: second.statements.length },
  ] as const;
  first.feed({ type: "compare", ...peerOf("second"), statement: null });
  let packets = 0;
  for (let turn = 0; turn < 10; turn++) {
    const [side, other] = turn % 2 === 0 ? sides : ([sides[1], sides[0]] as const);
    for (const body of side.made.statements.splice(side.said)) {
      packets++;
      other.made.feed({ type: "compare", ...peerOf(other.to), statement: body });
    }
  }
  return packets;
}
const kinds = (made: MeshNode): string[] => made.handed.map(({ factSchema }) => factSchema.split(".")[3] as string);

describe("catching up by packets", () => {
  it("takes one statement when nothing is lacking, and hands over nothing", () => {
    const [a, b] = [node(near), node(far)];
    for (const made of [a, b]) give(made, 40, 3);
    assert.equal(converse(a, b), 1);
    assert.deepEqual([a.handed, b.handed], [[], []]);
  });

  it("hands over what the speaker lacks: revocations, and the newest checkpoint alone", () => {
    const [a, b] = [node(near), node(far)];
    give(a, 20, 2);
    give(b, 23, 9);
    assert.equal(converse(a, b), 1);
    assert.deepEqual(kinds(b).sort(), ["log_checkpoint", "revocation", "revocation", "revocation"]);
    assert.equal(b.handed.find(({ issuer }) => issuer === log.issuer)?.seq, 9);
    a.feed({ type: "offer", token: 2, envelopes: b.handed });
    assert.equal(converse(a, b), 1);
  });

  it("asks back when it is the listener that lacks something", () => {
    const [a, b] = [node(near), node(far)];
    give(a, 23, 9);
    give(b, 20, 2);
    assert.equal(converse(a, b), 2);
    assert.deepEqual(kinds(a).sort(), ["log_checkpoint", "revocation", "revocation", "revocation"]);
    assert.deepEqual(b.handed, []);
  });

  it("says more when little does not tell, and begins from nothing", () => {
    const [a, b] = [node(near), node(far)];
    give(a, 30);
    give(b, 70);
    assert.equal(converse(a, b), 3);
    assert.equal(b.handed.length, 40);
    const [empty, full] = [node(near), node(far)];
    give(full, 70, 1);
    assert.equal(converse(empty, full), 1);
    // A statement's answer is bounded; the next one brings the rest.
    assert.equal(full.handed.length, 64 + 1);
    const [asked, lacking] = [node(near), node(far)];
    give(asked, 30, 1);
    assert.equal(converse(asked, lacking), 2);
    assert.equal(asked.handed.length, 30 + 1);
  });

  it("goes on after a restart, from what is on disk", () => {
    const first = node(far);
    give(first, 3, 5);
    const again = new MeshNode(far, { trust, disk: first.disk });
    const a = node(near);
    give(a, 1, 4);
    assert.equal(converse(a, again), 1);
    assert.deepEqual(kinds(again).sort(), ["log_checkpoint", "revocation", "revocation"]);
  });

  it("keeps to itself what nobody who may has revoked", () => {
    const [a, b] = [node(near), node(far).allow(stranger)];
    const other = new MeshNode(stranger);
    b.feed({ type: "offer", token: 1, envelopes: other.publish(1, () => ({ fact: revocation(1) })) });
    assert.equal(converse(a, b), 1);
    assert.deepEqual(b.handed, []);
  });

  it("survives statements that lie: nothing unbounded is handed over, and no conversation goes on for ever", () => {
    const a = node(near);
    give(a, 80, 1);
    const hostile = { reply: false, salt: 1, logs: [] };
    const say = (body: Uint8Array): void => a.feed({ type: "compare", ...peerOf("liar"), statement: body });
    say(Uint8Array.of(9, 9, 9));
    assert.equal(a.refusals("frame_syntax"), 1);
    // A sketch of nothing that fits, small and large; then replies, which are answered with envelopes alone.
    say(encodeStatement({ ...hostile, revocations: 7, sketch: sketchOf([1, 2, 3], 6) }));
    assert.equal(decodeStatement(a.statements.at(-1) as Uint8Array).sketch.length, 64);
    const said = a.statements.length;
    say(encodeStatement({ ...hostile, reply: true, revocations: 7, sketch: sketchOf([1, 2, 3], 6) }));
    assert.equal(a.statements.length, said);
    const before = a.handed.length;
    say(encodeStatement({ ...hostile, reply: true, revocations: 7, sketch: sketchOf([1, 2, 3], 64) }));
    assert.ok(a.handed.length - before <= 64 + 1);
    assert.equal(a.statements.length, said);
    say(encodeStatement({ ...hostile, revocations: 2 ** 40, sketch: sketchOf([1, 2, 3], 64) }));
    assert.equal(decodeStatement(a.statements.at(-1) as Uint8Array).reply, true);
  });
});
