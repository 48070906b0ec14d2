/** Answers of `spine merkle`: the shared vectors as lines, and lines that are none. */
import assert from "node:assert/strict";
import fc from "fast-check";
import { type Json, type MerkleVerb, merkleLine, parseJson, toHex, utf8 } from "../../spine/index.ts";
import { hasher, sha256 } from "../helpers/crypto.ts";
import { describeShared, sharedJson } from "../helpers/shared.ts";

interface MerkleFile {
  odd_leaves: { leaves_hex: string[]; root: string };
  roots: { tree_size: number; root: string }[];
  inclusion: InclusionCase[];
  invalid_inclusion: InclusionCase[];
  consistency: { first: number; first_root: string; second: number; second_root: string; proof: string[] }[];
}
interface InclusionCase {
  audit_path: string[];
  leaf_hex: string;
  leaf_index: number;
  root: string;
  tree_size: number;
  valid: boolean;
}

const answer = (verb: MerkleVerb, line: unknown): Record<string, unknown> =>
  merkleLine(hasher, verb, parseJson(JSON.stringify(line))) as unknown as Record<string, unknown>;

describeShared("merkle lines over vectors", ["vectors/spine/merkle.json"], () => {
  const file = sharedJson<MerkleFile>("vectors/spine/merkle.json");
  it("answers roots, inclusions and consistencies", () => {
    for (const { tree_size: size, root } of file.roots) {
      const leaves = Array.from({ length: size }, (_, j) => toHex(sha256(utf8(`public/leaf/${j}`))));
      assert.deepEqual(answer("root", { leaves }), { root, size });
    }
    assert.deepEqual(answer("root", { leaves: file.odd_leaves.leaves_hex }), { root: file.odd_leaves.root, size: 3 });
    for (const c of [...file.inclusion, ...file.invalid_inclusion]) {
      const line = { leaf: c.leaf_hex, index: c.leaf_index, size: c.tree_size, path: c.audit_path, root: c.root };
      assert.equal(answer("inclusion", line)["ok"], c.valid);
    }
    for (const c of file.consistency) assert.deepEqual(answer("consistency", c), { ok: true });
  });
});

describe("merkle lines", () => {
  it("names what is wrong", () => {
    const root = toHex(hasher.leaf(utf8("a")));
    const good = { leaf: "61", index: 0, size: 1, path: [], root };
    assert.deepEqual(answer("inclusion", good), { ok: true });
    const cases: [string, object][] = [
      ["proof_index", { index: 1 }],
      ["proof_index", { index: 0.5 }],
      ["proof_index", { size: 1e300 }],
      ["proof_shape", { path: [root] }],
      ["proof_mismatch", { leaf: "" }],
      ["proof_mismatch", { root: "00" }],
      ["hex_syntax", { leaf: "6" }],
      ["hex_syntax", { root: "0x0g" }],
      ["api_input", { path: "x" }],
      ["api_input", { index: "0" }],
      ["api_input", { leaf: null }],
    ];
    for (const [code, change] of cases) assert.equal(answer("inclusion", { ...good, ...change })["code"], code);
    const large = merkleLine(hasher, "inclusion", { ...good, size: 2n ** 60n });
    assert.deepEqual(large, { ok: false, code: "proof_index", message: "size is out of range" });
  });
  it("never throws", () => {
    const keys = ["leaves", "leaf", "index", "size", "path", "root", "first", "second", "first_root", "proof"];
    const value = fc.oneof(fc.jsonValue(), fc.constantFrom("00", 1, [], ["00"]));
    const line = fc.oneof(fc.jsonValue(), fc.dictionary(fc.constantFrom(...keys), value, { noNullPrototype: true }));
    fc.assert(
      fc.property(fc.constantFrom<MerkleVerb>("root", "inclusion", "consistency"), line, (verb, json) => {
        const result = merkleLine(hasher, verb, json as Json);
        assert.ok("root" in result || result.ok || result.code !== "internal");
      }),
    );
  });
});
