/** Sketches of sets, and statements made of them: what two sets differ in comes out, or it is said that it is too much. */
import assert from "node:assert/strict";
import fc from "fast-check";
import { Rng } from "../../sim/index.ts";
import {
  decodeStatement,
  differ,
  encodeStatement,
  LARGE_SKETCH,
  MAX_STATED_LOGS,
  SMALL_SKETCH,
  SpineError,
  sketchItem,
  sketchOf,
} from "../../spine/index.ts";
import { nativeSha256Hex } from "../helpers/sim-ports.ts";

function numbers(rng: Rng, count: number): number[] {
  return Array.from({ length: count }, () => rng.integer(1, 0xffff_ffff) >>> 0);
}

describe("a sketch of a set", () => {
  it("tells all differences up to its room, whatever both hold beside them", () => {
    const rng = new Rng(1);
    for (const [common, mine, theirs, syndromes] of [
      [0, 0, 0, SMALL_SKETCH],
      [1_000, 0, 0, SMALL_SKETCH],
      [0, 5, 0, SMALL_SKETCH],
      [300, 3, 2, SMALL_SKETCH],
      [300, 0, 5, SMALL_SKETCH],
      [50, 40, 23, LARGE_SKETCH],
    ] as const) {
      const [both, own, other] = [numbers(rng, common), numbers(rng, mine), numbers(rng, theirs)];
      const found = differ([...both, ...own], sketchOf([...other, ...both], syndromes), common + theirs);
      assert.deepEqual(found, { otherLacks: own, lacking: theirs });
    }
  });

  it("says when the sets differ in more, and never makes up what is not so", () => {
    const rng = new Rng(2);
    for (let round = 0; round < 300; round++) {
      const more = SMALL_SKETCH + rng.integer(0, 19);
      const mine = rng.integer(0, more);
      const [both, own, other] = [numbers(rng, 20), numbers(rng, mine), numbers(rng, more - mine)];
      assert.equal(differ([...both, ...own], sketchOf([...other, ...both], SMALL_SKETCH), 20 + more - mine), undefined);
    }
  });

  it("takes any sums for what they are: hostile ones are told from true ones or harmless", () => {
    fc.assert(
      fc.property(
        fc.array(fc.integer({ min: 1, max: 0xffff_ffff }), { maxLength: 20 }),
        fc.uint32Array({ maxLength: LARGE_SKETCH }),
        fc.nat(1_000),
        (items, sums, others) => {
          const found = differ(items, sums, others);
          if (found !== undefined) assert.ok(found.otherLacks.every((one) => items.includes(one)));
        },
      ),
      { numRuns: 200 },
    );
  });
});

describe("a statement", () => {
  const hash = `0x${"ab".repeat(32)}`;
  const usual = {
    reply: false,
    salt: 7,
    revocations: 12,
    sketch: sketchOf([1, 2, 3], SMALL_SKETCH),
    logs: [{ name: "01020304", seq: 70 }],
  };

  it("of a usual size fits three blocks of a packet with its sender and code", () => {
    assert.equal(encodeStatement(usual).length + 11, 45);
    assert.deepEqual(decodeStatement(encodeStatement(usual)), usual);
  });

  it("of the largest size fits one encrypted packet", () => {
    const logs = Array.from({ length: MAX_STATED_LOGS }, (_, i) => ({ name: `0102030${i}`, seq: 2 ** 40 }));
    const sketch = sketchOf([5], LARGE_SKETCH);
    const bytes = encodeStatement({ ...usual, revocations: 100_000, sketch, logs });
    assert.ok(bytes.length + 11 <= 383, `${bytes.length}`);
    assert.deepEqual(decodeStatement(bytes).logs, logs);
  });

  it("gives one hash another number with another salt, and none the number 0", () => {
    assert.notEqual(sketchItem(hash, 1, nativeSha256Hex), sketchItem(hash, 2, nativeSha256Hex));
    assert.equal(
      sketchItem(hash, 1, () => "0".repeat(64)),
      1,
    );
  });

  it("that is cut, too long or of another kind is refused", () => {
    const bytes = encodeStatement(usual);
    const refused = (wrong: Uint8Array): void =>
      assert.throws(
        () => decodeStatement(wrong),
        (caught) => caught instanceof SpineError && caught.code === "frame_syntax",
      );
    for (let length = 0; length < bytes.length; length++) refused(bytes.subarray(0, length));
    refused(Uint8Array.of(...bytes, 0));
    refused(Uint8Array.of(2, ...bytes.subarray(1)));
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 400 }), (noise) => {
        try {
          decodeStatement(noise);
        } catch (caught) {
          assert.ok(caught instanceof SpineError && caught.code === "frame_syntax");
        }
      }),
      { numRuns: 300 },
    );
  });
});
