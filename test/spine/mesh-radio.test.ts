/** What the core does for planes of narrow links: says what is urgent, takes what no link brought, compares revocations first. */
import assert from "node:assert/strict";
import {
  type AuthorityTrust,
  decodeFrame,
  draftHead,
  type Envelope,
  encodeFrame,
  type Frame,
  fromHex,
  headText,
  helloMessage,
  type JsonObject,
  NO_TRUST,
  revocationFact,
  sealHead,
  utf8,
} from "../../spine/index.ts";
import { chainBy, Hostile, keyOf, MeshNode, recordsOf, START_MS } from "../helpers/mesh-harness.ts";

const [us, boss, alice, peer] = [1, 2, 3, 4].map(keyOf) as [
  ReturnType<typeof keyOf>,
  ReturnType<typeof keyOf>,
  ReturnType<typeof keyOf>,
  ReturnType<typeof keyOf>,
];
/** Of two keys that both begin, the smaller goes on: `us` stands between these two. */
const smaller = keyOf(5);
assert.ok(smaller.issuer < us.issuer && us.issuer < peer.issuer);
const trust: AuthorityTrust = {
  ...NO_TRUST,
  revokers: new Map([[boss.issuer, { scopes: new Set(["node"] as const), quorum: 1 }]]),
  named: new Set([boss.issuer]),
};
const revocation: JsonObject = revocationFact({
  factId: "rev_1",
  targets: [{ scope: "node", value: alice.issuer, fromSeq: 1 }],
  reason: "test",
  issuedAt: START_MS / 1000,
});
const incident: JsonObject = { schema: "clawdstrike.spine.fact.incident.v1", fact_id: "inc_1" };

function node(limits: Record<string, number> = {}): MeshNode {
  const made = new MeshNode(us, { trust, limits });
  made.feed({ type: "trust", trust });
  return made;
}
/** A narrow link whose other end says what the test wants. */
function narrow(made: MeshNode, other = peer): { readonly heard: Frame[]; readonly send: (bytes: Uint8Array) => void } {
  const heard: Frame[] = [];
  const info = { mtu: 16_384, bitrate: 1_200, cost: "radio", configured: true, address: "" } as const;
  const bindings = { localBinding: us.publicKey, remoteBinding: other.publicKey };
  made.linkUp("air", { ...info, ...bindings }, (bytes) => void heard.push(decodeFrame(bytes.slice())));
  const send = (bytes: Uint8Array): void => made.feed({ type: "frame", link: "air", frame: bytes });
  const proof = other.sign(helloMessage(other.publicKey, us.publicKey));
  send(
    encodeFrame({ type: "hello", minVersion: 1, maxVersion: 1, maxFrameBytes: 16_384, issuer: other.issuer, proof }),
  );
  return { heard, send };
}

const offer = (made: MeshNode, envelopes: readonly Envelope[], via?: string): void =>
  made.feed({ type: "offer", token: 1, envelopes, ...(via === undefined ? {} : { via }) });
const withFact = (fact: JsonObject, count = 1): Envelope[] =>
  chainBy(boss, count, (seq) => (seq === count ? { fact } : {}));

describe("the core for narrow links", () => {
  it("says what is urgent, once stored: what came on no link, and revocations of ranges; history is left alone", () => {
    const made = node();
    const [urgent] = withFact(incident);
    offer(made, [urgent as Envelope], "reticulum:mail");
    assert.deepEqual(made.urgent, [urgent?.hash]);
    const fresh = node();
    offer(fresh, withFact(revocation), "reticulum:mail");
    assert.ok(fresh.urgent.length > 0);
    // Handed in from a file, an incident is told to peers as usual; a revocation of last year is history.
    const filed = node();
    offer(filed, [urgent as Envelope]);
    const old = chainBy(boss, 1, () => ({ fact: revocation, issuedAtMs: START_MS - 365 * 86_400_000 }));
    const late = node();
    offer(late, old);
    assert.deepEqual([filed.urgent, late.urgent], [[], []]);
  });

  it("bounds what comes on no link by the issuer's quota, but not what the operator hands in", () => {
    const chain = chainBy(boss, 200);
    const issuerBytesPerDay = Math.floor(recordsOf(chain).length / 4);
    const [heard, handed] = [node({ issuerBytesPerDay }), node({ issuerBytesPerDay })];
    for (const one of chain) offer(heard, [one], "reticulum:air:lora");
    for (const one of chain) offer(handed, [one]);
    const held = (made: MeshNode): number =>
      (made.disk.record(boss.issuer)?.ranges ?? []).reduce((sum, { from, to }) => sum + to - from + 1, 0);
    assert.equal(held(handed), 200);
    assert.ok(held(heard) >= 45 && held(heard) <= 60, `${held(heard)}`);
  });

  it("hands over the revocations that a peer on a narrow link lacks before it asks for ranges", () => {
    const made = node();
    const chain = withFact(revocation, 5);
    offer(made, chain);
    const { heard, send } = narrow(made);
    assert.equal(heard.find(({ type }) => type === "revoked")?.type, "revoked");
    assert.ok(!heard.some(({ type }) => type === "inventory"), "everything was told at once");
    // The peer holds none, and says so.
    send(encodeFrame({ type: "revoked", round: 1, payload: listNone() }));
    const pushed = heard.filter((frame) => frame.type === "push");
    assert.equal(pushed.length, 1);
    const [frame] = pushed;
    assert.deepEqual(frame?.type === "push" && [...(frame.records[0] as Uint8Array)], [
      ...recordsOf([chain[4] as Envelope]),
    ]);
  });

  it("asks for no ranges while revocations are compared, and does afterwards", () => {
    const made = node().allow(alice);
    const { heard, send } = narrow(made);
    const entry = { issuer: alice.issuer, prunedBelow: 0, ranges: [{ from: 1, to: 9 }], frozenAt: null, head: null };
    send(encodeFrame({ type: "inventory", entries: [entry] }));
    assert.ok(!heard.some(({ type }) => type === "want"));
    made.pass(121_000);
    assert.ok(heard.some(({ type }) => type === "want"));
  });

  it("names in a comparison what may be told of an issuer, also when its newest may not", () => {
    const spans = [{ from: 1, to: 2 }];
    const disclosure = {
      ...{ heard: () => [], stored: () => undefined, frozen: () => undefined },
      ...{ mayTell: () => true, mayTellKind: () => true },
      spans: () => spans,
    };
    const made = new MeshNode(us, { trust, disclosure }).allow(alice);
    offer(made, chainBy(alice, 3));
    const { heard, send } = narrow(made);
    // The peer holds none, and says so.
    send(encodeFrame({ type: "reconcile", round: 1, payload: listNone() }));
    const told = heard.flatMap((frame) => (frame.type === "inventory" ? frame.entries : []));
    assert.deepEqual(
      told.map(({ issuer, ranges }) => [issuer, ranges.map(({ from, to }) => [from, to])]),
      [[alice.issuer, [[1, 2]]]],
    );
  });

  it("compares every half hour by one fingerprint, which the smaller key begins, or whoever hears nothing of it", () => {
    for (const other of [peer, smaller]) {
      const made = node();
      const { heard } = narrow(made, other);
      const compared = (): number => heard.filter(({ type }) => type === "reconcile").length;
      assert.equal(compared(), 1);
      offer(made, withFact(incident));
      made.pass(40 * 60_000);
      assert.equal(compared(), us.issuer < other.issuer ? 2 : 1, other.issuer);
      made.pass(60 * 60_000);
      assert.ok(compared() >= 2);
      assert.ok(!heard.some(({ type }) => type === "inventory"), "said unasked");
    }
  });

  it("asks for ranges at once when the peer begins with the same revocations, whoever of them has the smaller key", () => {
    for (const other of [peer, smaller]) {
      const made = node().allow(alice);
      const { heard, send } = narrow(made, other);
      const entry = { issuer: alice.issuer, prunedBelow: 0, ranges: [{ from: 1, to: 9 }], frozenAt: null, head: null };
      send(encodeFrame({ type: "inventory", entries: [entry] }));
      const own = heard.find((frame) => frame.type === "revoked");
      assert.ok(own?.type === "revoked" && !heard.some(({ type }) => type === "want"));
      send(encodeFrame(own));
      made.pass(10);
      assert.ok(
        heard.some(({ type }) => type === "want"),
        `of ${other.issuer}`,
      );
    }
  });

  it("asks for what a head states only when it has not come: not on the air, where all hear the same head, and late elsewhere", () => {
    const [first] = chainBy(boss, 1);
    const { issuer, seq, hash } = first as Envelope;
    const draft = draftHead({ issuer, seq, hash, sentAt: START_MS / 1000 });
    const data = utf8(headText(sealHead(draft, boss.sign(draft.signingBytes))));
    const asks = (heard: readonly Frame[]): number => heard.filter(({ type }) => type === "ask-inventory").length;

    const onAir = node();
    const air = narrow(onAir);
    onAir.feed({ type: "head", data });
    onAir.pass(60_000);
    assert.equal(asks(air.heard), 0);
    // What should have come long ago is asked for, in a neighbour's turn.
    onAir.pass(3 * 1_800_000);
    assert.ok(asks(air.heard) > 0);

    for (const comes of [true, false]) {
      const made = node();
      const link = new Hostile(made, peer);
      made.feed({ type: "gossip", link: link.link, id: "head", data });
      made.pass(500);
      if (comes) link.send({ type: "push", records: [recordsOf([first as Envelope])] });
      assert.equal(asks(link.heard), 0);
      made.pass(2_000);
      assert.equal(asks(link.heard), comes ? 0 : 1);
    }
  });
});

/** A reconciliation message: an empty list of everything. */
function listNone(): Uint8Array {
  return fromHex("00000200");
}
