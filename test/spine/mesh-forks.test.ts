/** Fork proofs, freeze, hunts, heads, own key and refetched signatures (rules 5, 6, 7), on the core alone. */
import assert from "node:assert/strict";
import {
  decodeFork,
  draftHead,
  type Envelope,
  EnvelopeState,
  encodeFork,
  type Head,
  headText,
  proveFork,
  sealHead,
} from "../../spine/index.ts";
import { chainBy, envelopeBy, Hostile, keyOf, MeshNode, recordsOf, START_MS } from "../helpers/mesh-harness.ts";
import { nativeSha256Hex } from "../helpers/sim-ports.ts";

const [us, alice, bob, mallory, peer] = [keyOf(1), keyOf(2), keyOf(3), keyOf(4), keyOf(5)];
const garbage = new Uint8Array(64).fill(7);
const fork = { fact: { schema: "other" } } as const;

function headBy(key: typeof us, seq: number, hash: string, sentAt = START_MS / 1000): Head {
  const draft = draftHead({ issuer: key.issuer, seq, hash, sentAt });
  return sealHead(draft, key.sign(draft.signingBytes));
}
function push(link: Hostile, ...envelopes: readonly Envelope[]): void {
  link.send({ type: "push", records: envelopes.map((envelope) => recordsOf([envelope])) });
}
function sayHead(link: Hostile, ...heads: readonly Head[]): void {
  for (const head of heads) {
    link.send({
      type: "inventory",
      entries: [{ issuer: head.issuer, prunedBelow: 0, ranges: [], frozenAt: null, head }],
    });
  }
}
function node(...keys: (typeof us)[]): MeshNode {
  return new MeshNode(us).allow(...keys);
}

describe("forks", () => {
  it("freeze at the first seq, and a 0-based twin freezes at 0", () => {
    const one = node(alice);
    push(
      new Hostile(one, peer),
      envelopeBy(alice, { seq: 1, prev: null }),
      envelopeBy(alice, { seq: 1, prev: null, ...fork }),
    );
    const two = node(alice);
    const link = new Hostile(two, peer);
    push(link, envelopeBy(alice, { seq: 1, prev: null }));
    push(link, envelopeBy(alice, { seq: 1, prev: null, ...fork }));
    assert.equal(two.frozenAt(alice), 1);
    const zero = node(alice);
    const other = new Hostile(zero, peer);
    push(other, envelopeBy(alice, { seq: 1, prev: null }));
    push(other, envelopeBy(alice, { seq: 0, prev: null }));
    assert.equal(zero.frozenAt(alice), 0);
    assert.equal(one.frozenAt(alice), 1, "both in one frame");
    for (const { disk } of [one, two, zero]) assert.ok(disk.leaves.length >= 1, "evidence stays");
  });

  it("are proven by two heads, in one frame after the other and while the first is on its way to the disk", () => {
    const [a, b] = [headBy(alice, 10, `0x${"11".repeat(32)}`), headBy(alice, 10, `0x${"22".repeat(32)}`)];
    for (const hold of [false, true]) {
      const one = node(alice);
      const link = new Hostile(one, peer);
      one.holdCommit = hold;
      sayHead(link, a, b);
      one.holdCommit = false;
      one.commitNow();
      one.pass(100);
      assert.equal(one.frozenAt(alice), 10, `commit held: ${hold}`);
      const proof = new Hostile(one, bob);
      proof.send({
        type: "inventory",
        entries: [{ issuer: alice.issuer, prunedBelow: 0, ranges: [{ from: 1, to: 2 }], frozenAt: null, head: null }],
      });
      const [sent] = proof.heardOf("fork");
      assert.ok(sent !== undefined && sent.proof.length < 330, "two heads are a small proof");
      assert.equal(decodeFork(sent.proof, nativeSha256Hex).seq, 10);
    }
  });

  it("keep the newest head on disk, whatever the order of arrival", () => {
    const one = node(alice);
    const link = new Hostile(one, peer);
    one.holdCommit = true;
    sayHead(link, headBy(alice, 6, `0x${"66".repeat(32)}`), headBy(alice, 5, `0x${"55".repeat(32)}`));
    one.holdCommit = false;
    one.commitNow();
    assert.equal(one.disk.load().heads.find(({ issuer }) => issuer === alice.issuer)?.seq, 6);
  });

  it("need two differing hashes: the same hash with another signature is no fork and no fault", () => {
    const one = node(alice);
    const link = new Hostile(one, peer);
    const envelope = envelopeBy(alice, { seq: 1, prev: null });
    push(link, envelope);
    push(link, { ...envelope, signature: garbage });
    assert.deepEqual([one.frozenAt(alice), link.blamed, one.disk.leaves.length], [null, [], 1]);
  });

  it("are taken from a peer only with two valid signatures, and lower ones replace", () => {
    const one = node(alice);
    const link = new Hostile(one, peer);
    const twins = (seq: number): [Envelope, Envelope] => [
      envelopeBy(alice, { seq, prev: `0x${"11".repeat(32)}` }),
      envelopeBy(alice, { seq, prev: `0x${"11".repeat(32)}`, ...fork }),
    ];
    const proofOf = (seq: number, [a, b]: [Envelope, Envelope]): Uint8Array =>
      encodeFork(proveFork(seq, { kind: "envelope", envelope: a }, { kind: "envelope", envelope: b }));
    const [a, b] = twins(30);
    link.send({ type: "fork", proof: proofOf(30, [a, { ...b, signature: garbage }]) });
    assert.deepEqual([one.frozenAt(alice), link.blamed], [null, ["fork_proof_invalid"]]);
    for (const seq of [30, 20, 25]) link.send({ type: "fork", proof: proofOf(seq, twins(seq)) });
    assert.equal(one.frozenAt(alice), 20);
    push(link, envelopeBy(alice, { seq: 21, prev: `0x${"11".repeat(32)}` }));
    assert.equal(one.disk.leaves.length, 0, "nothing new at or above the fork");
    push(link, envelopeBy(alice, { seq: 10, prev: `0x${"11".repeat(32)}` }));
    assert.equal(one.disk.leaves.length, 1);
  });

  it("are traced down to the divergence, also on a peer that knows the fork already", () => {
    const trunk = chainBy(alice, 40);
    const left = [...trunk, ...chainBy(alice, 60, undefined, trunk.at(-1) ?? null)];
    const right = [...trunk, ...chainBy(alice, 60, () => fork, trunk.at(-1) ?? null)];
    for (const known of [false, true]) {
      const one = node(alice);
      one.feed({ type: "offer", token: 1, envelopes: left });
      if (known) {
        const informer = new Hostile(one, bob);
        const statements = [left[79], right[79]].map((envelope) => ({ kind: "envelope", envelope }) as never);
        informer.send({
          type: "fork",
          proof: encodeFork(proveFork(80, statements[0] as never, statements[1] as never)),
        });
        one.linkDown(informer.link);
        assert.equal(one.frozenAt(alice), 80);
      }
      const link = new Hostile(one, peer);
      link.serve(right);
      const serve = link.answer;
      link.answer = (frame) => {
        if (frame.type !== "ask-hashes") return serve(frame);
        const hashes = frame.seqs.map((seq) => right[seq - 1]?.hash ?? null);
        link.send({ type: "hashes", request: frame.request, hashes });
      };
      const head = headBy(alice, 100, (right[99] as Envelope).hash);
      const ranges = [{ from: 1, to: 100 }];
      link.send({
        type: "inventory",
        entries: [{ issuer: alice.issuer, prunedBelow: 0, ranges, frozenAt: known ? 80 : null, head }],
      });
      assert.equal(one.frozenAt(alice), 41, `known: ${known}`);
      assert.deepEqual(link.blamed, []);
    }
  });

  it("hunts on a lying or silent peer end, freeze nothing below, and do not block the next", () => {
    const chain = chainBy(alice, 200);
    const twin = envelopeBy(alice, { seq: 150, prev: (chain[148] as Envelope).hash, ...fork });
    for (const lie of ["silence", "all differ", "nulls", "first only"] as const) {
      const one = node(alice);
      one.feed({ type: "offer", token: 1, envelopes: chain });
      const link = new Hostile(one, peer);
      let asked = 0;
      link.answer = (frame) => {
        if (frame.type !== "ask-hashes" || ++asked > 2_000) return;
        const differ = `0x${"ab".repeat(32)}`;
        const hashes = frame.seqs.map((seq, i) =>
          lie === "all differ" ? differ : lie === "first only" && i === 0 ? (chain[seq - 1] as Envelope).hash : null,
        );
        if (lie !== "silence") link.send({ type: "hashes", request: frame.request, hashes });
      };
      push(link, twin);
      one.pass(31_000);
      assert.equal(one.frozenAt(alice), 150, lie);
      assert.ok(asked >= 1 && asked < 500, `${lie}: ${asked} questions`);
      const honest = new Hostile(one, bob);
      honest.send({
        type: "inventory",
        entries: [{ issuer: alice.issuer, prunedBelow: 0, ranges: [{ from: 1, to: 150 }], frozenAt: 150, head: null }],
      });
      assert.equal(honest.heardOf("ask-hashes").length, 1, `${lie}: the next peer is asked`);
    }
  });

  it("are relayed at most four times an hour per issuer, and still reach who asks", () => {
    const one = node(alice);
    const listener = new Hostile(one, bob);
    const link = new Hostile(one, peer);
    for (let seq = 90; seq > 80; seq--) {
      const statements = [fork, {}].map(
        (over) =>
          ({ kind: "envelope", envelope: envelopeBy(alice, { seq, prev: `0x${"11".repeat(32)}`, ...over }) }) as never,
      );
      link.send({ type: "fork", proof: encodeFork(proveFork(seq, statements[0] as never, statements[1] as never)) });
    }
    assert.equal(listener.heardOf("fork").length, 4);
    listener.send({
      type: "inventory",
      entries: [{ issuer: alice.issuer, prunedBelow: 0, ranges: [], frozenAt: 87, head: null }],
    });
    assert.equal(decodeFork((listener.heardOf("fork").at(-1) as { proof: Uint8Array }).proof, nativeSha256Hex).seq, 81);
  });

  it("put an end to heads of a frozen issuer, but not to looking at old ones", () => {
    const one = node(alice);
    const link = new Hostile(one, peer);
    push(link, ...chainBy(alice, 3));
    sayHead(link, headBy(alice, 3, `0x${"33".repeat(32)}`));
    assert.equal(one.frozenAt(alice), 3);
    const gossip = (head: Head): void =>
      one.feed({ type: "gossip", link: link.link, id: "x", data: new TextEncoder().encode(headText(head)) });
    gossip(headBy(alice, 9, `0x${"99".repeat(32)}`));
    assert.deepEqual(one.verdicts, ["ignore"]);
    assert.equal([...one.mesh.issuers()].find(({ record }) => record.issuer === alice.issuer)?.head?.seq, 3);
  });

  it("show when an envelope contradicts the head that was heard before it", () => {
    const one = node(alice);
    const trunk = chainBy(alice, 2);
    const branch = (fact: Partial<{ fact: { schema: string } }>): Envelope =>
      envelopeBy(alice, { seq: 3, prev: trunk[1]?.hash ?? null, ...fact });
    const link = new Hostile(one, peer);
    push(link, ...trunk);
    sayHead(link, headBy(alice, 3, branch({}).hash));
    push(link, branch(fork));
    assert.equal(one.frozenAt(alice), 3);
    const two = node(alice);
    sayHead(new Hostile(two, peer), headBy(alice, 3, branch({}).hash));
    two.feed({ type: "offer", token: 1, envelopes: [...trunk, branch(fork)] });
    assert.deepEqual([two.frozenAt(alice), two.top(alice)], [3, 2], "handed in by the operator");
    two.feed({ type: "offer", token: 2, envelopes: [branch({})] });
    assert.equal(two.top(alice), 2, "nothing is admitted where it is frozen");
  });

  it("of the own key raise the alarm: envelopes, heads and copied heads that were not signed here", () => {
    const alarms = (one: MeshNode): number => one.events.filter(({ type }) => type === "own-key-conflict").length;
    const made = (): [MeshNode, Hostile, readonly Envelope[]] => {
      const one = node();
      const chain = one.publish(5);
      one.pass(1_000);
      return [one, new Hostile(one, peer), chain];
    };
    const [a, linkA] = made();
    sayHead(linkA, headBy(us, 9, `0x${"99".repeat(32)}`));
    assert.equal(alarms(a), 1);
    const [b, linkB, chain] = made();
    push(linkB, envelopeBy(us, { seq: 6, prev: (chain[4] as Envelope).hash }));
    assert.equal(alarms(b), 1);
    const [c, linkC] = made();
    sayHead(linkC, headBy(us, 5, (chain[4] as Envelope).hash, START_MS / 1000 + 77));
    assert.equal(alarms(c), 1);
    const [d, linkD] = made();
    const data = new TextEncoder().encode(headText(headBy(us, 2, `0x${"22".repeat(32)}`)));
    d.feed({ type: "gossip", link: linkD.link, id: "x", data });
    assert.equal(alarms(d), 1, "an old head of a restored image");
    assert.equal(d.frozenAt(us), 2);
  });
});

describe("signatures that do not verify below ones that do", () => {
  const bad = chainBy(alice, 4, (seq) => (seq === 2 ? { signature: garbage } : {}));
  const good = chainBy(alice, 4);

  function holding(): { one: MeshNode; links: Hostile[] } {
    const one = node(alice);
    const links = [peer, bob, mallory, keyOf(6)].map((key) => {
      const link = new Hostile(one, key);
      link.serve(bad);
      return link;
    });
    for (const link of links) link.claim(alice.issuer, 1, 4);
    assert.equal(one.disk.at(alice.issuer, 2)?.state, EnvelopeState.chain);
    return { one, links };
  }
  const report = (one: MeshNode): void =>
    one.feed({ type: "unsigned", issuer: alice.issuer, seq: 2, hash: (good[1] as Envelope).hash });

  it("are refetched three times, then marked; relays are not to blame", () => {
    const { one, links } = holding();
    const before = links.map((link) => link.heardOf("want").length);
    report(one);
    const asked = links.map((link, i) => link.heardOf("want").length - (before[i] as number));
    assert.equal(
      asked.reduce((sum, n) => sum + n),
      3,
    );
    assert.equal(one.disk.at(alice.issuer, 2)?.state, EnvelopeState.unsigned);
    assert.deepEqual(one.penalties, []);
  });

  it("are healed by one peer that has the right signature, also after others gave nothing or something else", () => {
    const { one, links } = holding();
    const other = chainBy(alice, 4, () => fork);
    links[0]?.serve([]);
    links[1]?.serve(other);
    links[2]?.serve(good);
    report(one);
    assert.equal(one.disk.at(alice.issuer, 2)?.state, EnvelopeState.signature);
    assert.deepEqual(one.disk.at(alice.issuer, 2)?.signature, good[1]?.signature);
    assert.deepEqual(one.penalties, []);
  });
});
