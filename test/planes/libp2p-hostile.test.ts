/** Hostile transport peers: each test has one beside an honest peer, whose link must live and carry frames afterwards. */
import assert from "node:assert/strict";
import { connect } from "node:net";
import type { Libp2pLimits, Libp2pPlane } from "../../planes/index.ts";
import { Recorder } from "../contract/recorder.ts";
import { libp2pPlane, never, peerIdOf } from "../helpers/libp2p.ts";
import { Stranger } from "../helpers/stranger.ts";

/** With the plane's seed 1, the peer ids of the strangers' seed sort so that the plane opens (…07) or they do (…09). */
const PASSIVE_SEED = "07".repeat(32);

describe("libp2p plane and hostile peers", () => {
  let plane: Libp2pPlane;
  let seen: Recorder;
  let honest: Libp2pPlane;
  let honestSeen: Recorder;
  let strangers: Stranger[] = [];

  async function begin(limits: Partial<Libp2pLimits> = {}): Promise<void> {
    plane = libp2pPlane({ privateKeySeed: new Uint8Array(32).fill(1) }, { tickMs: 100, ...limits });
    honest = libp2pPlane({ privateKeySeed: new Uint8Array(32).fill(2) });
    seen = new Recorder(plane);
    honestSeen = new Recorder(honest);
    await plane.start({ signal: never });
    await honest.start({ signal: never });
    await honest.addPeer(plane.addresses()[0] as string);
    await seen.link();
    await honestSeen.link();
  }
  async function hostile(...args: string[]): Promise<Stranger> {
    const stranger = await Stranger.start("--seed", PASSIVE_SEED, ...args);
    strangers.push(stranger);
    stranger.command("dial", { address: plane.addresses()[0] });
    await stranger.until("connected");
    return stranger;
  }
  /** A hostile peer with a link; returns the link's name, too. */
  async function hostileLink(): Promise<[Stranger, string]> {
    const stranger = await hostile();
    await stranger.until("stream");
    await seen.until("the hostile link", () => seen.links.length === 2);
    return [stranger, seen.links[1] as string];
  }
  async function honestLives(): Promise<void> {
    const before = seen.frames().length;
    assert.equal(honestSeen.of("down").length, 0, "the honest link went down");
    await honest.send(await honestSeen.link(), Buffer.from("honest"), { signal: never });
    await seen.until("the honest frame", () => seen.frames().length > before);
    assert.equal(plane.peers().filter(({ id }) => id === peerIdOf(honest)).length, 1);
  }
  function down(link: string): string | undefined {
    return seen.of("down").find((event) => event.link === link)?.reason;
  }
  function count(name: string): number {
    return plane.counters()[name] as number;
  }

  beforeEach(() => {
    strangers = [];
  });
  afterEach(async () => {
    for (const stranger of strangers) await stranger.stop();
    await plane.stop();
    await honest.stop();
    await seen.ended;
    await honestSeen.ended;
  });

  it("drops and penalises a peer for a length over the limit, too long, or not in its shortest form", async () => {
    await begin();
    const stranger = await hostile();
    for (const [i, hex] of ["808021", "ffffff7f", "8000"].entries()) {
      if (i > 0) stranger.command("dial", { address: plane.addresses()[0] });
      await stranger.until("stream", () => true, i + 1);
      await seen.until("the hostile link", () => seen.links.length === 2);
      const link = seen.links[1] as string;
      stranger.command("raw", { hex });
      await seen.until("down", () => down(link) !== undefined);
      assert.equal(down(link), "bad frame");
      assert.equal(count("penalties"), i + 1);
      await stranger.until("disconnected", () => true, i + 1);
    }
    await honestLives();
  });

  it("gives up on a frame that never ends, though bytes drip", async () => {
    await begin({ frameMs: 500 });
    const [stranger, link] = await hostileLink();
    stranger.command("raw", { hex: "ffff1f" });
    const drip = setInterval(() => stranger.command("raw", { hex: "00" }), 100);
    try {
      await seen.until("down", () => down(link) !== undefined);
    } finally {
      clearInterval(drip);
    }
    assert.equal(down(link), "endless frame");
    assert.equal(count("penalties"), 1);
    await honestLives();
  });

  it("closes sockets that speak no libp2p", async () => {
    await begin({ dialMs: 1_000 });
    const port = Number((plane.addresses()[0] as string).split("/")[4]);
    const ends = Array.from({ length: 20 }, (_, i) => {
      return new Promise<void>((resolve) => {
        const socket = connect(port, "127.0.0.1", () => socket.write(Buffer.alloc(10_000, i)));
        socket.on("error", () => undefined);
        socket.on("close", () => resolve());
      });
    });
    await Promise.all(ends);
    await honestLives();
    assert.equal(count("connections"), 1);
  });

  it("refuses further sync streams, keeps the one it has, and bans who insists", async () => {
    await begin();
    const [stranger, link] = await hostileLink();
    stranger.command("open");
    await stranger.until("closed");
    assert.equal(count("streams_refused"), 1);
    assert.equal(down(link), undefined);
    stranger.command("streams", { count: 1_000 });
    await seen.until("down", () => down(link) !== undefined);
    assert.equal(down(link), "banned");
    assert.equal(count("bans"), 1);
    await stranger.until("disconnected");
    stranger.command("dial", { address: plane.addresses()[0] });
    await stranger.until("disconnected", () => true, 2);
    assert.equal(count("links"), 1);
    await honestLives();
  });

  it("holds sends to a peer that does not read, then gives it up", async () => {
    await begin({ stallMs: 500 });
    const [stranger, link] = await hostileLink();
    stranger.command("pause");
    await stranger.until("paused");
    const rss = process.memoryUsage.rss();
    let taken = 0;
    await assert.rejects(
      async () => {
        for (;;) {
          await plane.send(link, new Uint8Array(256 * 1_024), { signal: never });
          taken++;
        }
      },
      { code: "link_unknown" },
    );
    await seen.until("down", () => down(link) !== undefined);
    assert.equal(down(link), "stalled");
    assert.ok(taken < 64, `${taken} frames were taken for a peer that reads none`);
    assert.ok(process.memoryUsage.rss() - rss < 64e6);
    await honestLives();
  });

  it("stays small when a peer sends a flood of one-byte frames and nobody consumes", async function () {
    this.timeout(30_000);
    await begin();
    const [stranger, link] = await hostileLink();
    await honest.send(await honestSeen.link(), Buffer.from("first"), { signal: never });
    await seen.until("the first frame", () => seen.frames().length === 1);
    seen.pause();
    await honest.send(await honestSeen.link(), Buffer.from("wakes and sleeps"), { signal: never });
    const rss = process.memoryUsage.rss();
    let peak = 0;
    const watch = setInterval(() => {
      peak = Math.max(peak, process.memoryUsage.rss() - rss);
    }, 50);
    stranger.command("raw", { hex: "01ff", count: 400_000 });
    await new Promise((resolve) => setTimeout(resolve, 2_500));
    clearInterval(watch);
    const queued = count("queued_bytes");
    plane.disconnect(link, "enough");
    seen.resume();
    assert.ok(queued < 2_048);
    assert.ok(peak < 96e6, `grew by ${Math.round(peak / 1e6)} MB`);
    await honestLives();
  });

  it("survives connection churn", async () => {
    await begin({ inboundPerSecondPerIp: 2 });
    const stranger = await hostile("--polite", "false");
    stranger.command("hangup");
    await stranger.until("disconnected");
    stranger.command("churn", { address: plane.addresses()[0], count: 60 });
    const { connected } = await stranger.until("churned");
    assert.ok((connected as number) < 60, "the rate per address was bounded");
    await honestLives();
    for (let i = 0; count("connections") > 1 && i < 100; i++) await new Promise((resolve) => setTimeout(resolve, 50));
    assert.equal(count("connections"), 1);
    assert.equal(count("links"), 1);
  });

  it("closes connections that become neither link nor neighbour", async () => {
    await begin({ idleConnectionMs: 500 });
    const stranger = await hostile("--sync", "false", "--polite", "false", "--gossip", "false");
    await stranger.until("disconnected");
    await honestLives();
  });

  it("bounds a gossip flood, bans its source, and still hears the honest", async () => {
    await begin({ gossipBurst: 300, gossipPerSecond: 50, pendingGossipPerPeer: 100 });
    const [stranger, link] = await hostileLink();
    stranger.command("publish", { hex: "00" });
    await seen.until("a first broadcast", () => seen.of("gossip").length === 1);
    stranger.command("flood", { count: 2_500, bytes: 600 });
    await seen.until("down", () => down(link) !== undefined);
    assert.equal(down(link), "banned");
    assert.ok(seen.of("gossip").length <= 101, "unjudged broadcasts are bounded per neighbour");
    assert.ok(count("gossip_dropped") > 0);
    assert.equal(await honest.broadcast(Buffer.from("honest news"), { signal: never }), 1);
    await seen.until("the honest broadcast", () => {
      return seen.of("gossip").some(({ data }) => Buffer.from(data).toString() === "honest news");
    });
    await honestLives();
  });

  it("graylists and bans a source of invalid broadcasts, however long it was a good neighbour", async () => {
    await begin();
    const [stranger, link] = await hostileLink();
    stranger.command("publish", { hex: "00" });
    await seen.until("a first broadcast", () => seen.of("gossip").length === 1);
    plane.judge(seen.of("gossip")[0]?.id as string, "accept");
    // Under the library's default time quantum of 1 ms this would be worth +1200 points.
    await new Promise((resolve) => setTimeout(resolve, 1_200));
    assert.ok(plane.gossipScore(stranger.id) >= 0);
    assert.ok(plane.gossipScore(stranger.id) <= 10);
    for (let i = 1; i <= 3; i++) {
      stranger.command("publish", { hex: `ff0${i}` });
      await seen.until("a bad broadcast", () => seen.of("gossip").length === 1 + i);
      plane.judge(seen.of("gossip")[i]?.id as string, "reject");
    }
    await new Promise((resolve) => setTimeout(resolve, 1_100));
    assert.ok(plane.gossipScore(stranger.id) < -80, `score ${plane.gossipScore(stranger.id)}`);
    assert.equal(count("penalties"), 3);
    assert.equal(down(link), undefined);
    assert.ok(plane.gossipScore(peerIdOf(honest)) >= 0);
    await honestLives();
  });

  it("ignores what was not judged in time, without blame", async () => {
    await begin({ judgeMs: 200 });
    for (let i = 0; i < 60; i++) {
      if ((await honest.broadcast(Buffer.from(`nobody judges this ${i}`), { signal: never })) > 0) break;
      await new Promise((resolve) => setTimeout(resolve, 50));
    }
    for (let i = 0; count("gossip_expired") < 1 && i < 60; i++) await new Promise((resolve) => setTimeout(resolve, 50));
    assert.equal(count("gossip_ignored"), 1);
    assert.equal(count("penalties"), 0);
    plane.judge(seen.of("gossip")[0]?.id as string, "reject");
    assert.equal(count("penalties"), 0);
  });
});
