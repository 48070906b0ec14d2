/** The codecs of narrow links against random and mutated input: compact envelopes and heads, CBOR, fragments. */
import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import {
  type CompactContext,
  canonicalText,
  decodeCbor,
  decodeCompact,
  decodeCompactHead,
  encodeCbor,
  encodeCompactHead,
  equalBytes,
  fragmentMessage,
  fromHex,
  MAX_ENVELOPE_BYTES,
  nobleSigner,
  parseIssuer,
  parseJson,
  Reassembler,
} from "../../spine/index.ts";
import { nativeSha256Hex } from "../helpers/sim-ports.ts";
import { fuzzDecoder, fuzzRuns } from "./fuzz-decoder.ts";

interface Golden {
  readonly envelopes: readonly { readonly hex: string }[];
  readonly heads: readonly { readonly hex: string }[];
}
const golden = JSON.parse(readFileSync("test/vectors/compact.json", "utf8")) as Golden;
const { issuer } = nobleSigner(new Uint8Array(32).fill(7));
const known: CompactContext = {
  linkIssuer: issuer,
  issuerByPrefix: (prefix) => (equalBytes(prefix, parseIssuer(issuer).subarray(0, 4)) ? issuer : undefined),
  hashAt: () => `0x${"5a".repeat(32)}`,
};
const cbor = ['{"a":[1,-500,0.5,null,true,"é"],"b":{"c":18446744073709551615}}', "[[[]]]", '"x"'];

const decoders: readonly (readonly [string, (bytes: Uint8Array) => unknown, readonly Uint8Array[]])[] = [
  [
    "decodeCompact, never beyond an envelope",
    (bytes) => assert.ok(decodeCompact(bytes, known, nativeSha256Hex).signingBytes.length <= MAX_ENVELOPE_BYTES),
    golden.envelopes.map(({ hex }) => fromHex(hex)),
  ],
  [
    "decodeCompactHead, and encodeCompactHead of what it read",
    (bytes) => {
      const form = (["full", "link", "prefix"] as const)[bytes[1] as number];
      assert.deepEqual(encodeCompactHead(decodeCompactHead(bytes, known), form), bytes);
    },
    golden.heads.map(({ hex }) => fromHex(hex)),
  ],
  [
    "decodeCbor, to JSON that can be written and read again",
    (bytes) => {
      const value = decodeCbor(bytes);
      assert.deepEqual(parseJson(canonicalText(value)), value);
    },
    cbor.map((text) => encodeCbor(parseJson(text))),
  ],
  [
    "the reassembler",
    (bytes) => {
      const pile = new Reassembler("short");
      pile.add("a", bytes, 0);
      assert.ok(pile.bytes <= bytes.length);
    },
    fragmentMessage(new Uint8Array(200), Uint8Array.of(1, 2, 3, 4), 60, "short"),
  ],
];

describe(`fuzzing the codecs of narrow links, ${fuzzRuns()} inputs per decoder`, () => {
  for (const [name, decode, seeds] of decoders)
    it(name, () => {
      const { refused } = fuzzDecoder(name, decode, seeds);
      assert.ok(refused.size > 0, "nothing was refused");
    }).timeout(3_600_000);
});
