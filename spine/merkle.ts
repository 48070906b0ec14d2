/**
 * RFC 6962 tree hashing and the compact range ("frontier") a growing log keeps in memory: at most 53 hashes whatever
 * its size. Spec: spec/spine.md section 10. Called by the log keeper, provers and verifiers.
 */
import { utf8 } from "./bytes.ts";
import { SpineError } from "./errors.ts";
import type { Sha256 } from "./ports.ts";

export const TREE_HASH_BYTES = 32;

/** Hashes leaves and nodes with their domain-separating first byte. Holds scratch space: not reentrant, never async. */
export class TreeHasher {
  readonly #sha256: Sha256;
  readonly #node: Uint8Array = new Uint8Array(1 + 2 * TREE_HASH_BYTES).fill(1, 0, 1);
  readonly #leaf: Uint8Array = new Uint8Array(1 + TREE_HASH_BYTES);
  /** Root of the tree without leaves: SHA-256 of nothing. */
  readonly emptyRoot: Uint8Array;
  constructor(sha256: Sha256) {
    this.#sha256 = sha256;
    this.emptyRoot = sha256(utf8(""));
  }
  /** `bytes` is a leaf's content of any length; in our logs the 32 raw bytes of an envelope hash. */
  leaf(bytes: Uint8Array): Uint8Array {
    if (bytes.length === TREE_HASH_BYTES) {
      this.#leaf.set(bytes, 1);
      return this.#sha256(this.#leaf);
    }
    const prefixed = new Uint8Array(1 + bytes.length);
    prefixed.set(bytes, 1);
    return this.#sha256(prefixed);
  }
  /** Both children are 32 bytes; throws `proof_shape` otherwise. */
  node(left: Uint8Array, right: Uint8Array): Uint8Array {
    if (left.length !== TREE_HASH_BYTES || right.length !== TREE_HASH_BYTES) {
      throw new SpineError("proof_shape", `tree hashes of ${left.length} and ${right.length} bytes`);
    }
    this.#node.set(left, 1);
    this.#node.set(right, 1 + TREE_HASH_BYTES);
    return this.#sha256(this.#node);
  }
}

/** Throws `proof_index` unless `size` is an integer from 0 to 2^53 − 1. */
export function checkTreeSize(size: number): void {
  if (!Number.isSafeInteger(size) || size < 0) throw new SpineError("proof_index", `tree size ${size}`);
}

/** The largest power of two below `size`, where RFC 6962 splits a tree of `size` ≥ 2 leaves. */
export function splitPoint(size: number): number {
  let split = 1;
  while (split * 2 < size) split *= 2;
  return split;
}

/** Called once for each node completed by an append, children before parents. Level 0 holds the leaf hashes. */
export type NodeSink = (level: number, index: number, hash: Uint8Array) => void;

/** The perfect subtrees that cover leaves 0 to size − 1, largest first. Mutable; one owner. */
export class Frontier {
  readonly #hasher: TreeHasher;
  readonly #hashes: Uint8Array[];
  #size: number;
  /** `hashes` as `hashes()` returned them at this `size`; throws `proof_shape` when their number does not fit it. */
  constructor(hasher: TreeHasher, size = 0, hashes: readonly Uint8Array[] = []) {
    checkTreeSize(size);
    if (hashes.length !== countOnes(size) || hashes.some((hash) => hash.length !== TREE_HASH_BYTES)) {
      throw new SpineError("proof_shape", `${hashes.length} frontier hashes for ${size} leaves`);
    }
    this.#hasher = hasher;
    this.#size = size;
    this.#hashes = [...hashes];
  }
  get size(): number {
    return this.#size;
  }
  hashes(): readonly Uint8Array[] {
    return [...this.#hashes];
  }
  /** For a commit that may fail: append to the copy, keep it once the commit is durable. */
  clone(): Frontier {
    return new Frontier(this.#hasher, this.#size, this.#hashes);
  }
  /** Appends one leaf hash (32 bytes, else `proof_shape`); about one node hash amortised. */
  append(leafHash: Uint8Array, sink?: NodeSink): void {
    if (leafHash.length !== TREE_HASH_BYTES) throw new SpineError("proof_shape", "leaf hash is not 32 bytes");
    let hash: Uint8Array = leafHash;
    let level = 0;
    let index: number = this.#size;
    sink?.(level, index, hash);
    while (index % 2 === 1) {
      hash = this.#hasher.node(this.#hashes.pop() as Uint8Array, hash);
      level += 1;
      index = (index - 1) / 2;
      sink?.(level, index, hash);
    }
    this.#hashes.push(hash);
    this.#size += 1;
  }
  root(): Uint8Array {
    return joinRight(this.#hasher, this.#hashes) ?? this.#hasher.emptyRoot;
  }
}

/** Folds neighbouring subtree hashes, left to right, from the right end; undefined when there are none. */
export function joinRight(hasher: TreeHasher, hashes: readonly Uint8Array[]): Uint8Array | undefined {
  let joined: Uint8Array | undefined;
  for (const hash of hashes.toReversed()) joined = joined === undefined ? hash : hasher.node(hash, joined);
  return joined;
}

/** Root over leaf contents (not hashes), of any number and length. */
export function treeRoot(hasher: TreeHasher, leaves: Iterable<Uint8Array>): { root: Uint8Array; size: number } {
  const frontier = new Frontier(hasher);
  for (const leaf of leaves) frontier.append(hasher.leaf(leaf));
  return { root: frontier.root(), size: frontier.size };
}

function countOnes(value: number): number {
  let ones = 0;
  for (let rest: number = value; rest > 0; rest = Math.floor(rest / 2)) ones += rest % 2;
  return ones;
}
