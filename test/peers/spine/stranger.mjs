/**
 * An independent Spine peer: knows only the published format, imports nothing of this project. Commands come as JSON
 * lines on stdin ({"op": …}), reports go as JSON lines to stdout ({"event": …}). It ends with stdin.
 *
 * | op                            | does                                                                          |
 * |-------------------------------|-------------------------------------------------------------------------------|
 * | dial {address}                | connects; says hello with its own issuer key when the stream opens            |
 * | extend {count, text?}         | adds envelopes to its own chain; reports `extended`                           |
 * | announce {}                   | tells the peer what it holds, with a signed head (also when asked)            |
 * | gossip {seq, form}            | broadcasts an envelope of its chain, `canonical`, `parent` or `spaced`        |
 * | gossip-head {}                | broadcasts a signed head                                                      |
 * | push {seqs}                   | sends envelopes unasked on the link                                           |
 * | fetch {issuer, from, to}      | asks for a range and checks all of it; reports `fetched`                      |
 *
 * It reports `hello` (with the verdict on the peer's proof), `inventory`, `served`, `gossip` and `bye` as they happen.
 */
import { createInterface } from "node:readline";
import { startNode } from "./link.mjs";
import * as wire from "./wire.mjs";

const key = new wire.Key();
const chain = [];
let link = null;
let nextRequest = 1;
const requests = new Map();

function report(event, fields = {}) {
  process.stdout.write(`${JSON.stringify({ event, ...fields })}\n`);
}

const handlers = {
  hello({ min, max, issuer, proof }) {
    const signed = wire.isSigned(issuer, wire.helloMessage(link.remoteKey, link.localKey), proof);
    report("hello", { issuer: `aegis:ed25519:${issuer.toString("hex")}`, signed, versions: [min, max] });
  },
  inventory({ entries }) {
    for (const { issuer, ranges, head } of entries) {
      const name = `aegis:ed25519:${issuer.toString("hex")}`;
      report("inventory", { issuer: name, ranges, head: head && checkHead(name, head) });
    }
  },
  askInventory({ issuers }) {
    if (issuers.some((issuer) => issuer.equals(key.public)) && chain.length > 0) announce();
  },
  want({ request, issuer, from, to, maxItems, maxBytes }) {
    const own = issuer.equals(key.public);
    const wanted = own ? chain.filter(({ seq }) => seq >= from && seq <= to).slice(0, maxItems) : [];
    let bytes = 0;
    const given = wanted.filter((one) => {
      bytes += wire.record(one).length;
      return bytes <= maxBytes;
    });
    if (given.length === 0) return link.send(wire.write.end(request, 2));
    link.send(wire.write.offer(request, given.length, bytes));
    for (let i = 0; i < given.length; i += 100) {
      const part = given.slice(i, i + 100);
      link.send(wire.write.segment(request, part[0].seq, part.length, Buffer.concat(part.map(wire.record))));
    }
    link.send(wire.write.end(request, given.at(-1).seq === to ? 0 : 1));
    report("served", { from, to, count: given.length });
  },
  offer({ request, count, bytes }) {
    const open = requests.get(request);
    open.offered = count;
    open.offeredBytes = bytes;
  },
  segment({ request, from, records }) {
    const open = requests.get(request);
    if (open.offered === undefined) open.faults.push("a segment before its offer");
    for (const [i, one] of records.entries()) {
      const fault = checkRecord(open, from + i, one);
      if (fault !== null) open.faults.push(fault);
    }
  },
  end({ request, reason }) {
    const { faults, hashes, offered, next } = requests.get(request);
    if (offered !== hashes.length) faults.push(`offered ${offered}, sent ${hashes.length}`);
    report("fetched", { count: hashes.length, last: hashes.at(-1) ?? null, next, reason, faults });
    requests.delete(request);
  },
  bye({ code, message }) {
    report("bye", { code, message });
  },
};

function checkHead(issuer, { seq, hash, sentAt, signature }) {
  const time = new Date(sentAt * 1000).toISOString();
  const text = wire.canonical({
    head_hash: `0x${hash.toString("hex")}`,
    issuer,
    schema: wire.HEAD,
    sent_at: `${time.slice(0, 19)}Z`,
    seq,
  });
  return {
    seq,
    hash: `0x${hash.toString("hex")}`,
    signed: wire.isSigned(wire.keyOf(issuer), Buffer.from(text), signature),
  };
}

/** Everything an envelope of a fetched range must satisfy, signature included. Returns the fault or null. */
function checkRecord(open, seq, { signingBytes, signature }) {
  const body = JSON.parse(signingBytes.toString());
  const hash = `0x${wire.sha256(signingBytes).toString("hex")}`;
  const previous = open.hashes.at(-1);
  open.hashes.push(hash);
  open.next = seq + 1;
  if (wire.canonical(body) !== signingBytes.toString()) return `seq ${seq} is not canonical`;
  if (body.issuer !== open.issuer || body.seq !== seq || body.schema !== wire.ENVELOPE) return `seq ${seq} is another`;
  if (previous !== undefined && body.prev_envelope_hash !== previous) return `seq ${seq} does not link`;
  if (seq === 1 && body.prev_envelope_hash !== null) return "seq 1 has a predecessor";
  return wire.isSigned(wire.keyOf(open.issuer), signingBytes, signature) ? null : `seq ${seq} is not signed`;
}

const node = await startNode({
  onLink(opened) {
    link = opened;
    link.listen((bytes) => {
      const frame = wire.read(bytes);
      handlers[frame.type]?.(frame);
    });
    link.closed.then(() => report("closed"));
    link.send(wire.write.hello(key.public, key.sign(wire.helloMessage(link.localKey, link.remoteKey))));
  },
  onGossip(data) {
    const value = JSON.parse(data.toString());
    const { signature, envelope_hash: hash, ...body } = value;
    const bytes = Buffer.from(wire.canonical(body));
    const signed = wire.isSigned(wire.keyOf(value.issuer), bytes, Buffer.from(signature.slice(2), "hex"));
    const spelled = wire.canonical(value) === data.toString();
    const hashed = hash === undefined || hash === `0x${wire.sha256(bytes).toString("hex")}`;
    report("gossip", { schema: value.schema, issuer: value.issuer, seq: value.seq, ok: signed && spelled && hashed });
  },
});

function ownHead() {
  return wire.makeHead(key, chain.at(-1).seq, chain.at(-1).hash);
}

function announce() {
  return link.send(wire.write.inventory([{ issuer: key.public, ranges: [[1, chain.length]], head: ownHead().binary }]));
}

const SPELLINGS = {
  canonical: wire.canonical,
  parent: wire.parentSpelling,
  spaced: (value) => JSON.stringify(value, null, 1),
};

const commands = {
  dial: ({ address }) => node.dial(address),
  extend({ count, text = "from afar" }) {
    for (let i = 0; i < count; i++) {
      const fact = {
        schema: "aegis.spine.fact.note.v1",
        text: `${text} ${chain.length}`,
        weight: 0.1,
        ключ: [null, true],
      };
      chain.push(wire.makeEnvelope(key, chain.length + 1, chain.at(-1)?.hash ?? null, fact));
    }
    report("extended", { seq: chain.length, hashes: chain.map(({ hash }) => hash) });
  },
  announce,
  async gossip({ seq, form }) {
    while (node.neighbours() === 0) await new Promise((resolve) => setTimeout(resolve, 20));
    report("gossiped", { to: await node.publish(SPELLINGS[form](wire.envelopeObject(chain[seq - 1]))) });
  },
  async "gossip-head"() {
    while (node.neighbours() === 0) await new Promise((resolve) => setTimeout(resolve, 20));
    report("gossiped", { to: await node.publish(ownHead().text) });
  },
  async push({ seqs }) {
    await link.send(wire.write.push(seqs.map((seq) => wire.record(chain[seq - 1]))));
  },
  async fetch({ issuer, from, to }) {
    const request = nextRequest++;
    requests.set(request, { issuer, hashes: [], faults: [], next: from });
    await link.send(wire.write.want(request, wire.keyOf(issuer), from, to, 1024, 524_288));
  },
};

report("ready", { id: node.id, issuer: key.issuer });
for await (const line of createInterface({ input: process.stdin })) {
  try {
    const command = JSON.parse(line);
    await commands[command.op](command);
  } catch (error) {
    report("failed", { message: error.stack });
  }
}
process.exit();
