/** Every text and head decoder of the core against random and mutated input. */
import assert from "node:assert/strict";
import {
  ByteReader,
  ByteWriter,
  canonicalText,
  chainHeadOf,
  chainLinkOf,
  checkFact,
  checkShape,
  decodeParentSync,
  draftEnvelope,
  type Envelope,
  encodeParentSync,
  envelopeBytes,
  factOf,
  foreignIssuer,
  headText,
  isParentForm,
  type JsonObject,
  nobleSha256Hex,
  nobleSigner,
  openEnvelope,
  openGossip,
  openHead,
  openSigningBytes,
  parentText,
  parseIssuer,
  parseJson,
  parseSeed,
  parseSignature,
  parseTime,
  parseTrustBundle,
  readHead,
  SHAPE_NAMES,
  scanSigningBytes,
  sealEnvelope,
  utf8,
  utf8Text,
  writeHead,
} from "../../spine/index.ts";
import { fuzzDecoder, fuzzRuns } from "./fuzz-decoder.ts";

const signer = nobleSigner(parseSeed("0a".repeat(32)));
function envelope(fact: JsonObject, capabilityToken: JsonObject | null = null): Envelope {
  const draft = draftEnvelope(
    { issuer: signer.issuer, seq: 1, prev: null, issuedAt: "2026-01-01T00:00:00Z", fact, capabilityToken },
    nobleSha256Hex,
  );
  return sealEnvelope(draft, new Uint8Array(64));
}
const envelopes = [
  envelope({ schema: "aegis.spine.fact.heartbeat.v1", load: [0.25, 1, 2e-7], ok: [true, null, { a: {} }] }),
  envelope({ schema: "x", text: 'naïve 🚨 " \\ \n \u0001', é: 1 }, { scopes: ["facts:publish:*"] }),
];
const head = {
  issuer: signer.issuer,
  seq: 3,
  hash: `0x${"12".repeat(32)}`,
  sentAt: 1e9,
  signature: new Uint8Array(64),
};
const texts = envelopes.map(envelopeBytes);
const signed = envelopes.map((e) => e.signingBytes);
const sync = [
  encodeParentSync({ type: "sync-request", issuer: signer.issuer, fromSeq: 0, toSeq: 9, maxBytes: 400 }),
  encodeParentSync({
    type: "sync-response",
    issuer: signer.issuer,
    fromSeq: 0,
    envelopes: [factOf(envelopes[0] as Envelope)],
    done: true,
  }),
];

const decoders: readonly (readonly [string, (bytes: Uint8Array) => unknown, readonly Uint8Array[]])[] = [
  [
    "parseJson, and canonicalText of what it read",
    (bytes) => {
      const text = canonicalText(parseJson(bytes));
      assert.equal(canonicalText(parseJson(text)), text);
    },
    [...texts, utf8('[1e21,-0.0,18446744073709551615,"\\ud83d\\udea8",{"__proto__":1}]')],
  ],
  ["openEnvelope", (bytes) => openEnvelope(bytes, nobleSha256Hex), texts],
  [
    "openSigningBytes, which agrees with the parser",
    (bytes) => {
      const opened = openSigningBytes(bytes, new Uint8Array(64), nobleSha256Hex);
      const again = openEnvelope(envelopeBytes(opened), nobleSha256Hex);
      assert.deepEqual(again, opened);
    },
    signed,
  ],
  ["scanSigningBytes", (bytes) => scanSigningBytes(bytes, 0, bytes.length), signed],
  ["openGossip", (bytes) => openGossip(bytes, nobleSha256Hex), [...texts, utf8(headText(head))]],
  ["openHead", (bytes) => openHead(bytes), [utf8(headText(head))]],
  [
    "readHead, and writeHead of what it read",
    (bytes) => {
      const reader = new ByteReader(bytes);
      const read = readHead(reader);
      reader.end();
      const writer = new ByteWriter();
      writeHead(writer, read);
      assert.deepEqual(writer.finish(), bytes);
    },
    [headBytes()],
  ],
  ["decodeParentSync", (bytes) => decodeParentSync(bytes), sync],
  [
    "isParentForm of valid JSON, and parentText",
    (bytes) => {
      const value = parseJson(bytes);
      isParentForm(utf8Text(bytes));
      assert.equal(isParentForm(parentText(value)) || /[0-9]/.test(parentText(value)), true);
    },
    [...sync, ...texts],
  ],
  [
    "parseTrustBundle",
    (bytes) => parseTrustBundle(bytes, "strict"),
    [
      utf8(
        JSON.stringify({
          schema: null,
          allowed_log_ids: [signer.issuer],
          allowed_witness_node_ids: [signer.issuer],
          witness_quorum: 1,
          require_attested_issuers: false,
        }),
      ),
    ],
  ],
  ["chainLinkOf", (bytes) => chainLinkOf(parseJson(bytes)), texts],
  [
    "chainHeadOf",
    (bytes) => chainHeadOf(parseJson(bytes)),
    [utf8(`{"envelope_hash":"${head.hash}","issuer":"${signer.issuer}","seq":1}`)],
  ],
  ["checkFact", (bytes) => checkFact(parseJson(bytes)), envelopes.map((e) => utf8(canonicalText(factOf(e))))],
  [
    "issuer, signature and time texts",
    (bytes) => {
      const text = utf8Text(bytes);
      parseTime(text);
      return [foreignIssuer, parseIssuer, parseSignature].map((parse) => parse(text)).length;
    },
    [],
  ],
];

function headBytes(): Uint8Array {
  const writer = new ByteWriter();
  writeHead(writer, head);
  return writer.finish();
}

describe(`fuzzing, ${fuzzRuns()} inputs per decoder`, () => {
  for (const [name, decode, seeds] of decoders)
    it(name, () => {
      const { decoded, refused } = fuzzDecoder(name, decode, seeds);
      assert.equal(decoded + [...refused.values()].reduce((sum, n) => sum + n, 0), fuzzRuns());
      assert.ok(name === "scanSigningBytes" || refused.size > 0, "nothing was refused");
    }).timeout(3_600_000);
  it("every shape refuses or takes any JSON", () => {
    const shapes = SHAPE_NAMES.map(
      (name) =>
        (bytes: Uint8Array): void =>
          checkShape(name, parseJson(bytes)),
    );
    for (const check of shapes) fuzzDecoder("checkShape", (bytes) => check(bytes), [], Math.min(fuzzRuns(), 20_000));
  }).timeout(600_000);
});

describe("fuzzDecoder itself", () => {
  it("fails on a foreign error, on an internal one, and on a refused seed", () => {
    const foreign = (): never => {
      throw new TypeError("boom");
    };
    assert.throws(() => fuzzDecoder("foreign", foreign, [], 10), /foreign error in foreign, seed 10, run 0/);
    assert.throws(() => fuzzDecoder("internal", () => checkShape("none", null), [], 10), /internal, seed 10, run 0/);
    assert.throws(() => fuzzDecoder("seed", (bytes) => parseJson(bytes), [utf8("{")], 10), /ends early|expected/);
  });
});
