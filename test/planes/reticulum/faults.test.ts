/** Bad input (decoders by themselves: test/fuzz): forged and replayed packets, lying peers, bombs. Everything is dropped and counted. */
import assert from "node:assert/strict";
import fc from "fast-check";
import {
  FLAG,
  packAdvertisement,
  packHashmapUpdate,
  packPartRequest,
} from "../../../planes/reticulum/stack/advertisement.ts";
import { sha256 } from "../../../planes/reticulum/stack/crypto.ts";
import { encodeSignalling, linkRequestPacket, makeLinkKeys } from "../../../planes/reticulum/stack/handshake.ts";
import { Identity } from "../../../planes/reticulum/stack/identity.ts";
import { type Packable, pack, unpack } from "../../../planes/reticulum/stack/msgpack.ts";
import { CONTEXT } from "../../../planes/reticulum/stack/packet.ts";
import { concatBytes, equalBytes, fromHex, SpineError } from "../../../spine/index.ts";
import { seededRandom } from "./ether.ts";
import { linked, pair, pattern } from "./pair.ts";

/** Raised by hand for long runs; small in CI. */
const RUNS = Number(process.env["SPINE_FUZZ_RUNS"] ?? 300);

/** True when it threw, and then only a coded error. */
function refuses(task: () => unknown): boolean {
  try {
    task();
    return false;
  } catch (caught) {
    assert.ok(caught instanceof SpineError, String(caught));
    return true;
  }
}

describe("reticulum MessagePack", () => {
  const values: fc.Arbitrary<Packable> = fc.letrec<{ value: Packable }>((tie) => ({
    value: fc.oneof(
      { depthSize: "small" },
      fc.constant(null),
      fc.boolean(),
      fc.maxSafeInteger(),
      fc.string(),
      fc.uint8Array(),
      fc.array(tie("value"), { maxLength: 20 }),
    ),
  })).value;
  it("reads back what it writes, and refuses every truncation", () => {
    fc.assert(
      fc.property(values, (value) => {
        const bytes = pack(value);
        assert.deepEqual(unpack(bytes), value);
        for (let n = 0; n < bytes.length; n++) assert.ok(refuses(() => unpack(bytes.subarray(0, n))));
      }),
      { numRuns: RUNS },
    );
  });
});

describe("reticulum endpoint under attack", () => {
  it("survives noise and damaged copies of real traffic", () => {
    const p = pair({ seed: "noise" });
    const frames: Uint8Array[] = [];
    p.ether.tap = (frame) => {
      frames.push(frame.slice());
      return true;
    };
    const { near, far } = linked(p);
    far.acceptResource = () => true;
    p.ether.act(p.alice, () => near.sendResource(pattern(3000)));
    p.ether.run(5000);
    p.ether.tap = undefined;
    const random = seededRandom("noise/damage");
    for (let i = 0; i < RUNS * 5; i++) {
      const [a = 0, b = 0, c = 0, d = 0] = random(4);
      const frame = (frames[(a * 256 + b) % frames.length] as Uint8Array).slice();
      frame[(c * 7 + d) % frame.length] = a ^ d;
      for (const endpoint of [p.alice, p.bob])
        endpoint.handle("ether", i % 3 === 0 ? random(1 + b) : frame, p.ether.now);
    }
    const receipt = p.ether.act(p.alice, () => p.alice.send(p.service.hash, pattern(10)));
    p.ether.run(1000);
    assert.equal(receipt.state, "delivered");
    assert.equal(p.bob.counters.get("handler_failed"), undefined);
  });

  it("takes a replayed packet once and a replayed announce not at all", () => {
    const p = pair({ seed: "replay" });
    let packets = 0;
    p.service.onPacket = () => packets++;
    const frames: Uint8Array[] = [];
    p.ether.tap = (frame) => {
      frames.push(frame.slice());
      return true;
    };
    p.ether.act(p.alice, () => p.alice.send(p.service.hash, pattern(10)));
    p.ether.run(1100);
    p.ether.act(p.bob, () => p.bob.announce(p.service));
    p.ether.run(100);
    const accepted = p.alice.counters.get("announces_accepted");
    for (const frame of frames) {
      p.bob.handle("ether", frame, p.ether.now);
      p.alice.handle("ether", frame, p.ether.now);
    }
    assert.equal(packets, 1);
    assert.equal(p.alice.counters.get("announces_accepted"), accepted);
    assert.ok((p.bob.counters.get("drop_duplicate") ?? 0) > 0);
    assert.ok((p.alice.counters.get("drop_announce_stale") ?? 0) > 0);
  });

  it("takes no forged proof for a delivery", () => {
    const p = pair({ seed: "forged" });
    p.ether.tap = (frame) => ((frame[0] as number) & 3) !== 3;
    const receipt = p.ether.act(p.alice, () => p.alice.send(p.service.hash, pattern(10)));
    const forger = Identity.create(seededRandom("forger"));
    const proof = concatBytes(
      Uint8Array.of(3, 0),
      receipt.hash.subarray(0, 16),
      Uint8Array.of(0),
      forger.sign(receipt.hash),
    );
    p.alice.handle("ether", proof, p.ether.now);
    assert.equal(receipt.state, "sent");
    assert.equal(p.alice.counters.get("drop_proof_invalid"), 1);
  });

  it("keeps room for honest links when requests alone flood it", () => {
    const p = pair({ seed: "flood" });
    const random = seededRandom("flood/keys");
    for (let i = 0; i < 1100; i++) {
      const raw = linkRequestPacket(p.service.hash, makeLinkKeys(random), encodeSignalling(500));
      p.bob.handle("ether", raw, p.ether.now);
    }
    assert.equal(p.bob.links.size, 1024);
    const { far } = linked(p);
    assert.equal(far.isUp, true);
    assert.ok((p.bob.counters.get("drop_table_full") ?? 0) >= 76);
  });

  it("survives a linked peer that says anything in any context", () => {
    const p = pair({ seed: "insider" });
    const { near, far } = linked(p);
    near.acceptResource = () => true;
    near.channel();
    fc.assert(
      fc.property(fc.integer({ min: 0, max: 255 }), fc.uint8Array({ maxLength: 431 }), (context, bytes) => {
        if (context === CONTEXT.linkClose) return;
        p.ether.act(p.bob, () => far.transmit(context, bytes));
        p.ether.run(3);
      }),
      { numRuns: RUNS * 2 },
    );
    assert.equal(near.state, "active");
    assert.ok(near.resources.incoming <= 8);
  });
});

describe("reticulum resources from liars", () => {
  const base = {
    hash: sha256(pattern(1)),
    randomHash: new Uint8Array(4),
    originalHash: sha256(pattern(1)),
    segment: 1,
    segments: 1,
    requestId: null,
    flags: FLAG.encrypted,
  };

  it("inflates no bomb beyond what was advertised", () => {
    const p = pair({ seed: "bomb" });
    const { near, far } = linked(p);
    far.acceptResource = () => true;
    const reasons: string[] = [];
    far.onResourceFailed = (_, reason) => reasons.push(reason.code);
    // A few bytes that inflate to 300,000 zeros.
    const bomb = fromHex(
      "425a6839314159265359df474d6f00024c4080c00004000008200030cc0529a61446c4511e2ee48a70a121be8e9ade",
    );
    const stream = near.token.encrypt(concatBytes(new Uint8Array(4), bomb), seededRandom("bomb/iv"));
    const hashmap = sha256(concatBytes(stream, base.randomHash)).subarray(0, 4);
    const flags = FLAG.encrypted | FLAG.compressed;
    const lie = { ...base, flags, transferBytes: stream.length, parts: 1, totalBytes: 1000, hashmap };
    p.ether.act(p.alice, () => {
      near.transmit(CONTEXT.resourceAdvertisement, packAdvertisement(lie));
      near.transmit(CONTEXT.resource, stream, "clear");
    });
    p.ether.run(50);
    assert.deepEqual(reasons, ["decompression_limit"]);
    assert.equal(p.bob.counters.get("drop_resource_invalid"), 1);
    assert.equal(far.resources.incoming, 0);
  });

  it("gives up on parts that never come, without holding what was promised", () => {
    const p = pair({ seed: "promise" });
    const { near, far } = linked(p);
    far.acceptResource = () => true;
    const reasons: string[] = [];
    far.onResourceFailed = (_, reason) => reasons.push(reason.code);
    const lie = {
      ...base,
      transferBytes: 1_048_640,
      parts: Math.ceil(1_048_640 / 464),
      totalBytes: 1_048_575,
      hashmap: pattern(74 * 4),
    };
    p.ether.act(p.alice, () => near.transmit(CONTEXT.resourceAdvertisement, packAdvertisement(lie)));
    p.ether.run(600_000, () => reasons.length > 0);
    assert.deepEqual(reasons, ["resource_failed"]);
    for (let i = 0; i < 20; i++) {
      const another = { ...lie, hash: sha256(pattern(i)), originalHash: sha256(pattern(i)) };
      p.ether.act(p.alice, () => near.transmit(CONTEXT.resourceAdvertisement, packAdvertisement(another)));
    }
    p.ether.run(10);
    assert.equal(far.resources.incoming, 8);
    assert.ok((p.bob.counters.get("drop_resource_refused") ?? 0) >= 12);
  });

  it("ends a resource without end", () => {
    const p = pair({ seed: "endless" });
    const { near, far } = linked(p);
    far.acceptResource = () => true;
    const reasons: string[] = [];
    let received = 0;
    far.onResourceFailed = (_, reason) => reasons.push(reason.code);
    far.onResource = () => received++;
    const random = seededRandom("endless/iv");
    for (let segment = 1; segment <= 20 && reasons.length === 0; segment++) {
      const body = pattern(300);
      const randomHash = random(4);
      const stream = near.token.encrypt(concatBytes(random(4), body), random);
      const hash = sha256(concatBytes(body, randomHash));
      const hashmap = sha256(concatBytes(stream, randomHash)).subarray(0, 4);
      const about = { segment, segments: 65_535, totalBytes: 1000, transferBytes: stream.length, parts: 1 };
      const originalHash = sha256(pattern(2));
      const advertisement = { ...base, ...about, hash, originalHash, randomHash, hashmap };
      p.ether.act(p.alice, () => {
        near.transmit(CONTEXT.resourceAdvertisement, packAdvertisement(advertisement));
        near.transmit(CONTEXT.resource, stream, "clear");
      });
      p.ether.run(10);
    }
    assert.deepEqual(reasons, ["resource_failed"]);
    assert.equal(received, 0);
  });

  it("cancels a receiver that lies about its hashmap, and ignores updates nobody asked for", () => {
    const p = pair({ seed: "hashmap" });
    const { near, far } = linked(p);
    far.acceptResource = () => true;
    let state = "";
    const sent = p.ether.act(p.alice, () => near.sendResource(pattern(100_000)));
    sent.onConcluded = () => {
      state = sent.failure?.code ?? "complete";
    };
    const hash = sent.hash as Uint8Array;
    p.ether.act(p.bob, () =>
      far.transmit(CONTEXT.resourceRequest, packPartRequest({ hash, lastKnown: 7, wanted: [] })),
    );
    p.ether.run(20);
    assert.equal(state, "resource_failed");
    const honest = p.ether.act(p.alice, () => near.sendResource(pattern(100_000)));
    p.ether.run(4);
    for (const segment of [0, 1, 2, 5000]) {
      const update = { hash: honest.hash as Uint8Array, segment, hashes: pattern(296) };
      if (segment !== 1)
        p.ether.act(p.alice, () => near.transmit(CONTEXT.resourceHashmapUpdate, packHashmapUpdate(update)));
    }
    let got: Uint8Array | undefined;
    far.onResource = ({ data }) => {
      got = data;
    };
    p.ether.run(60_000, () => honest.state === "complete" || honest.state === "failed");
    assert.equal(honest.state, "complete");
    assert.ok(got !== undefined && equalBytes(got, pattern(100_000)));
    assert.ok((p.bob.counters.get("drop_resource_part") ?? 0) >= 3);
  });
});

describe("reticulum over years", () => {
  it("leaves nothing behind after 10,000 links and wires that come and go", () => {
    const p = pair({ seed: "flap" });
    const wire = { id: "ether", bitrate: 1_000_000, hardwareMtu: 500, signalsMtu: false };
    for (let i = 0; i < 10_000; i++) {
      if (i % 100 !== 0) {
        for (const endpoint of [p.alice, p.bob]) {
          p.ether.act(endpoint, () => endpoint.detach("ether"));
          p.ether.act(endpoint, () => endpoint.attach(wire));
        }
        continue;
      }
      const { near } = linked(p);
      if (i % 200 === 0) p.ether.act(p.alice, () => p.alice.detach("ether"));
      p.ether.act(p.alice, () => p.alice.attach(wire));
      p.ether.act(p.alice, () => near.close());
      p.ether.act(p.bob, () => p.bob.detach("ether"));
      p.ether.act(p.bob, () => p.bob.attach(wire));
    }
    assert.deepEqual([p.alice.links.size, p.bob.links.size], [0, 0]);
    assert.deepEqual([p.alice.waitingTimers, p.bob.waitingTimers], [0, 0]);
  }).timeout(60_000);
});
