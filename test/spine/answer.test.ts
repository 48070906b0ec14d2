/** Answers to range requests: totals first, segments that end verified, budgets, and holes. */
import assert from "node:assert/strict";
import {
  type Answer,
  AnswerBuilder,
  decodeFrame,
  EnvelopeState,
  type Frame,
  recordOffsets,
  type ServeEffect,
} from "../../spine/index.ts";
import { chainBy, keyOf, recordsOf } from "../helpers/mesh-harness.ts";
import { nativeVerify } from "../helpers/sim-ports.ts";

const alice = keyOf(2);
const garbage = new Uint8Array(64).fill(7);
const { chain: unchecked, signature: checked, unsigned } = EnvelopeState;

function answer(
  count: number,
  states: (seq: number) => number,
  over: Partial<ServeEffect> = {},
  bad: readonly number[] = [],
  skip: readonly number[] = [],
): Answer {
  const effect: ServeEffect = {
    type: "serve",
    link: "l",
    request: 9,
    issuer: alice.issuer,
    from: 1,
    to: count,
    maxItems: 10_000,
    maxBytes: 10_000_000,
    frameBytes: 524_288,
    ...over,
  };
  const builder = new AnswerBuilder(effect, nativeVerify);
  for (const envelope of chainBy(alice, count, (seq) => (bad.includes(seq) ? { signature: garbage } : {}))) {
    if (skip.includes(envelope.seq)) continue;
    const piece = {
      from: envelope.seq,
      count: 1,
      records: recordsOf([envelope]),
      states: Uint8Array.of(states(envelope.seq)),
    };
    if (!builder.add(piece)) break;
  }
  return builder.finish();
}
const framesOf = ({ frames }: Answer): Frame[] => frames.map((bytes) => decodeFrame(bytes));
const shape = (made: Answer): unknown[] =>
  framesOf(made).map((frame) =>
    frame.type === "segment"
      ? [frame.from, frame.count]
      : frame.type === "offer"
        ? frame.count
        : frame.type === "end"
          ? frame.reason
          : null,
  );

describe("AnswerBuilder", () => {
  it("announces exactly what follows, in segments of at most 256", () => {
    const made = answer(600, () => checked);
    assert.deepEqual(shape(made), [600, [1, 256], [257, 256], [513, 88], "done"]);
    const [offer, ...rest] = framesOf(made);
    const segments = rest.filter((frame) => frame.type === "segment");
    assert.equal(
      offer?.type === "offer" && offer.bytes,
      segments.reduce((sum, { records }) => sum + records.length, 0),
    );
    for (const { records, count } of segments) recordOffsets(records, count);
  });
  it("ends every segment at a verified envelope, checking on demand", () => {
    const made = answer(10, (seq) => (seq < 8 ? checked : unchecked));
    assert.deepEqual(shape(made), [10, [1, 10], "done"]);
    assert.deepEqual(made.changes, [{ issuer: alice.issuer, seq: 10, state: checked }]);
    assert.deepEqual(shape(answer(10, () => unchecked, {}, [9, 10])), [8, [1, 8], "limit"]);
    assert.deepEqual(shape(answer(10, (seq) => (seq === 4 ? checked : unsigned))), [4, [1, 4], "limit"]);
    assert.deepEqual(shape(answer(3, () => unsigned)), [0, "none"]);
  });
  it("keeps budgets of items, bytes and frames, but sends at least one", () => {
    assert.deepEqual(shape(answer(10, () => checked, { maxItems: 3 })), [3, [1, 3], "limit"]);
    assert.deepEqual(shape(answer(10, () => checked, { maxBytes: 1 })), [1, [1, 1], "limit"]);
    const small = answer(20, () => checked, { frameBytes: 2_048 });
    for (const bytes of small.frames) assert.ok(bytes.length <= 2_048);
    assert.equal(small.count, 20);
    assert.deepEqual(shape(answer(3, () => checked, { frameBytes: 100 })), [0, "none"]);
  });
  it("starts a new segment behind a hole, and says none for nothing", () => {
    assert.deepEqual(shape(answer(6, () => checked, {}, [], [3])), [5, [1, 2], [4, 3], "done"]);
    assert.deepEqual(shape(answer(0, () => checked)), [0, "none"]);
  });
});
