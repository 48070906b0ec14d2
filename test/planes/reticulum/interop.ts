/** The cases that every kind of wire to the Python reference must pass; each wire's suite calls `interopCases`. */
import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import { createServer } from "node:net";
import type { Interface } from "../../../planes/reticulum/interfaces/interface.ts";
import { Buffers } from "../../../planes/reticulum/stack/buffer.ts";
import { Destination } from "../../../planes/reticulum/stack/destination.ts";
import { Identity } from "../../../planes/reticulum/stack/identity.ts";
import type { Link } from "../../../planes/reticulum/stack/link.ts";
import type { ReceivedResource } from "../../../planes/reticulum/stack/link-resources.ts";
import { SINGLE } from "../../../planes/reticulum/stack/name.ts";
import { Station } from "../../../planes/reticulum/station.ts";
import { systemRandom } from "../../../planes/reticulum/system-random.ts";
import { concatBytes, fromHex, type SpineError, toHex, utf8 } from "../../../spine/index.ts";
import { type RnsEvent, RnsNode } from "../../peers/rns.ts";

export { systemRandom };

const given = new Set<number>();

/** A port that was free a moment ago and that nobody else here was given. */
export async function freePort(): Promise<number> {
  for (;;) {
    const server = createServer();
    await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
    const address = server.address();
    await new Promise((resolve) => server.close(resolve));
    const port = typeof address === "object" && address !== null ? address.port : 0;
    if (given.has(port)) continue;
    given.add(port);
    return port;
  }
}

export function sha256Hex(bytes: Uint8Array): string {
  return createHash("sha256").update(bytes).digest("hex");
}

/** What the Python node makes for the same size. */
export function madeData(size: number, compressible: boolean): Uint8Array {
  if (compressible) return utf8("Reticulum interoperability ".repeat(Math.floor(size / 27) + 1)).subarray(0, size);
  const blocks: Uint8Array[] = [];
  for (let i = 0; i <= Math.floor(size / 32); i++) {
    blocks.push(new Uint8Array(createHash("sha256").update(String(i)).digest()));
  }
  return concatBytes(...blocks).subarray(0, size);
}

/** Waits for a condition that events of the stack make true. */
export async function until(what: string, done: () => boolean, timeoutMs = 15_000): Promise<void> {
  const deadline = Date.now() + timeoutMs;
  while (!done()) {
    if (Date.now() > deadline) throw new Error(`waited in vain for ${what}`);
    await new Promise((resolve) => setTimeout(resolve, 2));
  }
}

/** Both ends of one wire, and the destination of ours that the reference talks to. */
export class Meeting {
  readonly station: Station;
  readonly python: RnsNode;
  readonly mine: Destination;
  constructor(station: Station, python: RnsNode) {
    this.station = station;
    this.python = python;
    const identity = Identity.create(systemRandom);
    this.mine = new Destination({ type: SINGLE, appName: "interop", aspects: ["spine"], identity });
    this.mine.proofs = "all";
    station.act(() => station.endpoint.register(this.mine));
  }
  static async open(ours: Interface, theirs: string, prefix: readonly string[] = []): Promise<Meeting> {
    const station = new Station(
      {
        random: systemRandom,
        onError: (error) => {
          throw error;
        },
      },
      [ours],
    );
    await station.start();
    return new Meeting(station, await RnsNode.start(theirs, prefix));
  }
  async close(): Promise<void> {
    await this.station.stop();
    await this.python.stop();
  }
  get pythonHash(): Uint8Array {
    return fromHex(this.python.hash);
  }
  get peerFields(): Readonly<Record<string, unknown>> {
    return { hash: this.mine.hex, app: "interop", aspects: ["spine"] };
  }
  /** Both announce until both have heard: emissions count whole seconds and a wire may still be coming up. */
  async greet(): Promise<void> {
    const { station, python } = this;
    const known = () => station.endpoint.known.get(this.pythonHash);
    let heard = false;
    for (let i = 0; i < 20; i++) {
      if (!heard) station.act(() => station.endpoint.announce(this.mine, { appData: utf8("spine") }));
      if (known() === undefined) await python.do({ do: "announce", appData: "c0de7e7d" }, "announced");
      const deadline = Date.now() + 1300;
      const theirs: RnsEvent | undefined = heard
        ? undefined
        : await python.wait("announce", (e) => e.hash === this.mine.hex, 1200).catch(() => undefined);
      if (theirs !== undefined) {
        assert.equal(theirs.appData, toHex(utf8("spine")));
        assert.equal(theirs.hops, 1);
        heard = true;
      }
      // On a radio the two may have spoken at once: what was lost is said again.
      while (known() === undefined && Date.now() < deadline) await new Promise((resolve) => setTimeout(resolve, 5));
      if (!heard || known() === undefined) continue;
      assert.equal(toHex(known()?.appData as Uint8Array), "c0de7e7d");
      return;
    }
    throw new Error("announces were not heard");
  }
  async link(): Promise<Link> {
    const link = this.station.act(() => this.station.endpoint.openLink(this.pythonHash));
    await until("our link", () => link.state !== "pending");
    assert.equal(link.state, "active");
    await this.python.wait("link");
    return link;
  }
  async linkFromPython(channel = false): Promise<Link> {
    let link: Link | undefined;
    this.mine.onLink = (opened) => {
      link = opened;
      opened.acceptResource = () => true;
      if (channel) opened.channel();
    };
    await this.python.do({ do: "link", ...this.peerFields, channel }, "link-up");
    await until("the reference's link", () => link !== undefined);
    return link as Link;
  }
}

export interface CaseOptions {
  /** Sizes of resources, bytes. */
  readonly sizes: readonly number[];
  /** Ours are compressed whatever their size: by default those above 64 KiB are not. */
  readonly compress?: boolean;
  readonly timeoutMs: number;
}

type Case = (meeting: Meeting) => Promise<void>;

/** The cases of one wire, one after the other on one pair. */
class Scenario {
  readonly #open: () => Promise<Meeting>;
  readonly #cases: {
    readonly run: Case;
    readonly done: Promise<void>;
    readonly settle: (failure?: unknown) => void;
  }[] = [];
  #running: Promise<void> | undefined;
  constructor(open: () => Promise<Meeting>) {
    this.#open = open;
  }
  /** The result of the case, once the scenario came to it. */
  add(run: Case): Promise<void> {
    let settle: (failure?: unknown) => void = () => undefined;
    const done = new Promise<void>((resolve, reject) => {
      settle = (failure) => (failure === undefined ? resolve() : reject(failure));
    });
    // Told by the case's own `it`, which may come to it later.
    done.catch(() => undefined);
    this.#cases.push({ run, done, settle });
    return done;
  }
  start(): Promise<void> {
    this.#running ??= this.#run();
    return this.#running;
  }
  async #run(): Promise<void> {
    let meeting: Meeting | undefined;
    try {
      meeting = await this.#open();
      await meeting.greet();
    } catch (caught) {
      for (const { settle } of this.#cases) settle(caught);
      await meeting?.close();
      return;
    }
    for (const { run, settle } of this.#cases) await run(meeting).then(() => settle(), settle);
    await meeting.close();
  }
}

/** Waiting for lines and radios is most of the work: a few wires are spoken over at once. */
const AT_ONCE = 4;
const QUEUE_MS = 120_000;
const waiting: Scenario[] = [];
let underWay = 0;

function startNext(): void {
  while (underWay < AT_ONCE) {
    const scenario = waiting.shift();
    if (scenario === undefined) return;
    underWay++;
    void scenario.start().finally(() => {
      underWay--;
      startNext();
    });
  }
}

type CaseIt = (title: string, run: Case) => { timeout(ms: number): void };

/** What registers the cases of a wire, to be run one after the other on the fresh pair that `open` makes. */
function wireCases(open: () => Promise<Meeting>, timeoutMs: number): CaseIt {
  const scenario = new Scenario(open);
  waiting.push(scenario);
  before(() => {
    const at = waiting.indexOf(scenario);
    // This wire's turn in the report: it goes next.
    if (at > 0) waiting.unshift(...waiting.splice(at, 1));
    startNext();
  });
  after(async function () {
    this.timeout(60_000);
    await scenario.start();
  });
  return (title, run) => {
    const done = scenario.add(run);
    // Besides its own time, the wait for wires that went first.
    const test = globalThis.it(title, () => done).timeout(timeoutMs + QUEUE_MS);
    return { timeout: (ms) => void test.timeout(ms + QUEUE_MS) };
  };
}

/** Registers the cases; `open` makes a fresh pair. */
export function interopCases(open: () => Promise<Meeting>, options: CaseOptions): void {
  const it = wireCases(open, options.timeoutMs);

  talkCases(it, options.timeoutMs);
  for (const compressible of [false, true]) resourceCases(it, options, compressible);

  it("exchanges channel messages and streams", async (meeting) => {
    const { station, python } = meeting;
    const link = await meeting.linkFromPython(true);
    const buffers = new Buffers(link.channel());
    const messages: string[] = [];
    buffers.onMessage = (type, payload) => messages.push(`${type} ${toHex(payload)}`);
    let stream = "";
    let ended = false;
    buffers.read(7, (data, eof) => {
      stream += toHex(data);
      ended ||= eof;
    });
    for (let i = 0; i < 20; i++) await python.do({ do: "message", data: toHex(utf8(`note ${i}`)) }, "message-sent");
    await until("messages", () => messages.length === 20, options.timeoutMs);
    assert.deepEqual(
      messages,
      Array.from({ length: 20 }, (_, i) => `257 ${toHex(utf8(`note ${i}`))}`),
    );
    station.act(() => {
      for (let i = 0; i < 20; i++) link.channel().send(0x101, utf8(`answer ${i}`));
    });
    for (let i = 0; i < 20; i++) {
      assert.equal((await python.wait("message", undefined, options.timeoutMs)).data, toHex(utf8(`answer ${i}`)));
    }
    await python.do({ do: "stream", id: 7 }, "stream");
    const text = toHex(madeData(3000, true));
    await python.do({ do: "write", id: 7, data: text, close: true }, "written", options.timeoutMs);
    await until("the stream", () => ended, options.timeoutMs);
    assert.equal(stream, text);
    station.act(() => {
      const writer = buffers.write(7);
      writer.write(fromHex(text));
      writer.end();
    });
    let back = "";
    while (back.length < text.length) back += (await python.wait("stream-data", undefined, options.timeoutMs)).data;
    assert.equal(back, text);
    station.act(() => link.close());
    await python.wait("link-closed");
  }).timeout(options.timeoutMs);
}

/** Announces were heard when these begin. */
function talkCases(it: CaseIt, timeoutMs: number): void {
  it("sends packets both ways and gets the proofs", async (meeting) => {
    const { station, python } = meeting;
    const receipt = station.act(() => station.endpoint.send(meeting.pythonHash, fromHex("7e7d00c0db")));
    assert.equal((await python.wait("packet")).data, "7e7d00c0db");
    await until("the proof", () => receipt.state !== "sent");
    assert.equal(receipt.state, "delivered");
    const got: string[] = [];
    meeting.mine.onPacket = (data) => got.push(toHex(data));
    await python.sendProved({ do: "packet", ...meeting.peerFields, data: "aa".repeat(383) });
    assert.deepEqual(new Set(got), new Set(["aa".repeat(383)]));
  });

  it("answers path requests and asks them", async (meeting) => {
    const { station, python } = meeting;
    // Emissions count whole seconds: a response within the second of the last announce is ignored.
    await new Promise((resolve) => setTimeout(resolve, 1100));
    python.send({ do: "path", hash: meeting.mine.hex });
    await python.wait("announce", (e) => e.hash === meeting.mine.hex);
    const before = station.endpoint.counters.get("announces_accepted") ?? 0;
    station.act(() => station.endpoint.requestPath(meeting.pythonHash));
    await until("the path response", () => (station.endpoint.counters.get("announces_accepted") ?? 0) > before);
  });

  it("links to the reference: packets, identify, requests", async (meeting) => {
    const { station, python } = meeting;
    const link = await meeting.link();
    const got: string[] = [];
    link.onPacket = (data) => got.push(toHex(data));
    link.proofs = "all";
    const receipt = station.act(() => link.send(utf8("over the link")));
    assert.equal((await python.wait("link-packet")).data, toHex(utf8("over the link")));
    await until("the link proof", () => receipt.state !== "sent");
    const identity = Identity.create(systemRandom);
    station.act(() => link.identify(identity));
    assert.equal((await python.wait("identified")).identity, identity.hex);
    await python.sendProved({ do: "link-packet", data: "0102" });
    assert.deepEqual(new Set(got), new Set(["0102"]));
    for (const size of [1, 300, 3000]) {
      let answer: string | SpineError = "";
      const request = station.act(() => link.request("/echo", madeData(size, false)));
      request.onResponse = ({ value }) => {
        answer = value instanceof Uint8Array ? sha256Hex(value) : "not bytes";
      };
      request.onFailed = (reason) => {
        answer = reason;
      };
      await until("the response", () => answer !== "", timeoutMs);
      assert.equal(answer, sha256Hex(madeData(size, false)), `${size} bytes`);
    }
    station.act(() => link.close());
    await python.wait("link-closed");
  }).timeout(timeoutMs);

  it("is linked to by the reference: packets, identify, requests", async (meeting) => {
    const { python } = meeting;
    const link = await meeting.linkFromPython();
    const got: string[] = [];
    link.onPacket = (data) => got.push(toHex(data));
    let who = "";
    link.onIdentified = (identity) => {
      who = identity.hex;
    };
    await python.sendProved({ do: "link-packet", data: "0304" });
    assert.deepEqual(new Set(got), new Set(["0304"]));
    await python.do({ do: "identify" }, "identify-sent");
    await until("identification", () => who !== "");
    assert.equal(who, python.identity);
    meeting.mine.requests.register({
      path: "/echo",
      allow: new Set([who]),
      handle: ({ data }, respond) => respond(data),
    });
    for (const size of [1, 300, 3000]) {
      const data = toHex(madeData(size, false));
      const answer = await python.request({ path: "/echo", data });
      assert.equal(answer.data, data);
    }
    python.send({ do: "close" });
    await until("the close", () => link.state === "closed");
    assert.equal(link.closeReason, "initiator");
  }).timeout(timeoutMs);
}

function resourceCases(it: CaseIt, options: CaseOptions, compressible: boolean): void {
  it(`sends ${compressible ? "compressible" : "random"} resources to the reference`, async (meeting) => {
    const { station, python } = meeting;
    let link = await meeting.link();
    for (const size of options.sizes) {
      const data = madeData(size, compressible);
      const send = async (): Promise<RnsEvent> => {
        if (!link.isUp) link = await meeting.link();
        const sent = station.act(() => link.sendResource(data, options.compress === true ? { compress: true } : {}));
        const arrived = await python.wait("resource", undefined, options.timeoutMs);
        if (arrived.ok) await until("the resource proof", () => sent.state === "complete", options.timeoutMs);
        return arrived;
      };
      // On a busy machine a line loses frames until the reference gives up: once more then.
      let arrived = await send();
      if (!arrived.ok) arrived = await send();
      assert.deepEqual([arrived.ok, arrived.size, arrived.sha256], [true, size, sha256Hex(data)]);
    }
    station.act(() => link.close());
    await python.wait("link-closed");
  }).timeout(options.timeoutMs);

  it(`takes ${compressible ? "compressible" : "random"} resources from the reference`, async (meeting) => {
    const { station, python } = meeting;
    const link = await meeting.linkFromPython();
    const got: ReceivedResource[] = [];
    link.onResource = (resource) => got.push(resource);
    for (const size of options.sizes) {
      const command = { do: "resource", size, compressible, metadata: { name: "x" } };
      let sent = await python.do(command, "resource-sent", options.timeoutMs);
      // On a busy machine the reference gives up about one transfer in a hundred while it still advertises.
      if (!sent.ok) sent = await python.do(command, "resource-sent", options.timeoutMs);
      assert.equal(sent.ok, true);
      const resource = got.pop();
      assert.equal(resource?.data.length, size);
      assert.equal(sha256Hex(resource?.data as Uint8Array), sent.sha256);
      assert.equal(toHex(resource?.metadata as Uint8Array), "81a46e616d65a178");
    }
    station.act(() => link.close());
    await python.wait("link-closed");
  }).timeout(options.timeoutMs);
}

/** Registers talk, unless another suite has it for this wire, and the cases of one kind of resource. */
export function resourceSuite(
  open: () => Promise<Meeting>,
  options: CaseOptions & { readonly talk: boolean; readonly compressible: boolean },
): void {
  const it = wireCases(open, options.timeoutMs);
  if (options.talk) talkCases(it, options.timeoutMs);
  resourceCases(it, options, options.compressible);
}
