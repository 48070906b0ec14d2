/** Authority at work in the core: revocations, handovers, forks and attestations act, whoever may not speak does not (rules 3, 5, 6, 7, 8). */
import assert from "node:assert/strict";
import type { SimKey } from "../../sim/index.ts";
import {
  type AuthorityTrust,
  commitToKey,
  draftRotation,
  draftSuccession,
  type Envelope,
  EnvelopeState,
  formatTime,
  genesisFact,
  type JsonObject,
  NO_TRUST,
  type RevocationTarget,
  RowTable,
  recoveryRevocationFact,
  recoverySigningBytes,
  revocationFact,
  sealHandover,
  sealRecoveryRevocation,
} from "../../spine/index.ts";
import { chainBy, envelopeBy, Hostile, keyOf, MeshNode, recordsOf, START_MS, Wire } from "../helpers/mesh-harness.ts";
import { nativeSha256Hex } from "../helpers/sim-ports.ts";

const [us, alice, boss, mallory, peer, heir, vault] = [1, 2, 3, 4, 5, 6, 7].map(keyOf) as [
  SimKey,
  SimKey,
  SimKey,
  SimKey,
  SimKey,
  SimKey,
  SimKey,
];
const SECONDS = START_MS / 1000;
const node = (key: SimKey, fromSeq = 0): RevocationTarget => ({ scope: "node", value: key.issuer, fromSeq });

/** A million in the long form. */
const STRANGERS = process.env["SPINE_LONG"] === "1" ? 1_000_000 : 50_000;

function revocation(...targets: RevocationTarget[]): JsonObject {
  return revocationFact({ factId: "rev_1", targets, reason: "test", issuedAt: SECONDS });
}
function genesis(of: SimKey, recovery = vault, next = heir): JsonObject {
  const keys = { recoveryKey: recovery.publicKey, nextKey: next.publicKey };
  return genesisFact({ issuer: of.issuer, ...keys, createdAt: SECONDS, factId: "gen_1" }, nativeSha256Hex);
}
function succession(old: SimKey, last: Envelope, successor: SimKey, recovery = vault): JsonObject {
  const input = { factId: "suc_1", old: old.issuer, lastSeq: last.seq, lastHash: last.hash, issuedAt: SECONDS };
  const draft = draftSuccession({ ...input, successor: successor.issuer }, recovery.publicKey);
  return sealHandover(draft, recovery.sign(draft.signingBytes), successor.sign(draft.signingBytes));
}
function rotation(old: SimKey, last: Envelope, successor: SimKey): JsonObject {
  const input = { factId: "rot_1", old: old.issuer, lastSeq: last.seq, lastHash: last.hash, issuedAt: SECONDS };
  const draft = draftRotation({ ...input, successor: successor.issuer });
  return sealHandover(draft, old.sign(draft.signingBytes), successor.sign(draft.signingBytes));
}
function attestation(of: SimKey): JsonObject {
  const fact = { schema: "clawdstrike.spine.fact.node_attestation.v1", fact_id: "na_1", node_id: of.issuer };
  return { ...fact, issued_at: formatTime(SECONDS), system_attestation: {} };
}

const trusted: AuthorityTrust = {
  ...NO_TRUST,
  revokers: new Map([[boss.issuer, { scopes: new Set(["node", "key", "token", "bundle"] as const), quorum: 1 }]]),
  named: new Set([boss.issuer]),
};
function following(trust: AuthorityTrust = trusted, ...keys: SimKey[]): MeshNode {
  const made = new MeshNode(us, { trust });
  made.feed({ type: "trust", trust });
  return made.allow(...keys);
}
function push(link: Hostile, ...envelopes: readonly Envelope[]): void {
  link.send({ type: "push", records: envelopes.map((one) => recordsOf([one])) });
}
/** A chain whose envelope `at` carries `fact`. */
const chainWith = (key: SimKey, count: number, at: number, fact: JsonObject): Envelope[] =>
  chainBy(key, count, (seq) => (seq === at ? { fact } : {}));

describe("revocations in the core", () => {
  for (const prefix of ["aegis", "clawdstrike"])
    it(`act under the prefix ${prefix}: nothing at or above from_seq is taken, what was stored stays`, () => {
      const fact = { ...revocation(node(alice, 4)), schema: `${prefix}.spine.fact.revocation.v1` };
      const made = following(trusted, alice);
      const link = new Hostile(made, peer);
      const chain = chainBy(alice, 8);
      push(link, ...chain.slice(0, 5));
      assert.equal(made.top(alice), 5);
      push(link, ...chainWith(boss, 1, 1, fact));
      push(link, ...chain.slice(5));
      assert.equal(made.top(alice), 5);
      assert.equal(made.mesh.authority.decide(alice.issuer, 4), "revoked");
      const told = made.events.filter((event) => event.type === "authority" && event.revocation !== undefined);
      assert.equal(told.length, 1);
      link.serve(chain);
      link.claim(alice.issuer, 1, 8);
      assert.deepEqual([link.heardOf("want").length, link.blamed], [0, []]);
    });

  it("by whoever may not are stored, without effect, at the lowest tier, and travel no faster than any fact", () => {
    const made = following(trusted, alice, mallory);
    const other = new Hostile(made, peer);
    const link = new Hostile(made, alice);
    for (const [i, target] of [
      node(alice),
      node(us),
      node(boss),
      { scope: "token", value: "t", fromSeq: 0 },
    ].entries()) {
      const [envelope] = chainBy(
        mallory,
        1,
        () => ({ fact: revocation(target as RevocationTarget) }),
        i === 0 ? null : lastOf,
      );
      assert.ok(envelope !== undefined);
      lastOf = envelope;
      push(link, envelope);
      assert.equal(made.mesh.tierOf(envelope), 7);
    }
    assert.equal(made.top(mallory), 4);
    assert.deepEqual([...made.mesh.authority.revoked()], []);
    assert.equal(other.heardOf("push").length, 0);
    assert.equal(
      made.events.some((event) => event.type === "authority" && event.cause === "revocation"),
      false,
    );
  });
  let lastOf: Envelope;

  it("mutual, of two revokers of equal standing, revoke both, in either order", () => {
    const both: AuthorityTrust = {
      ...trusted,
      revokers: new Map([boss, alice].map((one) => [one.issuer, { scopes: new Set(["node"] as const), quorum: 1 }])),
      named: new Set([boss.issuer, alice.issuer]),
    };
    const facts = [chainWith(boss, 1, 1, revocation(node(alice))), chainWith(alice, 1, 1, revocation(node(boss)))];
    for (const order of [facts, [...facts].reverse()]) {
      const made = following(both);
      const link = new Hostile(made, peer);
      for (const chain of order) push(link, ...chain);
      assert.deepEqual(
        [alice, boss].map(({ issuer }) => made.mesh.authority.isRevoked(issuer)),
        [true, true],
      );
    }
  });

  it("mutual, made while the network was cut, meet when it heals, though each keeps the other's chain from being fetched", () => {
    const scopes = new Set(["node", "key"] as const);
    const equals = new Map([boss, mallory, vault].map((key) => [key.issuer, { scopes, quorum: 1 }] as const));
    const trust: AuthorityTrust = { ...NO_TRUST, revokers: equals, named: new Set(equals.keys()) };
    for (const gained of [false, true]) {
      const nodes = [peer, heir].map((key) => {
        const made = new MeshNode(key, { trust: gained ? { ...NO_TRUST, named: trust.named } : trust });
        if (!gained) made.feed({ type: "trust", trust });
        return made.allow(...(gained ? [boss, mallory, vault] : []));
      }) as [MeshNode, MeshNode];
      push(new Hostile(nodes[0], us), ...chainWith(boss, 4, 4, revocation(node(mallory))));
      push(new Hostile(nodes[1], us), ...chainWith(mallory, 2, 2, revocation(node(boss, 1))));
      if (gained) for (const made of nodes) made.feed({ type: "trust", trust });
      // Also after a restart in between.
      const pair = nodes.map((made) => new MeshNode(made.key, { trust, disk: made.disk })) as [MeshNode, MeshNode];
      assert.equal(pair[0].mesh.authority.standing(boss.issuer).revokedFrom, null);
      const wire = new Wire();
      wire.connect(...pair);
      wire.run(pair, 3_000);
      for (const { mesh } of pair) {
        assert.equal(mesh.authority.standing(mallory.issuer).revokedFrom, 0);
        assert.equal(mesh.authority.standing(boss.issuer).revokedFrom, 1);
      }
    }
  });

  it("close the links of the revoked peer at once, and take no new one from it", () => {
    const made = following(trusted, alice, mallory);
    const bad = new Hostile(made, mallory);
    const good = new Hostile(made, peer);
    const chain = chainWith(boss, 1, 1, revocation(node(mallory)));
    push(good, ...chain);
    assert.equal(bad.closedWith, "issuer_revoked");
    assert.equal(good.closedWith, undefined);
    assert.deepEqual(bad.heardOf("push").length, 1, "it hears why first");
    assert.ok(made.events.some((event) => event.type === "peer-revoked" && event.issuer === mallory.issuer));
    const again = new Hostile(made, mallory, { link: "again" });
    assert.equal(again.closedWith, "issuer_revoked");
    const types = again.heard.map(({ type }) => type);
    assert.deepEqual(types, ["hello", "push", "bye"], "whoever was away hears why, and nothing else");
    assert.deepEqual(again.heardOf("push")[0]?.records, [recordsOf(chain)]);
  });

  it("tell a revoked peer why before its link is closed: within bounds, what may be told, and only what revokes it", () => {
    const many = [boss, alice, heir, vault, ...[8, 9].map(keyOf)] as SimKey[];
    const revokers = new Map(
      many.map(({ issuer }) => [issuer, { scopes: new Set(["node"] as const), quorum: 1 }] as const),
    );
    const made = following({ ...NO_TRUST, revokers, named: new Set(revokers.keys()) }, mallory);
    const good = new Hostile(made, peer);
    for (const key of many) push(good, ...chainWith(key, 3, 2, revocation(node(mallory))));
    const again = new Hostile(made, mallory);
    const told = again.heardOf("push").flatMap(({ records }) => records);
    assert.equal(told.length, 4);
    const all = many.map((key) => recordsOf(chainWith(key, 3, 2, revocation(node(mallory))).slice(1, 2)));
    for (const record of told) assert.ok(all.some((one) => Buffer.from(one).equals(record)));
    assert.equal(again.closedWith, "issuer_revoked");
    // On the air one says enough.
    const radio = new Hostile(made, mallory, { link: "radio", cost: "radio" });
    assert.deepEqual(
      radio.heard.map(({ type }) => type),
      ["hello", "push", "bye"],
    );
  });

  it("reach the revoked node itself, when all its neighbours have heard of them first", () => {
    const [far, near] = [new MeshNode(us, { trust: trusted }), new MeshNode(mallory, { trust: trusted })];
    for (const made of [far, near]) {
      made.feed({ type: "trust", trust: trusted });
      made.allow(peer);
    }
    push(new Hostile(far, peer), ...chainWith(boss, 5, 5, revocation(node(mallory))));
    const wire = new Wire();
    wire.connect(far, near);
    wire.run([far, near], 3_000);
    assert.equal(near.mesh.authority.isRevoked(mallory.issuer), true);
    assert.ok(far.closed.some(({ code }) => code === "issuer_revoked"));
    assert.deepEqual(near.penalties, []);
  });

  it("that may not be told on a link are not told there, though the peer is sent away", () => {
    const silent = {
      heard: () => [],
      spans: () => [],
      mayTell: () => false,
      mayTellKind: () => false,
      stored: () => {},
      frozen: () => {},
    };
    const made = new MeshNode(us, { trust: trusted, disclosure: silent });
    made.feed({ type: "trust", trust: trusted });
    push(new Hostile(made.allow(mallory), peer), ...chainWith(boss, 1, 1, revocation(node(mallory))));
    const again = new Hostile(made, mallory);
    assert.deepEqual([again.heardOf("push").length, again.closedWith], [0, "issuer_revoked"]);
  });

  it("in a range never let a signature from above authenticate what is below", () => {
    // Self-revocation at 8 from 5: envelope 4 needs its own signature, and has a false one.
    const garbage = new Uint8Array(64).fill(7);
    const chain = chainBy(alice, 8, (seq) => ({
      ...(seq === 8 ? { fact: revocation({ scope: "key", value: alice.issuer, fromSeq: 5 }) } : {}),
      ...(seq === 4 ? { signature: garbage } : {}),
    }));
    const made = following(trusted, alice);
    const link = new Hostile(made, peer);
    link.serve(chain);
    link.claim(alice.issuer, 1, 8);
    assert.equal(made.top(alice), 0);
    assert.equal(made.mesh.authority.decide(alice.issuer, 5), "revoked");
    const honest = following(trusted, alice);
    const other = new Hostile(honest, peer);
    other.serve(chainWith(alice, 8, 8, revocation({ scope: "key", value: alice.issuer, fromSeq: 5 })));
    other.claim(alice.issuer, 1, 8);
    assert.equal(honest.top(alice), 4);
    assert.equal(honest.disk.at(alice.issuer, 4)?.state, EnvelopeState.signature);
  });

  it("survive a restart without the envelopes being walked, and are replayed when trust gains a role", () => {
    const made = following(NO_TRUST, alice, boss);
    push(new Hostile(made, peer), ...chainWith(boss, 1, 1, revocation(node(alice, 3))));
    assert.equal(made.mesh.authority.isRevoked(alice.issuer), false);
    made.feed({ type: "trust", trust: trusted });
    assert.equal(made.mesh.authority.decide(alice.issuer, 3), "revoked");
    const again = new MeshNode(us, { trust: trusted, disk: made.disk });
    assert.equal(again.mesh.authority.decide(alice.issuer, 3), "revoked");
    again.feed({ type: "trust", trust: NO_TRUST });
    assert.equal(again.mesh.authority.decide(alice.issuer, 3), "allowed");
  });
});

describe("keys over a lifetime in the core", () => {
  it("hand over by rotation: the old chain ends, the successor is admitted, a replay changes nothing", () => {
    const made = following(trusted, alice);
    const link = new Hostile(made, peer);
    const chain = chainBy(alice, 3, (seq) => (seq === 1 ? { fact: genesis(alice) } : {}));
    const handover = envelopeBy(alice, {
      seq: 4,
      prev: chain[2]?.hash as string,
      fact: rotation(alice, chain[2] as Envelope, heir),
    });
    push(link, ...chain, handover);
    const standing = made.mesh.authority.standing(alice.issuer);
    assert.deepEqual(standing, { revokedFrom: 4, frozenAt: null, successor: heir.issuer });
    const next = chainBy(heir, 2);
    push(link, ...next);
    assert.equal(made.top(heir), 2);
    const { version } = made.mesh.authority;
    push(
      link,
      handover,
      envelopeBy(heir, { seq: 3, prev: next[1]?.hash as string, fact: rotation(alice, chain[2] as Envelope, heir) }),
    );
    assert.equal(made.mesh.authority.version, version);
    assert.equal(made.disk.rows(RowTable.authority).filter(({ key }) => key.startsWith(alice.issuer)).length, 3);
  });

  it("take nobody's word for a handover but the committed keys'", () => {
    const made = following(trusted, alice, mallory);
    const link = new Hostile(made, peer);
    const chain = chainBy(alice, 2, (seq) => (seq === 1 ? { fact: genesis(alice) } : {}));
    push(link, ...chain);
    // The hash of the recovery key is public: knowing it, or signing with another key, gives nothing.
    const last = chain[1] as Envelope;
    const forged = succession(alice, last, mallory, mallory);
    const borrowed = {
      ...succession(alice, last, mallory),
      recovery_signature: forged["recovery_signature"] as string,
    };
    push(
      link,
      ...chainBy(mallory, 3, (seq) => ({
        fact: [forged, borrowed, rotation(alice, last, mallory)][seq - 1] as JsonObject,
      })),
    );
    assert.equal(made.top(mallory), 3);
    assert.deepEqual(made.mesh.authority.standing(alice.issuer), {
      revokedFrom: null,
      frozenAt: null,
      successor: null,
    });
  });

  it("accept a succession carried by the unknown successor, and only that of it before", () => {
    const made = following(trusted, alice);
    const link = new Hostile(made, peer);
    const chain = chainBy(alice, 3, (seq) => (seq === 1 ? { fact: genesis(alice) } : {}));
    push(link, ...chain);
    const next = chainBy(mallory, 2, (seq) =>
      seq === 2 ? { fact: succession(alice, chain[0] as Envelope, mallory) } : {},
    );
    push(link, next[0] as Envelope);
    assert.equal(made.top(mallory), 0);
    push(link, next[1] as Envelope);
    assert.equal(made.mesh.authority.standing(alice.issuer).successor, mallory.issuer);
    push(link, next[0] as Envelope);
    assert.equal(made.top(mallory), 1);
  });

  it("contest a second genesis: neither gives a right, unless the recovery key is pinned", () => {
    for (const pinned of [false, true]) {
      const pins = pinned ? new Map([[alice.issuer, commitToKey(vault.publicKey, nativeSha256Hex)]]) : new Map();
      const made = following({ ...trusted, recoveryPins: pins }, alice, mallory);
      const link = new Hostile(made, peer);
      const chain = chainBy(alice, 2, (seq) => (seq === 1 ? { fact: genesis(alice) } : {}));
      const thiefs = chainBy(alice, 2, (seq) => (seq === 1 ? { fact: genesis(alice, mallory) } : {}));
      push(link, ...chain);
      push(link, ...thiefs);
      assert.equal(made.frozenAt(alice), 1);
      push(link, ...chainBy(mallory, 1, () => ({ fact: succession(alice, chain[1] as Envelope, heir) })));
      assert.equal(made.mesh.authority.standing(alice.issuer).successor, pinned ? heir.issuer : null);
    }
  });

  it("let the recovery key revoke in its issuer's name, from any chain", () => {
    const made = following(trusted, alice, mallory);
    const link = new Hostile(made, peer);
    push(link, ...chainBy(alice, 3, (seq) => (seq === 1 ? { fact: genesis(alice) } : {})));
    const input = {
      factId: "rev_2",
      targets: [{ scope: "key" as const, value: alice.issuer, fromSeq: 3 }],
      reason: "stolen",
      issuedAt: SECONDS,
    };
    const sign = (key: SimKey): JsonObject => {
      const draft = recoveryRevocationFact(input, alice.issuer, key.publicKey);
      return sealRecoveryRevocation(draft, key.sign(recoverySigningBytes(draft)));
    };
    const chain = chainBy(mallory, 2, (seq) => ({ fact: sign(seq === 1 ? mallory : vault) }));
    push(link, chain[0] as Envelope);
    assert.equal(made.mesh.authority.isRevoked(alice.issuer), false);
    push(link, chain[1] as Envelope);
    assert.equal(made.mesh.authority.decide(alice.issuer, 3), "revoked");
  });
});

describe("a thief's fork in the core", () => {
  it("silences no curator: bundles below stay, its revocations on both branches act on every node", () => {
    const curators: AuthorityTrust = { ...trusted, curators: new Set([alice.issuer]), named: new Set([alice.issuer]) };
    const [one, two] = [`0x${"a".repeat(64)}`, `0x${"b".repeat(64)}`];
    const trunk = chainBy(alice, 3);
    const bundle = (value: string) => ({ fact: revocation({ scope: "bundle" as const, value, fromSeq: 0 }) });
    const owners = chainBy(alice, 2, (seq) => (seq === 5 ? bundle(one) : {}), trunk[2] as Envelope);
    const thiefs = chainBy(alice, 3, (seq) => (seq === 4 ? bundle(two) : {}), trunk[2] as Envelope);
    const [a, b] = [peer, boss].map((key) => {
      const made = new MeshNode(key, { trust: curators });
      made.feed({ type: "trust", trust: curators });
      return made;
    }) as [MeshNode, MeshNode];
    push(new Hostile(a, us), ...trunk, ...owners);
    push(new Hostile(b, us), ...trunk, ...thiefs);
    const wire = new Wire();
    wire.connect(a, b);
    wire.run([a, b], 3_000);
    for (const { mesh } of [a, b]) {
      assert.equal(mesh.authority.standing(alice.issuer).frozenAt, 4);
      assert.deepEqual(
        [one, two].map((value) => mesh.authority.isBundleRevoked(value, alice.issuer, 2)),
        [true, true],
      );
      assert.equal(mesh.authority.isBundleRevoked(`0x${"c".repeat(64)}`, alice.issuer, 2), false);
    }
  });

  it("shows below a revocation, where no head is believed any more, and restrictions of both branches act", () => {
    const trust: AuthorityTrust = { ...trusted, curators: new Set([alice.issuer]), named: new Set([alice.issuer]) };
    const [one, two] = [`0x${"a".repeat(64)}`, `0x${"b".repeat(64)}`];
    const trunk = chainWith(alice, 2, 2, revocation(node(alice, 4)));
    const branch = (value: string): Envelope =>
      chainBy(alice, 1, () => ({ fact: revocation({ scope: "bundle", value, fromSeq: 0 }) }), trunk[1])[0] as Envelope;
    for (const late of [false, true]) {
      const [a, b] = [peer, boss].map((key) => {
        const made = new MeshNode(key, { trust });
        made.feed({ type: "trust", trust });
        return made;
      }) as [MeshNode, MeshNode];
      push(new Hostile(a, us), ...trunk, ...(late ? [] : [branch(one)]));
      push(new Hostile(b, us), ...trunk, ...(late ? [] : [branch(two)]));
      const wire = new Wire();
      wire.connect(a, b);
      // In one round, before either hears of the other's.
      if (late) a.feed({ type: "offer", token: 1, envelopes: [branch(one)] });
      if (late) b.feed({ type: "offer", token: 1, envelopes: [branch(two)] });
      wire.run([a, b], 3_000);
      const quiet = wire.frames;
      wire.run([a, b], 3_000);
      assert.equal(wire.frames, quiet, "compared once");
      for (const { mesh } of [a, b]) {
        assert.equal(mesh.authority.standing(alice.issuer).frozenAt, 3);
        assert.deepEqual(
          [one, two].map((value) => mesh.authority.isBundleRevoked(value, alice.issuer, 2)),
          [true, true],
        );
      }
    }
  });

  it("is looked for among hundreds of revoked issuers at once, also when the revocations come last", () => {
    const owners = Array.from({ length: 200 }, (_, i) => keyOf(1_000 + i));
    const named = new Set(owners.map(({ issuer }) => issuer)).add(boss.issuer);
    const nodes = [peer, heir].map((key) => {
      const made = new MeshNode(key, { trust: { ...trusted, named } });
      made.feed({ type: "trust", trust: { ...trusted, named } });
      return made;
    }) as [MeshNode, MeshNode];
    for (const [i, owner] of owners.entries()) {
      const trunk = chainBy(owner, 2);
      const twin = chainBy(owner, 1, () => ({ fact: { schema: "other" } }), trunk[1]);
      for (const [at, made] of nodes.entries()) {
        const rest = at === 1 && i % 10 === 0 ? twin : chainBy(owner, 1, () => ({}), trunk[1]);
        made.feed({ type: "offer", token: i, envelopes: [...trunk, ...rest] });
      }
    }
    const wire = new Wire();
    wire.connect(...nodes);
    wire.run(nodes, 3_000);
    assert.equal(nodes[0].frozenAt(owners[0] as SimKey), null, "nobody stated a head");
    const last = chainBy(boss, 1, () => ({ fact: revocation(...owners.map((owner) => node(owner, 4))) }));
    nodes[0].feed({ type: "offer", token: 0, envelopes: last });
    wire.run(nodes, 3_000);
    for (const made of nodes)
      assert.deepEqual(owners.filter((owner) => made.frozenAt(owner) === 3).length, 20, "every tenth was forked");
  });
});

describe("admission in the core", () => {
  it("admits whom a trusted issuer attests, for as long as its word counts", () => {
    const attesting = (keys: readonly SimKey[]): AuthorityTrust => ({
      ...trusted,
      attesters: new Set(keys.map(({ issuer }) => issuer)),
      named: new Set([boss.issuer, alice.issuer]),
    });
    const made = following(attesting([alice]));
    const link = new Hostile(made, peer);
    push(link, ...chainBy(mallory, 1, () => ({ fact: attestation(mallory) })));
    push(link, ...chainWith(boss, 1, 1, attestation(heir)));
    assert.deepEqual([made.top(mallory), made.mesh.isAdmitted(heir.issuer)], [0, false]);
    push(link, ...chainWith(alice, 3, 3, attestation(mallory)));
    push(link, ...chainBy(mallory, 2));
    assert.equal(made.top(mallory), 2);
    made.feed({ type: "trust", trust: attesting([]) });
    push(link, ...chainBy(mallory, 3).slice(2));
    assert.deepEqual([made.top(mallory), made.mesh.isAdmitted(mallory.issuer)], [2, false]);
    made.feed({ type: "trust", trust: attesting([alice]) });
    push(link, ...chainBy(mallory, 3).slice(2));
    assert.equal(made.top(mallory), 3);
    push(
      link,
      ...chainBy(boss, 2, (seq) =>
        seq === 2 ? { fact: revocation(node(alice, 3)) } : { fact: attestation(heir) },
      ).slice(1),
    );
    assert.equal(made.mesh.isAdmitted(mallory.issuer), false, "a grant at or above the attester's cut is none");
  });

  it("keeps a bounded claim of very many unknown keys, and nothing else", () => {
    const made = following();
    const link = new Hostile(made, peer);
    const before = made.disk.rows(RowTable.authority).length;
    for (let i = 0; i < STRANGERS; i += 256) {
      const entries = Array.from({ length: Math.min(256, STRANGERS - i) }, (_, at) => ({
        issuer: `aegis:ed25519:${(i + at + 1).toString(16).padStart(64, "0")}`,
        ...{ prunedBelow: 0, ranges: [{ from: 1, to: 9 }], frozenAt: null, head: null },
      }));
      link.send({ type: "inventory", entries });
      made.now += 10;
    }
    assert.equal(made.mesh.load.claims, 10_000);
    assert.equal([...made.mesh.issuers()].length, 2);
    assert.equal(made.disk.rows(RowTable.authority).length, before);
    assert.equal(link.heardOf("want").length, 0);
  }).timeout(60_000);
});
