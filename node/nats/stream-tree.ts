/**
 * Roots of the leaves on a cluster's log stream, hashed as they are read: what lets a witness judge a statement that
 * brings no proof (rules 9). Holds a frontier, no leaves. Made by the service where the operator asked for it.
 */
import type { NatsBus } from "../../planes/index.ts";
import { Frontier, TREE_HASH_BYTES } from "../../spine/index.ts";
import { treeHasher } from "../hash.ts";

/** Roots remembered by size: what a witness compares is the tree it signed last and the one it is asked about. */
const MAX_ROOTS = 64;

export class StreamTree {
  readonly #bus: Pick<NatsBus, "leaves">;
  #frontier = new Frontier(treeHasher);
  readonly #roots = new Map<number, Uint8Array>();
  #reading: Promise<void> = Promise.resolve();

  constructor(bus: Pick<NatsBus, "leaves">) {
    this.#bus = bus;
  }

  /** The cluster lost or replaced its stream: nothing that was read counts any more. */
  clear(): void {
    this.#frontier = new Frontier(treeHasher);
    this.#roots.clear();
  }

  /** Undefined while the stream holds fewer leaves, and for sizes passed and forgotten: those are read again. */
  async root(size: number): Promise<Uint8Array | undefined> {
    const reading = this.#reading.then(() => this.#readTo(size));
    this.#reading = reading.catch(() => {});
    await reading;
    return this.#roots.get(size);
  }

  async #readTo(size: number): Promise<void> {
    if (this.#roots.has(size)) return;
    if (size < this.#frontier.size) this.#frontier = new Frontier(treeHasher);
    const frontier = this.#frontier;
    const note = (): void => {
      if (frontier.size === size) this.#keep(size, frontier.root());
    };
    note();
    if (frontier.size >= size) return;
    for await (const page of this.#bus.leaves(frontier.size)) {
      for (const leaf of page) {
        if (leaf.length !== TREE_HASH_BYTES || frontier.size >= size) break;
        frontier.append(treeHasher.leaf(leaf));
        note();
      }
      if (frontier.size >= size || this.#frontier !== frontier) return;
    }
  }

  #keep(size: number, root: Uint8Array): void {
    this.#roots.set(size, root);
    for (const oldest of this.#roots.keys()) {
      if (this.#roots.size <= MAX_ROOTS) return;
      this.#roots.delete(oldest);
    }
  }
}
