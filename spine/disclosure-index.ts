/**
 * Keeps, per plane and issuer, which stored envelopes may be told there: judged once, when stored, so that links are
 * answered by looking up a range. Where an issuer lives (the planes it was first heard on) decides the direction; if it
 * lives on several, every one of them must allow. Rates hold envelopes back, never revocations. Used by the gateway.
 */
import { utf8 } from "./bytes.ts";
import { type Row, RowTable, type Run } from "./commit.ts";
import {
  type Crossing,
  type Disclosed,
  type Disclosure,
  type DisclosurePolicy,
  expandFact,
  FILE,
  judgeDisclosure,
  LOCAL,
} from "./disclosure.ts";
import { type Envelope, factOf } from "./envelope.ts";
import { type Span, uniteSpans } from "./have.ts";
import type { LinkId } from "./link.ts";
import { openSigningBytes } from "./open.ts";
import type { EnvelopeHash, Issuer, Millis, Sha256Hex } from "./ports.ts";
import { BoundedMap, TokenBucket } from "./quota.ts";
import { walkRecords } from "./record.ts";

export interface Rate {
  readonly perSecond: number;
  readonly burst: number;
}

export interface DisclosureRates {
  /** Envelopes of one issuer that cross to one plane. */
  readonly issuer: Rate;
  /** Envelopes of one kind that cross to one plane. */
  readonly kind: Rate;
}

export type DecisionReason =
  | Crossing
  | "rate_limited"
  | "issuer_forked"
  | "released"
  | "policy_loosened"
  | "backlog_full";

/** One judgement of one envelope for one plane. */
export interface DisclosureDecision {
  readonly hash: EnvelopeHash;
  readonly issuer: Issuer;
  readonly seq: number;
  readonly kind: string;
  /** Where the issuer lives. */
  readonly from: string;
  readonly to: string;
  readonly verdict: "forward" | "drop" | "defer";
  readonly reason: DecisionReason;
}

export interface IndexOptions {
  readonly own: Issuer;
  /** Key of the own log, whose chain is this node's too. */
  readonly ownLog?: Issuer;
  readonly policy: DisclosurePolicy;
  readonly rates: DisclosureRates;
  readonly now: () => Millis;
  readonly sha256Hex: Sha256Hex;
  readonly onDecision: (decision: DisclosureDecision) => void;
  /** An issuer whose envelopes are stored was heard on one more plane: all it wrote is to be judged anew. */
  readonly onHome: (issuer: Issuer, homes: readonly string[]) => void;
}

/** Spans kept per plane and issuer; beyond it the oldest are told no more. */
const MAX_SPANS = 65_536;
/** Key of the row with an issuer's homes, in the gateway's table; value: planes apart by spaces. */
export const HOME_ROW = "home/";
const MAX_DEFERRED = 50_000;
const MAX_BUCKETS = 10_000;
const NOTHING: readonly Span[] = [];

interface Deferred {
  readonly decision: DisclosureDecision;
  readonly to: string;
}

export class DisclosureIndex implements Disclosure {
  readonly #options: IndexOptions;
  #policy: DisclosurePolicy;
  readonly #planes = new Set<string>();
  readonly #links = new Map<LinkId, string>();
  readonly #homes = new Map<Issuer, readonly string[]>();
  /** Issuers whose stored envelopes were all judged. */
  readonly #judged = new Set<Issuer>();
  readonly #forked = new Set<Issuer>();
  /** Stored while their issuer was not judged as a whole. */
  readonly #late = new Map<Issuer, readonly Span[]>();
  readonly #spans = new Map<string, Map<Issuer, readonly Span[]>>();
  #rates: DisclosureRates;
  #buckets = new BoundedMap<string, TokenBucket>(MAX_BUCKETS);
  #deferred: Deferred[] = [];

  constructor(options: IndexOptions) {
    this.#options = options;
    this.#policy = options.policy;
    this.#rates = options.rates;
  }

  get deferred(): number {
    return this.#deferred.length;
  }
  /** Issuers with stored envelopes that were not judged yet: nothing of them is told across planes. */
  isJudged(issuer: Issuer): boolean {
    return this.#judged.has(issuer);
  }

  addPlane(plane: string): void {
    this.#planes.add(plane);
  }
  linkUp(link: LinkId, plane: string): void {
    this.#planes.add(plane);
    this.#links.set(link, plane);
  }
  linkDown(link: LinkId): void {
    this.#links.delete(link);
  }
  /** The plane of a link that is up. */
  planeOf(link: LinkId): string | undefined {
    return this.#links.get(link);
  }
  homesOf(issuer: Issuer): readonly string[] {
    return this.#isOwn(issuer) ? [LOCAL] : (this.#homes.get(issuer) ?? []);
  }
  #isOwn(issuer: Issuer): boolean {
    return issuer === this.#options.own || issuer === this.#options.ownLog;
  }
  /** What was kept of an earlier run. */
  restoreHomes(issuer: Issuer, homes: readonly string[]): void {
    this.#homes.set(issuer, homes);
  }
  /** Another policy: everything is to be judged anew, and nothing is told before it was. */
  setPolicy(policy: DisclosurePolicy, rates?: DisclosureRates): void {
    this.#policy = policy;
    if (rates !== undefined) this.#rates = rates;
    this.#buckets = new BoundedMap(MAX_BUCKETS);
    this.#judged.clear();
    this.#spans.clear();
  }

  // ---- the core asks ----

  spans(link: LinkId, issuer: Issuer): readonly Span[] | undefined {
    const plane = this.#links.get(link);
    return plane === undefined ? NOTHING : this.spansOn(plane, issuer);
  }

  /** As `spans`, for a plane as a whole. */
  spansOn(plane: string, issuer: Issuer): readonly Span[] | undefined {
    if (!this.#crosses(issuer, plane)) return undefined;
    if (!this.#judged.has(issuer)) return NOTHING;
    return this.#spans.get(plane)?.get(issuer) ?? NOTHING;
  }

  mayTell(link: LinkId, envelope: Envelope): boolean {
    const plane = this.#links.get(link);
    if (plane === undefined) return false;
    if (!this.#crosses(envelope.issuer, plane)) return true;
    return this.#judge(envelope, expand(envelope), plane) === "allowed";
  }

  mayTellKind(link: LinkId, issuer: Issuer, kind: string): boolean {
    const plane = this.#links.get(link);
    return plane !== undefined && this.mayTellKindOn(plane, issuer, kind);
  }

  /** As `mayTellKind`, for a plane as a whole. */
  mayTellKindOn(plane: string, issuer: Issuer, kind: string): boolean {
    if (!this.#crosses(issuer, plane)) return true;
    return this.#judge({ issuer }, { issuer, kinds: [kind], policyHashes: [], excessive: false }, plane) === "allowed";
  }

  frozen(issuer: Issuer): void {
    this.#forked.add(issuer);
  }

  heard(issuer: Issuer, via: LinkId | null): readonly Row[] {
    if (this.#isOwn(issuer)) return [];
    const plane = via === null ? FILE : (this.#links.get(via) ?? via.split(":")[0] ?? via);
    const held = this.#homes.get(issuer);
    if (held?.includes(plane)) return [];
    const homes = [...(held ?? []), plane];
    this.#homes.set(issuer, homes);
    // A chain that begins now has nothing behind it to judge first.
    if (held === undefined && !this.#judged.has(issuer)) this.#judged.add(issuer);
    else {
      this.#judged.delete(issuer);
      this.#options.onHome(issuer, homes);
    }
    return [{ table: RowTable.gateway, key: HOME_ROW + issuer, value: utf8(homes.join(" ")) }];
  }

  stored(run: Run): void {
    if (this.#judged.has(run.issuer)) this.#take(run, true);
    else this.#remember(run);
  }

  // ---- the gateway walks ----

  /** Begins to judge an issuer anew: `judgeRun` its stored runs, then what `takeLate` gives, until `finishIssuer`. */
  beginIssuer(issuer: Issuer): void {
    this.#judged.delete(issuer);
    for (const spans of this.#spans.values()) spans.delete(issuer);
  }
  judgeRun(run: Pick<Run, "issuer" | "from" | "records">, live: boolean): void {
    this.#take(run, live);
  }
  /** What was stored since the walk began: to be judged too. */
  takeLate(issuer: Issuer): readonly Span[] {
    const late = this.#late.get(issuer) ?? NOTHING;
    this.#late.delete(issuer);
    return late;
  }
  /** False if something came meanwhile: take that first. */
  finishIssuer(issuer: Issuer): boolean {
    if (this.#late.has(issuer)) return false;
    this.#judged.add(issuer);
    return true;
  }

  /** A run of an issuer that is being walked, which may have passed its place. */
  #remember(run: Run): void {
    const span = { from: run.from, to: run.from + run.hashes.length - 1 };
    this.#late.set(run.issuer, uniteSpans(this.#late.get(run.issuer) ?? NOTHING, [span]));
  }

  /** What rates held back and may cross now. */
  release(): DisclosureDecision[] {
    const released: DisclosureDecision[] = [];
    const kept: Deferred[] = [];
    for (const one of this.#deferred) {
      const { decision, to } = one;
      if (
        released.length < 1_000 &&
        this.#judged.has(decision.issuer) &&
        this.#withinRates(decision.issuer, decision.kind, to)
      ) {
        this.#add(to, decision.issuer, decision.seq);
        released.push({ ...decision, verdict: "forward", reason: "released" });
      } else kept.push(one);
    }
    this.#deferred = kept;
    for (const decision of released) this.#options.onDecision(decision);
    return released;
  }

  /**
   * Judges a stored envelope that may be told on a plane now and was passed over under other policies: "told" if one of
   * them allowed it, "wait" while rates hold it back, else "forward", which is a decision.
   */
  reconsider(envelope: Envelope, to: string, before: readonly DisclosurePolicy[]): "told" | "wait" | "forward" {
    const { issuer, seq, hash } = envelope;
    const what = expand(envelope);
    if (before.some((policy) => this.#judge(envelope, what, to, policy) === "allowed")) return "told";
    const kind = what.kinds[0] as string;
    if (!this.#isOwn(issuer) && kind !== "revocation" && !this.#withinRates(issuer, kind, to)) return "wait";
    const from = this.#from(issuer, to);
    this.#options.onDecision({ hash, issuer, seq, kind, from, to, verdict: "forward", reason: "policy_loosened" });
    return "forward";
  }

  /** Whether telling an issuer's facts on a plane is a crossing at all. */
  #crosses(issuer: Issuer, plane: string): boolean {
    const homes = this.homesOf(issuer);
    return homes.length === 0 || homes.some((home) => home !== plane);
  }

  #judge(envelope: Pick<Envelope, "issuer">, what: Disclosed, to: string, policy = this.#policy): Crossing {
    let verdict: Crossing = "not_allowed";
    const homes = this.homesOf(envelope.issuer);
    // Of an issuer without a chain here nobody knows where it lives.
    for (const home of homes.length === 0 ? [FILE] : homes) {
      if (home === to) continue;
      verdict = judgeDisclosure(policy, home, to, what);
      if (verdict !== "allowed") return verdict;
    }
    return verdict;
  }

  #take(run: Pick<Run, "issuer" | "from" | "records">, live: boolean): void {
    const targets = [...this.#planes].filter((plane) => this.#crosses(run.issuer, plane));
    if (targets.length === 0) return;
    const found = new Map<string, Span[]>(targets.map((plane) => [plane, []]));
    let seq = run.from;
    for (const { signingBytes, signature } of walkRecords(run.records)) {
      const envelope = openSigningBytes(signingBytes, signature, this.#options.sha256Hex);
      const what = expand(envelope);
      for (const to of targets) {
        if (this.#decide(envelope, what, to, live)) extend(found.get(to) as Span[], seq);
      }
      seq++;
    }
    for (const [plane, spans] of found) if (spans.length > 0) this.#unite(plane, run.issuer, spans);
  }

  #decide(envelope: Envelope, what: Disclosed, to: string, live: boolean): boolean {
    const { issuer, seq, hash } = envelope;
    const kind = what.kinds[0] as string;
    let reason: DecisionReason = this.#judge(envelope, what, to);
    let verdict: DisclosureDecision["verdict"] = reason === "allowed" ? "forward" : "drop";
    const local = this.#isOwn(issuer);
    if (verdict === "forward" && !local) {
      if (this.#forked.has(issuer)) [verdict, reason] = ["drop", "issuer_forked"];
      else if (live && kind !== "revocation" && !this.#withinRates(issuer, kind, to))
        [verdict, reason] = ["defer", "rate_limited"];
    }
    const from = this.#from(issuer, to);
    let decision: DisclosureDecision = { hash, issuer, seq, kind, from, to, verdict, reason };
    if (verdict === "defer") {
      if (this.#deferred.length < MAX_DEFERRED) this.#deferred.push({ decision, to });
      else decision = { ...decision, verdict: "drop", reason: "backlog_full" };
    }
    if (live && !(local && verdict === "forward")) this.#options.onDecision(decision);
    return verdict === "forward";
  }

  #from(issuer: Issuer, to: string): string {
    return this.homesOf(issuer).find((home) => home !== to) ?? LOCAL;
  }

  #withinRates(issuer: Issuer, kind: string, to: string): boolean {
    const rates = this.#rates;
    const now = this.#options.now();
    const [a, b] = [this.#bucket(`i|${to}|${issuer}`, rates.issuer), this.#bucket(`k|${to}|${kind}`, rates.kind)];
    if (a.readyAt(1, now) > now || b.readyAt(1, now) > now) return false;
    return a.take(1, now) && b.take(1, now);
  }

  #bucket(name: string, rate: Rate): TokenBucket {
    const held = this.#buckets.get(name);
    if (held !== undefined) return held;
    const made = new TokenBucket(rate.perSecond, rate.burst, this.#options.now());
    this.#buckets.set(name, made);
    return made;
  }

  #add(plane: string, issuer: Issuer, seq: number): void {
    this.#unite(plane, issuer, [{ from: seq, to: seq }]);
  }

  #unite(plane: string, issuer: Issuer, spans: readonly Span[]): void {
    const issuers = this.#spans.get(plane) ?? new Map<Issuer, readonly Span[]>();
    this.#spans.set(plane, issuers);
    const held = issuers.get(issuer) ?? NOTHING;
    const last = held.at(-1);
    const first = spans[0] as Span;
    // Chains grow at their end: no need to sort what is in order.
    let united: readonly Span[];
    if (last === undefined || last.to + 1 < first.from) united = [...held, ...spans];
    else if (last.to + 1 === first.from)
      united = [...held.slice(0, -1), { from: last.from, to: first.to }, ...spans.slice(1)];
    else united = uniteSpans(held, spans);
    issuers.set(issuer, united.length > MAX_SPANS ? united.slice(-MAX_SPANS) : united);
  }
}

function expand(envelope: Envelope): Disclosed {
  return expandFact(envelope.issuer, envelope.factSchema, factOf(envelope));
}

function extend(spans: Span[], seq: number): void {
  const last = spans.at(-1);
  if (last !== undefined && last.to + 1 === seq) spans[spans.length - 1] = { from: last.from, to: seq };
  else spans.push({ from: seq, to: seq });
}
