/**
 * `revocation_set.v1` (rules 8): states this node's own set when it changed, and compares what issuers of the trust file
 * state, so that withheld revocations show. Fed by the daemon's events; asked by status and guards.
 */
import { randomUUID } from "node:crypto";
import {
  type Authority,
  type Issuer,
  type JsonObject,
  type MeshEvent,
  type RevocationSetRoot,
  revocationSetFact,
} from "../../spine/index.ts";
import { RevokedSet } from "./revoked-set.ts";

/** A changed set is stated this long after the last change, and not more often than that. */
const SETTLE_MS = 10_000;
const LEAST_MS = 60_000;
/** An unchanged set is stated again, so that others know that nothing is withheld from them. */
const AGAIN_MS = 6 * 3_600_000;

type SetEvent = Extract<MeshEvent, { type: "revocation-set" }>;

export interface RevocationSetsOptions {
  readonly authority: Authority;
  readonly now: () => number;
  /** Publishes into the own chain; rejects while the node does not sign. */
  readonly publish: (fact: JsonObject) => Promise<unknown>;
}

export class RevocationSets {
  readonly #options: RevocationSetsOptions;
  readonly #set: RevokedSet;
  /** The newest statement of each issuer of the trust file. */
  readonly #stated = new Map<Issuer, SetEvent>();
  #root = "";
  #statedAt = Number.NEGATIVE_INFINITY;
  #changedAt = Number.NEGATIVE_INFINITY;
  #seen = "";
  constructor(options: RevocationSetsOptions) {
    this.#options = options;
    this.#set = new RevokedSet(options.authority);
  }

  /** What is in force here, once that was worked out. */
  settled(): Promise<RevocationSetRoot> {
    return this.#set.settled();
  }

  /** Only issuers that the operator names are believed: others could cry wolf. */
  heard(event: SetEvent): void {
    if (!this.#options.authority.trust.named.has(event.issuer)) return;
    if (event.asOfMs > this.#options.now() + LEAST_MS * 10) return;
    if ((this.#stated.get(event.issuer)?.asOfMs ?? 0) < event.asOfMs) this.#stated.set(event.issuer, event);
  }

  /** Milliseconds since a named issuer stated this very set; null when none did. */
  get ageMs(): number | null {
    const { root } = this.#set.newest;
    const { named } = this.#options.authority.trust;
    let newest = Number.NEGATIVE_INFINITY;
    for (const [issuer, one] of this.#stated)
      if (named.has(issuer) && one.root === root) newest = Math.max(newest, one.asOfMs);
    return newest === Number.NEGATIVE_INFINITY ? null : Math.max(0, this.#options.now() - newest);
  }

  /** Named issuers that know of more than this node does. */
  get behind(): Issuer[] {
    const { count, root } = this.#set.newest;
    if (root === "") return [];
    const { named } = this.#options.authority.trust;
    return [...this.#stated].flatMap(([issuer, one]) =>
      named.has(issuer) && one.root !== root && one.count > count ? [issuer] : [],
    );
  }

  /** Called now and then: states the set when it is time. */
  async tick(): Promise<void> {
    const now = this.#options.now();
    const { count, root } = await this.#set.settled();
    if (!this.#set.isCurrent) return;
    if (root !== this.#seen) [this.#seen, this.#changedAt] = [root, now];
    const isNews = root !== this.#root && now - this.#changedAt >= SETTLE_MS && now - this.#statedAt >= LEAST_MS;
    const isOld = now - this.#statedAt >= AGAIN_MS;
    // Where nobody may revoke and nothing is revoked there is nothing to withhold.
    const matters = count > 0 || this.#options.authority.trust.revokers.size > 0;
    if (!matters || !(isNews || isOld) || now - this.#changedAt < SETTLE_MS) return;
    [this.#root, this.#statedAt] = [root, now];
    await this.#options.publish(revocationSetFact(`rs_${randomUUID()}`, count, root, Math.floor(now / 1000)));
  }
}
