/** The plane's policies without a network: penalties, backoff, redialling, address groups, gossip scores, waiting sends. */
import assert from "node:assert/strict";
import fc from "fast-check";
import { backoffMs } from "../../planes/index.ts";
import { addressGroup } from "../../planes/libp2p/limits.ts";
import { DEFAULT_LIMITS } from "../../planes/libp2p/options.ts";
import { Dialler } from "../../planes/libp2p/peers.ts";
import { SCORE_THRESHOLDS, TOPIC_SCORE } from "../../planes/libp2p/scoring.ts";
import { PenaltyBook } from "../../planes/penalties.ts";
import { SendLine } from "../../planes/send-line.ts";

describe("PenaltyBook", () => {
  it("bans at the limit, halves points with time, doubles repeated bans", () => {
    let now = 0;
    const book = new PenaltyBook({ now: () => now, limit: 100, halfLifeMs: 1_000, banMs: 10_000, maxBanMs: 30_000 });
    assert.equal(book.add("p", 90), false);
    now += 1_000;
    assert.equal(Math.round(book.points("p")), 45);
    assert.equal(book.add("p", 54), false);
    assert.equal(book.add("p", 1), true);
    assert.equal(book.bannedUntil("p"), 11_000);
    assert.equal(book.isBanned("q"), false);
    now = 11_000;
    assert.equal(book.isBanned("p"), false);
    assert.equal(book.add("p", 100), true);
    assert.equal(book.bannedUntil("p") - now, 20_000);
    now += 20_000;
    assert.equal(book.add("p", 100), true);
    assert.equal(book.bannedUntil("p") - now, 30_000);
    assert.equal(book.bans, 3);
  });
  it("bans once, however many penalties follow", () => {
    const book = new PenaltyBook({ now: () => 5, limit: 10 });
    const bans = Array.from({ length: 50 }, () => book.add("p", 10)).filter(Boolean);
    assert.equal(bans.length, 1);
  });
  it("stays within its capacity and forgets live bans last", () => {
    const book = new PenaltyBook({ now: () => 1, limit: 10, capacity: 3 });
    book.add("banned", 10);
    for (let i = 0; i < 100; i++) book.add(`p${i}`, 1);
    assert.equal(book.isBanned("banned"), true);
    assert.equal(book.points("p0"), 0);
    assert.equal(book.points("p99"), 1);
  });
});

describe("backoffMs", () => {
  it("doubles up to its maximum and stays within half and one and a half", () => {
    const options = { minMs: 100, maxMs: 10_000 };
    fc.assert(
      fc.property(fc.nat(2_000), fc.double({ min: 0, max: 0.999, noNaN: true }), (attempt, random) => {
        const base = Math.min(10_000, 100 * 2 ** attempt);
        const delay = backoffMs(attempt, options, () => random);
        assert.ok(delay >= Math.floor(base * 0.5) && delay <= Math.ceil(base * 1.5));
      }),
    );
  });
});

describe("Dialler", () => {
  function make(overrides: { linkCount?: () => number; bannedUntil?: () => number } = {}) {
    const dialled: { peer: string; addresses: readonly string[] }[] = [];
    const connected = new Set<string>();
    const dialler = new Dialler({
      limits: { ...DEFAULT_LIMITS, redialMinMs: 5, redialMaxMs: 20 },
      now: () => 0,
      random: () => 0,
      counts: { dials: 0, dials_failed: 0 },
      dial: async (peer, addresses) => {
        dialled.push({ peer, addresses });
        if (peer === "dead") throw new Error("nobody there");
        connected.add(peer);
      },
      isConnected: (peer) => connected.has(peer),
      bannedUntil: () => 0,
      linkCount: () => 0,
      log: () => undefined,
      ...overrides,
    });
    return { dialler, dialled, connected };
  }
  const wait = (ms: number) => new Promise((resolve) => setTimeout(resolve, ms));

  it("dials a kept peer at all its addresses, and again when it is lost", async () => {
    const { dialler, dialled, connected } = make();
    dialler.keep("p", ["a"], true);
    dialler.keep("p", ["b"], false);
    await wait(20);
    assert.deepEqual(dialled, [{ peer: "p", addresses: ["a", "b"] }]);
    connected.delete("p");
    dialler.lost("p");
    dialler.lost("p");
    await wait(40);
    assert.equal(dialled.length, 2);
    dialler.end();
  });
  it("goes on trying until the peer is forgotten", async () => {
    const { dialler, dialled } = make();
    dialler.keep("dead", ["a"], true);
    await wait(100);
    assert.ok(dialled.length >= 3);
    dialler.forget("dead");
    const before = dialled.length;
    await wait(50);
    assert.equal(dialled.length, before);
    dialler.end();
  });
  it("leaves banned peers alone", async () => {
    const { dialler, dialled } = make({ bannedUntil: () => 60_000 });
    dialler.keep("p", ["a"], true);
    await dialler.consider("q");
    await wait(20);
    assert.deepEqual(dialled, []);
    dialler.end();
  });
  it("dials discovered peers once, and only while links are few", async () => {
    let links = 0;
    const { dialler, dialled } = make({ linkCount: () => links });
    await dialler.consider("p");
    await dialler.consider("p");
    links = DEFAULT_LIMITS.targetLinks;
    await dialler.consider("q");
    assert.deepEqual(
      dialled.map(({ peer }) => peer),
      ["p"],
    );
    dialler.end();
    await dialler.consider("r");
    assert.equal(dialled.length, 1);
  });
});

describe("addressGroup", () => {
  it("counts an IPv4 address, an IPv6 /64, and no relayed connection", () => {
    assert.equal(addressGroup("/ip4/192.0.2.7/tcp/4001/p2p/x"), "192.0.2.7");
    assert.equal(addressGroup("/ip6/2001:db8:1:2:3:4:5:6/tcp/1"), "2001:db8:1:2");
    assert.equal(addressGroup("/ip6/2001:db8:1:2::9/tcp/1"), addressGroup("/ip6/2001:db8:1:2:ffff::1/tcp/1"));
    assert.notEqual(addressGroup("/ip6/2001:db8:1:3::9/tcp/1"), addressGroup("/ip6/2001:db8:1:2::9/tcp/1"));
    assert.equal(addressGroup("/ip6/::1/tcp/1"), "0:0:0:0");
    assert.equal(addressGroup("/ip4/192.0.2.7/tcp/1/p2p/x/p2p-circuit/p2p/y"), null);
    assert.equal(addressGroup("/dns4/example.org/tcp/1"), null);
  });
});

describe("gossip scores", () => {
  it("cannot be earned high enough to outweigh three invalid messages", () => {
    const p = TOPIC_SCORE;
    const best = p.timeInMeshWeight * p.timeInMeshCap + p.firstMessageDeliveriesWeight * p.firstMessageDeliveriesCap;
    assert.ok(best * p.topicWeight <= 10);
    assert.ok(p.timeInMeshQuantum >= 1_000, "milliseconds");
    const three = 3 ** 2 * p.invalidMessageDeliveriesWeight * p.topicWeight;
    assert.ok(best + three < SCORE_THRESHOLDS.graylistThreshold);
    assert.ok(p.invalidMessageDeliveriesWeight * p.topicWeight > SCORE_THRESHOLDS.gossipThreshold, "one is forgiven");
    assert.equal(p.meshMessageDeliveriesWeight, 0);
  });
});

describe("SendLine", () => {
  const frame = (n: number) => Uint8Array.of(n);
  it("serves in order, one signal for many, and drops who aborts", async () => {
    const line = new SendLine(10);
    const abort = new AbortController();
    const other = new AbortController();
    const taken: number[] = [];
    const waits = [1, 2, 3].map((n) => line.wait(frame(n), abort.signal));
    const leaves = assert.rejects(line.wait(frame(4), other.signal), /gone/);
    const last = line.wait(frame(5), abort.signal);
    other.abort(new Error("gone"));
    await leaves;
    line.drain(([n]) => taken.push(n as number) > 0 && taken.length <= 2);
    assert.equal(line.length, 2);
    line.drain(([n]) => taken.push(n as number) > 0);
    await Promise.all([...waits, last]);
    assert.deepEqual(taken, [1, 2, 3, 3, 5]);
  });
  it("is bounded, and fails everybody at once", async () => {
    const line = new SendLine(2);
    const { signal } = new AbortController();
    const waits = [line.wait(frame(1), signal), line.wait(frame(2), signal)].map((wait) =>
      assert.rejects(wait, /down/),
    );
    await assert.rejects(line.wait(frame(3), signal), { code: "link_congested" });
    line.fail(new Error("down"));
    await Promise.all(waits);
    assert.equal(line.length, 0);
  });
});
