/** A small tree that keeps every complete node: the HashReader of suites that need proofs. */
import assert from "node:assert/strict";
import { Frontier, type HashReader, planConsistency, planInclusion, proveFromPlan, utf8 } from "../../spine/index.ts";
import { hasher, sha256 } from "./crypto.ts";

export class TestTree {
  readonly #nodes = new Map<string, Uint8Array>();
  readonly #frontier = new Frontier(hasher);
  readonly #roots: Uint8Array[] = [hasher.emptyRoot];
  readonly read: HashReader = (level, index) => {
    const hash = this.#nodes.get(`${level}/${index}`);
    assert.ok(hash, `node ${level}/${index} is not complete`);
    return hash;
  };
  constructor(leaves: Iterable<Uint8Array> = []) {
    for (const leaf of leaves) this.append(leaf);
  }
  /** `count` different leaves; another `name`, other leaves. */
  static numbered(count: number, name = "leaf"): TestTree {
    return new TestTree(Array.from({ length: count }, (_, i) => sha256(utf8(`${name}/${i}`))));
  }
  get size(): number {
    return this.#frontier.size;
  }
  append(leaf: Uint8Array): void {
    this.#frontier.append(hasher.leaf(leaf), (level, index, hash) => this.#nodes.set(`${level}/${index}`, hash));
    this.#roots.push(this.#frontier.root());
  }
  root(size = this.size): Uint8Array {
    const root = this.#roots[size];
    assert.ok(root);
    return root;
  }
  inclusion(index: number, size = this.size): Uint8Array[] {
    return proveFromPlan(hasher, planInclusion(index, size), this.read);
  }
  consistency(first: number, second = this.size): Uint8Array[] {
    return proveFromPlan(hasher, planConsistency(first, second), this.read);
  }
}
