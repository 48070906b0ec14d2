/**
 * Makes RFC 6962 proofs in two steps: a plan (pure arithmetic: which stored nodes, folded how) and a reading of those
 * nodes through a `HashReader`, synchronous or not. Called by the proofs API, the witness client and `spine prove`.
 */
import { SpineError } from "./errors.ts";
import { checkTreeSize, joinRight, splitPoint, type TreeHasher } from "./merkle.ts";
import { checkSubtree, type Subtree } from "./merkle-verify.ts";

/** A perfect subtree: leaves `index` · 2^`level` up to the next. Level 0 are leaf hashes. */
export interface NodeCoordinate {
  readonly level: number;
  readonly index: number;
}

/** Answers complete nodes only; throws a coded error for one it does not hold. Tile stores implement it directly. */
export type HashReader = (level: number, index: number) => Uint8Array;
export type AsyncHashReader = (level: number, index: number) => Promise<Uint8Array>;

/** One entry per proof hash, in the proof's order; each is the fold of perfect subtrees, left to right. */
export type ProofPlan = readonly (readonly NodeCoordinate[])[];

/** The perfect subtrees that make up leaves `start` to `end` − 1, where `start` is aligned as RFC 6962 splits. */
export function rangeNodes(start: number, end: number): NodeCoordinate[] {
  const nodes: NodeCoordinate[] = [];
  let at: number = start;
  while (at < end) {
    let level = 0;
    let width = 1;
    while (at % (width * 2) === 0 && at + width * 2 <= end) {
      level += 1;
      width *= 2;
    }
    nodes.push({ level, index: at / width });
    at += width;
  }
  return nodes;
}

/** What the frontier of a tree of `size` leaves consists of, largest first. */
export function frontierNodes(size: number): NodeCoordinate[] {
  checkTreeSize(size);
  return rangeNodes(0, size);
}

/** Throws `proof_index` unless index < size. */
export function planInclusion(index: number, size: number): ProofPlan {
  checkTreeSize(size);
  if (!Number.isSafeInteger(index) || index < 0 || index >= size) {
    throw new SpineError("proof_index", `leaf ${index} of ${size}`);
  }
  const plan: NodeCoordinate[][] = [];
  let start = 0;
  let end: number = size;
  while (end - start > 1) {
    const middle = start + splitPoint(end - start);
    if (index < middle) {
      plan.push(rangeNodes(middle, end));
      end = middle;
    } else {
      plan.push(rangeNodes(start, middle));
      start = middle;
    }
  }
  return plan.reverse();
}

/** From 1 ≤ `first` ≤ `second`; throws `proof_index` otherwise. */
export function planConsistency(first: number, second: number): ProofPlan {
  checkTreeSize(first);
  if (first === 0) throw new SpineError("proof_index", "a consistency proof from size 0 says nothing");
  return planSubtreeConsistency({ start: 0, end: first }, second);
}

/** A proof that the subtree is part of the tree of `size` leaves; throws `proof_index` for bounds that are not one. */
export function planSubtreeConsistency(subtree: Subtree, size: number): ProofPlan {
  checkSubtree(subtree);
  checkTreeSize(size);
  if (subtree.end > size) throw new SpineError("proof_index", `subtree ends at ${subtree.end} of ${size} leaves`);
  if (subtree.start === subtree.end) return [];
  const plan: NodeCoordinate[][] = [];
  let { start } = subtree;
  let from = 0;
  let to: number = size;
  let whole = true;
  while (from !== start || to !== subtree.end) {
    const middle = from + splitPoint(to - from);
    if (subtree.end <= middle) {
      plan.push(rangeNodes(middle, to));
      to = middle;
    } else {
      plan.push(rangeNodes(from, middle));
      from = middle;
      if (start < middle) {
        start = middle;
        whole = false;
      }
    }
  }
  if (!whole) plan.push(rangeNodes(from, to));
  return plan.reverse();
}

export function proveFromPlan(hasher: TreeHasher, plan: ProofPlan, read: HashReader): Uint8Array[] {
  return plan.map((nodes) =>
    fold(
      hasher,
      nodes.map((node) => read(node.level, node.index)),
    ),
  );
}

/** All reads of a proof are started together. */
export async function proveFromPlanAsync(
  hasher: TreeHasher,
  plan: ProofPlan,
  read: AsyncHashReader,
): Promise<Uint8Array[]> {
  const hashes = await Promise.all(plan.map((nodes) => Promise.all(nodes.map((node) => read(node.level, node.index)))));
  return hashes.map((group) => fold(hasher, group));
}

/** Root of the first `size` leaves, read from stored nodes. */
export function rootFromNodes(hasher: TreeHasher, size: number, read: HashReader): Uint8Array {
  const hashes = frontierNodes(size).map((node) => read(node.level, node.index));
  return joinRight(hasher, hashes) ?? hasher.emptyRoot;
}

function fold(hasher: TreeHasher, hashes: readonly Uint8Array[]): Uint8Array {
  const joined = joinRight(hasher, hashes);
  if (joined === undefined) throw new SpineError("internal", "a proof hash over no leaves");
  return joined;
}
