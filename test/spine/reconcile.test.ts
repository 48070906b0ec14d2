/** Set reconciliation: correct for any two sets, cheap for similar ones, bounded for hostile ones. */
import assert from "node:assert/strict";
import fc from "fast-check";
import { ByteWriter, beginReconcile, continueReconcile, fromHex, type Item, ItemSet, utf8 } from "../../spine/index.ts";
import { nativeSha256Hex } from "../helpers/sim-ports.ts";
import { throwsCode } from "../helpers/throws.ts";

const itemOf = (name: string, at: number): Item => ({ at, id: fromHex(nativeSha256Hex(utf8(name)), 32) });

interface Outcome {
  readonly rounds: number;
  readonly bytes: number;
  readonly largest: number;
  /** Names that each side was found to hold alone. */
  readonly onlyA: Set<Item>;
  readonly onlyB: Set<Item>;
}

/** Two honest sides, until nobody has a question. */
function converse(a: readonly Item[], b: readonly Item[]): Outcome {
  const sides = [
    { items: a, set: new ItemSet(a, nativeSha256Hex), only: new Set<Item>() },
    { items: b, set: new ItemSet(b, nativeSha256Hex), only: new Set<Item>() },
  ];
  let message: Uint8Array | undefined = beginReconcile((sides[0] as { set: ItemSet }).set);
  let [rounds, bytes, largest] = [0, 0, 0];
  while (message !== undefined) {
    rounds++;
    bytes += message.length;
    largest = Math.max(largest, message.length);
    const side = sides[rounds % 2] as (typeof sides)[number];
    const { reply, peerLacks } = continueReconcile(side.set, message);
    for (const index of peerLacks) side.only.add(side.items[index] as Item);
    message = reply;
    assert.ok(rounds < 64, "the conversation does not end");
  }
  return { rounds, bytes, largest, onlyA: sides[0]?.only ?? new Set(), onlyB: sides[1]?.only ?? new Set() };
}
function differences(a: readonly Item[], b: readonly Item[]): [Set<Item>, Set<Item>] {
  const key = ({ at, id }: Item): string => `${at}|${id.join()}`;
  const [inA, inB] = [new Set(a.map(key)), new Set(b.map(key))];
  return [new Set(a.filter((item) => !inB.has(key(item)))), new Set(b.filter((item) => !inA.has(key(item))))];
}
function check(a: readonly Item[], b: readonly Item[]): Outcome {
  const outcome = converse(a, b);
  const [onlyA, onlyB] = differences(a, b);
  assert.deepEqual([outcome.onlyA, outcome.onlyB], [onlyA, onlyB]);
  return outcome;
}

describe("reconciliation", () => {
  it("finds exactly the differences of any two sets, with times around 2^31 and beyond", () => {
    const at = fc.constantFrom(0, 1, 2 ** 31 - 1, 2 ** 31, 2 ** 31 + 1, 2 ** 32, 253_402_300_799);
    const items = fc.uniqueArray(fc.tuple(fc.integer({ min: 0, max: 400 }), at), {
      maxLength: 150,
      selector: ([n]) => n,
    });
    fc.assert(
      fc.property(items, items, (a, b) => {
        const make = (list: typeof a): Item[] => list.map(([n, time]) => itemOf(`${n}|${time}`, time));
        check(make(a), make(b));
      }),
      { numRuns: 200 },
    );
  });

  const base = 1_767_225_600;
  const many = Array.from({ length: 10_000 }, (_, i) => itemOf(`issuer ${i}`, base + i * 3));
  const changed = (count: number, fresh: boolean): Item[] =>
    many.map((item, i) => {
      const hit = i % Math.floor(10_000 / count) === 0 && i / Math.floor(10_000 / count) < count;
      return hit ? itemOf(`changed ${i}`, fresh ? base + 40_000 + i : item.at) : item;
    });
  // Generous bounds: rounds and bytes of the whole conversation.
  const table: readonly (readonly [string, readonly Item[], number, number])[] = [
    ["equal", many, 4, 1_000],
    ["10 changed lately", changed(10, true), 8, 30_000],
    ["10 changed at the same second", changed(10, false), 8, 30_000],
    ["1,000 changed lately", changed(1_000, true), 8, 700_000],
    ["nothing on the other side", [], 4, 10_000],
  ];
  for (const [name, other, maxRounds, maxBytes] of table)
    it(`costs little for 10,000 issuers, ${name}`, () => {
      const { rounds, bytes } = check(many, other);
      assert.ok(rounds <= maxRounds && bytes <= maxBytes, `${rounds} rounds, ${bytes} bytes`);
    });

  it("keeps every message far below the frame limit, whatever is asked", () => {
    const { largest } = check(many, changed(5_000, false));
    assert.ok(largest < 160_000, `${largest} bytes`);
    const writer = new ByteWriter();
    for (let i = 0; i < 4_000; i++)
      writer
        .varint(i === 0 ? base : 8)
        .block(new Uint8Array(0))
        .u8(1)
        .bytes(new Uint8Array(16));
    const { reply } = continueReconcile(new ItemSet(many, nativeSha256Hex), writer.finish());
    assert.ok(reply !== undefined && reply.length < 160_000, `${reply?.length}`);
  });

  it("refuses what no honest side sends", () => {
    const set = new ItemSet(many.slice(0, 100), nativeSha256Hex);
    const part = (writer: ByteWriter, step: number, id: number[], mode: number): ByteWriter =>
      writer.varint(step).block(Uint8Array.from(id)).u8(mode);
    const zeros = new Uint8Array(16);
    const bad: readonly ByteWriter[] = [
      part(new ByteWriter(), 0, [], 9),
      part(new ByteWriter(), 0, [1], 0),
      part(part(new ByteWriter(), 0, [], 0), 0, [], 0),
      part(part(new ByteWriter(), 5, [], 0), 1, [], 0),
      part(part(new ByteWriter(), 5, [7], 0), 1, [6], 0),
      part(new ByteWriter(), Number.MAX_SAFE_INTEGER, [], 1)
        .bytes(zeros)
        .varint(Number.MAX_SAFE_INTEGER)
        .block(zeros)
        .u8(1)
        .bytes(zeros),
      part(new ByteWriter(), 0, [], 2)
        .varint(32)
        .bytes(new Uint8Array(32 * 32)),
      part(new ByteWriter(), 0, [], 3).varint(2).bytes(new Uint8Array(32)),
      part(new ByteWriter(), 0, [], 1).bytes(new Uint8Array(15)),
    ];
    for (const writer of bad) throwsCode(() => continueReconcile(set, writer.finish()), "frame_syntax");
  });
});
