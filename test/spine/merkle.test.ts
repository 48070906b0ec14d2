/** RFC 6962 trees: shared vectors, then properties over random trees, chunk sizes and mutations. */
import assert from "node:assert/strict";
import fc from "fast-check";
import {
  equalBytes,
  Frontier,
  fromHex,
  type HashReader,
  inclusionRoot,
  planConsistency,
  planInclusion,
  planSubtreeConsistency,
  proveFromPlan,
  proveFromPlanAsync,
  rootFromNodes,
  SpineError,
  toHex,
  treeRoot,
  utf8,
  verifyConsistency,
  verifyInclusion,
  verifySubtreeConsistency,
  verifySubtreeInclusion,
} from "../../spine/index.ts";
import { hasher, sha256 } from "../helpers/crypto.ts";
import { describeShared, sharedJson, sharedTree } from "../helpers/shared.ts";

const hex = (text: string): Uint8Array => fromHex(text.startsWith("0x") ? text.slice(2) : text);
const base64 = (text: string): Uint8Array => Uint8Array.from(Buffer.from(text, "base64"));

/** True when it returns, false when it throws a coded proof error; anything else fails the test. */
function holds(check: () => void): boolean {
  try {
    check();
    return true;
  } catch (error) {
    assert.ok(error instanceof SpineError, String(error));
    assert.match(error.code, /^proof_/);
    return false;
  }
}

/** A tree with every complete node kept. */
function grow(leaves: readonly Uint8Array[]): { read: HashReader; frontier: Frontier; roots: Uint8Array[] } {
  const nodes = new Map<string, Uint8Array>();
  const frontier = new Frontier(hasher);
  const roots = [frontier.root()];
  for (const leaf of leaves) {
    frontier.append(hasher.leaf(leaf), (level, index, hash) => nodes.set(`${level}/${index}`, hash));
    roots.push(frontier.root());
  }
  const read: HashReader = (level, index) => {
    const hash = nodes.get(`${level}/${index}`);
    assert.ok(hash, `node ${level}/${index} is not complete`);
    return hash;
  };
  return { read, frontier, roots };
}

const numbered = (count: number, prefix = "leaf"): Uint8Array[] =>
  Array.from({ length: count }, (_, i) => sha256(utf8(`${prefix}/${i}`)));

interface MerkleFile {
  primitive: { leaf_hash_0: string; leaf_hash_empty: string; node_hash_0_1: string };
  odd_leaves: { leaves_hex: string[]; root: string };
  roots: { tree_size: number; root: string }[];
  inclusion: InclusionCase[];
  invalid_inclusion: InclusionCase[];
  consistency: { first: number; first_root: string; second: number; second_root: string; proof: string[] }[];
}
interface InclusionCase {
  name?: string;
  audit_path: string[];
  leaf_hex: string;
  leaf_index: number;
  root: string;
  tree_size: number;
  valid: boolean;
}

describeShared("merkle vectors of the reference", ["vectors/spine/merkle.json"], () => {
  const file = sharedJson<MerkleFile>("vectors/spine/merkle.json");
  const leaves = numbered(33, "public/leaf");
  const tree = grow(leaves);

  it("hashes leaves and nodes", () => {
    const first = hasher.leaf(leaves[0] as Uint8Array);
    assert.equal(`0x${toHex(first)}`, file.primitive.leaf_hash_0);
    assert.equal(`0x${toHex(hasher.leaf(new Uint8Array()))}`, file.primitive.leaf_hash_empty);
    assert.equal(`0x${toHex(hasher.node(first, hasher.leaf(leaves[1] as Uint8Array)))}`, file.primitive.node_hash_0_1);
  });
  it(`finds ${file.roots.length} roots, and that of leaves of odd lengths`, () => {
    for (const { tree_size, root } of file.roots) assert.equal(`0x${toHex(tree.roots[tree_size] as Uint8Array)}`, root);
    assert.equal(`0x${toHex(treeRoot(hasher, file.odd_leaves.leaves_hex.map(hex)).root)}`, file.odd_leaves.root);
  });
  const inclusions = [...file.inclusion, ...file.invalid_inclusion];
  it(`judges ${inclusions.length} inclusion proofs`, () => {
    for (const c of inclusions) {
      const verdict = holds(() =>
        verifyInclusion(hasher, {
          leafHash: hasher.leaf(hex(c.leaf_hex)),
          index: c.leaf_index,
          size: c.tree_size,
          path: c.audit_path.map(hex),
          root: hex(c.root),
        }),
      );
      assert.equal(verdict, c.valid, c.name ?? `${c.leaf_index}/${c.tree_size}`);
    }
  });
  it("makes the same inclusion proofs", () => {
    for (const c of file.inclusion) {
      const path = proveFromPlan(hasher, planInclusion(c.leaf_index, c.tree_size), tree.read);
      assert.deepEqual(
        path.map((hash) => `0x${toHex(hash)}`),
        c.audit_path,
      );
    }
  });
  it(`verifies and makes ${file.consistency.length} consistency proofs`, () => {
    for (const c of file.consistency) {
      const proof = proveFromPlan(hasher, planConsistency(c.first, c.second), tree.read);
      assert.deepEqual(
        proof.map((hash) => `0x${toHex(hash)}`),
        c.proof,
        `${c.first}..${c.second}`,
      );
      verifyConsistency(hasher, {
        first: c.first,
        second: c.second,
        firstRoot: hex(c.first_root),
        secondRoot: hex(c.second_root),
        proof: c.proof.map(hex),
      });
    }
  });
});

interface Rfc6962File {
  rfc6962: { leaves: string[]; emptyRoot: string; rootsBySize: string[] };
}
interface ProofCase {
  wantErr: boolean;
  desc: string;
  proof: string[] | null;
  leafIdx: number;
  treeSize: number;
  leafHash: string;
  root: string;
  size1: number;
  size2: number;
  root1: string;
  root2: string;
  start: number;
  end: number;
  size: number;
}

describeShared(
  "merkle vectors of transparency logs",
  ["vectors/tlog/vectors.json", "vectors/tlog/merkle-proofs"],
  () => {
    it("finds the roots of RFC 6962's example", () => {
      const { rfc6962 } = sharedJson<Rfc6962File>("vectors/tlog/vectors.json");
      const { roots } = grow(rfc6962.leaves.map(hex));
      assert.deepEqual(roots.map(toHex), rfc6962.rootsBySize);
      assert.equal(toHex(hasher.emptyRoot), rfc6962.emptyRoot);
    });
    const checks: Record<string, (c: ProofCase, path: Uint8Array[]) => void> = {
      inclusion: (c, path) =>
        verifyInclusion(hasher, {
          leafHash: base64(c.leafHash),
          index: c.leafIdx,
          size: c.treeSize,
          path,
          root: base64(c.root),
        }),
      consistency: (c, proof) =>
        verifyConsistency(hasher, {
          first: c.size1,
          second: c.size2,
          firstRoot: base64(c.root1),
          secondRoot: base64(c.root2),
          proof,
        }),
      subtreeinclusion: (c, path) =>
        verifySubtreeInclusion(hasher, c, {
          leafHash: base64(c.leafHash),
          index: c.leafIdx,
          path,
          root: base64(c.root),
        }),
      subtreeconsistency: (c, proof) =>
        verifySubtreeConsistency(hasher, {
          start: c.start,
          end: c.end,
          size: c.size,
          firstRoot: base64(c.root1),
          secondRoot: base64(c.root2),
          proof,
        }),
    };
    for (const [kind, check] of Object.entries(checks)) {
      const files = sharedTree(`vectors/tlog/merkle-proofs/${kind}`);
      it(`judges ${files.length} ${kind} proofs`, () => {
        assert.ok(files.length > 0);
        for (const path of files) {
          const c = sharedJson<ProofCase>(path);
          assert.equal(
            holds(() => check(c, (c.proof ?? []).map(base64))),
            !c.wantErr,
            path,
          );
        }
      });
    }
  },
);

describe("merkle tree", () => {
  const size = fc.integer({ min: 1, max: 600 });

  it("has one root whatever the chunks it grew in", () => {
    fc.assert(
      fc.property(fc.array(fc.integer({ min: 1, max: 70 }), { maxLength: 8 }), (chunks) => {
        let frontier = new Frontier(hasher);
        const leaves = numbered(chunks.reduce((sum, chunk) => sum + chunk, 0));
        for (const chunk of chunks) {
          frontier = new Frontier(hasher, frontier.size, frontier.hashes());
          for (let i = 0; i < chunk; i++) frontier.append(hasher.leaf(leaves[frontier.size] as Uint8Array));
        }
        assert.deepEqual(frontier.root(), recursiveRoot(leaves));
      }),
    );
  });

  it("proves every leaf of random trees, and no other index or size shape", () => {
    fc.assert(
      fc.property(size, fc.nat(), (count, pick) => {
        const { read, roots } = grow(numbered(count));
        const index = pick % count;
        const path = proveFromPlan(hasher, planInclusion(index, count), read);
        const claim = { leafHash: read(0, index), index, size: count, path, root: roots[count] as Uint8Array };
        verifyInclusion(hasher, claim);
        assert.equal(rootFromNodes(hasher, count, read).toString(), claim.root.toString());
        assert.ok(!holds(() => verifyInclusion(hasher, { ...claim, index: count })));
        assert.ok(!holds(() => verifyInclusion(hasher, { ...claim, index: -1 })));
        assert.ok(!holds(() => verifyInclusion(hasher, { ...claim, index: index + 0.5 })));
        assert.ok(!holds(() => verifyInclusion(hasher, { ...claim, path: [...path, claim.root] })));
        assert.ok(!holds(() => verifyInclusion(hasher, { ...claim, leafHash: claim.root })) || count === 1);
        if (path.length > 0) {
          assert.ok(!holds(() => verifyInclusion(hasher, { ...claim, path: path.slice(1) })));
          assert.ok(!holds(() => verifyInclusion(hasher, { ...claim, path: path.slice(0, -1) })));
        }
        if (path.length > 1) assert.ok(!holds(() => verifyInclusion(hasher, { ...claim, path: path.toReversed() })));
      }),
    );
  });

  it("proves consistency of every pair up to 65 leaves, subtrees included", () => {
    const { read, roots } = grow(numbered(65));
    for (let second = 1; second <= 65; second++) {
      for (let first = 1; first <= second; first++) {
        const proof = proveFromPlan(hasher, planConsistency(first, second), read);
        const firstRoot = roots[first] as Uint8Array;
        const secondRoot = roots[second] as Uint8Array;
        verifyConsistency(hasher, { first, second, firstRoot, secondRoot, proof });
        if (first < second) {
          assert.ok(
            !holds(() => verifyConsistency(hasher, { first, second, firstRoot: secondRoot, secondRoot, proof })),
          );
        }
      }
      for (let span = 1; span <= 16; span *= 2) {
        for (let start = 0; start < second; start += span) {
          const end = Math.min(start + span, second);
          const firstRoot = recursiveRoot(numbered(65).slice(start, end));
          const proof = proveFromPlan(hasher, planSubtreeConsistency({ start, end }, second), read);
          const secondRoot = roots[second] as Uint8Array;
          verifySubtreeConsistency(hasher, { start, end, size: second, firstRoot, secondRoot, proof });
        }
      }
    }
  });

  it("refuses every mutation of a proof", () => {
    fc.assert(
      fc.property(size, fc.nat(), fc.nat(), fc.integer({ min: 0, max: 255 }), (second, pick, where, bit) => {
        const { read, roots } = grow(numbered(second));
        const first = (pick % second) + 1;
        const proof = proveFromPlan(hasher, planConsistency(first, second), read);
        const claim = {
          first,
          second,
          firstRoot: roots[first] as Uint8Array,
          secondRoot: roots[second] as Uint8Array,
          proof,
        };
        verifyConsistency(hasher, claim);
        const flipped = proof.map((hash) => Uint8Array.from(hash));
        const victim = flipped[where % Math.max(1, flipped.length)];
        if (victim !== undefined) {
          victim[bit >> 3] = (victim[bit >> 3] as number) ^ (1 << (bit & 7));
          assert.ok(!holds(() => verifyConsistency(hasher, { ...claim, proof: flipped })));
          assert.ok(!holds(() => verifyConsistency(hasher, { ...claim, proof: proof.slice(1) })));
        }
        assert.ok(!holds(() => verifyConsistency(hasher, { ...claim, proof: [...proof, hasher.emptyRoot] })));
        assert.ok(!holds(() => verifyConsistency(hasher, { ...claim, first: second + 1 })));
        assert.ok(!holds(() => verifyConsistency(hasher, { ...claim, first: 0 })));
        assert.ok(!holds(() => verifyConsistency(hasher, { ...claim, first: Number.NaN })));
        assert.ok(!holds(() => verifyConsistency(hasher, { ...claim, second: 2 ** 53 })));
      }),
    );
  });

  it("has one consistent pair at size 0", () => {
    const empty = { first: 0, second: 0, firstRoot: hasher.emptyRoot, secondRoot: hasher.emptyRoot, proof: [] };
    verifyConsistency(hasher, empty);
    const wrong = new Uint8Array(32);
    assert.ok(!holds(() => verifyConsistency(hasher, { ...empty, secondRoot: wrong })));
    assert.ok(!holds(() => verifyConsistency(hasher, { ...empty, firstRoot: wrong, secondRoot: wrong })));
    assert.ok(!holds(() => verifyConsistency(hasher, { ...empty, proof: [wrong] })));
    assert.ok(!holds(() => verifyConsistency(hasher, { ...empty, second: 1 })));
  });

  it("answers asynchronous readers alike", async () => {
    const { read } = grow(numbered(77));
    const plan = planInclusion(40, 77);
    const proof = await proveFromPlanAsync(hasher, plan, async (level, index) => read(level, index));
    assert.deepEqual(proof, proveFromPlan(hasher, plan, read));
  });

  it("plans proofs in trees as large as sizes go", () => {
    const size = Number.MAX_SAFE_INTEGER;
    assert.equal(planInclusion(size - 1, size).length, 52);
    assert.equal(planInclusion(0, size).length, 53);
    assert.ok(planConsistency(3, size).length <= 54);
    for (const plan of [
      () => planInclusion(size, size),
      () => planInclusion(-1, size),
      () => planInclusion(0, size + 1),
      () => planConsistency(0, size),
      () => planConsistency(size, 5),
      () => planSubtreeConsistency({ start: 1, end: 3 }, 9),
      () => planSubtreeConsistency({ start: 4, end: 2 }, 9),
    ]) {
      assert.throws(plan, { code: "proof_index" });
    }
    assert.deepEqual(planSubtreeConsistency({ start: 4, end: 4 }, 9), []);
    assert.deepEqual(planConsistency(size, size), []);
  });

  it("throws only coded errors on arbitrary claims", () => {
    const hash = fc.uint8Array({ minLength: 30, maxLength: 33 });
    fc.assert(
      fc.property(fc.double(), fc.double(), hash, hash, fc.array(hash), (a, b, one, two, proof) => {
        holds(() => verifyConsistency(hasher, { first: a, second: b, firstRoot: one, secondRoot: two, proof }));
        holds(() => void inclusionRoot(hasher, { leafHash: one, index: a, size: b, path: proof }));
        holds(() =>
          verifySubtreeInclusion(hasher, { start: a, end: b }, { leafHash: one, index: b, path: proof, root: two }),
        );
      }),
    );
  });

  it("refuses a frontier that does not fit its size", () => {
    assert.throws(() => new Frontier(hasher, 3, [hasher.emptyRoot]), { code: "proof_shape" });
    assert.throws(() => new Frontier(hasher, -1, []), { code: "proof_index" });
    assert.ok(equalBytes(new Frontier(hasher).root(), hasher.emptyRoot));
    assert.throws(() => new Frontier(hasher).append(new Uint8Array(31)), { code: "proof_shape" });
  });

  it("leaves the original alone when a copy grows", () => {
    const { frontier, roots } = grow(numbered(7));
    const copy = frontier.clone();
    copy.append(hasher.emptyRoot);
    assert.equal(copy.size, 8);
    assert.deepEqual(frontier.root(), roots[7]);
  });
});

/** The definition itself, for comparison. */
function recursiveRoot(leaves: readonly Uint8Array[]): Uint8Array {
  if (leaves.length === 0) return hasher.emptyRoot;
  if (leaves.length === 1) return hasher.leaf(leaves[0] as Uint8Array);
  let split = 1;
  while (split * 2 < leaves.length) split *= 2;
  return hasher.node(recursiveRoot(leaves.slice(0, split)), recursiveRoot(leaves.slice(split)));
}
