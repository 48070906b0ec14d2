/** Envelopes against upstream's vectors: draft, seal, open, the one spelling, and every refused field. */
import assert from "node:assert/strict";
import fc from "fast-check";
import {
  canonicalText,
  claimOf,
  type DraftInput,
  draftEnvelope,
  type Envelope,
  envelopeBytes,
  envelopeSizeBytes,
  envelopeText,
  factOf,
  isJsonObject,
  type Json,
  type JsonObject,
  MAX_ENVELOPE_BYTES,
  MAX_ENVELOPE_INPUT,
  nobleSha256Hex,
  nobleSigner,
  nobleVerify,
  openEnvelope,
  openSigningBytes,
  parseJson,
  parseSeed,
  parseSignature,
  sealEnvelope,
  signatureText,
  utf8,
  utf8Text,
} from "../../spine/index.ts";
import { describeShared, sharedJson } from "../helpers/shared.ts";
import { outcome, throwsCode } from "../helpers/throws.ts";
import { anyJson } from "./arbitraries.ts";
import { differs } from "./deviations.ts";

interface VectorEnvelope {
  readonly name: string;
  readonly envelope_text: string;
  readonly signing_bytes_utf8: string;
  readonly envelope_hash: string;
  readonly signature: string;
  readonly upstream_verify: string;
}
interface ValidVectors {
  readonly chains: { name: string; seed_hex: string; issuer: string; envelopes: VectorEnvelope[] }[];
  readonly accepted_variants: VectorEnvelope[];
}

const open = (text: string | Uint8Array): Envelope => openEnvelope(text, nobleSha256Hex);
const signer = nobleSigner(parseSeed("07".repeat(32)));
const PREV = `0x${"5a".repeat(32)}`;

async function publish(input: Partial<DraftInput> = {}): Promise<Envelope> {
  const draft = draftEnvelope(
    { issuer: signer.issuer, seq: 2, prev: PREV, issuedAt: "2026-01-01T00:00:00Z", fact: FACT, ...input },
    nobleSha256Hex,
  );
  return sealEnvelope(draft, await signer.sign(draft.signingBytes));
}
const FACT: JsonObject = { schema: "aegis.spine.fact.heartbeat.v1", load: [0.25, 1], name: "naïve 🚨" };

/** Signs any object as an envelope, with the given spelling of C1, whatever it holds. */
async function forge(signed: JsonObject, c1: "raw" | "escaped" = "raw"): Promise<string> {
  const bytes = utf8(canonicalText(signed, c1));
  const signature = signatureText(await signer.sign(bytes));
  return JSON.stringify({ ...signed, envelope_hash: `0x${nobleSha256Hex(bytes)}`, signature });
}

function checkVector(v: VectorEnvelope): void {
  const envelope = open(v.envelope_text);
  assert.equal(utf8Text(envelope.signingBytes), v.signing_bytes_utf8);
  assert.equal(envelope.hash, v.envelope_hash);
  assert.deepEqual(envelope.signature, parseSignature(v.signature));
  assert.equal(nobleVerify(claimOf(envelope)), v.upstream_verify === "true");
  const parsed = parseJson(v.envelope_text) as JsonObject;
  const signature = signatureText(parseSignature(v.signature));
  assert.equal(envelopeText(envelope), canonicalText({ ...parsed, signature }));
  assert.equal(canonicalText(factOf(envelope)), canonicalText(parsed["fact"] as Json));
  const reopened = openSigningBytes(envelope.signingBytes, envelope.signature, nobleSha256Hex, envelope.hash);
  assert.deepEqual(reopened, envelope);
  assert.deepEqual(open(envelopeBytes(envelope)), envelope);
}

describeShared("valid envelope vectors", ["vectors/spine/envelopes_valid.json"], () => {
  const vectors = sharedJson<ValidVectors>("vectors/spine/envelopes_valid.json");
  for (const chain of vectors.chains)
    for (const v of chain.envelopes)
      it(`${chain.name}: ${v.name}`, async () => {
        checkVector(v);
        const envelope = open(v.envelope_text);
        assert.equal(envelope.issuer, chain.issuer);
        assert.deepEqual(await nobleSigner(parseSeed(chain.seed_hex)).sign(envelope.signingBytes), envelope.signature);
        const fact = factOf(envelope) as JsonObject;
        if (!isJsonObject(fact) || fact["schema"] === undefined) return assert.equal(envelope.factSchema, "");
        // Drafting the same fields gives the same bytes.
        const { issuer, seq, prev, issuedAt } = envelope;
        const draft = draftEnvelope({ issuer, seq, prev, issuedAt, fact }, nobleSha256Hex);
        assert.deepEqual(sealEnvelope(draft, envelope.signature), envelope);
      });
  for (const v of vectors.accepted_variants)
    it(`variant ${v.name}`, () => {
      if (differs("envelopes_valid.json", v.name))
        assert.match(
          outcome(() => open(v.envelope_text)),
          /^envelope_/,
        );
      else checkVector(v);
    });
});

describeShared("invalid envelope vectors", ["vectors/spine/envelopes_invalid.json"], () => {
  const { cases } = sharedJson<{ cases: { name: string; envelope_text: string; upstream_class: string }[] }>(
    "vectors/spine/envelopes_invalid.json",
  );
  const codes: Readonly<Record<string, string>> = {
    hash_mismatch: "hash_mismatch",
    "missing_field:envelope_hash": "envelope_field",
    "missing_field:signature": "envelope_field",
    "missing_field:issuer": "envelope_field",
    "crypto:signature_length": "signature_syntax",
    "crypto:invalid_hex": "signature_syntax",
    invalid_issuer: "issuer_syntax",
    // Opens; only its signature is wrong.
    signature_invalid: "ok",
  };
  for (const c of cases)
    it(`${c.name}: ${c.upstream_class}`, () => {
      // The schema is checked before the hash.
      const expected = c.name === "schema_changed" ? "envelope_schema" : codes[c.upstream_class];
      assert.notEqual(expected, undefined);
      assert.equal(
        outcome(() => open(c.envelope_text)),
        expected,
      );
      if (expected === "ok") assert.equal(nobleVerify(claimOf(open(c.envelope_text))), false);
    });
});

describe("drafting", () => {
  it("makes envelopes that open in every form", async () => {
    const envelope = await publish();
    assert.equal(nobleVerify(claimOf(envelope)), true);
    assert.equal(envelope.factSchema, "aegis.spine.fact.heartbeat.v1");
    assert.equal(envelope.issuedAtMs, Date.UTC(2026, 0, 1));
    assert.deepEqual(open(envelopeText(envelope)), envelope);
    assert.deepEqual(open(JSON.stringify(JSON.parse(envelopeText(envelope)), null, 2)), envelope);
    assert.equal(envelopeBytes(envelope).length, envelopeSizeBytes(envelope.signingBytes));
    assert.match(utf8Text(envelope.signingBytes), /^\{"capability_token":null,"fact":\{"load":\[0\.25,1\]/);
  });
  it("signs whatever portable fact it is given, to the same bytes as the general canonicaliser", async () => {
    await fc.assert(
      fc.asyncProperty(fc.dictionary(fc.string(), fc.jsonValue()), fc.integer({ min: 2 }), async (fields, seq) => {
        const fact = { ...fields, schema: "x.v1" } as JsonObject;
        if (outcome(() => draftEnvelope({ ...base, fact }, nobleSha256Hex)) === "not_portable") return;
        const envelope = await publish({ fact, seq });
        assert.deepEqual(open(envelopeText(envelope)), envelope);
        assert.equal(envelopeText(envelope), canonicalText(parseJson(envelopeText(envelope))));
        assert.deepEqual(openSigningBytes(envelope.signingBytes, envelope.signature, nobleSha256Hex), envelope);
      }),
      { numRuns: 60 },
    );
  });
  const base: DraftInput = { issuer: signer.issuer, seq: 2, prev: PREV, issuedAt: "2026-01-01T00:00:00Z", fact: FACT };
  it("refuses each bad field with its code", () => {
    const bad: readonly (readonly [Partial<Record<keyof DraftInput, unknown>>, string])[] = [
      [{ issuer: signer.issuer.toUpperCase() }, "issuer_syntax"],
      [{ seq: 0, prev: null }, "seq_range"],
      [{ seq: 1.5 }, "seq_range"],
      [{ seq: 2 ** 53 }, "seq_range"],
      [{ seq: 1 }, "chain_head_invalid"],
      [{ prev: null }, "chain_head_invalid"],
      [{ prev: PREV.toUpperCase() }, "envelope_field"],
      [{ issuedAt: "yesterday" }, "envelope_time"],
      [{ fact: null }, "fact_invalid"],
      [{ fact: [] }, "fact_invalid"],
      [{ fact: {} }, "fact_invalid"],
      [{ fact: { schema: "" } }, "fact_invalid"],
      [{ fact: { schema: 1 } }, "fact_invalid"],
      [{ fact: { schema: "a", x: 2 ** 60 } }, "not_portable"],
      [{ capabilityToken: "token" }, "envelope_field"],
      [{ capabilityToken: { a: "\u0080" } }, "not_portable"],
    ];
    for (const [change, code] of bad)
      assert.equal(
        outcome(() => draftEnvelope({ ...base, ...change } as DraftInput, nobleSha256Hex)),
        code,
        JSON.stringify(change),
      );
  });
  it("fills the size limit to the last byte", async () => {
    const size = (pad: number): JsonObject => ({ schema: "x", pad: "p".repeat(pad) });
    const room = MAX_ENVELOPE_BYTES - envelopeBytes(await publish({ fact: size(0) })).length;
    const largest = await publish({ fact: size(room) });
    assert.equal(envelopeBytes(largest).length, MAX_ENVELOPE_BYTES);
    assert.deepEqual(open(envelopeBytes(largest)), largest);
    assert.equal(
      outcome(() => draftEnvelope({ ...base, fact: size(room + 1) }, nobleSha256Hex)),
      "envelope_size",
    );
    const tooLarge = utf8(
      canonicalText({ ...(JSON.parse(utf8Text(largest.signingBytes)) as JsonObject), fact: size(room + 1) }),
    );
    assert.equal(
      outcome(() => openSigningBytes(tooLarge, largest.signature, nobleSha256Hex)),
      "envelope_size",
    );
    assert.equal(
      outcome(() => open(" ".repeat(MAX_ENVELOPE_INPUT + 1))),
      "envelope_size",
    );
  });
  it("refuses signatures of another length", async () => {
    const draft = draftEnvelope(base, nobleSha256Hex);
    assert.equal(
      outcome(() => sealEnvelope(draft, new Uint8Array(63))),
      "signature_syntax",
    );
    const envelope = await publish();
    assert.equal(
      outcome(() => openSigningBytes(envelope.signingBytes, new Uint8Array(65), nobleSha256Hex)),
      "signature_syntax",
    );
  });
});

describe("opening", () => {
  const signed = (change: Record<string, Json | undefined> = {}): JsonObject => {
    const all: Record<string, Json | undefined> = {
      capability_token: null,
      fact: FACT,
      issued_at: "2026-01-01T00:00:00Z",
      issuer: signer.issuer,
      prev_envelope_hash: null,
      schema: "aegis.spine.envelope.v1",
      seq: 1,
      ...change,
    };
    return Object.fromEntries(Object.entries(all).filter(([, value]) => value !== undefined)) as JsonObject;
  };
  const verdicts: readonly (readonly [Record<string, Json | undefined>, string])[] = [
    [{}, "ok"],
    [{ capability_token: undefined }, "ok"],
    [{ capability_token: { scopes: ["a"] } }, "ok"],
    [{ capability_token: "t" }, "envelope_field"],
    [{ capability_token: [] }, "envelope_field"],
    [{ aaa: 1 }, "ok"],
    [{ zzz: { schema: "aegis.spine.envelope.v1", seq: 1 } }, "ok"],
    [{ fact: undefined }, "envelope_field"],
    [{ fact: { schema: 5 } }, "ok"],
    [{ fact: { schema: "\u0085", "\u007f": "\u0080" } }, "ok"],
    [{ issued_at: undefined }, "envelope_field"],
    [{ issued_at: 5 }, "envelope_field"],
    [{ issued_at: "2026-01-01" }, "envelope_time"],
    [{ issued_at: "2026-01-01T00:00:00.5+01:00" }, "ok"],
    [{ issuer: undefined }, "envelope_field"],
    [{ issuer: "someone" }, "issuer_syntax"],
    [{ issuer: `aegis:ed25519:01${"00".repeat(31)}` }, "public_key_invalid"],
    [{ prev_envelope_hash: undefined }, "envelope_field"],
    [{ prev_envelope_hash: "" }, "envelope_field"],
    [{ prev_envelope_hash: PREV.toUpperCase() }, "envelope_field"],
    [{ prev_envelope_hash: PREV }, "ok"],
    [{ schema: undefined }, "envelope_field"],
    [{ schema: "aegis.spine.envelope.v2" }, "envelope_schema"],
    [{ seq: undefined }, "envelope_field"],
    [{ seq: "1" }, "envelope_field"],
    [{ seq: 1.5 }, "envelope_field"],
    [{ seq: -1 }, "seq_range"],
    [{ seq: 2 ** 53 }, "seq_range"],
    [{ seq: 0 }, "ok"],
    [{ seq: Number.MAX_SAFE_INTEGER }, "ok"],
  ];
  for (const [change, expected] of verdicts)
    it(`${JSON.stringify(change).slice(0, 70)}: ${expected}, in both forms`, async () => {
      for (const c1 of ["raw", "escaped"] as const) {
        const object = signed(change);
        const text = await forge(object, c1);
        assert.equal(
          outcome(() => open(text)),
          expected,
        );
        const bytes = utf8(canonicalText(object, c1));
        assert.equal(
          outcome(() => openSigningBytes(bytes, new Uint8Array(64), nobleSha256Hex)),
          expected,
        );
        if (expected !== "ok") continue;
        const envelope = open(text);
        assert.deepEqual(envelope.signingBytes, bytes);
        assert.equal(nobleVerify(claimOf(envelope)), true);
        assert.equal(envelopeText(envelope), canonicalText(parseJson(text), c1));
        assert.deepEqual(open(envelopeText(envelope)), envelope);
        assert.deepEqual(openSigningBytes(bytes, envelope.signature, nobleSha256Hex, envelope.hash), envelope);
        assert.equal(envelopeBytes(envelope).length, envelopeSizeBytes(envelope.signingBytes));
      }
    });
  it("lower-cases a foreign issuer but keeps what was signed", async () => {
    const upper = signer.issuer.slice(0, 14) + signer.issuer.slice(14).toUpperCase();
    const text = await forge(signed({ issuer: upper }));
    const envelope = open(text);
    assert.equal(envelope.issuer, signer.issuer);
    assert.equal(nobleVerify(claimOf(envelope)), true);
    assert.ok(envelopeText(envelope).includes(upper));
  });
  it("accepts one hash per spelling of C1, never both", async () => {
    const object = signed({ fact: { schema: "x", text: "\u0085" } });
    const raw = open(await forge(object, "raw"));
    const escaped = open(await forge(object, "escaped"));
    assert.notEqual(raw.hash, escaped.hash);
    assert.equal(
      outcome(() => openSigningBytes(raw.signingBytes, raw.signature, nobleSha256Hex, escaped.hash)),
      "hash_mismatch",
    );
  });
  it("refuses signing bytes that are no canonical text, or hold the unsigned fields", async () => {
    const envelope = await publish();
    const text = utf8Text(envelope.signingBytes);
    const outcomeOf = (changed: string): string =>
      outcome(() => openSigningBytes(utf8(changed), envelope.signature, nobleSha256Hex));
    assert.equal(outcomeOf(text), "ok");
    for (const changed of [
      ` ${text}`,
      text.replace(":null", ": null"),
      text.replace("naïve", "na\\u00efve"),
      text.replace("0.25", "0.250"),
      text.replace("0.25", "25e-2"),
      text.replace('"name":', '"mame":').replace('"load":', '"n":'),
    ])
      assert.equal(outcomeOf(changed), "json_not_canonical", changed);
    assert.equal(outcomeOf(`${text.slice(0, -1)},"signature":"0x"}`), "envelope_field");
    assert.equal(outcomeOf(text.replace('"fact":', `"envelope_hash":"${envelope.hash}","fact":`)), "envelope_field");
    throwsCode(
      () => openSigningBytes(envelope.signingBytes, envelope.signature, nobleSha256Hex, PREV),
      "hash_mismatch",
      /seq 2/,
    );
  });
  it("never takes one envelope's text for another's", async () => {
    const text = await forge(signed());
    fc.assert(
      fc.property(anyJson, fc.constantFrom("fact", "seq", "zzz", "issued_at", "capability_token"), (value, key) => {
        const changed = { ...(parseJson(text) as JsonObject), [key]: value };
        const isSame = canonicalText(changed) === canonicalText(parseJson(text));
        assert.equal(outcome(() => open(canonicalText(changed))) === "ok", isSame);
      }),
    );
  });
});
