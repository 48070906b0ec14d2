/** LXMF in virtual time: every way of delivery, stamps and tickets, propagation with peers, restarts, and peers that lie. */
import assert from "node:assert/strict";
import { FIELD, packMessage, sealMessage } from "../../../planes/reticulum/lxmf/message.ts";
import { openPaper, paperUri } from "../../../planes/reticulum/lxmf/paper.ts";
import { packUpload, peeringMaterial, REFUSAL, transientId } from "../../../planes/reticulum/lxmf/propagation.ts";
import type { MemoryFiles } from "../../../planes/reticulum/lxmf/propagation-store.ts";
import { ROUNDS } from "../../../planes/reticulum/lxmf/stamp.ts";
import { InlineStamps, StampPool } from "../../../planes/reticulum/lxmf/stamp-pool.ts";
import type { Identity } from "../../../planes/reticulum/stack/identity.ts";
import type { Link } from "../../../planes/reticulum/stack/link.ts";
import type { Packable } from "../../../planes/reticulum/stack/msgpack.ts";
import { concatBytes, toHex, utf8, utf8Text } from "../../../spine/index.ts";
import { seededRandom } from "./ether.ts";
import { type Mailbox, mailbox, postOffice, settle } from "./lxmf-net.ts";
import { Net, type NetNode } from "./net.ts";

function texts(box: Mailbox): string[] {
  return box.inbox.map(({ message }) => utf8Text(message.content));
}

/** Two mailboxes with a router node between them. */
function town(seed: string): { net: Net; alice: NetNode; bob: NetNode; hub: NetNode } {
  const net = new Net(seed);
  const [alice, hub, bob] = [net.node("alice"), net.router("hub"), net.node("bob")];
  net.join("west", [alice, hub]);
  net.join("east", [hub, bob]);
  return { net, alice, bob, hub };
}

describe("lxmf", () => {
  for (const method of ["opportunistic", "direct"] as const) {
    it(`delivers ${method} messages over a hop, also many at once and large ones`, async () => {
      const { net, alice, bob } = town(`deliver-${method}`);
      const a = mailbox(net, alice);
      const b = mailbox(net, bob, { displayName: "Bob" });
      b.router.announce();
      a.router.announce();
      await settle(net, 5000);
      const destination = b.router.destination.hash;
      const sent = Array.from({ length: 20 }, (_, i) => a.router.send({ destination, content: `note ${i}`, method }));
      sent.push(a.router.send({ destination, title: "large", content: "x".repeat(20_000), method }));
      await settle(net, 30_000, () => sent.every(({ isOver }) => isOver));
      assert.deepEqual(new Set(sent.map(({ state }) => state)), new Set(["delivered"]));
      assert.equal(b.inbox.length, 21);
      assert.deepEqual(
        new Set(texts(b)),
        new Set([...Array.from({ length: 20 }, (_, i) => `note ${i}`), "x".repeat(20_000)]),
      );
      assert.ok(b.inbox.every(({ verified }) => verified));
      assert.equal(a.router.queue.length, 0);
    });
  }

  it("answers over the link its peer opened", async () => {
    const { net, alice, bob } = town("back");
    const a = mailbox(net, alice);
    const b = mailbox(net, bob);
    b.router.announce();
    a.router.announce();
    await settle(net, 5000);
    const first = a.router.send({ destination: b.router.destination.hash, content: "hello" });
    await settle(net, 5000, () => first.isOver);
    await settle(net, 1000);
    const opened = bob.endpoint.links.size;
    const answer = b.router.send({ destination: a.router.destination.hash, content: "hello yourself" });
    await settle(net, 5000, () => answer.isOver);
    assert.equal(answer.state, "delivered");
    assert.equal(bob.endpoint.links.size, opened);
    assert.deepEqual(texts(a), ["hello yourself"]);
  });

  it("asks for the path first, and fails with a reason when nobody answers", async () => {
    const { net, alice, bob } = town("path");
    const a = mailbox(net, alice);
    const b = mailbox(net, bob);
    const nobody = a.router.send({ destination: seededRandom("nobody")(16), content: "?" });
    const later = a.router.send({
      destination: b.router.destination.hash,
      content: "first contact",
      method: "opportunistic",
    });
    await settle(net, 3000);
    b.router.announce();
    await settle(net, 60_000, () => nobody.isOver && later.isOver);
    assert.equal(later.state, "delivered");
    assert.equal(nobody.failure?.code, "path_unknown");
    // Alice never announced herself: what she signed cannot be checked, and says so.
    await settle(net, 20_000);
    assert.deepEqual(
      b.inbox.map(({ verified }) => verified),
      [false],
    );
  });

  it("marks messages of a source that cannot be found, and refuses wrong signatures and repeats", async () => {
    const { net, alice, bob } = town("forged");
    const a = mailbox(net, alice);
    const b = mailbox(net, bob);
    b.router.announce();
    a.router.announce();
    await settle(net, 5000);
    const text = {
      destination: b.router.destination.hash,
      source: a.router.destination.hash,
      timestamp: net.now / 1000,
      title: new Uint8Array(0),
      content: utf8("pay Mallory"),
      fields: new Map(),
    };
    const forged = sealMessage(text, bob.destination.identity as Identity);
    const stranger = sealMessage(
      { ...text, source: seededRandom("stranger")(16) },
      bob.destination.identity as Identity,
    );
    const honest = sealMessage({ ...text, content: utf8("pay Alice") }, alice.destination.identity as Identity);
    for (const message of [forged, stranger, honest, honest]) {
      net.act(alice, () => alice.endpoint.send(text.destination, packMessage(message).subarray(16)));
    }
    net.act(alice, () => alice.endpoint.send(text.destination, seededRandom("garbage")(200)));
    await settle(net, 20_000);
    assert.deepEqual(
      b.inbox.map(({ message, verified }) => [utf8Text(message.content), verified]),
      [
        ["pay Alice", true],
        ["pay Mallory", false],
      ],
    );
    assert.equal(b.router.counters.get("refused"), 2);
    assert.equal(b.router.counters.get("duplicate"), 1);
  });

  it("works for the stamp that is asked for, and sends with a ticket for nothing", async () => {
    const { net, alice, bob } = town("stamps");
    const a = mailbox(net, alice);
    const b = mailbox(net, bob, { stampCost: 4, enforceStamps: true });
    b.router.announce();
    a.router.announce();
    await settle(net, 5000);
    const worked = a.router.send({ destination: b.router.destination.hash, content: "worked" });
    await settle(net, 20_000, () => b.inbox.length === 1);
    assert.equal(worked.message.stamp?.length, 32);
    const ticket = b.router.send({ destination: a.router.destination.hash, content: "free from now on", ticket: true });
    await settle(net, 20_000, () => a.inbox.length === 1 && ticket.isOver);
    assert.equal(ticket.state, "delivered");
    assert.ok(a.inbox[0]?.message.fields.has(FIELD.ticket));
    const free = a.router.send({ destination: b.router.destination.hash, content: "with ticket" });
    await settle(net, 20_000, () => b.inbox.length === 2);
    assert.equal(free.message.stamp?.length, 16);
    assert.deepEqual(
      b.inbox.map(({ stamp }) => stamp),
      ["valid", "ticket"],
    );
    // Without either it is refused.
    const bare = sealMessage({ ...free.message, content: utf8("no work") }, alice.destination.identity as Identity);
    net.act(alice, () => alice.endpoint.send(b.router.destination.hash, packMessage(bare).subarray(16)));
    await settle(net, 20_000);
    assert.equal(b.inbox.length, 2);
    assert.equal(b.router.counters.get("refused"), 1);
  });

  it("keeps its queue, tickets and what it has seen over a restart", async () => {
    const { net, alice, bob } = town("restart");
    const a = mailbox(net, alice);
    const b = mailbox(net, bob);
    b.router.announce();
    await settle(net, 3000);
    (net.segments.get("east") as { isUp: boolean }).isUp = false;
    const sent = a.router.send({ destination: b.router.destination.hash, content: "after the restart" });
    await settle(net, 2000);
    const file = a.router.save();
    a.router.close();
    assert.equal(sent.isOver, false);
    (net.segments.get("east") as { isUp: boolean }).isUp = true;
    const again = mailbox(net, alice);
    again.router.load(file);
    again.router.announce();
    await settle(net, 60_000, () => b.inbox.length > 0);
    assert.deepEqual(texts(b), ["after the restart"]);
    const known = b.router.save();
    b.router.close();
    const rebob = mailbox(net, bob);
    rebob.router.load(known);
    const message = b.inbox[0]?.message;
    assert.ok(message !== undefined);
    net.act(alice, () => alice.endpoint.send(b.router.destination.hash, packMessage(message).subarray(16)));
    await settle(net, 5000);
    assert.equal(rebob.inbox.length, 0);
    assert.throws(() => rebob.router.load(known.subarray(1)), { code: "frame_syntax" });
  });

  it("writes messages on paper", async () => {
    const { net, alice, bob } = town("paper");
    const b = mailbox(net, bob);
    const source = alice.destination.hash;
    const text = {
      destination: b.router.destination.hash,
      source,
      timestamp: 1,
      title: utf8(""),
      content: utf8("printed"),
      fields: new Map(),
    };
    const message = sealMessage(text, alice.destination.identity as Identity);
    const uri = paperUri(message, bob.destination.identity as Identity, seededRandom("paper"));
    const opened = openPaper(uri, b.router.destination);
    assert.equal(toHex(opened.hash), toHex(message.hash));
    assert.throws(() => openPaper(uri, alice.destination), { code: "api_input" });
    assert.throws(() => openPaper(`${uri.slice(0, 40)}`, b.router.destination), { code: "api_input" });
    assert.throws(() => openPaper("lxm://???", b.router.destination), { code: "frame_syntax" });
  });

  it("leaves messages with a propagation node while the receiver is away", async () => {
    const { net, alice, bob, hub } = town("propagate");
    const { office, store, files } = await postOffice(net, hub);
    const node = office.destination.hash;
    const a = mailbox(net, alice, { propagationNode: node });
    let b = mailbox(net, bob, { propagationNode: node });
    office.announce();
    b.router.announce();
    a.router.announce();
    await settle(net, 5000);
    const bobs = b.router.save();
    b.router.close();
    const small = a.router.send({
      destination: b.router.destination.hash,
      content: "while you were out",
      method: "propagated",
    });
    const large = a.router.send({
      destination: b.router.destination.hash,
      content: "y".repeat(3000),
      method: "propagated",
    });
    const fallback = a.router.send({
      destination: b.router.destination.hash,
      content: "tried you first",
      method: "opportunistic",
      propagateOnFailure: true,
    });
    await settle(net, 300_000, () => [small, large, fallback].every(({ isOver }) => isOver));
    assert.deepEqual([small.state, large.state, fallback.state], ["sent", "sent", "sent"]);
    assert.equal(store.count, 3);
    assert.equal(files.files.size, 3);
    // Somebody else gets nothing and can delete nothing.
    const eve = mailbox(net, net.segments.get("west")?.nodes[0] as NetNode, { propagationNode: node });
    assert.deepEqual(await fetchOf(net, eve), { offered: 0, received: 0 });
    b = mailbox(net, bob, { propagationNode: node });
    b.router.load(bobs);
    assert.deepEqual(await fetchOf(net, b), { offered: 3, received: 3 });
    await settle(net, 15_000);
    assert.deepEqual(new Set(texts(b)), new Set(["while you were out", "y".repeat(3000), "tried you first"]));
    assert.equal(store.count, 0);
    assert.equal(files.files.size, 0);
    assert.deepEqual(await fetchOf(net, b), { offered: 0, received: 0 });
  });

  it("keeps what it holds over a restart of the node", async () => {
    const { net, alice, bob, hub } = town("node-restart");
    const first = await postOffice(net, hub);
    const a = mailbox(net, alice, { propagationNode: first.office.destination.hash });
    const b = mailbox(net, bob, { propagationNode: first.office.destination.hash });
    first.office.announce();
    b.router.announce();
    a.router.announce();
    await settle(net, 5000);
    const sent = a.router.send({ destination: b.router.destination.hash, content: "kept", method: "propagated" });
    await settle(net, 60_000, () => sent.isOver);
    const state = first.office.save();
    first.office.close();
    first.files.files.set("notes.txt", utf8("not a message"));
    const second = await postOffice(net, hub, {}, { maxBytes: 1_000_000 }, first.files);
    second.office.load(state);
    assert.equal(second.store.count, 1);
    await settle(net, 1000);
    assert.deepEqual(await fetchOf(net, b), { offered: 1, received: 1 });
    await settle(net, 15_000);
    assert.deepEqual(texts(b), ["kept"]);
  });

  it("passes messages between peers, and not back", async () => {
    const net = new Net("peers");
    const [alice, bob] = [net.node("alice"), net.node("bob")];
    const [west, east] = [net.router("west"), net.router("east")];
    net.join("a", [alice, west]);
    net.join("m", [west, east]);
    net.join("b", [east, bob]);
    const one = await postOffice(net, west);
    const two = await postOffice(net, east);
    const a = mailbox(net, alice, { propagationNode: one.office.destination.hash });
    const b = mailbox(net, bob, { propagationNode: two.office.destination.hash });
    one.office.announce();
    two.office.announce();
    a.router.announce();
    b.router.announce();
    await settle(net, 5000);
    assert.deepEqual([one.office.peers.all.length, two.office.peers.all.length], [1, 1]);
    const sent = Array.from({ length: 5 }, (_, i) =>
      a.router.send({ destination: b.router.destination.hash, content: `m${i}`, method: "propagated" }),
    );
    await settle(net, 120_000, () => two.store.count === 5 && sent.every(({ isOver }) => isOver));
    assert.ok(sent.every(({ state }) => state === "sent"));
    await settle(net, 10_000);
    assert.equal(two.office.peers.all[0]?.unhandled.size, 0);
    assert.deepEqual(await fetchOf(net, b), { offered: 5, received: 5 });
    // Fetched and deleted there, they are not taken again from the first.
    const state = one.office.save();
    one.office.close();
    const reborn = await postOffice(net, west, {}, { maxBytes: 1_000_000 }, one.files);
    reborn.office.load(state);
    for (const peer of reborn.office.peers.all) for (const id of reborn.store.ids()) peer.unhandled.add(toHex(id));
    for (const peer of reborn.office.peers.all) net.act(west, () => reborn.office.peers.sync(peer));
    await settle(net, 60_000);
    assert.equal(two.store.count, 0);
    assert.equal(reborn.office.peers.all[0]?.unhandled.size, 0);
  });

  it("tells its operator how a propagation node stands, and obeys about peers", async () => {
    const net = new Net("control");
    const [alice, hub] = [net.node("alice"), net.router("hub")];
    net.join("a", [alice, hub]);
    const peer = seededRandom("peer")(16);
    const operator = alice.destination.identity as Identity;
    const { office } = await postOffice(net, hub, { controllers: [operator.hex], peers: [peer], autoPeer: false });
    const { control } = office;
    net.act(alice, () => alice.endpoint.requestPath(control.destination.hash));
    await settle(net, 5000, () => alice.endpoint.hasPath(control.destination.hash));
    const link = net.act(alice, () => alice.endpoint.openLink(control.destination.hash));
    await settle(net, 5000, () => link.isUp);
    const ask = async (path: string, data: Packable): Promise<Packable | undefined> => {
      let answer: Packable | undefined;
      let isOver = false;
      const request = net.act(alice, () => link.request(path, data, 5000));
      request.onResponse = ({ value }) => {
        answer = value;
        isOver = true;
      };
      request.onFailed = () => {
        isOver = true;
      };
      await settle(net, 20_000, () => isOver);
      return answer;
    };
    assert.equal(await ask("/pn/get/stats", null), undefined, "nobody knows who asks");
    net.act(alice, () => link.identify(operator));
    const stats = (await ask("/pn/get/stats", null)) as ReadonlyMap<Packable, Packable>;
    assert.deepEqual(stats.get("destination_hash"), office.destination.hash);
    assert.deepEqual(
      ["static_peers", "total_peers", "target_stamp_cost"].map((name) => stats.get(name)),
      [1, 1, 13],
    );
    const [about] = [...(stats.get("peers") as ReadonlyMap<Packable, ReadonlyMap<Packable, Packable>>).values()];
    assert.deepEqual([about?.get("type"), about?.get("alive"), about?.get("network_distance")], ["static", false, 128]);
    assert.equal(await ask("/pn/peer/sync", utf8("short")), REFUSAL.invalidData);
    assert.equal(await ask("/pn/peer/sync", seededRandom("nobody")(16)), REFUSAL.notFound);
    assert.equal(await ask("/pn/peer/sync", peer), true);
    assert.equal(await ask("/pn/peer/unpeer", peer), true);
    assert.equal(office.peers.all.length, 0);
    office.close();
  });

  describe("a propagation node under attack", () => {
    async function siege(seed: string): Promise<{
      net: Net;
      mallory: NetNode;
      identity: Identity;
      attacked: Awaited<ReturnType<typeof postOffice>>;
      open: () => Promise<Link>;
      key: Uint8Array;
    }> {
      const net = new Net(seed);
      const [mallory, hub] = [net.node("mallory"), net.router("hub")];
      net.join("wire", [mallory, hub]);
      const attacked = await postOffice(net, hub, {}, { maxBytes: 20_000 });
      attacked.office.announce();
      await settle(net, 3000);
      const identity = mallory.destination.identity as Identity;
      const material = peeringMaterial((hub.destination.identity as Identity).hash, identity.hash);
      const key = await new InlineStamps(seededRandom("key")).search(material, ROUNDS.peering, 4);
      const open = async (): Promise<Link> => {
        const link = net.act(mallory, () => mallory.endpoint.openLink(attacked.office.destination.hash));
        await settle(net, 5000, () => link.state === "active");
        net.act(mallory, () => link.identify(identity));
        await settle(net, 200);
        return link;
      };
      return { net, mallory, identity, attacked, open, key };
    }
    async function ask(
      net: Net,
      node: NetNode,
      link: Link,
      path: string,
      data: Parameters<Link["request"]>[1],
    ): Promise<unknown> {
      let answer: unknown;
      const request = net.act(node, () => link.request(path, data));
      request.onResponse = ({ value }) => {
        answer = value;
      };
      request.onFailed = (reason) => {
        answer = reason.code;
      };
      await settle(net, 60_000, () => answer !== undefined);
      return answer;
    }
    function junk(seed: string, bytes = 300): Uint8Array {
      return concatBytes(seededRandom(seed)(16), seededRandom(`${seed}/body`)(bytes));
    }

    it("refuses uploads without work, several without a peering key, and damaged ones", async () => {
      const { net, mallory, attacked, open } = await siege("no-work");
      const uploads = [
        packUpload(1, [junk("a")]),
        packUpload(1, [junk("b"), junk("c")]),
        packUpload(1, [new Uint8Array(10)]),
        packUpload(1, []),
        seededRandom("noise")(100),
      ];
      for (const upload of uploads) {
        const link = await open();
        const receipt = net.act(mallory, () => link.send(upload.subarray(0, link.mdu)));
        await settle(net, 5000, () => link.state === "closed");
        assert.equal(link.state, "closed");
        assert.equal(receipt.state, "failed");
        net.run(180_000);
      }
      assert.equal(attacked.store.count, 0);
    });

    it("throttles a peer that offers and does not deliver, or brings what it did not offer", async () => {
      const { net, mallory, attacked, open, key } = await siege("liar");
      for (let i = 0; i < 3; i++) {
        const link = await open();
        const ids = [seededRandom(`promise${i}`)(32)];
        assert.equal(await ask(net, mallory, link, "/offer", [key, ids]), true);
        net.act(mallory, () => link.sendResource(packUpload(1, [junk(`other${i}`)])));
        await settle(net, 5000);
        net.act(mallory, () => link.close());
        await settle(net, 500);
      }
      assert.equal(attacked.store.count, 0);
      assert.ok((attacked.office.counters.get("unexpected") ?? 0) >= 3);
      const link = await open();
      assert.equal(await ask(net, mallory, link, "/offer", [key, [new Uint8Array(32)]]), REFUSAL.throttled);
      net.run(180_000);
      const later = await open();
      assert.equal(await ask(net, mallory, later, "/offer", [seededRandom("bad key")(32), []]), REFUSAL.invalidKey);
      assert.equal(await ask(net, mallory, later, "/offer", [key, [new Uint8Array(3)]]), REFUSAL.invalidData);
      assert.equal(await ask(net, mallory, later, "/offer", "nonsense"), REFUSAL.invalidData);
    });

    it("keeps the light when bombed with the heavy", async () => {
      const { net, attacked } = await siege("bombs");
      const add = (seed: string, bytes: number): Promise<void> =>
        attacked.store.add(
          { id: seededRandom(`${seed}/id`)(32), message: junk(seed, bytes), stamp: new Uint8Array(32) },
          13,
          net.now / 1000,
        );
      for (let i = 0; i < 20; i++) await add(`letter${i}`, 300);
      let refused = 0;
      for (let i = 0; i < 20; i++) await add(`bomb${i}`, 9000).catch(() => refused++);
      assert.ok(attacked.store.bytes <= 20_000);
      assert.ok(refused + attacked.store.evictions >= 18, "bombs make room for bombs only");
      for (let i = 0; i < 20; i++) assert.ok(attacked.store.has(toHex(seededRandom(`letter${i}/id`)(32))));
      await attacked.store.expire(net.now / 1000 + 2_592_001);
      assert.equal(attacked.store.count, 0);
      assert.equal((attacked.files as MemoryFiles).files.size, 0);
    });

    it("offers its messages to a peer that claims to have none of them or all, and believes no id it did not offer", async () => {
      const { net, mallory, identity, attacked } = await siege("claims");
      const fake = await postOffice(net, mallory, { identity });
      const answers: unknown[] = [];
      const handle = (value: (ids: readonly Uint8Array[]) => never): void =>
        fake.office.destination.requests.register({
          path: "/offer",
          allow: "all",
          handle: ({ data }, respond) => {
            const [, ids] = data as readonly [Uint8Array, readonly Uint8Array[]];
            answers.push(ids.length);
            respond(value(ids));
          },
        });
      handle((ids) => [...ids, ...Array.from({ length: 50 }, (_, i) => seededRandom(`made-up${i}`)(32))] as never);
      const got: number[] = [];
      fake.office.destination.onLink = (link) => {
        link.acceptResource = () => true;
        link.onResource = ({ data }) => got.push(data.length);
      };
      fake.office.announce();
      await settle(net, 3000);
      const stamped = { id: seededRandom("m/id")(32), message: junk("m"), stamp: new Uint8Array(32) };
      await attacked.store.add({ ...stamped, id: transientId(stamped.message) }, 13, net.now / 1000);
      const hub = net.nodes.get("hub") as NetNode;
      net.act(hub, () => attacked.office.peers.stored(toHex(attacked.store.ids()[0] as Uint8Array), undefined));
      await settle(net, 30_000, () => got.length === 1);
      await settle(net, 1000);
      assert.deepEqual(answers, [1]);
      assert.equal(got.length, 1);
      assert.ok((got[0] ?? 0) < 1000);
      assert.equal(attacked.office.peers.all[0]?.unhandled.size, 0);
    });
  });

  it("searches stamps beside the event loop, can be stopped, and refuses what takes too long", async () => {
    const pool = new StampPool();
    try {
      const material = seededRandom("material")(32);
      const stamp = await pool.search(material, ROUNDS.peering, 10);
      assert.ok((await pool.value(material, ROUNDS.peering, stamp)) >= 10);
      const abort = new AbortController();
      let ticks = 0;
      const timer = setInterval(() => ticks++, 1);
      const endless = pool.search(material, ROUNDS.peering, 26, abort.signal);
      while (ticks < 5) await new Promise((resolve) => setTimeout(resolve, 1));
      abort.abort(new Error("enough"));
      await assert.rejects(endless, /enough/);
      clearInterval(timer);
      await assert.rejects(pool.search(material, ROUNDS.peering, 27), { code: "stamp_cost" });
      assert.ok((await pool.value(material, ROUNDS.peering, stamp)) >= 10);
    } finally {
      await pool.close();
    }
    await assert.rejects(pool.value(new Uint8Array(1), 1, new Uint8Array(32)), { code: "plane_stopped" });
  });
});

async function fetchOf(net: Net, box: Mailbox): Promise<unknown> {
  let result: unknown;
  box.router.client.fetch().then(
    (value) => {
      result = value;
    },
    (reason: unknown) => {
      result = reason;
    },
  );
  await settle(net, 120_000, () => result !== undefined);
  await settle(net, 2000);
  return result;
}
