/** What comes outside of links: every spelling opens to the same envelope, everything else ends in a coded error. */
import assert from "node:assert/strict";
import { deflateSync } from "node:zlib";
import fc from "fast-check";
import { PartJoiner } from "../../../planes/reticulum/carry/slow-sender.ts";
import {
  isSpelling,
  openSpelling,
  pushedAlone,
  sha256Hex,
  spellEnvelope,
} from "../../../planes/reticulum/carry/spellings.ts";
import {
  concatBytes,
  draftHead,
  encodeCbor,
  encodeCompactHead,
  encodeFrame,
  envelopeBytes,
  type Head,
  headText,
  parseJson,
  SpineError,
  sealHead,
  utf8,
} from "../../../spine/index.ts";
import { envelopeBy, keyOf, recordsOf } from "../../helpers/mesh-harness.ts";
import { throwsCode } from "../../helpers/throws.ts";

const key = keyOf(5);
const envelope = envelopeBy(key, { seq: 1, prev: null, fact: { schema: "clawdstrike.spine.fact.run.v1", n: 1 } });
const json = envelopeBytes(envelope);

function headOf(): Head {
  const draft = draftHead({ issuer: key.issuer, seq: 1, hash: envelope.hash, sentAt: 1_800_000_000 });
  return sealHead(draft, key.sign(draft.signingBytes));
}

describe("spellings outside of links", () => {
  const spellings = {
    compact: spellEnvelope(envelope),
    JSON: json,
    CB: encodeCbor(parseJson(json)),
    Z1: concatBytes(utf8("Z1"), new Uint8Array(deflateSync(json))),
  };
  for (const [name, bytes] of Object.entries(spellings))
    it(`opens ${name}`, () => {
      assert.ok(isSpelling(bytes));
      const opened = openSpelling(bytes);
      assert.equal(opened.type, "envelope");
      assert.deepEqual(opened.type === "envelope" && opened.envelope.hash, envelope.hash);
      assert.deepEqual(opened.type === "envelope" && [...opened.envelope.signature], [...envelope.signature]);
    });

  it("opens heads, compact and in JSON", () => {
    for (const bytes of [encodeCompactHead(headOf()), utf8(headText(headOf()))])
      assert.deepEqual(openSpelling(bytes), { type: "head", head: headOf() });
  });

  it("refuses a zlib stream that grows beyond its bound, and garbage, with codes", () => {
    throwsCode(
      () => openSpelling(concatBytes(utf8("Z1"), new Uint8Array(deflateSync(new Uint8Array(1e6))))),
      "frame_syntax",
    );
    assert.ok(!isSpelling(utf8("Meet me at the ridge.")));
    fc.assert(
      fc.property(fc.constantFrom(0xc0, 0xc1, 0x7b, 0x43, 0x5a), fc.uint8Array({ maxLength: 300 }), (first, rest) => {
        try {
          openSpelling(concatBytes(Uint8Array.of(first), rest));
        } catch (caught) {
          assert.ok(caught instanceof SpineError && caught.code !== "internal");
        }
      }),
    );
  });

  it("knows a push of one envelope from all other frames", () => {
    const record = recordsOf([envelope]);
    assert.equal(pushedAlone(encodeFrame({ type: "push", records: [record] }))?.hash, envelope.hash);
    assert.equal(pushedAlone(encodeFrame({ type: "push", records: [record, record] })), undefined);
    assert.equal(pushedAlone(encodeFrame({ type: "push", records: [record.subarray(1)] })), undefined);
    assert.equal(pushedAlone(encodeFrame({ type: "ask-inventory", issuers: [key.issuer] })), undefined);
    assert.equal(sha256Hex(envelope.signingBytes), envelope.hash.slice(2));
  });
});

describe("parts of frames", () => {
  it("end in frames or coded errors, whatever comes", () => {
    fc.assert(
      fc.property(fc.array(fc.uint8Array({ maxLength: 40 }), { maxLength: 12 }), (payloads) => {
        const joiner = new PartJoiner(128);
        for (const payload of payloads)
          try {
            for (const frame of joiner.add(payload)) assert.ok(frame.length <= 128);
          } catch (caught) {
            assert.ok(caught instanceof SpineError && caught.code !== "internal");
          }
      }),
    );
  });
});
