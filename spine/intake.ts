/**
 * Envelopes that travel alone: pushed, gossiped, imported. Each is admitted by its own signature (rules 3, 5).
 * Called by `mesh.ts`; range answers go through `sync.ts` instead.
 */

import { concatBytes } from "./bytes.ts";
import { EnvelopeState, type IssuerRecord, type Run } from "./commit.ts";
import type { Context } from "./context.ts";
import type { Found, Outcome } from "./effect.ts";
import { claimOf, type Envelope } from "./envelope.ts";
import { factKind } from "./fact.ts";
import type { Forks } from "./forks.ts";
import { holds, joinRange } from "./have.ts";
import type { Issuer } from "./ports.ts";
import { writeRecord } from "./record.ts";
import type { Link } from "./state.ts";

/** Facts that a wrong clock must not silence (rules 3). */
const CLOCK_EXEMPT: ReadonlySet<string> = new Set(["revocation"]);

/** Whether the clock rule lets an envelope in at `now`. */
export function isDue(envelope: Envelope, now: number, futureMs: number): boolean {
  if (envelope.issuedAtMs <= now + futureMs) return true;
  return CLOCK_EXEMPT.has(factKind(envelope.factSchema)?.kind ?? "");
}

export class Intake {
  readonly #ctx: Context;
  readonly #forks: Forks;
  constructor(ctx: Context, forks: Forks) {
    this.#ctx = ctx;
    this.#forks = forks;
  }

  /** Admits what can be admitted; `done` gets one outcome per envelope, in order, after the commit. */
  offer(envelopes: readonly Envelope[], link: Link | null, done: (outcomes: Outcome[]) => void): void {
    const outcomes: (Outcome | undefined)[] = envelopes.map((envelope) => this.#screen(envelope, link));
    const held = envelopes.map((_, i) => i).filter((i) => outcomes[i] === "duplicate");
    this.#compareHeld(
      envelopes,
      held,
      () => {
        const fresh = envelopes.map((_, i) => i).filter((i) => outcomes[i] === undefined);
        const differing = held.filter((i) => outcomes[i] === "chain_prev_mismatch");
        const checked = [...fresh, ...differing];
        if (checked.length === 0) {
          done(outcomes as Outcome[]);
          return;
        }
        const claims = checked.map((i) => claimOf(envelopes[i] as Envelope));
        this.#ctx.verify(claims, link?.id ?? null, (verdicts) => {
          const valid = checked.filter((i, at) => {
            if (!verdicts[at]) outcomes[i] = "signature_invalid";
            return verdicts[at];
          });
          for (const i of valid) {
            if (outcomes[i] === "chain_prev_mismatch") this.#conflict(envelopes[i] as Envelope, link);
          }
          this.#store(
            envelopes,
            valid.filter((i) => outcomes[i] === undefined),
            outcomes,
            link,
            () => done(outcomes as Outcome[]),
          );
        });
      },
      outcomes,
    );
  }

  /** What can be said without a signature check; undefined = worth checking, "duplicate" = held, maybe with another hash. */
  #screen(envelope: Envelope, link: Link | null): Outcome | undefined {
    const state = this.#ctx.admitOrClaim(envelope.issuer, envelope.seq, link);
    if (state === undefined) return "issuer_not_admitted";
    const { ranges, frozenAt, prunedBelow } = state.record;
    if (holds(ranges, envelope.seq) || envelope.seq < prunedBelow) return "duplicate";
    if (frozenAt !== null && envelope.seq >= frozenAt) return "issuer_frozen";
    if (!isDue(envelope, this.#ctx.now, this.#ctx.limits.futureMs)) return "issued_in_future";
    return undefined;
  }

  /** Tells true duplicates from contradictions, whose outcome becomes `chain_prev_mismatch`. */
  #compareHeld(
    envelopes: readonly Envelope[],
    held: readonly number[],
    then: () => void,
    outcomes: (Outcome | undefined)[],
  ): void {
    const byIssuer = new Map<Issuer, number[]>();
    for (const i of held) {
      const { issuer } = envelopes[i] as Envelope;
      const indexes = byIssuer.get(issuer);
      if (indexes === undefined) byIssuer.set(issuer, [i]);
      else indexes.push(i);
    }
    let open = byIssuer.size;
    if (open === 0) then();
    for (const [issuer, indexes] of byIssuer) {
      const compare = (found: readonly (Found | undefined)[]): void => {
        indexes.forEach((i, at) => {
          const ours = found[at]?.hash;
          if (ours !== undefined && ours !== (envelopes[i] as Envelope).hash) outcomes[i] = "chain_prev_mismatch";
        });
        open--;
        if (open === 0) then();
      };
      this.#ctx.lookup(
        issuer,
        indexes.map((i) => (envelopes[i] as Envelope).seq),
        compare,
      );
    }
  }

  #conflict(envelope: Envelope, link: Link | null): void {
    this.#forks.conflict(envelope.issuer, envelope.seq, { kind: "envelope", envelope }, link?.id ?? null);
  }

  #store(
    envelopes: readonly Envelope[],
    indexes: readonly number[],
    outcomes: (Outcome | undefined)[],
    link: Link | null,
    done: () => void,
  ): void {
    const runs: Run[] = [];
    const records = new Map<Issuer, IssuerRecord>();
    /** Verified, but another envelope of that seq was taken first: compared when that one is on disk. */
    const twins: Envelope[] = [];
    let open: Envelope[] = [];
    const close = (): void => {
      if (open.length > 0) runs.push(runOf(open));
      open = [];
    };
    for (const i of indexes) {
      const envelope = envelopes[i] as Envelope;
      const outcome = this.#join(envelope, link);
      outcomes[i] = outcome;
      if (outcome === "duplicate") twins.push(envelope);
      if (outcome !== "added") continue;
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
    if (runs.length === 0) return finish();
    this.#ctx.commit({ runs, issuers: [...records.values()] }, () => {
      for (const run of runs) {
        this.#ctx.stored(run, link?.id ?? null);
        this.#ctx.markDirty(run.issuer, link?.id ?? null);
      }
      finish();
    });
  }

  /** Takes a verified envelope into the have-ranges, or says why not. */
  #join(envelope: Envelope, link: Link | null): Outcome {
    const state = this.#ctx.admitted(envelope.issuer);
    if (state === undefined) return "issuer_not_admitted";
    const { seq, prev, hash } = envelope;
    if (state.record.frozenAt !== null && seq >= state.record.frozenAt) return "issuer_frozen";
    if (envelope.issuer === this.#ctx.own && seq >= this.#ctx.ownChain.fetchBelow) {
      // Not held, and not of a part that is fetched back: an earlier life signed it, or somebody else did.
      if (this.#ctx.ownChain.uncertain) this.#ctx.ownChain.learn({ seq, hash }, null);
      else this.#ctx.ownChain.conflict(seq);
      return "own_key_conflict";
    }
    const joined = joinRange(state.record.ranges, { from: seq, to: seq, prev, last: hash });
    if (joined.type === "overlap") return "duplicate";
    if (joined.type === "full") return "quota_exceeded";
    if (joined.type === "rootless") return "chain_head_invalid";
    if (joined.type === "conflict") {
      this.#forks.conflict(envelope.issuer, joined.seq, { kind: "envelope", envelope }, link?.id ?? null);
      return "chain_prev_mismatch";
    }
    state.record = { ...state.record, ranges: joined.ranges };
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
