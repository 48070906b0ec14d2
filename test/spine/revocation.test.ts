/** Revocation facts: both prefixes, the marketplace form, the recovery form, and the revocation set (spec/spine.md 7.5, rules 8). */
import assert from "node:assert/strict";
import {
  commitToKey,
  isStaleSet,
  type Json,
  type JsonObject,
  MAX_REVOCATION_TARGETS,
  nobleVerify,
  type RevocationInput,
  readRevocation,
  readRevocationSet,
  recoveryRevocationFact,
  recoverySigningBytes,
  revocationFact,
  revocationSetFact,
  sealRecoveryRevocation,
} from "../../spine/index.ts";
import { namedKey, sha256Hex } from "../helpers/crypto.ts";
import { throwsCode } from "../helpers/throws.ts";

const [owner, recovery, other] = ["owner", "recovery", "other"].map(namedKey) as [
  ReturnType<typeof namedKey>,
  ReturnType<typeof namedKey>,
  ReturnType<typeof namedKey>,
];
const BUNDLE = `0x${"ab".repeat(32)}`;
const input: RevocationInput = {
  factId: "rev_1",
  targets: [
    { scope: "node", value: other.issuer, fromSeq: 7 },
    { scope: "key", value: other.issuer, fromSeq: 0 },
    { scope: "token", value: "t1", fromSeq: 0 },
    { scope: "bundle", value: BUNDLE, fromSeq: 0 },
  ],
  reason: "stolen",
  issuedAt: 1_800_000_000,
};
const read = (fact: Json) => readRevocation(owner.issuer, 3, fact, sha256Hex);

describe("revocation facts", () => {
  it("read back under both prefixes", () => {
    for (const schema of ["aegis.spine.fact.revocation.v1", "clawdstrike.spine.fact.revocation.v1"])
      assert.deepEqual(read({ ...revocationFact(input), schema }), {
        revocation: { signer: owner.issuer, seq: 3, recovery: null, targets: input.targets },
        claim: null,
      });
  });
  it("mean the bundle in the marketplace form", () => {
    const fact = {
      schema: "clawdstrike.marketplace.revocation.v1",
      fact_id: "r",
      bundle_hash: BUNDLE.slice(2).toUpperCase(),
      reason: "bad",
      revoked_at: "2026-01-01T00:00:00Z",
    };
    assert.deepEqual(read(fact).revocation.targets, [{ scope: "bundle", value: BUNDLE, fromSeq: 0 }]);
    throwsCode(() => read({ ...fact, bundle_hash: "none" }), "fact_invalid");
    throwsCode(() => read({ ...fact, more: 1 }), "fact_invalid");
  });
  it("spell values one way, and leave out what names nothing known", () => {
    const upper = `aegis:ed25519:${other.issuer.slice(14).toUpperCase()}`;
    const { targets } = read({
      schema: "aegis.spine.fact.revocation.v1",
      targets: [
        { type: "node_id", value: upper, why: "x" },
        { type: "session", value: "x" },
        { type: "toString", value: "x" },
        { type: "node_id", value: "nobody" },
        { type: "token_id", value: "" },
        { type: "token_id", value: "x".repeat(300) },
        { type: "bundle_hash", value: "0x12" },
        { type: "token_id", value: "t", from_seq: 9 },
        { type: "key", value: other.issuer, from_seq: 2n ** 60n },
      ],
    }).revocation;
    assert.deepEqual(targets, [
      { scope: "node", value: other.issuer, fromSeq: 0 },
      { scope: "token", value: "t", fromSeq: 0 },
    ]);
    assert.deepEqual(read({ schema: "aegis.spine.fact.revocation.v1" }).revocation.targets, []);
  });
  it("are refused when malformed or too long", () => {
    const schema = "aegis.spine.fact.revocation.v1";
    const many = Array.from({ length: MAX_REVOCATION_TARGETS + 1 }, () => ({ type: "token_id", value: "t" }));
    for (const fact of [
      null,
      { schema: "aegis.spine.fact.revocation.v2", targets: [] },
      { schema: "aegis.spine.fact.heartbeat.v1" },
      { schema, targets: many },
      { schema, targets: [{ type: "node_id", value: other.issuer, from_seq: -1 }] },
      { schema, targets: [{ type: "node_id", value: other.issuer, from_seq: "1" }] },
      { schema, targets: {} },
      { schema, targets: [], recovery: {} },
      { schema, targets: [], recovery: [] },
    ] as Json[])
      throwsCode(() => read(fact), "fact_invalid");
    throwsCode(() => revocationFact({ ...input, targets: [] }), "fact_invalid");
    throwsCode(
      () => revocationFact({ ...input, targets: [{ scope: "node", value: "x", fromSeq: 0 }] }),
      "fact_invalid",
    );
  });

  describe("of a recovery key", () => {
    const draft = recoveryRevocationFact(input, owner.issuer, recovery.publicKey);
    const fact = sealRecoveryRevocation(draft, recovery.sign(recoverySigningBytes(draft)));
    it("speak for their issuer, whoever carries them", () => {
      const { revocation, claim } = readRevocation(other.issuer, 99, fact, sha256Hex);
      assert.deepEqual(revocation, {
        signer: owner.issuer,
        seq: null,
        recovery: commitToKey(recovery.publicKey, sha256Hex),
        targets: input.targets,
      });
      assert.ok(claim !== null && nobleVerify(claim));
    });
    it("are signed in every field", () => {
      const inner = fact["recovery"] as JsonObject;
      for (const changed of [
        { ...fact, reason: "other" },
        { ...fact, targets: [] },
        { ...fact, schema: "clawdstrike.spine.fact.revocation.v1" },
        { ...fact, recovery: { ...inner, issuer: other.issuer } },
        { ...fact, recovery: { ...inner, key: other.issuer.slice(14) } },
      ]) {
        const { claim } = read(changed);
        assert.equal(claim !== null && nobleVerify(claim), false);
      }
      for (const recovery of [
        { ...inner, more: 1 },
        { ...inner, signature: "0x" },
        { ...inner, key: "00".repeat(32) },
      ])
        throwsCode(() => read({ ...fact, recovery }), "fact_invalid");
    });
  });
});

describe("the revocation set fact", () => {
  const fact = revocationSetFact("set_1", 5, BUNDLE, 1_800_000_000);
  it("reads back, and is strict", () => {
    assert.deepEqual(readRevocationSet(fact), { count: 5, root: BUNDLE, asOfMs: 1_800_000_000_000 });
    for (const change of [{ count: -1 }, { count: 2n ** 60n }, { root: "x" }, { as_of: "now" }, { more: 1 }])
      throwsCode(() => readRevocationSet({ ...fact, ...change }), "fact_invalid");
    throwsCode(() => readRevocationSet(revocationFact(input)), "fact_invalid");
  });
  it("is stale when old, or from a future nobody can vouch for", () => {
    const set = readRevocationSet(fact);
    const at = (seconds: number) => isStaleSet(set, (1_800_000_000 + seconds) * 1000, 60_000);
    assert.deepEqual([at(0), at(60), at(61), at(-600), at(-601)], [false, false, true, false, true]);
  });
});
