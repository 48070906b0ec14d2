/** Fork proofs: what contradicts what, one encoding per pair, and refusals (rules 6). */
import assert from "node:assert/strict";
import {
  decodeFork,
  draftHead,
  type Envelope,
  encodeFork,
  proveFork,
  type Statement,
  sealHead,
  statedHash,
  toHex,
} from "../../spine/index.ts";
import { envelopeBy, keyOf } from "../helpers/mesh-harness.ts";
import { nativeSha256Hex } from "../helpers/sim-ports.ts";
import { throwsCode } from "../helpers/throws.ts";

const [alice, bob] = [keyOf(2), keyOf(3)];
const hashOf = (byte: string): string => `0x${byte.repeat(32)}`;
const said = (envelope: Envelope): Statement => ({ kind: "envelope", envelope });
const envelope = (seq: number, prev: string | null, n = 0, key = alice): Statement =>
  said(envelopeBy(key, { seq, prev, fact: { schema: "x", n } }));
const head = (seq: number, hash: string, key = alice): Statement => {
  const draft = draftHead({ issuer: key.issuer, seq, hash, sentAt: 1_800_000_000 });
  return { kind: "head", head: sealHead(draft, key.sign(draft.signingBytes)) };
};

describe("fork proofs", () => {
  const five = envelope(5, hashOf("44"));
  const pairs: readonly (readonly [string, number, Statement, Statement])[] = [
    ["two envelopes of one seq", 5, five, envelope(5, hashOf("44"), 1)],
    ["two predecessors", 4, five, envelope(5, hashOf("55"))],
    ["an envelope and the next one's prev", 5, five, envelope(6, hashOf("66"))],
    ["an envelope and a next one that says there was nothing", 5, five, envelope(6, null)],
    ["an envelope and a head", 5, five, head(5, hashOf("77"))],
    ["a head and a prev", 4, head(4, hashOf("45")), five],
    ["two heads", 7, head(7, hashOf("77")), head(7, hashOf("78"))],
    ["seq 0 and a seq 1 that begins the chain", 0, envelope(0, null), envelope(1, null)],
  ];
  for (const [name, seq, a, b] of pairs)
    it(`are made of ${name}, with one encoding`, () => {
      const proof = proveFork(seq, a, b);
      const bytes = encodeFork(proof);
      assert.deepEqual(encodeFork(proveFork(seq, b, a)), bytes);
      assert.equal(toHex(encodeFork(decodeFork(bytes, nativeSha256Hex))), toHex(bytes));
      assert.notEqual(statedHash(a, seq), statedHash(b, seq));
    });
  it("are refused for equal hashes, silence, other keys, swapped order and trailing bytes", () => {
    const again = said({ ...(five as { envelope: Envelope }).envelope, signature: new Uint8Array(64) });
    const refused: readonly (readonly [number, Statement, Statement])[] = [
      [5, five, again],
      [5, five, head(6, hashOf("66"))],
      [5, five, envelope(5, hashOf("44"), 1, bob)],
      [9, five, envelope(5, hashOf("44"), 1)],
    ];
    for (const [seq, a, b] of refused) throwsCode(() => proveFork(seq, a, b), "fork_proof_invalid");
    const proof = proveFork(5, five, head(5, hashOf("77")));
    const swapped = encodeFork({ ...proof, statements: [proof.statements[1], proof.statements[0]] });
    throwsCode(() => decodeFork(swapped, nativeSha256Hex), "fork_proof_invalid");
    throwsCode(() => decodeFork(encodeFork({ ...proof, issuer: bob.issuer }), nativeSha256Hex), "fork_proof_invalid");
    throwsCode(() => decodeFork(Uint8Array.from([...encodeFork(proof), 0]), nativeSha256Hex), "frame_syntax");
  });
});
