/** The link rule against the later upstream's verdicts. */
import assert from "node:assert/strict";
import { chainHeadOf, chainLinkOf, linkVerdict, parseJson, SpineError } from "../../spine/index.ts";
import { describeShared, sharedJson } from "../helpers/shared.ts";
import { outcome } from "../helpers/throws.ts";

/** Upstream's name of our verdict; errors name the field. */
function verdictOf(headText: string, envelopeText: string): string {
  const names = {
    "new-chain": "NewChain",
    continuation: "ValidContinuation",
    "invalid-head": "InvalidChainHead",
    "seq-mismatch": "SequenceMismatch",
    "prev-mismatch": "HashMismatch",
  };
  try {
    const head = parseJson(headText);
    return names[linkVerdict(head === null ? null : chainHeadOf(head), chainLinkOf(parseJson(envelopeText))).type];
  } catch (error) {
    assert.ok(error instanceof SpineError);
    assert.equal(error.code, "envelope_field");
    return `error:missing_${error.message.split(" ")[0]}`;
  }
}

describeShared("chain link vectors", ["vectors/spine/chain_links.json"], () => {
  const { cases } = sharedJson<{
    cases: { name: string; head_text: string; envelope_text: string; verdict: string }[];
  }>("vectors/spine/chain_links.json");
  for (const c of cases)
    it(`${c.name}: ${c.verdict}`, () => assert.equal(verdictOf(c.head_text, c.envelope_text), c.verdict));
});

describe("linkVerdict", () => {
  const issuer = `aegis:ed25519:${"ab".repeat(32)}`;
  const hash = `0x${"01".repeat(32)}`;
  it("tolerates a chain that starts at 0, and only there", () => {
    assert.deepEqual(linkVerdict(null, { issuer, seq: 0, prev: null }), { type: "new-chain" });
    assert.deepEqual(linkVerdict(null, { issuer, seq: 0n, prev: null }), { type: "new-chain" });
    assert.deepEqual(linkVerdict(null, { issuer, seq: 0, prev: hash }), { type: "invalid-head" });
    assert.deepEqual(linkVerdict({ issuer, seq: 0, hash }, { issuer, seq: 1, prev: hash }), { type: "continuation" });
    assert.deepEqual(linkVerdict({ issuer, seq: 1, hash }, { issuer, seq: 0, prev: null }), {
      type: "seq-mismatch",
      expectedSeq: 2,
      actualSeq: 0,
    });
  });
  it("compares seq before prev, and exactly beyond 2^53", () => {
    const head = { issuer, seq: 2n ** 53n, hash };
    assert.deepEqual(linkVerdict(head, { issuer, seq: 2n ** 53n + 1n, prev: hash }), { type: "continuation" });
    assert.deepEqual(linkVerdict(head, { issuer, seq: 2n ** 53n + 2n, prev: null }), {
      type: "seq-mismatch",
      expectedSeq: 2n ** 53n + 1n,
      actualSeq: 2n ** 53n + 2n,
    });
    assert.deepEqual(linkVerdict({ issuer, seq: 1, hash }, { issuer, seq: 2, prev: null }), {
      type: "prev-mismatch",
      expectedPrev: hash,
      actualPrev: null,
    });
    assert.deepEqual(linkVerdict({ issuer: `${issuer}0`, seq: 1, hash }, { issuer, seq: 2, prev: hash }), {
      type: "invalid-head",
    });
  });
  it("reads links and head records strictly", () => {
    const link = { issuer, seq: 1, prev_envelope_hash: null };
    for (const [change, code] of [
      [{}, "ok"],
      [{ prev_envelope_hash: undefined }, "envelope_field"],
      [{ seq: 1.5 }, "envelope_field"],
      [{ issuer: 1 }, "envelope_field"],
      [{ issuer: "x" }, "issuer_syntax"],
    ] as const)
      assert.equal(
        outcome(() => chainLinkOf(parseJson(JSON.stringify({ ...link, ...change })))),
        code,
      );
    const head = { issuer, seq: 1, envelope_hash: hash };
    for (const [change, code] of [
      [{}, "ok"],
      [{ extra: 1 }, "envelope_field"],
      [{ envelope_hash: null }, "envelope_field"],
    ] as const)
      assert.equal(
        outcome(() => chainHeadOf(parseJson(JSON.stringify({ ...head, ...change })))),
        code,
      );
    assert.equal(
      outcome(() => chainLinkOf([])),
      "envelope_field",
    );
    assert.equal(
      outcome(() => chainHeadOf(null)),
      "envelope_field",
    );
  });
});
