/** Names of a scenario's nodes and the selections that name many of them (`Select`). */
import { SpineError } from "../../spine/index.ts";
import type { NodeGroup, Select } from "../scenario-file.ts";

export class Names {
  /** By index of the node. */
  readonly all: string[] = [];
  readonly #groups = new Map<string, { readonly first: number; readonly count: number }>();
  readonly #indexes = new Map<string, number>();

  /** Throws `api_input` for groups of one name. */
  constructor(groups: readonly NodeGroup[]) {
    for (const { name, count } of groups) {
      if (this.#groups.has(name)) throw new SpineError("api_input", `two groups of nodes are called "${name}"`);
      this.#groups.set(name, { first: this.all.length, count });
      for (let i = 1; i <= count; i++) this.#add(count === 1 ? name : `${name}-${i}`);
    }
  }
  #add(name: string): void {
    this.#indexes.set(name, this.all.length);
    this.all.push(name);
  }
  /** A node that appears during the run. Throws `api_input` if the name is taken. */
  append(name: string): void {
    if (this.#indexes.has(name) || this.#groups.has(name))
      throw new SpineError("api_input", `"${name}" is the name of another node`);
    this.#add(name);
  }
  /** One node. Throws `api_input`. */
  index(name: string): number {
    const [index, ...more] = this.select(name);
    if (index === undefined || more.length > 0) throw new SpineError("api_input", `"${name}" is not one node`);
    return index;
  }
  nameOf(index: number): string {
    return this.all[index] ?? `#${index}`;
  }
  groupOf(index: number): string | undefined {
    for (const [name, { first, count }] of this.#groups) if (index >= first && index < first + count) return name;
    return undefined;
  }
  /** Ascending, each once. Throws `api_input` for unknown names. */
  select(select: Select): number[] {
    const found = new Set<number>();
    for (const one of typeof select === "string" ? [select] : select)
      for (const index of this.#find(one)) found.add(index);
    return [...found].sort((a, b) => a - b);
  }
  #find(name: string): number[] {
    if (name === "*") return this.all.map((_, index) => index);
    const exact = this.#indexes.get(name);
    if (exact !== undefined) return [exact];
    const group = this.#groups.get(name);
    if (group !== undefined) return span(group.first, group.count);
    const range = /^(.+)-(\d+)\.\.(\d+)$/.exec(name);
    const part = range === null ? undefined : this.#groups.get(range[1] as string);
    if (range !== null && part !== undefined) {
      const [from, to] = [Number(range[2]), Number(range[3])];
      if (from >= 1 && from <= to && to <= part.count) return span(part.first + from - 1, to - from + 1);
    }
    throw new SpineError("api_input", `the scenario has no node or group "${name}"`);
  }
}

function span(first: number, count: number): number[] {
  return Array.from({ length: count }, (_, i) => first + i);
}
