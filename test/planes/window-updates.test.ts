/** Window updates are held back while most of the window is open, and only on streams that look like yamux's. */
import assert from "node:assert/strict";
import { spareWindowUpdates } from "../../planes/libp2p/window-updates.ts";

describe("libp2p window updates", () => {
  const make = () => ({
    state: 3,
    recvWindow: 1_000,
    recvWindowCapacity: 1_000,
    sent: 0,
    sendWindowUpdate() {
      this.sent++;
      this.recvWindowCapacity = this.recvWindow;
    },
  });

  it("are sent once per quarter of the window", () => {
    const stream = make();
    spareWindowUpdates(stream);
    for (let i = 0; i < 100; i++) {
      stream.recvWindowCapacity -= 50;
      stream.sendWindowUpdate();
    }
    assert.equal(stream.sent, 20);
    assert.ok(stream.recvWindowCapacity >= 750);
  });

  it("are never held back while the stream opens, pauses or ends", () => {
    for (const state of [0, 1, 2, 4, 5]) {
      const stream = { ...make(), state };
      spareWindowUpdates(stream);
      stream.sendWindowUpdate();
      assert.equal(stream.sent, 1, `state ${state}`);
    }
  });

  it("of streams of another kind are left alone", () => {
    const other = { sendWindowUpdate: () => "own" };
    spareWindowUpdates(other);
    assert.equal(other.sendWindowUpdate(), "own");
    assert.doesNotThrow(() => spareWindowUpdates({}));
  });
});
