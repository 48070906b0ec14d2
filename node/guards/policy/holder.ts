/**
 * The policy in force, replaced as a whole: a bad file keeps the last good policy and says so, a change that removes
 * protection is reported, and without any good policy everything is denied. The daemon owns one and reloads it.
 */
import { type InForce, inForceOf, type PolicySource } from "./in-force.ts";
import type { LoadedPolicy, LoadResult } from "./load.ts";
import { type Loosening, loosenings } from "./loosening.ts";
import { errorsIn, type Problem } from "./problem.ts";

/**
 * `active`: the newest source is in force. `stale`: it is unusable, or loosens and waits for the operator's word, and an
 * older policy is in force. `none`: no policy, everything is denied.
 */
export type PolicyState = "active" | "stale" | "none";

export interface ReloadReport {
  readonly changed: boolean;
  readonly state: PolicyState;
  readonly hash?: string;
  readonly previousHash?: string;
  readonly problems: readonly Problem[];
  /** What the new policy protects less than the one before. */
  readonly loosened: readonly Loosening[];
  /** The loosening policy waits for the operator's word; the one before stays in force. */
  readonly staged: boolean;
}

export interface HolderOptions {
  /** Called for every reload; must not throw. */
  readonly report: (report: ReloadReport) => void;
  /** A policy that loosens is staged until `approve` names its hash. Default: it is taken and reported. */
  readonly stageLoosening?: boolean;
}

export class PolicyHolder implements PolicySource {
  readonly #load: () => LoadResult;
  readonly #options: HolderOptions;
  readonly #listeners = new Set<(policy: LoadedPolicy) => void>();
  #current: LoadedPolicy | undefined;
  #inForce: InForce | undefined;
  #staged: { readonly policy: LoadedPolicy; readonly loosened: readonly Loosening[] } | undefined;
  #state: PolicyState = "none";

  /** `load` reads the source afresh at every call and throws or returns problems when it is bad. */
  constructor(load: () => LoadResult, options: HolderOptions) {
    this.#load = load;
    this.#options = options;
  }

  get state(): PolicyState {
    return this.#state;
  }
  /** Undefined: deny everything. */
  get current(): LoadedPolicy | undefined {
    return this.#current;
  }
  get inForce(): InForce | undefined {
    return this.#inForce;
  }
  /** A policy that loosens and waits for `approve`. */
  get staged(): { readonly policy: LoadedPolicy; readonly loosened: readonly Loosening[] } | undefined {
    return this.#staged;
  }

  /** What was in force when the daemon last ran: what the source says now is compared with it. Before the first reload. */
  resume(policy: LoadedPolicy): void {
    this.#put(policy);
    this.#state = "stale";
  }

  /** Calls `listener` after each replacement; returns a function that ends it. */
  onChange(listener: (policy: LoadedPolicy) => void): () => void {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }

  /** Never throws. */
  reload(): ReloadReport {
    let loaded: LoadResult;
    try {
      loaded = this.#load();
    } catch (caught) {
      const message = caught instanceof Error ? caught.message : String(caught);
      loaded = { problems: [{ level: "error", code: "yaml", path: "", message }] };
    }
    return this.#say(this.#consider(loaded));
  }

  /** Puts the staged policy in force; false when no policy of that hash is staged. */
  approve(hash: string): boolean {
    const staged = this.#staged;
    if (staged === undefined || staged.policy.hash !== hash) return false;
    this.#say(this.#take(staged.policy, [], staged.loosened));
    return true;
  }

  #consider(loaded: LoadResult): ReloadReport {
    const next = loaded.policy;
    if (next === undefined || errorsIn(loaded.problems).length > 0) {
      this.#state = this.#current === undefined ? "none" : "stale";
      this.#staged = undefined;
      return this.#unchanged(loaded.problems, false, []);
    }
    if (next.hash === this.#current?.hash) {
      this.#state = "active";
      this.#staged = undefined;
      return this.#unchanged(loaded.problems, false, []);
    }
    const lost = this.#current === undefined ? [] : loosenings(this.#current.effective, next.effective);
    if (lost.length > 0 && this.#options.stageLoosening === true) {
      this.#staged = { policy: next, loosened: lost };
      this.#state = "stale";
      return this.#unchanged(loaded.problems, true, lost);
    }
    return this.#take(next, loaded.problems, lost);
  }

  #unchanged(problems: readonly Problem[], staged: boolean, loosened: readonly Loosening[]): ReloadReport {
    const hash = this.#current?.hash;
    return { changed: false, state: this.#state, ...(hash !== undefined && { hash }), problems, loosened, staged };
  }

  #take(next: LoadedPolicy, problems: readonly Problem[], loosened: readonly Loosening[]): ReloadReport {
    const previousHash = this.#current?.hash;
    this.#put(next);
    this.#staged = undefined;
    this.#state = "active";
    return {
      changed: true,
      state: "active",
      hash: next.hash,
      ...(previousHash !== undefined && { previousHash }),
      problems,
      loosened,
      staged: false,
    };
  }

  #put(policy: LoadedPolicy): void {
    this.#current = policy;
    this.#inForce = inForceOf([policy]);
    for (const listener of this.#listeners) listener(policy);
  }

  #say(report: ReloadReport): ReloadReport {
    this.#options.report(report);
    return report;
  }
}
