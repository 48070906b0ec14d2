/**
 * A peer that breaks every rule, built on the same independent format as `stranger.mjs`. Each attack runs on a node of
 * its own with fresh keys. Commands come as JSON lines on stdin: {"op": NAME, "address": …, …}; each is answered by
 * {"event": NAME, …} when the attack is over. It ends with stdin.
 *
 * Attacks that serve ranges take `file`, JSON Lines of an honest issuer's envelopes, and twist what they serve.
 */
import { randomBytes } from "node:crypto";
import { readFile } from "node:fs/promises";
import { createInterface } from "node:readline";
import { startNode } from "./link.mjs";
import * as wire from "./wire.mjs";

const MAX_SEQ = Number.MAX_SAFE_INTEGER;
const wait = (ms) => new Promise((resolve) => setTimeout(resolve, ms));

/** Connects, says hello unless told not to, and resolves when the daemon has said its own. */
async function connect(address, { hello = true, onFrame = () => {} } = {}) {
  const key = new wire.Key();
  const seen = { byes: [], served: 0 };
  let link;
  const ready = Promise.withResolvers();
  const node = await startNode({
    onLink(opened) {
      link = opened;
      link.listen((bytes) => {
        const frame = wire.read(bytes);
        if (frame.type === "bye") seen.byes.push(frame.code);
        if (frame.type === "hello") ready.resolve();
        onFrame(frame, peer);
      });
      link.closed.then(ready.resolve);
      if (hello) link.send(wire.write.hello(key.public, key.sign(wire.helloMessage(link.localKey, link.remoteKey))));
    },
  });
  const peer = {
    node,
    key,
    seen,
    get link() {
      return link;
    },
  };
  await node.dial(address);
  await ready.promise;
  return peer;
}

async function leave(peer, name, fields = {}) {
  const closed = !peer.link.open;
  report(name, { closed, byes: peer.seen.byes, ...fields });
  await peer.node.stop();
}

async function honest(file) {
  return (await readFile(file, "utf8")).trimEnd().split("\n").map(wire.readEnvelope);
}

/** Claims a range and answers every request with what `twist` makes of it. */
async function serve(name, { address, chain, claim, head, twist, ms = 1_500 }) {
  const asked = Promise.withResolvers();
  let served = 0;
  const peer = await connect(address, {
    onFrame(frame, { link }) {
      if (frame.type !== "want") return;
      const part = chain.filter(({ seq }) => seq >= frame.from && seq <= frame.to).slice(0, frame.maxItems);
      if (part.length === 0) return link.send(wire.write.end(frame.request, 2));
      served++;
      link.send(wire.write.offer(frame.request, part.length, pack(part).length));
      for (let i = 0; i < part.length; i += SEGMENT) {
        const piece = part.slice(i, i + SEGMENT);
        const { from = piece[0].seq, records } = twist(piece);
        link.send(wire.write.segment(frame.request, from, piece.length, records));
      }
      link.send(wire.write.end(frame.request, 1));
      setTimeout(asked.resolve, 300);
    },
  });
  await peer.link.send(wire.write.inventory([{ issuer: wire.keyOf(chain[0].issuer), ranges: [claim], head }]));
  await Promise.race([asked.promise, wait(ms)]);
  await leave(peer, name, { served });
}

/** Links, signing bytes and hashes as they should be, but nobody's signature. */
function forgeOnto(last, count, issuer) {
  const forged = [];
  let [seq, prev] = [last.seq, last.hash];
  for (let i = 0; i < count; i++) {
    const fact = { schema: "aegis.spine.fact.note.v1", text: `forged ${i}` };
    forged.push(wire.makeEnvelope(null, ++seq, prev, fact, { forge: true, issuer }));
    prev = forged.at(-1).hash;
  }
  return forged;
}

const pack = (part) => Buffer.concat(part.map(wire.record));
const FORGED = 64;
const SEGMENT = 100;

const attacks = {
  /** Random bytes as frames, then as the stream itself. */
  async garbage({ address }) {
    const peer = await connect(address);
    for (let i = 0; i < 40 && peer.link.open; i++) await peer.link.send(randomBytes(1 + 37 * i));
    for (let i = 0; i < 20 && peer.link.open; i++) await peer.link.raw(randomBytes(4_096));
    await wait(200);
    await leave(peer, "garbage");
  },
  /** A frame that claims a length beyond every limit, and one that never ends. */
  async endless({ address }) {
    const huge = await connect(address);
    await huge.link.raw(Buffer.concat([wire.varint(MAX_SEQ), Buffer.alloc(4_096)]));
    await wait(200);
    const refused = !huge.link.open;
    await huge.node.stop();
    const peer = await connect(address);
    await peer.link.raw(wire.varint(524_287));
    for (let i = 0; i < 500 && peer.link.open; i++) await peer.link.raw(randomBytes(1_000));
    await leave(peer, "endless", { refused });
  },
  /** One byte at a time, for a while. */
  async trickle({ address }) {
    const peer = await connect(address);
    await peer.link.raw(wire.varint(500_000));
    for (let i = 0; i < 300 && peer.link.open; i++) {
      await peer.link.raw(Buffer.of(7));
      await wait(1);
    }
    await leave(peer, "trickle");
  },
  /** Forged envelopes linked forward from an honest head. */
  async "forged-forward"({ address, file }) {
    const chain = await honest(file);
    const forged = forgeOnto(chain.at(-1), FORGED, chain[0].issuer);
    const all = [...chain, ...forged];
    const claim = [1, all.at(-1).seq];
    await serve("forged-forward", { address, chain: all, claim, twist: (part) => ({ records: pack(part) }) });
  },
  /** Honest content, one signature in the middle of each segment spoilt. */
  async "bad-middle"({ address, file }) {
    const chain = await honest(file);
    const twist = (part) => {
      const spoilt = part.map((one, i) => (i === part.length >> 1 ? { ...one, signature: randomBytes(64) } : one));
      return { records: pack(spoilt) };
    };
    await serve("bad-middle", { address, chain, claim: [1, chain.length], twist });
  },
  /** Honest content, the last signature of each segment spoilt. */
  async "bad-last"({ address, file }) {
    const chain = await honest(file);
    const twist = (part) => ({
      records: pack(part.map((one, i) => (i === part.length - 1 ? { ...one, signature: randomBytes(64) } : one))),
    });
    await serve("bad-last", { address, chain, claim: [1, chain.length], twist });
  },
  /** An envelope changed under its neighbours' links. */
  async "wrong-hash"({ address, file }) {
    const chain = await honest(file);
    const twist = (part) => {
      const changed = part.map((one, i) =>
        i === part.length >> 1
          ? { ...one, signingBytes: Buffer.from(one.signingBytes.toString().replace("note ", "n0te ")) }
          : one,
      );
      return { records: pack(changed) };
    };
    await serve("wrong-hash", { address, chain, claim: [1, chain.length], twist });
  },
  /** Honest envelopes at the wrong place, or more of them than announced. */
  async "wrong-place"({ address, file }) {
    const chain = await honest(file);
    const twist = (part) => ({ from: part[0].seq + 1, records: pack(part) });
    await serve("wrong-place", { address, chain, claim: [1, chain.length], twist });
  },
  /** A claim of everything up to 2^53 − 1, and heads that say so without a valid signature. */
  async "huge-claim"({ address, issuer }) {
    const peer = await connect(address);
    const head = Buffer.concat([
      wire.keyOf(issuer),
      wire.varint(MAX_SEQ),
      randomBytes(32),
      wire.varint(1_700_000_000),
      randomBytes(64),
    ]);
    for (const ranges of [[[1, MAX_SEQ - 2]], [[MAX_SEQ - 3, MAX_SEQ - 2]], [[0, 0]]]) {
      await peer.link.send(wire.write.inventory([{ issuer: wire.keyOf(issuer), ranges, head }]));
    }
    await peer.link.send(wire.write.want(1, wire.keyOf(issuer), 1, MAX_SEQ, MAX_SEQ, MAX_SEQ));
    await wait(300);
    await leave(peer, "huge-claim");
  },
  /** Ten thousand and more issuers nobody knows, each of whom claims to have written for ever. */
  async strangers({ address, count }) {
    const peer = await connect(address);
    for (let done = 0; done < count && peer.link.open; done += 256) {
      const entries = Array.from({ length: Math.min(256, count - done) }, () => ({
        issuer: randomBytes(32),
        ranges: [[1, MAX_SEQ - 2]],
      }));
      await peer.link.send(wire.write.inventory(entries));
    }
    await wait(300);
    await leave(peer, "strangers");
  },
  /** Asks for much and reads nothing. */
  async "slow-reader"({ address, issuer }) {
    const peer = await connect(address);
    peer.link.stream.pause();
    for (let i = 1; i <= 400 && peer.link.open; i++) {
      peer.link.send(wire.write.want(i, wire.keyOf(issuer), 1, 1024, 1024, 524_288));
    }
    await wait(2_000);
    await leave(peer, "slow-reader");
  },
  /** Questions without end, on a link that does read. */
  async requests({ address, issuer, count }) {
    let answers = 0;
    const peer = await connect(address, {
      onFrame({ type }) {
        if (type === "end" || type === "hashes") answers++;
      },
    });
    for (let i = 1; i <= count && peer.link.open; i++) {
      const question =
        i % 2 === 0
          ? wire.write.want(i, wire.keyOf(issuer), 1, 64, 64, 65_536)
          : wire.write.askHashes(i, wire.keyOf(issuer), [1, 2, 3]);
      await peer.link.send(question);
    }
    await wait(300);
    await leave(peer, "requests", { answers });
  },
  /** The same honest envelopes pushed over and over. */
  async replays({ address, file, count }) {
    const records = (await honest(file)).slice(0, 100).map(wire.record);
    const peer = await connect(address);
    for (let i = 0; i < count && peer.link.open; i++) await peer.link.send(wire.write.push(records));
    await wait(300);
    await leave(peer, "replays");
  },
  /** Envelopes with signatures of nobody, pushed and on the topic. */
  async "forged-push"({ address, file }) {
    const chain = await honest(file);
    const forged = forgeOnto(chain.at(-1), 20, chain[0].issuer);
    const peer = await connect(address);
    for (const one of forged) await peer.link.send(wire.write.push([wire.record(one)]));
    for (let i = 0; i < 50 && peer.node.neighbours() === 0; i++) await wait(20);
    for (const one of forged) await peer.node.publish(wire.canonical(wire.envelopeObject(one))).catch(() => 0);
    await wait(300);
    await leave(peer, "forged-push");
  },
  /** A second hello, and frames before the first. */
  async hellos({ address }) {
    const early = await connect(address, { hello: false });
    for (let i = 0; i < 8; i++) await early.link.send(wire.write.askInventory([]));
    await wait(300);
    const silenced = !early.link.open;
    await early.node.stop();
    const peer = await connect(address);
    const { link, key } = peer;
    const again = wire.write.hello(key.public, key.sign(wire.helloMessage(link.localKey, link.remoteKey)));
    for (let i = 0; i < 8; i++) await link.send(again);
    await wait(300);
    await leave(peer, "hellos", { silenced });
  },
  /** A hello of an issuer whose key it does not have, and one replayed in the wrong direction. */
  async impostor({ address, issuer }) {
    let theirs;
    const peer = await connect(address, {
      hello: false,
      onFrame(frame) {
        if (frame.type === "hello") theirs = frame;
      },
    });
    await peer.link.send(wire.write.hello(wire.keyOf(issuer), theirs?.proof ?? randomBytes(64)));
    await Promise.race([peer.link.closed, wait(1_000)]);
    await leave(peer, "impostor");
  },
};

function report(event, fields = {}) {
  process.stdout.write(`${JSON.stringify({ event, ...fields })}\n`);
}

// A victim may drop the connection at any moment of an attack: that is an answer.
process.on("unhandledRejection", () => {});
report("ready", {});
for await (const line of createInterface({ input: process.stdin })) {
  const command = JSON.parse(line);
  try {
    await attacks[command.op](command);
  } catch (error) {
    report("failed", { op: command.op, message: error.stack });
  }
}
process.exit();
