/** The single writer: seqs without gaps, times that never decrease whatever the clock does, refusals that stop nothing. */
import assert from "node:assert/strict";
import { createSigner, sha256Hex } from "../../node/index.ts";
import { type PublishedEnvelope, Publisher } from "../../node/publish.ts";
import { type Envelope, SpineError } from "../../spine/index.ts";

const fact = (text: string) => ({ schema: "aegis.spine.fact.note.v1", text });

function setUp(options: { lastIssuedAtSeconds?: number; local?: () => Promise<void> } = {}) {
  const stored: Envelope[] = [];
  const clock = { nowMs: 1_800_000_000_000 };
  const publisher = new Publisher({
    signer: createSigner(new Uint8Array(32).fill(7)),
    sha256Hex,
    now: () => clock.nowMs,
    head: () => stored.at(-1),
    lastIssuedAtSeconds: options.lastIssuedAtSeconds ?? 0,
    local: async (envelopes) => {
      await options.local?.();
      stored.push(...envelopes);
    },
    maxBatch: 4,
  });
  return { stored, clock, publisher };
}

describe("publisher", () => {
  it("never signs an earlier time than before, however the clock jumps", async () => {
    const { stored, clock, publisher } = setUp();
    for (const jumpMs of [0, 5_000, -3_600_000, 1_000, 400 * 86_400_000, -401 * 86_400_000, 0]) {
      clock.nowMs += jumpMs;
      await publisher.publish([fact(`${jumpMs}`)]);
    }
    const times = stored.map(({ issuedAtMs }) => issuedAtMs);
    assert.deepEqual(
      times,
      [...times].sort((a, b) => a - b),
    );
    const start = 1_800_000_000_000;
    const far = start + 5_000 - 3_600_000 + 1_000 + 400 * 86_400_000;
    assert.deepEqual(times, [start, start + 5_000, start + 5_000, start + 5_000, far, far, far]);
  });

  it("goes on from the newest stored time after a restart with an older clock", async () => {
    const { stored, publisher } = setUp({ lastIssuedAtSeconds: 1_900_000_000 });
    await publisher.publish([fact("after")]);
    assert.equal(stored[0]?.issuedAtMs, 1_900_000_000_000);
  });

  it("links every batch to the last, and a refused fact takes no seq", async () => {
    const { stored, publisher } = setUp();
    const facts = Array.from({ length: 11 }, (_, i) => (i === 5 ? { text: "no schema" } : fact(`${i}`)));
    const [outcomes, more] = await Promise.all([publisher.publish(facts), publisher.publish([fact("other caller")])]);
    assert.deepEqual(
      outcomes.map((one) => (one.ok ? one.seq : one.code)),
      [1, 2, 3, 4, 5, "fact_invalid", 6, 7, 8, 9, 10],
    );
    assert.equal((more[0] as PublishedEnvelope).seq, 11);
    stored.forEach((envelope, i) => {
      assert.equal(envelope.prev, stored[i - 1]?.hash ?? null);
    });
  });

  it("refuses everything after the disk has failed once", async () => {
    const { publisher } = setUp({ local: () => Promise.reject(new SpineError("store_full", "no space")) });
    await assert.rejects(publisher.publish([fact("a")]), { code: "store_full" });
    await assert.rejects(publisher.publish([fact("b")]), { code: "store_full" });
    assert.equal(publisher.waiting, 0);
  });
});
