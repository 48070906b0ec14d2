/** Random JSON values and envelopes for the property tests. */
import fc from "fast-check";
import type { Json } from "../../spine/index.ts";

/** Any JSON value, with unicode in strings and keys, exact integers and odd doubles. */
export const anyJson: fc.Arbitrary<Json> = fc.letrec<{ value: Json }>((tie) => ({
  value: fc.oneof(
    { maxDepth: 4, depthSize: "small" },
    fc.constantFrom<Json>(null, true, false, 0, 1e21, 1e-7, 2 ** 53, "\u0080\u007f\u009f", "\u{1f6a8}"),
    fc.integer(),
    fc.double({ noNaN: true, noDefaultInfinity: true }).map((x) => (x === 0 ? 0 : x)),
    fc.bigInt({ min: 2n ** 53n, max: 2n ** 64n - 1n }),
    fc.bigInt({ min: -(2n ** 63n), max: -(2n ** 53n) }),
    fc.string({ unit: "binary" }),
    fc.array(tie("value"), { maxLength: 4 }),
    fc
      .array(fc.tuple(fc.string({ unit: "binary", maxLength: 6 }), tie("value")), { maxLength: 5 })
      .map((entries) => Object.assign(Object.create(null), Object.fromEntries(entries)) as Json),
  ),
})).value;
