/**
 * The published format, written anew from its description: canonical JSON, envelopes, heads, records, frames. Imports
 * nothing but node:crypto, so that what it makes and what it accepts is a second opinion on the project's own code.
 */
import { createHash, createPrivateKey, createPublicKey, randomBytes, sign, verify } from "node:crypto";

export const ENVELOPE = "aegis.spine.envelope.v1";
export const HEAD = "aegis.spine.head_announcement.v1";
const PKCS8 = Buffer.from("302e020100300506032b657004220420", "hex");
const SPKI = Buffer.from("302a300506032b6570032100", "hex");

export function sha256(bytes) {
  return createHash("sha256").update(bytes).digest();
}

// ---- JSON ----

/** RFC 8785: keys by UTF-16 code units, numbers and strings as JSON.stringify writes them. */
export function canonical(value) {
  if (Array.isArray(value)) return `[${value.map(canonical).join(",")}]`;
  if (typeof value !== "object" || value === null) return JSON.stringify(value);
  const keys = Object.keys(value).sort();
  return `{${keys.map((key) => `${JSON.stringify(key)}:${canonical(value[key])}`).join(",")}}`;
}

/** The parent's spelling: canonical JSON with everything but ASCII escaped. */
export function parentSpelling(value) {
  return canonical(value).replace(/[\x7f-\uffff]/g, (c) => `\\u${c.charCodeAt(0).toString(16).padStart(4, "0")}`);
}

// ---- keys ----

export class Key {
  constructor(seed = randomBytes(32)) {
    this.private = createPrivateKey({ key: Buffer.concat([PKCS8, seed]), format: "der", type: "pkcs8" });
    this.public = createPublicKey(this.private).export({ format: "der", type: "spki" }).subarray(-32);
    this.issuer = `aegis:ed25519:${this.public.toString("hex")}`;
  }
  sign(bytes) {
    return sign(null, bytes, this.private);
  }
}

export function keyOf(issuer) {
  return Buffer.from(issuer.slice("aegis:ed25519:".length), "hex");
}

export function isSigned(publicKey, bytes, signature) {
  const key = createPublicKey({ key: Buffer.concat([SPKI, publicKey]), format: "der", type: "spki" });
  return verify(null, bytes, key, signature);
}

// ---- envelopes and heads ----

/** What is signed is the canonical envelope without `envelope_hash` and `signature`. */
export function makeEnvelope(key, seq, prev, fact, { forge = false, issuer = key.issuer, at } = {}) {
  const body = {
    capability_token: null,
    fact,
    issued_at: at ?? `${new Date().toISOString().slice(0, 19)}Z`,
    issuer,
    prev_envelope_hash: prev,
    schema: ENVELOPE,
    seq,
  };
  const signingBytes = Buffer.from(canonical(body));
  const hash = `0x${sha256(signingBytes).toString("hex")}`;
  const signature = forge ? randomBytes(64) : key.sign(signingBytes);
  return { issuer, seq, prev, hash, signingBytes, signature, body };
}

/** The whole envelope as an object; `canonical` of it is its one text. */
export function envelopeObject({ body, hash, signature }) {
  return { ...body, envelope_hash: hash, signature: `0x${signature.toString("hex")}` };
}

/** Reads the text of a whole envelope. */
export function readEnvelope(text) {
  const { envelope_hash: hash, signature, ...body } = JSON.parse(text);
  const signingBytes = Buffer.from(canonical(body));
  return {
    issuer: body.issuer,
    seq: body.seq,
    prev: body.prev_envelope_hash,
    hash,
    signingBytes,
    signature: Buffer.from(signature.slice(2), "hex"),
    body,
  };
}

export function makeHead(key, seq, hash, sentAt = Math.floor(Date.now() / 1000)) {
  const time = new Date(sentAt * 1000).toISOString();
  const body = { head_hash: hash, issuer: key.issuer, schema: HEAD, sent_at: `${time.slice(0, 19)}Z`, seq };
  const signature = key.sign(Buffer.from(canonical(body)));
  const text = canonical({ ...body, signature: `0x${signature.toString("hex")}` });
  const binary = Buffer.concat([key.public, varint(seq), Buffer.from(hash.slice(2), "hex"), varint(sentAt), signature]);
  return { text, binary };
}

// ---- bytes ----

/** LEB128, shortest form. */
export function varint(value) {
  const bytes = [];
  let rest = value;
  while (rest >= 128) {
    bytes.push((rest % 128) + 128);
    rest = Math.floor(rest / 128);
  }
  return Buffer.from([...bytes, rest]);
}

export class Reader {
  constructor(bytes) {
    this.rest = Buffer.from(bytes);
  }
  bytes(length) {
    if (length > this.rest.length) throw new Error("frame ends early");
    const taken = this.rest.subarray(0, length);
    this.rest = this.rest.subarray(length);
    return taken;
  }
  u8() {
    return this.bytes(1)[0];
  }
  varint() {
    let value = 0;
    for (let scale = 1; ; scale *= 128) {
      const byte = this.u8();
      value += (byte & 127) * scale;
      if (byte < 128) return value;
    }
  }
  block() {
    return this.bytes(this.varint());
  }
}

/** u32 length of the signing bytes, the signing bytes, the signature. */
export function record({ signingBytes, signature }) {
  const length = Buffer.alloc(4);
  length.writeUInt32BE(signingBytes.length);
  return Buffer.concat([length, signingBytes, signature]);
}

export function readRecords(bytes) {
  const reader = new Reader(bytes);
  const records = [];
  while (reader.rest.length > 0) {
    const signingBytes = reader.bytes(reader.bytes(4).readUInt32BE());
    records.push({ signingBytes, signature: reader.bytes(64) });
  }
  return records;
}

// ---- frames: one type byte, then fields ----

const TYPE = {
  hello: 1,
  inventory: 2,
  askInventory: 3,
  want: 4,
  offer: 5,
  segment: 6,
  end: 7,
  push: 8,
  reconcile: 9,
  askHashes: 10,
  hashes: 11,
  fork: 12,
  bye: 13,
};
const frame = (type, ...parts) => Buffer.concat([Buffer.from([type]), ...parts]);

/** The proof covers both transport keys, ours first. */
export function helloMessage(sender, receiver) {
  const tag = Buffer.from("aegis.spine.hello.v1\0");
  return Buffer.concat([tag, Buffer.from([sender.length]), sender, Buffer.from([receiver.length]), receiver]);
}

export const write = {
  hello: (issuer, proof) => frame(TYPE.hello, Buffer.from([1, 1]), varint(524_288), issuer, proof),
  /** Entries: {issuer, ranges: [[from, to]], head?: binary}. */
  inventory: (entries) =>
    frame(
      TYPE.inventory,
      varint(entries.length),
      ...entries.map(({ issuer, ranges, head }) => {
        let floor = 0;
        const spans = ranges.flatMap(([from, to]) => {
          const span = [varint(from - floor), varint(to - from)];
          floor = to + 2;
          return span;
        });
        const flags = Buffer.from([head === undefined ? 0 : 1]);
        return Buffer.concat([issuer, varint(0), flags, varint(ranges.length), ...spans, head ?? Buffer.alloc(0)]);
      }),
    ),
  askInventory: (issuers) => frame(TYPE.askInventory, varint(issuers.length), ...issuers),
  want: (request, issuer, from, to, maxItems, maxBytes) =>
    frame(TYPE.want, varint(request), issuer, varint(from), varint(to - from), varint(maxItems), varint(maxBytes)),
  offer: (request, count, bytes) => frame(TYPE.offer, varint(request), varint(count), varint(bytes)),
  segment: (request, from, count, records) =>
    frame(TYPE.segment, varint(request), varint(from), varint(count), records),
  /** 0 done, 1 limit, 2 none, 3 busy. */
  end: (request, reason) => frame(TYPE.end, varint(request), Buffer.from([reason])),
  push: (records) => frame(TYPE.push, varint(records.length), ...records.flatMap((one) => [varint(one.length), one])),
  askHashes: (request, issuer, seqs) =>
    frame(TYPE.askHashes, varint(request), issuer, varint(seqs.length), ...seqs.map(varint)),
};

export function read(bytes) {
  const reader = new Reader(bytes);
  const type = reader.u8();
  const name = Object.keys(TYPE).find((key) => TYPE[key] === type);
  const body = READ[name]?.(reader) ?? {};
  if (READ[name] !== undefined && reader.rest.length > 0) throw new Error(`trailing bytes in ${name}`);
  return { type: name, ...body };
}

const READ = {
  hello: (r) => ({ min: r.u8(), max: r.u8(), maxFrame: r.varint(), issuer: r.bytes(32), proof: r.bytes(64) }),
  inventory: (r) => ({
    entries: Array.from({ length: r.varint() }, () => {
      const entry = { issuer: r.bytes(32), prunedBelow: r.varint(), flags: r.u8(), ranges: [] };
      let floor = 0;
      for (let left = r.varint(); left > 0; left--) {
        const from = floor + r.varint();
        const to = from + r.varint();
        entry.ranges.push([from, to]);
        floor = to + 2;
      }
      if (entry.flags & 2) entry.frozenAt = r.varint();
      if (entry.flags & 1) {
        entry.head = {
          issuer: r.bytes(32),
          seq: r.varint(),
          hash: r.bytes(32),
          sentAt: r.varint(),
          signature: r.bytes(64),
        };
      }
      return entry;
    }),
  }),
  askInventory: (r) => ({ issuers: Array.from({ length: r.varint() }, () => r.bytes(32)) }),
  want: (r) => {
    const [request, issuer, from] = [r.varint(), r.bytes(32), r.varint()];
    return { request, issuer, from, to: from + r.varint(), maxItems: r.varint(), maxBytes: r.varint() };
  },
  offer: (r) => ({ request: r.varint(), count: r.varint(), bytes: r.varint() }),
  segment: (r) => {
    const [request, from, count] = [r.varint(), r.varint(), r.varint()];
    return { request, from, count, records: readRecords(r.bytes(r.rest.length)) };
  },
  end: (r) => ({ request: r.varint(), reason: r.u8() }),
  push: (r) => ({ records: Array.from({ length: r.varint() }, () => readRecords(r.block())[0]) }),
  bye: (r) => ({ code: r.block().toString(), message: r.block().toString() }),
};
