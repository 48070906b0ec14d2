/**
 * Signatures of stored envelopes whose content alone is proven by their chain: checked before one of them is published,
 * a page at once, and noted in the store now and then. Part of `feed.ts`.
 */
import {
  claimOf,
  type Envelope,
  EnvelopeState,
  type Issuer,
  parseIssuer,
  type StateChange,
  type Verifier,
} from "../../spine/index.ts";
import type { Driver } from "../driver.ts";
import type { Leaf } from "./leaves.ts";

const NOTE_EVERY = 1_000;

export class LeafSignatures {
  readonly #verifier: Verifier;
  readonly #driver: Pick<Driver, "commitStates">;
  /** Checked here and not noted yet. */
  #proven: StateChange[] = [];

  constructor(verifier: Verifier, driver: Pick<Driver, "commitStates">) {
    this.#verifier = verifier;
    this.#driver = driver;
  }

  /** The page, with what of it is `wanted` and has a valid signature marked so. */
  async checked(page: readonly Leaf[], wanted: (issuer: Issuer, seq: number) => boolean): Promise<readonly Leaf[]> {
    const open = page.flatMap((leaf) => {
      if (!("hash" in leaf) || leaf.state !== EnvelopeState.chain) return [];
      return wanted(leaf.issuer, leaf.seq) ? [leaf] : [];
    });
    if (open.length === 0) return page;
    const claims = open.map(({ issuer, signingBytes, signature }) => ({
      ...{ key: parseIssuer(issuer), message: signingBytes, signature },
    }));
    const verdicts = await this.#verifier.verify(claims);
    const good = new Set(open.filter((_, i) => verdicts[i]).map(({ leafIndex }) => leafIndex));
    for (const { issuer, seq, leafIndex } of open)
      if (good.has(leafIndex)) this.#proven.push({ issuer, seq, state: EnvelopeState.signature });
    if (this.#proven.length >= NOTE_EVERY) this.note();
    return page.map((leaf) => (good.has(leaf.leafIndex) ? { ...leaf, state: EnvelopeState.signature } : leaf));
  }

  async isValid(envelope: Envelope, state: EnvelopeState): Promise<boolean> {
    return state === EnvelopeState.chain && (await this.#verifier.verify([claimOf(envelope)]))[0] === true;
  }

  /** A synced write for each page would hold up the envelopes that come meanwhile. */
  note(): void {
    const proven = this.#proven;
    this.#proven = [];
    this.#driver.commitStates(proven);
  }
}
