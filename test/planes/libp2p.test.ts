/** The libp2p plane in the company of its own kind: start errors, identity, discovery, reconnecting, limits. */
import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { createHash, createPrivateKey, createPublicKey, randomBytes } from "node:crypto";
import { mkdtemp, rm } from "node:fs/promises";
import { createServer } from "node:net";
import { networkInterfaces, tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import type { Libp2pLimits, Libp2pOptions, Libp2pPlane } from "../../planes/index.ts";
import { Recorder } from "../contract/recorder.ts";
import { libp2pPlane, never, peerIdOf } from "../helpers/libp2p.ts";

describe("libp2p plane", () => {
  let recorders: Recorder[] = [];

  async function running(options: Partial<Libp2pOptions> = {}, limits: Partial<Libp2pLimits> = {}) {
    const plane = libp2pPlane(options, limits);
    const seen = new Recorder(plane);
    recorders.push(seen);
    await plane.start({ signal: never });
    return { plane, seen, address: plane.addresses()[0] as string };
  }
  function count(plane: Libp2pPlane, name: string): number {
    return plane.counters()[name] as number;
  }
  async function eventually(what: string, done: () => boolean): Promise<void> {
    for (let i = 0; i < 200; i++) {
      if (done()) return;
      await new Promise((resolve) => setTimeout(resolve, 50));
    }
    assert.fail(`never: ${what}`);
  }

  beforeEach(() => {
    recorders = [];
  });
  afterEach(async () => {
    await Promise.all(recorders.map(({ plane }) => plane.stop()));
    for (const { ended } of recorders) await ended;
  });

  describe("start", () => {
    it("names a port in use, and leaves nothing open", async () => {
      const server = createServer();
      await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
      const { port } = server.address() as { port: number };
      const taken = `/ip4/127.0.0.1/tcp/${port}`;
      const plane = libp2pPlane({ listen: ["/ip4/127.0.0.1/tcp/0", taken] });
      await assert.rejects(plane.start({ signal: never }), { code: "port_in_use" });
      assert.deepEqual(plane.addresses(), []);
      await assert.rejects(plane.start({ signal: never }), { code: "plane_stopped" });
      await new Promise((resolve) => server.close(resolve));
    });
    it("refuses addresses it cannot listen on or dial", async () => {
      for (const listen of ["nonsense", "/ip4/127.0.0.1/udp/1/quic-v1", "/ip4/192.0.2.1/tcp/0"]) {
        await assert.rejects(libp2pPlane({ listen: [listen] }).start({ signal: never }), {
          code: "plane_start_failed",
        });
      }
      for (const address of ["nonsense", "/ip4/127.0.0.1/tcp/4001"]) {
        await assert.rejects(libp2pPlane({ peers: [address] }).start({ signal: never }), { code: "peer_address" });
        await assert.rejects(libp2pPlane({ bootstrap: [address] }).start({ signal: never }), { code: "peer_address" });
      }
    });
    it("refuses a malformed private network key", async () => {
      for (const psk of ["nonsense", new Uint8Array(31)]) {
        await assert.rejects(libp2pPlane({ psk }).start({ signal: never }), { code: "plane_start_failed" });
      }
    });
    it("ends by itself: a process that stops its plane has no handle left", async () => {
      const program = fileURLToPath(new URL("../helpers/plane-process.js", import.meta.url));
      const child = spawn(process.execPath, [program], { stdio: ["ignore", "inherit", "inherit"] });
      const code = await new Promise((resolve) => {
        const timer = setTimeout(() => child.kill("SIGKILL"), 8_000);
        child.once("exit", (exitCode, signal) => {
          clearTimeout(timer);
          resolve(exitCode ?? signal);
        });
      });
      assert.equal(code, 0);
    });
  });

  it("is known by the Ed25519 key of its seed", async () => {
    const seed = new Uint8Array(randomBytes(32));
    const a = await running({ privateKeySeed: seed });
    const b = await running();
    await b.plane.addPeer(a.address);
    await b.seen.link();
    const pkcs8 = Buffer.concat([Buffer.from("302e020100300506032b657004220420", "hex"), seed]);
    const key = createPublicKey(createPrivateKey({ key: pkcs8, format: "der", type: "pkcs8" }));
    const raw = key.export({ format: "der", type: "spki" }).subarray(-32);
    assert.deepEqual(Buffer.from(b.seen.of("up")[0]?.info.remoteBinding as Uint8Array), Buffer.from(raw));
  });

  it("names broadcasts by the SHA-256 of their bytes, and passes them along a line unsigned", async () => {
    const a = await running();
    const b = await running({ peers: [a.address] });
    await a.seen.link();
    let sent = "";
    await eventually("a neighbour", () => b.plane.peers().length > 0);
    for (let i = 0; b.seen.of("gossip").length === 0 && i < 100; i++) {
      sent = `news ${i}`;
      if ((await a.plane.broadcast(Buffer.from(sent), { signal: never })) > 0) break;
      await new Promise((resolve) => setTimeout(resolve, 50));
    }
    await b.seen.until("gossip", () => b.seen.of("gossip").length > 0);
    const [heard] = b.seen.of("gossip");
    assert.equal(
      heard?.id,
      createHash("sha256")
        .update(heard?.data as Uint8Array)
        .digest("hex"),
    );
    assert.equal(await a.plane.broadcast(Buffer.from(sent), { signal: never }), 0, "the same again goes nowhere");
  });

  it("takes broadcasts up to its limit and refuses more", async () => {
    const a = await running();
    const b = await running({ peers: [a.address] });
    await a.seen.link();
    const large = new Uint8Array(randomBytes(96 * 1_024));
    for (let i = 0; i < 100; i++) {
      large[0] = i;
      if ((await a.plane.broadcast(large, { signal: never })) > 0) break;
      await new Promise((resolve) => setTimeout(resolve, 50));
    }
    await b.seen.until("the large one", () => b.seen.of("gossip").length === 1);
    assert.equal(b.seen.of("gossip")[0]?.data.length, large.length);
    await assert.rejects(a.plane.broadcast(new Uint8Array(large.length + 1), { signal: never }), {
      code: "frame_size",
    });
  });

  describe("private network", () => {
    const key = new Uint8Array(32).fill(9);
    it("links holders of the same key, given as bytes or as a swarm key file", async () => {
      const file = `/key/swarm/psk/1.0.0/\n/base16/\n${Buffer.from(key).toString("hex")}\n`;
      const a = await running({ psk: key });
      const b = await running({ psk: file, peers: [a.address] });
      await b.seen.link();
      await b.plane.send(await b.seen.link(), new Uint8Array(200_000), { signal: never });
      await a.seen.until("the frame", () => a.seen.frames().length === 1);
    });
    it("keeps everybody else out", async () => {
      const a = await running({ psk: key });
      for (const psk of [undefined, new Uint8Array(32).fill(8)]) {
        const own = psk === undefined ? {} : { psk };
        const other = await running({ ...own, peers: [a.address] }, { dialMs: 1_000 });
        await eventually("a failed dial", () => count(other.plane, "dials_failed") > 0);
        assert.deepEqual(other.seen.links, []);
      }
      assert.deepEqual(a.seen.links, []);
    });
  });

  describe("discovery", () => {
    it("learns of a third peer from the one it bootstraps from, and finds it again after a restart", async () => {
      const directory = await mkdtemp(join(tmpdir(), "spine-peers-"));
      const seed = new Uint8Array(randomBytes(32));
      const a = await running();
      const b = await running({ bootstrap: [a.address] });
      await b.seen.link();
      const c = await running({ privateKeySeed: seed, bootstrap: [a.address], datastorePath: directory });
      await c.seen.link(2);
      assert.deepEqual(
        c.plane
          .peers()
          .map(({ id }) => id)
          .sort(),
        [peerIdOf(a.plane), peerIdOf(b.plane)].sort(),
      );
      assert.ok(c.plane.peers().every(({ configured }) => !configured));
      assert.ok(c.seen.of("up").every(({ info }) => !info.configured));
      await c.plane.stop();
      const again = await running({ privateKeySeed: seed, datastorePath: directory });
      await again.seen.link(2);
      await again.plane.stop();
      await rm(directory, { recursive: true });
    });
    it("finds peers on the local network", async function () {
      const outside = Object.values(networkInterfaces()).flat();
      if (!outside.some((address) => address?.family === "IPv4" && !address.internal)) this.skip();
      const listen = ["/ip4/0.0.0.0/tcp/0"];
      const a = await running({ listen, mdns: true });
      const b = await running({ listen, mdns: true });
      await eventually("the other one", () => a.plane.peers().some(({ id }) => id === peerIdOf(b.plane)));
    });
    it("asks no further once it has enough links", async () => {
      const a = await running();
      const b = await running({ bootstrap: [a.address] });
      await b.seen.link();
      const c = await running({ bootstrap: [a.address] }, { targetLinks: 1 });
      await c.seen.link();
      await b.plane.stop();
      assert.equal(count(c.plane, "dials"), 1);
    });
  });

  describe("links", () => {
    it("makes one link of a simultaneous dial", async () => {
      for (let round = 0; round < 3; round++) {
        const a = await running();
        const b = await running();
        await Promise.all([a.plane.addPeer(b.address), b.plane.addPeer(a.address)]);
        await a.seen.link();
        await b.seen.link();
        await a.plane.send(await a.seen.link(), Buffer.from("x"), { signal: never });
        await b.seen.until("the frame", () => b.seen.frames().length === 1);
        assert.equal(a.seen.of("up").length, 1);
        assert.equal(b.seen.of("up").length, 1);
      }
    });
    it("redials a configured peer that was away, under a new link name", async () => {
      const seed = new Uint8Array(randomBytes(32));
      const first = await running({ privateKeySeed: seed });
      const port = first.address.split("/")[4] as string;
      const a = await running({ peers: [first.address] });
      const link = await a.seen.link();
      await first.plane.stop();
      await a.seen.until("down", () => a.seen.links.length === 0);
      await eventually("a failed dial", () => count(a.plane, "dials_failed") > 0);
      await running({ privateKeySeed: seed, listen: [`/ip4/127.0.0.1/tcp/${port}`] });
      assert.notEqual(await a.seen.link(), link);
      assert.ok(a.seen.of("up").every(({ info }) => info.configured));
    });
    for (const [who, seeds] of [
      ["the restarted peer", [2, 1]],
      ["the other peer", [1, 2]],
    ] as const) {
      it(`replaces the link of a peer that started anew, when the stream is opened by ${who}`, async () => {
        const [stays, restarts] = seeds;
        const b = await running({ privateKeySeed: new Uint8Array(32).fill(stays) });
        const privateKeySeed = new Uint8Array(32).fill(restarts);
        const old = await running({ privateKeySeed }, { redialMinMs: 60_000 });
        await old.plane.addPeer(b.address);
        const link = await b.seen.link();
        const fresh = await running({ privateKeySeed });
        await fresh.plane.addPeer(b.address);
        await b.seen.until("the new link", () => b.seen.of("up").length === 2 && b.seen.links.length === 1);
        assert.equal(b.seen.of("down")[0]?.link, link);
        await fresh.plane.send(await fresh.seen.link(), Buffer.from("new"), { signal: never });
        await b.seen.until("the frame", () => b.seen.frames().length === 1);
        await old.seen.until("the old end's down", () => old.seen.links.length === 0);
      });
    }
    it("survives a consumer that takes a few frames at a time while a peer sends all it can", async () => {
      const a = libp2pPlane();
      await a.start({ signal: never });
      const b = await running({ peers: [a.addresses()[0] as string] });
      const total = 360;
      let sending: Promise<void> | null = null;
      let taken = 0;
      try {
        for await (const event of a.events()) {
          assert.notEqual(event.type, "down");
          sending ??= (async (): Promise<void> => {
            const frame = new Uint8Array(60_000);
            const link = await b.seen.link();
            for (let i = 0; i < total; i++) {
              new DataView(frame.buffer).setUint32(0, i);
              await b.plane.send(link, frame, { signal: never });
            }
          })();
          if (event.type !== "frame") continue;
          assert.equal(Buffer.from(event.frame.slice(0, 4)).readUInt32BE(), taken++);
          // Long enough for any buffer that is not held back to overflow.
          if (taken % 12 === 0) await new Promise((resolve) => setTimeout(resolve, 40));
          if (taken === total) break;
        }
        await sending;
      } finally {
        await a.stop();
      }
      assert.equal(taken, total);
      assert.ok(count(b.plane, "sends_held") > 0);
    });
    it("keeps a quiet link alive", async () => {
      const fast = { keepaliveMs: 100, idleMs: 400, tickMs: 50 };
      const a = await running({}, fast);
      const b = await running({ peers: [a.address] }, fast);
      await b.seen.link();
      await new Promise((resolve) => setTimeout(resolve, 1_200));
      assert.equal(a.seen.of("down").length, 0);
      assert.equal(b.seen.of("down").length, 0);
      assert.equal(a.seen.frames().length, 0, "a keep-alive is no frame");
    });
  });

  describe("relay", () => {
    it("links a peer that can only be reached through a relay, as metered, and carries more than the usual 128 KiB", async () => {
      const relay = await running({ relay: { server: true } });
      const hidden = await running({ listen: [], relay: { use: [relay.address] }, peers: [relay.address] });
      await eventually("a relayed address", () => hidden.plane.addresses().length > 0);
      const [address] = hidden.plane.addresses();
      const caller = await running({ listen: [], relay: {} }, { targetLinks: 0 });
      await caller.plane.addPeer(address as string);
      const metered = ({ seen }: { seen: Recorder }) => seen.of("up").find(({ info }) => info.cost === "metered");
      await caller.seen.until("the relayed link", () => metered(caller) !== undefined);
      await hidden.seen.until("the relayed link", () => metered(hidden) !== undefined);
      for (const [from, to] of [
        [caller, hidden],
        [hidden, caller],
      ] as const) {
        await from.plane.send(metered(from)?.link as string, new Uint8Array(300_000), { signal: never });
        await to.seen.until("the frame", () => to.seen.frames(metered(to)?.link).length === 1);
      }
      for (
        let i = 0;
        i < 100 && (await caller.plane.broadcast(Buffer.from(`relayed ${i}`), { signal: never })) < 2;
        i++
      ) {
        await new Promise((resolve) => setTimeout(resolve, 50));
      }
      await hidden.seen.until("the broadcast", () => hidden.seen.of("gossip").length > 0);
    });
  });

  describe("limits", () => {
    it("lets twelve nodes behind one address connect at once", async () => {
      const a = await running();
      const others = await Promise.all(Array.from({ length: 12 }, () => running()));
      await Promise.all(others.map(({ plane }) => plane.addPeer(a.address)));
      await a.seen.link(12);
      assert.ok(others.every(({ plane }) => count(plane, "dials_failed") === 0));
    });
    it("bounds the connections of one address", async () => {
      const a = await running({}, { maxConnectionsPerIp: 2 });
      for (let i = 0; i < 2; i++) {
        const { seen } = await running({ peers: [a.address] });
        await seen.link();
      }
      const third = await running({ peers: [a.address] });
      await eventually("a refusal", () => count(a.plane, "connections_refused") > 0);
      assert.equal(count(a.plane, "links"), 2);
      assert.deepEqual(third.seen.links, []);
    });
    it("bounds all connections", async () => {
      const a = await running({}, { maxConnections: 2 });
      const others: { plane: Libp2pPlane }[] = [];
      for (let i = 0; i < 4; i++) others.push(await running({ peers: [a.address] }));
      await a.seen.link(2);
      await eventually("refusals", () => count(a.plane, "connections_refused") > 1);
      assert.equal(count(a.plane, "connections"), 2);
      assert.equal(a.seen.of("down").length, 0);
    });
  });
});
