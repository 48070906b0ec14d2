/** What links do besides carrying data: files as answers, what compresses, what is forgotten, how silence is judged. */
import assert from "node:assert/strict";
import { FLAG, unpackAdvertisement } from "../../../planes/reticulum/stack/advertisement.ts";
import { pack } from "../../../planes/reticulum/stack/msgpack.ts";
import { CONTEXT, parsePacket } from "../../../planes/reticulum/stack/packet.ts";
import type { Response } from "../../../planes/reticulum/stack/request.ts";
import { equalBytes, utf8 } from "../../../spine/index.ts";
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
});
