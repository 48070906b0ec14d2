/**
 * Envelopes that travel alone: pushed, gossiped, imported. Each is admitted by its own signature (rules 3, 5).
 * Called by `mesh.ts`; range answers go through `sync.ts` instead.
 */

import type { Acting } from "./acting.ts";
import { concatBytes } from "./bytes.ts";
import { hasRealLeaf } from "./checkpoint-cadence.ts";
import { EnvelopeState, type IssuerRecord, type Run } from "./commit.ts";
import type { Context } from "./context.ts";
import type { Found, Outcome } from "./effect.ts";
import { type Enforcement, nothingActed } from "./enforcement.ts";
import { claimOf, type Envelope } from "./envelope.ts";
import type { Forks } from "./forks.ts";
import { type HaveRange, holds } from "./have.ts";
import type { LinkId } from "./link.ts";
import type { Claim, Issuer } from "./ports.ts";
import { writeRecord } from "./record.ts";
import type { Link } from "./state.ts";

/** Facts up to this tier are stored whatever the quotas say. */
const ROOM_TIER = 2;

/** One offered envelope on its way through. */
interface Item {
  readonly envelope: Envelope;
  /** What its fact acts on, once its signatures are verified. */
  acting: Acting | undefined;
  outcome: Outcome | undefined;
  /** No chain takes it, but its fact may act all the same. */
  evidence: boolean;
}

/** An envelope that contradicts what is known of its issuer at `seq`. */
interface Dispute {
  readonly envelope: Envelope;
  readonly seq: number;
}

export class Intake {
  readonly #ctx: Context;
  readonly #forks: Forks;
  readonly #enforcement: Enforcement;
  constructor(ctx: Context, forks: Forks, enforcement: Enforcement) {
    this.#ctx = ctx;
    this.#forks = forks;
    this.#enforcement = enforcement;
  }

  /** Admits what can be admitted; `done` gets one outcome per envelope, in order, after the commit. */
  offer(
    envelopes: readonly Envelope[],
    link: Link | null,
    done: (outcomes: Outcome[]) => void,
    via: LinkId | null = link?.id ?? null,
  ): void {
    const items = envelopes.map((envelope) => this.#screen(envelope, link, via));
    const held = items.filter(({ outcome }) => outcome === "duplicate");
    const finish = (): void => done(items.map(({ outcome }) => outcome as Outcome));
    this.#compareHeld(held, () => {
      const differing = held.filter(({ outcome }) => outcome === "chain_prev_mismatch");
      for (const item of differing) item.evidence = this.#isEvidence(item);
      const checked = items.filter((item) => item.outcome === undefined || item.evidence || differing.includes(item));
      if (checked.length === 0) return finish();
      this.#verify(checked, link, (valid) => {
        for (const { envelope } of valid.filter((item) => differing.includes(item))) this.#conflict(envelope, link);
        this.#store(valid, link, via, finish);
      });
    });
  }

  #isEvidence({ acting, envelope }: Item): boolean {
    return this.#enforcement.isEvidence(acting, envelope.hash) && this.#enforcement.isDue(envelope, acting);
  }

  /** Checks the envelopes' own signatures and those inside their facts; `then` gets those whose own is good. */
  #verify(items: readonly Item[], link: Link | null, then: (valid: readonly Item[]) => void): void {
    const claims: Claim[] = items.map(({ envelope }) => claimOf(envelope));
    const inner = items.map(({ acting }) => {
      const from = claims.length;
      claims.push(...(acting?.claims ?? []));
      return { from, to: claims.length };
    });
    this.#ctx.verify(claims, link?.id ?? null, (verdicts) => {
      const valid = items.filter((item, i) => {
        const { from, to } = inner[i] as { from: number; to: number };
        // A false signature inside is the issuer's doing: the envelope is an ordinary one then.
        if (!verdicts.slice(from, to).every(Boolean)) item.acting = undefined;
        if (!verdicts[i]) item.outcome = "signature_invalid";
        return verdicts[i];
      });
      then(valid);
    });
  }

  /** What can be said without a signature check; undefined = worth checking, "duplicate" = held, maybe with another hash. */
  #screen(envelope: Envelope, link: Link | null, via: LinkId | null): Item {
    const acting = this.#enforcement.read(envelope);
    const item: Item = { envelope, acting, outcome: this.#refusal(envelope, acting, link, via), evidence: false };
    const refused = item.outcome !== undefined && item.outcome !== "duplicate" && item.outcome !== "issued_in_future";
    if (refused) item.evidence = this.#isEvidence(item);
    return item;
  }

  #refusal(envelope: Envelope, acting: Acting | undefined, link: Link | null, via: LinkId | null): Outcome | undefined {
    const state = this.#ctx.admitOrClaim(envelope.issuer, envelope.seq, link, via);
    if (state === undefined) return "issuer_not_admitted";
    const { ranges, prunedBelow } = state.record;
    if (holds(ranges, envelope.seq) || envelope.seq < prunedBelow) return "duplicate";
    if (envelope.seq >= this.#ctx.cutOf(state)) return this.#ctx.cutCode(state, envelope.seq);
    if (!this.#enforcement.isDue(envelope, acting)) return "issued_in_future";
    return this.#hasRoom(envelope, state.record.ranges, link, via);
  }

  /** What is urgent is taken all the same; what the operator hands in is bound by the disk only. */
  #hasRoom(
    envelope: Envelope,
    ranges: readonly HaveRange[],
    link: Link | null,
    via: LinkId | null,
  ): Outcome | undefined {
    const { storage, now, own } = this.#ctx;
    if (envelope.issuer === own || this.#enforcement.tierOf(envelope) <= ROOM_TIER) return undefined;
    if (link === null && via === null) return storage.room ? undefined : "store_low";
    return storage.refusal(envelope.issuer, ranges, link, now);
  }

  /** Tells true duplicates from contradictions, whose outcome becomes `chain_prev_mismatch`. */
  #compareHeld(held: readonly Item[], then: () => void): void {
    const byIssuer = new Map<Issuer, Item[]>();
    for (const item of held) {
      const { issuer } = item.envelope;
      const items = byIssuer.get(issuer);
      if (items === undefined) byIssuer.set(issuer, [item]);
      else items.push(item);
    }
    let open = byIssuer.size;
    if (open === 0) then();
    for (const [issuer, items] of byIssuer) {
      const compare = (found: readonly (Found | undefined)[]): void => {
        for (const [at, item] of items.entries()) {
          const ours = found[at]?.hash;
          if (ours !== undefined && ours !== item.envelope.hash) item.outcome = "chain_prev_mismatch";
        }
        open--;
        if (open === 0) then();
      };
      this.#ctx.lookup(
        issuer,
        items.map(({ envelope }) => envelope.seq),
        compare,
      );
    }
  }

  #conflict(envelope: Envelope, link: Link | null): void {
    this.#forks.conflict(envelope.issuer, envelope.seq, { kind: "envelope", envelope }, link?.id ?? null);
  }

  #store(items: readonly Item[], link: Link | null, via: LinkId | null, done: () => void): void {
    const runs: { readonly run: Run; readonly isReal: boolean }[] = [];
    const records = new Map<Issuer, IssuerRecord>();
    const acted = nothingActed();
    /** Verified, but another envelope of that seq was taken first: compared when that one is on disk. */
    const twins: Envelope[] = [];
    /** What was held or heard before says otherwise at that seq: a freeze is committed after what this batch stores. */
    const disputes: Dispute[] = [];
    let open: Envelope[] = [];
    const close = (): void => {
      if (open.length > 0) runs.push({ run: runOf(open), isReal: hasRealLeaf(open) });
      open = [];
    };
    for (const item of items) {
      const { envelope, acting } = item;
      item.outcome ??= this.#join(envelope, disputes);
      if (item.outcome === "duplicate") twins.push(envelope);
      if (item.outcome !== "added") {
        // Refused by its chain, it may still act; whether others should hear of it is all that changes.
        if (acting !== undefined && this.#enforcement.evidence(acting, envelope, acted)) item.outcome = "added";
        continue;
      }
      if (acting !== undefined) this.#enforcement.take(acting, envelope, acted);
      const last = open.at(-1);
      if (last !== undefined && (last.issuer !== envelope.issuer || last.seq + 1 !== envelope.seq)) close();
      open.push(envelope);
      const record = this.#ctx.issuers.get(envelope.issuer)?.record;
      if (record !== undefined) records.set(envelope.issuer, record);
    }
    close();
    const finish = (): void => {
      for (const twin of twins) {
        this.#ctx.lookup(twin.issuer, [twin.seq], ([found]) => {
          if (found !== undefined && found.hash !== twin.hash) this.#conflict(twin, link);
        });
      }
      done();
    };
    const dispute = (): void => {
      for (const { envelope, seq } of disputes)
        this.#forks.conflict(envelope.issuer, seq, { kind: "envelope", envelope }, link?.id ?? null);
    };
    if (runs.length === 0 && acted.rows.length === 0) {
      dispute();
      return finish();
    }
    if (via !== null)
      for (const { run } of runs) this.#ctx.storage.charge(run.issuer, link, run.records.length, this.#ctx.now);
    const taken = runs.map(({ run }) => run);
    const rows = [...acted.rows, ...this.#ctx.heard(taken, via)];
    this.#ctx.commit({ runs: taken, issuers: [...records.values()], rows }, () => {
      for (const { run, isReal } of runs) {
        this.#ctx.stored(run, via, isReal);
        this.#ctx.markDirty(run.issuer, link?.id ?? null);
      }
      this.#enforcement.tell(acted, link?.id ?? null);
      finish();
    });
    dispute();
  }

  /** Takes a verified envelope into the have-ranges, or says why not. */
  #join(envelope: Envelope, disputes: Dispute[]): Outcome {
    const state = this.#ctx.admitted(envelope.issuer);
    if (state === undefined) return "issuer_not_admitted";
    const { seq, prev, hash } = envelope;
    if (seq >= this.#ctx.cutOf(state)) return this.#ctx.cutCode(state, seq);
    if (envelope.issuer === this.#ctx.own && seq >= this.#ctx.ownChain.fetchBelow) {
      // Not held, and not of a part that is fetched back: an earlier life signed it, or somebody else did.
      if (this.#ctx.ownChain.uncertain) this.#ctx.ownChain.learn({ seq, hash }, null);
      else this.#ctx.ownChain.conflict(seq);
      return "own_key_conflict";
    }
    // Retention was faster.
    if (seq < state.record.prunedBelow) return "duplicate";
    const joined = this.#ctx.join(state, { from: seq, to: seq, prev, last: hash });
    if (joined.type === "overlap") return "duplicate";
    if (joined.type === "full") return "quota_exceeded";
    if (joined.type === "rootless") return "chain_head_invalid";
    if (joined.type === "conflict") {
      disputes.push({ envelope, seq: joined.seq });
      return "chain_prev_mismatch";
    }
    const { newest } = state;
    // The issuer's own head says otherwise: held beside it, the two would never be compared again.
    if (newest?.seq === seq && newest.hash !== hash) {
      disputes.push({ envelope, seq });
      return "chain_prev_mismatch";
    }
    this.#ctx.hold(state, { ...state.record, ranges: joined.ranges });
    return "added";
  }
}

/** Packs consecutive envelopes whose own signatures were verified. */
export function runOf(envelopes: readonly Envelope[]): Run {
  const first = envelopes[0] as Envelope;
  return {
    issuer: first.issuer,
    from: first.seq,
    hashes: envelopes.map(({ hash }) => hash),
    records: concatBytes(...envelopes.map(({ signingBytes, signature }) => writeRecord(signingBytes, signature))),
    states: new Uint8Array(envelopes.length).fill(EnvelopeState.signature),
  };
}
