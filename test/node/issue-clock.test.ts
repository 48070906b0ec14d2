/** The clock that own envelopes are signed with: jumps ahead are believed late, so that they do not stick in `issued_at`. */
import assert from "node:assert/strict";
import { BELIEVE_MS, createSigner, IssueClock, JUMP_MS, Publisher, sha256Hex } from "../../node/index.ts";
import type { Envelope } from "../../spine/index.ts";

const START = 1_800_000_000_000;
const YEAR = 31_536_000_000;

function clocks() {
  const at = { wall: START, steady: 5_000 };
  const jumps: number[] = [];
  const clock = new IssueClock({ wall: () => at.wall, steady: () => at.steady, onJump: (ms) => jumps.push(ms) });
  const pass = (ms: number): number => {
    at.wall += ms;
    at.steady += ms;
    return clock.now();
  };
  return { at, jumps, clock, pass };
}

describe("issue clock", () => {
  it("follows the wall clock through ordinary steps", () => {
    const { at, jumps, pass } = clocks();
    assert.equal(pass(1_000), START + 1_000);
    at.wall += JUMP_MS - 10_000;
    assert.equal(pass(0), at.wall);
    at.wall -= 30_000;
    assert.equal(pass(0), at.wall);
    assert.deepEqual(jumps, []);
  });

  it("signs with the time before a jump ahead that is taken back", () => {
    const { at, jumps, pass } = clocks();
    pass(1_000);
    at.wall += YEAR;
    for (let i = 0; i < 50; i++) assert.equal(pass(1_000), START + 1_000 + (i + 1) * 1_000);
    at.wall -= YEAR;
    assert.equal(pass(1_000), at.wall);
    assert.deepEqual(jumps, [YEAR]);
  });

  it("believes a jump that lasts, such as the first correction of a machine without a battery", () => {
    const { at, jumps, pass } = clocks();
    at.wall += YEAR;
    assert.equal(pass(0), START);
    assert.equal(pass(BELIEVE_MS), at.wall);
    assert.equal(pass(5_000), at.wall);
    assert.deepEqual(jumps, [YEAR]);
  });

  it("tells of a step back and follows it", () => {
    const { at, jumps, pass } = clocks();
    at.wall -= YEAR;
    assert.equal(pass(0), at.wall);
    assert.deepEqual(jumps, [-YEAR]);
  });

  it("lets the publisher say when own times are ahead of the clock, once an hour", async () => {
    const told: number[] = [];
    let now = START;
    const signed: Envelope[] = [];
    const publisher = new Publisher({
      signer: createSigner(new Uint8Array(32).fill(1)),
      sha256Hex,
      now: () => now,
      head: () => signed.at(-1),
      lastIssuedAtSeconds: (START + YEAR) / 1000,
      local: async (envelopes) => void signed.push(...envelopes),
      maxBatch: 10,
      onAhead: (seconds) => told.push(seconds),
    });
    const fact = { schema: "aegis.spine.fact.note.v1", text: "late" };
    for (const passed of [0, 60_000, 3_600_000]) {
      now += passed;
      await publisher.publish([fact]);
    }
    assert.deepEqual(told, [YEAR / 1000, YEAR / 1000 - 3_660]);
    assert.equal(signed[0]?.issuedAtMs, START + YEAR);
  });
});
