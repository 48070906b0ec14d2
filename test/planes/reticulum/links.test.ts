/** What links do besides carrying data: files as answers, what compresses, what is forgotten, how silence is judged. */
import assert from "node:assert/strict";
import { FLAG, unpackAdvertisement } from "../../../planes/reticulum/stack/advertisement.ts";
import { Buffers } from "../../../planes/reticulum/stack/buffer.ts";
import { bzip2 } from "../../../planes/reticulum/stack/bzip2-compress.ts";
import { hmacSha256 } from "../../../planes/reticulum/stack/crypto.ts";
import { packEnvelope, packStreamMessage, STREAM_TYPE } from "../../../planes/reticulum/stack/envelope.ts";
import { pack } from "../../../planes/reticulum/stack/msgpack.ts";
import { destinationHash, nameHash, SINGLE } from "../../../planes/reticulum/stack/name.ts";
import { buildPacket, CONTEXT, LINK_REQUEST, parsePacket } from "../../../planes/reticulum/stack/packet.ts";
import type { Response } from "../../../planes/reticulum/stack/request.ts";
import { Token } from "../../../planes/reticulum/stack/token.ts";
import { concatBytes, equalBytes, type SpineError, utf8 } from "../../../spine/index.ts";
import { linked, pair, pattern } from "./pair.ts";

describe("reticulum links", () => {
  it("answers a request with a file and its metadata", () => {
    const p = pair({ seed: "file" });
    const metadata = pack(utf8("report.txt"));
    p.service.requests.register({
      path: "/file",
      allow: "all",
      handle: (_, respond) => respond(pattern(2000), metadata),
    });
    const { near } = linked(p);
    let got: Response | undefined;
    const request = p.ether.act(p.alice, () => near.request("/file", null));
    request.onResponse = (response) => {
      got = response;
    };
    p.ether.run(20_000, () => got !== undefined);
    assert.deepEqual(got?.metadata, metadata);
    assert.deepEqual(got?.value, pattern(2000));
  });

  it("compresses on a slow wire what gets smaller by it, and nothing when told not to", () => {
    const p = pair({ seed: "compress" });
    const { near, far } = linked(p);
    far.acceptResource = () => true;
    near.bitrate = 9600;
    const flags: boolean[] = [];
    p.ether.tap = (frame) => {
      const packet = parsePacket(frame);
      if (packet.context !== CONTEXT.resourceAdvertisement) return true;
      const plain = near.token.decrypt(packet.data) as Uint8Array;
      flags.push((unpackAdvertisement(plain, near.mtu - 36).flags & FLAG.compressed) !== 0);
      return true;
    };
    let got: Uint8Array | undefined;
    far.onResource = ({ data }) => {
      got = data;
    };
    const text = utf8("Reticulum interoperability ".repeat(300));
    const cases = [
      [text, {}],
      [pattern(3000), {}],
      [text, { compress: false }],
    ] as const;
    for (const [data, options] of cases) {
      const sent = p.ether.act(p.alice, () => near.sendResource(data, options));
      p.ether.run(60_000, () => sent.state === "complete");
      assert.ok(got !== undefined && equalBytes(got, data));
    }
    assert.deepEqual(flags, [true, false, false]);
  });

  it("ends a link whose asker sent a key that nothing can be agreed with", () => {
    const p = pair({ seed: "unusable" });
    const keys = concatBytes(new Uint8Array(32), p.service.identity?.signingKey as Uint8Array);
    const request = buildPacket({
      packetType: LINK_REQUEST,
      destinationType: SINGLE,
      destination: p.service.hash,
      data: keys,
    });
    p.ether.act(p.alice, () => p.alice.context.transmit(request, "ether"));
    p.ether.run(100);
    assert.equal(p.bob.counters.get("drop_link_refused"), 1);
    assert.equal(p.bob.links.size, 0);
  });

  it("forgets its key when it closes, and sends nothing any more", () => {
    const p = pair({ seed: "forget" });
    const { near, far } = linked(p);
    assert.deepEqual([near.hasKey, far.hasKey], [true, true]);
    const resource = p.ether.act(p.alice, () => near.sendResource(pattern(3000)));
    p.ether.act(p.alice, () => near.close());
    p.ether.run(10);
    assert.deepEqual([near.hasKey, far.hasKey, resource.state], [false, false, "failed"]);
    const sent = p.alice.counters.get("packets_sent");
    p.ether.act(p.alice, () => near.transmit(CONTEXT.none, pattern(3)));
    assert.equal(p.alice.counters.get("packets_sent"), sent);
    assert.throws(() => near.token, { code: "link_unknown" });
  });

  it("judges silence by the given intervals, and ignores its own question come back", () => {
    const p = pair({ seed: "liveness" });
    const { near } = linked(p);
    let question: Uint8Array | undefined;
    p.ether.tap = (frame) => {
      if (parsePacket(frame).context === CONTEXT.keepalive) question ??= frame.slice();
      return true;
    };
    p.ether.act(p.alice, () => near.setLiveness(1000, 3000));
    p.ether.run(1500);
    assert.ok(question !== undefined && near.activity.keepaliveAt > 0);
    p.ether.tap = () => false;
    p.ether.run(1000);
    const { inboundAt } = near.activity;
    p.alice.handle("ether", question, p.ether.now);
    assert.equal(near.activity.inboundAt, inboundAt);
    p.ether.run(20_000, () => near.state === "closed");
    assert.equal(near.closeReason, "timeout");
  });

  it("ends a stream at a chunk that inflates too far, and goes on with the link", () => {
    const p = pair({ seed: "bomb" });
    const { near, far } = linked(p);
    const got: number[] = [];
    let failure: string | undefined;
    const messages: number[] = [];
    const reader = new Buffers(far.channel());
    const failed = (reason: SpineError) => {
      failure = reason.code;
    };
    reader.read(1, (data) => got.push(data.length), failed);
    reader.onMessage = (type) => messages.push(type);
    const chunk = (bytes: number) => {
      const packed = packStreamMessage({ stream: 1, eof: false, data: bzip2(new Uint8Array(bytes)) });
      packed[0] = (packed[0] as number) | 0x40;
      return packed;
    };
    p.ether.act(p.alice, () => {
      for (const bytes of [16_384, 16_385, 100]) near.channel().send(STREAM_TYPE, chunk(bytes));
      near.channel().send(0x0101, utf8("after"));
    });
    p.ether.run(20_000, () => messages.length > 0);
    assert.deepEqual([got, failure, messages], [[16_384], "decompression_limit", [0x0101]]);
  });

  it("ends a stream with its last data when told so, or with a message of its own", () => {
    for (const withData of [true, false]) {
      const p = pair({ seed: "eof" });
      const { near, far } = linked(p);
      const ends: [number, boolean][] = [];
      new Buffers(far.channel()).read(2, (data, eof) => ends.push([data.length, eof]));
      p.ether.act(p.alice, () => {
        const writer = new Buffers(near.channel()).write(2);
        if (!withData) writer.write(pattern(500));
        writer.end(withData ? pattern(500) : undefined);
      });
      p.ether.run(20_000, () => ends.at(-1)?.[1] === true);
      const whole: [number, boolean][] = [
        [423, false],
        [77, withData],
      ];
      assert.deepEqual(ends, withData ? whole : [...whole, [0, true]]);
    }
  });

  it("refuses reserved message types, and takes an envelope whose length lies for what it holds", () => {
    const p = pair({ seed: "types" });
    const { near, far } = linked(p);
    const got: Uint8Array[] = [];
    far.channel().addHandler((_, payload) => got.push(payload) > 0);
    assert.throws(() => near.channel().send(0xf000, utf8("no")), { code: "internal" });
    const raw = packEnvelope({ type: 0x0101, sequence: 0, payload: utf8("whole") });
    raw[5] = 1;
    p.ether.act(p.bob, () => far.channel().handle(raw));
    assert.deepEqual(got, [utf8("whole")]);
  });

  it("lowers the highest channel window by loss, and no further than the protocol does", () => {
    const p = pair({ seed: "loss" });
    const { near, far } = linked(p);
    far.channel();
    const channel = near.channel();
    for (let i = 0; i < 12; i++) {
      p.ether.act(p.alice, () => channel.send(0x0101, utf8("x")));
      p.ether.run(5000, () => channel.unproved === 0);
    }
    assert.equal(channel.state.windowMax, 48);
    let lost = 3;
    p.ether.tap = (frame) => parsePacket(frame).context !== CONTEXT.channel || lost-- <= 0;
    p.ether.act(p.alice, () => channel.send(0x0101, utf8("late")));
    p.ether.run(60_000, () => channel.unproved === 0);
    assert.equal(channel.state.windowMax, 45);
  });

  it("tells a token with the right code and a wrong inside from a forged one, and refuses a short identity hash", () => {
    const key = new Uint8Array(64).fill(7);
    const token = new Token(key);
    const body = new Uint8Array(26);
    const signed = concatBytes(body, hmacSha256(key.subarray(0, 32), body));
    assert.deepEqual([token.isAuthentic(signed), token.decrypt(signed)], [true, undefined]);
    signed[0] = 1;
    assert.equal(token.isAuthentic(signed), false);
    assert.throws(() => destinationHash(nameHash("a.b"), new Uint8Array(15)), { code: "key_invalid" });
  });
});
