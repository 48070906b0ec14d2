/** The byte scanner against the parser: whatever it accepts, the slow path accepts with the same fields. */
import assert from "node:assert/strict";
import fc from "fast-check";
import {
  canonicalText,
  type Json,
  type JsonObject,
  nobleSha256Hex,
  openEnvelope,
  parseJson,
  type ScannedEnvelope,
  scanSigningBytes,
  utf8,
  utf8Text,
} from "../../spine/index.ts";
import { outcome } from "../helpers/throws.ts";
import { anyJson } from "./arbitraries.ts";

const KEY = "e4e60e77300211a4fe965edd1434b482b6183004370c06ef32db84cda284b67f";
const KEY_2 = "9dc63b3df65e59654ed4b0fa76faffdc71d4439beab1a0f389ad3a4708194bea";
const HASH = `0x${"a7".repeat(32)}`;

const scan = (text: string | Uint8Array): ScannedEnvelope | undefined => {
  const bytes = typeof text === "string" ? utf8(text) : text;
  // Neighbours on both sides, as in a packed record.
  const packed = new Uint8Array(bytes.length + 40).fill(0x22);
  packed.set(bytes, 20);
  return scanSigningBytes(packed, 20, 20 + bytes.length);
};

/** The fields by way of parser and canonicaliser, or undefined when those refuse. */
function slow(bytes: Uint8Array): ScannedEnvelope | undefined {
  let fields: ScannedEnvelope | undefined;
  if (
    outcome(() => {
      const value = parseJson(bytes) as JsonObject;
      const whole = { ...value, envelope_hash: `0x${nobleSha256Hex(bytes)}`, signature: "00".repeat(64) };
      const { issuer, seq, prev, issuedAt, issuedAtMs, factSchema, signingBytes } = openEnvelope(
        JSON.stringify(whole),
        nobleSha256Hex,
      );
      if (canonicalText(value) !== utf8Text(bytes) || utf8Text(signingBytes) !== utf8Text(bytes)) return;
      const token = value["capability_token"];
      const capabilityToken = token === undefined ? "absent" : token === null ? "null" : "object";
      fields = { issuer, seq, prev, issuedAt, issuedAtMs, factSchema, capabilityToken };
    }) !== "ok"
  )
    return undefined;
  return fields;
}

const envelope = (change: Record<string, unknown> = {}): string => {
  const all: Record<string, unknown> = {
    capability_token: null,
    fact: { load: [0.25, 1.5, 3], ok: true, schema: "aegis.spine.fact.heartbeat.v1", uptime_secs: 86400 },
    issued_at: "2026-01-01T00:00:00Z",
    issuer: `aegis:ed25519:${KEY}`,
    prev_envelope_hash: HASH,
    schema: "aegis.spine.envelope.v1",
    seq: 7,
    ...change,
  };
  return canonicalText(Object.fromEntries(Object.entries(all).filter(([, v]) => v !== undefined)) as Json);
};

/** A fact given as text, so that spellings can be tried which no writer would make. */
const withFact = (fact: string): string => envelope({ fact: {} }).replace('"fact":{}', `"fact":${fact}`);

/** JSON that is mostly within the scanner's reach: short ASCII keys and strings, plain numbers. */
const plainJson: fc.Arbitrary<Json> = fc.letrec<{ value: Json }>((tie) => ({
  value: fc.oneof(
    { maxDepth: 5, depthSize: "medium" },
    fc.constantFrom<Json>(null, true, false, 0, -1, 1.5, 1e-6, 123456789012345, 1e15, 1e20, 1e-7, -0.001),
    fc.integer(),
    fc.double({ noNaN: true, noDefaultInfinity: true }).map((x) => Number(x.toPrecision(6)) + 0),
    fc.string({ maxLength: 12 }),
    fc.string({ unit: "grapheme", maxLength: 6 }),
    fc.constantFrom('"', "\\", "\n\t\b\f\r", "\u0000\u001f\u000b", "/"),
    fc.array(tie("value"), { maxLength: 4 }),
    fc
      .array(fc.tuple(fc.stringMatching(/^[a-z_]{0,6}$/), tie("value")), { maxLength: 5 })
      .map((entries) => Object.fromEntries(entries) as Json),
  ),
})).value;

/** Mostly the usual value, now and then another. */
function usually<T>(usual: T, ...others: T[]): fc.Arbitrary<T> {
  return fc.oneof({ weight: 8, arbitrary: fc.constant(usual) }, { weight: 1, arbitrary: fc.constantFrom(...others) });
}
const plainKey = fc.oneof(fc.stringMatching(/^[A-Za-z_]{0,8}$/), fc.constant("schema"));

const anyEnvelope: fc.Arbitrary<string> = fc
  .record({
    fact: fc.oneof(
      { weight: 5, arbitrary: fc.dictionary(plainKey, plainJson) },
      { weight: 1, arbitrary: fc.dictionary(fc.string({ maxLength: 8 }), anyJson) },
    ),
    capability_token: fc.oneof(fc.constantFrom(null, undefined), fc.dictionary(plainKey, plainJson)),
    issued_at: usually("2026-01-01T00:00:00Z", "2026-01-01 00:00:00.5+02:00", "never", "2026-02-30T00:00:00Z"),
    issuer: usually(KEY, KEY_2, KEY.toUpperCase(), "00".repeat(32)).map((key) => `aegis:ed25519:${key}`),
    prev_envelope_hash: usually<unknown>(HASH, null, HASH.toUpperCase(), "", 1),
    seq: fc.oneof(
      { weight: 8, arbitrary: fc.maxSafeNat() },
      { weight: 1, arbitrary: fc.constantFrom<unknown>(0, 1, 2 ** 53, -1, "1", 1.5) },
    ),
  })
  .map((change) => envelope(change));

/** Replaces, inserts or deletes one byte, by preference one that matters to the grammar. */
const mutation = fc.record({
  at: fc.double({ min: 0, max: 1, maxExcluded: true, noNaN: true }),
  byte: fc.oneof(
    fc.constantFrom(...'"\\{}[],:0123456789.eE+- \n\u007ftfnua').map((c) => c.charCodeAt(0)),
    fc.integer({ min: 0, max: 255 }),
  ),
  how: fc.constantFrom("replace", "insert", "delete"),
});

function mutate(bytes: Uint8Array, m: { at: number; byte: number; how: string }): Uint8Array {
  const at = Math.floor(m.at * bytes.length);
  const added = m.how === "delete" ? [] : [m.byte];
  return Uint8Array.from([...bytes.subarray(0, at), ...added, ...bytes.subarray(m.how === "insert" ? at : at + 1)]);
}

describe("scanSigningBytes", () => {
  it("reads the usual envelope", () => {
    assert.deepEqual(scan(envelope()), {
      issuer: `aegis:ed25519:${KEY}`,
      seq: 7,
      prev: HASH,
      issuedAt: "2026-01-01T00:00:00Z",
      issuedAtMs: Date.UTC(2026, 0, 1),
      factSchema: "aegis.spine.fact.heartbeat.v1",
      capabilityToken: "null",
    });
    assert.equal(scan(envelope({ capability_token: undefined }))?.capabilityToken, "absent");
    assert.equal(scan(envelope({ capability_token: { scopes: ["a"], schema: "t" } }))?.capabilityToken, "object");
    assert.equal(scan(envelope({ capability_token: { schema: "t" }, fact: {} }))?.factSchema, "");
    assert.equal(scan(envelope({ fact: { a: { schema: "inner" }, b: [{ schema: "inner" }] } }))?.factSchema, "");
    assert.equal(scan(envelope({ prev_envelope_hash: null, seq: 0 }))?.prev, null);
    assert.equal(scan(envelope({ seq: Number.MAX_SAFE_INTEGER }))?.seq, Number.MAX_SAFE_INTEGER);
  });
  it("keeps no field of the last envelope", () => {
    const other = envelope({
      issuer: `aegis:ed25519:${KEY_2}`,
      issued_at: "2026-01-01T00:00:01Z",
      fact: { schema: "aegis.spine.fact.heartbeat.v2" },
      prev_envelope_hash: HASH.replace("a7", "a8"),
    });
    for (const text of [envelope(), other, envelope(), envelope({ fact: {} }), other])
      assert.deepEqual(scan(text), slow(utf8(text)));
  });
  it("takes every spelling that canonical JSON has and no other", () => {
    const taken = [
      "{}",
      '{"a":[],"b":{},"c":[[],{}],"d":""}',
      '{"":0,"a":1,"aa":2,"b":-3}',
      '{"A":"\\"\\\\\\b\\f\\n\\r\\t\\u0000\\u000b\\u000e\\u000f\\u0010\\u001f/"}',
      '{"a":0.1,"b":-0.000001,"c":123456789012345,"d":12345.0000000001,"e":0.00000123456789012345}',
      '{"a":"\u00a0é\u07ff\u0800\ud7ff\ue000\uffff\u{10000}\u{10ffff}\ufeff\u2028"}',
      '{"a":[true,false,null,[1,[2,[3]]]]}',
    ];
    const refused = [
      "[]",
      "null",
      '{"a":1,"a":1}',
      '{"b":1,"a":1}',
      '{"aa":1,"a":1}',
      '{"a":1,"":1}',
      '{"a" :1}',
      '{"a": 1}',
      '{"a":1,}',
      '{"a":[1,]}',
      '{,"a":1}',
      '{"a"}',
      '{"a":}',
      '{"a":1]',
      '{"a":[1}}',
      '{"a":"\\/"}',
      '{"a":"\\u0008"}',
      '{"a":"\\u000A"}',
      '{"a":"\\u000a"}',
      '{"a":"\\u000B"}',
      '{"a":"\\u0020"}',
      '{"a":"\\u0061"}',
      '{"a":"\\u00"}',
      '{"a":"\\x"}',
      '{"a":"\u0001"}',
      '{"a":"\u007f"}',
      '{"a":"\u0080"}',
      '{"a":"\u009f"}',
      '{"é":1}',
      '{"schema":"é"}',
      '{"\\n":1}',
      '{"a":01}',
      '{"a":-0}',
      '{"a":-}',
      '{"a":0.0}',
      '{"a":1.0}',
      '{"a":1.10}',
      '{"a":1.}',
      '{"a":.5}',
      '{"a":0.0000001}',
      '{"a":1e5}',
      '{"a":1E5}',
      '{"a":+1}',
      '{"a":1-}',
      '{"a":0.12345678901234567}',
      '{"a":9.851695348110494}',
      '{"a",1}',
      '{"a"1}',
      '{"a":1{"b":2}',
      '{"a":tru}',
      '{"a":nulll}',
      '{"a":truefalse}',
      '{"a":{"b":1}',
      '{"a":1}}',
      '{"a":{{}}}',
      '{"a":{}{}}',
      "{{}}",
      '{"a":["b":1]}',
    ];
    for (const fact of taken) assert.notEqual(scan(withFact(fact)), undefined, fact);
    for (const fact of refused) assert.equal(scan(withFact(fact)), undefined, fact);
  });
  it("takes no bytes that are not UTF-8", () => {
    const [before, after] = withFact('{"a":"@"}').split("@") as [string, string];
    for (const bad of [
      [0x80],
      [0xbf],
      [0xc0, 0x80],
      [0xc1, 0xbf],
      [0xc3],
      [0xc3, 0x28],
      [0xe0, 0x9f, 0xbf],
      [0xe2, 0x82],
      [0xe2, 0x28, 0xa1],
      [0xed, 0xa0, 0x80],
      [0xed, 0xbf, 0xbf],
      [0xf0, 0x8f, 0xbf, 0xbf],
      [0xf0, 0x9f, 0x92],
      [0xf4, 0x90, 0x80, 0x80],
      [0xf5, 0x80, 0x80, 0x80],
      [0xff],
    ]) {
      const bytes = Uint8Array.from([...utf8(before), ...bad, ...utf8(after)]);
      assert.equal(
        outcome(() => parseJson(bytes)),
        "json_syntax",
        String(bad),
      );
      assert.equal(scan(bytes), undefined, String(bad));
    }
  });
  it("remembers nothing of a buffer that is used again", () => {
    // First something else, so that what is remembered next comes from this very buffer.
    assert.notEqual(scan(envelope({ issuer: `aegis:ed25519:${KEY_2}`, issued_at: "2026-01-01T00:00:08Z" })), undefined);
    const first = Buffer.from(envelope());
    const read = (): ScannedEnvelope | undefined => scanSigningBytes(first, 0, first.length);
    assert.equal(read()?.issuer, `aegis:ed25519:${KEY}`);
    first.write(envelope({ issuer: `aegis:ed25519:${KEY_2}`, issued_at: "2026-01-01T00:00:09Z" }));
    assert.deepEqual(read(), slow(first));
    assert.equal(read()?.issuer, `aegis:ed25519:${KEY_2}`);
  });
  it("counts nesting from the envelope itself", () => {
    const nested = (levels: number): string => withFact(`{"a":${"[".repeat(levels)}${"]".repeat(levels)}}`);
    assert.notEqual(scan(nested(125)), undefined);
    assert.equal(scan(nested(126)), undefined);
    assert.equal(
      outcome(() => parseJson(nested(125))),
      "ok",
    );
    assert.equal(
      outcome(() => parseJson(nested(126))),
      "json_depth",
    );
  });
  it("refuses truncated, extended and shifted ranges", () => {
    const bytes = utf8(envelope());
    for (let cut = 1; cut < bytes.length; cut++) {
      assert.equal(scanSigningBytes(bytes, 0, bytes.length - cut), undefined);
      assert.equal(scanSigningBytes(bytes, cut, bytes.length), undefined);
    }
    assert.equal(scan(`${envelope()}}`), undefined);
    assert.equal(scan(`${envelope()} `), undefined);
    assert.equal(scanSigningBytes(new Uint8Array(0), 0, 0), undefined);
  });
  it("accepts only what the slow path accepts, with the same fields", () => {
    let taken = 0;
    fc.assert(
      fc.property(anyEnvelope, (text) => {
        const scanned = scan(text);
        if (scanned === undefined) return;
        taken++;
        assert.deepEqual(scanned, slow(utf8(text)));
      }),
      { numRuns: 1500 },
    );
    assert.ok(taken > 100, `only ${taken} envelopes reached the comparison`);
  });
  it("accepts mutated bytes only where the slow path does", () => {
    const runs = Number(process.env["SPINE_FUZZ_RUNS"] ?? 5000);
    fc.assert(
      fc.property(anyEnvelope, fc.array(mutation, { minLength: 1, maxLength: 2 }), (text, mutations) => {
        const bytes = mutations.reduce(mutate, utf8(text));
        const scanned = scan(bytes);
        if (scanned !== undefined) assert.deepEqual(scanned, slow(bytes));
      }),
      { numRuns: Math.min(runs, 200_000) },
    );
  }).timeout(600_000);
});
