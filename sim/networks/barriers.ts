/** What keeps nodes apart besides distance: partitions and lost networks. Asked by every virtual network. */

interface Partition {
  /** Null = of every network. */
  readonly network: string | null;
  /** Side of each node; those not named are together on side -1. */
  readonly sides: ReadonlyMap<number, number>;
}

export class Barriers {
  #partitions: Partition[] = [];
  /** Nodes that have lost a network. */
  readonly #lost = new Map<string, Set<number>>();

  partition(sets: readonly (readonly number[])[], network: string | null): void {
    const sides = new Map<number, number>();
    for (const [side, set] of sets.entries()) for (const index of set) sides.set(index, side);
    this.#partitions.push({ network, sides });
  }
  /** Takes partitions away: all of them, or those of one network. */
  heal(network: string | null): void {
    this.#partitions = this.#partitions.filter((one) => network !== null && one.network !== network);
  }
  lose(network: string, nodes: readonly number[]): void {
    const lost = this.#lost.get(network) ?? new Set();
    this.#lost.set(network, lost);
    for (const index of nodes) lost.add(index);
  }
  regain(network: string, nodes: readonly number[]): void {
    for (const index of nodes) this.#lost.get(network)?.delete(index);
  }
  hasLost(network: string, index: number): boolean {
    return this.#lost.get(network)?.has(index) === true;
  }
  between(network: string, a: number, b: number): boolean {
    const lost = this.#lost.get(network);
    if (lost !== undefined && (lost.has(a) || lost.has(b))) return true;
    return this.#partitions.some(
      ({ network: of, sides }) => (of === null || of === network) && (sides.get(a) ?? -1) !== (sides.get(b) ?? -1),
    );
  }
}
