/** Upstream's `CB` form: its own frames read and written, and everything without a JSON form refused. */
import assert from "node:assert/strict";
import fc from "fast-check";
import { canonicalText, decodeCbor, encodeCbor, fromHex, type Json, parseJson, toHex } from "../../spine/index.ts";
import { describeShared, sharedJson } from "../helpers/shared.ts";
import { outcome } from "../helpers/throws.ts";
import { anyJson } from "./arbitraries.ts";

interface Vectors {
  readonly envelopes: readonly { name: string; envelope_text: string; cbor_hex: string }[];
  readonly primitives: readonly { name: string; value_text: string; cbor_hex: string }[];
  readonly decode: readonly { name: string; input_hex: string; adapter: string }[];
}

describeShared("CB vectors", ["vectors/spine/reticulum_cbor.json"], () => {
  const { envelopes, primitives, decode } = sharedJson<Vectors>("vectors/spine/reticulum_cbor.json");
  for (const { name, envelope_text, cbor_hex } of envelopes)
    it(name, () => {
      const value = parseJson(envelope_text);
      assert.equal(canonicalText(decodeCbor(fromHex(cbor_hex))), canonicalText(value));
      assert.equal(canonicalText(decodeCbor(encodeCbor(value))), canonicalText(value));
    });
  for (const { name, value_text, cbor_hex } of primitives)
    it(`reads and writes ${name}`, () => {
      const value = parseJson(value_text);
      assert.equal(canonicalText(decodeCbor(fromHex(cbor_hex))), canonicalText(value));
      // Upstream writes integral floats as floats and keeps the order of keys; JSON knows neither.
      if (name !== "float_1_0" && name !== "map_order_kept") assert.equal(toHex(encodeCbor(value)), cbor_hex);
    });
  // What cbor2 takes and JSON has no form for, or reads in two ways.
  const REFUSED: Readonly<Record<string, string>> = {
    cbor_trailing_bytes: "frame_syntax",
    cbor_truncated: "frame_syntax",
    magic_only: "frame_syntax",
    cbor_int_key: "frame_syntax",
    cbor_bytes_value: "frame_syntax",
    cbor_tagged_date: "frame_syntax",
    cbor_indefinite_map: "frame_syntax",
    cbor_dup_key: "json_duplicate_key",
  };
  for (const { name, input_hex } of decode) {
    const code = REFUSED[name];
    if (code !== undefined)
      it(`refuses ${name}`, () =>
        assert.equal(
          outcome(() => decodeCbor(fromHex(input_hex))),
          code,
        ));
  }
  it("knows every case of its decoder list", () => {
    const others = ["json_fallback", "json_with_spaces", "fragment_refused", "empty", "z1_zlib_frame"];
    assert.deepEqual(decode.map(({ name }) => name).sort(), [...Object.keys(REFUSED), ...others].sort());
    for (const { name, input_hex } of decode)
      if (others.includes(name))
        assert.equal(
          outcome(() => decodeCbor(fromHex(input_hex))),
          "frame_syntax",
        );
  });
});

describe("CB form", () => {
  it("carries any JSON value", () => {
    fc.assert(
      fc.property(anyJson, (value: Json) => {
        const parsed = parseJson(canonicalText(value));
        assert.deepEqual(decodeCbor(encodeCbor(parsed)), parsed);
      }),
      { numRuns: 300 },
    );
  });
  for (const [what, hex, code] of [
    ["a half-precision number", "4342f93c00", "ok"],
    ["a single-precision number", "4342fa3fc00000", "ok"],
    ["not a number", "4342f97e00", "json_number"],
    ["infinity", "4342fb7ff0000000000000", "json_number"],
    ["undefined", "4342f7", "frame_syntax"],
    ["2^64 − 1", "43421bffffffffffffffff", "ok"],
    ["−2^64", "43423bffffffffffffffff", "json_number"],
    ["a count beyond the input", "43429b00000000ffffffff", "frame_syntax"],
    ["half a character", "434261c3", "frame_syntax"],
    ["128 levels", `4342${"81".repeat(129)}00`, "json_depth"],
  ] as const)
    it(`${code === "ok" ? "reads" : "refuses"} ${what}`, () =>
      assert.equal(
        outcome(() => decodeCbor(fromHex(hex))),
        code,
      ));
});
