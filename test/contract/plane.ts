/** The promises of `planes/plane.ts` as tests; every plane runs them with its own fixture. */
import assert from "node:assert/strict";
import { randomBytes } from "node:crypto";
import type { Plane, PlaneTraits } from "../../planes/index.ts";
import { never, rejectsWith, settlesSoon } from "./expect.ts";
import { Recorder } from "./recorder.ts";

export interface PlaneFixture {
  readonly traits: PlaneTraits;
  /** A fresh, idle plane that can reach, or be reached by, every other one this fixture made for the same test. */
  create(): Promise<Plane>;
  /** Makes `a` and `b` find each other after both were started. Default: `a.addPeer` with b's address. */
  introduce?(a: Plane, b: Plane): Promise<void>;
  /** Either operator has to name the other's node: `addPeer` on both sides. */
  readonly mutual?: boolean;
  /** Runs after each test, when all planes are stopped. */
  cleanup?(): Promise<void>;
  /** Bytes of an address that is malformed for this plane. */
  readonly badAddresses: readonly string[];
  /** Upper bound of what a plane may take from a sender while its consumer sleeps, bytes. */
  readonly heldBytes: number;
}

export function planeContract(name: string, makeFixture: () => PlaneFixture): void {
  describe(`${name} keeps the plane contract`, () => {
    let fixture: PlaneFixture;
    let made: Plane[] = [];

    async function create(): Promise<Plane> {
      const plane = await fixture.create();
      made.push(plane);
      return plane;
    }
    async function introduce(a: Plane, b: Plane): Promise<void> {
      if (fixture.introduce !== undefined) return fixture.introduce(a, b);
      await a.addPeer(b.addresses()[0] as string);
      if (fixture.mutual === true) await b.addPeer(a.addresses()[0] as string);
    }
    /** `count` running planes, each linked with every other, and their recorders. */
    async function mesh(count: number): Promise<Recorder[]> {
      const recorders: Recorder[] = [];
      for (let i = 0; i < count; i++) {
        const recorder = new Recorder(await create());
        await recorder.plane.start({ signal: never });
        recorders.push(recorder);
      }
      for (const [i, a] of recorders.entries()) {
        for (const b of recorders.slice(i + 1)) {
          await introduce(a.plane, b.plane);
        }
      }
      for (const recorder of recorders) await recorder.link(count - 1);
      return recorders;
    }
    async function pair(): Promise<[Recorder, Recorder]> {
      return (await mesh(2)) as [Recorder, Recorder];
    }

    beforeEach(() => {
      fixture = makeFixture();
      made = [];
    });
    afterEach(async () => {
      for (const plane of made) await plane.stop();
      await fixture.cleanup?.();
    });

    describe("lifecycle", () => {
      /** What must hold in any state but running. */
      async function refusesWork(plane: Plane, code: "plane_not_started" | "plane_stopped"): Promise<void> {
        // All calls are made before the first wait: a start may be over by the next turn.
        const refused = [
          rejectsWith(plane.send("nowhere", Uint8Array.of(1), { signal: never }), code),
          rejectsWith(plane.broadcast(Uint8Array.of(1), { signal: never }), code),
        ];
        assert.deepEqual(plane.addresses(), []);
        assert.ok(plane.peers().every(({ link }) => link === null));
        harmlessCalls(plane);
        await Promise.all(refused);
      }
      function harmlessCalls(plane: Plane): void {
        plane.judge("unknown", "reject");
        plane.penalise("unknown", "frame_syntax");
        plane.disconnect("unknown", "test");
      }
      async function startsNoMore(plane: Plane): Promise<void> {
        await rejectsWith(plane.start({ signal: never }), "plane_stopped");
        await refusesWork(plane, "plane_stopped");
        for await (const event of plane.events()) assert.fail(`event ${event.type} after stop`);
      }

      it("declares its traits", async () => {
        const plane = await create();
        assert.deepEqual(plane.traits, fixture.traits);
        assert.notEqual(plane.name, "");
      });
      it("idle: refuses work, ignores unknown names", async () => {
        const plane = await create();
        await refusesWork(plane, "plane_not_started");
        await plane.removePeer("unknown");
      });
      it("idle: stops without having started", async () => {
        const plane = await create();
        await plane.stop();
        await startsNoMore(plane);
      });
      it("starting: refuses work and a second start", async () => {
        const plane = await create();
        const starting = plane.start({ signal: never });
        const again = rejectsWith(plane.start({ signal: never }), "plane_start_failed");
        await refusesWork(plane, "plane_not_started");
        await again;
        await starting;
        assert.notDeepEqual(plane.addresses(), []);
      });
      it("starting: an abort leaves a stopped plane", async () => {
        for (const early of [true, false]) {
          const plane = await create();
          const abort = new AbortController();
          if (early) abort.abort(new Error("early"));
          const starting = plane.start({ signal: abort.signal });
          abort.abort(new Error("late"));
          await rejectsWith(starting, "plane_start_failed");
          await startsNoMore(plane);
        }
      });
      it("starting: stop wins", async () => {
        const plane = await create();
        const starting = plane.start({ signal: never });
        const refused = rejectsWith(starting, "plane_start_failed", "plane_stopped");
        await plane.stop();
        await refused;
        await startsNoMore(plane);
      });
      it("running: refuses a second start, ignores unknown names, knows no strange link", async () => {
        const plane = await create();
        await plane.start({ signal: never });
        await rejectsWith(plane.start({ signal: never }), "plane_start_failed");
        harmlessCalls(plane);
        await plane.removePeer("unknown");
        await rejectsWith(plane.send("nowhere", Uint8Array.of(1), { signal: never }), "link_unknown");
        assert.notDeepEqual(plane.addresses(), []);
      });
      it("running: stop twice, also at once, ends the events", async () => {
        const [a, b] = await pair();
        await Promise.all([a.plane.stop(), a.plane.stop()]);
        await a.plane.stop();
        await a.ended;
        assert.deepEqual(a.links, []);
        await b.until("the peer's down", () => b.links.length === 0);
        await startsNoMore(a.plane);
        await rejectsWith(a.plane.addPeer(b.plane.addresses()[0] as string), "plane_stopped");
      });
      it("disposes", async () => {
        const plane = await create();
        await plane.start({ signal: never });
        await plane[Symbol.asyncDispose]();
        await startsNoMore(plane);
      });
      it("keeps the names of its counters in every state", async () => {
        const plane = await create();
        const idle = Object.keys(plane.counters());
        assert.ok(idle.length > 0 && idle.every((key) => /^[a-z][a-z_]*$/.test(key)));
        await plane.start({ signal: never });
        assert.deepEqual(Object.keys(plane.counters()), idle);
        await plane.stop();
        assert.deepEqual(Object.keys(plane.counters()), idle);
      });
      it("refuses malformed addresses", async () => {
        const plane = await create();
        for (const address of fixture.badAddresses) await rejectsWith(plane.addPeer(address), "peer_address");
        await plane.start({ signal: never });
        for (const address of fixture.badAddresses) await rejectsWith(plane.addPeer(address), "peer_address");
        assert.deepEqual(plane.peers(), []);
      });
    });

    describe("links", () => {
      it("tells both ends the same story about a link", async () => {
        const [a, b] = await pair();
        const here = a.of("up")[0]?.info;
        const there = b.of("up")[0]?.info;
        assert.ok(here !== undefined && there !== undefined);
        assert.deepEqual(here.localBinding, there.remoteBinding);
        assert.deepEqual(here.remoteBinding, there.localBinding);
        assert.ok(here.localBinding.length >= 1 && here.localBinding.length <= 255);
        assert.notDeepEqual(here.localBinding, here.remoteBinding);
        assert.ok(here.mtu > 0 && here.bitrate > 0);
        assert.equal(here.configured, fixture.introduce === undefined);
        const peer = a.plane.peers().find(({ link }) => link === a.links[0]);
        assert.ok(peer !== undefined);
      });
      it("carries frames of every size with their boundaries, in both directions", async function () {
        if (!fixture.traits.ordered || !fixture.traits.reliable) this.skip();
        const [a, b] = await pair();
        const mtu = a.of("up")[0]?.info.mtu as number;
        const sizes = [1, 2, 127, 128, 129, 4_095, 4_096, 16_383, 16_384, 65_535, 65_536, 170_000, mtu - 1, mtu, 1];
        const frames = sizes.filter((size) => size <= mtu).map((size) => new Uint8Array(randomBytes(size)));
        for (const [from, to] of [
          [a, b],
          [b, a],
        ] as const) {
          const link = await from.link();
          for (const frame of frames) await from.plane.send(link, frame, { signal: never });
          await to.until("all frames", () => to.frames().length === frames.length);
          for (const [i, frame] of frames.entries())
            assert.deepEqual(new Uint8Array(to.frames()[i] as Uint8Array), frame);
        }
      });
      it("keeps the order of sends that were not awaited", async function () {
        if (!fixture.traits.ordered) this.skip();
        const [a, b] = await pair();
        const link = await a.link();
        const sizes = Array.from({ length: 300 }, (_, i) => 4 + ((i * 7_919) % 3_000));
        const sends = sizes.map((size, i) => {
          const frame = Buffer.alloc(size, 7);
          frame.writeUInt32BE(i);
          return a.plane.send(link, frame, { signal: never });
        });
        await Promise.all(sends);
        await b.until("all frames", () => b.frames().length === sizes.length);
        const seen = b.frames().map((frame) => Buffer.from(frame).readUInt32BE());
        assert.deepEqual(
          seen,
          sizes.map((_, i) => i),
        );
        assert.deepEqual(
          b.frames().map(({ length }) => length),
          sizes,
        );
      });
      it("lets the sender reuse its buffer once a send is taken", async () => {
        const [a, b] = await pair();
        const link = await a.link();
        const buffer = new Uint8Array(3_000);
        for (let i = 0; i < 20; i++) {
          buffer.fill(i);
          await a.plane.send(link, buffer, { signal: never });
        }
        buffer.fill(255);
        await b.until("all frames", () => b.frames().length === 20);
        for (const [i, frame] of b.frames().entries()) assert.ok(frame.every((byte) => byte === i));
      });
      it("refuses frames that are empty or over the mtu", async () => {
        const [a, b] = await pair();
        const link = await a.link();
        const mtu = a.of("up")[0]?.info.mtu as number;
        await rejectsWith(a.plane.send(link, new Uint8Array(mtu + 1), { signal: never }), "frame_size");
        await rejectsWith(a.plane.send(link, new Uint8Array(0), { signal: never }), "frame_size");
        await a.plane.send(link, Uint8Array.of(5), { signal: never });
        await b.until("the good frame", () => b.frames().length === 1);
      });
      it("links three peers with each other and mixes nothing up", async () => {
        const all = await mesh(3);
        for (const [i, from] of all.entries()) {
          for (const link of from.links) await from.plane.send(link, Uint8Array.of(i), { signal: never });
        }
        for (const [i, to] of all.entries()) {
          await to.until("a frame of both others", () => to.frames().length === 2);
          assert.deepEqual(
            to
              .frames()
              .map(([byte]) => byte as number)
              .sort(),
            [0, 1, 2].filter((j) => j !== i),
          );
          assert.equal(new Set(to.of("frame").map(({ link }) => link)).size, 2);
        }
      });
      it("holds the sender back while the reader sleeps, within bounds, and loses nothing", async function () {
        if (!fixture.traits.reliable) this.skip();
        const [a, b] = await pair();
        const link = await a.link();
        b.pause();
        const frame = new Uint8Array(64 * 1_024);
        let taken = 0;
        for (;;) {
          new DataView(frame.buffer).setUint32(0, taken);
          const sending = a.plane.send(link, frame, { signal: never });
          if (!(await settlesSoon(sending, 500))) {
            b.resume();
            await sending;
            taken++;
            break;
          }
          taken++;
          assert.ok(taken * frame.length <= fixture.heldBytes, `${taken} frames taken and still no back-pressure`);
        }
        await b.until("all frames", () => b.frames().length === taken);
        const numbers = b.frames().map((f) => Buffer.from(f.slice(0, 4)).readUInt32BE());
        assert.deepEqual(
          numbers,
          numbers.map((_, i) => i),
        );
        assert.equal(a.links.length, 1, "the link survived");
      });
      it("aborts a send that waits; the frame is not delivered and the link goes on", async function () {
        if (!fixture.traits.reliable) this.skip();
        const [a, b] = await pair();
        const link = await a.link();
        const reason = new Error("changed my mind");
        await assert.rejects(a.plane.send(link, Uint8Array.of(9), { signal: AbortSignal.abort(reason) }), reason);
        b.pause();
        const big = new Uint8Array(256 * 1_024);
        let sending = a.plane.send(link, big, { signal: never });
        while (await settlesSoon(sending, 500)) sending = a.plane.send(link, big, { signal: never });
        const abort = new AbortController();
        const aborted = a.plane.send(link, Uint8Array.of(9), { signal: abort.signal });
        const refused = assert.rejects(aborted, reason);
        abort.abort(reason);
        await refused;
        b.resume();
        await sending;
        await a.plane.send(link, Uint8Array.of(8), { signal: never });
        await b.until("the last frame", () => b.frames().at(-1)?.length === 1);
        assert.deepEqual(
          b
            .frames()
            .filter((f) => f.length === 1)
            .map(([byte]) => byte),
          [8],
        );
      });
      it("refuses the sends that wait when the link goes down", async function () {
        if (!fixture.traits.reliable) this.skip();
        const [a, b] = await pair();
        const link = await a.link();
        b.pause();
        const big = new Uint8Array(256 * 1_024);
        let sending = a.plane.send(link, big, { signal: never });
        while (await settlesSoon(sending, 500)) sending = a.plane.send(link, big, { signal: never });
        const also = a.plane.send(link, big, { signal: never });
        const refused = [rejectsWith(sending, "link_unknown"), rejectsWith(also, "link_unknown")];
        a.plane.disconnect(link, "test");
        await Promise.all(refused);
        await rejectsWith(a.plane.send(link, big, { signal: never }), "link_unknown");
        b.resume();
        await a.until("down", () => a.of("down").some((event) => event.link === link));
        await b.until("down", () => b.of("down").length > 0);
      });
      it("goes down on both ends after disconnect and forgets the name", async () => {
        const [a, b] = await pair();
        const link = await a.link();
        a.plane.disconnect(link, "test");
        a.plane.disconnect(link, "test");
        await a.until("down", () => a.of("down").some((event) => event.link === link));
        await b.until("down", () => b.of("down").length > 0);
        await rejectsWith(a.plane.send(link, Uint8Array.of(1), { signal: never }), "link_unknown");
        assert.equal(a.of("down").filter((event) => event.link === link).length, 1);
      });
      it("comes back under a new name when a configured peer is added again", async function () {
        if (fixture.introduce !== undefined) this.skip();
        const [a, b] = await pair();
        const link = await a.link();
        a.plane.disconnect(link, "test");
        await a.until("down", () => a.of("down").length > 0);
        await a.plane.addPeer(b.plane.addresses()[0] as string);
        await a.until("a new link", () => a.of("up").length === 2 && a.links.length === 1);
        assert.notEqual(a.links[0], link);
        await b.link();
        await a.plane.send(await a.link(), Uint8Array.of(3), { signal: never });
        await b.until("the frame", () => b.frames().length === 1);
      });
      it("forgets a removed peer and drops its link", async function () {
        if (fixture.introduce !== undefined) this.skip();
        const [a] = await pair();
        const peer = a.plane.peers().find(({ configured }) => configured);
        assert.ok(peer !== undefined);
        await a.plane.removePeer(peer.id);
        await a.until("down", () => a.links.length === 0);
        assert.deepEqual(
          a.plane.peers().filter(({ configured }) => configured),
          [],
        );
      });
      it("gives up on a peer that is penalised again and again, and lets it in no more", async () => {
        const [a, b] = await pair();
        const link = await a.link();
        for (let i = 0; i < 100; i++) a.plane.penalise(link, "frame_syntax");
        await a.until("down", () => a.links.length === 0);
        await b.until("down", () => b.of("down").length > 0);
        assert.equal(a.plane.counters()["bans"], 1);
        await b.plane.addPeer(a.plane.addresses()[0] as string);
        await new Promise((resolve) => setTimeout(resolve, 300));
        assert.deepEqual(a.links, []);
      });
      it("stays up after a single penalty", async () => {
        const [a, b] = await pair();
        const link = await a.link();
        a.plane.penalise(link, "frame_syntax");
        await a.plane.send(link, Uint8Array.of(1), { signal: never });
        await b.until("the frame", () => b.frames().length === 1);
        assert.equal(a.plane.counters()["penalties"], 1);
      });
    });

    describe("broadcast", () => {
      /** Broadcasts until the plane reports neighbours: a medium may need a moment after the links are up. */
      async function broadcast(from: Recorder, data: Uint8Array, neighbours: number): Promise<void> {
        const bytes = Buffer.from(data);
        for (let i = 0; i < 100; i++) {
          const probe = Buffer.concat([bytes, Buffer.from(`#${i}`)]);
          const reached = await from.plane.broadcast(probe, { signal: never });
          if (reached >= neighbours) return;
          await new Promise((resolve) => setTimeout(resolve, 50));
        }
        assert.fail(`broadcast never reached ${neighbours} neighbours`);
      }
      function heard(recorder: Recorder, text: string) {
        return recorder.of("gossip").filter(({ data }) => Buffer.from(data).toString().startsWith(text));
      }

      beforeEach(function () {
        if (!fixture.traits.broadcast) this.skip();
      });

      it("reaches the neighbours and names them", async () => {
        const [a, b, c] = (await mesh(3)) as [Recorder, Recorder, Recorder];
        await broadcast(a, Buffer.from("hello"), 2);
        for (const other of [b, c]) {
          await other.until("gossip", () => heard(other, "hello").length > 0);
          assert.ok(other.links.includes(heard(other, "hello")[0]?.link as string));
        }
        assert.equal(heard(a, "hello").length, 0);
      });
      it("says 0 when nobody is there and refuses what is too large or empty", async () => {
        const plane = await create();
        await plane.start({ signal: never });
        assert.equal(await plane.broadcast(Buffer.from("alone"), { signal: never }), 0);
        await rejectsWith(plane.broadcast(new Uint8Array(8 * 1_024 * 1_024), { signal: never }), "frame_size");
        await rejectsWith(plane.broadcast(new Uint8Array(0), { signal: never }), "frame_size");
        const reason = new Error("no");
        await assert.rejects(plane.broadcast(Buffer.from("x"), { signal: AbortSignal.abort(reason) }), reason);
      });
      it("passes on what was accepted, and only that", async () => {
        const line: Recorder[] = [];
        for (let i = 0; i < 3; i++) {
          const recorder = new Recorder(await create());
          await recorder.plane.start({ signal: never });
          line.push(recorder);
        }
        const [a, b, c] = line as [Recorder, Recorder, Recorder];
        for (const [x, y] of [
          [a, b],
          [c, b],
        ] as const) {
          await introduce(x.plane, y.plane);
        }
        await b.link(2);
        await a.link();
        await c.link();
        // The middle must reach both ends before its relaying can be judged.
        await broadcast(b, Buffer.from("warm-up"), 2);
        for (const [text, verdict] of [
          ["ignored", "ignore"],
          ["rejected", "reject"],
          ["accepted", "accept"],
        ] as const) {
          await broadcast(a, Buffer.from(text), 1);
          await b.until(text, () => heard(b, text).length > 0);
          for (const { id } of heard(b, text)) {
            b.plane.judge(id, verdict);
            b.plane.judge(id, "accept");
          }
        }
        await c.until("the accepted one", () => heard(c, "accepted").length > 0);
        assert.equal(heard(c, "ignored").length, 0);
        assert.equal(heard(c, "rejected").length, 0);
        assert.ok((b.plane.counters()["penalties"] as number) >= 1, "rejection counts against the neighbour");
      });
      it("hears the same broadcast once", async () => {
        const [a, b, c] = (await mesh(3)) as [Recorder, Recorder, Recorder];
        await broadcast(a, Buffer.from("once"), 2);
        await b.until("gossip", () => heard(b, "once").length > 0);
        await c.until("gossip", () => heard(c, "once").length > 0);
        for (const other of [b, c]) for (const { id } of heard(other, "once")) other.plane.judge(id, "accept");
        await new Promise((resolve) => setTimeout(resolve, 100));
        for (const other of [b, c]) {
          const texts = heard(other, "once").map(({ data }) => Buffer.from(data).toString());
          assert.equal(new Set(texts).size, texts.length);
        }
      });
    });
  });
}
