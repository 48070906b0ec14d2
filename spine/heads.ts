/**
 * Heads of others: verified, compared with what is held and with each other, kept if newest (rules 4, 6). Called for
 * inventories, broadcasts and the parent implementation's messages.
 */

import type { Asks } from "./asks.ts";
import type { Context } from "./context.ts";
import type { Forks } from "./forks.ts";
import { holds, topOf } from "./have.ts";
import { type Head, headClaim } from "./head.ts";
import type { Verdict } from "./link.ts";
import { BoundedMap } from "./quota.ts";
import type { IssuerState, Link } from "./state.ts";

/** Heads remembered as compared, so that repeats cost nothing. */
const MAX_COMPARED = 4_096;

export class Heads {
  readonly #ctx: Context;
  readonly #forks: Forks;
  readonly #compared = new BoundedMap<string, true>(MAX_COMPARED);
  readonly #asks: Asks;
  constructor(ctx: Context, forks: Forks, asks: Asks) {
    this.#ctx = ctx;
    this.#asks = asks;
    this.#forks = forks;
  }

  /** False for a head that is known or was compared before. */
  isNews(state: IssuerState, head: Head): boolean {
    const { newest } = state;
    const own = head.issuer === this.#ctx.own;
    // While the own chain is uncertain each statement about it counts, also the same from several peers.
    if (own && this.#ctx.ownChain.uncertain) return true;
    // Our own head with another time was signed by somebody else who holds the key.
    const same = newest?.seq === head.seq && newest.hash === head.hash && !(own && newest.sentAt !== head.sentAt);
    if (same) return false;
    return !this.#compared.has(nameOf(head));
  }

  /** Verifies heads, keeps the newest of each issuer and compares the rest with what is held. Of the newest it is known that it was. */
  learn(heads: readonly Head[], link: Link | null, done: (valid: boolean) => void): void {
    this.#ctx.verify(heads.map(headClaim), link?.id ?? null, (verdicts) => {
      const newer: Head[] = [];
      for (const [i, head] of heads.entries()) {
        const state = this.#ctx.admitted(head.issuer);
        if (!verdicts[i] || state === undefined) continue;
        this.#compare(state, head, link);
        // Evidence about a frozen issuer travels as proofs; heads at or above a cut say nothing any more.
        const cut = head.seq >= this.#ctx.cutOf(state);
        const { newest } = state;
        if (cut || head.issuer === this.#ctx.own || (newest?.seq ?? -1) >= head.seq) {
          this.#compared.set(nameOf(head), true);
          continue;
        }
        if (newest !== null) this.#compared.set(nameOf(newest), true);
        state.newest = head;
        newer.push(head);
      }
      if (newer.length > 0) this.#ctx.commit({ heads: newer });
      const valid = verdicts.every(Boolean);
      if (!valid && link !== null) this.#ctx.blame(link, "head_invalid", "a head's signature does not verify");
      done(valid);
    });
  }

  #compare(state: IssuerState, head: Head, link: Link | null): void {
    const theirs = { kind: "head", head } as const;
    if (state.newest?.seq === head.seq && state.newest.hash !== head.hash) {
      this.#forks.conflict(head.issuer, head.seq, theirs, link?.id ?? null);
    } else if (holds(state.record.ranges, head.seq) && !isTop(state, head)) {
      this.#ctx.lookup(head.issuer, [head.seq], ([found]) => {
        if (found !== undefined && found.hash !== head.hash)
          this.#forks.conflict(head.issuer, head.seq, theirs, link?.id ?? null);
      });
    }
    const { newest, record } = state;
    if (head.issuer !== this.#ctx.own) return;
    const { ownChain } = this.#ctx;
    if (ownChain.uncertain) return ownChain.learn({ seq: head.seq, hash: head.hash }, head);
    const copied = newest?.seq === head.seq && newest.hash === head.hash && newest.sentAt !== head.sentAt;
    if (copied || head.seq > Math.max(topOf(record.ranges), ownChain.expected)) ownChain.conflict(head.seq);
  }

  /**
   * A head heard on no link, such as on a subject everybody may publish to: peers are asked what they hold. Not
   * where air is scarce: everybody around heard it too, what it states is usually on its way, and the comparison of narrow
   * links finds what is not.
   */
  hear(head: Head, done: (valid: boolean) => void): void {
    const state = this.#ctx.admitOrClaim(head.issuer, head.seq, null);
    if (state === undefined || !this.isNews(state, head)) return done(true);
    this.learn([head], null, (valid) => {
      if (!valid || topOf(state.record.ranges) >= head.seq) return done(valid);
      for (const link of this.#ctx.peers())
        if (link.info.cost !== "radio") this.#ctx.send(link, { type: "ask-inventory", issuers: [head.issuer] });
      done(valid);
    });
  }

  /** A broadcast head: news goes on to the neighbours, and its bearer is asked what it holds, if the envelope does not come. */
  gossip(link: Link, head: Head, judge: (verdict: Verdict) => void): void {
    const state = this.#ctx.admitOrClaim(head.issuer, head.seq, link);
    if (state === undefined || !this.isNews(state, head)) return judge("ignore");
    // An older head may still contradict what is held; it is compared, but not passed on.
    const cut = head.seq >= this.#ctx.cutOf(state);
    const passOn = !cut && head.seq >= (state.newest?.seq ?? -1);
    this.learn([head], link, (valid) => {
      judge(!valid ? "reject" : passOn ? "accept" : "ignore");
      const held = link.have.get(head.issuer)?.ranges ?? [];
      if (valid && link.issuer !== null && topOf(held) < head.seq) this.#asks.expectFrom(link, state, head.seq);
    });
  }
}

/** It states what is held last, which needs no look at the disk. */
function isTop({ record: { ranges } }: IssuerState, { seq, hash }: Head): boolean {
  const top = ranges.at(-1);
  return top?.to === seq && top.last === hash;
}

function nameOf(head: Head): string {
  return `${head.issuer}|${head.seq}|${head.hash}|${head.sentAt}`;
}
