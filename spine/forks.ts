/**
 * Equivocation at work: turns contradictions into proofs, freezes issuers, spreads proofs and hunts for the point of
 * divergence by bisection (rules 6). Answers of peers are claims; only fetched signed statements freeze anything.
 */
import type { ForkRecord, IssuerRecord } from "./commit.ts";
import type { Context } from "./context.ts";
import type { Found } from "./effect.ts";
import type { Enforcement } from "./enforcement.ts";
import { claimOf, type Envelope } from "./envelope.ts";
import {
  claimOfStatement,
  decodeFork,
  encodeFork,
  type ForkProof,
  proveFork,
  type Statement,
  statedHash,
} from "./equivocation.ts";
import { SpineError } from "./errors.ts";
import { MAX_LIST } from "./frame.ts";
import { topOf } from "./have.ts";
import type { LinkId } from "./link.ts";
import { openSigningBytes } from "./open.ts";
import type { EnvelopeHash, Issuer, Millis } from "./ports.ts";
import { BoundedMap, TokenBucket } from "./quota.ts";
import type { IssuerState, Link } from "./state.ts";

/** Proofs go right behind revocations (rules 6). */
const FORK_TIER = 2;
const UPDATES_PER_HOUR = 4;
const PROBES = 16;
const MAX_HUNTS = 64;

/** A search on one link for the first seq at which the peer's history differs from ours. */
interface Hunt {
  readonly issuer: Issuer;
  readonly link: LinkId;
  /** Agreed (or before the beginning) at `low`, different at `high`. */
  low: number;
  high: number;
  /** Where `high` began; only what lies below it was seen to differ. */
  readonly start: number;
  request: number;
  probes: readonly number[];
  /** Given up when no answer came until then. */
  deadline: Millis;
}

export class Forks {
  readonly #ctx: Context;
  readonly #fetch: (link: Link, issuer: Issuer, seq: number) => void;
  readonly #enforcement: Enforcement;
  readonly #hunts = new BoundedMap<Issuer, Hunt>(MAX_HUNTS);
  /** Admitted issuers to compare when other hunts are over. */
  readonly #waiting = new Set<Issuer>();
  readonly #proofs = new Map<Issuer, Uint8Array>();
  readonly #relays = new BoundedMap<Issuer, TokenBucket>(1_000);

  /** `fetch` asks a peer for one envelope as evidence; it comes back through `evidence`. */
  constructor(
    ctx: Context,
    enforcement: Enforcement,
    known: readonly ForkRecord[],
    fetch: (link: Link, issuer: Issuer, seq: number) => void,
  ) {
    this.#ctx = ctx;
    this.#enforcement = enforcement;
    this.#fetch = fetch;
    for (const { issuer, proof } of known) this.#proofs.set(issuer, proof);
  }

  /** A statement whose signature was verified contradicts what is held at `seq`. Finds our side of it and proves the fork. */
  conflict(issuer: Issuer, seq: number, theirs: Statement, link: LinkId | null): void {
    const state = this.#ctx.admitted(issuer);
    const stated = statedHash(theirs, seq);
    if (state === undefined || stated === undefined) return;
    const ownHead: Statement | null = state.newest === null ? null : { kind: "head", head: state.newest };
    if (ownHead !== null && contradicts(ownHead, seq, stated)) {
      this.#adopt(proveFork(seq, ownHead, theirs), link, false);
      return;
    }
    const seqs = [seq, seq + 1].filter(Number.isSafeInteger);
    this.#ctx.lookup(issuer, seqs, (found) => {
      const ours = found
        .filter((stored) => stored !== undefined)
        .map((stored) => statementOf(stored, this.#ctx))
        .filter((statement) => contradicts(statement, seq, stated));
      if (ours.length === 0) return;
      // Nothing serves in a proof before its own signature was checked, whatever proves its content.
      this.#ctx.verify(ours.map(claimOfStatement), null, (verdicts) => {
        const signed = ours.find((_, i) => verdicts[i]);
        if (signed !== undefined) this.#adopt(proveFork(seq, signed, theirs), link, false);
      });
    });
  }

  /** A proof from a peer: both signatures are checked before it counts. */
  received(bytes: Uint8Array, link: Link): void {
    const proof = decodeFork(bytes, this.#ctx.sha256Hex);
    const state = this.#ctx.admitted(proof.issuer);
    if (state === undefined || !lowers(state.record, proof.seq)) return;
    this.#ctx.verify(proof.statements.map(claimOfStatement), link.id, (verdicts) => {
      if (verdicts.every(Boolean)) this.#adopt(proof, link.id, true);
      else this.#ctx.blame(link, "fork_proof_invalid", "a signature in the fork proof does not verify");
    });
  }

  /** Sends our proof to a peer that has none or a higher one. */
  inform(link: Link, issuer: Issuer): void {
    const proof = this.#proofs.get(issuer);
    const frozenAt = this.#ctx.admitted(issuer)?.durable.frozenAt;
    // Once is enough: the same question must not draw the same answer again and again.
    if (proof === undefined || typeof frozenAt !== "number" || link.informed.get(issuer) === frozenAt) return;
    link.informed.set(issuer, frozenAt);
    if (!this.#tellable(proof, link)) return this.#ctx.refused(link.id, "not_disclosed");
    this.#ctx.send(link, { type: "fork", proof }, FORK_TIER);
  }

  /** A proof may hold a whole envelope: it goes where that may go. Heads may go wherever the issuer is known. */
  #tellable(proof: Uint8Array, link: Link): boolean {
    const { disclosure, sha256Hex } = this.#ctx;
    if (disclosure === undefined) return true;
    return decodeFork(proof, sha256Hex).statements.every(
      (statement) => statement.kind === "head" || disclosure.mayTell(link.id, statement.envelope),
    );
  }

  /** `isKnown`: the peer sent the proof itself; else it may hold no more than one of the two statements. */
  #adopt(proof: ForkProof, from: LinkId | null, isKnown: boolean): void {
    const state = this.#ctx.admitted(proof.issuer);
    if (state === undefined || !lowers(state.record, proof.seq)) return;
    const encoded = encodeFork(proof);
    const record: IssuerRecord = { ...state.record, frozenAt: proof.seq };
    state.record = record;
    this.#proofs.set(proof.issuer, encoded);
    const fork: ForkRecord = { issuer: proof.issuer, seq: proof.seq, proof: encoded };
    this.#enforcement.freeze(proof.issuer, proof.seq);
    this.#ctx.disclosure?.frozen(proof.issuer);
    this.#ctx.commit({ forks: [fork], issuers: [record] }, () => {
      this.#ctx.emit({ type: "notify", event: { type: "fork", issuer: proof.issuer, seq: proof.seq } });
      if (proof.issuer === this.#ctx.own) this.#ctx.ownChain.conflict(proof.seq);
      this.#relay(proof.issuer, isKnown ? from : null);
    });
    for (const one of proof.statements) if (one.kind === "envelope") this.#enforcement.consider(one.envelope);
    const link = from === null ? undefined : this.#ctx.links.get(from);
    if (link !== undefined) this.hunt(state, proof.seq, link);
  }

  #relay(issuer: Issuer, from: LinkId | null): void {
    const bucket =
      this.#relays.get(issuer) ?? new TokenBucket(UPDATES_PER_HOUR / 3600, UPDATES_PER_HOUR, this.#ctx.now);
    this.#relays.set(issuer, bucket);
    if (!bucket.take(1, this.#ctx.now)) {
      // Peers still learn of it, when their own inventories show a higher frozen seq or none.
      this.#ctx.markDirty(issuer, from);
      return;
    }
    for (const link of this.#ctx.peers()) if (link.id !== from) this.inform(link, issuer);
  }

  /**
   * Nobody believes heads above a cut any more, so what both hold below it is compared by itself, once per peer and top: a
   * peer that knows the fork as well may hold a branch that differs earlier still, and of an issuer that was revoked or
   * handed over another branch altogether.
   */
  compare(state: IssuerState, link: Link): void {
    const { issuer, ranges, frozenAt } = state.record;
    if (this.#ctx.cutOf(state) === Number.POSITIVE_INFINITY) return;
    const common = Math.min(topOf(ranges), topOf(link.have.get(issuer)?.ranges ?? []));
    const high = Math.min(frozenAt ?? Number.POSITIVE_INFINITY, common + 1);
    if (link.compared.get(issuer) === high) return;
    if (this.#hunts.has(issuer) || this.#hunts.size >= MAX_HUNTS) {
      this.#waiting.add(issuer);
      return;
    }
    link.compared.set(issuer, high);
    this.hunt(state, high, link);
  }
  /** An issuer's chain was cut: what peers said before is looked at again. */
  compareAll(issuer: Issuer): void {
    const state = this.#ctx.admitted(issuer);
    if (state === undefined || state.record.ranges.length === 0) return;
    for (const link of this.#ctx.peers()) if (link.have.has(issuer)) this.compare(state, link);
  }

  #over(hunt: Hunt): void {
    this.#hunts.delete(hunt.issuer);
    for (const issuer of this.#waiting) {
      if (this.#hunts.size >= MAX_HUNTS) return;
      if (this.#hunts.has(issuer)) continue;
      this.#waiting.delete(issuer);
      this.compareAll(issuer);
    }
  }

  /** Looks below `high` for an earlier divergence in what this peer holds. */
  hunt(state: IssuerState, high: number, link: Link): void {
    const first = state.record.ranges[0];
    if (first === undefined || high <= first.from || this.#hunts.has(state.record.issuer)) return;
    const hunt: Hunt = {
      issuer: state.record.issuer,
      link: link.id,
      low: first.from - 1,
      high,
      start: high,
      request: 0,
      probes: [],
      deadline: 0,
    };
    this.#hunts.set(hunt.issuer, hunt);
    this.#probe(hunt, link);
  }

  #probe(hunt: Hunt, link: Link): void {
    const gap = hunt.high - hunt.low;
    if (gap <= 1) {
      this.#over(hunt);
      const frozenAt = this.#ctx.admitted(hunt.issuer)?.record.frozenAt ?? Number.POSITIVE_INFINITY;
      if (hunt.high < Math.min(frozenAt, hunt.start)) this.#fetch(link, hunt.issuer, hunt.high);
      return;
    }
    const count = Math.min(PROBES, gap - 1, MAX_LIST);
    // The last probe stands right below: when it agrees, so does everything under it.
    hunt.probes = Array.from({ length: count }, (_, i) =>
      i === count - 1 ? hunt.high - 1 : hunt.low + Math.floor((gap * (i + 1)) / (count + 1)),
    );
    hunt.request = this.#ctx.nextId();
    hunt.deadline = this.#ctx.now + this.#ctx.limits.requestTimeoutMs;
    this.#ctx.send(
      link,
      { type: "ask-hashes", request: hunt.request, issuer: hunt.issuer, seqs: hunt.probes },
      FORK_TIER,
    );
  }

  /** The peer's answer to a probe: a claim, compared with what we hold. */
  hashes(link: Link, request: number, hashes: readonly (EnvelopeHash | null)[]): void {
    const hunt = [...this.#hunts.entries()]
      .map(([, value]) => value)
      .find((h) => h.request === request && h.link === link.id);
    if (hunt === undefined && this.#ctx.isPast(request)) return;
    if (hunt === undefined || hashes.length !== hunt.probes.length) {
      throw new SpineError("frame_unexpected", "hashes that were not asked for");
    }
    hunt.request = 0;
    this.#ctx.lookup(hunt.issuer, hunt.probes, (found) => {
      for (const [i, seq] of hunt.probes.entries()) {
        const [theirs, ours] = [hashes[i], found[i]?.hash];
        if (theirs === null || theirs === undefined || ours === undefined) continue;
        if (theirs === ours && seq > hunt.low && seq < hunt.high) hunt.low = seq;
        if (theirs !== ours && seq < hunt.high) {
          hunt.high = seq;
          break;
        }
      }
      const shrunk = hunt.probes.some((seq) => seq === hunt.low || seq === hunt.high);
      if (shrunk && this.#ctx.links.get(link.id) === link) this.#probe(hunt, link);
      else this.#over(hunt);
    });
  }

  /** A single envelope fetched to prove a fork. It counts only by its own signature. */
  evidence(envelope: Envelope, link: Link): void {
    const { own, ownChain } = this.#ctx;
    if (envelope.issuer === own && ownChain.uncertain) {
      this.#ctx.verify([claimOf(envelope)], link.id, ([valid]) => {
        if (!valid) return;
        ownChain.learn({ seq: envelope.seq, hash: envelope.hash }, null);
        ownChain.answered(link);
      });
    }
    this.#ctx.lookup(envelope.issuer, [envelope.seq], ([ours]) => {
      if (ours === undefined || ours.hash === envelope.hash) return;
      const theirs: Statement = { kind: "envelope", envelope };
      this.#ctx.verify([claimOfStatement(theirs)], link.id, ([valid]) => {
        if (valid) this.conflict(envelope.issuer, envelope.seq, theirs, link.id);
      });
    });
  }

  /** Gives up on peers that do not answer. */
  expire(): void {
    for (const [issuer, hunt] of [...this.#hunts.entries()]) {
      if (hunt.deadline > this.#ctx.now) continue;
      this.#over(hunt);
      // Asked again when it shows its inventory again.
      this.#ctx.links.get(hunt.link)?.compared.delete(issuer);
    }
  }
  nextDeadline(): Millis {
    let next = Number.POSITIVE_INFINITY;
    if (this.#hunts.size === 0) return next;
    for (const [, { deadline }] of this.#hunts.entries()) next = Math.min(next, deadline);
    return next;
  }
  stepBack(ms: Millis): void {
    for (const [, hunt] of this.#hunts.entries()) hunt.deadline -= ms;
  }

  linkDown(link: LinkId): void {
    for (const [, hunt] of [...this.#hunts.entries()]) if (hunt.link === link) this.#over(hunt);
  }
}

function lowers(record: IssuerRecord, seq: number): boolean {
  return record.frozenAt === null || seq < record.frozenAt;
}

function contradicts(statement: Statement, seq: number, stated: EnvelopeHash | null): boolean {
  const hash = statedHash(statement, seq);
  return hash !== undefined && hash !== stated;
}

function statementOf(found: Found, ctx: Context): Statement {
  return { kind: "envelope", envelope: openSigningBytes(found.signingBytes, found.signature, ctx.sha256Hex) };
}
