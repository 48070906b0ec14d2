/** Transport under attack and in bad weather: floods, forgeries, loops, full tables, wrong clocks, a day on a failing network. */
import assert from "node:assert/strict";
import { announceData, announceRandomHash } from "../../../planes/reticulum/stack/announce.ts";
import { Identity } from "../../../planes/reticulum/stack/identity.ts";
import { destinationHash, nameHash, SINGLE } from "../../../planes/reticulum/stack/name.ts";
import {
  ANNOUNCE,
  buildPacket,
  CONTEXT,
  DATA,
  LINK_REQUEST,
  parsePacket,
  routeVia,
} from "../../../planes/reticulum/stack/packet.ts";
import { pathRequestPacket } from "../../../planes/reticulum/stack/path-request.ts";
import { equalBytes, type Millis, utf8 } from "../../../spine/index.ts";
import { seededRandom } from "./ether.ts";
import { chain, hasPath, Net, type NetNode } from "./net.ts";

const LONG = process.env["SPINE_LONG"] === "1";
const NAME = nameHash("test.flood");
/** Three announces of the destination: a path that died silently lives until one of them comes through. */
const FOUND_AGAIN_MS = 3_600_000;

/** A valid announce of a fresh identity. */
function announceOf(seed: string, at: Millis, hops = 0, transportId?: Uint8Array): Uint8Array {
  const identity = Identity.create(seededRandom(seed));
  const destination = destinationHash(NAME, identity.hash).slice();
  const randomHash = announceRandomHash(seededRandom(`${seed}/r`)(5), at);
  const data = announceData({ identity, destination, nameHash: NAME, randomHash });
  const fields = { packetType: ANNOUNCE, destinationType: SINGLE, destination, data, hops } as const;
  return buildPacket(transportId === undefined ? fields : { ...fields, transportId });
}

describe("reticulum transport under attack", () => {
  it("holds back a flood of announces of strangers, not those it knows or asked for", () => {
    const net = new Net("flood");
    const [mallory, hub, bob] = [net.node("mallory"), net.router("hub"), net.node("bob")];
    const left = net.join("left", [mallory, hub], { bitrate: 10_000_000, wire: { medium: "stream" } });
    const right = net.join("right", [hub, bob], { wire: { medium: "stream" } });
    net.announce(mallory);
    net.run(60_000);
    const before = right.frames;
    for (let i = 0; i < 2000; i++) net.inject(left, mallory, announceOf(`m${i}`, net.now));
    net.run(5000);
    assert.ok(right.frames - before < 20, `${right.frames - before} announces passed on`);
    assert.ok(hub.endpoint.heldAnnounces <= 256);
    assert.ok((hub.endpoint.counters.get("drop_held_announce") ?? 0) > 1700);
    const known = hub.endpoint.counters.get("announces_accepted") ?? 0;
    net.announce(mallory);
    net.run(1000);
    assert.equal(hub.endpoint.counters.get("announces_accepted"), known + 1);
    // Held ones come through in time, one every five seconds.
    net.run(600_000);
    assert.ok(hub.endpoint.heldAnnounces < 200);
  });

  it("answers a flood of path requests a few times a second at most, and forwards none of it", () => {
    const net = new Net("requests");
    const [mallory, hub, bob] = [net.node("mallory"), net.router("hub"), net.node("bob")];
    const left = net.join("left", [mallory, hub], { bitrate: 100_000_000 }, { hub: { policy: { mode: "gateway" } } });
    const right = net.join("right", [hub, bob]);
    net.announce(bob);
    net.run(20_000);
    const before = { left: left.frames, right: right.frames };
    const random = seededRandom("tags");
    for (let i = 0; i < 3000; i++) {
      const target = i % 3 === 0 ? bob.destination.hash : i % 3 === 1 ? hub.destination.hash : random(16);
      net.inject(left, mallory, pathRequestPacket({ target, transportId: undefined, tag: random(16) }));
    }
    net.run(10_000);
    const answers = left.frames - before.left - 3000;
    assert.ok(answers <= 12, `${answers} answers`);
    assert.ok(right.frames - before.right < 20, `${right.frames - before.right} searches`);
    assert.ok((hub.endpoint.counters.get("drop_rate_limited") ?? 0) > 1500);
    net.run(600_000);
    assert.equal(hub.endpoint.transport?.status().searches ?? 0, hub.endpoint.transport?.finder.searches);
  });

  it("believes no forged announce or path answer, and no old one", () => {
    const net = new Net("forged");
    const [mallory, hub, bob] = [net.node("mallory"), net.router("hub"), net.node("bob")];
    const wire = net.join("wire", [mallory, hub, bob]);
    let first: Uint8Array | undefined;
    wire.tap = (frame, from) => {
      if (from === bob) first ??= frame.slice();
      return true;
    };
    net.announce(bob);
    net.run(10_000);
    net.announce(bob);
    net.run(10_000);
    const path = hub.endpoint.path(bob.destination.hash);
    const packet = parsePacket(first as Uint8Array);
    const evil = (data: Uint8Array, context: number): Uint8Array =>
      buildPacket({
        packetType: ANNOUNCE,
        destinationType: SINGLE,
        destination: packet.destination,
        data,
        context,
        transportId: seededRandom("evil")(16),
      });
    const damaged = packet.data.slice();
    damaged[80] = (damaged[80] as number) ^ 1;
    const later = packet.data.slice();
    later.set(announceRandomHash(seededRandom("later")(5), net.now + 60_000), 74);
    for (const context of [CONTEXT.none, CONTEXT.pathResponse]) {
      for (const data of [damaged, later, packet.data, packet.data.subarray(0, 100)]) {
        net.inject(wire, mallory, evil(data, context));
      }
    }
    net.run(10_000);
    const now = hub.endpoint.path(bob.destination.hash);
    assert.ok(now !== undefined && path !== undefined && equalBytes(now.nextHop, path.nextHop));
    assert.equal(now.hops, 1);
  });

  it("lets no packet run in circles", () => {
    const net = new Net("loop");
    const routers = Array.from({ length: 4 }, (_, i) => net.router(`r${i}`));
    for (let i = 0; i < 4; i++) net.join(`ring${i}`, [routers[i] as NetNode, routers[(i + 1) % 4] as NetNode]);
    const leaf = net.node("leaf");
    net.attach(net.segments.get("ring0") as never, leaf);
    net.announce(leaf);
    net.run(60_000);
    let frames = 0;
    for (const segment of net.segments.values()) frames += segment.frames;
    assert.ok(frames <= 24, `${frames} frames for one announce on a ring`);
    // Two routers that name each other as next hop: the packet dies after its first round.
    const [a, b] = routers as [NetNode, NetNode];
    const ghost = Identity.create(seededRandom("ghost"));
    const destination = destinationHash(NAME, ghost.hash).slice();
    const announce = (transportId: Uint8Array, hops: number, at: Millis): Uint8Array =>
      buildPacket({
        packetType: ANNOUNCE,
        destinationType: SINGLE,
        destination,
        data: announceData({
          identity: ghost,
          destination,
          nameHash: NAME,
          randomHash: announceRandomHash(seededRandom(String(at))(5), at),
        }),
        hops,
        transportId,
      });
    const idOf = (node: NetNode): Uint8Array => node.endpoint.transport?.id as Uint8Array;
    net.act(a, () => a.endpoint.handle("ring0", announce(idOf(b), 3, net.now), net.now));
    net.act(b, () => b.endpoint.handle("ring0", announce(idOf(a), 3, net.now), net.now));
    const before = net.segments.get("ring0")?.frames ?? 0;
    const fields = { packetType: DATA, destinationType: SINGLE, destination, data: utf8("round") } as const;
    const data = routeVia(buildPacket(fields), idOf(a));
    net.inject(net.segments.get("ring0") as never, leaf, data);
    net.run(2000);
    const forwarded = [...routers].reduce(
      (sum, { endpoint }) => sum + (endpoint.counters.get("packets_forwarded") ?? 0),
      0,
    );
    assert.ok(forwarded <= 2, `${forwarded} times forwarded`);
    assert.ok((net.segments.get("ring0")?.frames ?? 0) - before < 12);
  });

  it("keeps its tables bounded, and honest paths and links in them", function () {
    this.timeout(60_000);
    const net = new Net("full");
    const nodes = chain(net, 2);
    const [a, hub, b] = nodes as [NetNode, NetNode, NetNode];
    net.announce(b);
    net.run(10_000);
    const link = net.act(a, () => a.endpoint.openLink(b.destination.hash));
    net.run(5000);
    assert.equal(link.state, "active");
    const random = seededRandom("links");
    for (let i = 0; i < 9000; i++) {
      const request = buildPacket({
        packetType: LINK_REQUEST,
        destinationType: SINGLE,
        destination: b.destination.hash,
        data: random(64),
      });
      const raw = routeVia(request, hub.endpoint.transport?.id as Uint8Array);
      hub.endpoint.act(net.now, () => hub.endpoint.handle("s0", raw, net.now));
    }
    assert.ok((hub.endpoint.transport?.links.size ?? 0) <= 8192);
    assert.ok((hub.endpoint.transport?.links.evictions ?? 0) > 500);
    net.act(a, () => link.send(utf8("still there")));
    net.run(5000);
    assert.equal(link.state, "active");
    net.run(60_000);
    assert.ok((hub.endpoint.transport?.links.size ?? 0) <= 2, "unproved links are forgotten");
    const paths = hub.endpoint.paths;
    const wire = hub.endpoint.wires.get("s0");
    for (let i = 0; i < 17_000; i++) {
      const hash = random(16);
      const announce = {
        destination: hash,
        identity: hub.destination.identity as Identity,
        nameHash: NAME,
        randomHash: announceRandomHash(random(5), net.now),
        emittedSeconds: 0,
        ratchet: undefined,
        appData: new Uint8Array(0),
      };
      paths.learn({ announce, hops: 1, nextHop: hash, wire: wire as never }, net.now);
    }
    assert.equal(paths.size, 16_384);
    assert.ok(hasPath(hub, b), "a path in use survives a flood of others");
    for (let i = 0; i < 40_000; i++)
      hub.endpoint.transport?.reverse.add({ high: i + 1, low: i * 7 }, "s0", "s1", net.now);
    const kept = hub.endpoint.transport?.reverse.size ?? 0;
    assert.ok(kept >= 16_384 && kept <= 32_768, `${kept} kept`);
    net.run(500_000);
    hub.endpoint.transport?.reverse.expire(net.now);
    assert.equal(hub.endpoint.transport?.reverse.size, 0);
  });

  it("finds another way when the shorter one is dead", () => {
    const net = new Net("detour");
    const [a, t1, t2, t3, b] = [net.node("a"), net.router("t1"), net.router("t2"), net.router("t3"), net.node("b")];
    net.join("start", [a, t1, t2]);
    const short = net.join("short", [t1, b]);
    net.join("long1", [t2, t3]);
    net.join("long2", [t3, b]);
    net.announce(b);
    net.run(15_000);
    assert.equal(a.endpoint.path(b.destination.hash)?.hops, 2);
    short.isUp = false;
    let state = "";
    for (let i = 0; i < 8 && state !== "active"; i++) {
      // Who has only the dead way to tell needs the destination's next announce to learn of another.
      if (i === 4) net.announce(b);
      const link = net.act(a, () => a.endpoint.openLink(b.destination.hash));
      net.run(40_000);
      ({ state } = link);
    }
    assert.equal(state, "active");
    assert.ok((a.endpoint.path(b.destination.hash)?.hops ?? 0) >= 3);
  });

  describe("with wrong clocks", () => {
    for (const error of [10 * 365 * 86_400_000, 3_600_000]) {
      it(`accepts a node again whose clock was ${error / 3_600_000} h ahead, on all others`, () => {
        const net = new Net(`clock${error}`);
        const nodes = chain(net, 3);
        const a = nodes[0] as NetNode;
        const b = nodes[3] as NetNode;
        net.clockErrorMs.set(b.name, error);
        net.announce(b);
        net.run(10_000);
        // It restarts with the right time and no memory of what it announced.
        net.clockErrorMs.delete(b.name);
        const reborn = net.node("n3");
        net.detach(net.segments.get("s2") as never, b);
        net.attach(net.segments.get("s2") as never, reborn);
        assert.equal(reborn.destination.hex, b.destination.hex);
        const before = a.endpoint.counters.get("announces_accepted") ?? 0;
        net.announce(reborn);
        net.run(10_000);
        assert.equal(a.endpoint.counters.get("announces_accepted"), before + 1);
      });
    }
    it("never announces an earlier time than before, and needs no second between two announces", () => {
      const net = new Net("jump");
      const nodes = chain(net, 2);
      const a = nodes[0] as NetNode;
      const b = nodes[2] as NetNode;
      net.announce(b);
      net.run(10_000);
      net.clockErrorMs.set(b.name, -86_400_000);
      const before = a.endpoint.counters.get("announces_accepted") ?? 0;
      net.announce(b);
      net.run(10_000);
      assert.equal(a.endpoint.counters.get("announces_accepted"), before + 1);
      // The file remembers it too.
      const file = net.act(b, () => b.endpoint.saveTables());
      const reborn = net.node("n2");
      net.act(reborn, () => reborn.endpoint.loadTables(file, net.now));
      net.detach(net.segments.get("s1") as never, b);
      net.attach(net.segments.get("s1") as never, reborn);
      net.clockErrorMs.set("n2", -86_400_000);
      net.announce(reborn);
      net.run(10_000);
      assert.equal(a.endpoint.counters.get("announces_accepted"), before + 2);
    });
    it("keeps paths when the clock of the file jumped, and none for longer than their life", () => {
      const net = new Net("file");
      const nodes = chain(net, 2);
      const [a, , b] = nodes as [NetNode, NetNode, NetNode];
      net.announce(b);
      net.run(10_000);
      for (const [error, expected] of [
        [-40 * 365 * 86_400_000, true],
        [0, true],
        [8 * 86_400_000, false],
      ] as const) {
        net.clockErrorMs.delete("n0");
        const file = net.act(a, () => a.endpoint.saveTables());
        const reborn = net.node("n0");
        net.clockErrorMs.set("n0", error);
        net.act(reborn, () => reborn.endpoint.loadTables(file, net.now));
        net.act(reborn, () => reborn.endpoint.attach({ id: "s0", bitrate: 1e6, hardwareMtu: 500, signalsMtu: false }));
        assert.equal(
          net.act(reborn, () => hasPath(reborn, b)),
          expected,
          String(error),
        );
        net.run(7 * 86_400_000 + 1);
        assert.equal(
          net.act(reborn, () => hasPath(reborn, b)),
          false,
        );
        net.run(1000);
        net.announce(b);
        net.run(10_000);
      }
    });
  });

  it(`survives ${LONG ? 24 : 4} hours on twenty nodes with failing links, without a leak, and finds everybody again`, function () {
    this.timeout(LONG ? 0 : 120_000);
    const hours = LONG ? 24 : 4;
    const net = new Net("day");
    const nodes = Array.from({ length: 20 }, (_, i) => (i < 12 ? net.router(`n${i}`) : net.node(`n${i}`)));
    const at = (i: number): NetNode => nodes[i] as NetNode;
    const policy = { policy: { announceRate: null } };
    // Six radio cells with a backbone of fast lines between them, a ring so that there is mostly another way.
    for (let cell = 0; cell < 6; cell++) {
      const members = [
        at(cell),
        at(cell + 6),
        ...(cell + 12 < 20 ? [at(cell + 12)] : []),
        ...(cell < 2 ? [at(cell + 18)] : []),
      ];
      net.join(`cell${cell}`, members, { bitrate: 5000, loss: 0.05, latencyMs: 20, wire: policy });
      net.join(`line${cell}`, [at(cell), at((cell + 1) % 6)], { bitrate: 1_000_000, latencyMs: 5, wire: policy });
    }
    const lines = [...net.segments.values()].filter(({ name }) => name.startsWith("line"));
    const flap = (): void => {
      const line = lines[Math.floor(net.chance() * lines.length)] as (typeof lines)[number];
      // At most one line is down at a time: the ring stays connected.
      if (lines.every(({ isUp }) => isUp)) line.isUp = false;
      else for (const one of lines) one.isUp = true;
      net.schedule(net.now + 60_000 + net.chance() * 600_000, flap);
    };
    flap();
    const announceAgain = (node: NetNode): void => {
      net.announce(node);
      net.schedule(net.now + 900_000 + net.chance() * 300_000, () => announceAgain(node));
    };
    for (const node of nodes) net.schedule(net.now + net.chance() * 600_000, () => announceAgain(node));
    const timers = (): number => nodes.reduce((sum, { endpoint }) => sum + endpoint.waitingTimers, 0);
    net.run(3_600_000);
    let worst = 0;
    let asked = 0;
    for (let hour = 1; hour < hours; hour++) {
      net.run(3_000_000);
      // Everybody looks for somebody: known, found by asking, or at the latest by the next announce.
      for (let i = 0; i < 20; i++) {
        const from = at(i);
        const to = at((i * 7 + hour) % 20);
        if (from === to) continue;
        asked++;
        const since = net.now;
        let delivered = false;
        while (!delivered && net.now - since < FOUND_AGAIN_MS) {
          const { endpoint } = from;
          if (!hasPath(from, to)) net.act(from, () => endpoint.requestPath(to.destination.hash));
          net.run(15_000, () => hasPath(from, to));
          if (!hasPath(from, to)) continue;
          const receipt = net.act(from, () => endpoint.send(to.destination.hash, utf8(`${hour}/${i}`)));
          net.run(60_000, () => receipt.state !== "sent");
          delivered = receipt.state === "delivered";
          if (!delivered) {
            net.act(from, () => endpoint.paths.expire(to.destination.hash));
            net.act(from, () => endpoint.requestPath(to.destination.hash));
          }
        }
        worst = Math.max(worst, net.now - since);
        assert.ok(delivered, `${from.name} did not reach ${to.name} in hour ${hour}`);
      }
    }
    assert.ok(asked > 50 * (hours / 4));
    if (LONG) process.stdout.write(`      longest search ${Math.round(worst / 1000)} s of ${asked}\n`);
    assert.ok(worst < FOUND_AGAIN_MS, `the longest search took ${worst} ms`);
    for (const { endpoint } of nodes) {
      assert.ok(endpoint.paths.size <= 20 && endpoint.known.size <= 20);
      assert.ok((endpoint.transport?.reverse.size ?? 0) < 2000);
      assert.equal(endpoint.links.size, 0);
    }
    const quiet = timers();
    assert.ok(quiet < 400, `${quiet} timers wait`);
  });
});
