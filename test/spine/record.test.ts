/** The record codec: round trips, slices and refusals. */
import assert from "node:assert/strict";
import fc from "fast-check";
import {
  concatBytes,
  MAX_ENVELOPE_BYTES,
  RECORD_OVERHEAD_BYTES,
  type Run,
  recordOffsets,
  SpineError,
  sliceRun,
  splitRecord,
  walkRecords,
  writeRecord,
} from "../../spine/index.ts";

const signature = fc.uint8Array({ minLength: 64, maxLength: 64 });
const record = fc.tuple(fc.uint8Array({ minLength: 1, maxLength: 300 }), signature);

function refused(action: () => unknown): void {
  assert.throws(action, (error: unknown) => error instanceof SpineError && error.code === "frame_syntax");
}

describe("record", () => {
  it("is the big-endian length, the signing bytes, the signature", () => {
    const bytes = writeRecord(new Uint8Array(258).fill(5), new Uint8Array(64).fill(9));
    assert.deepEqual([...bytes.subarray(0, 6)], [0, 0, 1, 2, 5, 5]);
    assert.equal(bytes.length, RECORD_OVERHEAD_BYTES + 258);
    assert.deepEqual([...bytes.subarray(-65)], [5, ...new Uint8Array(64).fill(9)]);
  });

  it("reads back what it wrote, as views", () => {
    fc.assert(
      fc.property(fc.array(record, { maxLength: 8 }), (records) => {
        const bytes = concatBytes(...records.map(([signing, sig]) => writeRecord(signing, sig)));
        const read = [...walkRecords(bytes)];
        assert.deepEqual(
          read.map((one) => [[...one.signingBytes], [...one.signature]]),
          records.map(([signing, sig]) => [[...signing], [...sig]]),
        );
        for (const one of read) assert.equal(one.signingBytes.buffer, bytes.buffer);
        const offsets = recordOffsets(bytes, records.length);
        for (const [i, [signing]] of records.entries()) {
          const split = splitRecord(bytes, offsets[i] as number, offsets[i + 1] as number);
          assert.deepEqual([...split.signingBytes], [...signing]);
        }
      }),
    );
  });

  it("throws nothing but its code on any bytes", () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 400 }), fc.nat(5), (bytes, count) => {
        for (const read of [() => [...walkRecords(bytes)], () => recordOffsets(bytes, count)]) {
          try {
            read();
          } catch (error) {
            assert.ok(error instanceof SpineError && error.code === "frame_syntax");
          }
        }
      }),
      { numRuns: process.env["SPINE_LONG"] === "1" ? 1_000_000 : 1000 },
    );
  });

  it("refuses every truncation, every wrong count, and lengths out of range", () => {
    const bytes = concatBytes(...[1, 2].map((n) => writeRecord(new Uint8Array(n), new Uint8Array(64))));
    for (let cut = 1; cut < bytes.length; cut++) refused(() => recordOffsets(bytes.subarray(0, cut), 2));
    for (const count of [0, 1, 3]) refused(() => recordOffsets(bytes, count));
    refused(() => recordOffsets(concatBytes(bytes, Uint8Array.of(0)), 2));
    refused(() => writeRecord(new Uint8Array(0), new Uint8Array(64)));
    refused(() => writeRecord(new Uint8Array(MAX_ENVELOPE_BYTES + 1), new Uint8Array(64)));
    refused(() => writeRecord(new Uint8Array(1), new Uint8Array(63)));
    refused(() => recordOffsets(new Uint8Array(RECORD_OVERHEAD_BYTES), 1));
    refused(() => recordOffsets(new Uint8Array(100).fill(255), 1));
    const largest = writeRecord(new Uint8Array(MAX_ENVELOPE_BYTES), new Uint8Array(64));
    assert.equal(recordOffsets(largest, 1)[1], largest.length);
  });

  it("slices a run to any range without copying", () => {
    const parts = [3, 1, 7, 2].map((n) => writeRecord(new Uint8Array(n).fill(n), new Uint8Array(64)));
    const run: Run = {
      issuer: "i",
      from: 10,
      hashes: ["a", "b", "c", "d"],
      records: concatBytes(...parts),
      states: Uint8Array.of(0, 1, 2, 0),
    };
    for (let from = 8; from <= 15; from++) {
      for (let to = 8; to <= 15; to++) {
        const slice = sliceRun(run, from, to);
        const wanted = [10, 11, 12, 13].filter((seq) => from <= seq && seq <= to);
        assert.equal(slice === undefined, wanted.length === 0);
        if (slice === undefined) continue;
        const indexes = wanted.map((seq) => seq - 10);
        assert.equal(slice.from, wanted[0]);
        assert.deepEqual(
          slice.hashes,
          indexes.map((i) => run.hashes[i]),
        );
        assert.deepEqual(
          [...slice.states],
          indexes.map((i) => run.states[i]),
        );
        assert.deepEqual(slice.records, concatBytes(...indexes.map((i) => parts[i] as Uint8Array)));
        assert.equal(slice.records.buffer, run.records.buffer);
      }
    }
  });
});
