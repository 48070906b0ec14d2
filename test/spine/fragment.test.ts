/** `F1` fragments in both forms: upstream's vectors, reassembly under loss and lies, bounds. */
import assert from "node:assert/strict";
import fc from "fast-check";
import {
  type Fragment,
  fragmentMessage,
  fromHex,
  openFragment,
  REASSEMBLER_LIMITS,
  Reassembler,
  SpineError,
  toHex,
} from "../../spine/index.ts";
import { describeShared, sharedJson } from "../helpers/shared.ts";
import { outcome } from "../helpers/throws.ts";

interface Vectors {
  readonly cases: readonly { data_hex: string; mtu: number; message_id_hex: string; fragments_hex: string[] }[];
  readonly reassembly: readonly {
    name: string;
    options: { max_pending?: number };
    fragments_hex: string[];
    outputs: (string | null)[];
    pending_after: number;
  }[];
}
/** Where upstream keeps what can never be whole, or believes the first of two totals. */
const REFUSED: Readonly<Record<string, number>> = { index_beyond_total: 1, total_zero: 0, total_changes_midway: 1 };

describeShared("F1 vectors", ["vectors/spine/reticulum_fragments.json"], () => {
  const { cases, reassembly } = sharedJson<Vectors>("vectors/spine/reticulum_fragments.json");
  for (const one of cases)
    it(`cuts ${one.data_hex.length / 2} bytes for packets of ${one.mtu}`, () => {
      const cut = fragmentMessage(fromHex(one.data_hex), fromHex(one.message_id_hex), one.mtu, "short");
      assert.deepEqual(cut.map(toHex), one.fragments_hex);
    });
  for (const one of reassembly)
    it(`puts together: ${one.name}`, () => {
      const messages = one.options.max_pending ?? REASSEMBLER_LIMITS.messages;
      const pile = new Reassembler("short", { ...REASSEMBLER_LIMITS, messages });
      const outputs = one.fragments_hex.map((hex) => {
        try {
          const whole = pile.add("peer", fromHex(hex), 0);
          return whole === undefined ? null : toHex(whole);
        } catch (caught) {
          assert.ok(caught instanceof SpineError && caught.code === "frame_syntax");
          return "refused";
        }
      });
      if (one.name in REFUSED) {
        assert.ok(outputs.includes("refused"), outputs.join());
        assert.equal(pile.pending, REFUSED[one.name]);
      } else {
        assert.deepEqual(outputs, one.outputs);
        assert.equal(pile.pending, one.pending_after);
      }
    });
});

describe("F1 fragments", () => {
  const id = { short: fromHex("01020304"), long: fromHex("0102030405060708") };

  it("come together in any order, in both forms", () => {
    const subject = fc.record({
      message: fc.uint8Array({ minLength: 1, maxLength: 3000 }),
      mtu: fc.integer({ min: 20, max: 500 }),
      form: fc.constantFrom("short", "long"),
      seed: fc.infiniteStream(fc.nat()),
    });
    fc.assert(
      fc.property(subject, ({ message, mtu, form, seed }) => {
        const cut = fragmentMessage(message, id[form], mtu, form);
        for (const packet of cut) assert.ok(packet.length <= mtu);
        if (cut.length === 1) return assert.deepEqual(cut[0], message);
        const order = cut.map((packet) => ({ packet, at: seed.next().value as number })).sort((a, b) => a.at - b.at);
        const pile = new Reassembler(form);
        const whole = order.map(({ packet }) => pile.add("a", packet, 0)).filter((one) => one !== undefined);
        assert.deepEqual(whole, [message]);
        assert.equal(pile.bytes, 0);
      }),
    );
  });

  it("of two senders with one id are two messages", () => {
    const [one, two] = fragmentMessage(new Uint8Array(60), id.short, 50, "short") as [Uint8Array, Uint8Array];
    const pile = new Reassembler("short");
    assert.equal(pile.add("a", one, 0), undefined);
    assert.equal(pile.add("b", two, 0), undefined);
    assert.equal(pile.pending, 2);
    assert.equal(pile.add("b", one, 0)?.length, 60);
  });

  it("are given up when old, also after the clock was set back, and when too many, and counted", () => {
    const pile = new Reassembler("short", { messages: 3, bytes: 150, ageMs: 1000 });
    const begin = (n: number, now: number) =>
      pile.add("a", fragmentMessage(new Uint8Array(90), Uint8Array.of(0, 0, 0, n), 60, "short")[0] as Uint8Array, now);
    begin(1, 5000);
    begin(2, 5500);
    begin(3, 6200);
    assert.equal(pile.pending, 2);
    begin(4, 6200);
    assert.equal(pile.pending, 3);
    assert.ok(pile.bytes <= 150);
    begin(5, 6200);
    assert.equal(pile.pending, 3);
    assert.equal(pile.dropped, 2);
    begin(6, 0);
    assert.equal(pile.pending, 1);
  });

  it("are refused when they cannot be", () => {
    for (const hex of ["", "4631", "463101020304000500", "46310102030400050002aa", "46310102030400000000aa", "5a31"])
      assert.equal(
        outcome((): Fragment => openFragment(fromHex(hex), "short")),
        "frame_syntax",
      );
    assert.equal(
      outcome(() => fragmentMessage(new Uint8Array(65_536 * 2), id.short, 11, "short")),
      "frame_size",
    );
  });
});
