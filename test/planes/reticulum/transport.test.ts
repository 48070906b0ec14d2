/** Forwarding for others in virtual time: chains, shared media, path requests, modes, tunnels, restarts. */
import assert from "node:assert/strict";
import type { Link } from "../../../planes/reticulum/stack/link.ts";
import type { ReceivedResource } from "../../../planes/reticulum/stack/link-resources.ts";
import { parsePacket } from "../../../planes/reticulum/stack/packet.ts";
import { equalBytes, toHex, utf8 } from "../../../spine/index.ts";
import { seededRandom } from "./ether.ts";
import { chain, hasPath, Net, type NetNode } from "./net.ts";
import { pattern } from "./pair.ts";

function linkOver(net: Net, from: NetNode, to: NetNode): { near: Link; far: Link } {
  let far: Link | undefined;
  to.destination.onLink = (link) => {
    far = link;
  };
  const near = net.act(from, () => from.endpoint.openLink(to.destination.hash));
  net.run(60_000, () => near.state !== "pending" && far?.isUp === true);
  assert.ok(far !== undefined && near.state === "active");
  return { near, far };
}

describe("reticulum transport", () => {
  for (const hops of [2, 4]) {
    it(`carries announces, packets, proofs, links and resources over ${hops} hops`, () => {
      const net = new Net(`chain${hops}`);
      const nodes = chain(net, hops);
      const a = nodes[0] as NetNode;
      const b = nodes[hops] as NetNode;
      net.announce(b);
      net.run(10_000);
      assert.equal(a.endpoint.path(b.destination.hash)?.hops, hops);
      const got: string[] = [];
      b.destination.onPacket = (data) => got.push(toHex(data));
      const receipt = net.act(a, () => a.endpoint.send(b.destination.hash, utf8("ping")));
      net.run(1000);
      assert.deepEqual(got, [toHex(utf8("ping"))]);
      assert.equal(receipt.state, "delivered");
      const { near, far } = linkOver(net, a, b);
      assert.equal(near.hops, hops);
      assert.equal(far.hops, hops);
      far.acceptResource = () => true;
      const resources: ReceivedResource[] = [];
      far.onResource = (resource) => resources.push(resource);
      const sent = net.act(a, () => near.sendResource(pattern(50_000)));
      net.run(120_000, () => sent.state === "complete" || sent.state === "failed");
      assert.equal(sent.state, "complete");
      assert.ok(equalBytes(resources[0]?.data as Uint8Array, pattern(50_000)));
      net.act(b, () => far.close());
      net.run(1000);
      assert.equal(near.state, "closed");
    });
  }

  it("carries links over one shared medium where the ends do not hear each other", () => {
    const net = new Net("shared");
    const [a, t, b] = [net.node("a"), net.router("t"), net.node("b")];
    const air = net.join("air", [a, t, b], { bitrate: 10_000 });
    // Hidden ends: what one end sends, only the router takes in.
    const hears = { a: [t], t: [a, b], b: [t] } as Record<string, readonly NetNode[]>;
    for (const node of [a, t, b]) {
      const handle = node.endpoint.handle.bind(node.endpoint);
      node.endpoint.handle = (wire, frame, now) => {
        const from = senders.get(toHex(frame));
        return from === undefined || hears[from]?.includes(node) === true ? handle(wire, frame, now) : [];
      };
    }
    const senders = new Map<string, string>();
    air.tap = (frame, from) => {
      senders.set(toHex(frame), from.name);
      return true;
    };
    net.announce(b);
    net.run(20_000);
    assert.equal(a.endpoint.path(b.destination.hash)?.hops, 2);
    const { near, far } = linkOver(net, a, b);
    near.channel();
    const messages: string[] = [];
    far.channel().addHandler((_, payload) => messages.push(toHex(payload)) > 0);
    near.channel().addHandler(() => assert.fail("the echo of our own message"));
    net.act(a, () => {
      for (let i = 0; i < 5; i++) near.channel().send(0x101, Uint8Array.of(i));
    });
    net.run(60_000, () => messages.length === 5);
    assert.deepEqual(messages, ["00", "01", "02", "03", "04"]);
    assert.ok((a.endpoint.counters.get("drop_echo") ?? 0) > 0);
  });

  it("re-sends an announce twice at most, and not when neighbours did", () => {
    const net = new Net("twice");
    const [a, t] = [net.node("a"), net.router("t")];
    net.join("left", [a, t]);
    const right = net.join("right", [t]);
    net.announce(a);
    net.run(60_000);
    assert.equal(right.frames, 2);
    const packet = { hops: 0, transport: "" };
    right.tap = (frame) => {
      const heard = parsePacket(frame);
      packet.hops = heard.hops;
      packet.transport = toHex(heard.transportId as Uint8Array);
      return true;
    };
    net.announce(a);
    net.run(1000);
    assert.deepEqual(packet, { hops: 1, transport: t.endpoint.transport?.hex });
    assert.equal(t.endpoint.waitingTimers > 0, true);
    net.run(60_000);
    assert.equal(t.endpoint.transport?.status().announces, 0);
    assert.equal(t.endpoint.waitingTimers, 0);
    const crowd = new Net("crowd");
    const leaf = crowd.node("leaf");
    const routers = [1, 2, 3, 4].map((i) => crowd.router(`r${i}`));
    const medium = crowd.join("medium", [leaf, ...routers]);
    crowd.announce(leaf);
    crowd.run(60_000);
    assert.ok(medium.frames <= 6, `${medium.frames} frames: each router once, and no second time`);
  });

  it("answers path requests for others from what it heard", () => {
    const net = new Net("answer");
    const [a, t, b] = [net.node("a"), net.router("t"), net.node("b")];
    net.join("left", [a, t]);
    net.join("right", [t, b]);
    net.announce(b);
    net.run(10_000);
    const late = net.node("late");
    net.attach(net.segments.get("left") as never, late);
    assert.equal(hasPath(late, b), false);
    net.act(late, () => late.endpoint.requestPath(b.destination.hash));
    net.run(1000);
    assert.equal(late.endpoint.path(b.destination.hash)?.hops, 2);
    const receipt = net.act(late, () => late.endpoint.send(b.destination.hash, utf8("hi")));
    net.run(1000);
    assert.equal(receipt.state, "delivered");
  });

  it("sends no more path requests than a wire's limit", () => {
    const net = new Net("egress");
    const [a, b] = [net.node("a"), net.node("b")];
    const slow = net.join("slow", [a, b], {}, { a: { policy: { pathRequestHz: 0.5 } } });
    const free = net.join("free", [a, b]);
    const random = seededRandom("targets");
    for (let i = 0; i < 40; i++) {
      net.act(a, () => a.endpoint.requestPath(random(16)));
      net.run(500);
    }
    assert.equal(free.frames, 40);
    assert.ok(slow.frames >= 8 && slow.frames <= 12, `${slow.frames} requests in 20 s`);
    assert.equal(a.endpoint.counters.get("drop_rate_limited"), 40 - slow.frames);
  });

  it("searches paths for others through gateways, not through full interfaces", () => {
    for (const mode of ["gateway", "full"] as const) {
      const net = new Net(`search-${mode}`);
      const [a, t, b] = [net.node("a"), net.router("t"), net.node("b")];
      net.join("left", [a, t], {}, { t: { policy: { mode } } });
      net.join("right", [t, b]);
      net.act(a, () => a.endpoint.requestPath(b.destination.hash));
      net.run(5000);
      assert.equal(hasPath(a, b), mode === "gateway");
    }
  });

  it("searches over several gateways and answers all who asked", () => {
    const net = new Net("far");
    const [a, b, t1, t2, c] = [net.node("a"), net.node("b"), net.router("t1"), net.router("t2"), net.node("c")];
    const gateway = { policy: { mode: "gateway" as const } };
    net.join("west", [a, b, t1], {}, { t1: gateway });
    net.join("middle", [t1, t2], {}, { t2: gateway });
    net.join("east", [t2, c]);
    net.act(a, () => a.endpoint.requestPath(c.destination.hash));
    net.act(b, () => b.endpoint.requestPath(c.destination.hash));
    net.run(10_000);
    assert.equal(a.endpoint.path(c.destination.hash)?.hops, 3);
    assert.equal(b.endpoint.path(c.destination.hash)?.hops, 3);
  });

  it("keeps announces within the modes of its interfaces", () => {
    const carried = (from: string, out: string): boolean => {
      const net = new Net(`mode-${from}-${out}`);
      const [a, t, b] = [net.node("a"), net.router("t"), net.node("b")];
      net.join("left", [a, t], {}, { t: { policy: { mode: from as "full" } } });
      net.join("right", [t, b], {}, { t: { policy: { mode: out as "full" } } });
      net.announce(a);
      net.run(10_000);
      return hasPath(b, a);
    };
    for (const from of ["full", "access-point", "roaming", "boundary", "internal"]) {
      const allowed = ["full", "access-point", "roaming", "boundary", "internal"].filter((out) => carried(from, out));
      const expected: Record<string, readonly string[]> = {
        full: ["full", "roaming", "boundary", "internal"],
        "access-point": ["full", "roaming", "boundary", "internal"],
        roaming: ["full", "internal"],
        boundary: ["full", "boundary"],
        internal: ["full", "roaming", "boundary", "internal"],
      };
      assert.deepEqual(allowed, expected[from], from);
    }
  });

  it("holds re-sent announces to their share of a slow wire, nearest first", () => {
    const net = new Net("cap");
    const t = net.router("t");
    const slow = net.join("slow", [t], { bitrate: 10_000 });
    const leaves = Array.from({ length: 10 }, (_, i) => net.node(`leaf${i}`));
    net.join("fast", [t, ...leaves]);
    for (const leaf of leaves) net.announce(leaf);
    net.run(60_000);
    // 183 bytes at 10 kbit/s are 146 ms; two percent of the time is one announce every 7.3 s.
    assert.ok(slow.frames >= 6 && slow.frames <= 10, `${slow.frames} in a minute`);
    assert.ok((t.endpoint.transport?.status().queuedAnnounces ?? 0) > 0);
    net.run(300_000);
    assert.equal(t.endpoint.transport?.status().queuedAnnounces, 0);
  });

  it("carries on no more announces of one destination than the rate allows, but learns from all", () => {
    const net = new Net("rate");
    const [a, t, b] = [net.node("a"), net.router("t"), net.node("b")];
    net.join("left", [a, t]);
    net.join("right", [t, b]);
    let heard = 0;
    b.endpoint.onAnnounce({ heard: () => heard++ });
    for (let i = 0; i < 12; i++) {
      net.announce(a);
      net.run(20_000);
    }
    assert.equal(heard, 6);
    assert.equal(t.endpoint.counters.get("announces_accepted"), 12);
    net.run(3_600_000);
    net.announce(a);
    net.run(10_000);
    assert.equal(heard, 7);
  });

  it("gives paths back when a connection returns under another name", () => {
    const net = new Net("tunnel");
    const [a, t, b] = [net.node("a"), net.router("t"), net.router("b")];
    const c = net.node("c");
    net.join("left", [a, t]);
    const wire = net.join(
      "tcp",
      [t, b],
      {},
      { t: { id: "tcp/0", transient: true }, b: { tunnelName: "TCPInterface[up/t:1]" } },
    );
    net.join("right", [b, c]);
    net.announce(c);
    net.run(10_000);
    assert.equal(hasPath(t, c), true);
    net.detach(wire, t, "tcp/0");
    net.detach(wire, b);
    assert.equal(hasPath(t, c), false);
    net.run(60_000);
    net.attach(wire, t, { id: "tcp/1", transient: true });
    net.attach(wire, b, { tunnelName: "TCPInterface[up/t:1]" });
    net.run(1000);
    assert.equal(hasPath(t, c), true);
    const receipt = net.act(a, () => a.endpoint.send(c.destination.hash, utf8("still here")));
    net.run(1000);
    assert.equal(receipt.state, "delivered");
    // A connection that does not name itself gets nothing.
    net.detach(wire, t, "tcp/1");
    net.attach(wire, t, { id: "tcp/2", transient: true });
    net.run(1000);
    assert.equal(hasPath(t, c), false);
  });

  it("knows destinations and paths again after a restart, and refuses announces replayed from before", () => {
    const net = new Net("restart");
    const [a, t, b] = [net.node("a"), net.router("t"), net.node("b")];
    const left = net.join("left", [a, t]);
    const right = net.join("right", [t, b]);
    let recorded: Uint8Array | undefined;
    right.tap = (frame, from) => {
      if (from === b) recorded ??= frame.slice();
      return true;
    };
    net.announce(b);
    net.run(10_000);
    net.announce(b);
    net.run(10_000);
    const file = net.act(t, () => t.endpoint.saveTables());
    net.detach(left, t);
    net.detach(right, t);
    const reborn = net.router("t2");
    net.act(reborn, () => reborn.endpoint.loadTables(file, net.now));
    net.attach(left, reborn);
    net.attach(right, reborn);
    assert.equal(hasPath(reborn, b), true);
    const before = reborn.endpoint.counters.get("announces_accepted");
    net.inject(right, undefined, recorded as Uint8Array);
    net.run(1000);
    assert.equal(reborn.endpoint.counters.get("announces_accepted"), before);
    const late = net.node("late");
    net.attach(left, late);
    net.act(late, () => late.endpoint.requestPath(b.destination.hash));
    net.run(1000);
    assert.equal(hasPath(late, b), true);
    for (const damaged of [file.subarray(0, file.length - 1), seededRandom("x")(50)]) {
      assert.throws(() => net.router("bad").endpoint.loadTables(damaged, net.now), { code: "frame_syntax" });
    }
  });
});
