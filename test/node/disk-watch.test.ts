/** The disk high-water mark: when it speaks, when it refuses, and that it does not flap. */
import assert from "node:assert/strict";
import { tmpdir } from "node:os";
import { type DiskRoom, type DiskState, DiskWatch, judgeDisk } from "../../node/index.ts";

const MIB = 1_048_576;

function room(freeMiB: number, over: Partial<DiskRoom> = {}): DiskRoom {
  const base = { totalBytes: 1_000 * MIB, reserveBytes: 100 * MIB, storeBytes: 0, storeLimitBytes: 0 };
  return { freeBytes: freeMiB * MIB, ...base, ...over };
}

describe("disk watch", () => {
  it("speaks early, refuses at the mark, and takes again only well above it", () => {
    const seen: DiskState[] = [];
    let state: DiskState = "ok";
    for (const free of [500, 201, 199, 101, 99, 50, 101, 124, 126, 199, 201]) {
      state = judgeDisk(room(free), state);
      seen.push(state);
    }
    assert.deepEqual(seen, ["ok", "ok", "low", "low", "full", "full", "full", "full", "low", "low", "ok"]);
  });

  it("keeps the store below its own limit in the same way", () => {
    const limited = (storeMiB: number, before: DiskState): DiskState =>
      judgeDisk(room(900, { storeBytes: storeMiB * MIB, storeLimitBytes: 100 * MIB }), before);
    assert.deepEqual(
      [limited(50, "ok"), limited(91, "ok"), limited(100, "low"), limited(97, "full"), limited(94, "full")],
      ["ok", "low", "full", "full", "low"],
    );
  });

  it("never reserves more than a tenth of the disk, and says what it measured", async () => {
    const changes: [DiskState, DiskRoom][] = [];
    const watch = new DiskWatch({
      path: tmpdir(),
      keepFreeBytes: Number.MAX_SAFE_INTEGER,
      storeLimitBytes: 10,
      storeBytes: async () => 10,
      onChange: (state, measured) => changes.push([state, measured]),
    });
    await watch.look();
    await watch.look();
    assert.equal(changes.length, 1);
    const [state, measured] = changes[0] as [DiskState, DiskRoom];
    assert.equal(state, "full");
    assert.equal(measured.reserveBytes, measured.totalBytes / 10);
    assert.match(watch.warnings().join(), /nothing of other issuers is stored/);
  });

  it("counts a path it cannot measure as ample", async () => {
    const options = { keepFreeBytes: 1, storeLimitBytes: 0, storeBytes: async () => 0, onChange: () => undefined };
    const watch = new DiskWatch({ path: "/nonexistent/for/sure", ...options });
    await watch.look();
    assert.deepEqual([watch.state, watch.warnings()], ["ok", []]);
  });
});
