/** Witness messages on the mesh: round trips, one spelling, arbitrary bytes. */
import assert from "node:assert/strict";
import fc from "fast-check";
import {
  type CheckpointStatement,
  decodeWitnessReply,
  decodeWitnessRequest,
  ERRORS,
  type ErrorCode,
  encodeWitnessReply,
  encodeWitnessRequest,
  formatTime,
  SpineError,
  type WitnessReply,
  type WitnessRequest,
} from "../../spine/index.ts";
import { namedKey } from "../helpers/crypto.ts";

const hash = fc.uint8Array({ minLength: 32, maxLength: 32 });
const signature = fc.uint8Array({ minLength: 64, maxLength: 64 });
const statement: fc.Arbitrary<CheckpointStatement> = fc.record(
  {
    logId: fc.constant(namedKey("log").issuer),
    seq: fc.integer({ min: 2, max: Number.MAX_SAFE_INTEGER }),
    prev: fc.constantFrom(null, `0x${"ab".repeat(32)}`),
    root: hash,
    size: fc.maxSafeNat(),
    issuedAt: fc.integer({ min: 0, max: 4e9 }).map(formatTime),
  },
  { noNullPrototype: true },
);
const request: fc.Arbitrary<WitnessRequest> = fc.oneof(
  fc.record({ type: fc.constant("note" as const), body: fc.string({ unit: "grapheme" }) }, { noNullPrototype: true }),
  fc.record(
    {
      type: fc.constant("statement" as const),
      statement,
      logSignature: signature,
      oldSize: fc.maxSafeNat(),
      proof: fc.array(hash, { maxLength: 63 }),
    },
    { noNullPrototype: true },
  ),
);
const reply: fc.Arbitrary<WitnessReply> = fc.oneof(
  fc.record(
    { type: fc.constant("answer" as const), status: fc.integer({ min: 0, max: 65_535 }), body: fc.string() },
    { noNullPrototype: true },
  ),
  fc.record(
    {
      type: fc.constant("refused" as const),
      code: fc.constantFrom(...(Object.keys(ERRORS) as ErrorCode[])),
      size: fc.maxSafeNat(),
      seq: fc.maxSafeNat(),
    },
    { noNullPrototype: true },
  ),
  signature.map(
    (bytes): WitnessReply => ({ type: "signed", line: { witness: namedKey("w").issuer, signature: bytes } }),
  ),
);

/** Decodes; what is accepted must encode back to the same bytes, all else must be `frame_syntax`. */
function checkOneSpelling<T>(
  bytes: Uint8Array,
  decode: (bytes: Uint8Array) => T,
  encode: (value: T) => Uint8Array,
): void {
  let value: T;
  try {
    value = decode(bytes);
  } catch (error) {
    assert.ok(error instanceof SpineError && error.code === "frame_syntax", String(error));
    return;
  }
  assert.deepEqual(encode(value), bytes);
}

describe("witness frames", () => {
  it("read back what they write", () => {
    fc.assert(
      fc.property(request, (value) => assert.deepEqual(decodeWitnessRequest(encodeWitnessRequest(value)), value)),
    );
    fc.assert(fc.property(reply, (value) => assert.deepEqual(decodeWitnessReply(encodeWitnessReply(value)), value)));
  });
  it("have one spelling, and refuse all other bytes", () => {
    fc.assert(
      fc.property(request, reply, fc.nat(), fc.integer({ min: 0, max: 255 }), (asked, answered, at, byte) => {
        for (const bytes of [encodeWitnessRequest(asked), encodeWitnessReply(answered)]) {
          for (const changed of [
            bytes.with(at % bytes.length, byte),
            bytes.subarray(0, at % bytes.length),
            Uint8Array.from([...bytes, byte]),
          ]) {
            checkOneSpelling(changed, decodeWitnessRequest, encodeWitnessRequest);
            checkOneSpelling(changed, decodeWitnessReply, encodeWitnessReply);
          }
        }
      }),
      { numRuns: 300 },
    );
    fc.assert(
      fc.property(fc.uint8Array(), (bytes) => {
        checkOneSpelling(bytes, decodeWitnessRequest, encodeWitnessRequest);
        checkOneSpelling(bytes, decodeWitnessReply, encodeWitnessReply);
      }),
    );
  });
});
