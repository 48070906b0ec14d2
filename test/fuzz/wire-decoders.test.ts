/** Every binary decoder of the sync protocol against random and mutated input. */
import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import {
  beginReconcile,
  continueReconcile,
  decodeFork,
  decodeFrame,
  encodeFork,
  encodeFrame,
  fromHex,
  ItemSet,
  openSigningBytes,
  recordOffsets,
  utf8,
  walkRecords,
} from "../../spine/index.ts";
import { nativeSha256Hex } from "../helpers/sim-ports.ts";
import { fuzzDecoder, fuzzRuns } from "./fuzz-decoder.ts";

const { frames } = JSON.parse(readFileSync("test/vectors/frames.json", "utf8")) as {
  readonly frames: readonly { readonly name: string; readonly hex: string }[];
};
const bytesOf = (name: string): Uint8Array => fromHex(frames.find((frame) => frame.name === name)?.hex ?? "");
const itemsOf = (count: number, salt: string): ItemSet => {
  const items = Array.from({ length: count }, (_, i) => ({
    at: 2 ** 31 + i,
    id: fromHex(nativeSha256Hex(utf8(salt + i)), 32),
  }));
  return new ItemSet(items, nativeSha256Hex);
};
const set = itemsOf(300, "a");
const segment = decodeFrame(bytesOf("segment"));
const records = segment.type === "segment" ? segment.records : new Uint8Array(0);

const decoders: readonly (readonly [string, (bytes: Uint8Array) => unknown, readonly Uint8Array[]])[] = [
  [
    "decodeFrame, and encodeFrame of what it read",
    (bytes) => assert.deepEqual(encodeFrame(decodeFrame(bytes)), bytes),
    frames.map(({ hex }) => fromHex(hex)),
  ],
  [
    "decodeFork, and encodeFork of what it read",
    (bytes) => assert.deepEqual(encodeFork(decodeFork(bytes, nativeSha256Hex)), bytes),
    [bytesOf("fork").subarray(1)],
  ],
  [
    "continueReconcile, with a bounded reply that its like can read",
    (bytes) => {
      const { reply } = continueReconcile(set, bytes);
      if (reply === undefined) return;
      assert.ok(reply.length < 200_000);
      continueReconcile(set, reply);
    },
    [set, itemsOf(20, "a"), itemsOf(310, "a"), itemsOf(0, "")].map(beginReconcile),
  ],
  [
    "records, walked and opened",
    (bytes) => {
      const walked = [...walkRecords(bytes)];
      recordOffsets(bytes, walked.length);
      for (const { signingBytes, signature } of walked) openSigningBytes(signingBytes, signature, nativeSha256Hex);
    },
    [records, Uint8Array.from([...records, ...records])],
  ],
];

describe(`fuzzing the wire, ${fuzzRuns()} inputs per decoder`, () => {
  for (const [name, decode, seeds] of decoders)
    it(name, () => {
      const { refused } = fuzzDecoder(name, decode, seeds);
      assert.ok(refused.size > 0, "nothing was refused");
    }).timeout(3_600_000);
});
