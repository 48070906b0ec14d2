/** Endpoints talking to each other in virtual time: announces, packets, links, requests, resources, channels; with faults. */
import assert from "node:assert/strict";
import type { AnnounceEvent } from "../../../planes/reticulum/stack/announces.ts";
import { Buffers } from "../../../planes/reticulum/stack/buffer.ts";
import { Destination } from "../../../planes/reticulum/stack/destination.ts";
import { Endpoint } from "../../../planes/reticulum/stack/endpoint.ts";
import { Identity } from "../../../planes/reticulum/stack/identity.ts";
import { Ifac } from "../../../planes/reticulum/stack/ifac.ts";
import type { Link } from "../../../planes/reticulum/stack/link.ts";
import type { ReceivedResource } from "../../../planes/reticulum/stack/link-resources.ts";
import { GROUP, PLAIN, SINGLE } from "../../../planes/reticulum/stack/name.ts";
import { CONTEXT } from "../../../planes/reticulum/stack/packet.ts";
import { RatchetRing } from "../../../planes/reticulum/stack/ratchet.ts";
import { metadataBlock } from "../../../planes/reticulum/stack/segment.ts";
import { concatBytes, equalBytes, fromHex, type SpineError, toHex, utf8, utf8Text } from "../../../spine/index.ts";
import { type EtherOptions, seededRandom } from "./ether.ts";
import { linked, pair, pattern } from "./pair.ts";

describe("reticulum endpoint", () => {
  it("announces, sends a packet and gets its proof", () => {
    const { ether, alice, service } = pair({ seed: "packet" });
    assert.deepEqual(alice.known.get(service.hash)?.appData, utf8("hello"));
    const got: string[] = [];
    service.onPacket = (data) => got.push(toHex(data));
    const receipt = ether.act(alice, () => alice.send(service.hash, utf8("ping")));
    ether.run(1000);
    assert.deepEqual(got, [toHex(utf8("ping"))]);
    assert.equal(receipt.state, "delivered");
    assert.equal(receipt.rttMs, 2);
  });

  it("takes the second announce of one second for what it says, once", () => {
    const p = pair({ seed: "siblings" });
    const told: string[] = [];
    p.alice.onAnnounce({ heard: ({ appData }) => told.push(utf8Text(appData)) });
    const other = new Endpoint({ random: seededRandom("sibling"), unixMs: () => p.ether.now + 1000 });
    other.attach({ id: "ether", bitrate: 1e6, hardwareMtu: 500, signalsMtu: false });
    const frames = ["one", "two"].map(
      (name) =>
        other.act(p.ether.now, () => other.announce(p.service, { appData: utf8(name) }))[0]?.frame as Uint8Array,
    );
    for (const frame of [...frames, ...frames]) p.alice.handle("ether", frame.slice(), p.ether.now);
    assert.deepEqual(told, ["one", "two"]);
    assert.deepEqual(p.alice.known.get(p.service.hash)?.appData, utf8("two"));
    const forged = frames[1]?.slice() as Uint8Array;
    forged[94] = (forged[94] as number) ^ 1;
    p.alice.handle("ether", forged, p.ether.now);
    assert.equal(told.length, 2);
    assert.equal(p.alice.counters.get("drop_announce_invalid"), 1);
  });

  it("fails the receipt when no proof comes", () => {
    const { ether, alice, service } = pair({ seed: "receipt" });
    service.proofs = "none";
    const receipt = ether.act(alice, () => alice.send(service.hash, utf8("ping")));
    ether.run(60_000);
    assert.equal(receipt.state, "failed");
    assert.equal(alice.waitingTimers, 0);
  });

  it("answers path requests, and gives path responses only to handlers that ask", () => {
    const { ether, alice, bob, service } = pair({ seed: "path" });
    const carol = ether.add("carol");
    const heard: AnnounceEvent[] = [];
    const quiet: AnnounceEvent[] = [];
    carol.onAnnounce({ name: "test.service", pathResponses: true, heard: (a) => heard.push(a) });
    carol.onAnnounce({ name: "test.service", heard: (a) => quiet.push(a) });
    ether.run(1000);
    ether.act(carol, () => carol.requestPath(service.hash));
    ether.run(1000);
    assert.equal(heard.length, 1);
    assert.equal(heard[0]?.pathResponse, true);
    assert.equal(quiet.length, 0);
    assert.ok(alice.hasPath(service.hash) && carol.hasPath(service.hash) && !bob.hasPath(service.hash));
  });

  it("encrypts to ratchets, keeps them in a signed file and reads old ones", () => {
    const { ether, alice, bob } = pair({ seed: "ratchet" });
    const identity = Identity.create(seededRandom("ratchet/id"));
    const files: Uint8Array[] = [];
    const ring = new RatchetRing(identity, { save: (file) => files.push(file), rotateIntervalMs: 0 });
    const options = { type: SINGLE, appName: "test", aspects: ["ratchet"], identity, ratchetsOnly: true } as const;
    const first = new Destination({ ...options, ratchets: ring });
    ether.act(bob, () => bob.register(first));
    ether.act(bob, () => bob.announce(first));
    ether.run(1000);
    assert.equal(files.length, 1);
    assert.ok(alice.known.get(first.hash)?.ratchet !== undefined);
    ring.rotate(ether.now, seededRandom("ratchet/next"));
    const restored = new RatchetRing(identity);
    restored.load(files[1] as Uint8Array);
    assert.equal(restored.keys.length, 2);
    const reborn = new Destination({ ...options, ratchets: restored });
    const got: string[] = [];
    reborn.onPacket = (data) => got.push(toHex(data));
    ether.act(bob, () => bob.register(reborn));
    ether.act(alice, () => alice.send(first.hash, utf8("old ratchet")));
    ether.run(1000);
    assert.deepEqual(got, [toHex(utf8("old ratchet"))]);
    const damaged = (files[1] as Uint8Array).slice();
    damaged[damaged.length - 1] = (damaged[damaged.length - 1] as number) ^ 1;
    assert.throws(() => restored.load(damaged), { code: "signature_invalid" });
  });

  it("keeps what announces taught over a restart, and refuses another key for a known address", () => {
    const { ether, alice, service } = pair({ seed: "known" });
    const file = alice.known.save();
    const restarted = ether.add("restarted");
    restarted.known.load(file);
    const got: string[] = [];
    service.onPacket = (data) => got.push(toHex(data));
    const receipt = ether.act(restarted, () => restarted.send(service.hash, utf8("again")));
    ether.run(1000);
    assert.equal(receipt.state, "delivered");
    assert.deepEqual(got, [toHex(utf8("again"))]);
    const known = alice.known.get(service.hash);
    assert.ok(known !== undefined);
    const other = Identity.create(seededRandom("other"));
    const { hash, nameHash: name } = service;
    const announce = { destination: hash, identity: other, nameHash: name, randomHash: new Uint8Array(10) };
    const forged = { ...announce, emittedSeconds: 0, ratchet: undefined, appData: new Uint8Array(0) };
    assert.equal(alice.known.learn(forged, ether.now), false);
    assert.equal(alice.known.get(service.hash)?.identity.hex, known.identity.hex);
  });

  it("carries GROUP and PLAIN packets", () => {
    const { ether, alice, bob } = pair({ seed: "group" });
    const groupKey = seededRandom("group")(64);
    for (const type of [GROUP, PLAIN] as const) {
      const make = (): Destination =>
        new Destination({ type, appName: "test", aspects: ["all"], ...(type === GROUP ? { groupKey } : {}) });
      const got: string[] = [];
      const mine = make();
      mine.onPacket = (data) => got.push(toHex(data));
      ether.act(bob, () => bob.register(mine));
      ether.act(alice, () => alice.sendTo(make(), utf8("all")));
      ether.run(100);
      assert.deepEqual(got, [toHex(utf8("all"))]);
    }
  });

  it("closes a network with an access code", () => {
    const ifac = new Ifac({ networkName: "closed", passphrase: "secret", sizeBytes: 8 });
    const { ether, alice, service } = pair({ seed: "ifac", wire: { ifac } });
    const carol = ether.add("carol", { ifac: undefined });
    const mallory = ether.add("mallory", {
      ifac: new Ifac({ networkName: "closed", passphrase: "guess", sizeBytes: 8 }),
    });
    const receipt = ether.act(alice, () => alice.send(service.hash, utf8("ping")));
    ether.run(1000);
    assert.equal(receipt.state, "delivered");
    for (const outsider of [carol, mallory]) {
      assert.equal(outsider.counters.get("drop_access_code"), outsider.counters.get("packets_received"));
    }
  });

  it("links, proves, identifies and closes; the peer hears of it", () => {
    const p = pair({ seed: "link" });
    const { near, far } = linked(p);
    assert.equal(near.mtu, 500);
    const got: string[] = [];
    far.onPacket = (data) => got.push(toHex(data));
    const receipt = p.ether.act(p.alice, () => near.send(utf8("on link")));
    const me = Identity.create(seededRandom("me"));
    p.ether.act(p.alice, () => near.identify(me));
    p.ether.run(100);
    assert.deepEqual(got, [toHex(utf8("on link"))]);
    assert.equal(receipt.state, "delivered");
    assert.equal(far.peer?.hex, me.hex);
    near.proofs = "all";
    const back = p.ether.act(p.bob, () => far.send(utf8("back")));
    p.ether.run(100);
    assert.equal(back.state, "delivered");
    p.ether.act(p.bob, () => far.close());
    p.ether.run(100);
    assert.equal(near.closeReason, "destination");
    assert.deepEqual([p.alice.links.size, p.bob.links.size], [0, 0]);
    assert.deepEqual([p.alice.waitingTimers, p.bob.waitingTimers], [0, 0]);
  });

  it("keeps an idle link alive, notices a dead peer", () => {
    const p = pair({ seed: "idle" });
    const { near, far } = linked(p);
    p.ether.run(3_600_000);
    assert.deepEqual([near.state, far.state], ["active", "active"]);
    p.ether.tap = () => false;
    p.ether.run(60_000);
    assert.deepEqual([near.closeReason, far.closeReason], ["timeout", "timeout"]);
  });

  it("negotiates the larger MTU of its wires", () => {
    const p = pair({ seed: "mtu", wire: { hardwareMtu: 8192, signalsMtu: true } });
    const { near, far } = linked(p);
    assert.deepEqual([near.mtu, far.mtu, near.mdu], [8192, 8192, 8111]);
  });

  it("answers requests by packet and by resource, and refuses strangers", () => {
    const p = pair({ seed: "request" });
    const { near, far } = linked(p);
    const me = Identity.create(seededRandom("me"));
    p.service.requests.register({ path: "/echo", allow: "all", handle: ({ data }, respond) => respond(data) });
    p.service.requests.register({
      path: "/private",
      allow: new Set([me.hex]),
      handle: (_, respond) => respond("welcome"),
    });
    for (const size of [10, 5000]) {
      let answer: unknown;
      const request = p.ether.act(p.alice, () => near.request("/echo", pattern(size)));
      request.onResponse = (response) => {
        answer = response.value;
      };
      p.ether.run(10_000);
      assert.ok(answer instanceof Uint8Array && equalBytes(answer, pattern(size)), `${size} bytes`);
    }
    let failure: SpineError | undefined;
    const refused = p.ether.act(p.alice, () => near.request("/private", null));
    refused.onFailed = (reason) => {
      failure = reason;
    };
    p.ether.run(60_000);
    assert.equal(failure?.code, "request_timeout");
    p.ether.act(p.alice, () => near.identify(me));
    let welcome: unknown;
    const allowed = p.ether.act(p.alice, () => near.request("/private", null));
    allowed.onResponse = (response) => {
      welcome = response.value;
    };
    p.ether.run(1000);
    assert.equal(welcome, "welcome");
    assert.equal(far.peer?.hex, me.hex);
  });

  const faults: readonly (readonly [string, EtherOptions])[] = [
    ["a clean wire", { seed: "r0" }],
    ["30 % loss", { seed: "r1", loss: 0.3 }],
    ["duplication and reordering", { seed: "r2", duplication: 0.2, jitterMs: 20 }],
    ["all of them", { seed: "r3", loss: 0.2, duplication: 0.1, jitterMs: 10 }],
  ];
  for (const [title, options] of faults) {
    it(`transfers resources over ${title}`, () => {
      const p = pair(options);
      const { near, far } = linked(p);
      far.acceptResource = () => true;
      const got: ReceivedResource[] = [];
      far.onResource = (resource) => got.push(resource);
      for (const size of [0, 1, 500, 20_000, 100_000]) {
        const metadata = metadataBlock(fromHex("a161"));
        const sent = p.ether.act(p.alice, () => near.sendResource(pattern(size), { metadata }));
        p.ether.run(3_600_000, () => sent.state === "complete" || sent.state === "failed");
        assert.equal(sent.state, "complete", `${size} bytes: ${sent.failure?.message}`);
        const last = got.pop();
        assert.ok(last !== undefined && equalBytes(last.data, pattern(size)), `${size} bytes`);
        assert.deepEqual(last.metadata, fromHex("a161"));
      }
      assert.equal(far.resources.incoming, 0);
    });
  }

  it("sends large resources in segments, one after the other", () => {
    const p = pair({ seed: "segments", wire: { hardwareMtu: 8192, signalsMtu: true } });
    const { near, far } = linked(p);
    far.acceptResource = () => true;
    const got: ReceivedResource[] = [];
    far.onResource = (resource) => got.push(resource);
    const data = pattern(2_500_000);
    const first = p.ether.act(p.alice, () => near.sendResource(data));
    const second = p.ether.act(p.alice, () => near.sendResource(pattern(10)));
    assert.equal(first.segments, 3);
    p.ether.run(600_000, () => second.state === "complete");
    assert.deepEqual(
      got.map((r) => r.data.length),
      [2_500_000, 10],
    );
    assert.ok(equalBytes(got[0]?.data as Uint8Array, data));
  });

  it("brings large resources through losses both ways at once, each whole and once", function () {
    this.timeout(600_000);
    const runs = process.env["SPINE_LONG"] === "1" ? 120 : 8;
    for (let i = 0; i < runs; i++) {
      const loss = [0.02, 0.1, 0.15, 0.2][i % 4] as number;
      const wire = { hardwareMtu: 8192, signalsMtu: true };
      const p = pair({ seed: `large/${i}`, loss, duplication: 0.05, jitterMs: 20 * (i % 3), wire });
      const ends = linked(p);
      const got = new Map<Link, Uint8Array[]>();
      const data = pattern(2_200_000);
      const sent = [
        [ends.near, ends.far, p.alice],
        [ends.far, ends.near, p.bob],
      ] as const;
      const resources = sent.map(([from, to, endpoint], side) => {
        to.acceptResource = () => true;
        to.onResource = (resource) => got.set(to, [...(got.get(to) ?? []), resource.data]);
        return p.ether.act(endpoint, () => from.sendResource(data.subarray(side)));
      });
      const isOver = ({ state }: { state: string }): boolean => state === "complete" || state === "failed";
      p.ether.run(3_600_000, () => resources.every(isOver));
      p.ether.run(30_000);
      const [one, two] = resources;
      assert.deepEqual([one?.failure?.message, two?.failure?.message], [undefined, undefined], `seed ${i}`);
      for (const [side, [, to]] of sent.entries()) {
        const bodies = got.get(to) ?? [];
        assert.equal(bodies.length, 1);
        assert.ok(equalBytes(bodies[0] as Uint8Array, data.subarray(side)));
      }
    }
  });

  it("takes a resource once, though its advertisement comes again, and tells how far it is", () => {
    const p = pair({ seed: "again" });
    const { near, far } = linked(p);
    far.acceptResource = () => true;
    const got: number[] = [];
    const shares: number[] = [];
    far.onResource = ({ data }) => got.push(data.length);
    far.onResourceProgress = (_, share) => shares.push(share);
    let late: Uint8Array | undefined;
    p.ether.tap = (frame, from) => {
      const isFirst = from === p.alice && late === undefined && frame[18] === CONTEXT.resourceAdvertisement;
      if (isFirst) late = frame.slice();
      return !isFirst;
    };
    const resource = p.ether.act(p.alice, () => near.sendResource(pattern(3000)));
    p.ether.run(60_000, () => resource.state === "complete");
    p.ether.act(p.bob, () => p.bob.handle("ether", late as Uint8Array, p.ether.now));
    p.ether.run(300_000);
    assert.deepEqual([got, far.resources.incoming], [[3000], 0]);
    assert.equal(shares.length, 7);
    assert.equal(shares.at(-1), 1);
  });

  it("compresses a stream on a slow wire where that saves messages", () => {
    const p = pair({ seed: "slow stream", wire: { bitrate: 10_000 } });
    const { near, far } = linked(p);
    const text = utf8("the same line again and again\n".repeat(200));
    const chunks: Uint8Array[] = [];
    let ended = false;
    new Buffers(far.channel()).read(1, (data, eof) => {
      chunks.push(data.slice());
      ended = eof;
    });
    const noise = pattern(600);
    p.ether.act(p.alice, () => {
      const writer = new Buffers(near.channel()).write(1);
      writer.write(text);
      writer.write(noise);
      writer.end();
    });
    p.ether.run(600_000, () => ended);
    assert.ok(equalBytes(concatBytes(...chunks), concatBytes(text, noise)));
    assert.ok(chunks.length <= 5, `${chunks.length} messages`);
  });

  it("refuses resources nobody wants or that are too large, and fails them when the link dies", () => {
    const p = pair({ seed: "refuse" });
    const { near, far } = linked(p);
    const unwanted = p.ether.act(p.alice, () => near.sendResource(pattern(100)));
    p.ether.run(1000);
    assert.equal(unwanted.failure?.code, "resource_rejected");
    far.acceptResource = () => true;
    far.resources.maxBytes = 1000;
    const large = p.ether.act(p.alice, () => near.sendResource(pattern(1001)));
    p.ether.run(1000);
    assert.equal(large.failure?.code, "resource_rejected");
    far.resources.maxBytes = 1_000_000;
    const cut = p.ether.act(p.alice, () => near.sendResource(pattern(100_000)));
    p.ether.run(5);
    p.ether.act(p.bob, () => far.close());
    p.ether.run(1000);
    assert.equal(cut.state, "failed");
    assert.equal(far.resources.incoming, 0);
    assert.deepEqual([p.alice.waitingTimers, p.bob.waitingTimers], [0, 0]);
  });

  for (const [title, options] of faults) {
    it(`keeps channel order and streams bytes over ${title}`, () => {
      const p = pair(options);
      const { near, far } = linked(p);
      const chunks: Uint8Array[] = [];
      let ended = false;
      const reader = new Buffers(far.channel());
      reader.read(3, (data, eof) => {
        chunks.push(data);
        ended ||= eof;
      });
      const types: number[] = [];
      reader.onMessage = (type) => types.push(type);
      const channel = near.channel();
      const writer = new Buffers(channel).write(3);
      const data = pattern(20_000);
      p.ether.act(p.alice, () => {
        channel.send(0x101, utf8("first"));
        writer.write(data);
        writer.end();
      });
      p.ether.run(600_000, () => ended || near.state === "closed");
      if (near.state === "closed") {
        // Five lost tries of one message end a link: a legitimate outcome under heavy loss, never corruption.
        assert.ok((options.loss ?? 0) > 0);
        assert.ok(equalBytes(concatBytes(...chunks), data.subarray(0, concatBytes(...chunks).length)));
        return;
      }
      assert.deepEqual(types, [0x101]);
      assert.ok(equalBytes(concatBytes(...chunks), data));
    });
  }
});
