/** The bzip2 compressor against the decompressor, and against the bzip2 program where it is installed. */
import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { createHash } from "node:crypto";
import fc from "fast-check";
import { bunzip2 } from "../../../planes/reticulum/stack/bzip2.ts";
import { bzip2 } from "../../../planes/reticulum/stack/bzip2-compress.ts";
import { concatBytes, equalBytes, utf8 } from "../../../spine/index.ts";

const RUNS = Number(process.env["SPINE_FUZZ_RUNS"] ?? 200);

function noise(length: number): Uint8Array {
  const blocks = Array.from(
    { length: Math.ceil(length / 32) },
    (_, i) => new Uint8Array(createHash("sha256").update(`noise ${i}`).digest()),
  );
  return concatBytes(...blocks).subarray(0, length);
}

const CASES: readonly (readonly [string, Uint8Array])[] = [
  ["nothing", new Uint8Array(0)],
  ["one byte", Uint8Array.of(7)],
  ["each byte once", Uint8Array.from({ length: 256 }, (_, i) => i)],
  ["zeros", new Uint8Array(70_000)],
  ["a short period", utf8("aaaabbbbbbbbbbccccccc".repeat(3))],
  ["a long period", utf8("aaaabbbbbbbbbbccccccc".repeat(3000))],
  ["runs at the limits", concatBytes(...[3, 4, 5, 254, 255, 256, 259].map((n, i) => new Uint8Array(n).fill(i)))],
  ["noise", noise(20_000)],
  ["two blocks", concatBytes(noise(899_990), new Uint8Array(3))],
];

const PROGRAM = spawnSync("bzip2", ["--help"]).error === undefined;

describe("reticulum bzip2", () => {
  for (const [name, data] of CASES) {
    it(`gives ${name} back`, () => {
      const packed = bzip2(data);
      assert.ok(equalBytes(bunzip2(packed, data.length + 1), data));
      if (!PROGRAM) return;
      const { stdout, stderr } = spawnSync("bzip2", ["-dc"], { input: packed, maxBuffer: 2 ** 24 });
      assert.ok(equalBytes(new Uint8Array(stdout), data), stderr.toString());
    }).timeout(30_000);
  }
  it("gives anything back", () => {
    const runs = fc.array(fc.tuple(fc.integer({ min: 0, max: 3 }), fc.integer({ min: 1, max: 600 })), {
      maxLength: 12,
    });
    const some = fc.oneof(
      fc.uint8Array({ maxLength: 700 }),
      runs.map((all) => concatBytes(...all.map(([byte, length]) => new Uint8Array(length).fill(byte)))),
    );
    fc.assert(
      fc.property(some, (data) => equalBytes(bunzip2(bzip2(data), data.length + 1), data)),
      { numRuns: RUNS },
    );
  });
  it("makes text much smaller and noise hardly larger", () => {
    const text = utf8("Reticulum interoperability ".repeat(400));
    assert.ok(bzip2(text).length < text.length / 20);
    assert.ok(bzip2(noise(10_000)).length < 10_400);
  });
});
