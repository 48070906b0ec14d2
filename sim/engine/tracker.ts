/** Follows every envelope that the scenario's nodes publish: who holds it, who should, and how long that took. */
import type { Commit, EnvelopeHash, Issuer } from "../../spine/index.ts";
import { Bits } from "../bits.ts";
import type { SimDisk } from "../disk.ts";
import type { Delivery } from "../result.ts";

export interface Tracked {
  readonly hash: EnvelopeHash;
  /** Index of the node that issued it. */
  readonly by: number;
  readonly issuer: Issuer;
  readonly seq: number;
  readonly schema: string;
  readonly bytes: number;
  readonly publishedAtMs: number;
  readonly audience: Bits;
  readonly held: Bits;
  missing: number;
  completeAtMs: number | null;
}

export class Tracker {
  readonly #byHash = new Map<EnvelopeHash, Tracked>();
  readonly #byIssuer = new Map<Issuer, Tracked[]>();
  readonly #audienceOf: (by: number, schema: string) => Bits;
  readonly #onOutside: (index: number, one: Tracked) => void;
  #lost = 0;
  #missing = 0;
  #pairs = 0;
  /** When nothing was missing any more; null while something is. */
  convergedAtMs: number | null = null;

  /** `onOutside` is told of a node that holds what is not meant for it. */
  constructor(
    audienceOf: (by: number, schema: string) => Bits,
    onOutside: (index: number, one: Tracked) => void = () => {},
  ) {
    this.#audienceOf = audienceOf;
    this.#onOutside = onOutside;
  }
  get missing(): number {
    return this.#missing;
  }
  /** Share of the pairs of envelope and node that are held, 0 to 1. */
  get reach(): number {
    return this.#pairs === 0 ? 1 : 1 - this.#missing / this.#pairs;
  }
  all(): IterableIterator<Tracked> {
    return this.#byHash.values();
  }
  ofIssuer(issuer: Issuer): readonly Tracked[] {
    return this.#byIssuer.get(issuer) ?? [];
  }

  /** An envelope is durable at its issuer, for the first time. */
  published(of: Pick<Tracked, "hash" | "by" | "issuer" | "seq" | "schema" | "bytes">, nowMs: number): void {
    const { issuer } = of;
    if (this.#byHash.has(of.hash)) return;
    const audience = this.#audienceOf(of.by, of.schema);
    const missing = audience.count;
    const one: Tracked = { ...of, publishedAtMs: nowMs, audience, held: new Bits(), missing, completeAtMs: null };
    this.#byHash.set(of.hash, one);
    const list = this.#byIssuer.get(issuer);
    if (list === undefined) this.#byIssuer.set(issuer, [one]);
    else list.push(one);
    this.#missing += missing;
    this.#pairs += missing;
    this.convergedAtMs = null;
  }
  stored(index: number, commit: Commit, nowMs: number): void {
    for (const { hashes } of commit.runs) for (const hash of hashes) this.#hold(index, hash, nowMs);
  }
  #hold(index: number, hash: EnvelopeHash, nowMs: number): void {
    const one = this.#byHash.get(hash);
    if (one === undefined) return;
    if (!one.audience.has(index)) return this.#onOutside(index, one);
    if (!one.held.add(index)) return;
    one.missing--;
    this.#missing--;
    if (one.missing === 0) one.completeAtMs = nowMs;
    if (this.#missing === 0) this.convergedAtMs = nowMs;
  }
  /** A node has another disk than before. */
  diskChanged(index: number, disk: SimDisk, nowMs: number): void {
    const held = new Set(disk.leaves);
    for (const one of this.#byHash.values()) {
      if (!one.audience.has(index) || one.held.has(index) === held.has(one.hash)) continue;
      if (held.has(one.hash)) this.#hold(index, one.hash, nowMs);
      else {
        one.held.delete(index);
        one.missing++;
        this.#missing++;
        one.completeAtMs = null;
        this.convergedAtMs = null;
        if (one.held.count === 0) this.#lose(one);
      }
    }
  }
  /** The last disk that held it is gone: nobody can have it again. */
  #lose(one: Tracked): void {
    this.#lost++;
    this.#byHash.delete(one.hash);
    const list = this.#byIssuer.get(one.issuer) ?? [];
    list.splice(list.indexOf(one), 1);
    this.#missing -= one.missing;
    this.#pairs -= one.audience.count;
    if (this.#missing === 0) this.convergedAtMs = one.publishedAtMs;
  }

  /** Nodes of these that lack something of these issuers which they should hold. */
  lacking(nodes: readonly number[], issuers: readonly Issuer[]): Set<number> {
    const lacking = new Set<number>();
    if (this.#missing === 0) return lacking;
    for (const issuer of issuers) {
      for (const one of this.ofIssuer(issuer)) {
        if (one.missing === 0) continue;
        for (const node of nodes) if (one.audience.has(node) && !one.held.has(node)) lacking.add(node);
      }
    }
    return lacking;
  }

  delivery(): Delivery {
    const times: number[] = [];
    let incomplete = 0;
    for (const { completeAtMs, publishedAtMs } of this.#byHash.values()) {
      if (completeAtMs === null) incomplete++;
      else times.push(completeAtMs - publishedAtMs);
    }
    times.sort((a, b) => a - b);
    const at = (share: number): number =>
      Math.round(times[Math.min(times.length - 1, Math.floor(share * times.length))] ?? 0);
    return {
      complete: times.length,
      incomplete,
      lost: this.#lost,
      median_ms: at(0.5),
      p95_ms: at(0.95),
      max_ms: at(1),
    };
  }
}
