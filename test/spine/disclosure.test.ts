/** What may not be told is not told: by no frame, to no question, whatever the kinds in a chain. */
import assert from "node:assert/strict";
import fc from "fast-check";
import {
  type About,
  beginReconcile,
  type DisclosureDecision,
  DisclosureIndex,
  type DisclosurePolicy,
  defaultDisclosure,
  encodeFrame,
  expandFact,
  fromHex,
  ItemSet,
  type Json,
  judgeDisclosure,
  looseningOf,
  type Rate,
  utf8Text,
} from "../../spine/index.ts";
import { chainBy, envelopeBy, Hostile, keyOf, MeshNode, recordsOf, START_MS, Wire } from "../helpers/mesh-harness.ts";
import { nativeSha256Hex } from "../helpers/sim-ports.ts";

const FAST: Rate = { perSecond: 1e6, burst: 1e6 };
const gatewayKey = keyOf(1);
const nearKey = keyOf(2);
const farKey = keyOf(3);

const POLICY: DisclosurePolicy = {
  allow: [{ from: "near", to: "far", kinds: ["incident", "revocation"] }],
  deny: [],
};

interface Rig {
  readonly gateway: MeshNode;
  readonly index: DisclosureIndex;
  readonly decisions: DisclosureDecision[];
}

function rig(policy = POLICY, rates = { issuer: FAST, kind: FAST }): Rig {
  const decisions: DisclosureDecision[] = [];
  let gateway: MeshNode | undefined;
  const index = new DisclosureIndex({
    own: gatewayKey.issuer,
    policy,
    rates,
    now: () => gateway?.now ?? START_MS,
    sha256Hex: nativeSha256Hex,
    onDecision: (decision) => decisions.push(decision),
    onHome: () => {},
  });
  gateway = new MeshNode(gatewayKey, { open: true, disclosure: index });
  return { gateway, index, decisions };
}

const SECRET = "KEEP-THIS-HERE";
const KINDS = ["incident", "heartbeat", "run", "revocation", "node_attestation"] as const;

function factOf(kind: string, seq: number): { schema: string } & Record<string, Json> {
  return {
    schema: `aegis.spine.fact.${kind}.v1`,
    fact_id: `${kind}_${seq}`,
    text: kind === "incident" || kind === "revocation" ? "" : SECRET,
  };
}

describe("disclosure in the core", () => {
  it("lets exactly the allowed envelopes of any mix across, and asks for nothing again and again", () => {
    fc.assert(
      fc.property(fc.array(fc.constantFrom(...KINDS), { minLength: 1, maxLength: 60 }), fc.boolean(), (kinds, live) => {
        const { gateway, index } = rig();
        const near = new MeshNode(nearKey, { open: true });
        const far = new MeshNode(farKey, { open: true });
        index.linkUp("near-wire", "near");
        index.linkUp("far-wire", "far");
        const make = (seq: number) => ({ fact: factOf(kinds[seq - 1] as string, seq) });
        const [left, right] = [new Wire(), new Wire()];
        const nodes = [near, gateway, far];
        if (!live) near.publish(kinds.length, make);
        left.connect(near, gateway, "near-wire");
        right.connect(gateway, far, "far-wire");
        const settle = (): void => {
          for (let i = 0; i < 40; i++) {
            left.run(nodes, 50);
            right.run(nodes, 50);
          }
        };
        settle();
        if (live) near.publish(kinds.length, make);
        settle();
        const held = far.disk
          .record(near.key.issuer)
          ?.ranges.flatMap(({ from, to }) => Array.from({ length: to - from + 1 }, (_, i) => from + i));
        const allowed = kinds.flatMap((kind, i) => (kind === "incident" || kind === "revocation" ? [i + 1] : []));
        assert.deepEqual(held ?? [], allowed);
        const wants = gateway.serves.length;
        far.pass(120_000);
        settle();
        assert.equal(gateway.serves.length, wants, "nothing is asked for in vain");
      }),
      { numRuns: 30 },
    );
  });

  it("lets a selection of a long chain across, and only what is new when more comes", () => {
    const { gateway, index } = rig();
    const near = new MeshNode(nearKey, { open: true });
    const far = new MeshNode(farKey, { open: true });
    index.linkUp("near-wire", "near");
    index.linkUp("far-wire", "far");
    const make = (seq: number) => ({ fact: factOf(seq % 2 === 0 ? "incident" : "run", seq) });
    near.publish(3_000, make);
    const [left, right] = [new Wire(), new Wire()];
    const nodes = [near, gateway, far];
    const settle = (): void => {
      for (let i = 0; i < 40; i++) {
        left.run(nodes, 50);
        right.run(nodes, 50);
      }
    };
    const held = () => far.disk.record(nearKey.issuer)?.ranges.map(({ from }) => from) ?? [];
    const every = (count: number) => Array.from({ length: count / 2 }, (_, i) => 2 * (i + 1));
    left.connect(near, gateway, "near-wire");
    right.connect(gateway, far, "far-wire");
    settle();
    assert.deepEqual(held(), every(3_000));
    assert.equal(far.refusals("quota_exceeded"), 0);
    assert.ok(gateway.serves.length < 20, `${gateway.serves.length} questions for 1,500 ranges`);
    const sent = right.bytes;
    near.publish(10, make);
    settle();
    assert.deepEqual(held(), every(3_010));
    assert.ok(right.bytes - sent < 12_000, `${right.bytes - sent} bytes for five more`);
    // Another connection is told everything again, and asks for what came meanwhile.
    gateway.linkDown("far-wire");
    far.linkDown("far-wire");
    near.publish(100, make);
    settle();
    right.connect(gateway, far, "far-wire");
    settle();
    assert.deepEqual(held(), every(3_110));
    assert.equal(far.penalties.length + gateway.penalties.length, 0);
  });

  it("takes no more holes than its budget, says so, and fills those it has", () => {
    const far = new MeshNode(farKey, { open: true, limits: { ranges: 100, rangesPerIssuer: 80 } });
    const source = new Hostile(far, nearKey);
    const chain = chainBy(nearKey, 400);
    source.serve(
      chain.filter(({ seq }) => seq % 2 === 0),
      1,
    );
    source.claim(nearKey.issuer, 2, 400);
    far.pass(5_000);
    const ranges = far.disk.record(nearKey.issuer)?.ranges ?? [];
    assert.ok(ranges.length <= 80 && ranges.length >= 64, `${ranges.length} ranges`);
    assert.equal(far.mesh.load.holes, ranges.length - 1);
    for (const envelope of chain.slice(0, 300)) source.send({ type: "push", records: [recordsOf([envelope])] });
    far.pass(5_000);
    assert.equal(far.disk.record(nearKey.issuer)?.ranges[0]?.to, 300);
    assert.ok(far.refusals("quota_exceeded") > 0);
  });

  it("tells a hostile peer nothing else, whatever it asks", () => {
    const { gateway, index } = rig();
    index.linkUp("near", "near");
    const source = new Hostile(gateway, nearKey, { link: "near" });
    const kinds = ["heartbeat", "incident", "run", "incident", "run"];
    const chain = chainBy(nearKey, 5, (seq) => ({ fact: factOf(kinds[seq - 1] as string, seq) }));
    const raw: Uint8Array[] = [];
    index.linkUp("far", "far");
    const spy = new Hostile(gateway, farKey, { link: "far" });
    spy.answer = (frame) => void raw.push(encodeFrame(frame));
    source.serve(chain);
    source.claim(nearKey.issuer, 1, 5);
    gateway.pass(2_000);
    // Pushed alone, as urgent ones are.
    const sixth = envelopeBy(nearKey, { seq: 6, prev: chain[4]?.hash ?? null, fact: factOf("policy_delta", 6) });
    source.send({ type: "push", records: [recordsOf([sixth])] });
    gateway.pass(2_000);
    assert.equal(gateway.top(nearKey), 6);
    const { issuer } = nearKey;
    spy.send({ type: "ask-inventory", issuers: [issuer] });
    for (let seq = 1; seq <= 6; seq++) {
      spy.send({ type: "want", request: seq, issuer, from: seq, to: seq, maxItems: 9, maxBytes: 99_999 });
    }
    spy.send({ type: "want", request: 99, issuer, from: 0, to: 1_000, maxItems: 999, maxBytes: 99_999 });
    spy.send({ type: "ask-hashes", request: 100, issuer, seqs: [1, 3, 5, 6] });
    spy.send({ type: "ask-hashes", request: 101, issuer, seqs: [2, 4] });
    spy.send({ type: "reconcile", round: 0, payload: beginReconcile(new ItemSet([], nativeSha256Hex)) });
    gateway.pass(5_000);
    // It hands over a head of its own making of that issuer, and is told no better one.
    spy.claim(issuer, 1, 1);
    gateway.pass(35_000);
    const all = Buffer.concat(raw);
    assert.ok(!all.includes(SECRET), "no content");
    for (const envelope of [chain[0], chain[2], chain[4], sixth]) {
      assert.ok(!all.includes(Buffer.from(fromHex(envelope?.hash.slice(2) ?? ""))), `no hash of seq ${envelope?.seq}`);
      assert.ok(!all.includes(Buffer.from(envelope?.signature ?? [])), `no signature of seq ${envelope?.seq}`);
    }
    // Each question for nothing but what may not be told: seqs 1, 3, 5 and 6, and two for hashes.
    assert.equal(gateway.refusals("not_disclosed"), 5);
    const segments = spy.heardOf("segment");
    assert.deepEqual([...new Set(segments.map(({ from }) => from))].sort(), [2, 4]);
    assert.deepEqual(
      spy.heardOf("hashes").map(({ hashes }) => hashes),
      [
        [null, null, null, null],
        [chain[1]?.hash, chain[3]?.hash],
      ],
    );
  });

  it("sends no log message about what may not be told, and any about what may", () => {
    const { gateway, index } = rig();
    index.linkUp("near", "near");
    index.linkUp("far", "far");
    const source = new Hostile(gateway, nearKey, { link: "near" });
    const spy = new Hostile(gateway, farKey, { link: "far" });
    const kinds = ["heartbeat", "incident", "run"];
    source.serve(chainBy(nearKey, 3, (seq) => ({ fact: factOf(kinds[seq - 1] as string, seq) })));
    source.claim(nearKey.issuer, 1, 3);
    gateway.pass(2_000);
    const heard = (about: readonly About[]): number => {
      const before = spy.heardOf("attest").length;
      gateway.feed({ type: "attest", link: "far", body: Uint8Array.of(1), about });
      return spy.heardOf("attest").length - before;
    };
    const { issuer } = nearKey;
    assert.equal(heard([]), 1);
    assert.equal(heard([{ issuer, seq: 2 }]), 1, "an incident");
    assert.equal(heard([{ issuer, seq: 1 }]), 0, "a heartbeat");
    assert.equal(
      heard([
        { issuer, seq: 2 },
        { issuer, seq: 3 },
      ]),
      0,
      "all of it must be allowed",
    );
    assert.equal(heard([{ issuer, kind: "incident" }]), 1);
    assert.equal(heard([{ issuer, kind: "log_checkpoint" }]), 0);
    assert.equal(heard([{ issuer: keyOf(77).issuer, kind: "incident" }]), 0, "of nobody knows where");
  });

  it("says nothing of an issuer of which nothing may be told, and asks nobody there about it", () => {
    const { gateway, index } = rig();
    index.linkUp("near", "near");
    const source = new Hostile(gateway, nearKey, { link: "near" });
    const chain = chainBy(nearKey, 4);
    source.serve(chain);
    source.claim(nearKey.issuer, 1, 4);
    gateway.pass(1_000);
    index.linkUp("far", "far");
    const spy = new Hostile(gateway, farKey, { link: "far" });
    gateway.feed({ type: "refresh" });
    gateway.pass(5_000);
    const named = Buffer.from(fromHex(nearKey.issuer.slice(-64)));
    assert.ok(!spy.heard.some((frame) => Buffer.from(encodeFrame(frame)).includes(named)));
  });

  it("holds an issuer's whole history back until it was judged, and judges what comes meanwhile", () => {
    const { gateway, index } = rig();
    index.linkUp("near", "near");
    const source = new Hostile(gateway, nearKey, { link: "near" });
    const chain = chainBy(nearKey, 4, (seq) => ({ fact: factOf("incident", seq) }));
    source.serve(chain);
    source.claim(nearKey.issuer, 1, 3);
    gateway.pass(1_000);
    index.addPlane("far");
    index.setPolicy(POLICY);
    assert.deepEqual(index.spansOn("far", nearKey.issuer), []);
    index.beginIssuer(nearKey.issuer);
    index.judgeRun({ issuer: nearKey.issuer, from: 1, records: recordsOf(chain.slice(0, 3)) }, false);
    source.claim(nearKey.issuer, 1, 4);
    gateway.pass(1_000);
    assert.equal(index.finishIssuer(nearKey.issuer), false, "one came meanwhile");
    assert.deepEqual(index.takeLate(nearKey.issuer), [{ from: 4, to: 4 }]);
    index.judgeRun({ issuer: nearKey.issuer, from: 4, records: recordsOf(chain.slice(3)) }, true);
    assert.equal(index.finishIssuer(nearKey.issuer), true);
    assert.deepEqual(index.spansOn("far", nearKey.issuer), [{ from: 1, to: 4 }]);
  });

  it("lets every plane an issuer was heard on have a say, so that echoes loosen nothing", () => {
    const policy: DisclosurePolicy = {
      allow: [
        { from: "near", to: "far", kinds: ["incident"] },
        { from: "third", to: "far", kinds: ["*"] },
      ],
      deny: [],
    };
    const { index } = rig(policy);
    index.linkUp("n", "near");
    index.linkUp("t", "third");
    index.linkUp("f", "far");
    const chain = chainBy(nearKey, 2, (seq) => ({ fact: factOf(seq === 1 ? "incident" : "run", seq) }));
    const run = (at: number) => ({
      issuer: nearKey.issuer,
      from: at + 1,
      hashes: [chain[at]?.hash ?? ""],
      records: recordsOf(chain.slice(at, at + 1)),
      states: Uint8Array.of(1),
    });
    const rows = [0, 1].flatMap((at) => {
      const heard = index.heard(nearKey.issuer, at === 0 ? "n" : "t");
      index.stored(run(at));
      return heard.map(({ key, value }) => `${key} ${utf8Text(value ?? new Uint8Array())}`);
    });
    assert.deepEqual(rows, [`home/${nearKey.issuer} near`, `home/${nearKey.issuer} near third`]);
    assert.deepEqual(index.heard(nearKey.issuer, "n"), []);
    index.beginIssuer(nearKey.issuer);
    index.judgeRun({ issuer: nearKey.issuer, from: 1, records: recordsOf(chain) }, false);
    index.takeLate(nearKey.issuer);
    index.finishIssuer(nearKey.issuer);
    assert.deepEqual(index.homesOf(nearKey.issuer), ["near", "third"]);
    assert.deepEqual(index.spansOn("far", nearKey.issuer), [{ from: 1, to: 1 }]);
    assert.deepEqual(index.spansOn("near", nearKey.issuer), []);
  });

  it("holds back what exceeds the rates, never revocations, and releases it in time", () => {
    const slow = { perSecond: 2, burst: 2 };
    const { gateway, index, decisions } = rig(POLICY, { issuer: slow, kind: FAST });
    index.linkUp("near", "near");
    index.addPlane("far");
    const source = new Hostile(gateway, nearKey, { link: "near" });
    const chain = chainBy(nearKey, 8, (seq) => ({ fact: factOf(seq > 6 ? "revocation" : "incident", seq) }));
    source.serve(chain);
    source.claim(nearKey.issuer, 1, 8);
    gateway.pass(100);
    assert.equal(decisions.filter(({ verdict }) => verdict === "defer").length, 4);
    assert.deepEqual(index.spansOn("far", nearKey.issuer), [
      { from: 1, to: 2 },
      { from: 7, to: 8 },
    ]);
    for (let i = 0; i < 4; i++) {
      gateway.pass(1_000);
      index.release();
    }
    assert.deepEqual(index.spansOn("far", nearKey.issuer), [{ from: 1, to: 8 }]);
    assert.equal(index.deferred, 0);
  });

  it("forwards no more of a forked issuer, but its proof where that may go", () => {
    const { gateway, index, decisions } = rig();
    index.linkUp("near", "near");
    index.linkUp("far", "far");
    const spy = new Hostile(gateway, farKey, { link: "far" });
    const source = new Hostile(gateway, nearKey, { link: "near" });
    const incidents = (seq: number) => ({ fact: factOf("incident", seq) });
    const chain = chainBy(nearKey, 3, incidents);
    source.serve(chain);
    source.claim(nearKey.issuer, 1, 3);
    gateway.pass(1_000);
    const other = envelopeBy(nearKey, {
      seq: 3,
      prev: chain[1]?.hash ?? null,
      fact: { ...factOf("incident", 3), x: 1 },
    });
    source.send({ type: "push", records: [recordsOf([other])] });
    gateway.pass(5_000);
    assert.equal(gateway.frozenAt(nearKey), 3);
    assert.equal(spy.heardOf("fork").length, 1);
    // Also after a restart, when all is judged again.
    index.beginIssuer(nearKey.issuer);
    index.judgeRun({ issuer: nearKey.issuer, from: 1, records: recordsOf(chain) }, false);
    index.finishIssuer(nearKey.issuer);
    assert.deepEqual(index.spansOn("far", nearKey.issuer), []);
    // The same with a branch that may not be told: the proof holds it, so it stays here.
    const second = rig();
    second.index.linkUp("near", "near");
    second.index.linkUp("far", "far");
    const silent = new Hostile(second.gateway, farKey, { link: "far" });
    const again = new Hostile(second.gateway, nearKey, { link: "near" });
    again.serve(chain);
    again.claim(nearKey.issuer, 1, 3);
    second.gateway.pass(1_000);
    const hidden = envelopeBy(nearKey, { seq: 3, prev: chain[1]?.hash ?? null, fact: factOf("run", 3) });
    again.send({ type: "push", records: [recordsOf([hidden])] });
    second.gateway.pass(5_000);
    assert.equal(second.gateway.frozenAt(nearKey), 3);
    assert.ok(!silent.heard.some((frame) => Buffer.from(encodeFrame(frame)).includes(SECRET)));
    assert.equal(second.gateway.refusals("not_disclosed"), 1);
    assert.ok(decisions.length > 0);
  });
});

describe("disclosure policies", () => {
  const judge = (
    policy: DisclosurePolicy,
    fact: { schema: string } & Record<string, Json>,
    from = "near",
    to = "far",
  ) => judgeDisclosure(policy, from, to, expandFact("aegis:ed25519:aa", fact.schema, fact));

  it("judge everything nested, envelopes in facts and facts in lists", () => {
    const nested = { schema: "clawdstrike.sdr.fact.tetragon_event.v1" };
    const inside = { schema: "aegis.spine.envelope.v1", fact: nested };
    assert.equal(judge(POLICY, { schema: "aegis.spine.fact.incident.v1" }), "allowed");
    assert.equal(
      judge(POLICY, { schema: "aegis.spine.fact.incident.v1", evidence: [{ deep: nested }] }),
      "not_allowed",
    );
    assert.equal(judge(POLICY, { schema: "aegis.spine.fact.incident.v1", evidence: inside }), "not_allowed");
    const both = { allow: [{ from: "*", to: "*", kinds: ["*"] }], deny: [{ from: "*", to: "*", kinds: ["sdr:*"] }] };
    assert.equal(judge(both, { schema: "aegis.spine.fact.incident.v1", evidence: inside }), "denied");
    const many = Array.from({ length: 2_000 }, () => ({ a: {} }));
    assert.equal(judge(both, { schema: "aegis.spine.fact.incident.v1", many }), "nested_too_deep");
  });
  it("match issuers and policy hashes, and deny wins", () => {
    const hash = "ab".repeat(32);
    const policy = {
      allow: [{ from: "near", to: "far", kinds: ["policy"], policyHashes: [hash] }],
      deny: [{ from: "*", to: "*", kinds: ["*"], issuers: ["aegis:ed25519:bb"] }],
    };
    assert.equal(
      judge(policy, { schema: "aegis.spine.fact.policy.v1", policy_hash: `0x${hash.toUpperCase()}` }),
      "allowed",
    );
    assert.equal(judge(policy, { schema: "aegis.spine.fact.policy.v1", policy_hash: "00" }), "not_allowed");
    const what = expandFact("aegis:ed25519:bb", "aegis.spine.fact.policy.v1", { policy_hash: hash });
    assert.equal(judgeDisclosure(policy, "near", "far", what), "denied");
  });
  it("call every widening a loosening, and no narrowing", () => {
    const base = defaultDisclosure();
    assert.deepEqual(looseningOf(base, base), []);
    assert.deepEqual(
      looseningOf(base, { allow: base.allow.slice(1), deny: [{ from: "*", to: "*", kinds: ["*"] }] }),
      [],
    );
    assert.deepEqual(
      looseningOf(POLICY, { allow: [{ from: "near", to: "far", kinds: ["incident"], issuers: ["x"] }], deny: [] }),
      [],
    );
    for (const wider of [
      { from: "*", to: "far", kinds: ["incident"] },
      { from: "near", to: "*", kinds: ["incident"] },
      { from: "near", to: "far", kinds: ["*"] },
      { from: "near", to: "far", kinds: ["inc*"] },
    ]) {
      assert.equal(looseningOf(POLICY, { allow: [...POLICY.allow, wider], deny: [] }).length, 1, JSON.stringify(wider));
    }
    assert.equal(
      looseningOf({ allow: [], deny: [{ from: "*", to: "*", kinds: ["a"] }] }, { allow: [], deny: [] }).length,
      1,
    );
  });
  it("keep telemetry, heartbeats and the unknown on their plane by default", () => {
    const policy = defaultDisclosure();
    for (const schema of [
      "clawdstrike.sdr.fact.tetragon_event.v1",
      "aegis.spine.fact.heartbeat.v1",
      "some.other.v1",
      "",
    ]) {
      for (const [from, to] of [
        ["libp2p", "nats"],
        ["nats", "reticulum/rnode0"],
        ["reticulum", "nats"],
        ["file", "libp2p"],
      ]) {
        assert.equal(judge(policy, { schema }, from, to), "not_allowed", `${schema} ${from} ${to}`);
      }
    }
    assert.equal(
      judge(policy, { schema: "clawdstrike.marketplace.revocation.v1" }, "nats", "reticulum/rnode0"),
      "allowed",
    );
    assert.equal(judge(policy, { schema: "aegis.spine.fact.heartbeat.v1" }, "local", "nats"), "allowed");
    assert.equal(judge(policy, { schema: "aegis.spine.fact.heartbeat.v1" }, "local", "reticulum"), "not_allowed");
  });
});
