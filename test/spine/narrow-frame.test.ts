/** Frames in compact form: the same frame again, fewer bytes, bounds and refusals. */
import assert from "node:assert/strict";
import {
  concatBytes,
  encodeFrame,
  type Frame,
  isPackedFrame,
  packFrame,
  plainFrame,
  unpackFrame,
  utf8,
  walkRecords,
  writeRecord,
} from "../../spine/index.ts";
import { nativeSha256Hex } from "../helpers/sim-ports.ts";
import { SyntheticIssuer } from "../helpers/synthetic.ts";
import { outcome } from "../helpers/throws.ts";

const ada = new SyntheticIssuer("ada").next(40);
const bob = new SyntheticIssuer("bob").next(3);
const recordsOf = (run: { records: Uint8Array }): Uint8Array[] =>
  [...walkRecords(run.records)].map(({ signingBytes, signature }) => writeRecord(signingBytes, signature));

const segment: Frame = { type: "segment", request: 7, from: 1, count: 40, records: ada.records };
const push: Frame = { type: "push", records: [...recordsOf(ada).slice(5, 7), ...recordsOf(bob)] };

describe("packed frames", () => {
  for (const frame of [segment, push])
    it(`give the same ${frame.type} again in fewer bytes`, () => {
      const bytes = encodeFrame(frame);
      const packed = packFrame(bytes, nativeSha256Hex);
      assert.ok(isPackedFrame(packed));
      assert.ok(packed.length < 0.75 * bytes.length, `${packed.length} of ${bytes.length}`);
      assert.deepEqual(unpackFrame(packed, nativeSha256Hex), bytes);
    });

  it("leave other frames as they are", () => {
    const bytes = encodeFrame({ type: "end", request: 1, reason: "done" });
    assert.equal(packFrame(bytes, nativeSha256Hex), bytes);
    assert.equal(unpackFrame(bytes, nativeSha256Hex), bytes);
    const json = utf8("{}");
    assert.equal(unpackFrame(json, nativeSha256Hex), json);
  });

  it("carry any bytes: what begins like a packed one is marked", () => {
    for (let first = 0; first < 256; first++) {
      const bytes = Uint8Array.of(first, 1, 2);
      for (const sent of [plainFrame(bytes), packFrame(bytes, nativeSha256Hex)]) {
        assert.equal(sent.length, first >= 0xc2 && first <= 0xc4 ? 4 : 3);
        assert.deepEqual(unpackFrame(sent, nativeSha256Hex), bytes);
      }
    }
  });

  it("refuse what refers beyond the frame, ends early or goes on", () => {
    const packed = packFrame(encodeFrame(push), nativeSha256Hex);
    const refused = (bytes: Uint8Array) => outcome(() => unpackFrame(bytes, nativeSha256Hex));
    assert.equal(refused(packed.subarray(0, -1)), "frame_syntax");
    assert.equal(refused(concatBytes(packed, Uint8Array.of(0))), "frame_syntax");
    // Flags of the first envelope: issuer left out.
    const beyond = packed.slice();
    const flags = beyond.indexOf(0xc1) + 1;
    beyond[flags] = (beyond[flags] as number) | 1;
    assert.equal(refused(beyond), "frame_syntax");
    const many = packed.slice();
    many[1] = 0xff;
    assert.equal(refused(many), "frame_syntax");
  });
});
