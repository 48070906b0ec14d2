/** A program that shares no code with this project exchanges frames and broadcasts with the libp2p plane. */
import assert from "node:assert/strict";
import type { Libp2pPlane } from "../../planes/index.ts";
import { Recorder } from "../contract/recorder.ts";
import { libp2pPlane, never } from "../helpers/libp2p.ts";
import { Stranger } from "../helpers/stranger.ts";

describe("libp2p plane and an independent program", () => {
  let plane: Libp2pPlane;
  let seen: Recorder;
  let stranger: Stranger;

  async function meet(seed: number): Promise<void> {
    plane = libp2pPlane({ privateKeySeed: new Uint8Array(32).fill(seed) });
    seen = new Recorder(plane);
    await plane.start({ signal: never });
    stranger = await Stranger.start("--seed", "07".repeat(32));
    stranger.command("dial", { address: plane.addresses()[0] });
    await stranger.until("stream");
    await seen.link();
  }

  afterEach(async () => {
    await stranger.stop();
    await plane.stop();
    await seen.ended;
  });

  // Peer ids of the seeds 1 and 3 sort on either side of the stranger's.
  for (const [seed, direction] of [
    [1, "inbound"],
    [3, "outbound"],
  ] as const) {
    it(`exchanges frames over a stream that is ${direction} for the stranger`, async () => {
      await meet(seed);
      assert.equal(stranger.of("stream")[0]?.["direction"], direction);
      const link = await seen.link();
      const sizes = [1, 127, 128, 4_096, 170_000, 512 * 1_024];
      for (const size of sizes) stranger.command("send", { hex: "5a".repeat(size) });
      await seen.until("the stranger's frames", () => seen.frames().length === sizes.length);
      assert.deepEqual(
        seen.frames().map(({ length }) => length),
        sizes,
      );
      assert.ok(seen.frames().every((frame) => frame.every((byte) => byte === 0x5a)));
      for (const size of sizes) await plane.send(link, new Uint8Array(size).fill(0xa5), { signal: never });
      await stranger.until("frame", () => true, sizes.length);
      assert.deepEqual(
        stranger.of("frame").map(({ bytes }) => bytes),
        sizes,
      );
      assert.equal(stranger.of("frame")[2]?.["hex"], "a5".repeat(128));
    });
  }

  it("exchanges broadcasts, and knows the stranger by its libp2p key", async () => {
    await meet(1);
    const up = seen.of("up")[0];
    assert.equal(up?.info.remoteBinding.length, 32);
    assert.equal(plane.peers()[0]?.id, stranger.id);
    for (let i = 0; stranger.of("gossip").length === 0 && i < 100; i++) {
      await plane.broadcast(Buffer.from(`from the plane ${i}`), { signal: never });
      await new Promise((resolve) => setTimeout(resolve, 50));
    }
    assert.match(Buffer.from((await stranger.until("gossip"))["hex"] as string, "hex").toString(), /^from the plane/);
    stranger.command("publish", { hex: Buffer.from("from the stranger").toString("hex") });
    const published = await stranger.until("published");
    assert.equal(published["recipients"], 1);
    await seen.until("gossip", () => seen.of("gossip").length === 1);
    const [gossip] = seen.of("gossip");
    assert.equal(Buffer.from(gossip?.data as Uint8Array).toString(), "from the stranger");
    assert.equal(gossip?.link, up?.link);
  });

  it("notices when the stranger leaves, in either way", async () => {
    await meet(3);
    stranger.command("close");
    await seen.until("down", () => seen.links.length === 0);
    await stranger.until("disconnected");
    stranger.command("dial", { address: plane.addresses()[0] });
    await seen.until("a new link", () => seen.links.length === 1);
    await stranger.stop();
    await seen.until("down", () => seen.links.length === 0);
  });
});
