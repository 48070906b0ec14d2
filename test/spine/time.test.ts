/** RFC 3339 times against the builder's answers and against Date. */
import assert from "node:assert/strict";
import fc from "fast-check";
import { formatTime, MAX_TIME_SECONDS, parseTime } from "../../spine/index.ts";
import { describeShared, sharedJson } from "../helpers/shared.ts";
import { outcome } from "../helpers/throws.ts";

describeShared("timestamp vectors", ["vectors/spine/envelopes_invalid.json"], () => {
  const { builder_timestamps } = sharedJson<{ builder_timestamps: { issued_at: string; builder: string }[] }>(
    "vectors/spine/envelopes_invalid.json",
  );
  for (const c of builder_timestamps)
    it(JSON.stringify(c.issued_at), () => assert.equal(parseTime(c.issued_at) !== undefined, c.builder === "ok"));
});

describe("times", () => {
  it("format as Date does, and read back", () => {
    fc.assert(
      fc.property(fc.integer({ min: 0, max: MAX_TIME_SECONDS }), (seconds) => {
        const text = formatTime(seconds);
        assert.equal(text, new Date(seconds * 1000).toISOString().replace(".000Z", "Z"));
        assert.equal(parseTime(text), seconds * 1000);
      }),
    );
  });
  it("read every day of four centuries as Date does", () => {
    for (let day = -400 * 366; day < 400 * 366; day += 13) {
      const date = new Date(day * 86_400_000 + 12_345_678);
      assert.equal(parseTime(date.toISOString()), date.getTime());
    }
  });
  it("know offsets, fractions, leap seconds and years", () => {
    const second = Date.UTC(2026, 0, 1) as number;
    for (const [text, millis] of [
      ["2026-01-01T02:00:00+02:00", second],
      ["2025-12-31T23:00:00-01:00", second],
      ["2026-01-01t00:00:00z", second],
      ["2026-01-01 00:00:00.123456789Z", second + 123],
      ["2026-01-01T00:00:00.1Z", second + 100],
      ["2025-12-31T23:59:60Z", second],
      ["2026-01-01T00:00:00-00:00", second],
      ["2024-02-29T00:00:00Z", Date.UTC(2024, 1, 29)],
      ["0000-03-01T00:00:00Z", -62_162_035_200_000],
    ] as const)
      assert.equal(parseTime(text), millis, text);
    for (const text of [
      "2026-02-29T00:00:00Z",
      "2100-02-29T00:00:00Z",
      "2026-01-01T00:00:61Z",
      "2026-01-01T00:60:00Z",
      "2026-00-01T00:00:00Z",
      "2026-01-00T00:00:00Z",
      "2026-01-01T00:00:00+24:00",
      "2026-01-01T00:00:00+00:60",
      "2026-01-01T00:00:00+0000",
      "2026-01-01T00:00:00Z ",
      "2026-01-01T00:00:00Z\n",
      "+2026-01-01T00:00:00Z",
      "٢٠٢٦-01-01T00:00:00Z",
    ])
      assert.equal(parseTime(text), undefined, text);
  });
  it("refuse to format what has no four-digit year", () => {
    for (const seconds of [-1, 0.5, MAX_TIME_SECONDS + 1, Number.NaN])
      assert.equal(
        outcome(() => formatTime(seconds)),
        "envelope_time",
      );
  });
});
