/** LXMF with the Python reference: directly, by packet, by its propagation node and by ours, and peering of the two nodes. */
import assert from "node:assert/strict";
import { execFile } from "node:child_process";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { promisify } from "node:util";
import type { ReceivedMessage } from "../../../planes/reticulum/lxmf/inbox.ts";
import type { Outgoing } from "../../../planes/reticulum/lxmf/outgoing.ts";
import { PropagationNode } from "../../../planes/reticulum/lxmf/propagation-node.ts";
import { MemoryFiles, PropagationStore } from "../../../planes/reticulum/lxmf/propagation-store.ts";
import { LxmfRouter, type RouterOptions } from "../../../planes/reticulum/lxmf/router.ts";
import { StampPool } from "../../../planes/reticulum/lxmf/stamp-pool.ts";
import { stationHost } from "../../../planes/reticulum/lxmf/station-host.ts";
import { fromHex, utf8Text } from "../../../spine/index.ts";
import { describeRns, RNS_PYTHON, RnsNode, rnsConfig } from "../../peers/rns.ts";
import { until } from "./interop.ts";
import { OwnNode, type RealWire, tcpWire } from "./mixed.ts";

interface Own {
  readonly node: OwnNode;
  readonly router: LxmfRouter;
  readonly inbox: ReceivedMessage[];
}

const LONG = process.env["SPINE_LONG"] === "1";
const FETCH_TRIES = 5;

/** A propagation node on a busy machine may not answer in time: a user's client asks again too. */
async function fetched({ client }: LxmfRouter): ReturnType<typeof client.fetch> {
  for (let tries = 1; ; tries++) {
    try {
      return await client.fetch();
    } catch (error) {
      if (tries >= FETCH_TRIES) throw error;
    }
  }
}

describeRns("lxmf interop", () => {
  const stamps = new StampPool();
  const cleanups: (() => Promise<void>)[] = [];
  let hubWire: RealWire;
  let hub: OwnNode;
  let office: PropagationNode;

  function hostOf(node: OwnNode): ReturnType<typeof stationHost> {
    return stationHost(node.station, { stamps, changed: () => undefined, persisted: async () => undefined });
  }
  async function own(options: Partial<RouterOptions> = {}): Promise<Own> {
    const node = await OwnNode.start([hubWire.ours(1)]);
    const inbox: ReceivedMessage[] = [];
    const router = new LxmfRouter(hostOf(node), {
      identity: node.identity,
      onMessage: (message) => inbox.push(message),
      ...options,
    });
    cleanups.push(async () => {
      router.close();
      await node.stop();
    });
    await until("the wire", () => node.station.status()[0]?.online === true);
    return { node, router, inbox };
  }
  async function python(
    options: Readonly<Record<string, unknown>> = {},
  ): Promise<{ node: RnsNode; delivery: string; propagation: string }> {
    const node = await RnsNode.start(hubWire.theirs(1));
    cleanups.push(() => node.stop());
    const ready = await node.do({ do: "lxmf", ...options }, "lxmf-ready");
    return { node, delivery: ready.hash, propagation: ready.data };
  }
  async function known(node: OwnNode, hash: string, announce: () => Promise<unknown>): Promise<void> {
    for (let i = 0; i < 8; i++) {
      await announce();
      const heard = (): boolean => node.station.act(() => node.station.endpoint.hasPath(fromHex(hash)));
      if (
        await until("an announce", heard, 1200).then(
          () => true,
          () => false,
        )
      )
        return;
    }
    throw new Error(`no announce of ${hash}`);
  }
  async function heardBy(node: RnsNode, hash: string, announce: () => void): Promise<void> {
    for (let i = 0; i < 8; i++) {
      announce();
      if (await node.wait("announce", (e) => e.hash === hash, 1200).catch(() => undefined)) return;
    }
    throw new Error(`the reference heard no announce of ${hash}`);
  }
  async function over(outgoing: Outgoing, timeoutMs = 30_000): Promise<void> {
    await until("the end of a message", () => outgoing.isOver, timeoutMs);
  }
  /** The reference sends until it says the message arrived. */
  async function pythonSends(node: RnsNode, hash: string, content: string, method: string): Promise<void> {
    node.send({ do: "lxmf-send", hash, content, method });
    const sent = await node.wait("lxmf-sent", undefined, 40_000);
    assert.equal(sent.ok, true, `the reference says ${sent.state}`);
  }

  before(async function () {
    this.timeout(30_000);
    hubWire = await tcpWire("hub");
    hub = await OwnNode.start([hubWire.ours(0)], true);
    const store = await PropagationStore.open(new MemoryFiles(), { maxBytes: 10_000_000 });
    office = new PropagationNode(hostOf(hub), {
      identity: hub.identity,
      store,
      stampCost: 13,
      stampFlexibility: 0,
      peeringCost: 4,
    });
    cleanups.push(async () => {
      office.close();
      await hub.stop();
    });
  });
  afterEach(async () => {
    for (const cleanup of cleanups.splice(1).reverse()) await cleanup();
  });
  after(async () => {
    for (const cleanup of cleanups.splice(0)) await cleanup();
    await stamps.close();
  });

  it("tells the reference's lxmd how the node stands, and takes its orders", async () => {
    const folder = await mkdtemp(join(tmpdir(), "spine-lxmd-"));
    cleanups.push(() => rm(folder, { recursive: true, force: true }));
    await writeFile(join(folder, "config"), rnsConfig(hubWire.theirs(1)));
    await writeFile(join(folder, "identity"), hub.identity.exportPrivateKey());
    const lxmd = async (...order: string[]): Promise<string> => {
      const place = ["--config", join(folder, "lxmd"), "--rnsconfig", folder, "--identity", join(folder, "identity")];
      const remote = ["-r", office.destination.hex, "--timeout", "15"];
      const run = promisify(execFile)(join(dirname(RNS_PYTHON), "lxmd"), [...place, ...remote, ...order]);
      return run.then(
        ({ stdout }) => stdout,
        ({ stdout }: { stdout: string }) => stdout,
      );
    };
    const status = await lxmd("--status");
    assert.match(status, new RegExp(`running on <${office.destination.hex}>`));
    assert.match(status, /Required propagation stamp cost is 13, flexibility is 0/);
    assert.match(await lxmd("-b", "ab".repeat(16)), /not found/);
  }).timeout(60_000);

  it("exchanges opportunistic and direct messages both ways, with stamps and tickets", async () => {
    const a = await own({ stampCost: 4, enforceStamps: true, displayName: "Own" });
    const p = await python({ cost: 4 });
    await known(a.node, p.delivery, () => p.node.do({ do: "lxmf-announce" }, "lxmf-announced"));
    await heardBy(p.node, a.router.destination.hex, () => a.router.announce());
    const destination = fromHex(p.delivery);
    for (const method of ["opportunistic", "direct"] as const) {
      for (const content of [`small ${method}`, "z".repeat(5000)]) {
        const sent = a.router.send({ destination, content, method });
        const got = await p.node.wait("lxmf", (e) => e.content === content, 20_000);
        assert.deepEqual([got.verified, got.state], [true, "True"]);
        await over(sent);
        assert.equal(sent.state, "delivered");
      }
    }
    const receives = async (content: string, method: string): Promise<void> => {
      await pythonSends(p.node, a.router.destination.hex, content, method);
      await until("the message", () => a.inbox.some(({ message }) => utf8Text(message.content) === content));
    };
    await receives("small from the reference", "opportunistic");
    if (LONG) await receives("q".repeat(5000), "direct");
    assert.ok(a.inbox.every(({ verified, stamp }) => verified && stamp === "valid"));
    // We give a ticket; the reference needs no work from then on.
    const ticket = a.router.send({ destination, content: "take this", ticket: true });
    await over(ticket);
    await p.node.wait("lxmf", (e) => e.content === "take this");
    await receives("t".repeat(5000), "direct");
    assert.equal(a.inbox.at(-1)?.stamp, "ticket");
  }).timeout(120_000);

  it("leaves messages with the reference's propagation node for a receiver who is away, and fetches from it", async () => {
    const a = await own();
    const p = await python({ node: true, autopeer: false });
    const b = await own();
    await known(a.node, p.propagation, () => p.node.do({ do: "lxmf-node-announce" }, "lxmf-announced"));
    await known(a.node, b.router.destination.hex, async () => b.router.announce());
    await heardBy(p.node, a.router.destination.hex, () => a.router.announce());
    await until("the node at b", () =>
      b.node.station.act(() => b.node.station.endpoint.hasPath(fromHex(p.propagation))),
    );
    const receiver = b.router.destination.hash;
    const saved = b.router.save();
    b.router.close();
    a.router.client.use(fromHex(p.propagation));
    const contents = ["left behind", "l".repeat(3000)];
    for (const content of contents) {
      const sent = a.router.send({ destination: receiver, content, method: "propagated" });
      await over(sent, 60_000);
      assert.equal(sent.state, "sent", sent.failure?.message);
    }
    const inbox: ReceivedMessage[] = [];
    const back = new LxmfRouter(hostOf(b.node), {
      identity: b.node.identity,
      onMessage: (message) => inbox.push(message),
    });
    back.load(saved);
    back.client.use(fromHex(p.propagation));
    // The reference confirms a transfer before it has judged its stamps: what was left may appear a moment later.
    for (let i = 0; i < 20 && inbox.length < 2; i++) {
      await fetched(back);
      await new Promise((resolve) => setTimeout(resolve, 200));
    }
    assert.deepEqual(new Set(inbox.map(({ message }) => utf8Text(message.content))), new Set(contents));
    assert.ok(inbox.every(({ verified, method }) => verified && method === "propagated"));
    assert.deepEqual(await fetched(back), { offered: 0, received: 0 });
    back.close();
  }).timeout(240_000);

  it("keeps messages of the reference for a reference that is away", async () => {
    const sender = await python();
    const receiver = await python();
    await heardBy(sender.node, office.destination.hex, () => office.announce());
    await receiver.node.wait("announce", (e) => e.hash === office.destination.hex);
    await receiver.node.do({ do: "lxmf-announce" }, "lxmf-announced");
    await sender.node.wait("announce", (e) => e.hash === receiver.delivery);
    for (const one of [sender, receiver])
      await one.node.do({ do: "lxmf-use", hash: office.destination.hex }, "lxmf-uses");
    sender.node.send({ do: "lxmf-send", hash: receiver.delivery, content: "stored by spine", method: "propagated" });
    const sent = await sender.node.wait("lxmf-sent", undefined, 60_000);
    assert.equal(sent.ok, true);
    assert.equal(office.store.count, 1);
    await receiver.node.do({ do: "lxmf-fetch" }, "lxmf-fetching");
    const got = await receiver.node.wait("lxmf", undefined, 30_000);
    assert.equal(got.content, "stored by spine");
    await until("the node to forget it", () => office.store.count === 0, 30_000);
  }).timeout(120_000);

  it("peers with the reference's propagation node, both ways", async () => {
    const p = await python({ node: true });
    await known(hub, p.propagation, () => p.node.do({ do: "lxmf-node-announce" }, "lxmf-announced"));
    await heardBy(p.node, office.destination.hex, () => office.announce());
    await until("our peering", () => office.peers.get(p.propagation) !== undefined);
    const a = await own();
    const b = await own();
    await known(a.node, office.destination.hex, async () => office.announce());
    await known(a.node, b.router.destination.hex, async () => b.router.announce());
    a.router.client.use(office.destination.hash);
    const sent = a.router.send({
      destination: b.router.destination.hash,
      content: "through both",
      method: "propagated",
    });
    await over(sent, 60_000);
    assert.equal(sent.state, "sent", sent.failure?.message);
    let count = 0;
    for (let i = 0; i < 40 && count === 0; i++) {
      ({ count } = await p.node.do({ do: "lxmf-count" }, "lxmf-count"));
      if (count === 0) await new Promise((resolve) => setTimeout(resolve, 250));
    }
    assert.equal(count, 1, "the reference holds the message");
    await until("the peer to be told", () => office.peers.get(p.propagation)?.unhandled.size === 0);
    if (!LONG) return;
    // And back: a message left with the reference reaches our store.
    await known(a.node, p.propagation, () => p.node.do({ do: "lxmf-node-announce" }, "lxmf-announced"));
    a.router.client.use(fromHex(p.propagation));
    const other = a.router.send({
      destination: b.router.destination.hash,
      content: "the other way",
      method: "propagated",
    });
    await over(other, 60_000);
    assert.equal(other.state, "sent", other.failure?.message);
    const before = office.store.count;
    for (let i = 0; i < 40 && office.store.count === before; i++) {
      await p.node.do({ do: "lxmf-sync" }, "lxmf-syncing");
      await new Promise((resolve) => setTimeout(resolve, 500));
    }
    assert.equal(office.store.count, before + 1);
    b.router.client.use(office.destination.hash);
    await known(b.node, office.destination.hex, async () => office.announce());
    await fetched(b.router);
    await until("the messages", () => b.inbox.length === 2);
    assert.deepEqual(
      new Set(b.inbox.map(({ message }) => utf8Text(message.content))),
      new Set(["through both", "the other way"]),
    );
  }).timeout(120_000);
});
