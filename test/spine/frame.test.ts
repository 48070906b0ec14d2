/** Frames: golden bytes, decode ∘ encode = id, refusals, and the published format naming all of it. */
import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import fc from "fast-check";
import {
  decodeFrame,
  encodeFrame,
  type Frame,
  issuerOf,
  MAX_ANSWER_BYTES,
  MAX_ANSWER_ITEMS,
  MAX_ENTRY_RANGES,
  MAX_FRAME_BYTES,
  MAX_INVENTORY_ENTRIES,
  MAX_LIST,
  MAX_SEGMENT_BYTES,
  MAX_SEGMENT_ENVELOPES,
  PROTOCOL_VERSION,
  segmentPrefix,
  toHex,
} from "../../spine/index.ts";
import { outcome, throwsCode } from "../helpers/throws.ts";

interface Golden {
  readonly name: string;
  readonly type: Frame["type"];
  readonly hex: string;
  readonly fields: unknown;
}
const golden = JSON.parse(readFileSync("test/vectors/frames.json", "utf8")) as { frames: readonly Golden[] };
const wire = readFileSync("spine/WIRE.md", "utf8");
const hexed = (frame: Frame): unknown =>
  JSON.parse(JSON.stringify(frame, (_, value) => (value instanceof Uint8Array ? toHex(value) : value)));
const bytesOf = (hex: string): Uint8Array => new Uint8Array(Buffer.from(hex, "hex"));

const MAX = Number.MAX_SAFE_INTEGER;
const seq = fc.oneof(fc.maxSafeNat(), fc.constantFrom(0, 1, 127, 128, 2 ** 31, 2 ** 32, MAX));
const issuer = fc.uint8Array({ minLength: 32, maxLength: 32 }).map(issuerOf);
const hash = fc.uint8Array({ minLength: 32, maxLength: 32 }).map((bytes) => `0x${toHex(bytes)}`);
const bytes = fc.uint8Array({ maxLength: 300 });
const ranges = fc
  .uniqueArray(seq, { maxLength: 60 })
  .map((ends) => ends.sort((a, b) => a - b))
  .map((ends) =>
    ends
      .flatMap((from, i) => (i % 2 === 0 ? [{ from, to: ends[i + 1] ?? from }] : []))
      .filter((range, i, all) => i === 0 || range.from > (all[i - 1]?.to ?? 0) + 1),
  );
const entry = fc
  .record(
    { issuer, prunedBelow: seq, ranges, frozenAt: fc.option(seq), head: fc.constant(null), more: fc.boolean() },
    { noNullPrototype: true },
  )
  .map(({ more, ...rest }) => (more && rest.ranges.length > 0 ? { ...rest, continues: true } : rest));
const record = <T>(model: { [K in keyof T]: fc.Arbitrary<T[K]> }): fc.Arbitrary<T> =>
  fc.record(model, { noNullPrototype: true }) as fc.Arbitrary<T>;
const type = <T extends string>(name: T): fc.Arbitrary<T> => fc.constant(name);
const u8 = fc.integer({ min: 0, max: 255 });
const span = fc.tuple(seq, seq).map(([a, b]) => ({ from: Math.min(a, b), to: Math.max(a, b) }));
const frames: fc.Arbitrary<Frame> = fc.oneof(
  record({
    type: type("hello"),
    minVersion: u8,
    maxVersion: u8,
    maxFrameBytes: seq,
    issuer,
    proof: fc.uint8Array({ minLength: 64, maxLength: 64 }),
  }),
  record({ type: type("inventory"), entries: fc.uniqueArray(entry, { maxLength: 8, selector: (one) => one.issuer }) }),
  record({ type: type("ask-inventory"), issuers: fc.uniqueArray(issuer, { maxLength: 256 }) }),
  fc
    .tuple(span, record({ type: type("want"), request: seq, issuer, maxItems: seq, maxBytes: seq }))
    .map(([s, rest]) => ({ ...rest, ...s })),
  record({ type: type("offer"), request: seq, count: seq, bytes: seq }),
  record({ type: type("segment"), request: seq, from: seq, count: fc.integer({ min: 0, max: 256 }), records: bytes }),
  record({ type: type("end"), request: seq, reason: fc.constantFrom("done", "limit", "none", "busy") }),
  record({ type: type("push"), records: fc.array(bytes, { maxLength: 20 }) }),
  record({ type: type("reconcile"), round: u8, payload: bytes }),
  record({ type: type("facts"), round: u8, payload: bytes }),
  record({ type: type("revoked"), round: u8, payload: bytes }),
  record({ type: type("ask-hashes"), request: seq, issuer, seqs: fc.array(seq, { maxLength: 64 }) }),
  record({ type: type("hashes"), request: seq, hashes: fc.array(fc.option(hash), { maxLength: 64 }) }),
  record({ type: type("fork"), proof: bytes }),
  record({ type: type("attest"), body: bytes }),
  record({ type: type("bye"), code: fc.string({ maxLength: 16 }), message: fc.string({ maxLength: 100 }) }),
);

describe("frames", () => {
  for (const { name, hex, fields, type: expected } of golden.frames)
    it(`keep the golden bytes of ${name}`, () => {
      const frame = decodeFrame(bytesOf(hex));
      assert.equal(frame.type, expected);
      assert.deepEqual(hexed(frame), fields);
      assert.equal(toHex(encodeFrame(frame)), hex);
    });

  it("decode to what was encoded, and end in coded errors when cut or extended", () => {
    const tail = new Set<Frame["type"]>(["segment", "reconcile", "fork", "facts", "attest", "revoked"]);
    fc.assert(
      fc.property(frames, (frame) => {
        const encoded = encodeFrame(frame);
        const decoded = decodeFrame(encoded);
        assert.deepEqual(hexed(decoded), hexed(frame));
        assert.deepEqual(encodeFrame(decoded), encoded);
        if (!tail.has(frame.type)) {
          throwsCode(() => decodeFrame(encoded.subarray(0, -1)), "frame_syntax");
          throwsCode(() => decodeFrame(Uint8Array.from([...encoded, 0])), "frame_syntax");
        }
      }),
    );
  });

  it("refuse unknown types, flags, reasons, repeated issuers and lists above the limits", () => {
    const key = "11".repeat(32);
    const cases: readonly (readonly [string, string])[] = [
      ["", "frame_syntax"],
      ["00", "frame_syntax"],
      ["70", "frame_syntax"],
      ["070304", "frame_syntax"],
      [`0202${key}000000${key}000000`, "frame_syntax"],
      [`0302${key}${key}`, "frame_syntax"],
      [`038102${key}`, "frame_syntax"],
      [`0201${key}00008108${"0000".repeat(1_025)}`, "frame_syntax"],
      [`0201${key}000800`, "frame_syntax"],
      [`0201${key}000400`, "frame_syntax"],
      [`0a01${key}41${"00".repeat(65)}`, "frame_syntax"],
      ["0b010102", "frame_syntax"],
      ["0601018102", "frame_syntax"],
      ["07800001", "frame_syntax"],
      [`0401${key}ffffffffffffff0f010101`, "seq_range"],
      ["0d01ff00", "json_syntax"],
    ];
    for (const [hex, code] of cases)
      assert.equal(
        outcome(() => decodeFrame(bytesOf(hex))),
        code,
        hex,
      );
  });

  it("carry ranges up to the largest seq, and none beyond", () => {
    const entryOf = (from: number, to: number): Frame => ({
      type: "inventory",
      entries: [
        { issuer: issuerOf(new Uint8Array(32)), prunedBelow: 0, ranges: [{ from, to }], frozenAt: null, head: null },
      ],
    });
    assert.deepEqual(decodeFrame(encodeFrame(entryOf(MAX, MAX))), entryOf(MAX, MAX));
    const twice = `0201${"00".repeat(32)}000002ffffffffffffff0f000000`;
    throwsCode(() => decodeFrame(bytesOf(twice)), "seq_range");
  });

  it("begin a segment as segmentPrefix says", () => {
    const frame: Frame = { type: "segment", request: 300, from: 2 ** 40, count: 256, records: Uint8Array.of(1, 2) };
    assert.deepEqual(encodeFrame(frame).subarray(0, -2), segmentPrefix(300, 2 ** 40, 256));
  });
});

describe("spine/WIRE.md", () => {
  it("names every frame with its type byte, and has a golden frame for each", () => {
    for (const { type: name, hex } of golden.frames) {
      const number = Number.parseInt(hex.slice(0, 2), 16);
      assert.match(wire, new RegExp(`^\\| ${number} \\| \`${name}\` \\| .* \\| \`${hex.slice(0, 2)} `, "m"), name);
    }
    // Tables of other messages stand in later sections.
    const frames = wire.slice(wire.indexOf("## 3 "), wire.indexOf("## 4 "));
    const rows = [...frames.matchAll(/^\| (\d+) \| `([a-z-]+)`/gm)].map(([, , name]) => name);
    assert.deepEqual(new Set(rows), new Set(golden.frames.map(({ type: name }) => name)));
    for (const name of rows)
      assert.ok(
        golden.frames.some((frame) => frame.type === name),
        name,
      );
    assert.equal(
      outcome(() => decodeFrame(Uint8Array.of(rows.length + 1))),
      "frame_syntax",
    );
  });
  it("states every limit constant with its value", () => {
    const limits = {
      PROTOCOL_VERSION,
      MAX_FRAME_BYTES,
      MAX_SEGMENT_ENVELOPES,
      MAX_SEGMENT_BYTES,
      MAX_ANSWER_ITEMS,
      MAX_ANSWER_BYTES,
      MAX_INVENTORY_ENTRIES,
      MAX_LIST,
      MAX_ENTRY_RANGES,
    };
    const exported = [...readFileSync("spine/frame.ts", "utf8").matchAll(/^export const ([A-Z_]+)/gm)].map(
      ([, name]) => name,
    );
    assert.deepEqual(new Set(Object.keys(limits)), new Set(exported));
    for (const [name, value] of Object.entries(limits)) {
      assert.ok(wire.includes(`\`${name}\` = ${value.toLocaleString("en-US")}`), `${name} = ${value}`);
    }
  });
});
