/** Range sync against honest, slow, lying and silent peers, on the core alone. */
import assert from "node:assert/strict";
import { EnvelopeState, encodeFrame, MAX_ANSWER_BYTES, MAX_ANSWER_ITEMS } from "../../spine/index.ts";
import { chainBy, envelopeBy, Hostile, keyOf, MeshNode, recordsOf, START_MS, Wire } from "../helpers/mesh-harness.ts";

const [us, alice, bob, mallory, peer] = [keyOf(1), keyOf(2), keyOf(3), keyOf(4), keyOf(5)];
const garbage = new Uint8Array(64).fill(7);

function following(...keys: (typeof us)[]): MeshNode {
  return new MeshNode(us).allow(...keys);
}

describe("range sync", () => {
  it("brings two cores to the same state", () => {
    const [a, b] = [new MeshNode(alice).allow(bob), new MeshNode(bob).allow(alice)];
    a.publish(700);
    b.publish(30);
    const wire = new Wire();
    wire.connect(a, b);
    wire.run([a, b]);
    assert.deepEqual([a.top(bob), b.top(alice)], [30, 700]);
    a.publish(5);
    wire.run([a, b]);
    assert.equal(b.top(alice), 705);
    assert.deepEqual([...a.penalties, ...b.penalties], []);
  });

  it("shares one long chain between two links and does not fetch anything twice", () => {
    const chain = chainBy(alice, 4_000);
    const node = following(alice);
    const links = [peer, bob].map((key) => {
      const link = new Hostile(node, key);
      const wants: { from: number; to: number }[] = [];
      link.answer = (frame) => {
        if (frame.type === "want") wants.push(frame);
      };
      return { link, wants };
    });
    for (const { link } of links) link.claim(alice.issuer, 1, 4_000);
    const asked = links.flatMap(({ wants }) => wants).sort((a, b) => a.from - b.from);
    assert.ok(links.every(({ wants }) => wants.length > 0) && links.some(({ wants }) => wants.length === 6));
    asked.slice(1).forEach((want, i) => {
      assert.ok(want.from > (asked[i] as { to: number }).to, "two requests overlap");
    });
    for (const { link } of links) {
      const open = link.heardOf("want");
      link.serve(chain);
      for (const want of open) link.answer(want);
    }
    assert.equal(node.top(alice), 4_000);
    assert.deepEqual(node.penalties, []);
  });

  it("asks only for what the peer said it holds", () => {
    const node = following(alice);
    const link = new Hostile(node, peer);
    link.claim(alice.issuer, 5, 9);
    assert.deepEqual(
      link.heardOf("want").map(({ from, to }) => [from, to]),
      [[5, 9]],
    );
    link.claim(mallory.issuer, 1, 9);
    assert.equal(link.heardOf("want").length, 1);
  });

  it("turns to another link when one does not answer, and asks the silent one later again", () => {
    const chain = chainBy(alice, 50);
    const node = following(alice);
    const silent = new Hostile(node, peer);
    silent.claim(alice.issuer, 1, 50);
    const good = new Hostile(node, bob);
    good.serve(chain);
    good.claim(alice.issuer, 1, 50);
    assert.equal(node.top(alice), 0);
    node.pass(31_000);
    assert.equal(node.top(alice), 50);
    assert.equal(node.refusals("request_timeout"), 1);
    node.pass(31_000);
    assert.equal(silent.heardOf("ask-inventory").length, 1);
    assert.deepEqual(silent.blamed, []);
  });

  it("is not held up by an answer that only trickles or repeats its totals", () => {
    for (const trickle of ["segment", "offer"] as const) {
      const chain = chainBy(alice, 500);
      const node = following(alice);
      const slow = new Hostile(node, peer);
      slow.claim(alice.issuer, 1, 500);
      const good = new Hostile(node, bob);
      good.serve(chain);
      good.claim(alice.issuer, 1, 500);
      const { request } = slow.heardOf("want")[0] as { request: number };
      for (let i = 0; i < 8; i++) {
        if (trickle === "offer") slow.send({ type: "offer", request, count: 500, bytes: 1 });
        else slow.send({ type: "segment", request, from: i + 1, count: 1, records: recordsOf([chain[i] as never]) });
        node.pass(29_000);
      }
      assert.equal(node.top(alice), 500, trickle);
      assert.equal(node.disk.record(alice.issuer)?.ranges.length, 1);
    }
  });

  it("does not ask for ever when answers end without bringing anything", () => {
    for (const reason of ["limit", "busy", "none", "done"] as const) {
      const node = following(alice);
      const link = new Hostile(node, peer);
      let wants = 0;
      link.answer = (frame) => {
        if (frame.type !== "want" || ++wants > 100) return;
        link.send({ type: "end", request: frame.request, reason });
      };
      link.claim(alice.issuer, 1, 10);
      node.pass(1_000);
      assert.equal(wants, 1, reason);
      node.pass(31_000);
      link.claim(alice.issuer, 1, 10);
      assert.equal(wants, 2, "it is asked again when it announces again");
    }
  });

  it("stops asking a peer that leaves out every second envelope", () => {
    const chain = chainBy(alice, 1_000);
    const node = following(alice);
    const link = new Hostile(node, peer);
    link.serve(
      chain.filter(({ seq }) => seq % 2 === 0),
      1,
    );
    link.claim(alice.issuer, 1, 1_000);
    node.pass(1_000);
    assert.ok(link.heardOf("want").length < 20, `${link.heardOf("want").length} requests`);
    assert.equal(node.disk.record(alice.issuer)?.ranges.length, 500);
    const good = new Hostile(node, bob);
    good.serve(chain);
    good.claim(alice.issuer, 1, 1_000);
    node.pass(1_000);
    assert.deepEqual(
      node.disk.record(alice.issuer)?.ranges.map(({ from, to }) => [from, to]),
      [[1, 1_000]],
    );
    assert.equal(node.mesh.load.holes, 0);
  });

  it("keeps huge claims as claims: few bytes, few requests", () => {
    const node = following(alice);
    const link = new Hostile(node, peer);
    link.claim(alice.issuer, 1, Number.MAX_SAFE_INTEGER);
    assert.equal(link.heardOf("want").length, 6);
    for (const want of link.heardOf("want")) assert.ok(want.to - want.from < MAX_ANSWER_ITEMS);
    assert.equal(node.mesh.lacking(link.link), Number.MAX_SAFE_INTEGER);
    assert.deepEqual(link.blamed, []);
  });

  it("takes and passes on an envelope with the largest seq", () => {
    const seq = Number.MAX_SAFE_INTEGER;
    const [node, other] = [following(alice), new MeshNode(bob).allow(alice)];
    const link = new Hostile(node, peer);
    const top = envelopeBy(alice, { seq, prev: `0x${"11".repeat(32)}` });
    link.send({ type: "push", records: [recordsOf([top])] });
    assert.equal(node.top(alice), seq);
    const wire = new Wire();
    wire.connect(node, other);
    wire.run([node, other]);
    assert.equal(other.top(alice), seq);
    assert.deepEqual([...node.penalties, ...other.penalties], []);
    const twin = envelopeBy(alice, { seq, prev: `0x${"12".repeat(32)}` });
    link.send({ type: "push", records: [recordsOf([twin])] });
    assert.equal(node.frozenAt(alice), seq);
  });

  it("refuses answers outside the request, of the wrong count, issuer, link or size, with blame", () => {
    const chain = chainBy(alice, 20);
    const others = chainBy(bob, 20);
    const cases: readonly (readonly [number, number, Uint8Array])[] = [
      [11, 1, recordsOf(chain.slice(10, 11))],
      [1, 0, new Uint8Array(0)],
      [1, 2, recordsOf(chain.slice(0, 1))],
      [1, 1, recordsOf(chain.slice(0, 2))],
      [1, 1, recordsOf(others.slice(0, 1))],
      [1, 2, recordsOf([chain[0] as never, envelopeBy(alice, { seq: 2, prev: `0x${"22".repeat(32)}` })])],
      [2, 1, recordsOf(chain.slice(0, 1))],
      [1, 1, new Uint8Array(100)],
    ];
    for (const [from, count, records] of cases) {
      const node = following(alice);
      const link = new Hostile(node, peer);
      link.claim(alice.issuer, 1, 10);
      const { request } = link.heardOf("want")[0] as { request: number };
      link.send({ type: "segment", request, from, count, records });
      assert.equal(link.blamed.length, 1);
      assert.equal(node.top(alice), 0);
    }
  });

  it("refuses forged forward links: nothing is stored without the last signature", () => {
    const node = following(alice);
    const link = new Hostile(node, peer);
    link.serve(chainBy(alice, 300, () => ({ signature: garbage })));
    link.claim(alice.issuer, 1, 300);
    assert.deepEqual([link.blamed[0], node.top(alice)], ["signature_invalid", 0]);
    assert.equal(node.disk.leaves.length, 0);
  });

  it("takes bad middle signatures without blame, as content proven from above", () => {
    const node = following(alice);
    const link = new Hostile(node, peer);
    link.serve(chainBy(alice, 10, (seq) => (seq % 5 === 0 ? {} : { signature: garbage })));
    link.claim(alice.issuer, 1, 10);
    assert.deepEqual([link.blamed, node.top(alice)], [[], 10]);
    const states = [4, 5, 9, 10].map((seq) => node.disk.at(alice.issuer, seq)?.state);
    assert.deepEqual(states, [EnvelopeState.chain, EnvelopeState.chain, EnvelopeState.chain, EnvelopeState.signature]);
  });

  it("serves within its own bounds, whatever is asked for", () => {
    const node = new MeshNode(us);
    node.publish(1_500);
    const link = new Hostile(node, peer);
    link.send({
      type: "want",
      request: 1,
      issuer: us.issuer,
      from: 0,
      to: Number.MAX_SAFE_INTEGER,
      maxItems: Number.MAX_SAFE_INTEGER,
      maxBytes: Number.MAX_SAFE_INTEGER,
    });
    const [effect] = node.serves;
    assert.ok(effect && effect.maxItems <= MAX_ANSWER_ITEMS && effect.maxBytes <= MAX_ANSWER_BYTES);
    assert.equal(link.heardOf("end")[0]?.reason, "limit");
    assert.ok(link.heardOf("segment").every(({ count, records }) => count <= 256 && records.length <= 262_144));
  });

  it("sends no frame larger than the peer takes", () => {
    const node = new MeshNode(us);
    node.publish(300);
    const link = new Hostile(node, peer, { hello: false });
    link.hello({ maxFrameBytes: 4_096 });
    const base = { type: "want", request: 1, issuer: us.issuer, from: 1, to: 300 } as const;
    link.send({ ...base, maxItems: 300, maxBytes: 500_000 });
    assert.ok(link.heardOf("segment").length > 10);
    assert.equal(
      link.heardOf("segment").reduce((sum, { count }) => sum + count, 0),
      300,
    );
    for (const frame of link.heard) assert.ok(encodeFrame(frame).length <= 4_096);
  });

  it("lets an honest peer ask for very many small ranges in one go", () => {
    const node = new MeshNode(us);
    node.publish(1);
    const link = new Hostile(node, peer);
    const want = { type: "want", issuer: us.issuer, from: 1, to: 1, maxItems: 1, maxBytes: 1_000 } as const;
    for (let request = 1; request <= 5_000; request++) link.send({ ...want, request });
    assert.equal(link.heardOf("end").length, 5_000);
    assert.equal(node.refusals("rate_limited"), 0);
  });

  it("catches up with 100 issuers without a refusal on either side", () => {
    const keys = Array.from({ length: 100 }, (_, i) => keyOf(1_000 + i));
    const [a, b] = [new MeshNode(alice).allow(bob, ...keys), new MeshNode(bob).allow(alice, ...keys)];
    for (const key of keys) a.feed({ type: "offer", token: 0, envelopes: chainBy(key, 40) });
    const wire = new Wire();
    wire.connect(a, b);
    wire.run([a, b], 2_000);
    for (const key of keys) assert.equal(b.top(key), 40);
    for (const node of [a, b]) {
      assert.deepEqual(node.penalties, []);
      assert.deepEqual(
        node.events.filter(({ type }) => type === "refused"),
        [],
      );
    }
  });

  it("judges a segment by the state after its verification: denied, frozen or link gone meanwhile", () => {
    const chain = chainBy(alice, 10);
    for (const meanwhile of ["denied", "frozen", "down"] as const) {
      const node = following(alice);
      const link = new Hostile(node, peer);
      link.claim(alice.issuer, 1, 10);
      const { request } = link.heardOf("want")[0] as { request: number };
      node.holdVerify = true;
      link.send({ type: "segment", request, from: 1, count: 10, records: recordsOf(chain) });
      node.holdVerify = false;
      if (meanwhile === "denied") node.deny(alice);
      if (meanwhile === "down") node.linkDown(link.link);
      if (meanwhile === "frozen") {
        const twin = envelopeBy(alice, { seq: 4, prev: `0x${"99".repeat(32)}` });
        const fourth = chain[3] as typeof twin;
        const other = new Hostile(node, bob);
        other.send({ type: "push", records: [recordsOf([fourth])] });
        other.send({ type: "push", records: [recordsOf([twin])] });
        assert.equal(node.frozenAt(alice), 4);
      }
      const before = node.disk.leaves.length;
      node.verifyNow();
      node.pass(100);
      const added = node.disk.leaves.length - before;
      assert.deepEqual(link.blamed, []);
      if (meanwhile === "denied") assert.equal(added, 0);
      if (meanwhile === "down") assert.equal(added, 10);
      if (meanwhile === "frozen") assert.deepEqual(node.disk.at(alice.issuer, 5), undefined);
    }
  });

  it("does not fetch twice what is being verified", () => {
    const chain = chainBy(alice, 10);
    const node = following(alice);
    const link = new Hostile(node, peer);
    node.holdVerify = true;
    link.claim(alice.issuer, 1, 10);
    const { request } = link.heardOf("want")[0] as { request: number };
    link.send({ type: "segment", request, from: 1, count: 10, records: recordsOf(chain) });
    link.send({ type: "end", request, reason: "done" });
    assert.equal(link.heardOf("want").length, 1);
    node.verifyNow();
    assert.equal(node.top(alice), 10);
    assert.equal(link.heardOf("want").length, 1);
  });

  it("denies, re-admits and continues where it stood", () => {
    const chain = chainBy(alice, 30);
    const node = following(alice);
    const link = new Hostile(node, peer);
    link.serve(chain);
    link.claim(alice.issuer, 1, 10);
    node.deny(alice);
    link.claim(alice.issuer, 1, 30);
    assert.equal(node.top(alice), 10);
    node.allow(alice);
    assert.ok(link.heardOf("ask-inventory").some(({ issuers }) => issuers.includes(alice.issuer)));
    link.claim(alice.issuer, 1, 30);
    assert.equal(node.top(alice), 30);
    node.pass(200);
    assert.ok(link.heardOf("inventory").some(({ entries }) => entries.some((e) => e.issuer === alice.issuer)));
  });
});

describe("the clock rule", () => {
  const hour = 3_600_000;
  it("holds envelopes of the future, keeps what is below, and fetches them when due", () => {
    const chain = chainBy(alice, 10, (seq) => (seq < 6 ? {} : { issuedAtMs: START_MS + hour }));
    const node = following(alice);
    const link = new Hostile(node, peer);
    link.serve(chain);
    link.claim(alice.issuer, 1, 10);
    assert.equal(node.top(alice), 5);
    assert.equal(link.heardOf("want").length <= 2, true);
    node.pass(hour - 700_000);
    assert.equal(node.top(alice), 5);
    node.pass(200_000);
    assert.equal(node.top(alice), 10);
    assert.deepEqual(link.blamed, []);
  });

  it("does not blame a relay whose segment is cut at an envelope with a bad own signature", () => {
    const chain = chainBy(alice, 10, (seq) => ({
      ...(seq === 5 ? { signature: garbage } : {}),
      ...(seq > 5 ? { issuedAtMs: START_MS + hour } : {}),
    }));
    const node = following(alice);
    const link = new Hostile(node, peer);
    link.serve(chain);
    link.claim(alice.issuer, 1, 10);
    assert.deepEqual([link.blamed, node.top(alice)], [[], 5]);
  });

  it("lets revocations through that count, pushed or in a range, and holds those of whoever may not", () => {
    const revocation = (value: string) => ({
      schema: "clawdstrike.spine.fact.revocation.v1",
      targets: [{ type: "node_id", value, from_seq: 900 }],
    });
    const strangers = chainBy(alice, 1, () => ({ issuedAtMs: START_MS + hour, fact: revocation(peer.issuer) }));
    const holding = following(alice);
    new Hostile(holding, peer).send({ type: "push", records: [recordsOf(strangers)] });
    assert.equal(holding.top(alice), 0);
    const chain = chainBy(alice, 5, (seq) => ({
      issuedAtMs: START_MS + hour,
      ...(seq === 4 ? { fact: revocation(alice.issuer) } : {}),
    }));
    const pushed = following(alice);
    new Hostile(pushed, peer).send({ type: "push", records: [recordsOf([chain[3] as never])] });
    assert.equal(pushed.top(alice), 4);
    const ranged = following(alice);
    const link = new Hostile(ranged, peer);
    link.serve(chain);
    link.claim(alice.issuer, 1, 5);
    assert.deepEqual(
      ranged.disk.record(alice.issuer)?.ranges.map(({ from, to }) => [from, to]),
      [[4, 4]],
    );
  });

  it("survives a clock that is set back: announcements and timeouts go on", () => {
    const node = following(alice);
    const link = new Hostile(node, peer);
    link.claim(alice.issuer, 1, 5);
    node.publish(1);
    node.pass(1_000);
    const before = link.heardOf("inventory").length;
    node.now -= 10 * hour;
    node.publish(1);
    node.pass(1_000);
    assert.ok(link.heardOf("inventory").length > before, "announced again");
    node.pass(31_000);
    assert.equal(node.refusals("request_timeout"), 1);
  });
});

describe("links", () => {
  it("wait for a hello before anything else, take one, and close without", () => {
    const node = new MeshNode(us);
    const rude = new Hostile(node, peer, { hello: false });
    rude.claim(alice.issuer, 1, 2);
    rude.raw(new TextEncoder().encode("{}"));
    assert.deepEqual(rude.blamed, ["frame_unexpected", "frame_unexpected"]);
    rude.hello();
    rude.hello();
    assert.deepEqual(rude.blamed.length, 3);
    const silent = new Hostile(node, bob, { hello: false });
    node.pass(31_000);
    assert.equal(silent.closedWith, "request_timeout");
    const checked = node.claimsChecked;
    const liar = new Hostile(node, mallory, { hello: false });
    for (let i = 0; i < 50; i++) liar.hello({ proof: garbage });
    assert.equal(liar.closedWith, "hello_proof");
    assert.equal(node.claimsChecked - checked, 1, "a false proof is checked once");
  });

  it("are dead once closed: nothing more is read or sent", () => {
    const node = following(alice);
    const link = new Hostile(node, peer);
    link.send({ type: "bye", code: "x", message: "" });
    assert.equal(link.closedWith, "link_unknown");
    const heard = link.heard.length;
    link.claim(alice.issuer, 1, 10);
    node.publish(3);
    node.pass(1_000);
    assert.equal(link.heard.length, heard);
  });

  it("refuse a peer that holds this node's own key, and say so", () => {
    const node = new MeshNode(us);
    node.publish(3);
    const link = new Hostile(node, peer, { hello: false });
    link.hello({ issuer: us.issuer, proof: us.sign(helloOf(peer, us)) });
    assert.equal(link.closedWith, "own_key_conflict");
    assert.ok(node.events.some(({ type }) => type === "own-key-conflict"));
  });

  it("stay within their tables: a thousand links, closed again, leave nothing", () => {
    const node = following(alice);
    for (let i = 0; i < 1_000; i++) {
      const link = new Hostile(node, peer, { link: `l${i}` });
      link.claim(alice.issuer, 1, 10);
      node.linkDown(link.link);
    }
    assert.equal(node.mesh.links().length, 0);
    assert.deepEqual({ ...node.mesh.load }, { commits: 0, requests: 0, waiting: 0, claims: 0, holes: 0 });
  });
});

function helloOf(sender: typeof us, receiver: typeof us): Uint8Array {
  const tag = new TextEncoder().encode("aegis.spine.hello.v1");
  return Uint8Array.from([...tag, 0, 32, ...sender.publicKey, 32, ...receiver.publicKey]);
}
