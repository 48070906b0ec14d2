/** Capability tokens: every refusal, in its order, narrowing, and hostile input (spec/spine.md section 6). */
import assert from "node:assert/strict";
import fc from "fast-check";
import {
  coversScope,
  draftToken,
  type Json,
  type JsonObject,
  judgeToken,
  MAX_TOKEN_CHAIN,
  nobleVerify,
  scopeOf,
  sealToken,
  signatureText,
  type TokenRefusal,
  type TokenRules,
  tokenClaims,
  tokenSigningBytes,
} from "../../spine/index.ts";
import { namedKey, type TestKey } from "../helpers/crypto.ts";
import { anyJson } from "./arbitraries.ts";

const [alice, bob, carol, judge] = ["alice", "bob", "carol", "judge"].map(namedKey) as [
  TestKey,
  TestKey,
  TestKey,
  TestKey,
];
const NOW = Date.UTC(2026, 0, 15);

function tokenBy(key: TestKey, fields: Record<string, Json> = {}): JsonObject {
  const token: JsonObject = {
    token_id: "t1",
    issuer: key.issuer,
    subject: bob.issuer,
    scopes: ["policy:publish"],
    not_before: "2026-01-01T00:00:00Z",
    expires_at: "2026-02-01T00:00:00Z",
    ...fields,
  };
  return { ...token, signature: signatureText(key.sign(tokenSigningBytes(token))) };
}

function rules(changes: Partial<TokenRules> = {}): TokenRules {
  return {
    now: NOW,
    self: judge.issuer,
    allowSelfIssued: true,
    trustedIssuers: new Set([alice.issuer]),
    isTokenRevoked: () => false,
    isIssuerRevoked: () => false,
    ...changes,
  };
}

function judged(token: Json | undefined, changes: Partial<TokenRules> = {}, scope: string | null = "policy:publish") {
  const verdicts = tokenClaims(token ?? null).map(nobleVerify);
  return judgeToken(token, { issuer: bob.issuer, scope, required: true }, verdicts, rules(changes));
}

describe("capability tokens", () => {
  it("count when everything fits", () => {
    assert.equal(judged(tokenBy(alice)), undefined);
    assert.equal(judged(tokenBy(alice, { scopes: ["x", "policy:*"] })), undefined);
    assert.equal(judged(tokenBy(alice, { scopes: ["*"] })), undefined);
    assert.equal(judged(tokenBy(alice, { not_before: null, expires_at: null })), undefined);
    assert.equal(judged(tokenBy(alice, { audience: [carol.issuer, judge.issuer] })), undefined);
    assert.equal(judged(tokenBy(bob), { trustedIssuers: new Set() }), undefined, "self-issued");
    assert.equal(judged(tokenBy(carol), { trustedIssuers: null }), undefined, "no list");
    assert.equal(judged(tokenBy(alice, { scopes: [] }), {}, null), undefined, "no scope demanded");
    assert.equal(
      judged(tokenBy(alice, { issuer: alice.issuer.toUpperCase().replace("AEGIS:ED25519", "aegis:ed25519") })),
      undefined,
    );
  });
  it("are made no longer, wider or later than any node would count", () => {
    const wish = {
      ...{ tokenId: "t1", issuer: alice.issuer, subject: bob.issuer, scopes: ["policy:*"] },
      ...{ audience: null, notBefore: null, expiresAt: "2026-02-01T00:00:00Z", parent: null },
    };
    let { token } = draftToken(wish);
    for (const key of [alice, bob, alice]) {
      token = sealToken(token, key.sign(tokenSigningBytes(token)));
      const by = key === alice ? bob : alice;
      token = draftToken({ ...wish, issuer: by.issuer, subject: key.issuer, parent: token }).token;
    }
    token = sealToken(token, bob.sign(tokenSigningBytes(token)));
    const verdicts = tokenClaims(token).map(nobleVerify);
    const envelope = { issuer: alice.issuer, scope: "policy:publish", required: true };
    assert.equal(verdicts.length, MAX_TOKEN_CHAIN);
    assert.equal(judgeToken(token, envelope, verdicts, rules()), undefined);
    const again = { ...wish, subject: bob.issuer, parent: token };
    assert.throws(() => draftToken(again), { code: "token_invalid" });
  });
  it("are required only where said", () => {
    const envelope = { issuer: bob.issuer, scope: null, required: false };
    for (const none of [null, undefined]) {
      assert.equal(judged(none), "missing_capability_token");
      assert.equal(judgeToken(none, envelope, [], rules()), undefined);
    }
    assert.equal(judgeToken("no object", envelope, [], rules()), "invalid_capability_token");
  });

  /** From the last check to the first: each spoils one thing more, and is then named before all later ones. */
  const spoilt: readonly (readonly [TokenRefusal, Record<string, Json>, Partial<TokenRules>])[] = [
    ["missing_required_scope", { scopes: ["policy:publisher", "policy"] }, {}],
    ["invalid_token_scopes", { scopes: "policy:publish" }, {}],
    ["untrusted_token_issuer", {}, { trustedIssuers: new Set([carol.issuer]) }],
    ["invalid_token_signature", { signature: "0x00" }, {}],
    ["token_expired", { expires_at: "2026-01-15T00:00:00Z" }, {}],
    ["token_not_yet_valid", { not_before: "yesterday" }, {}],
    ["token_audience_mismatch", { audience: [carol.issuer] }, {}],
    ["token_subject_mismatch", { subject: carol.issuer }, {}],
    ["invalid_token_subject", { subject: 7 }, {}],
    ["revoked_token_issuer", {}, { isIssuerRevoked: (issuer) => issuer === alice.issuer }],
    ["invalid_token_issuer", { issuer: "alice" }, {}],
    ["revoked_token_id", {}, { isTokenRevoked: (id) => id === "t1" }],
    ["invalid_token_id", { token_id: "" }, {}],
  ];
  it("are refused for the first reason in the order of the specification", () => {
    let fields: Record<string, Json> = {};
    let changes: Partial<TokenRules> = {};
    for (const [reason, field, change] of spoilt) {
      assert.equal(judged({ ...tokenBy(alice, field), ...field }, change), reason, `${reason} alone`);
      fields = { ...fields, ...field };
      changes = { ...changes, ...change };
      assert.equal(judged({ ...tokenBy(alice, fields), ...fields }, changes), reason, `${reason} before the others`);
    }
    assert.equal(judged(tokenBy(bob), { allowSelfIssued: false }), "self_issued_tokens_disallowed");
  });
  it("are valid from not_before up to, not at, expires_at", () => {
    const at = (now: number) => judged(tokenBy(alice), { now });
    const [from, to] = [Date.UTC(2026, 0, 1), Date.UTC(2026, 1, 1)];
    assert.deepEqual(
      [at(from - 1), at(from), at(to - 1), at(to)],
      ["token_not_yet_valid", undefined, undefined, "token_expired"],
    );
    assert.equal(judged(tokenBy(alice, { expires_at: 1_900_000_000 })), "token_expired");
    assert.equal(judged(tokenBy(alice, { expires_at: "never" })), "token_expired");
  });
  it("sign every field, also unknown ones", () => {
    for (const field of ["token_id", "scopes", "extra"]) {
      const changed = { ...tokenBy(alice, { extra: 1 }), [field]: field === "scopes" ? ["policy:*"] : "t2" };
      assert.equal(judged(changed), "invalid_token_signature", field);
    }
    const { signature: _, ...unsigned } = tokenBy(alice);
    assert.equal(judged(unsigned), "invalid_token_signature");
  });

  describe("narrowed from a parent", () => {
    const root = tokenBy(alice, { subject: carol.issuer, token_id: "root", scopes: ["policy:*", "run:publish"] });
    const child = (fields: Record<string, Json> = {}): JsonObject => tokenBy(carol, { parent: root, ...fields });
    it("count by the parent's issuer", () => {
      assert.equal(judged(child()), undefined);
      assert.equal(judged(child({ scopes: ["policy:p*"] })), undefined);
    });
    it("never grant more than the parent", () => {
      assert.equal(judged(child({ scopes: ["policy:publish", "log:publish"] })), "token_exceeds_parent");
      assert.equal(judged(child({ scopes: ["*"] })), "token_exceeds_parent");
      assert.equal(judged(child({ scopes: ["run:publish*"] })), "token_exceeds_parent");
      assert.equal(judged(child({ expires_at: null }), { now: Date.UTC(2026, 5, 1) }), "token_expired");
    });
    it("fall with the parent", () => {
      assert.equal(judged(child(), { isTokenRevoked: (id) => id === "root" }), "revoked_token_id");
      assert.equal(judged(child(), { isIssuerRevoked: (issuer) => issuer === alice.issuer }), "revoked_token_issuer");
      assert.equal(judged(child({ parent: { ...root, scopes: ["*"] } })), "invalid_token_signature");
      assert.equal(judged(tokenBy(bob, { parent: root })), "token_subject_mismatch", "bob is not the parent's subject");
    });
    it("do not make a stranger's token for itself one of a trusted issuer", () => {
      const own = tokenBy(carol, { subject: carol.issuer });
      assert.equal(judged(tokenBy(carol, { parent: own })), "untrusted_token_issuer");
    });
    it("are bounded in length", () => {
      let token = tokenBy(alice, { subject: alice.issuer });
      for (let i = 1; i < MAX_TOKEN_CHAIN - 1; i++) token = tokenBy(alice, { subject: alice.issuer, parent: token });
      assert.equal(judged(tokenBy(alice, { parent: token })), undefined);
      token = tokenBy(alice, { subject: alice.issuer, parent: token });
      assert.equal(judged(tokenBy(alice, { parent: token })), "invalid_capability_token");
    });
  });

  it("map fact kinds to scopes under every prefix", () => {
    for (const [schema, scope] of [
      ["aegis.spine.fact.policy_delta.v1", "policy:publish"],
      ["clawdstrike.spine.fact.revocation.v1", "revocation:publish"],
      ["clawdstrike.marketplace.revocation.v1", "revocation:publish"],
      ["aegis.spine.fact.log_checkpoint.v1", "log:publish_checkpoint"],
      ["aegis.spine.fact.incident.v1", "facts:publish:incident"],
      ["own.v1", "facts:publish:own.v1"],
    ] as const)
      assert.equal(scopeOf(schema), scope);
    assert.ok(coversScope("a*", "a") && !coversScope("a", "ab") && !coversScope("ab*", "a*"));
  });
  it("never throw, and never let random objects through", () => {
    fc.assert(
      fc.property(
        fc.dictionary(fc.constantFrom(...Object.keys(tokenBy(alice)), "parent", "audience"), anyJson),
        (token) => {
          assert.notEqual(judged(token as JsonObject), undefined);
        },
      ),
    );
    fc.assert(fc.property(anyJson, (token) => assert.notEqual(judged(token), undefined)));
  });
});
