/** The parent implementation's sync messages and text form, and what gossip accepts of it. */
import assert from "node:assert/strict";
import fc from "fast-check";
import {
  canonicalText,
  decodeParentSync,
  draftEnvelope,
  encodeParentSync,
  envelopeText,
  headText,
  isParentForm,
  type JsonObject,
  nobleSha256Hex,
  nobleSigner,
  openEnvelopeValue,
  openGossip,
  type ParentSyncMessage,
  parentText,
  parseJson,
  parseSeed,
  sealEnvelope,
  utf8,
  utf8Text,
} from "../../spine/index.ts";
import { describeShared, sharedJson } from "../helpers/shared.ts";
import { outcome } from "../helpers/throws.ts";
import { anyJson } from "./arbitraries.ts";

describeShared("parent sync vectors", ["vectors/spine/parent_wire.json"], () => {
  const { sync_messages } = sharedJson<{ sync_messages: { object: JsonObject; encoded_utf8: string }[] }>(
    "vectors/spine/parent_wire.json",
  );
  for (const m of sync_messages)
    it(String(m.object["schema"]), () => {
      assert.equal(parentText(m.object), m.encoded_utf8);
      const message = decodeParentSync(m.encoded_utf8);
      assert.equal(utf8Text(encodeParentSync(message)), m.encoded_utf8);
      const other = m.encoded_utf8.replace("aegis.spine.sync", "clawdstrike.spine.sync");
      assert.notEqual(other, m.encoded_utf8);
      assert.deepEqual(decodeParentSync(utf8(other)), message);
    });
});

const signer = nobleSigner(parseSeed("09".repeat(32)));
const envelopeOf = (fact: JsonObject): ReturnType<typeof sealEnvelope> => {
  const draft = draftEnvelope(
    { issuer: signer.issuer, seq: 1, prev: null, issuedAt: "2026-01-01T00:00:00Z", fact },
    nobleSha256Hex,
  );
  return sealEnvelope(draft, signer.sign(draft.signingBytes) as Uint8Array);
};

describe("parent sync messages", () => {
  it("read back, and their envelopes open", () => {
    const envelope = envelopeOf({ schema: "x", text: "é\u{1f6a8}" });
    const messages: ParentSyncMessage[] = [
      { type: "sync-request", issuer: signer.issuer, fromSeq: 0, toSeq: 2 ** 53 - 1, maxBytes: 0 },
      {
        type: "sync-response",
        issuer: signer.issuer,
        fromSeq: 1,
        envelopes: [parseJson(envelopeText(envelope))],
        done: false,
      },
    ];
    for (const message of messages) assert.deepEqual(decodeParentSync(encodeParentSync(message)), message);
    const response = decodeParentSync(encodeParentSync(messages[1] as ParentSyncMessage));
    assert.equal(response.type, "sync-response");
    if (response.type === "sync-response")
      assert.deepEqual(openEnvelopeValue(response.envelopes[0] ?? null, nobleSha256Hex), envelope);
  });
  it("have the documented defaults and refusals", () => {
    const request = { schema: "aegis.spine.sync_request.v1", issuer: signer.issuer, from_seq: 1, to_seq: 5 };
    const response = { schema: "aegis.spine.sync_response.v1", issuer: signer.issuer, from_seq: 1, envelopes: [] };
    const decode = (value: unknown): ParentSyncMessage => decodeParentSync(JSON.stringify(value));
    assert.deepEqual(decode(request), {
      type: "sync-request",
      issuer: signer.issuer,
      fromSeq: 1,
      toSeq: 5,
      maxBytes: 1_048_576,
    });
    assert.equal((decode(response) as { done: boolean }).done, true);
    for (const [value, code] of [
      [{ ...request, to_seq: 0 }, "range_invalid"],
      [{ ...request, from_seq: -1 }, "range_invalid"],
      [{ ...request, from_seq: 1.5 }, "range_invalid"],
      [{ ...request, to_seq: 2 ** 53 }, "range_invalid"],
      [{ ...request, to_seq: undefined }, "range_invalid"],
      [{ ...request, max_bytes: null }, "range_invalid"],
      [{ ...request, issuer: "x" }, "issuer_syntax"],
      [{ ...request, issuer: undefined }, "issuer_syntax"],
      [{ ...request, schema: "aegis.spine.sync_request.v2" }, "frame_unexpected"],
      [{ ...request, schema: undefined }, "frame_unexpected"],
      [{ ...response, envelopes: null }, "range_invalid"],
      [{ ...response, envelopes: Array.from({ length: 257 }, () => 0) }, "range_invalid"],
      [{ ...response, done: 1 }, "range_invalid"],
      [[], "frame_unexpected"],
      [null, "frame_unexpected"],
    ] as const)
      assert.equal(
        outcome(() => decode(value)),
        code,
        JSON.stringify(value).slice(0, 120),
      );
    assert.equal(
      outcome(() => decodeParentSync("{")),
      "json_syntax",
    );
    assert.equal(
      outcome(() => decodeParentSync(" ".repeat(2_000_001))),
      "frame_size",
    );
  });
});

describe("the parent's text form", () => {
  it("is pure ASCII, recognised, and means the same", () => {
    fc.assert(
      fc.property(anyJson, (value) => {
        const text = parentText(value);
        assert.match(text, /^[\x20-\x7e]*$/);
        assert.equal(canonicalText(parseJson(text)), canonicalText(parseJson(canonicalText(value))));
      }),
    );
  });
  it("is recognised in texts as long as gossip takes them", () => {
    const long = JSON.stringify({ a: "x".repeat(200_000), b: "\\n".repeat(20_000) });
    assert.equal(isParentForm(long), true);
    assert.equal(canonicalText(parseJson(long)), long);
  });
  it("is recognised by spelling, as Python writes it", () => {
    // Each of these is what json.dumps(…, sort_keys=True, separators=(",", ":")) writes.
    for (const text of [
      '{"A":1,"a":"\\u00e9\\u007f\\ud83d\\udea8","b":[],"c":{},"d":[null,true,false]}',
      '{"\\ue000":1,"\\ud801\\udc37":2}',
      '["\\u0000\\b\\t\\n\\f\\r\\u001f\\"\\\\/"]',
      "[0,-1,0.0,-0.0,1.0,1e+16,1e-05,0.0001,1.5e-07,123456789012345.0,1e+22,-2.5e+300,5e-324,1234567890123456.0]",
      "[18446744073709551615,123456789012345678901234567890]",
    ])
      assert.equal(isParentForm(text), true, text);
    for (const text of [
      '{"b":1,"a":2}',
      '{"\\ud801\\udc37":2,"\\ue000":1}',
      '{"a": 1}',
      "[1, 2]",
      ' {"a":1}',
      '["\\u00E9"]',
      '["é"]',
      '["\u007f"]',
      '["\\/"]',
      '["\\u0061"]',
      '["\\u000a"]',
      "[-0]",
      "[1.50]",
      "[1e16]",
      "[1E+16]",
      "[1e-5]",
      "[0.00001]",
      "[10000000000000000.0]",
      "[1e0]",
    ]) {
      assert.equal(
        outcome(() => parseJson(text)),
        "ok",
        text,
      );
      assert.equal(isParentForm(text), false, text);
    }
  });
});

describe("openGossip", () => {
  const gossip = (text: string): string => outcome(() => openGossip(utf8(text), nobleSha256Hex));
  const envelope = envelopeOf({ schema: "x", load: [1, 0.5], "\u00e9": "\u{1f6a8}" });
  const head = {
    issuer: signer.issuer,
    seq: 1,
    hash: envelope.hash,
    sentAt: 1_700_000_000,
    signature: new Uint8Array(64),
  };
  it("takes envelopes and heads in canonical and in the parent's spelling", () => {
    for (const text of [envelopeText(envelope), parentText(parseJson(envelopeText(envelope)))])
      assert.deepEqual(openGossip(utf8(text), nobleSha256Hex), { type: "envelope", envelope });
    assert.deepEqual(openGossip(utf8(headText(head)), nobleSha256Hex), { type: "head", head });
    const float = parentText(parseJson(envelopeText(envelope))).replace("[1,0.5]", "[1.0,0.5]");
    assert.deepEqual(openGossip(utf8(float), nobleSha256Hex), { type: "envelope", envelope });
  });
  it("refuses every other spelling", () => {
    const text = envelopeText(envelope);
    for (const spelling of [
      ` ${text}`,
      `${text}\n`,
      JSON.stringify(JSON.parse(text), null, 1),
      text.replace("é", "\\u00e9"),
      text.replace("[1,0.5]", "[1.0,0.5]"),
      text.replace("[1,0.5]", "[1,5e-1]"),
      `{"signature":${JSON.stringify((JSON.parse(text) as JsonObject)["signature"])},${text.slice(1).replace(/,"signature":"0x[0-9a-f]+"/, "")}`,
      headText(head).replace('"seq":1', '"seq":1 '),
      headText(head).replace('"seq":1', '"seq":1e0'),
    ]) {
      assert.equal(
        outcome(() => parseJson(spelling)),
        "ok",
      );
      assert.equal(gossip(spelling), "json_not_canonical", spelling.slice(0, 200));
    }
    assert.equal(gossip(text.replace(/"signature":"0x/, '"signature":"')), "json_not_canonical");
    assert.equal(gossip("{}"), "envelope_field");
    assert.equal(gossip("x".repeat(300_000)), "envelope_size");
  });
});
