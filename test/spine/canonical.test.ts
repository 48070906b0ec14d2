/** Canonical JSON and the lossless parser against upstream's answers, and as properties. */
import assert from "node:assert/strict";
import fc from "fast-check";
import {
  assertPortable,
  canonicalText,
  fromHex,
  hasC1,
  type Json,
  nobleSha256Hex,
  parseJson,
  utf8,
  withC1Escaped,
} from "../../spine/index.ts";
import { describeShared, sharedJson } from "../helpers/shared.ts";
import { outcome, throwsCode } from "../helpers/throws.ts";
import { anyJson } from "./arbitraries.ts";
import { differs } from "./deviations.ts";

interface CanonicalCase {
  readonly name: string;
  readonly input_text: string;
  readonly canonical: string;
  readonly sha256: string;
  readonly canonical_utf16_order?: string;
  readonly sha256_utf16_order?: string;
  readonly divergence: readonly string[];
}

function countKeys(value: unknown): number {
  if (typeof value !== "object" || value === null) return 0;
  const own = Array.isArray(value) ? 0 : Object.keys(value).length;
  return Object.values(value).reduce<number>((sum, child) => sum + countKeys(child), own);
}

/** Written apart from the parser: more keys in the text, or in a discarded value, than JSON.parse keeps. */
function hasDuplicateKeys(text: string): boolean {
  const keys = text.match(/"(?:[^"\\]|\\.)*"\s*:/g) ?? [];
  return keys.length > countKeys(JSON.parse(text));
}

describeShared("canonical vectors", ["vectors/spine/canonical.json"], () => {
  const { cases } = sharedJson<{ cases: CanonicalCase[] }>("vectors/spine/canonical.json");
  for (const c of cases) {
    it(c.name, () => {
      assert.equal(differs("canonical.json", c.name), hasDuplicateKeys(c.input_text));
      if (differs("canonical.json", c.name)) return throwsCode(() => parseJson(c.input_text), "json_duplicate_key");
      const text = canonicalText(parseJson(c.input_text), "escaped");
      const expected = c.canonical_utf16_order ?? c.canonical;
      if (c.divergence.includes("float_parse_rounding")) {
        // Upstream's parser rounds wrongly. Ours must agree with the exact reading of every number instead.
        assert.notEqual(text, expected);
        assert.deepEqual(JSON.parse(text), JSON.parse(c.input_text));
        return;
      }
      assert.equal(text, expected);
      assert.equal(`0x${nobleSha256Hex(utf8(text))}`, c.sha256_utf16_order ?? c.sha256);
      assert.equal(canonicalText(parseJson(text), "escaped"), text);
      assert.equal(withC1Escaped(canonicalText(parseJson(c.input_text))), text);
    });
  }
});

describeShared("canonical reject vectors", ["vectors/spine/canonical_rejects.json"], () => {
  const { cases } = sharedJson<{ cases: { name: string; input_hex: string }[] }>(
    "vectors/spine/canonical_rejects.json",
  );
  for (const c of cases)
    it(c.name, () =>
      assert.match(
        outcome(() => parseJson(fromHex(c.input_hex))),
        /^json_/,
      ),
    );
});

describe("canonicalText and parseJson", () => {
  it("are inverse: parse ∘ write ∘ parse ∘ write changes nothing", () => {
    fc.assert(
      fc.property(anyJson, fc.constantFrom<"raw" | "escaped">("raw", "escaped"), (value, c1) => {
        const text = canonicalText(value, c1);
        const again = parseJson(text);
        assert.equal(canonicalText(again, c1), text);
        assert.deepEqual(parseJson(utf8(canonicalText(again, c1))), again);
        assert.equal(c1 === "escaped" && hasC1(text), false);
      }),
    );
  });
  it("agree with JSON.parse on its exact ground", () => {
    fc.assert(
      fc.property(fc.json(), (text) => {
        const reference: unknown = JSON.parse(text);
        const ours = JSON.parse(canonicalText(parseJson(text)), (_, v: unknown) =>
          Object.is(v, -0) ? 0 : v,
        ) as unknown;
        assert.deepEqual(ours, JSON.parse(JSON.stringify(reference)));
      }),
    );
  });
  it("keep integers exact up to i64 and u64, and round beyond", () => {
    for (const text of ["9007199254740991", "9007199254740993", "18446744073709551615", "-9223372036854775808"])
      assert.equal(canonicalText(parseJson(text)), text);
    assert.equal(typeof parseJson("9007199254740991"), "number");
    assert.equal(parseJson("9007199254740993"), 9007199254740993n);
    assert.equal(canonicalText(parseJson("18446744073709551616")), "18446744073709552000");
    assert.equal(canonicalText(parseJson("-9223372036854775809")), "-9223372036854776000");
    assert.equal(canonicalText(parseJson("[-0,-0.0,0e5]")), "[0,0,0]");
    assert.equal(canonicalText(parseJson(`1${"0".repeat(300)}`)), "1e+300");
  });
  it("treat __proto__ as an ordinary key", () => {
    const value = parseJson('{"__proto__":{"polluted":true},"constructor":1,"toString":2}');
    assert.equal(canonicalText(value), '{"__proto__":{"polluted":true},"constructor":1,"toString":2}');
    assert.equal(({} as Record<string, unknown>)["polluted"], undefined);
  });
  it("sort keys by UTF-16 code units", () => {
    assert.equal(canonicalText(parseJson('{"\\ue000":1,"\\ud801\\udc37":2}')), '{"\u{10437}":2,"\ue000":1}');
  });
  it("refuse with a code that names the fault", () => {
    const table: readonly (readonly [string, string])[] = [
      ['{"a":1,"a":2}', "json_duplicate_key"],
      ['{"a":1,"\\u0061":2}', "json_duplicate_key"],
      ['{"__proto__":1,"__proto__":2}', "json_duplicate_key"],
      ['"\\ud800"', "json_lone_surrogate"],
      ['"\\udc00\\ud800"', "json_lone_surrogate"],
      ['{"\\ud800":1}', "json_lone_surrogate"],
      ['"\ud800"', "json_lone_surrogate"],
      ["1e400", "json_number"],
      ["-1e400", "json_number"],
      ["9".repeat(400), "json_number"],
      ["[".repeat(128) + "]".repeat(128), "json_depth"],
      [`${'{"a":'.repeat(128)}1${"}".repeat(128)}`, "json_depth"],
      ["\ufeff1", "json_syntax"],
      ["1 2", "json_syntax"],
      ["", "json_syntax"],
      [" ", "json_syntax"],
      ["[1,]", "json_syntax"],
      ['{"a":1,}', "json_syntax"],
      ["// c\n1", "json_syntax"],
      ["1/**/", "json_syntax"],
      ["+1", "json_syntax"],
      ["1.", "json_syntax"],
      ["1e", "json_syntax"],
      ["-", "json_syntax"],
      ["00", "json_syntax"],
      ["'a'", "json_syntax"],
      ["{a:1}", "json_syntax"],
      ["Infinity", "json_syntax"],
      ["nul", "json_syntax"],
      ["nulll", "json_syntax"],
      ["\u00a01", "json_syntax"],
      ['"\\x41"', "json_syntax"],
      ['"\\u12g4"', "json_syntax"],
      ['"a', "json_syntax"],
      ['"a\nb"', "json_syntax"],
    ];
    for (const [text, code] of table)
      assert.equal(
        outcome(() => parseJson(text)),
        code,
        text.slice(0, 40),
      );
    assert.equal(
      outcome(() => parseJson(Uint8Array.of(0xef, 0xbb, 0xbf, 0x31))),
      "json_syntax",
    );
    assert.equal(
      outcome(() => parseJson("[".repeat(127) + "]".repeat(127))),
      "ok",
    );
    assert.equal(
      outcome(() => parseJson(`${'{"a":'.repeat(127)}1${"}".repeat(127)}`)),
      "ok",
    );
  });
  it("refuse to write what is no JSON", () => {
    assert.equal(
      outcome(() => canonicalText(Number.NaN)),
      "json_number",
    );
    assert.equal(
      outcome(() => canonicalText("\udc00")),
      "json_lone_surrogate",
    );
    assert.equal(
      outcome(() => canonicalText({ a: undefined } as unknown as Json)),
      "not_portable",
    );
    const cyclic: Record<string, Json> = {};
    cyclic["self"] = cyclic;
    assert.equal(
      outcome(() => canonicalText(cyclic)),
      "json_depth",
    );
  });
});

describe("assertPortable", () => {
  const deep = (levels: number): Json => JSON.parse("[".repeat(levels) + "]".repeat(levels)) as Json;
  it("accepts what every implementation spells alike", () => {
    for (const value of [
      { load: [0.25, 1, 2e-7, -1.5], text: "\u{1f6a8} \u00a0", n: Number.MAX_SAFE_INTEGER, b: 5n, "\ue000": null },
      0.123456789012345,
      1e-300,
      deep(100),
    ])
      assert.equal(
        outcome(() => assertPortable(value)),
        "ok",
      );
  });
  it("names the path of what it refuses", () => {
    const cases: readonly (readonly [unknown, RegExp])[] = [
      [{ a: [1, "x\u0085"] }, /^fact\.a\[1\]: /],
      [{ "k\u007f": 1 }, /^fact\.k\u007f: key/],
      [{ "k\u{1f6a8}": 1 }, /above U\+FFFF/],
      [{ a: { b: 2 ** 53 } }, /^fact\.a\.b: integer/],
      [{ a: 2n ** 53n }, /^fact\.a: integer/],
      [{ a: 0.9073038322028689 }, /^fact\.a: more than 15/],
      [{ a: 1e300 }, /^fact\.a: integer/],
      [{ a: Number.POSITIVE_INFINITY }, /^fact\.a: /],
      [{ a: "\ud800" }, /half a surrogate/],
      [{ a: undefined }, /^fact\.a: a value of type undefined/],
      [{ a: new Map() }, /^fact\.a: only plain objects/],
      [deep(101), /more than 100 levels/],
    ];
    for (const [value, message] of cases) throwsCode(() => assertPortable(value, "fact"), "not_portable", message);
  });
  it("implies that the raw and escaped forms, and JSON.stringify of sorted keys, agree", () => {
    fc.assert(
      fc.property(anyJson, (value) => {
        if (outcome(() => assertPortable(value)) !== "ok") return;
        const text = canonicalText(value);
        assert.equal(canonicalText(value, "escaped"), text);
        assert.equal(canonicalText(JSON.parse(text) as Json), text);
      }),
    );
  });
});
