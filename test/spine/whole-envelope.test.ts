/** Whole envelopes read without the parser: the same envelope or the same refusal, byte for byte, as with it. */
import assert from "node:assert/strict";
import fc from "fast-check";
import {
  canonicalText,
  type Envelope,
  envelopeBytes,
  type Json,
  nobleSha256Hex,
  openEnvelope,
  openGossip,
  readWholeEnvelope,
  utf8,
} from "../../spine/index.ts";
import { chain } from "../planes/nats/bus-rig.ts";
import { anyJson } from "./arbitraries.ts";

/** The envelope, or the code of the refusal. */
function result(open: () => Envelope): Envelope | string {
  try {
    return open();
  } catch (error) {
    return (error as { code: string }).code;
  }
}
const decoder = new TextDecoder("utf-8", { fatal: true });

/** A whole envelope in canonical JSON with a right hash; whether it is the usual layout depends on the fact and token. */
function whole(fact: Json, token: Json | undefined): string {
  const signed = {
    ...(token === undefined ? {} : { capability_token: token }),
    fact,
    issued_at: "2026-01-01T00:00:00Z",
    issuer: "aegis:ed25519:e4e60e77300211a4fe965edd1434b482b6183004370c06ef32db84cda284b67f",
    prev_envelope_hash: `0x${"a7".repeat(32)}`,
    schema: "aegis.spine.envelope.v1",
    seq: 7,
  };
  const hash = `0x${nobleSha256Hex(utf8(canonicalText(signed)))}`;
  return canonicalText({ ...signed, envelope_hash: hash, signature: `0x${"5c".repeat(64)}` });
}

describe("whole envelopes in their one spelling", () => {
  it("are read without the parser", () => {
    for (const envelope of chain("whole", 3)) {
      const bytes = envelopeBytes(envelope);
      assert.deepEqual(readWholeEnvelope(bytes, nobleSha256Hex), envelope);
      assert.deepEqual(openGossip(bytes, nobleSha256Hex), { type: "envelope", envelope });
    }
  });

  it("give the same as with the parser, whatever the fact, the token and the bytes that were changed", () => {
    const change = fc.record({ at: fc.nat(), byte: fc.oneof(fc.nat(255), fc.constantFrom(...utf8('"\\,:{}0aA '))) });
    fc.assert(
      fc.property(
        fc.oneof(anyJson, fc.constant<Json>({ schema: "aegis.spine.fact.incident.v1", text: "t" })),
        fc.constantFrom<Json | undefined>(null, undefined, { schema: "t" }),
        fc.array(change, { maxLength: 2 }),
        fc.constantFrom<(bytes: Uint8Array) => Uint8Array>(
          (bytes) => bytes,
          (bytes) => bytes.subarray(0, -1),
          (bytes) => utf8(` ${new TextDecoder().decode(bytes)}`),
        ),
        (fact, token, changes, cut) => {
          const bytes = cut(utf8(whole(fact, token)));
          for (const { at, byte } of changes) bytes[at % bytes.length] = byte;
          const fast = result(() => openEnvelope(bytes, nobleSha256Hex));
          let text: string;
          try {
            text = decoder.decode(bytes);
          } catch {
            assert.equal(typeof fast, "string");
            return;
          }
          assert.deepEqual(
            fast,
            result(() => openEnvelope(text, nobleSha256Hex)),
          );
        },
      ),
      { numRuns: 2_000 },
    );
  });
});
