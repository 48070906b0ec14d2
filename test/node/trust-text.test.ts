/** The fast reader of the trust file agrees with the YAML library on whatever it reads, and leaves the rest to it. */
import assert from "node:assert/strict";
import fc from "fast-check";
import { parse } from "yaml";
import { EMPTY_TRUST, readTrustLayout, trustText } from "../../node/index.ts";
import { keyOf } from "../helpers/mesh-harness.ts";

const key = fc.nat({ max: 30 }).map((n) => keyOf(n + 1).issuer);
const name = fc.oneof(
  fc.string({ maxLength: 12 }),
  fc.string({ unit: "grapheme", maxLength: 6 }),
  fc.constantFrom("true", "0x1", "12", "a: b", "a #b", "null", "é", "-", "a  b", " a", "a ", "a - b", "no way", "½ 1"),
  fc.constantFrom(
    "\u00a0a",
    "\ufeffa",
    "a\u2028b",
    "a\u0085b",
    "٣",
    "a\u0301",
    "\u0301a",
    "۞",
    "x".repeat(64),
    "de ".repeat(30),
  ),
);
const text = fc
  .record({
    revokers: fc.array(fc.record({ key, name, scope: fc.subarray(["node", "key"]), quorum: fc.nat() }), {
      maxLength: 3,
    }),
    issuers: fc.array(fc.record({ key, attests: fc.boolean(), recoveryKeyHash: fc.constant(`0x${"ab".repeat(32)}`) }), {
      maxLength: 3,
    }),
    witnessQuorum: fc.nat(),
  })
  .map((trust) => trustText({ ...EMPTY_TRUST, ...(trust as object) } as typeof EMPTY_TRUST));

function agrees(source: string): boolean {
  const fast = readTrustLayout(source);
  if (fast === undefined) return false;
  assert.deepEqual(JSON.parse(JSON.stringify(fast)), JSON.parse(JSON.stringify(parse(source) ?? {})), source);
  return true;
}

describe("the layout of the trust file", () => {
  it("is read as the YAML library reads it", () => {
    let read = 0;
    fc.assert(
      fc.property(text, (source) => {
        if (agrees(source)) read++;
      }),
      { numRuns: 200 },
    );
    assert.ok(read > 20, `${read} of 200 were read fast`);
    const keys = Array.from({ length: 20 }, (_, n) => ({ key: keyOf(n + 1).issuer, attests: n % 2 === 0 }));
    assert.ok(agrees(trustText({ ...EMPTY_TRUST, issuers: keys })));
    for (const label of ["Gate 4", "Gerät am Tor", "監視", "\u{1f6a8}".repeat(32)])
      assert.ok(agrees(trustText({ ...EMPTY_TRUST, logs: [{ key: keyOf(1).issuer, name: label }] })), label);
  }).timeout(120_000);

  it("is left to the YAML library wherever a line was changed into something else", () => {
    const pieces = fc.constantFrom(
      "",
      "#",
      "- ",
      "  ",
      ": ",
      "x",
      '"',
      "'",
      "true",
      "~",
      "---",
      "&a",
      "*a",
      "[",
      "{}",
      "\t",
      "\r",
      "1e3",
      "\n",
    );
    fc.assert(
      fc.property(text, fc.nat(), pieces, fc.nat({ max: 3 }), (source, at, piece, cut) => {
        const place = at % (source.length + 1);
        const changed = source.slice(0, place) + piece + source.slice(place + cut);
        if (readTrustLayout(changed) !== undefined) agrees(changed);
      }),
      { numRuns: 800 },
    );
  }).timeout(120_000);
});
