/** Log messages and shown co-signatures: read what they write, and end in coded errors on anything else. */
import assert from "node:assert/strict";
import fc from "fast-check";
import {
  type AttestMessage,
  asSpineError,
  decodeAttestMessage,
  decodeCosignatureShown,
  encodeAttestMessage,
  encodeCosignatureShown,
} from "../../spine/index.ts";
import { namedKey } from "../helpers/crypto.ts";

const { issuer } = namedKey("log");
const messages: readonly AttestMessage[] = [
  { type: "witness-request", request: 3, body: Uint8Array.of(1, 2) },
  { type: "witness-reply", request: 2 ** 40, body: new Uint8Array() },
  { type: "log-heads", heads: [{ logId: issuer, seq: 9, hash: `0x${"ab".repeat(32)}` }] },
  { type: "ask-checkpoint", logId: issuer, seq: 1 },
  { type: "checkpoint", text: '{"grüße":1}' },
  { type: "split-view", proof: Uint8Array.of(7) },
  { type: "show-cosignature", request: 1, body: Uint8Array.of(9) },
  { type: "ask-proofs", logId: issuer, seq: 3, hashes: [`0x${"01".repeat(32)}`, `0x${"02".repeat(32)}`] },
  {
    type: "proofs",
    logId: issuer,
    seq: 2 ** 33,
    proofs: [{ hash: `0x${"03".repeat(32)}`, index: 5, path: [new Uint8Array(32).fill(4), new Uint8Array(32)] }],
  },
];

function isCoded(decode: (bytes: Uint8Array) => unknown, bytes: Uint8Array): void {
  try {
    decode(bytes);
  } catch (caught) {
    assert.notEqual(asSpineError(caught).code, "internal");
  }
}

describe("log messages", () => {
  for (const message of messages) {
    it(`read back ${message.type}, and refuse it cut or extended`, () => {
      const bytes = encodeAttestMessage(message);
      assert.deepEqual(encodeAttestMessage(decodeAttestMessage(bytes)), bytes);
      assert.throws(() => decodeAttestMessage(Uint8Array.from([...bytes, 0])));
      for (let end = 0; end < bytes.length; end++) assert.throws(() => decodeAttestMessage(bytes.subarray(0, end)));
    });
  }

  it("read back a shown note", () => {
    const bytes = encodeCosignatureShown({ type: "note", note: "origin\n1\nroot\n\n— x AAAA\n" });
    assert.deepEqual(encodeCosignatureShown(decodeCosignatureShown(bytes)), bytes);
  });

  it("end in coded errors on random bytes", () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 300 }), fc.integer({ min: 1, max: 10 }), (bytes, kind) => {
        isCoded(decodeAttestMessage, Uint8Array.of(kind, ...bytes));
        isCoded(decodeCosignatureShown, Uint8Array.of(1, kind, ...bytes));
      }),
      { numRuns: 2_000 },
    );
  });
});
