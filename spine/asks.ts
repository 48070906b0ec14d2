/**
 * Questions about what heads stated and what is missing here, asked late: what is stated is usually on its way, and everybody
 * around hears the same head at the same moment. On fast links its bearer is asked after a second; where air is scarce one
 * neighbour at a time, ever more rarely. Used by `announce.ts` and `heads.ts`.
 */
import { utf8 } from "./bytes.ts";
import type { Context } from "./context.ts";
import type { Tier } from "./fact.ts";
import { MAX_INVENTORY_ENTRIES } from "./frame.ts";
import { holds, topOf } from "./have.ts";
import type { LinkId } from "./link.ts";
import type { Issuer, Millis } from "./ports.ts";
import { BoundedMap } from "./quota.ts";
import type { IssuerState, Link } from "./state.ts";

const MAX_ASKED = 1_024;
/** Asked about at once: in a neighbour's turn, and together for heads. */
const MAX_ISSUERS = 8;
const MAX_STATED = 32;
/**
 * Of the interval in which everything is looked at: what is stated has so long to come, and a neighbour to answer. Each
 * time twice as long: where nothing comes the air is full already.
 */
const PATIENCE = 1 / 4;
/** Neighbours asked about one head; after that holes are found when everything is looked at. */
const MAX_TRIES = 4;
/** Of questions and inventories where air is scarce: behind what is urgent. */
export const NARROW_TIER: Tier = 5;

/** Fast links: how long the bearer of a head has to bring what it states. */
const BEARER_MS: Millis = 1_000;

interface Bearer {
  readonly link: LinkId;
  readonly seq: number;
}

interface Expected {
  readonly seq: number;
  readonly at: Millis;
  readonly tries: number;
}

export class Asks {
  readonly #ctx: Context;
  /** When somebody was last asked about an issuer. */
  readonly #askedAt = new BoundedMap<Issuer, Millis>(MAX_ASKED);
  /** What heads stated that is not here. */
  readonly #expected = new BoundedMap<Issuer, Expected>(MAX_ASKED);
  #expectedAt: Millis = Number.POSITIVE_INFINITY;
  /** 0.5 to 1.5, another one at each node: they heard the same at the same moment. */
  readonly #pace: number;
  #turn = 0;
  /** Whom to ask about an issuer soon, and when. */
  readonly #bearers = new BoundedMap<Issuer, Bearer>(MAX_ASKED);
  #bearersAt: Millis = Number.POSITIVE_INFINITY;
  /** When `ask` has something to do. */
  at: Millis = Number.POSITIVE_INFINITY;

  constructor(ctx: Context) {
    this.#ctx = ctx;
    this.#pace = 0.5 + Number.parseInt(ctx.sha256Hex(utf8(ctx.own)).slice(0, 4), 16) / 0x1_0000;
  }

  /** A head of this issuer was heard, and what it states is not held. */
  expect(issuer: Issuer, seq: number): void {
    const known = this.#expected.get(issuer);
    if (known !== undefined && known.seq >= seq) return;
    const at = known?.at ?? this.#ctx.now + PATIENCE * this.#pace * this.#ctx.limits.narrowIntervalMs;
    this.#expected.set(issuer, { seq, at, tries: 0 });
    this.#expectedAt = Math.min(this.#expectedAt, at);
    this.at = Math.min(this.at, at);
  }

  /** A neighbour brought a head whose envelope it is not known to hold. */
  expectFrom({ id, info }: Link, { record }: IssuerState, seq: number): void {
    if (topOf(record.ranges) >= seq) return;
    if (info.cost === "radio") return this.expect(record.issuer, seq);
    if (this.#bearers.size === 0) this.#bearersAt = this.#ctx.now + BEARER_MS;
    this.#bearers.set(record.issuer, { link: id, seq });
    this.at = Math.min(this.at, this.#bearersAt);
  }

  /** To be called when it is time. */
  ask(): void {
    const { now } = this.#ctx;
    if (now < this.at) return;
    if (now >= this.#bearersAt) this.#askBearers();
    if (now >= this.#expectedAt) this.#askNeighbour();
    this.at = Math.min(this.#bearersAt, this.#expectedAt);
  }

  #askBearers(): void {
    this.#bearersAt = Number.POSITIVE_INFINITY;
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

  /** Asks the next neighbour about all that did not come. */
  #askNeighbour(): void {
    const { now, limits } = this.#ctx;
    const links = [...this.#ctx.peers()].filter(({ info }) => info.cost === "radio");
    const patienceMs = PATIENCE * this.#pace * limits.narrowIntervalMs;
    const issuers: Issuer[] = [];
    this.#expectedAt = Number.POSITIVE_INFINITY;
    for (const [issuer, { seq, at, tries }] of [...this.#expected.entries()]) {
      let next = at;
      if (at <= now) {
        if (tries >= MAX_TRIES || !this.#lacks(issuer, seq)) {
          this.#expected.delete(issuer);
          continue;
        }
        // Whoever said that it holds it is being asked for it.
        const isKnown = links.some(({ have }) => holds(have.get(issuer)?.ranges ?? [], seq));
        if (!isKnown && issuers.length < MAX_STATED) issuers.push(issuer);
        next = now + patienceMs * 2 ** (tries + 1);
        this.#expected.set(issuer, { seq, at: next, tries: tries + 1 });
      }
      this.#expectedAt = Math.min(this.#expectedAt, next);
    }
    // Others that are due soon go with the next question.
    if (Number.isFinite(this.#expectedAt)) this.#expectedAt = Math.max(this.#expectedAt, now + patienceMs);
    const link = links[this.#turn++ % links.length];
    if (link !== undefined) this.#send(link, issuers);
  }

  /** In this neighbour's turn: asks it about everything that has holes and of which nobody was asked lately. */
  inTurn(link: Link): void {
    const { now, limits } = this.#ctx;
    const issuers: Issuer[] = [];
    for (const state of this.#ctx.issuers.values()) {
      const { issuer } = state.record;
      if (issuers.length >= MAX_ISSUERS || !this.#hasHole(state)) continue;
      // One neighbour at a time: the next one, if that one has nothing.
      if (now < (this.#askedAt.get(issuer) ?? 0) + PATIENCE * limits.narrowIntervalMs) continue;
      issuers.push(issuer);
    }
    this.#send(link, issuers);
  }

  #send(link: Link, issuers: readonly Issuer[]): void {
    if (issuers.length === 0) return;
    for (const issuer of issuers) this.#askedAt.set(issuer, this.#ctx.now);
    this.#ctx.send(link, { type: "ask-inventory", issuers }, NARROW_TIER);
  }
  #lacks(issuer: Issuer, seq: number): boolean {
    const state = this.#ctx.admitted(issuer);
    return state !== undefined && !holds(state.record.ranges, seq) && seq < this.#ctx.cutOf(state);
  }
  /** Something below what is held or stated is missing. */
  #hasHole({ record, newest, durable }: IssuerState): boolean {
    const { ranges, prunedBelow } = durable;
    if (record.issuer === this.#ctx.own || this.#ctx.admitted(record.issuer) === undefined) return false;
    const above = newest !== null && newest.seq > topOf(ranges);
    return above || ranges.length > 1 || (ranges[0] !== undefined && ranges[0].from > Math.max(1, prunedBelow));
  }
  stepBack(ms: Millis): void {
    for (const [issuer, one] of [...this.#expected.entries()]) this.#expected.set(issuer, { ...one, at: one.at - ms });
    this.#expectedAt -= ms;
    this.#bearersAt -= ms;
    this.at -= ms;
  }
}
