/**
 * Whether this node may continue its own chain, and from where (rules 7): after a restored backup peers are asked
 * first; somebody else's statements under the own key stop all signing. Created by `context.ts`, asked by all parts.
 */
import type { Context } from "./context.ts";
import { topOf } from "./have.ts";
import type { Head } from "./head.ts";
import type { EnvelopeHash, Issuer, Millis } from "./ports.ts";
import type { Link } from "./state.ts";

/** A place in the own chain. */
export interface ChainPoint {
  readonly seq: number;
  readonly hash: EnvelopeHash;
}

/** The mark of a chain without any statement: there from the start, so that a missing file always says something. */
export const NOTHING_SIGNED: ChainPoint = { seq: 0, hash: `0x${"00".repeat(32)}` };

/** How a store stands to its high-water mark. */
export type HighWaterVerdict = "at-or-above" | "below" | "missing";

/** Garbage counts as missing. A new key has its mark before anything else: without one even an empty store may be old. */
export function compareHighWater(top: ChainPoint | undefined, mark: ChainPoint | undefined): HighWaterVerdict {
  if (mark === undefined) return "missing";
  if ((top?.seq ?? 0) < mark.seq) return "below";
  if (top === undefined) return "at-or-above";
  // The same seq with another hash: the store is of another history than the mark.
  return top.seq === mark.seq && top.hash !== mark.hash ? "below" : "at-or-above";
}

/** What the driver knows of the own chain besides the store. */
export interface OwnChainStart {
  /** Newest own (seq, hash) recorded outside the store, or null. */
  readonly highWater: ChainPoint | null;
  /**
   * "sign": the store is whole. "ask": it may be older than what was signed. "stopped": the alarm was raised earlier,
   * or the key is used elsewhere.
   */
  readonly begin: "sign" | "ask" | "stopped";
  /** What to do when fewer than two peers answered: the operator accepts the risk of a fork, or nothing is signed. */
  readonly acceptForkRisk: boolean;
}

/** asking: peers are asked. refused: too few answered so far. stopped: another node signs with this key. */
export type OwnChainPhase = "signing" | "asking" | "refused" | "stopped";

/** Peers whose own-signed answers are enough to go on. */
export const OWN_CHAIN_PEERS = 2;
/** Peers are asked for at most this long. */
export const OWN_CHAIN_ASK_MS: Millis = 5_000;

const SIGN: OwnChainStart = { highWater: null, begin: "sign", acceptForkRisk: false };

export class OwnChain {
  readonly #ctx: Context;
  readonly #accept: boolean;
  phase: OwnChainPhase;
  /** Highest own statement known: from the store's side nothing, or what the high-water mark or a peer showed. */
  #known: ChainPoint | null;
  /** The newest own head that peers showed while they were asked. */
  #head: Head | null = null;
  /** Where the chain goes on when that is above what is stored: everything below is fetched back. */
  #base: ChainPoint | null = null;
  /** Issuers that showed a head signed by the own key. */
  readonly #answered = new Set<Issuer>();
  #until: Millis = Number.POSITIVE_INFINITY;
  /** Called when the chain may go on: what lies below may be fetched back. */
  onSettled: () => void = () => {};

  constructor(ctx: Context, start: OwnChainStart = SIGN) {
    this.#ctx = ctx;
    this.#accept = start.acceptForkRisk;
    this.phase = start.begin === "sign" ? "signing" : start.begin === "ask" ? "refused" : "stopped";
    this.#known = start.highWater;
  }

  get signing(): boolean {
    return this.phase === "signing";
  }
  /** Own heads are taken as answers, not as alarms. */
  get uncertain(): boolean {
    return this.phase === "asking" || this.phase === "refused";
  }
  get answers(): number {
    return this.#answered.size;
  }

  /** Newest own point: what is held, or the base above it; undefined before the first. */
  get top(): ChainPoint | undefined {
    const held = this.#held();
    return held !== undefined && held.seq >= (this.#base?.seq ?? -1) ? held : (this.#base ?? undefined);
  }
  #held(): ChainPoint | undefined {
    const range = this.#ctx.issuers.get(this.#ctx.own)?.record.ranges.at(-1);
    return range === undefined ? undefined : { seq: range.to, hash: range.last };
  }

  /** Own envelopes at or above this seq are never asked for; 0 = none are: there is nothing to fetch back. */
  get fetchBelow(): number {
    if (!this.signing) return 0;
    const ranges = this.#ctx.issuers.get(this.#ctx.own)?.record.ranges ?? [];
    const hole = ranges.length > 1 ? (ranges.at(-1)?.from ?? 0) : 0;
    const base = this.#base !== null && topOf(ranges) < this.#base.seq ? this.#base.seq + 1 : 0;
    return Math.max(hole, base);
  }

  /** Seq up to which statements of the own key are expected from elsewhere. */
  get expected(): number {
    return this.top?.seq ?? -1;
  }

  /** No head is signed for a seq that an earlier life may have stated already. */
  mayStateHead(seq: number): boolean {
    return this.signing && (this.#base === null || seq > this.#base.seq);
  }

  // ---- asking ----

  /** The planes run: every peer is asked what it holds of the own chain. */
  ask(): void {
    if (!this.uncertain) return;
    this.#setPhase("asking");
    this.#until = this.#ctx.now + OWN_CHAIN_ASK_MS;
    for (const link of this.#ctx.peers()) this.askLink(link);
  }
  /** A link is ready: its peer is asked too. */
  askLink(link: Link): void {
    if (this.uncertain) this.#ctx.send(link, { type: "ask-inventory", issuers: [this.#ctx.own] });
  }

  /** A statement of the own key whose signature was verified. */
  learn(point: ChainPoint, head: Head | null): void {
    const known = this.#known;
    if (point.seq === known?.seq && point.hash !== known.hash) return this.conflict(point.seq);
    if (point.seq > (known?.seq ?? -1)) this.#known = point;
    if (head !== null && head.seq > (this.#head?.seq ?? -1)) this.#head = head;
  }

  /** This peer answered with an own head that verified. */
  answered(link: Link): void {
    if (!this.uncertain || link.issuer === null || link.issuer === this.#ctx.own) return;
    this.#answered.add(link.issuer);
    if (this.#answered.size < OWN_CHAIN_PEERS) return;
    // Answers that come late begin a new round: who connected just after them may know of more.
    if (this.phase === "refused") return this.ask();
    const silent = [...this.#ctx.peers()].some((peer) => peer.issuer !== null && !this.#answered.has(peer.issuer));
    if (!silent) this.#settle();
  }

  expire(): void {
    if (this.phase !== "asking" || this.#until > this.#ctx.now) return;
    if (this.#answered.size >= OWN_CHAIN_PEERS || this.#accept) return this.#settle();
    this.#until = Number.POSITIVE_INFINITY;
    this.#setPhase("refused");
  }
  nextDeadline(): Millis {
    return this.#until;
  }
  stepBack(ms: Millis): void {
    this.#until -= ms;
  }

  /** Goes on above the highest own statement known; its head is kept, so that the seq is not stated twice. */
  #settle(): void {
    this.#until = Number.POSITIVE_INFINITY;
    const state = this.#ctx.issuers.get(this.#ctx.own);
    if (state === undefined || state.record.frozenAt !== null) return this.conflict(state?.record.frozenAt ?? 0);
    const held = this.#held();
    const known = this.#known;
    if (known !== null && known.seq === held?.seq && known.hash !== held.hash) return this.conflict(known.seq);
    this.#base = known !== null && known.seq >= (held?.seq ?? -1) ? known : (held ?? null);
    const head = this.#head;
    if (head !== null && head.seq > (state.head?.seq ?? -1) && head.seq >= (held?.seq ?? -1)) {
      state.newest = head;
      this.#ctx.commit({ heads: [head] });
    }
    this.#setPhase("signing");
    this.onSettled();
  }

  // ---- alarm ----

  /** Somebody else signs with the own key: nothing is signed any more. */
  conflict(seq: number): void {
    this.phase = "stopped";
    this.#until = Number.POSITIVE_INFINITY;
    this.#ctx.emit({ type: "notify", event: { type: "own-key-conflict", seq } });
  }

  #setPhase(phase: OwnChainPhase): void {
    this.phase = phase;
    const top = this.top ?? null;
    const sentAt = this.#head?.sentAt ?? 0;
    this.#ctx.emit({ type: "notify", event: { type: "own-chain", phase, top, answers: this.answers, sentAt } });
  }
}
