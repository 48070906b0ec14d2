/** The frame reader: any cut of the stream gives the same frames; bad lengths throw coded errors and nothing else. */
import assert from "node:assert/strict";
import fc from "fast-check";
import { FrameReader, prefixed } from "../../planes/frame-reader.ts";
import { concatBytes, SpineError } from "../../spine/index.ts";

const LIMIT = 70_000;

function readAll(reader: FrameReader): Uint8Array[] {
  const frames: Uint8Array[] = [];
  for (let frame = reader.next(); frame !== null; frame = reader.next()) frames.push(frame);
  return frames;
}
/** Cuts `bytes` at the given lengths, cyclically. */
function* cut(bytes: Uint8Array, lengths: readonly number[]): Generator<Uint8Array> {
  for (let at = 0, i = 0; at < bytes.length; i++) {
    const length = lengths[i % lengths.length] as number;
    yield bytes.subarray(at, at + length);
    at += length;
  }
}

describe("FrameReader", () => {
  it("gives back the frames that were written, however the stream is cut and read", () => {
    const frame = fc.oneof(
      fc.uint8Array({ minLength: 1, maxLength: 300 }),
      fc.integer({ min: 1, max: LIMIT }).map((length) => new Uint8Array(length).map((_, i) => i)),
    );
    const cuts = fc.array(fc.oneof(fc.integer({ min: 1, max: 5 }), fc.integer({ min: 1, max: 66_000 })), {
      minLength: 1,
      maxLength: 10,
    });
    fc.assert(
      fc.property(fc.array(frame, { maxLength: 6 }), cuts, fc.boolean(), (frames, lengths, eager) => {
        const reader = new FrameReader(LIMIT);
        const out: Uint8Array[] = [];
        for (const chunk of cut(concatBytes(...frames.map(prefixed)), lengths)) {
          reader.push(new Uint8Array(chunk));
          if (eager) out.push(...readAll(reader));
        }
        out.push(...readAll(reader));
        assert.equal(reader.partial, false);
        assert.deepEqual(
          out.map((bytes) => Buffer.from(bytes).toString("hex")),
          frames.map((bytes) => Buffer.from(bytes).toString("hex")),
        );
      }),
      { numRuns: 200 },
    );
  });
  it("throws only coded errors on random bytes", () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 200 }), (bytes) => {
        const reader = new FrameReader(100);
        reader.push(bytes);
        try {
          for (const frame of readAll(reader)) assert.ok(frame.length >= 1 && frame.length <= 100);
        } catch (error) {
          assert.ok(error instanceof SpineError && ["frame_size", "frame_syntax"].includes(error.code));
        }
      }),
      { numRuns: 2_000 },
    );
  });
  it("writes lengths as unsigned varints", () => {
    for (const [length, header] of [
      [1, "01"],
      [127, "7f"],
      [128, "8001"],
      [16_383, "ff7f"],
      [16_384, "808001"],
      [524_288, "808020"],
    ] as const) {
      assert.equal(
        Buffer.from(prefixed(new Uint8Array(length)))
          .toString("hex")
          .slice(0, header.length),
        header,
      );
    }
  });
  it("refuses lengths over the limit, over-long and not in their shortest form, as soon as they are read", () => {
    for (const [hex, code] of [
      ["65", "frame_size"],
      ["ffffff01", "frame_size"],
      ["808080", "frame_size"],
      ["8000", "frame_syntax"],
      ["81808000", "frame_size"],
      ["818000", "frame_syntax"],
    ] as const) {
      const reader = new FrameReader(100);
      reader.push(Buffer.from(hex, "hex"));
      assert.throws(() => reader.next(), { code }, hex);
    }
  });
  it("passes over keep-alives, also between the pieces of a header", () => {
    const reader = new FrameReader(LIMIT);
    for (const hex of ["000000", "00", "80", "01"]) {
      reader.push(Buffer.from(hex, "hex"));
      assert.equal(reader.next(), null);
    }
    assert.equal(reader.partial, true);
    reader.push(new Uint8Array(128));
    assert.equal(reader.next()?.length, 128);
    assert.equal(reader.partial, false);
  });
  it("copies small frames and does not copy large ones that arrived whole", () => {
    const reader = new FrameReader(LIMIT);
    const chunk = concatBytes(prefixed(new Uint8Array(10)), prefixed(new Uint8Array(10_000)));
    reader.push(chunk);
    assert.notEqual(reader.next()?.buffer, chunk.buffer);
    assert.equal(reader.next()?.buffer, chunk.buffer);
  });
});
