/**
 * Under which disclosure policies the feed has passed the leaves of its store. What one of them allowed stands on the
 * streams; after a policy that allows more, only what is new is looked at again. Bounded; kept in a row by `feed.ts`.
 */
import { canonicalText, type DisclosurePolicy, type Json, looseningOf } from "../../spine/index.ts";

/** Leaves below `until` and behind the region before, with the texts of the policies they were passed under. */
interface Region {
  readonly until: number;
  readonly policies: readonly string[];
}

/** Leaves that a looser policy calls for. */
export interface Pending {
  readonly from: number;
  readonly until: number;
  readonly policies: readonly DisclosurePolicy[];
}

const MAX_REGIONS = 32;
const MAX_POLICIES = 8;
/** Characters of all policies of regions. */
const MAX_TEXT = 262_144;

export class FedPolicies {
  #regions: Region[] = [];
  /** What leaves behind the last region are passed under. */
  #current: string | null = null;
  readonly #parsed = new Map<string, DisclosurePolicy>();
  #pending: Pending | null | undefined;

  /** Reads what `text` gave. */
  static parse(text: string): FedPolicies {
    const { policies, regions, current } = JSON.parse(text) as {
      policies: DisclosurePolicy[];
      regions: [number, number[]][];
      current: number | null;
    };
    const fed = new FedPolicies();
    const texts = policies.map(textOf);
    fed.#regions = regions.map(([until, places]) => ({ until, policies: places.map((at) => texts[at] as string) }));
    fed.#current = current === null ? null : (texts[current] as string);
    return fed;
  }

  text(): string {
    const texts = [...new Set([...this.#regions.flatMap(({ policies }) => policies), this.#current])].filter(
      (one) => one !== null,
    );
    return JSON.stringify({
      policies: texts.map((one) => JSON.parse(one) as unknown),
      regions: this.#regions.map(({ until, policies }) => [until, policies.map((one) => texts.indexOf(one))]),
      current: this.#current === null ? null : texts.indexOf(this.#current),
    });
  }

  /** The policy in effect from leaf `cursor` on; whether it is another one. */
  take(policy: DisclosurePolicy, cursor: number): boolean {
    const text = textOf(policy);
    if (text === this.#current) return false;
    // Of what was passed before policies were noted nothing else is known than that it was by one like this.
    const before = this.#current ?? text;
    this.#current = text;
    this.#close(cursor, [before]);
    return true;
  }

  /** It is not known any more what was passed up to `cursor`: everything is to be looked at again. */
  forget(cursor: number): void {
    this.#regions = [];
    this.#close(cursor, []);
  }
  /** Everything is passed anew. */
  clear(): void {
    this.#regions = [];
    this.#pending = undefined;
  }

  /** The first leaves that the policy in effect may tell more of than those they were passed under; null if none. */
  get pending(): Pending | null {
    if (this.#pending !== undefined) return this.#pending;
    this.#pending = null;
    let from = 0;
    for (const { until, policies } of this.#regions) {
      if (!policies.some((one) => this.#covers(one))) {
        this.#pending = { from, until, policies: policies.map((one) => this.#policy(one)) };
        break;
      }
      from = until;
    }
    return this.#pending;
  }

  /** Leaves of `pending` below `next` were passed again, under the policy in effect. */
  passedAgain(next: number): void {
    const { pending } = this;
    const current = this.#current;
    if (pending === null || current === null || next <= pending.from) return;
    const at = this.#regions.findIndex(({ until }) => until === pending.until);
    const { until, policies } = this.#regions[at] as Region;
    const covered = policies.filter((one) => looseningOf(this.#policy(current), this.#policy(one)).length > 0);
    const done = { until: Math.min(next, until), policies: [...covered, current].slice(-MAX_POLICIES) };
    this.#regions.splice(at, 1, done, ...(next < until ? [{ until, policies }] : []));
    this.#shorten();
  }

  #close(cursor: number, policies: readonly string[]): void {
    if (cursor > (this.#regions.at(-1)?.until ?? 0)) this.#regions.push({ until: cursor, policies });
    this.#shorten();
  }

  /** Joins neighbours that are alike; of too many, the oldest know only what they have in common. */
  #shorten(): void {
    this.#pending = undefined;
    const joined: Region[] = [];
    for (const region of this.#regions) {
      const last = joined.at(-1);
      if (last !== undefined && sameTexts(last.policies, region.policies)) joined.pop();
      joined.push(region);
    }
    while (joined.length > MAX_REGIONS || (joined.length > 1 && lengthOf(joined) > MAX_TEXT)) {
      const [first, second] = joined.splice(0, 2) as [Region, Region];
      const policies = second.policies.filter((one) => first.policies.includes(one));
      joined.unshift({ until: second.until, policies });
    }
    this.#regions = joined;
    const used = new Set(joined.flatMap(({ policies }) => policies));
    for (const text of this.#parsed.keys()) if (!used.has(text) && text !== this.#current) this.#parsed.delete(text);
  }

  #covers(text: string): boolean {
    const current = this.#current;
    return current === null || current === text || looseningOf(this.#policy(text), this.#policy(current)).length === 0;
  }

  #policy(text: string): DisclosurePolicy {
    const held = this.#parsed.get(text);
    if (held !== undefined) return held;
    const policy = JSON.parse(text) as DisclosurePolicy;
    this.#parsed.set(text, policy);
    return policy;
  }
}

function textOf(policy: DisclosurePolicy): string {
  return canonicalText(JSON.parse(JSON.stringify(policy)) as Json);
}

function lengthOf(regions: readonly Region[]): number {
  const texts = new Set(regions.flatMap(({ policies }) => policies));
  return [...texts].reduce((sum, { length }) => sum + length, 0);
}

function sameTexts(a: readonly string[], b: readonly string[]): boolean {
  return a.length === b.length && a.every((one, i) => one === b[i]);
}
