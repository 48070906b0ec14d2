/** Hostile peers against the core alone: floods, garbage, amplification, lies. Tables stay bounded, nothing throws. */
import assert from "node:assert/strict";
import { ByteWriter, beginReconcile, type Frame, ItemSet, issuerOf } from "../../spine/index.ts";
import { randomSource } from "../fuzz/fuzz-decoder.ts";
import { chainBy, envelopeBy, Hostile, keyOf, MeshNode, recordsOf } from "../helpers/mesh-harness.ts";
import { nativeSha256Hex } from "../helpers/sim-ports.ts";

const [us, alice, bob, mallory, peer] = [keyOf(1), keyOf(2), keyOf(3), keyOf(4), keyOf(5)];
const garbage = new Uint8Array(64).fill(7);
const unknownIssuer = (i: number): string => {
  const key = new Uint8Array(32).fill(9);
  new DataView(key.buffer).setUint32(0, i);
  return issuerOf(key);
};
type Entries = Extract<Frame, { type: "inventory" }>["entries"];
const entriesOf = (issuers: readonly string[], ranges = [{ from: 1, to: 100 }]): Entries =>
  issuers.map((issuer) => ({ issuer, prunedBelow: 0, ranges, frozenAt: null, head: null }));

function strangers(link: Hostile, count: number): void {
  const issuers = Array.from({ length: count }, (_, i) => unknownIssuer(i));
  for (let i = 0; i < count; i += 256) link.send({ type: "inventory", entries: entriesOf(issuers.slice(i, i + 256)) });
}

describe("hostile peers", () => {
  it("leave a claim per unknown issuer, at most 10,000 of them, and nothing on disk", () => {
    const node = new MeshNode(us);
    strangers(new Hostile(node, peer), 12_000);
    assert.equal(node.mesh.load.claims, 10_000);
    assert.deepEqual([[...node.mesh.issuers()].length, node.disk.leaves.length], [1, 0]);
  });

  it("introduce at most their share of issuers in an open mesh, however often they reconnect", () => {
    const node = new MeshNode(us, { open: true, limits: { introductions: 20 } });
    for (let i = 0; i < 5; i++) {
      const link = new Hostile(node, peer, { link: `again-${i}` });
      strangers(link, 200 * (i + 1));
      node.linkDown(link.link);
    }
    assert.equal([...node.mesh.issuers()].length, 1 + 20);
    strangers(new Hostile(node, bob), 2_000);
    assert.equal([...node.mesh.issuers()].length, 1 + 40);
  });

  it("cannot make the core throw with garbage frames", () => {
    const random = randomSource(11);
    const node = new MeshNode(us).allow(alice);
    for (let run = 0; run < 400; run++) {
      const link = new Hostile(node, peer, { link: `g${run}` });
      for (let i = 0; i < 10; i++) {
        const bytes = Uint8Array.from({ length: random(120) }, () => random(256));
        if (bytes.length > 0) bytes[0] = i % 3 === 0 ? 0x7b : 1 + random(14);
        link.raw(bytes);
      }
      node.linkDown(link.link);
    }
    assert.ok(node.penalties.length > 500);
    assert.equal(node.disk.leaves.length, 0);
    const { claims } = node.mesh.load;
    assert.deepEqual({ ...node.mesh.load }, { commits: 0, requests: 0, waiting: 0, claims, holes: 0 });
  });

  it("are closed after a handful of faults, and further frames cost nothing", () => {
    const node = new MeshNode(us);
    const link = new Hostile(node, peer);
    for (let i = 0; i < 100; i++) link.raw(Uint8Array.of(99));
    assert.equal(link.closedWith, "frame_syntax");
    assert.equal(link.blamed.length, 6);
  });

  it("cannot crash the core with bounds of reconciliation that overflow", () => {
    const node = new MeshNode(us).allow(alice);
    node.publish(3);
    const link = new Hostile(node, peer);
    const huge = Number.MAX_SAFE_INTEGER;
    const payload = new ByteWriter();
    for (let i = 0; i < 3; i++) payload.varint(huge).block(new Uint8Array(0)).u8(1).bytes(new Uint8Array(16));
    assert.doesNotThrow(() => link.send({ type: "reconcile", round: 1, payload: payload.finish() }));
    const afterTop = new ByteWriter();
    for (let i = 0; i < 2; i++) afterTop.varint(0).block(new Uint8Array(0)).u8(1).bytes(new Uint8Array(16));
    assert.doesNotThrow(() => link.send({ type: "reconcile", round: 1, payload: afterTop.finish() }));
    assert.deepEqual(link.blamed, ["frame_syntax", "frame_syntax"]);
  });

  it("cannot make a node rebuild its set for every question", () => {
    const keys = Array.from({ length: 600 }, (_, i) => keyOf(5_000 + i));
    const node = new MeshNode(us).allow(...keys);
    for (const key of keys.slice(0, 50)) node.feed({ type: "offer", token: 1, envelopes: chainBy(key, 1) });
    const link = new Hostile(node, peer);
    const payload = beginReconcile(new ItemSet([], nativeSha256Hex));
    for (let i = 0; i < 1_000; i++) link.send({ type: "reconcile", round: 0, payload });
    assert.ok(node.refusals("rate_limited") > 900, `${node.refusals("rate_limited")}`);
  });

  it("cannot multiply a small question: an issuer counts once, a fork proof is sent once", () => {
    const node = new MeshNode(us).allow(alice);
    const feeder = new Hostile(node, bob);
    const twins = [
      envelopeBy(alice, { seq: 1, prev: null }),
      envelopeBy(alice, { seq: 1, prev: null, fact: { schema: "y" } }),
    ];
    for (const twin of twins) feeder.send({ type: "push", records: [recordsOf([twin])] });
    assert.equal(node.frozenAt(alice), 1);
    const link = new Hostile(node, peer);
    const heard = link.heardOf("fork").length;
    link.send({ type: "inventory", entries: entriesOf(Array.from({ length: 200 }, () => alice.issuer)) });
    link.send({ type: "ask-inventory", issuers: Array.from({ length: 200 }, () => alice.issuer) });
    assert.deepEqual(link.blamed, ["frame_syntax", "frame_syntax"]);
    for (let i = 0; i < 50; i++) link.claim(alice.issuer, 1, 5);
    assert.equal(link.heardOf("fork").length - heard, 1);
  });

  it("keep at most a bounded number of ranges per link", () => {
    const keys = Array.from({ length: 600 }, (_, i) => keyOf(5_000 + i));
    const node = new MeshNode(us).allow(...keys);
    const link = new Hostile(node, peer);
    const spots = Array.from({ length: 64 }, (_, i) => ({ from: 3 * i + 1, to: 3 * i + 1 }));
    const issuers = keys.map(({ issuer }) => issuer);
    for (let i = 0; i < issuers.length; i += 100) {
      link.send({ type: "inventory", entries: entriesOf(issuers.slice(i, i + 100), spots) });
    }
    const believed = node.mesh.lacking(link.link);
    assert.ok(believed <= 16_384 + 600 && believed >= 600, `${believed} ranges`);
  });

  it("pay for every envelope they push, and a record may hold only one", () => {
    const node = new MeshNode(us).allow(alice);
    const link = new Hostile(node, peer);
    const forged = recordsOf([envelopeBy(alice, { seq: 9, prev: `0x${"11".repeat(32)}`, signature: garbage })]);
    const two = recordsOf(chainBy(alice, 2));
    link.send({ type: "push", records: [two] });
    assert.deepEqual(link.blamed, ["frame_syntax"]);
    const checked = node.claimsChecked;
    for (let i = 0; i < 100; i++) link.send({ type: "push", records: Array.from({ length: 256 }, () => forged) });
    assert.ok(node.claimsChecked - checked <= 2_000, `${node.claimsChecked - checked} checks`);
    assert.equal(link.closedWith, "signature_invalid");
  });

  it("gain nothing by replays: stored envelopes, heads and proofs again and again", () => {
    const node = new MeshNode(us).allow(alice);
    const link = new Hostile(node, peer);
    const record = recordsOf(chainBy(alice, 1));
    for (let i = 0; i < 100; i++) link.send({ type: "push", records: [record] });
    assert.deepEqual([node.disk.leaves.length, link.blamed], [1, []]);
    assert.equal(node.claimsChecked, 1 + 1, "the hello and the envelope, once each");
  });

  it("cannot begin a chain in the middle of nothing", () => {
    const node = new MeshNode(us).allow(alice);
    const link = new Hostile(node, peer);
    link.send({ type: "push", records: [recordsOf([envelopeBy(alice, { seq: 7, prev: null })])] });
    link.send({ type: "push", records: [recordsOf([envelopeBy(alice, { seq: 0, prev: `0x${"11".repeat(32)}` })])] });
    assert.equal(node.disk.leaves.length, 0);
    link.send({ type: "push", records: [recordsOf([envelopeBy(alice, { seq: 0, prev: null })])] });
    assert.equal(node.disk.leaves.length, 1);
  });

  it("cannot push urgent envelopes out of an honest publisher faster than its peers take them", () => {
    const node = new MeshNode(us);
    const link = new Hostile(node, peer);
    node.publish(2_500, () => ({ fact: { schema: "aegis.spine.fact.incident.v1", text: "x" } }));
    assert.ok(link.heardOf("push").length <= 400, `${link.heardOf("push").length} pushes`);
    assert.ok(node.broadcasts.length <= 450, `${node.broadcasts.length} broadcasts`);
    node.pass(1_000);
    assert.equal(link.heardOf("inventory").at(-1)?.entries[0]?.ranges[0]?.to, 2_500);
  });

  it("do not harm others: an honest link is served beside a hostile one", () => {
    const node = new MeshNode(us).allow(alice, mallory);
    const bad = new Hostile(node, mallory);
    const good = new Hostile(node, peer);
    const chain = chainBy(alice, 600);
    bad.serve(chainBy(alice, 600, () => ({ signature: garbage })));
    good.serve(chain);
    bad.claim(alice.issuer, 1, 600);
    good.claim(alice.issuer, 1, 600);
    node.pass(1_000);
    assert.equal(node.top(alice), 600);
    assert.deepEqual(good.blamed, []);
    assert.ok(bad.blamed.length > 0);
  });
});

describe("a link whose transport key an issuer announced", () => {
  it("takes a hello of that issuer and of no other", () => {
    const node = new MeshNode(us);
    const right = new Hostile(node, alice, { link: "right", announcedBy: alice.issuer });
    assert.equal(right.closedWith, undefined);
    assert.equal(node.mesh.links()[0]?.issuer, alice.issuer);
    const wrong = new Hostile(node, mallory, { link: "wrong", announcedBy: bob.issuer });
    assert.equal(wrong.closedWith, "transport_key");
    assert.deepEqual(wrong.blamed, ["transport_key"]);
    assert.equal(node.mesh.links().find(({ id }) => id === "wrong")?.issuer ?? null, null);
  });
});
