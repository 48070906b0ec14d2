/**
 * Verifies RFC 6962 inclusion and consistency proofs, and the subtree forms that mirrors use (c2sp.org/tlog-mirror).
 * Strict: a path must be used up exactly. Sizes and roots must come from a verified checkpoint, never from the prover.
 */
import { equalBytes } from "./bytes.ts";
import { SpineError } from "./errors.ts";
import { checkTreeSize, splitPoint, TREE_HASH_BYTES, type TreeHasher } from "./merkle.ts";

export interface InclusionClaim {
  readonly leafHash: Uint8Array;
  /** 0-based. */
  readonly index: number;
  readonly size: number;
  /** Sibling hashes, leaf side first. */
  readonly path: readonly Uint8Array[];
  readonly root: Uint8Array;
}

export interface ConsistencyClaim {
  readonly first: number;
  readonly second: number;
  readonly firstRoot: Uint8Array;
  readonly secondRoot: Uint8Array;
  readonly proof: readonly Uint8Array[];
}

/** Leaves `start` to `end` − 1; `start` is a multiple of the least power of two that is ≥ end − start. */
export interface Subtree {
  readonly start: number;
  readonly end: number;
}

export type SubtreeConsistencyClaim = Subtree & Omit<ConsistencyClaim, "first" | "second"> & { readonly size: number };

/** Returns when the leaf is under the root; throws `proof_index`, `proof_shape` or `proof_mismatch` otherwise. */
export function verifyInclusion(hasher: TreeHasher, claim: InclusionClaim): void {
  if (!equalBytes(inclusionRoot(hasher, claim), claim.root)) {
    throw new SpineError("proof_mismatch", `leaf ${claim.index} is not under this root of ${claim.size} leaves`);
  }
}

/** The root an inclusion path leads to; throws `proof_index` or `proof_shape`. */
export function inclusionRoot(hasher: TreeHasher, claim: Omit<InclusionClaim, "root">): Uint8Array {
  checkTreeSize(claim.size);
  if (!Number.isSafeInteger(claim.index) || claim.index < 0 || claim.index >= claim.size) {
    throw new SpineError("proof_index", `leaf ${claim.index} of ${claim.size}`);
  }
  if (claim.leafHash.length !== TREE_HASH_BYTES) throw new SpineError("proof_shape", "leaf hash is not 32 bytes");
  let hash: Uint8Array = claim.leafHash;
  let used = 0;
  const next = (): Uint8Array => {
    const sibling: Uint8Array | undefined = claim.path[used];
    if (sibling === undefined) throw new SpineError("proof_shape", `path ends after ${used} hashes`);
    used += 1;
    return sibling;
  };
  let index: number = claim.index;
  for (let width: number = claim.size; width > 1; width = Math.ceil(width / 2)) {
    if (index % 2 === 1) hash = hasher.node(next(), hash);
    else if (index + 1 < width) hash = hasher.node(hash, next());
    index = Math.floor(index / 2);
  }
  if (used !== claim.path.length) throw new SpineError("proof_shape", `${claim.path.length - used} hashes left over`);
  return hash;
}

/**
 * Returns when the tree of `second` leaves extends the tree of `first`. A proof from size 0 says nothing and is refused
 * (`proof_index`); protocols that allow it, such as a witness's first contact, must decide that themselves.
 */
export function verifyConsistency(hasher: TreeHasher, claim: ConsistencyClaim): void {
  checkTreeSize(claim.first);
  checkTreeSize(claim.second);
  if (claim.first > claim.second || (claim.first === 0 && claim.second > 0)) {
    throw new SpineError("proof_index", `consistency of ${claim.first} with ${claim.second} leaves`);
  }
  if (claim.second === 0 && !equalBytes(claim.secondRoot, hasher.emptyRoot)) {
    throw new SpineError("proof_mismatch", "not the root of the empty tree");
  }
  const { firstRoot, secondRoot, proof } = claim;
  verifySubtreeConsistency(hasher, { start: 0, end: claim.first, size: claim.second, firstRoot, secondRoot, proof });
}

/** Returns when the leaf is in the subtree with this root; `index` counts from the whole tree's first leaf. */
export function verifySubtreeInclusion(
  hasher: TreeHasher,
  subtree: Subtree,
  claim: Omit<InclusionClaim, "size">,
): void {
  checkSubtree(subtree);
  const { start, end } = subtree;
  verifyInclusion(hasher, { ...claim, index: claim.index - start, size: end - start });
}

/** Returns when `firstRoot` is the root of the subtree in the tree of `size` leaves with `secondRoot`. */
export function verifySubtreeConsistency(hasher: TreeHasher, claim: SubtreeConsistencyClaim): void {
  const { start, end, size, firstRoot, secondRoot, proof } = claim;
  checkSubtree(claim);
  checkTreeSize(size);
  if (end > size) throw new SpineError("proof_index", `subtree ends at ${end} of ${size} leaves`);
  let unused: number = proof.length;
  const takeLast = (): Uint8Array => {
    unused -= 1;
    const hash: Uint8Array | undefined = proof[unused];
    if (hash === undefined) throw new SpineError("proof_shape", "the proof has too few hashes");
    return hash;
  };
  if (start === end) {
    if (unused > 0) throw new SpineError("proof_shape", "the proof of an empty subtree is empty");
    if (!equalBytes(firstRoot, hasher.emptyRoot)) throw new SpineError("proof_mismatch", "not the empty tree's root");
    return;
  }
  const rebuilt: Rebuilt = rebuild(hasher, start, end, size, firstRoot, true, takeLast);
  if (unused > 0) throw new SpineError("proof_shape", `${unused} hashes left over`);
  if (!equalBytes(rebuilt.subtree, firstRoot) || !equalBytes(rebuilt.tree, secondRoot)) {
    throw new SpineError("proof_mismatch", `the trees of ${end} and ${size} leaves are not consistent`);
  }
}

interface Rebuilt {
  readonly subtree: Uint8Array;
  readonly tree: Uint8Array;
}

/** RFC 6962's SUBPROOF run backwards: the proof's last hash belongs to the outermost split. At most 53 levels deep. */
function rebuild(
  hasher: TreeHasher,
  start: number,
  end: number,
  size: number,
  known: Uint8Array,
  whole: boolean,
  takeLast: () => Uint8Array,
): Rebuilt {
  if (start === 0 && end === size) {
    const hash: Uint8Array = whole ? known : takeLast();
    return { subtree: hash, tree: hash };
  }
  const split = splitPoint(size);
  const sibling: Uint8Array = takeLast();
  if (end <= split) {
    const inner = rebuild(hasher, start, end, split, known, whole, takeLast);
    return { subtree: inner.subtree, tree: hasher.node(inner.tree, sibling) };
  }
  if (start >= split) {
    const inner = rebuild(hasher, start - split, end - split, size - split, known, whole, takeLast);
    return { subtree: inner.subtree, tree: hasher.node(sibling, inner.tree) };
  }
  const inner = rebuild(hasher, 0, end - split, size - split, known, false, takeLast);
  return { subtree: hasher.node(sibling, inner.subtree), tree: hasher.node(sibling, inner.tree) };
}

/** Throws `proof_index` unless the bounds are those of a subtree (or of an empty one). */
export function checkSubtree(subtree: Subtree): void {
  const { start, end } = subtree;
  checkTreeSize(start);
  checkTreeSize(end);
  let span = 1;
  while (span < end - start) span *= 2;
  if (start > end || start % span !== 0) throw new SpineError("proof_index", `no subtree from ${start} to ${end}`);
}
