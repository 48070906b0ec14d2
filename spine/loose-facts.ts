/**
 * Facts that act although they stand in no chain that nodes follow: what recovery and next keys signed, restrictions above
 * a freeze or on the branch that is not stored (rules 6), and words of revokers over each other. Every node must end with the same ones, so they are
 * compared with each peer as a set (WIRE.md 7). Used by `enforcement.ts`.
 */
import { type ActingFact, chainSeqOf, type StoredFact, subjectOf } from "./acting.ts";
import { fromHex } from "./bytes.ts";
import type { EnvelopeHash, Issuer, Sha256Hex } from "./ports.ts";
import { ItemSet } from "./reconcile.ts";

/** In all, and in the name of one issuer: one stolen key must not push out what others have to say. */
const MAX_FACTS = 4_096;
const MAX_BYTES = 8 * 1_048_576;
const MAX_FACTS_PER_ISSUER = 256;
const MAX_BYTES_PER_ISSUER = 524_288;

export interface LooseFact extends StoredFact {
  readonly record: Uint8Array;
}

interface Share {
  facts: number;
  bytes: number;
}

export class LooseFacts {
  readonly #facts = new Map<EnvelopeHash, LooseFact>();
  /** On disk: only those are spoken of. */
  readonly #durable = new Set<EnvelopeHash>();
  readonly #shares = new Map<Issuer, Share>();
  #bytes = 0;
  #set: { readonly items: ItemSet; readonly hashes: readonly EnvelopeHash[] } | undefined;
  /** Facts that found no room. */
  dropped: number = 0;

  /** How many are on disk. */
  get size(): number {
    return this.#durable.size;
  }
  has(hash: EnvelopeHash): boolean {
    return this.#facts.has(hash);
  }
  get(hash: EnvelopeHash): LooseFact | undefined {
    return this.#facts.get(hash);
  }

  /** False when it is known or finds no room. */
  add(fact: LooseFact): boolean {
    if (this.#facts.has(fact.hash)) return false;
    const subject = subjectOf(fact.fact);
    const share = this.#shares.get(subject) ?? { facts: 0, bytes: 0 };
    const { length } = fact.record;
    const full = this.#facts.size >= MAX_FACTS || this.#bytes + length > MAX_BYTES;
    if (full || share.facts >= MAX_FACTS_PER_ISSUER || share.bytes + length > MAX_BYTES_PER_ISSUER) {
      this.dropped++;
      return false;
    }
    share.facts++;
    share.bytes += length;
    this.#shares.set(subject, share);
    this.#bytes += length;
    this.#facts.set(fact.hash, fact);
    return true;
  }
  /** It is on disk. */
  committed(hash: EnvelopeHash): void {
    this.#durable.add(hash);
    this.#set = undefined;
  }

  /** Those on disk that revoke an issuer or hand it over, whether they count or not. */
  *over(issuer: Issuer): IterableIterator<LooseFact> {
    for (const hash of this.#durable) {
      const loose = this.#facts.get(hash);
      if (loose !== undefined && isOver(loose.fact, issuer)) yield loose;
    }
  }

  /** All that are on disk as items for reconciliation, and the hash behind each item's index. */
  set(sha256Hex: Sha256Hex): { readonly items: ItemSet; readonly hashes: readonly EnvelopeHash[] } {
    if (this.#set === undefined) {
      const hashes = [...this.#durable];
      const items = hashes.map((hash) => ({ at: 0, id: fromHex(hash.slice(2), 32) }));
      this.#set = { items: new ItemSet(items, sha256Hex), hashes };
    }
    return this.#set;
  }
}

/** Whether a fact revokes an issuer or hands it over. */
export function isOver(fact: ActingFact, issuer: Issuer): boolean {
  if (fact.type === "handover") return fact.handover.old === issuer;
  if (fact.type !== "revocation") return false;
  return fact.revocation.targets.some(({ scope, value }) => value === issuer && (scope === "node" || scope === "key"));
}

/** Whether a fact of a chain must travel on its own once its chain is cut below it: restrictions and a second genesis do. */
export function outlivesCut({ fact }: StoredFact): boolean {
  return chainSeqOf(fact) !== null && fact.type !== "attestation" && fact.type !== "set";
}
