/** The Reticulum plane on a slow wire: one frame at a time, packed, urgent ones first, air booked, classes dropped by speed. */
import assert from "node:assert/strict";
import { randomBytes } from "node:crypto";
import { RadioLine } from "../../../planes/reticulum/carry/radio-line.ts";
import { SlowSender } from "../../../planes/reticulum/carry/slow-sender.ts";
import { isEvidence } from "../../../planes/reticulum/carry/spellings.ts";
import { VirtualClock } from "../../../sim/index.ts";
import {
  CONTROL_TIER,
  encodeAttestMessage,
  encodeFrame,
  type Tier,
  walkRecords,
  writeRecord,
} from "../../../spine/index.ts";
import { never } from "../../contract/expect.ts";
import { Recorder } from "../../contract/recorder.ts";
import { busPlane, MemoryBus } from "../../helpers/reticulum-bus.ts";
import { SyntheticIssuer } from "../../helpers/synthetic.ts";
import { until } from "./interop.ts";

const BITRATE = 20_000;

async function pair(bus: MemoryBus, air?: { duty: number }) {
  const airtimeMs = (bytes: number): number => (bytes * 8000) / BITRATE;
  const options = air === undefined ? {} : { airOf: () => ({ airtimeMs, duty: air.duty }) };
  const [a, b] = [new Recorder(busPlane(bus, options)), new Recorder(busPlane(bus, options))];
  await a.plane.start({ signal: never });
  await b.plane.start({ signal: never });
  await a.plane.addPeer(b.plane.addresses()[0] as string);
  return { a, b, planes: [a.plane, b.plane] as const, link: await a.link(), back: await b.link() };
}
const splitView = encodeFrame({
  type: "attest",
  body: encodeAttestMessage({ type: "split-view", proof: Uint8Array.of(1) }),
});
const first = (frame: Uint8Array): number => frame[0] as number;

describe("the Reticulum plane on a slow wire", function () {
  this.timeout(60_000);
  let bus: MemoryBus;
  let stop: (() => Promise<unknown>) | undefined;
  beforeEach(() => {
    bus = new MemoryBus({ bitrate: BITRATE, hardwareMtu: 500, medium: "line" });
  });
  afterEach(async () => {
    await stop?.();
    stop = undefined;
  });

  it("says that it is radio, carries small and large frames in order, and books its air", async () => {
    const { a, b, planes, link } = await pair(bus);
    stop = () => Promise.all(planes.map((plane) => plane.stop()));
    const info = a.of("up")[0]?.info;
    assert.equal(info?.cost, "radio");
    assert.equal(info?.bitrate, BITRATE);
    const frames = [10, 400, 1500, 20].map((size, i) => Uint8Array.of(i + 1, ...randomBytes(size - 1)));
    for (const frame of frames) await a.plane.send(link, frame, { signal: never });
    await b.until("all frames", () => b.frames().length === frames.length);
    assert.deepEqual(b.frames().map(first), [1, 2, 3, 4]);
    const [status] = Object.values((a.plane as ReturnType<typeof busPlane>).radio());
    assert.ok(status !== undefined && status.usedMs > (1930 * 8000) / BITRATE, `${status?.usedMs} ms booked`);
  });

  it("packs frames of envelopes, and gives them to the core as they were", async () => {
    const { a, b, planes, link } = await pair(bus);
    stop = () => Promise.all(planes.map((plane) => plane.stop()));
    const { records } = new SyntheticIssuer("ada").next(3);
    const each = [...walkRecords(records)].map((one) => writeRecord(one.signingBytes, one.signature));
    const push = encodeFrame({ type: "push", records: each });
    await a.plane.send(link, push, { signal: never, tier: 1 });
    await b.until("the push", () => b.frames().length === 1);
    assert.deepEqual(new Uint8Array(b.frames()[0] as Uint8Array), push);
    assert.ok((a.plane.counters()["bytes_sent"] as number) < 0.8 * push.length);
  });

  it("sends what is urgent first when several wait, whoever it is for", async () => {
    const { a, b, planes, link } = await pair(bus);
    const c = new Recorder(busPlane(bus));
    stop = () => Promise.all([...planes, c.plane].map((plane) => plane.stop()));
    await c.plane.start({ signal: never });
    await a.plane.addPeer(c.plane.addresses()[0] as string);
    await until("the second link", () => a.links.length === 2, 20_000);
    const other = a.links.find((one) => one !== link) as string;
    const send = (to: string, byte: number, tier: Tier) =>
      a.plane.send(to, new Uint8Array(300).fill(byte), { signal: never, tier });
    // The first takes the air; the others ask for their turns while it is busy.
    const sends = [send(link, 1, CONTROL_TIER), send(other, 2, 7), send(link, 3, 7)];
    await Promise.all(sends.slice(0, 2));
    await b.until("the first", () => b.frames().length > 0);
    await Promise.all(sends);
    await b.until("all of b", () => b.frames().length === 2);
    await c.until("all of c", () => c.frames().length === 1);
    assert.deepEqual(b.frames().map(first), [1, 3]);
  });

  it("puts what proves a fork or a split view before checkpoints", () => {
    const clock = new VirtualClock(0);
    const sent: string[] = [];
    const line = new RadioLine(BITRATE, { airtimeMs: (bytes) => bytes, duty: 1 }, clock, () => false);
    const offer = (name: string, evidence: boolean): void => {
      const transmit = (): void => {
        sent.push(name);
        line.sent(100);
      };
      line.offer({ tier: 2, packets: [100], receiver: "*", transmit, evidence });
    };
    const proofs = [encodeFrame({ type: "fork", proof: Uint8Array.of(1) }), splitView];
    offer("in flight", false);
    offer("checkpoint", isEvidence(encodeFrame({ type: "push", records: [] })));
    for (const [i, frame] of proofs.entries()) offer(`proof ${i}`, isEvidence(frame));
    while (clock.step(1_000));
    line.stop();
    assert.deepEqual(sent, ["in flight", "proof 0", "proof 1", "checkpoint"]);
  });

  it("keeps back what a busy air would only pile up before the radio, but for revocations", () => {
    const clock = new VirtualClock(0);
    const sent: string[] = [];
    let busy = true;
    const line = new RadioLine(BITRATE, { airtimeMs: (bytes) => bytes, duty: 1 }, clock, () => busy);
    const offer = (name: string, tier: Tier): void => {
      const transmit = (): void => {
        sent.push(name);
        line.sent(100);
      };
      line.offer({ tier, packets: [100], receiver: "*", transmit });
    };
    offer("run", 5);
    offer("incident", 3);
    while (clock.step(10_000));
    assert.deepEqual(sent, []);
    assert.ok(line.aheadMs() > 0, "nothing else is begun meanwhile");
    offer("revocation", 1);
    while (clock.step(20_000));
    assert.deepEqual(sent, ["revocation"]);
    busy = false;
    line.drained();
    while (clock.step(30_000));
    line.stop();
    assert.deepEqual(sent, ["revocation", "incident", "run"]);
  });

  it("forgets a frame that nobody needs any more when its turn comes", async () => {
    const clock = new VirtualClock(0);
    const turns: (() => void)[] = [];
    const said: number[] = [];
    let unproved = 0;
    const sender = new SlowSender({
      turn: (_bytes, _tier, transmit) => {
        turns.push(transmit);
        return "taken";
      },
      whole: (frame) => {
        said.push(frame[0] as number);
        unproved++;
      },
      part: () => assert.fail("they are short"),
      unproved: () => unproved,
      room: () => 400,
      carries: () => true,
      later: (inMs, task) => void clock.schedule(clock.now() + inMs, task),
      packet: () => assert.fail("none is a revocation"),
      broken: () => assert.fail("nothing was lost"),
    });
    const needed = new Set([1, 2, 3]);
    const send = (n: number): Promise<string> => sender.send(Uint8Array.of(n), never, 3, () => !needed.has(n));
    const proved = (): void => {
      unproved = 0;
      sender.drained();
    };
    await send(1);
    while (clock.step(clock.now() + 100));
    const waiting = [send(2), send(3)];
    needed.delete(2);
    turns.shift()?.();
    proved();
    await Promise.all(waiting);
    while (clock.step(clock.now() + 2_000));
    needed.delete(3);
    turns.shift()?.();
    while (clock.step(clock.now() + 2_000));
    assert.deepEqual(said, [1]);
    needed.add(4);
    await send(4);
    while (clock.step(clock.now() + 100));
    turns.shift()?.();
    assert.deepEqual(said, [1, 4]);
  });

  it("does not carry heartbeats below 100 bit/s, and says so in its counters", async () => {
    const slow = new MemoryBus({ bitrate: 90, hardwareMtu: 500, medium: "line" });
    const { a, planes, link } = await pair(slow);
    stop = () => Promise.all(planes.map((plane) => plane.stop()));
    for (const tier of [7, 7, 6] as const) await a.plane.send(link, Uint8Array.of(1), { signal: never, tier });
    assert.equal(a.plane.counters()["frames_too_slow"], 2);
    const [status] = Object.values((a.plane as ReturnType<typeof busPlane>).radio());
    assert.deepEqual([status?.dropped.heartbeat, status?.dropped.node_attestation], [2, 0]);
  });

  it("waits when its hour's air is used up, but for revocations", async () => {
    const { a, b, planes, link } = await pair(bus, { duty: 0.002 });
    stop = () => Promise.all(planes.map((plane) => plane.stop()));
    // 7.2 s an hour: links and these frames use up the eight tenths that are for everything.
    let sent = 0;
    const bulk = async (): Promise<void> => {
      for (;;) {
        await a.plane.send(link, new Uint8Array(400).fill(9), { signal: never, tier: 3 });
        sent++;
      }
    };
    bulk().catch(() => {});
    const radio = () => Object.values((a.plane as ReturnType<typeof busPlane>).radio())[0];
    await until("the budget's end", () => (radio()?.usedMs ?? 0) > 0.76 * 7200, 40_000);
    await new Promise((resolve) => setTimeout(resolve, 300));
    const before = sent;
    assert.ok((radio()?.usedMs ?? 0) <= 7200);
    assert.ok(before > 5);
    assert.ok(b.frames().length <= before + 1);
  });
});
