/**
 * Texts from templates: `(a|b|)` chooses, `{name}` takes an entry of the slot of that name, both nested at will. All chance
 * comes from a seeded generator, so that a corpus is the same on every machine. The template files beside this one use it.
 */

/** mulberry32: 32 bits of state are plenty for choosing phrases, and the sequence is the same everywhere. */
export class Chance {
  #state: number;
  constructor(seed: number) {
    this.#state = seed >>> 0;
  }
  /** Below 1, at least 0. */
  next(): number {
    this.#state = (this.#state + 0x6d2b79f5) >>> 0;
    let mixed = Math.imul(this.#state ^ (this.#state >>> 15), this.#state | 1);
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61);
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 4_294_967_296;
  }
  below(limit: number): number {
    return Math.floor(this.next() * limit);
  }
  pick<T>(list: readonly T[]): T {
    return list[this.below(list.length)] as T;
  }
  /** In place (Fisher and Yates). */
  shuffle<T>(list: T[]): T[] {
    for (let at = list.length - 1; at > 0; at--) {
      const other = this.below(at + 1);
      [list[at], list[other]] = [list[other] as T, list[at] as T];
    }
    return list;
  }
}

export type Slots = Readonly<Record<string, readonly string[]>>;

const MAX_DEPTH = 12;

/** One text of the template. Throws on an unknown slot: a misspelt one would be trained on. */
export function expand(template: string, slots: Slots, chance: Chance, depth = 0): string {
  if (depth > MAX_DEPTH) throw new Error(`template too deep: ${template.slice(0, 60)}`);
  let out = "";
  for (let at = 0; at < template.length; at++) {
    const char = template[at] as string;
    const slot = char === "{" ? /^\{([a-z]+)\}/.exec(template.slice(at, at + 32)) : null;
    if (slot !== null) {
      const name = slot[1] as string;
      const entries = slots[name];
      if (entries === undefined) throw new Error(`unknown slot {${name}}`);
      out += expand(chance.pick(entries), slots, chance, depth + 1);
      at += name.length + 1;
    } else if (char === "(") {
      const { options, end } = choices(template, at);
      out += expand(chance.pick(options), slots, chance, depth + 1);
      at = end;
    } else out += char;
  }
  return out;
}

function choices(template: string, open: number): { readonly options: readonly string[]; readonly end: number } {
  const options: string[] = [];
  let level = 0;
  let from = open + 1;
  for (let at = open; at < template.length; at++) {
    const char = template[at];
    if (char === "(") level++;
    else if (char === "|" && level === 1) {
      options.push(template.slice(from, at));
      from = at + 1;
    } else if (char === ")" && --level === 0) {
      options.push(template.slice(from, at));
      return { options, end: at };
    }
  }
  throw new Error(`unbalanced template: ${template.slice(0, 60)}`);
}

export interface Produced {
  readonly text: string;
  /** Position of the template it came from. */
  readonly template: number;
}

/** At most `most` different texts of each template, the first letter as written or in upper case as people do. */
export function produce(templates: readonly string[], slots: Slots, most: number, chance: Chance): readonly Produced[] {
  const found = new Map<string, Produced>();
  for (const [template, source] of templates.entries()) {
    for (let tries = 0, made = 0; made < most && tries < most * 2; tries++) {
      const raw = expand(source, slots, chance).replace(/ {2,}/g, " ").trim();
      const text = chance.next() < 0.8 ? raw.charAt(0).toUpperCase() + raw.slice(1) : raw;
      if (found.has(text)) continue;
      found.set(text, { text, template });
      made++;
    }
  }
  return [...found.values()];
}
