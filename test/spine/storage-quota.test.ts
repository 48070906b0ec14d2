/** Quotas, disk room and retention in the core, with honest and lying peers and with answers on their way. */
import assert from "node:assert/strict";
import { type Envelope, type PrunePlan, prunedRecord } from "../../spine/index.ts";
import { chainBy, Hostile, keyOf, MeshNode, recordsOf, Wire } from "../helpers/mesh-harness.ts";

const ADA = keyOf(1);
const BOB = keyOf(2);
const REVOCATION = {
  schema: "aegis.spine.fact.revocation.v1",
  fact_id: "rev_1",
  bundle_hash: `0x${"12".repeat(32)}`,
  reason: "test",
  revoked_at: "2026-01-01T00:00:00Z",
};

/** More than is asked for in one go: what was asked for is still taken when a quota is used up. */
const COUNT = 8_000;

function spans(node: MeshNode, key = ADA): (readonly [number, number])[] {
  return (node.disk.record(key.issuer)?.ranges ?? []).map(({ from, to }) => [from, to] as const);
}
function planOf(chain: readonly Envelope[], below: number, kept: readonly number[] = []): PrunePlan {
  const at = (seq: number): Envelope => chain[seq - 1] as Envelope;
  return {
    below,
    prev: at(below).prev,
    kept: kept.map((seq) => ({ seq, prev: at(seq).prev, hash: at(seq).hash })),
    scanned: [{ from: 1, to: below - 1 }],
  };
}

describe("storage quotas", () => {
  it("stop fetching an issuer that used up its day, and go on the next", () => {
    const chain = chainBy(ADA, COUNT);
    const issuerBytesPerDay = Math.floor(recordsOf(chain).length / 3);
    const node = new MeshNode(BOB, { limits: { issuerBytesPerDay, requestsPerLink: 1 } }).allow(ADA);
    const peer = new Hostile(node, keyOf(9));
    peer.serve(chain);
    peer.claim(ADA.issuer, 1, COUNT);
    node.pass(10_000);
    const first = node.top(ADA);
    assert.ok(first >= COUNT / 3 && first < COUNT, `${first} stored`);
    assert.ok(node.refusals("quota_exceeded") > 0);
    node.pass(3 * 86_400_000);
    peer.claim(ADA.issuer, 1, COUNT);
    node.pass(86_400_000);
    assert.deepEqual(spans(node), [[1, COUNT]]);
    assert.deepEqual(peer.blamed, []);
  });

  it("charge the peer that brings, not others that hold the same", () => {
    const chain = chainBy(ADA, COUNT);
    const limits = { peerBytesPerDay: Math.floor(recordsOf(chain).length / 3), requestsPerLink: 1 };
    const node = new MeshNode(BOB, { limits }).allow(ADA);
    const greedy = new Hostile(node, keyOf(9));
    greedy.serve(chain);
    greedy.claim(ADA.issuer, 1, COUNT);
    node.pass(5_000);
    assert.ok(node.top(ADA) < COUNT);
    for (const number of [10, 11]) {
      const other = new Hostile(node, keyOf(number));
      other.serve(chain);
      other.claim(ADA.issuer, 1, COUNT);
      node.pass(5_000);
    }
    assert.deepEqual(spans(node), [[1, COUNT]]);
  });

  it("keep no more envelopes of one issuer than allowed", () => {
    const chain = chainBy(ADA, 3_000);
    const node = new MeshNode(BOB, { limits: { envelopesPerIssuer: 1_000, requestsPerLink: 1 } }).allow(ADA);
    const peer = new Hostile(node, keyOf(9));
    peer.serve(chain);
    peer.claim(ADA.issuer, 1, 3_000);
    node.pass(10_000);
    const held = node.top(ADA);
    assert.ok(held >= 1_000 && held < 3_000, `${held} stored`);
    peer.send({ type: "push", records: [recordsOf(chain.slice(held, held + 1))] });
    assert.equal(node.top(ADA), held);
  });
});

describe("a disk that is nearly full", () => {
  it("takes nothing of others but what is urgent, and catches up when there is room again", () => {
    const chain = chainBy(ADA, 20, (seq) => (seq === 2 ? { fact: REVOCATION } : {}));
    const node = new MeshNode(BOB).allow(ADA);
    node.feed({ type: "room", foreign: false });
    const peer = new Hostile(node, keyOf(9));
    peer.serve(chain);
    peer.claim(ADA.issuer, 1, 20);
    peer.send({ type: "push", records: [recordsOf(chain.slice(0, 1))] });
    node.feed({ type: "offer", token: 1, envelopes: chain.slice(0, 1) });
    node.pass(60_000);
    assert.deepEqual(spans(node), []);
    assert.equal(peer.heardOf("want").length, 0);
    assert.equal(node.publish(3).length, 3, "own facts still have their place");
    node.feed({ type: "room", foreign: true });
    node.pass(1_000);
    assert.deepEqual(spans(node), [[1, 20]]);
    assert.deepEqual(peer.blamed, []);
  });
});

describe("retention in the core", () => {
  function holder(count: number, kept: readonly number[] = []) {
    const chain = chainBy(ADA, count, (seq) => (kept.includes(seq) ? { fact: REVOCATION } : {}));
    const node = new MeshNode(BOB).allow(ADA);
    const peer = new Hostile(node, keyOf(9));
    peer.serve(chain);
    peer.claim(ADA.issuer, 1, count);
    node.pass(2_000);
    assert.deepEqual(spans(node), [[1, count]]);
    return { chain, node, peer };
  }

  it("announces what is pruned, keeps what must stay, asks for nothing of it again", () => {
    const { chain, node, peer } = holder(100, [1, 30]);
    node.feed({ type: "prune", issuer: ADA.issuer, plan: planOf(chain, 60, [1, 30]) });
    node.pass(1_000);
    assert.deepEqual(spans(node), [
      [1, 1],
      [30, 30],
      [60, 100],
    ]);
    const told = peer
      .heardOf("inventory")
      .at(-1)
      ?.entries.find(({ issuer }) => issuer === ADA.issuer);
    assert.deepEqual([told?.prunedBelow, told?.ranges.length], [60, 3]);
    const asked = peer.heardOf("want").length;
    peer.claim(ADA.issuer, 1, 100);
    node.pass(60_000);
    assert.equal(peer.heardOf("want").length, asked);
    peer.send({ type: "push", records: [recordsOf(chain.slice(4, 5))] });
    assert.equal(spans(node).length, 3);
    const more = chainBy(ADA, 5, () => ({}), chain[99]);
    peer.serve([...chain, ...more]);
    peer.claim(ADA.issuer, 1, 105);
    node.pass(1_000);
    assert.deepEqual(spans(node).at(-1), [60, 105]);
  });

  it("gives who joins later what stays, with its holes, and no blame for the rest", () => {
    const { chain, node } = holder(100, [1, 30]);
    node.feed({ type: "prune", issuer: ADA.issuer, plan: planOf(chain, 60, [1, 30]) });
    const late = new MeshNode(keyOf(7)).allow(ADA);
    const wire = new Wire();
    late.now = node.now;
    wire.connect(node, late);
    wire.run([node, late], 2_000);
    assert.deepEqual(spans(late), spans(node));
    assert.deepEqual([node.penalties, late.penalties], [[], []]);
  });

  it("answers a request for what was pruned with nothing, without fault on either side", () => {
    const { chain, node, peer } = holder(100);
    node.feed({ type: "prune", issuer: ADA.issuer, plan: planOf(chain, 60) });
    peer.answer = () => {};
    peer.send({ type: "want", request: 77, issuer: ADA.issuer, from: 1, to: 100, maxItems: 50, maxBytes: 100_000 });
    const ends = peer.heardOf("end").filter(({ request }) => request === 77);
    assert.equal(ends.length, 1);
    assert.deepEqual(peer.blamed, []);
  });

  it("drops what arrives below the mark when retention was faster than the answer", () => {
    const chain = chainBy(ADA, 300);
    const node = new MeshNode(BOB).allow(ADA);
    const upper = new Hostile(node, keyOf(9));
    upper.serve(chain.slice(99));
    upper.claim(ADA.issuer, 100, 300);
    node.pass(1_000);
    assert.deepEqual(spans(node), [[100, 300]]);
    node.holdVerify = true;
    const lower = new Hostile(node, keyOf(10));
    node.verifyNow();
    lower.serve(chain.slice(0, 99));
    lower.claim(ADA.issuer, 1, 99);
    lower.send({ type: "push", records: [recordsOf(chain.slice(0, 1))] });
    const plan: PrunePlan = { below: 200, prev: chain[199]?.prev ?? null, kept: [], scanned: [{ from: 100, to: 199 }] };
    node.feed({ type: "prune", issuer: ADA.issuer, plan });
    node.holdVerify = false;
    node.verifyNow();
    node.pass(1_000);
    assert.deepEqual(spans(node), [[200, 300]]);
    assert.deepEqual([upper.blamed, lower.blamed], [[], []]);
  });

  it("ignores a plan made before the issuer changed, and any that would lose the newest", () => {
    const { chain, node } = holder(100);
    const record = node.disk.record(ADA.issuer);
    assert.ok(record);
    const plan = planOf(chain, 60);
    assert.ok(prunedRecord(record, plan));
    for (const bad of [
      { ...plan, scanned: [{ from: 2, to: 59 }] },
      { ...plan, scanned: [] },
      { ...plan, below: 0 },
      { ...plan, below: 101, scanned: [{ from: 1, to: 100 }] },
      { ...plan, kept: [{ seq: 70, prev: null, hash: "" }] },
      { ...plan, kept: Array.from({ length: 40 }, (_, i) => ({ seq: i + 1, prev: null, hash: "" })) },
    ]) {
      assert.equal(prunedRecord(record, bad), undefined, JSON.stringify(bad).slice(0, 80));
    }
    assert.equal(prunedRecord({ ...record, prunedBelow: 60 }, plan), undefined);
  });

  it("joins what stays right below the mark with what is above it", () => {
    const { chain, node } = holder(100);
    node.feed({ type: "prune", issuer: ADA.issuer, plan: planOf(chain, 60, [58, 59]) });
    assert.deepEqual(spans(node), [[58, 100]]);
    assert.equal(node.disk.record(ADA.issuer)?.ranges[0]?.prev, chain[57]?.prev);
  });

  it("believes no peer that says something was pruned: it asks others, and loses nothing of its own", () => {
    const { chain, node, peer } = holder(100);
    const liar = new Hostile(node, keyOf(11));
    const before = spans(node);
    for (const prunedBelow of [50, 101, Number.MAX_SAFE_INTEGER]) {
      const entry = { issuer: ADA.issuer, prunedBelow, ranges: [{ from: 1, to: 100 }], frozenAt: null, head: null };
      liar.send({ type: "inventory", entries: [entry] });
      liar.send({ type: "inventory", entries: [{ ...entry, ranges: [] }] });
      liar.send({ type: "inventory", entries: [{ ...entry, issuer: BOB.issuer }] });
    }
    node.publish(2);
    node.pass(1_000);
    assert.deepEqual(spans(node), before);
    assert.deepEqual(spans(node, BOB), [[1, 2]]);
    const more = chainBy(ADA, 5, () => ({}), chain[99]);
    peer.serve([...chain, ...more]);
    peer.claim(ADA.issuer, 1, 105);
    node.pass(1_000);
    assert.deepEqual(spans(node), [[1, 105]]);
  });
});
