/** Placeholder-free smoke check of the byte helpers; the suites proper mirror the source tree. */
import assert from "node:assert/strict";
import { fromHex, toHex } from "../spine/index.ts";

describe("bytes", () => {
  it("reads back the hex it writes", () => {
    const all = Uint8Array.from({ length: 256 }, (_, i) => i);
    assert.deepEqual(fromHex(toHex(all)), all);
  });
});
