/**
 * Questions about what heads stated and what is missing here, asked late: what is stated is usually on its way, and everybody
 * around hears the same head at the same moment. On fast links its bearer is asked after a second; where air is scarce one
 * neighbour at a time, in its turn, about what should have come long ago. Used by `announce.ts` and `heads.ts`.
 */
import type { Context } from "./context.ts";
import type { Tier } from "./fact.ts";
import { MAX_INVENTORY_ENTRIES } from "./frame.ts";
import { holds, topOf } from "./have.ts";
import type { LinkId } from "./link.ts";
import type { Issuer, Millis } from "./ports.ts";
import { BoundedMap } from "./quota.ts";
import type { IssuerState, Link } from "./state.ts";

const MAX_ASKED = 1_024;
/** Asked about at once in a narrow neighbour's turn. */
const MAX_ISSUERS = 8;
/** Of the interval between the turns of a narrow link: a neighbour has so long to answer. */
const PATIENCE = 1 / 4;
/** Of questions and inventories where air is scarce: behind what is urgent. */
export const NARROW_TIER: Tier = 5;
/** Fast links: how long the bearer of a head has to bring what it states. */
const BEARER_MS: Millis = 1_000;

interface Bearer {
  readonly link: LinkId;
  readonly seq: number;
}

export class Asks {
  readonly #ctx: Context;
  /** When somebody was last asked about an issuer. */
  readonly #askedAt = new BoundedMap<Issuer, Millis>(MAX_ASKED);
  /** Whom to ask about an issuer soon. */
  readonly #bearers = new BoundedMap<Issuer, Bearer>(MAX_ASKED);
  /** When `ask` has something to do. */
  at: Millis = Number.POSITIVE_INFINITY;

  constructor(ctx: Context) {
    this.#ctx = ctx;
  }

  /** A neighbour brought a head whose envelope it is not known to hold. Narrow links compare everything in their turn. */
  expectFrom({ id, info }: Link, { record }: IssuerState, seq: number): void {
    if (topOf(record.ranges) >= seq || info.cost === "radio") return;
    if (this.#bearers.size === 0) this.at = this.#ctx.now + BEARER_MS;
    this.#bearers.set(record.issuer, { link: id, seq });
  }

  /** Asks the bearers of heads about what did not come; to be called when it is time. */
  ask(): void {
    if (this.#ctx.now < this.at) return;
    this.at = Number.POSITIVE_INFINITY;
    const questions = new Map<Link, Issuer[]>();
    for (const [issuer, { link: id, seq }] of this.#bearers.entries()) {
      const link = this.#ctx.links.get(id);
      if (link === undefined || !this.#lacks(issuer, seq) || topOf(link.have.get(issuer)?.ranges ?? []) >= seq)
        continue;
      const issuers = questions.get(link);
      if (issuers === undefined) questions.set(link, [issuer]);
      else issuers.push(issuer);
    }
    this.#bearers.clear();
    for (const [link, issuers] of questions)
      for (let i = 0; i < issuers.length; i += MAX_INVENTORY_ENTRIES)
        this.#ctx.send(link, { type: "ask-inventory", issuers: issuers.slice(i, i + MAX_INVENTORY_ENTRIES) });
  }
  #lacks(issuer: Issuer, seq: number): boolean {
    const state = this.#ctx.admitted(issuer);
    return state !== undefined && !holds(state.record.ranges, seq) && seq < this.#ctx.cutOf(state);
  }

  /** In this narrow neighbour's turn: asks it about everything that has holes and of which nobody was asked lately. */
  inTurn(link: Link): void {
    const { now, limits } = this.#ctx;
    const issuers: Issuer[] = [];
    for (const state of this.#ctx.issuers.values()) {
      const { issuer } = state.record;
      if (issuers.length >= MAX_ISSUERS || !this.#hasHole(state)) continue;
      // One neighbour at a time: the next one, if that one has nothing.
      if (now < (this.#askedAt.get(issuer) ?? 0) + PATIENCE * limits.narrowIntervalMs) continue;
      this.#askedAt.set(issuer, now);
      issuers.push(issuer);
    }
    if (issuers.length > 0) this.#ctx.send(link, { type: "ask-inventory", issuers }, NARROW_TIER);
  }
  /** Something below what is held, or stated a while ago, is missing. */
  #hasHole({ record, newest, durable }: IssuerState): boolean {
    const { now, own, limits } = this.#ctx;
    const { ranges, prunedBelow } = durable;
    if (record.issuer === own || this.#ctx.admitted(record.issuer) === undefined) return false;
    const isOld = newest !== null && newest.sentAt * 1_000 < now - limits.narrowIntervalMs;
    const above = isOld && newest.seq > topOf(ranges);
    return above || ranges.length > 1 || (ranges[0] !== undefined && ranges[0].from > Math.max(1, prunedBelow));
  }
  stepBack(ms: Millis): void {
    this.at -= ms;
  }
}
