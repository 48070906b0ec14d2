/** The memory plane: its contract, and the control tests have over its links. */
import assert from "node:assert/strict";
import { MemoryNetwork } from "../../planes/index.ts";
import { planeContract } from "../contract/plane.ts";
import { Recorder } from "../contract/recorder.ts";

const never = new AbortController().signal;

planeContract("memory", () => {
  const network = new MemoryNetwork();
  let count = 0;
  return {
    traits: { broadcast: true, ordered: true, reliable: true, authenticated: true, storeAndForward: false },
    create: async () => network.plane({ name: `node-${count++}` }),
    badAddresses: ["", "node-1", "memory:", "memory:a/b", "tcp://127.0.0.1"],
    heldBytes: 2 * 1_024 * 1_024,
  };
});

describe("MemoryNetwork", () => {
  it("cuts and heals a pair, while others stay linked", async () => {
    const network = new MemoryNetwork();
    const [a, b, c] = ["a", "b", "c"].map((name) => network.plane({ name }));
    assert.ok(a !== undefined && b !== undefined && c !== undefined);
    const seen = new Recorder(a);
    await a.addPeer("memory:b");
    await a.addPeer("memory:c");
    for (const plane of [a, b, c]) await plane.start({ signal: never });
    await seen.link(2);
    network.cut(a, b);
    await seen.until("one link", () => seen.links.length === 1);
    await a.addPeer("memory:b");
    assert.equal(a.peers().find(({ id }) => id === "b")?.link, null);
    network.heal(a, b);
    await seen.link(2);
    assert.equal(seen.of("up").length, 3);
    for (const plane of [a, b, c]) await plane.stop();
    await seen.ended;
  });

  it("forgets links that came and went while nobody looked", async () => {
    const network = new MemoryNetwork();
    const a = network.plane({ name: "a" });
    const b = network.plane({ name: "b" });
    await a.addPeer("memory:b");
    await a.start({ signal: never });
    await b.start({ signal: never });
    for (let i = 0; i < 1_000; i++) {
      const link = b.peers()[0]?.link as string;
      await b.send(link, new Uint8Array(100), { signal: never });
      network.cut(a, b);
      network.heal(a, b);
    }
    assert.equal(a.counters()["queued_bytes"], 0);
    const seen = new Recorder(a);
    await seen.link();
    assert.deepEqual(
      seen.events.map(({ type }) => type),
      ["up"],
    );
    await a.stop();
    await b.stop();
    await seen.ended;
  });

  it("lets a banned peer in again when the ban has expired", async () => {
    const network = new MemoryNetwork();
    let now = 0;
    const a = network.plane({ name: "a", now: () => now });
    const b = network.plane({ name: "b" });
    const seen = new Recorder(a);
    await b.addPeer("memory:a");
    await a.start({ signal: never });
    await b.start({ signal: never });
    const link = await seen.link();
    for (let i = 0; i < 10; i++) a.penalise(link, "frame_syntax");
    await seen.until("down", () => seen.links.length === 0);
    await b.addPeer("memory:a");
    assert.equal(a.counters()["links"], 0);
    now = 600_001;
    await b.addPeer("memory:a");
    await seen.link();
    await a.stop();
    await b.stop();
    await seen.ended;
  });
});
