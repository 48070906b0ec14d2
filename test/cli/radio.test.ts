/** `spine radio airtime` against the published table of times on air. */
import assert from "node:assert/strict";
import { spine } from "../helpers/cli.ts";

describe("spine radio airtime", () => {
  // Spreading factor, bandwidth in kHz, milliseconds of 20 and 500 bytes, packets of 500 bytes an hour at 1 and 10 %.
  for (const [sf, khz, short, long, at1, at10] of [
    [7, 125, 73, 822, 44, 438],
    [8, 125, 123, 1435, 25, 251],
    [12, 125, 1810, 18_530, 2, 19],
    [8, 250, 68, 730, 49, 493],
  ] as const)
    it(`knows SF${sf} at ${khz} kHz`, async () => {
      const of = async (bytes: number, duty: number) => {
        const args = ["radio", "airtime", "--sf", sf, "--bw", khz * 1000, "--bytes", bytes, "--duty", duty, "--json"];
        return (await spine(args.map(String))).lines[0] as Record<string, number>;
      };
      const [small, large, more] = [await of(20, 1), await of(500, 1), await of(500, 10)];
      assert.equal(Math.round(small["airtime_ms"] as number), short);
      assert.equal(Math.round(large["airtime_ms"] as number), long);
      assert.ok(Math.abs((large["packets_per_hour_with_reserve"] as number) - at1) <= 1);
      assert.ok(Math.abs((more["packets_per_hour_with_reserve"] as number) - at10) <= 1);
      assert.ok((large["packets_per_hour"] as number) <= 0.9 * at1);
    });

  it("takes the duty cycle of the band, says it in words, and refuses what cannot be", async () => {
    const { out, code } = await spine(["radio", "airtime", "--frequency", "869525000"]);
    assert.equal(code, 0);
    assert.match(out, /^355 bytes: [\d.]+ ms on air/);
    assert.match(out, /\n10 % of an hour is 360 s: \d+ such packets/);
    for (const args of [
      ["--sf", "4"],
      ["--bytes", "501"],
      ["--bytes", "1.5"],
      ["--duty", "0"],
    ])
      assert.equal((await spine(["radio", "airtime", ...args])).code, 2, args.join(" "));
  });
});
