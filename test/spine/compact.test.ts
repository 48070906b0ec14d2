/** The compact codec: same canonical JSON and hash, one spelling, few bytes, references, and refusals. */
import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import fc from "fast-check";
import {
  COLD,
  type CompactContext,
  type CompactReferences,
  canonicalText,
  decodeCompact,
  decodeCompactHead,
  draftEnvelope,
  draftHead,
  type Envelope,
  encodeCompact,
  encodeCompactHead,
  envelopeText,
  fromHex,
  headText,
  type Issuer,
  type IssuerReference,
  type Json,
  type JsonObject,
  nobleSha256Hex,
  nobleSigner,
  openEnvelope,
  openHead,
  openSigningBytes,
  parseIssuer,
  parseJson,
  sealEnvelope,
  sealHead,
  toHex,
  utf8,
} from "../../spine/index.ts";
import { describeShared, sharedJson } from "../helpers/shared.ts";
import { outcome } from "../helpers/throws.ts";
import { anyJson } from "./arbitraries.ts";

const ada: Issuer = nobleSigner(new Uint8Array(32).fill(7)).issuer;
const bob: Issuer = nobleSigner(new Uint8Array(32).fill(8)).issuer;
const HASH = `0x${"5a".repeat(32)}`;
const WARM: CompactReferences = { issuer: "prefix", previous: true };
const LINK: CompactReferences = { issuer: "link", previous: true };
const context: CompactContext = {
  linkIssuer: ada,
  issuerByPrefix: () => ada,
  hashAt: (issuer, seq) => (issuer === ada && seq === 41 ? HASH : undefined),
};

/** An envelope whose signature is noise: this codec never looks at it. */
function envelope(fact: Json, issuedAt = "2026-11-28T10:00:00Z", seq = 42): Envelope {
  const prev = seq === 1 ? null : HASH;
  const draft = draftEnvelope({ issuer: ada, seq, prev, issuedAt, fact: fact as JsonObject }, nobleSha256Hex);
  return sealEnvelope(
    draft,
    Uint8Array.from({ length: 64 }, (_, i) => i * 3),
  );
}

function sizes(fact: Json): { cold: number; warm: number; link: number } {
  const subject = envelope(fact);
  const [cold, warm, link] = [COLD, WARM, LINK].map((references) => {
    const bytes = encodeCompact(subject, references) as Uint8Array;
    assert.equal(envelopeText(decodeCompact(bytes, context, nobleSha256Hex)), envelopeText(subject));
    return bytes.length;
  }) as [number, number, number];
  return { cold, warm, link };
}

const revocation: JsonObject = {
  schema: "aegis.spine.fact.revocation.v1",
  fact_id: "rev_6f9619ff-8b86-4011-b42d-00cf4fc964ff",
  issued_at: "2026-11-28T10:00:00Z",
  reason: "key found on a stolen laptop",
  targets: [{ type: "node_id", value: bob, from_seq: 1200 }],
};
const checkpoint: JsonObject = {
  schema: "aegis.spine.fact.log_checkpoint.v1",
  fact_id: "cp_6f9619ff-8b86-4011-b42d-00cf4fc964ff",
  log_id: ada,
  checkpoint_seq: 17,
  prev_checkpoint_hash: HASH,
  merkle_root: `0x${"a7".repeat(32)}`,
  tree_size: 123_456,
  included_heads: [],
  witnesses: [{ witness_node_id: bob, signature: `0x${"c3".repeat(64)}` }],
  anchors: { rekor: null, eas: null, solana: null },
  issued_at: "2026-11-28T10:00:00Z",
};

interface Golden {
  readonly envelopes: readonly { text: string; issuer: IssuerReference; previous: boolean; hex: string }[];
  readonly heads: readonly { text: string; issuer: IssuerReference; hex: string }[];
}

describe("compact codec", () => {
  it("puts a revocation with one target into one packet, cold and warm", () => {
    const { cold, warm, link } = sizes(revocation);
    assert.ok(cold <= 255, `${cold} bytes cold`);
    assert.ok(warm <= 200, `${warm} bytes warm`);
    assert.ok(link < warm);
  });

  it("puts a checkpoint with one witness into 295 bytes warm, two packets cold", () => {
    const { cold, warm } = sizes(checkpoint);
    assert.ok(warm <= 295, `${warm} bytes warm`);
    assert.ok(cold <= 2 * 295, `${cold} bytes cold`);
  });

  it("puts a signed head into 110 bytes by link, 145 in full", () => {
    const draft = draftHead({ issuer: ada, seq: 2 ** 40, hash: HASH, sentAt: 1_795_860_000 });
    const head = sealHead(draft, new Uint8Array(64).fill(9));
    const [link, full] = [encodeCompactHead(head, "link"), encodeCompactHead(head)];
    assert.ok(link.length <= 110 && full.length <= 145, `${link.length}, ${full.length}`);
    for (const bytes of [link, full, encodeCompactHead(head, "prefix")])
      assert.deepEqual(decodeCompactHead(bytes, context), head);
    assert.equal(
      outcome(() => decodeCompactHead(link, {})),
      "compact_reference",
    );
    assert.equal(
      outcome(() => decodeCompactHead(Uint8Array.of(...full, 0), context)),
      "frame_syntax",
    );
  });

  it("has the bytes it always had", () => {
    const golden = JSON.parse(readFileSync("test/vectors/compact.json", "utf8")) as Golden;
    for (const { text, issuer, previous, hex } of golden.envelopes) {
      const subject = openEnvelope(text, nobleSha256Hex);
      assert.equal(toHex(encodeCompact(subject, { issuer, previous }) as Uint8Array), hex);
      assert.equal(envelopeText(decodeCompact(fromHex(hex), context, nobleSha256Hex)), text);
    }
    for (const { text, issuer, hex } of golden.heads) {
      assert.equal(toHex(encodeCompactHead(openHead(text), issuer)), hex);
      assert.equal(headText(decodeCompactHead(fromHex(hex), context)), text);
    }
  });

  it("carries any fact this node can sign, exactly", () => {
    const times = fc.constantFrom("2026-11-28T10:00:00Z", "2026-11-28T10:00:00.5Z", "2026-11-28T12:00:00+02:00");
    const special = fc.constantFrom<Json>(
      ada,
      bob,
      HASH,
      HASH.slice(2),
      "0xAB12",
      "deadbeef",
      "0123",
      "2026-11-28T10:00:00Z",
      "2026-11-28T10:00:00.250Z",
      "2026-11-28T10:00:00.25Z",
      "1969-12-31T23:59:59Z",
      "2026-02-30T00:00:00Z",
      "rev_6f9619ff-8b86-4011-b42d-00cf4fc964ff",
      "odd_6f9619ff-8b86-4011-b42d-00cf4fc964ff",
      "inc_0123456789abcdef",
      "sha256:0123456789abcdef",
      "clawdstrike.sdr.fact.tetragon_event.v3",
      "aegis.spine.fact.unheard_of.v9",
      "schema",
      "reviewer",
    );
    const facts = fc.tuple(fc.dictionary(fc.string({ maxLength: 5 }), fc.oneof(anyJson, special)), special);
    fc.assert(
      fc.property(facts, times, fc.constantFrom(COLD, WARM, LINK), ([fields, one], issuedAt, references) => {
        const fact = { ...fields, schema: "x", list: [one, { one }] };
        let subject: Envelope;
        try {
          subject = envelope(fact, issuedAt);
        } catch {
          return;
        }
        const bytes = encodeCompact(subject, references) as Uint8Array;
        assert.deepEqual(decodeCompact(bytes, context, nobleSha256Hex), subject);
      }),
      { numRuns: 500 },
    );
  });

  it("expands no spelling but its own", () => {
    const bytes = encodeCompact(envelope({ schema: "x", n: 5 }), COLD) as Uint8Array;
    const longer = Uint8Array.from(bytes);
    // The integer 5 as an unsigned varint instead of one byte.
    const at = longer.lastIndexOf(5, longer.length - 65);
    const spelled = Uint8Array.from([...longer.subarray(0, at), 0x63, 5, ...longer.subarray(at + 1)]);
    assert.equal(
      outcome(() => decodeCompact(spelled, context, nobleSha256Hex)),
      "frame_syntax",
    );
    assert.equal(
      outcome(() => decodeCompact(bytes.subarray(0, -1), context, nobleSha256Hex)),
      "frame_syntax",
    );
    assert.equal(
      outcome(() => decodeCompact(Uint8Array.of(...bytes, 0), context, nobleSha256Hex)),
      "frame_syntax",
    );
  });

  it("says what it lacks when a reference cannot be resolved, and blames nobody", () => {
    const subject = envelope({ schema: "x" });
    for (const references of [WARM, LINK]) {
      const bytes = encodeCompact(subject, references) as Uint8Array;
      assert.equal(
        outcome(() => decodeCompact(bytes, {}, nobleSha256Hex)),
        "compact_reference",
      );
      const noPrevious: CompactContext = { ...context, hashAt: () => undefined };
      assert.equal(
        outcome(() => decodeCompact(bytes, noPrevious, nobleSha256Hex)),
        "compact_reference",
      );
    }
    assert.equal(encodeCompact(subject, WARM)?.subarray(2, 6).join(), parseIssuer(ada).subarray(0, 4).join());
  });

  it("never grows beyond an envelope while expanding", () => {
    const bytes = encodeCompact(envelope({ schema: "x", list: [] }), COLD) as Uint8Array;
    const empty = bytes.lastIndexOf(0x40, bytes.length - 65);
    const words = new Uint8Array(6000).fill(0x80 + 20);
    const bomb = Uint8Array.from([
      ...bytes.subarray(0, empty),
      0x69,
      ...[(words.length % 128) | 128, words.length >> 7],
      ...words,
      ...bytes.subarray(empty + 1),
    ]);
    assert.equal(
      outcome(() => decodeCompact(bomb, context, nobleSha256Hex)),
      "envelope_size",
    );
  });

  it("leaves to JSON what it does not carry", () => {
    const subject = envelope({ schema: "x" });
    const value = parseJson(subject.signingBytes) as JsonObject;
    const unknown = openSigningBytes(utf8(canonicalText({ ...value, extra: 1 })), subject.signature, nobleSha256Hex);
    assert.equal(encodeCompact(unknown), undefined);
  });
});

describeShared("compact codec on the realistic facts", ["vectors/spine/reticulum_cbor.json"], () => {
  const { envelopes } = sharedJson<{ envelopes: { name: string; envelope_text: string; json_len: number }[] }>(
    "vectors/spine/reticulum_cbor.json",
  );
  for (const { name, envelope_text, json_len } of envelopes) {
    if (!name.startsWith("five_facts/")) continue;
    it(`${name} takes at most 36 % of its JSON`, () => {
      const subject = openEnvelope(envelope_text, nobleSha256Hex);
      const bytes = encodeCompact(subject) as Uint8Array;
      assert.ok(bytes.length <= 0.36 * json_len, `${bytes.length} of ${json_len}`);
      assert.equal(envelopeText(decodeCompact(bytes, {}, nobleSha256Hex)), envelopeText(subject));
    });
  }
});
