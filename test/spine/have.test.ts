/** Have-ranges against a naive model: a set of seqs. */
import assert from "node:assert/strict";
import fc from "fast-check";
import {
  clipSpans,
  type HaveRange,
  holds,
  joinRange,
  RangeBudget,
  replaceFrom,
  type Span,
  subtractSpans,
  topOf,
  uniteSpans,
} from "../../spine/index.ts";

const hashAt = (seq: number): string => `h${seq}`;
const piece = (from: number, to: number): HaveRange => ({
  from,
  to,
  prev: from <= 1 ? null : hashAt(from - 1),
  last: hashAt(to),
});
const seqsOf = (spans: readonly Span[]): Set<number> => {
  const out = new Set<number>();
  for (const { from, to } of spans) for (let seq = from; seq <= to; seq++) out.add(seq);
  return out;
};
const spansOf = (seqs: ReadonlySet<number>): Span[] => {
  const out: { from: number; to: number }[] = [];
  for (const seq of [...seqs].sort((a, b) => a - b)) {
    const last = out.at(-1);
    if (last !== undefined && last.to === seq - 1) last.to = seq;
    else out.push({ from: seq, to: seq });
  }
  return out;
};
const bare = (ranges: readonly HaveRange[]): Span[] => ranges.map(({ from, to }) => ({ from, to }));
/** So many ranges of one seq each, with holes of two between them. */
const scattered = (count: number): readonly HaveRange[] =>
  Array.from({ length: count }, (_, i) => piece(3 * i + 2, 3 * i + 2));
const seqSet = fc.uniqueArray(fc.integer({ min: 0, max: 60 })).map((list) => new Set(list));

describe("have-ranges", () => {
  it("agree with a set of seqs whatever is added in whatever order", () => {
    const pieces = fc.array(fc.tuple(fc.integer({ min: 1, max: 80 }), fc.integer({ min: 0, max: 6 })), {
      maxLength: 60,
    });
    fc.assert(
      fc.property(pieces, (list) => {
        let ranges: readonly HaveRange[] = [];
        const model = new Set<number>();
        for (const [from, length] of list) {
          const added = piece(from, from + length);
          const joined = joinRange(ranges, added, 1_000);
          const overlaps = [...seqsOf([added])].some((seq) => model.has(seq));
          assert.equal(joined.type, overlaps ? "overlap" : "joined");
          if (joined.type !== "joined") continue;
          ranges = joined.ranges;
          for (const seq of seqsOf([added])) model.add(seq);
          assert.deepEqual(bare(ranges), spansOf(model));
          for (const range of ranges) assert.deepEqual(range, piece(range.from, range.to));
        }
        for (let seq = 0; seq < 90; seq++) assert.equal(holds(ranges, seq), model.has(seq));
        assert.equal(topOf(ranges), Math.max(-1, ...model));
      }),
    );
  });
  it("subtract, unite and clip like sets", () => {
    fc.assert(
      fc.property(seqSet, seqSet, fc.integer({ min: 0, max: 70 }), (a, b, limit) => {
        const [x, y] = [spansOf(a), spansOf(b)];
        assert.deepEqual(subtractSpans(x, y), spansOf(new Set([...a].filter((seq) => !b.has(seq)))));
        assert.deepEqual(uniteSpans(x, y), spansOf(new Set([...a, ...b])));
        assert.deepEqual(clipSpans(x, limit), spansOf(new Set([...a].filter((seq) => seq < limit))));
      }),
    );
  });
  it("tell a contradiction below and above, and who begins no chain", () => {
    const held = [piece(10, 20)];
    const odd = { ...piece(21, 22), prev: "other" };
    assert.deepEqual(joinRange(held, odd, 64), { type: "conflict", seq: 20, side: "below" });
    assert.deepEqual(joinRange(held, { ...piece(5, 9), last: "other" }, 64), {
      type: "conflict",
      seq: 9,
      side: "above",
    });
    assert.deepEqual(joinRange(held, { ...piece(5, 6), prev: null }, 64), { type: "rootless" });
    assert.deepEqual(joinRange(held, { ...piece(0, 0), prev: "x" }, 64), { type: "rootless" });
    assert.deepEqual(joinRange(held, { ...piece(21, 21), prev: null }, 64), {
      type: "conflict",
      seq: 20,
      side: "below",
    });
    assert.equal(joinRange([piece(0, 0)], { ...piece(1, 1), prev: hashAt(0) }, 64).type, "joined");
  });
  it("never hold more than their bound, but still fill holes", () => {
    const ranges = scattered(64);
    assert.equal(joinRange(ranges, piece(1_000, 1_001), 64).type, "full");
    assert.equal(joinRange(ranges, piece(1_000, 1_001), 65).type, "joined");
    assert.equal(joinRange(ranges, piece(3, 4), 64).type, "joined");
  });
  it("are told anew from one seq on", () => {
    fc.assert(
      fc.property(seqSet, seqSet, (a, b) => {
        const first = Math.min(...b);
        const model = new Set([...[...a].filter((seq) => seq < first), ...b]);
        assert.deepEqual([...seqsOf(replaceFrom(spansOf(a), spansOf(b)))], [...seqsOf(spansOf(model))]);
      }),
    );
  });
  it("share a budget of holes, of which those with few are sure of a part", () => {
    const budget = new RangeBudget(400, 250);
    assert.equal(budget.most([]), 250);
    // One issuer takes what it can.
    let hog = scattered(1);
    while (hog.length < budget.most(hog)) {
      const more = scattered(hog.length + 1);
      budget.changed(hog, more);
      hog = more;
    }
    assert.equal(hog.length, 250, "its own bound");
    let second = scattered(1);
    while (second.length < budget.most(second)) {
      const more = scattered(second.length + 1);
      budget.changed(second, more);
      second = more;
    }
    assert.equal(second.length, 64, "what every issuer may have");
    assert.equal(budget.used, 249 + 63);
    assert.equal(budget.most(scattered(10)), 98, "the rest is for others with few");
    budget.changed(hog, scattered(1));
    assert.ok(budget.most(second) > 64, "and comes back");
  });
  it("work up to the largest seq", () => {
    const top = Number.MAX_SAFE_INTEGER;
    const joined = joinRange([piece(top - 1, top - 1)], piece(top, top), 64);
    assert.deepEqual(joined.type === "joined" && bare(joined.ranges), [{ from: top - 1, to: top }]);
    assert.deepEqual(subtractSpans([{ from: 0, to: top }], [{ from: 5, to: top }]), [{ from: 0, to: 4 }]);
  });
});
