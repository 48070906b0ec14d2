/**
 * Two peers compare the facts that travel on their own, and each hands over what the other lacks: so that all end with
 * the same ones whatever each heard first (WIRE.md 7). Called by `peering.ts`, `router.ts` and `enforcement.ts`.
 */
import { chainSeqOf } from "./acting.ts";
import type { Context } from "./context.ts";
import type { Enforcement } from "./enforcement.ts";
import { SpineError } from "./errors.ts";
import type { Tier } from "./fact.ts";
import type { Frame } from "./frame.ts";
import type { LinkId } from "./link.ts";
import type { LooseFact } from "./loose-facts.ts";
import { openSigningBytes } from "./open.ts";
import { beginReconcile, continueReconcile } from "./reconcile.ts";
import { splitRecord } from "./record.ts";
import type { Link } from "./state.ts";

type FactsFrame = Extract<Frame, { type: "facts" }>;

const MAX_ROUNDS = 32;
/** Behind a revocation that is being published, before everything else. */
const FACTS_TIER: Tier = 2;

export class FactExchange {
  readonly #ctx: Context;
  readonly #enforcement: () => Enforcement;
  constructor(ctx: Context, enforcement: () => Enforcement) {
    this.#ctx = ctx;
    this.#enforcement = enforcement;
  }

  /** Whoever holds such facts begins; with none there is nothing to say. Both may begin: the answers are the same. */
  greet(link: Link): void {
    const { loose } = this.#enforcement();
    if (loose.size === 0) return;
    this.#say(link, 0, beginReconcile(loose.set(this.#ctx.sha256Hex).items));
  }

  /** Asks every peer for what it holds: an empty set is answered with all. */
  greetAll(): void {
    const { loose } = this.#enforcement();
    for (const link of this.#ctx.peers()) this.#say(link, 0, beginReconcile(loose.set(this.#ctx.sha256Hex).items));
  }

  #say(link: Link, round: number, payload: Uint8Array): void {
    this.#ctx.send(link, { type: "facts", round, payload }, FACTS_TIER);
  }

  received(link: Link, frame: FactsFrame): void {
    if (frame.round >= MAX_ROUNDS) throw new SpineError("frame_unexpected", "too many rounds of facts");
    const { loose } = this.#enforcement();
    const { items, hashes } = loose.set(this.#ctx.sha256Hex);
    const { reply, peerLacks } = continueReconcile(items, frame.payload);
    for (const i of peerLacks) {
      const fact = loose.get(hashes[i] ?? "");
      if (fact !== undefined) this.#hand(link, fact);
    }
    if (reply !== undefined) this.#say(link, frame.round + 1, reply);
  }

  #hand(link: Link, fact: LooseFact): void {
    const { disclosure, sha256Hex } = this.#ctx;
    if (disclosure !== undefined) {
      const { signingBytes, signature } = splitRecord(fact.record, 0, fact.record.length);
      if (!disclosure.mayTell(link.id, openSigningBytes(signingBytes, signature, sha256Hex))) return;
    }
    const tier: Tier = chainSeqOf(fact.fact) !== null && fact.fact.type === "revocation" ? 1 : FACTS_TIER;
    this.#ctx.hand(link, fact, tier);
  }

  /** Hands a fact to every peer, but the one it came from. */
  spread(fact: LooseFact, except: LinkId | null): void {
    for (const link of this.#ctx.peers()) if (link.id !== except) this.#hand(link, fact);
  }
}
