/** Cards, membership, and what the plane lets in, over an interface in memory. */
import assert from "node:assert/strict";
import { encodeQR } from "qr";
import decodeQR from "qr/decode.js";
import { qrLines } from "../../../node/index.ts";
import { wireguard } from "../../../planes/index.ts";
import { claimOf, type Envelope, SpineError, utf8, utf8Text } from "../../../spine/index.ts";
import { rejectsWith } from "../../contract/expect.ts";
import { Recorder } from "../../contract/recorder.ts";
import { fuzzDecoder } from "../../fuzz/fuzz-decoder.ts";
import { eventually } from "../../helpers/daemon.ts";
import { bindingSigner, type EnclaveNode, enclaveNode } from "../../helpers/enclave.ts";
import { never } from "../../helpers/libp2p.ts";
import { nativeSha256Hex, nativeVerify } from "../../helpers/sim-ports.ts";
import { throwsCode } from "../../helpers/throws.ts";

const { openCard, readBinding, writeCard } = wireguard;
const FIELDS: wireguard.BindingFields = {
  publicKey: "0a".repeat(32),
  nextKey: null,
  address: "10.77.0.2",
  port: 4_811,
  endpoints: ["192.0.2.1:51820"],
};

describe("peer cards", () => {
  const { bind } = bindingSigner(FIELDS);
  const six = {
    address: "fd00::2",
    endpoints: ["[2001:db8::1]:51820", "[2001:db8::2]:1", "192.0.2.1:9", "192.0.2.2:9"],
    nextKey: "0b".repeat(32),
  };

  it("stand for the very envelope", () => {
    for (const envelope of [bind(1), bind(7), bind(2 ** 40, six), bind(9, { endpoints: [] })]) {
      const opened = openCard(writeCard(envelope, nativeSha256Hex), nativeSha256Hex);
      assert.deepEqual(opened, envelope);
      assert.ok(nativeVerify(claimOf(opened)));
    }
  });
  it("fit a QR code of 78 columns that a reader of its own reads back", () => {
    for (const card of [writeCard(bind(70_000), nativeSha256Hex), writeCard(bind(2 ** 45, six), nativeSha256Hex)]) {
      assert.ok(card.length <= wireguard.MAX_CARD_CHARACTERS, `${card.length}`);
      const lines = qrLines(card);
      assert.ok(lines.every((line) => [...line].length <= 78));
      // From the printed characters back to pixels, four a module.
      const modules = lines.flatMap((line) => [
        [...line].map((cell) => cell === "█" || cell === "▀"),
        [...line].map((cell) => cell === "█" || cell === "▄"),
      ]);
      const [scale, side] = [4, modules[0]?.length ?? 0];
      const [width, height] = [side * scale, modules.length * scale];
      const data = new Uint8ClampedArray(width * height * 4).fill(255);
      for (let y = 0; y < height; y++) {
        for (let x = 0; x < width; x++) {
          const light = modules[Math.floor(y / scale)]?.[Math.floor(x / scale)] === true;
          if (!light) data.fill(0, (y * width + x) * 4, (y * width + x) * 4 + 3);
        }
      }
      assert.equal(decodeQR({ width, height, data }), card);
    }
    throwsCode(() => qrLines("x".repeat(600)), "usage");
    assert.ok(encodeQR("a", "raw").length > 0);
  });
  it("are altered by nobody: any other text is refused or does not verify", () => {
    const card = writeCard(bind(7), nativeSha256Hex);
    for (let at = 13; at < card.length; at++) {
      const other = card[at] === "A" ? "B" : "A";
      const text = card.slice(0, at) + other + card.slice(at + 1);
      let opened: Envelope;
      try {
        opened = openCard(text, nativeSha256Hex);
      } catch (error) {
        assert.ok(error instanceof SpineError && error.code === "peer_address");
        continue;
      }
      assert.ok(!nativeVerify(claimOf(opened)), `position ${at}`);
    }
  });
  it("survive garbage", () => {
    const report = fuzzDecoder("cards", (bytes) => openCard(utf8Text(bytes), nativeSha256Hex), [
      utf8(writeCard(bind(7), nativeSha256Hex)),
    ]);
    assert.ok(report.refused.size > 0);
  });
  it("are only made of bindings that are what they should be", () => {
    for (const wrong of [
      { address: "10.77.0.02" },
      { address: "FD00::2" },
      { endpoints: ["peer.example:1"] },
      { endpoints: Array.from({ length: 5 }, (_, i) => `192.0.2.${i}:1`) },
      { publicKey: "00".repeat(32) },
      { publicKey: "0A".repeat(32) },
      { nextKey: FIELDS.publicKey },
      { port: 0 },
      { port: 70_000 },
    ]) {
      throwsCode(() => readBinding(bind(3, wrong)), "fact_invalid");
    }
  });
});

describe("membership of the enclave", () => {
  const a = bindingSigner(FIELDS);
  const b = bindingSigner({ ...FIELDS, publicKey: "0c".repeat(32), address: "10.77.0.3" });
  const read = (envelope: Envelope): wireguard.Binding => readBinding(envelope) as wireguard.Binding;
  const make = (fields: Partial<wireguard.MembersOptions> = {}) =>
    new wireguard.Members({
      own: "self",
      keepaliveSeconds: 25,
      excluded: () => false,
      attested: () => true,
      ...fields,
    });

  it("is of listed issuers with a binding; a replayed one changes nothing", () => {
    const members = make();
    assert.equal(members.learn(read(a.bind(5))), false, "not listed");
    members.list(a.issuer);
    assert.equal(members.absence(a.issuer), "no binding yet");
    assert.equal(members.learn(read(a.bind(5))), true);
    assert.equal(members.learn(read(a.bind(4, { publicKey: "0d".repeat(32) }))), false, "older");
    assert.equal(members.learn(read(a.bind(5, { publicKey: "0d".repeat(32) }))), false, "as old");
    assert.equal(members.wanted()[0]?.publicKey, FIELDS.publicKey);
    assert.equal(members.learn(read(a.bind(6, { publicKey: "0d".repeat(32) }))), true);
    assert.equal(members.wanted()[0]?.publicKey, "0d".repeat(32));
  });
  it("ends with exclusion or a missing attestation, judged at each look", () => {
    const out = new Set<string>();
    let attested = false;
    const members = make({ excluded: (issuer) => out.has(issuer), attested: () => attested });
    for (const { issuer, bind } of [a, b]) {
      members.list(issuer);
      members.learn(read(bind(1)));
    }
    assert.equal(members.absence(a.issuer), "no attestation yet");
    attested = true;
    assert.equal(members.present().length, 2);
    out.add(a.issuer);
    assert.equal(members.absence(a.issuer), "revoked or frozen");
    assert.deepEqual(
      members.wanted().map(({ address }) => address),
      ["10.77.0.3"],
    );
  });
  it("never lists the node itself, and is bounded", () => {
    const members = make({ own: a.issuer });
    assert.equal(members.list(a.issuer), false);
    for (let i = 0; i < wireguard.MAX_MEMBERS + 5; i++) members.list(`issuer ${i}`);
    assert.equal(members.listed.length, wireguard.MAX_MEMBERS);
  });
});

describe("the enclave's links", () => {
  const made: EnclaveNode[] = [];
  async function node(
    options: Partial<wireguard.WireguardOptions> = {},
  ): Promise<{ one: EnclaveNode; recorder: Recorder }> {
    const one = enclaveNode(options);
    made.push(one);
    const recorder = new Recorder(one.plane);
    await one.plane.start({ signal: never });
    return { one, recorder };
  }
  async function pair(options: Partial<wireguard.WireguardOptions> = {}) {
    const [a, b] = [await node(options), await node()];
    await a.one.plane.addPeer(b.one.card);
    await b.one.plane.addPeer(a.one.card);
    await a.recorder.link();
    await b.recorder.link();
    return { a, b };
  }
  afterEach(async () => {
    for (const { plane } of made.splice(0)) await plane.stop();
  });

  it("name the issuer that must say hello, and are bound to the keys", async () => {
    const { a, b } = await pair();
    const info = a.recorder.of("up")[0]?.info;
    assert.equal(info?.issuer, b.one.issuer);
    assert.equal(Buffer.from(info.remoteBinding).toString("hex"), b.one.fields.publicKey);
  });
  it("are cut before anything else when the peer is excluded, and it leaves the interface", async () => {
    const out = new Set<string>();
    const { a, b } = await pair({ excluded: (issuer) => out.has(issuer) });
    out.add(b.one.issuer);
    a.one.plane.refresh();
    assert.equal(a.one.plane.peers()[0]?.link, null);
    await b.recorder.until("down", () => b.recorder.links.length === 0);
    await eventually("removal", async () => (await a.one.device.get()).peers.length === 0);
    assert.equal(a.one.plane.peers()[0]?.tunnel?.absence, "revoked or frozen");
    await a.one.plane.addPeer(b.one.card);
    a.one.plane.learn(b.one.bind(99, { endpoints: ["192.0.2.9:9"] }));
    assert.deepEqual(a.one.plane.enclave().absent, [{ issuer: b.one.issuer, reason: "revoked or frozen" }]);
  });
  it("are cut when the interface gives the address to another key, and come back with it", async () => {
    const { a } = await pair();
    a.one.device.meddle((peers) => [{ ...(peers[0] as wireguard.PeerState), publicKey: "ee".repeat(32) }]);
    await a.recorder.until("down", () => a.recorder.links.length === 0);
    await a.recorder.link();
    assert.ok((a.one.plane.counters()["drift_repaired"] ?? 0) >= 1);
  });
  it("are cut when the interface is gone, nothing listens meanwhile, and come back", async () => {
    const { a, b } = await pair();
    const up = a.one.device.up.bind(a.one.device);
    a.one.device.up = () => Promise.reject(new SpineError("enclave_device", "not now"));
    a.one.device.vanish();
    await b.recorder.until("down", () => b.recorder.links.length === 0);
    assert.equal(a.one.plane.counters()["interface_up"], 0);
    assert.equal(a.one.plane.enclave().up, false);
    a.one.device.up = up;
    await a.recorder.until("a new link", () => a.recorder.of("up").length === 2);
    await b.recorder.link();
  });
  it("hang up on strangers", async () => {
    const { one } = await node();
    const { connect } = await import("node:net");
    const socket = connect({ host: one.fields.address, port: one.fields.port, localAddress: "127.77.99.99" });
    await new Promise<void>((done) => socket.once("close", () => done()).once("error", () => done()));
    assert.equal(one.plane.counters()["strangers_refused"], 1);
  });
  it("blame a peer that speaks otherwise", async () => {
    const { one } = await node();
    // A member that the interface lets in, whose program is not ours: it must be the one that dials.
    let member = bindingSigner({ ...one.fields, publicKey: "0e".repeat(32), address: "127.77.98.1", port: 9 });
    while (member.issuer > one.issuer)
      member = bindingSigner({ ...one.fields, publicKey: "0e".repeat(32), address: "127.77.98.1", port: 9 });
    await one.plane.addPeer(writeCard(member.bind(1), nativeSha256Hex));
    await eventually("it is in", async () => one.plane.settled);
    const { connect } = await import("node:net");
    const socket = connect({ host: one.fields.address, port: one.fields.port, localAddress: "127.77.98.1" });
    socket.on("error", () => undefined);
    socket.resume();
    socket.write("GET / HTTP/1.1\r\n\r\n");
    await new Promise<void>((done) => socket.once("close", () => done()));
    assert.equal(one.plane.counters()["penalties"], 1);
    assert.equal(one.plane.counters()["links_opened"], 0);
  });
  it("lower the MTU when connections open and no full packet comes through", async () => {
    const { one } = await node({ limits: { prefaceMs: 200, tickMs: 50, redialMinMs: 20, pollMs: 100 } });
    let member = bindingSigner({ ...one.fields, publicKey: "0e".repeat(32), address: "127.77.97.1" });
    while (member.issuer < one.issuer)
      member = bindingSigner({ ...one.fields, publicKey: "0e".repeat(32), address: "127.77.97.1" });
    const { createServer } = await import("node:net");
    const silent = createServer((socket) => socket.on("error", () => undefined).resume());
    await new Promise<void>((done) => silent.listen(one.fields.port, "127.77.97.1", done));
    await one.plane.addPeer(writeCard(member.bind(1), nativeSha256Hex));
    await eventually("a smaller MTU", async () => one.device.settings?.mtuBytes === 1_280);
    assert.ok((one.plane.counters()["black_holes"] ?? 0) >= 2);
    await one.plane.stop();
    await new Promise<void>((done) => silent.close(() => done()));
  });
  it("refuse cards that do not verify, and the node's own", async () => {
    const { one } = await node({ verify: () => false });
    await rejectsWith(one.plane.addPeer(writeCard(bindingSigner(FIELDS).bind(1), nativeSha256Hex)), "peer_address");
    const { one: own } = await node();
    await rejectsWith(own.plane.addPeer(own.card), "peer_address");
    assert.deepEqual(own.plane.peers(), []);
  });
});
