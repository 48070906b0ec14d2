/**
 * Policies over the mesh (design/rules.md rules 8 and 12): the operator's policy, tightened by the deltas of curators and
 * joined by their bundles, each of which must allow. Nothing that arrives here loosens: a bundle that would is staged for
 * the operator or a quorum of curators, deltas only tighten and stay, and a revoked bundle falls back to the one before
 * it or closes everything. Pure but for the loader; the guard host hands facts in and keeps the records on disk.
 */
import type { Issuer, JsonObject } from "../../../spine/index.ts";
import { type BundleProblem, isBundleProblem, type PolicyBundle, readBundle } from "./bundle.ts";
import { applyDeltas, type DeltaProblem, deltaProblem, isDeltaProblem, type PolicyDelta, parseDelta } from "./delta.ts";
import type { PolicyHolder, PolicyState } from "./holder.ts";
import { type InForce, inForceOf, type PolicySource } from "./in-force.ts";
import type { LoadedPolicy } from "./load.ts";
import { type Loosening, loosenings } from "./loosening.ts";

/** A policy fact of a curator, its envelope verified and stored. */
export interface CuratedFact {
  readonly curator: Issuer;
  /** Of its envelope in the curator's chain. */
  readonly seq: number;
  readonly envelopeHash: string;
  readonly kind: "delta" | "bundle";
  readonly fact: JsonObject;
}

/**
 * `accepted`: in force, as far as nothing revokes it. `staged`: loosens, and waits for a word. `waiting`: a delta made for
 * a policy that is not in force here. `refused`: said once, and not looked at again.
 */
export type CuratedStatus = "accepted" | "staged" | "waiting" | "refused";

export interface CuratedRecord extends CuratedFact {
  status: CuratedStatus;
}

export interface CuratedOutcome {
  readonly record: CuratedRecord;
  readonly status: CuratedStatus;
  /** Why it was refused. */
  readonly reason?: string;
  readonly message?: string;
  /** What a staged bundle would give up. */
  readonly loosened?: readonly Loosening[];
  /** Others that changed their status with it. */
  readonly also: readonly CuratedRecord[];
  /** An old bundle that made room for it. */
  readonly forgotten?: CuratedRecord;
}

/** What is known of curators now; cheap. */
export interface CuratorView {
  /** Grows with whatever may change an answer. */
  readonly version: number;
  readonly curators: ReadonlySet<Issuer>;
  /** Level `full`: its word may loosen, with others. */
  isFull(curator: Issuer): boolean;
  /** False for what a frozen or revoked key signed. */
  counts(curator: Issuer, seq: number): boolean;
  isBundleRevoked(bundleHash: string, curator: Issuer, seq: number): boolean;
}

type Entry = { record: CuratedRecord } & (
  | { readonly kind: "delta"; readonly delta: PolicyDelta }
  | { readonly kind: "bundle"; readonly bundle: PolicyBundle }
);
type DeltaEntry = Extract<Entry, { kind: "delta" }>;
type BundleEntry = Extract<Entry, { kind: "bundle" }>;

/** Of one curator: deltas in force or waiting, and bundles kept to fall back to. */
const MAX_DELTAS = 64;
const MAX_BUNDLES = 8;

interface Made {
  readonly base: LoadedPolicy | undefined;
  readonly version: number;
  readonly inForce: InForce | undefined;
  readonly enforced: boolean;
}

export class CuratedPolicies implements PolicySource {
  readonly #holder: PolicyHolder;
  readonly #view: () => CuratorView;
  readonly #quorum: number;
  /** By curator and seq. Refused ones are not kept. */
  readonly #entries = new Map<Issuer, Map<number, Entry>>();
  /** Derived; holds as long as the base policy, the view and the records stand still. */
  #made: Made | undefined;

  /** `quorum`: curators of level full that must publish the same policy to loosen theirs; 0 = only `approve` does. */
  constructor(holder: PolicyHolder, view: () => CuratorView, quorum: number) {
    this.#holder = holder;
    this.#view = view;
    this.#quorum = quorum;
  }

  get state(): PolicyState {
    return this.#holder.state;
  }

  get inForce(): InForce | undefined {
    return this.#derive().inForce;
  }

  /** A delta in force asks for it: denials are enforced whatever the configuration says. */
  get enforced(): boolean {
    return this.#derive().enforced;
  }

  /** Everything kept, for status. */
  records(): readonly CuratedRecord[] {
    return [...this.#entries.values()].flatMap((of) => [...of.values()].map(({ record }) => record));
  }
  /** Staged bundles with what each would give up. */
  staged(): readonly { readonly curator: Issuer; readonly hash: string; readonly loosened: readonly Loosening[] }[] {
    return this.#bundles("staged").map((entry) => ({
      curator: entry.record.curator,
      hash: entry.bundle.policy.hash,
      loosened: this.#loosenedBy(entry),
    }));
  }

  /** Takes up what was decided in an earlier run; the record is as `take` left it. False when it cannot be read any more. */
  resume(record: CuratedRecord): boolean {
    const entry = entryOf(record);
    if ("refused" in entry) return false;
    this.#put(entry);
    return true;
  }

  /** Undefined: not from a curator, or known already. `verify` checks the signature inside a bundle. */
  async take(
    fact: CuratedFact,
    nowMs: number,
    verify: (bundle: PolicyBundle) => Promise<boolean>,
  ): Promise<CuratedOutcome | undefined> {
    const view = this.#view();
    if (!view.curators.has(fact.curator) || this.#entries.get(fact.curator)?.has(fact.seq) === true) return undefined;
    const record: CuratedRecord = { ...fact, status: "refused" };
    const refuse = (reason: string, message: string): CuratedOutcome => ({
      ...{ record, status: "refused", reason, message, also: [] },
    });
    if (!view.counts(fact.curator, fact.seq)) return refuse("curator_revoked", "its curator was frozen or revoked");
    const entry = entryOf(record);
    if ("refused" in entry) return refuse(entry.refused, entry.message);
    if (entry.kind === "delta") return this.#takeDelta(entry, nowMs) ?? refuse(...this.#whyNot(entry, nowMs));
    if (!(await verify(entry.bundle))) return refuse("signature", "the bundle's signature is wrong");
    if (this.#bundlesOf(fact.curator).length < MAX_BUNDLES) return this.#takeBundle(entry);
    const forgotten = this.#forgetOldBundle(fact.curator);
    return { ...this.#takeBundle(entry), ...(forgotten !== undefined && { forgotten }) };
  }

  /** The operator's word for every staged bundle with this policy. Empty: none waits. */
  approve(policyHash: string): readonly CuratedRecord[] {
    const found = this.#bundles("staged").filter(({ bundle }) => bundle.policy.hash === policyHash);
    for (const { record } of found) record.status = "accepted";
    if (found.length > 0) this.#made = undefined;
    return found.map(({ record }) => record);
  }

  /** Deltas that were made for the policy which is in force now. */
  retryWaiting(nowMs: number): readonly CuratedOutcome[] {
    return this.#deltas("waiting").flatMap((entry) => {
      if (this.#targets(entry.delta).length === 0) return [];
      const outcome = this.#takeDelta(entry, nowMs);
      if (outcome !== undefined) return outcome.status === "accepted" ? [outcome] : [];
      this.#entries.get(entry.record.curator)?.delete(entry.record.seq);
      entry.record.status = "refused";
      const [reason, message] = this.#whyNot(entry, nowMs);
      return [{ record: entry.record, status: "refused" as const, reason, message, also: [] }];
    });
  }

  // ---- deltas ----

  /** Policies that this delta may have been made for. */
  #targets(delta: PolicyDelta): readonly LoadedPolicy[] {
    const base = this.#holder.current;
    const known = [...(base === undefined ? [] : [base]), ...this.#live().map(({ bundle }) => bundle.policy)];
    const previous = delta.previous_policy_hash.replace(/^0x/, "");
    return known.filter(({ hash }) => hash === previous);
  }

  /** Undefined: refused, see `#whyNot`. */
  #takeDelta(entry: DeltaEntry, nowMs: number): CuratedOutcome | undefined {
    if (this.#problemOf(entry, nowMs) !== undefined) return undefined;
    const { record } = entry;
    record.status = this.#targets(entry.delta).length === 0 ? "waiting" : "accepted";
    this.#put(entry);
    return { record, status: record.status, also: [] };
  }

  #problemOf(entry: DeltaEntry, nowMs: number): DeltaProblem | { refused: "too_many"; message: string } | undefined {
    const { delta, record } = entry;
    const others = this.#deltasOf(record.curator).filter((one) => one.record.seq !== record.seq);
    if (others.length >= MAX_DELTAS)
      return { refused: "too_many", message: `more than ${MAX_DELTAS} deltas of one curator` };
    // Versions rise along the curator's chain, in whatever order its envelopes arrive.
    const before = Math.max(0, ...others.filter((one) => one.record.seq < record.seq).map((one) => one.delta.version));
    const after = Math.min(...others.filter((one) => one.record.seq > record.seq).map((one) => one.delta.version));
    if (delta.version >= after)
      return { refused: "stale_version", message: `version ${delta.version} came after ${after}` };
    const [target] = this.#targets(delta);
    if (target !== undefined) return deltaProblem(delta, target, before, nowMs);
    if (delta.version <= before)
      return { refused: "stale_version", message: `version ${delta.version}, already at ${before}` };
    if (Date.parse(delta.valid_until) <= nowMs)
      return { refused: "expired", message: `was valid until ${delta.valid_until}` };
    return undefined;
  }

  #whyNot(entry: DeltaEntry, nowMs: number): readonly [string, string] {
    const problem = this.#problemOf(entry, nowMs);
    return [problem?.refused ?? "malformed", problem?.message ?? ""];
  }

  // ---- bundles ----

  #takeBundle(entry: BundleEntry): CuratedOutcome {
    const { record } = entry;
    const loosened = this.#loosenedBy(entry);
    record.status = loosened.length === 0 ? "accepted" : "staged";
    this.#put(entry);
    if (record.status === "accepted") return { record, status: "accepted", also: [] };
    const also = this.#byQuorum(entry);
    if (also.length === 0) return { record, status: "staged", loosened, also };
    return { record, status: "accepted", loosened, also: also.filter((one) => one !== record) };
  }

  /** What this bundle permits that its curator's present one does not. */
  #loosenedBy({ record, bundle }: BundleEntry): readonly Loosening[] {
    const live = this.#liveOf(record.curator);
    if (live === undefined || live.record === record) return [];
    return loosenings(live.bundle.policy.effective, bundle.policy.effective);
  }

  /** Enough curators of level full now say the same: their staged bundles of this policy count. */
  #byQuorum({ bundle }: BundleEntry): readonly CuratedRecord[] {
    if (this.#quorum === 0) return [];
    const view = this.#view();
    const agreeing = [...this.#bundles("staged"), ...this.#bundles("accepted")].filter(
      (one) =>
        one.bundle.policy.hash === bundle.policy.hash &&
        view.isFull(one.record.curator) &&
        !view.isBundleRevoked(one.bundle.bundleHash, one.record.curator, one.record.seq),
    );
    if (new Set(agreeing.map(({ record }) => record.curator)).size < this.#quorum) return [];
    const freed = agreeing.filter(({ record }) => record.status === "staged").map(({ record }) => record);
    for (const record of freed) record.status = "accepted";
    this.#made = undefined;
    return freed;
  }

  /** The newest accepted bundle of a curator that nothing revokes. */
  #liveOf(curator: Issuer): BundleEntry | undefined {
    const view = this.#view();
    return this.#bundlesOf(curator)
      .filter(({ record }) => record.status === "accepted")
      .sort((a, b) => b.record.seq - a.record.seq)
      .find(({ record, bundle }) => !view.isBundleRevoked(bundle.bundleHash, curator, record.seq));
  }
  #live(): readonly BundleEntry[] {
    return [...this.#view().curators].flatMap((curator) => this.#liveOf(curator) ?? []);
  }

  /** Makes room by a bundle that is neither in force nor the one to fall back to. */
  #forgetOldBundle(curator: Issuer): CuratedRecord | undefined {
    const live = this.#liveOf(curator);
    const old = this.#bundlesOf(curator)
      .filter((one) => one !== live)
      .sort((a, b) => a.record.seq - b.record.seq)[0];
    if (old !== undefined) this.#entries.get(curator)?.delete(old.record.seq);
    return old?.record;
  }

  // ---- in force ----

  #derive(): Made {
    const base = this.#holder.current;
    const { version } = this.#view();
    if (this.#made === undefined || this.#made.base !== base || this.#made.version !== version) {
      const inForce = base === undefined ? undefined : this.#combine(base);
      const enforced = this.#deltas("accepted").some(({ delta }) =>
        delta.operations.some(({ path }) => path === "mode"),
      );
      this.#made = { base, version, inForce, enforced };
    }
    return this.#made;
  }

  #combine(base: LoadedPolicy): InForce {
    const deltas = this.#deltas("accepted").map(({ delta }) => delta);
    let closed: InForce["closed"];
    const close = (reason: string, message: string): void => {
      closed ??= { reason, message };
    };
    const policies = new Map<string, LoadedPolicy>();
    for (const policy of [base, ...this.#live().map(({ bundle }) => bundle.policy)]) {
      const result = applyDeltas(policy, deltas);
      if (isDeltaProblem(result)) close("policy_conflict", `Curators' deltas cannot be carried out: ${result.message}`);
      const kept = isDeltaProblem(result) ? policy : result;
      policies.set(kept.hash, kept);
    }
    for (const curator of this.#view().curators) {
      const had = this.#bundlesOf(curator).some(({ record }) => record.status === "accepted");
      if (had && this.#liveOf(curator) === undefined)
        close("bundle_revoked", `Every policy bundle of curator ${curator} was revoked: everything is denied`);
    }
    return inForceOf([...policies.values()], closed);
  }

  #put(entry: Entry): void {
    const { curator, seq } = entry.record;
    const of = this.#entries.get(curator) ?? new Map<number, Entry>();
    of.set(seq, entry);
    this.#entries.set(curator, of);
    this.#made = undefined;
  }

  #deltasOf(curator: Issuer): readonly DeltaEntry[] {
    return [...(this.#entries.get(curator)?.values() ?? [])].filter((entry) => entry.kind === "delta");
  }
  #bundlesOf(curator: Issuer): readonly BundleEntry[] {
    return [...(this.#entries.get(curator)?.values() ?? [])].filter((entry) => entry.kind === "bundle");
  }
  /** Of those who are curators now: the operator drops a curator with everything it asked for. */
  #deltas(status: CuratedStatus): readonly DeltaEntry[] {
    return [...this.#view().curators]
      .flatMap((curator) => this.#deltasOf(curator))
      .filter(({ record }) => record.status === status);
  }
  #bundles(status: CuratedStatus): readonly BundleEntry[] {
    return [...this.#view().curators]
      .flatMap((curator) => this.#bundlesOf(curator))
      .filter(({ record }) => record.status === status);
  }
}

function entryOf(record: CuratedRecord): Entry | DeltaProblem | BundleProblem {
  if (record.kind === "delta") {
    const delta = parseDelta(record.fact);
    return isDeltaProblem(delta) ? delta : { kind: "delta", record, delta };
  }
  const bundle = readBundle(record.curator, record.fact);
  return isBundleProblem(bundle) ? bundle : { kind: "bundle", record, bundle };
}
