/** Restored backups and cloned images in the core: who may go on with the own chain, and from where (rules 7). */
import assert from "node:assert/strict";
import { SimDisk } from "../../sim/index.ts";
import { draftHead, type Head, OWN_CHAIN_ASK_MS, type OwnChainStart, sealHead } from "../../spine/index.ts";
import { chainBy, Hostile, keyOf, MeshNode, recordsOf, START_MS, Wire } from "../helpers/mesh-harness.ts";

const OWN = keyOf(1);
const ASK: OwnChainStart = { highWater: null, begin: "ask", acceptForkRisk: false };

/** A disk that holds the first `count` of the node's envelopes. */
function backupOf(count: number): SimDisk {
  const disk = new SimDisk();
  const node = new MeshNode(OWN, { disk });
  if (count > 0) node.publish(count);
  return disk;
}

function headBy(key: typeof OWN, seq: number, hash: string, sentAt = START_MS / 1000): Head {
  const draft = draftHead({ issuer: key.issuer, seq, hash, sentAt });
  return sealHead(draft, key.sign(draft.signingBytes));
}

/** The node before it was lost, with peers that hold everything it signed. */
function lifeBefore(count: number, peers: number): MeshNode[] {
  const node = new MeshNode(OWN);
  const others = Array.from({ length: peers }, (_, i) => new MeshNode(keyOf(10 + i)).allow(OWN));
  const wire = new Wire();
  for (const [i, other] of others.entries()) wire.connect(node, other, `old-${i}`);
  node.publish(count);
  wire.run([node, ...others], 2_000);
  for (const other of others) {
    assert.equal(other.top(OWN), count);
    other.linkDown(`old-${others.indexOf(other)}`);
  }
  return others;
}

function restored(count: number, start: OwnChainStart = ASK): MeshNode {
  const node = new MeshNode(OWN, { disk: backupOf(count), ownChain: start });
  node.now = START_MS + 60_000;
  return node;
}

function join(node: MeshNode, peers: readonly MeshNode[]): Wire {
  const wire = new Wire();
  for (const [i, peer] of peers.entries()) {
    peer.now = node.now;
    wire.connect(node, peer, `new-${i}`);
  }
  return wire;
}

describe("own chain after a restored backup", () => {
  it("goes on above the highest head that two peers show and fetches the hole back", () => {
    const peers = lifeBefore(60, 2);
    const node = restored(50);
    const wire = join(node, peers);
    node.feed({ type: "ask-own-chain" });
    wire.run([node, ...peers], 1_000);
    assert.equal(node.mesh.ownPhase, "signing");
    assert.equal(node.mesh.ownHead?.seq, 60);
    const [next] = node.publish(1);
    assert.equal(next?.seq, 61);
    wire.run([node, ...peers], 3_000);
    assert.deepEqual(
      node.disk.record(OWN.issuer)?.ranges.map(({ from, to }) => [from, to]),
      [[1, 61]],
    );
    for (const one of [node, ...peers]) {
      assert.equal(one.top(OWN), 61);
      assert.equal(one.frozenAt(OWN), null);
    }
  });

  it("states no head while it is uncertain, nor a second one for a seq stated before", () => {
    const peers = lifeBefore(60, 2);
    const disk = new SimDisk();
    const { heads: _, ...bare } = backupOf(60).load();
    const records = recordsOf(chainBy(OWN, 60));
    const hashes = chainBy(OWN, 60).map(({ hash }) => hash);
    const states = new Uint8Array(60).fill(1);
    const run = { issuer: OWN.issuer, from: 1, hashes, records, states };
    disk.apply({ runs: [run], issuers: bare.issuers, heads: [], forks: [], states: [], rows: [] });
    const node = new MeshNode(OWN, { disk, ownChain: ASK });
    const wire = join(node, peers.slice(0, 1));
    node.feed({ type: "ask-own-chain" });
    wire.run([node, ...peers], OWN_CHAIN_ASK_MS + 1_000);
    assert.deepEqual([node.mesh.ownPhase, node.broadcasts, disk.load().heads], ["refused", [], []]);
    wire.connect(node, peers[1] as MeshNode, "later");
    wire.run([node, ...peers], 3_000);
    assert.equal(node.mesh.ownPhase, "signing");
    const [stated] = disk.load().heads;
    assert.deepEqual(
      stated,
      peers[0]?.disk.load().heads.find(({ issuer }) => issuer === OWN.issuer),
    );
  });

  it("refuses with one peer, and goes on when a second one shows the chain later", () => {
    const peers = lifeBefore(60, 3);
    const node = restored(50);
    const wire = join(node, peers.slice(0, 1));
    node.feed({ type: "ask-own-chain" });
    wire.run([node, ...peers], OWN_CHAIN_ASK_MS + 1_000);
    assert.equal(node.mesh.ownPhase, "refused");
    assert.throws(() => node.publish(1), { code: "internal" });
    for (const peer of peers) peer.now = node.now;
    wire.connect(node, peers[1] as MeshNode, "later");
    wire.run([node, ...peers], 1_000);
    assert.equal(node.mesh.ownPhase, "signing");
    assert.equal(node.publish(1)[0]?.seq, 61);
  });

  it("counts one key once, however many links it has", () => {
    const peers = lifeBefore(60, 1);
    const node = restored(50);
    const wire = join(node, peers);
    wire.connect(node, peers[0] as MeshNode, "twice");
    node.feed({ type: "ask-own-chain" });
    wire.run([node, ...peers], OWN_CHAIN_ASK_MS + 1_000);
    assert.equal(node.mesh.ownPhase, "refused");
  });

  it("goes on after the time is over when the operator accepts the risk", () => {
    const node = restored(50, { ...ASK, acceptForkRisk: true });
    node.feed({ type: "ask-own-chain" });
    node.pass(OWN_CHAIN_ASK_MS - 1);
    assert.equal(node.mesh.ownPhase, "asking");
    node.pass(2);
    assert.equal(node.mesh.ownPhase, "signing");
    assert.equal(node.publish(1)[0]?.seq, 51);
  });

  it("never goes on below its high-water mark", () => {
    const peers = lifeBefore(60, 2);
    const lost = chainBy(OWN, 75)[74];
    const mark = { seq: 75, hash: lost?.hash as string };
    const node = restored(50, { highWater: mark, begin: "ask", acceptForkRisk: false });
    const wire = join(node, peers);
    node.feed({ type: "ask-own-chain" });
    wire.run([node, ...peers], 1_000);
    const [next] = node.publish(1);
    assert.deepEqual([next?.seq, next?.prev], [76, lost?.hash]);
    wire.run([node, ...peers], 3_000);
    assert.deepEqual(
      node.disk.record(OWN.issuer)?.ranges.map(({ from, to }) => [from, to]),
      [
        [1, 60],
        [76, 76],
      ],
    );
    assert.equal(peers[0]?.frozenAt(OWN), null);
  });

  it("takes the signed end of what a peer holds above the head it shows", () => {
    const chain = chainBy(OWN, 60);
    const node = restored(50);
    const helpers = [20, 21].map((number) => {
      const peer = new Hostile(node, keyOf(number));
      peer.answer = (frame) => {
        if (frame.type !== "want") return;
        const part = chain.slice(frame.from - 1, frame.to);
        const records = recordsOf(part);
        peer.send({ type: "offer", request: frame.request, count: part.length, bytes: records.length });
        peer.send({ type: "segment", request: frame.request, from: frame.from, count: part.length, records });
        peer.send({ type: "end", request: frame.request, reason: "done" });
      };
      return peer;
    });
    node.feed({ type: "ask-own-chain" });
    for (const peer of helpers) {
      const head = headBy(OWN, 58, chain[57]?.hash as string);
      const ranges = [{ from: 1, to: 60 }];
      peer.send({
        type: "inventory",
        entries: [{ issuer: OWN.issuer, prunedBelow: 0, ranges, frozenAt: null, head }],
      });
    }
    assert.equal(node.mesh.ownPhase, "signing");
    assert.equal(node.publish(1)[0]?.seq, 61);
  });

  it("believes no claim, no forged head and no other issuer's word", () => {
    const thief = keyOf(99);
    const node = restored(50);
    const liars = [20, 21, 22].map((number) => new Hostile(node, keyOf(number)));
    node.feed({ type: "ask-own-chain" });
    const hash = `0x${"ab".repeat(32)}`;
    for (const [i, liar] of liars.entries()) {
      const forged = { ...headBy(thief, 900, hash), issuer: OWN.issuer };
      const entry = { issuer: OWN.issuer, prunedBelow: 0, frozenAt: null };
      const ranges = [{ from: 1, to: 900 }];
      liar.send({ type: "inventory", entries: [{ ...entry, ranges, head: i === 0 ? null : forged }] });
    }
    node.pass(OWN_CHAIN_ASK_MS + 1);
    assert.equal(node.mesh.ownPhase, "refused");
    assert.equal(node.mesh.ownHead?.seq, 50);
  });

  it("stops when the backup turns out to be another history", () => {
    const peers = lifeBefore(60, 2);
    const disk = new SimDisk();
    new MeshNode(OWN, { disk }).publish(50, (seq) => ({ fact: { schema: "aegis.spine.fact.heartbeat.v1", n: -seq } }));
    const node = new MeshNode(OWN, { disk, ownChain: ASK });
    const wire = join(node, peers);
    node.feed({ type: "ask-own-chain" });
    wire.run([node, ...peers], 8_000);
    assert.equal(node.mesh.ownPhase, "stopped");
    assert.ok(node.events.some(({ type }) => type === "own-key-conflict"));
  });
});

describe("own chain beside a clone", () => {
  it("stops at a head that was not signed here, at any time", () => {
    const node = new MeshNode(OWN);
    node.publish(5);
    const peer = new Hostile(node, keyOf(20));
    const chain = chainBy(OWN, 9);
    const head = headBy(OWN, 9, chain[8]?.hash as string);
    const entry = { issuer: OWN.issuer, prunedBelow: 0, frozenAt: null, ranges: [{ from: 1, to: 9 }] };
    peer.send({ type: "inventory", entries: [{ ...entry, head }] });
    assert.equal(node.mesh.ownPhase, "stopped");
    assert.throws(() => node.publish(1), { code: "internal" });
  });

  it("stops at an envelope of its own key that it never signed", () => {
    const node = new MeshNode(OWN);
    const chain = chainBy(OWN, 6);
    node.publish(5);
    const peer = new Hostile(node, keyOf(20));
    peer.send({ type: "push", records: [recordsOf(chain.slice(5))] });
    assert.equal(node.mesh.ownPhase, "stopped");
  });
});
