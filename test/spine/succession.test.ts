/** Genesis facts, successions and rotations: what is written reads back, and every altered field is noticed (rules 7). */
import assert from "node:assert/strict";
import {
  actsAlone,
  checkFact,
  commitToKey,
  draftRotation,
  draftSuccession,
  factTier,
  genesisFact,
  type HandoverInput,
  type Json,
  type JsonObject,
  nobleVerify,
  readGenesis,
  readHandover,
  sealHandover,
} from "../../spine/index.ts";
import { namedKey, sha256Hex } from "../helpers/crypto.ts";
import { throwsCode } from "../helpers/throws.ts";

const [owner, recovery, next, other] = ["owner", "recovery", "next", "other"].map(namedKey) as [
  ReturnType<typeof namedKey>,
  ReturnType<typeof namedKey>,
  ReturnType<typeof namedKey>,
  ReturnType<typeof namedKey>,
];
const CREATED_AT = 1_800_000_000;

const init = {
  issuer: owner.issuer,
  recoveryKey: recovery.publicKey,
  nextKey: next.publicKey,
  createdAt: CREATED_AT,
  factId: "gen_1",
};

describe("genesis", () => {
  it("commits to both keys and reads back", () => {
    const fact = genesisFact(init, sha256Hex);
    checkFact(fact);
    assert.deepEqual(readGenesis(owner.issuer, 1, fact, sha256Hex), {
      issuer: owner.issuer,
      recovery: commitToKey(recovery.publicKey, sha256Hex),
      next: commitToKey(next.publicKey, sha256Hex),
      createdAtMs: CREATED_AT * 1000,
    });
    assert.ok(!JSON.stringify(fact).includes(recovery.issuer.slice(-64)), "the keys stay secret until used");
    assert.deepEqual([factTier(fact["schema"] as string), actsAlone(fact["schema"] as string)], [2, true]);
  });
  it("needs three different keys", () => {
    for (const twice of [
      { nextKey: recovery.publicKey },
      { nextKey: owner.publicKey },
      { recoveryKey: owner.publicKey },
    ])
      throwsCode(() => genesisFact({ ...init, ...twice }, sha256Hex), "fact_invalid", /three keys/);
    throwsCode(() => genesisFact({ ...init, nextKey: new Uint8Array(31) }, sha256Hex), "public_key_invalid");
  });
  it("stands at seq 1 only, in its one shape", () => {
    const fact = genesisFact(init, sha256Hex);
    for (const seq of [0, 2]) throwsCode(() => readGenesis(owner.issuer, seq, fact, sha256Hex), "fact_invalid");
    const hash = fact["recovery_key_hash"] as string;
    for (const change of [
      { recovery_key_hash: hash.toUpperCase() },
      { recovery_key_hash: undefined as unknown as Json },
      { next_key_hash: hash },
      { created_at: "soon" },
      { more: 1 },
    ])
      throwsCode(() => readGenesis(owner.issuer, 1, { ...fact, ...change }, sha256Hex), "fact_invalid");
  });
});

const input: HandoverInput = {
  factId: "suc_1",
  old: owner.issuer,
  lastSeq: 7,
  lastHash: `0x${"ab".repeat(32)}`,
  successor: next.issuer,
  issuedAt: CREATED_AT,
};

function succession(changes: Partial<HandoverInput> = {}): JsonObject {
  const draft = draftSuccession({ ...input, ...changes }, recovery.publicKey);
  return sealHandover(draft, recovery.sign(draft.signingBytes), next.sign(draft.signingBytes));
}
function rotation(changes: Partial<HandoverInput> = {}): JsonObject {
  const draft = draftRotation({ ...input, ...changes });
  return sealHandover(draft, owner.sign(draft.signingBytes), next.sign(draft.signingBytes));
}

for (const [kind, make, first, right] of [
  ["succession", succession, recovery, recovery],
  ["rotation", rotation, owner, next],
] as const)
  describe(kind, () => {
    const fact = make();
    it("reads back with two claims that verify", () => {
      checkFact(fact);
      const { handover, claims } = readHandover(fact, sha256Hex);
      assert.deepEqual(handover, {
        kind,
        old: owner.issuer,
        lastSeq: 7,
        lastHash: input.lastHash,
        successor: next.issuer,
        right: commitToKey(right.publicKey, sha256Hex),
      });
      assert.deepEqual(
        claims.map(({ key }) => key),
        [first.publicKey, next.publicKey],
      );
      assert.ok(claims.every(nobleVerify));
      assert.deepEqual([factTier(fact["schema"] as string), actsAlone(fact["schema"] as string)], [2, true]);
      readHandover(make({ lastSeq: 0, lastHash: null }), sha256Hex);
    });
    it("covers every field by both signatures", () => {
      for (const [field, value] of [
        ["schema", `clawdstrike.spine.fact.${kind}.v1`],
        ["fact_id", "x"],
        ["old_issuer", other.issuer],
        ["last_seq", 8],
        ["last_hash", `0x${"ac".repeat(32)}`],
        ["new_issuer", other.issuer],
        ["issued_at", "2026-01-01T00:00:00Z"],
      ] as const) {
        const { claims } = readHandover({ ...fact, [field]: value }, sha256Hex);
        assert.deepEqual(claims.map(nobleVerify), [false, false], field);
      }
    });
    it("refuses what makes no sense", () => {
      for (const change of [
        { lastSeq: 0 },
        { lastHash: null },
        { successor: owner.issuer },
        { lastSeq: 2 ** 53 },
        { lastHash: "0x00" },
        { old: `aegis:ed25519:01${"00".repeat(31)}` },
      ])
        throwsCode(() => readHandover(make(change), sha256Hex), "fact_invalid");
      for (const change of [{ new_signature: "0x00" }, { new_signature: null }, { more: 1 }, { last_seq: "7" }])
        throwsCode(() => readHandover({ ...fact, ...change }, sha256Hex), "fact_invalid");
      for (const value of [null, [], "x", { schema: "aegis.spine.fact.heartbeat.v1" }])
        throwsCode(() => readHandover(value, sha256Hex), "fact_invalid");
    });
  });

describe("succession", () => {
  it("never makes the recovery key an issuer", () =>
    throwsCode(() => readHandover(succession({ successor: recovery.issuer }), sha256Hex), "fact_invalid"));
  it("is no rotation, whatever it calls itself", () => {
    const fact = { ...succession(), schema: "aegis.spine.fact.rotation.v1" };
    throwsCode(() => readHandover(fact, sha256Hex), "fact_invalid");
  });
});
