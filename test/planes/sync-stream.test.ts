/** The sync stream over a stand-in for libp2p's stream: what real peers cannot be made to show at will. */
import assert from "node:assert/strict";
import type { Stream } from "@libp2p/interface";
import { DEFAULT_LIMITS } from "../../planes/libp2p/options.ts";
import { SyncStream } from "../../planes/libp2p/sync-stream.ts";

class FakeStream extends EventTarget {
  status = "open";
  readStatus = "readable";
  remoteWriteStatus = "writable";
  readBufferLength = 0;
  writableNeedsDrain = false;
  maxReadBufferLength = 0;
  maxWriteBufferLength = 0;
  readonly sent: Uint8Array[] = [];
  pieces: Uint8Array[] = [];
  aborted = "";
  readonly readBuffer = {
    byteLength: 0,
    subarray: () => new Uint8Array(Buffer.concat(this.pieces)),
    consume: () => {
      this.pieces = [];
    },
    append: (bytes: Uint8Array) => {
      this.pieces.push(bytes);
    },
  };
  send(bytes: Uint8Array): boolean {
    this.sent.push(bytes);
    return !this.writableNeedsDrain;
  }
  pause(): void {
    this.readStatus = "paused";
  }
  resume(): void {
    this.readStatus = "readable";
  }
  abort(error: Error): void {
    this.aborted = error.message;
  }
  async close(): Promise<void> {
    this.status = "closed";
  }
}

describe("SyncStream", () => {
  const never = new AbortController().signal;
  let now = 0;
  let fake = new FakeStream();
  let closed: string[] = [];
  let frames: Uint8Array[] = [];

  function make(): SyncStream {
    now = 0;
    fake = new FakeStream();
    closed = [];
    frames = [];
    return new SyncStream(fake as unknown as Stream, DEFAULT_LIMITS, () => now, {
      frame: (frame) => frames.push(frame),
      closed: (reason) => closed.push(reason),
    });
  }
  function arrive(data: Uint8Array): void {
    fake.dispatchEvent(Object.assign(new Event("message"), { data }));
  }
  const turn = () => new Promise((resolve) => setImmediate(resolve));

  it("gathers small frames into one write and sends large ones alone", async () => {
    const sync = make();
    for (let i = 0; i < 100; i++) await sync.send(new Uint8Array(500), never);
    await turn();
    assert.equal(fake.sent.length, 1);
    assert.equal(fake.sent[0]?.length, 100 * 502);
    await sync.send(new Uint8Array(170_000), never);
    assert.equal(fake.sent.length, 2, "at once");
  });
  it("waits for drain, then goes on in order", async () => {
    const sync = make();
    fake.writableNeedsDrain = true;
    await sync.send(new Uint8Array(170_000), never);
    const held = [1, 2].map((n) => sync.send(Uint8Array.of(n), never));
    await turn();
    assert.equal(fake.sent.length, 1);
    fake.writableNeedsDrain = false;
    fake.dispatchEvent(new Event("drain"));
    assert.deepEqual(await Promise.all(held), ["held", "held"]);
    await turn();
    assert.deepEqual([...(fake.sent[1] ?? [])], [1, 1, 1, 2]);
  });
  it("joins the pieces that wait in a paused stream", () => {
    const sync = make();
    sync.pause();
    fake.pieces = Array.from({ length: 1_000 }, (_, i) => Uint8Array.of(i & 255));
    fake.readBuffer.byteLength = 1_000;
    sync.tick();
    assert.equal(fake.pieces.length, 1);
    assert.equal(fake.pieces[0]?.length, 1_000);
    assert.equal(fake.pieces[0]?.[300], 300 & 255);
  });
  it("counts neither silence nor an unfinished frame against the peer while it is not being read", () => {
    const sync = make();
    arrive(Uint8Array.of(5, 1));
    sync.pause();
    now = 10 * DEFAULT_LIMITS.idleMs;
    sync.tick();
    assert.deepEqual(closed, []);
    sync.resume();
    arrive(Uint8Array.of(2, 3, 4, 5));
    assert.deepEqual(
      frames.map((frame) => [...frame]),
      [[1, 2, 3, 4, 5]],
    );
    now += DEFAULT_LIMITS.idleMs;
    sync.tick();
    assert.deepEqual(closed, ["idle"]);
    assert.equal(fake.aborted, "idle");
  });
  it("ends when the peer ended before anybody listened, once what it left was read", () => {
    make();
    fake.remoteWriteStatus = "closed";
    arrive(Uint8Array.of(1, 9));
    assert.equal(frames.length, 1);
    assert.deepEqual(closed, ["closed by the peer"]);
  });
});
