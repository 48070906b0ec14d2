/**
 * On narrow links two peers compare, before anything else, which revocations in effect they hold, and each hands over what
 * the other lacks: ranges of chains, where revocations stand among everything else, are asked for after that (rules 10,
 * WIRE.md 7). Called by `peering.ts`, `router.ts` and `sync.ts`.
 */
import { chainSeqOf, envelopeOfRecord, readFactRow, type StoredFact, subjectOf } from "./acting.ts";
import { fromHex } from "./bytes.ts";
import { RowTable } from "./commit.ts";
import type { Context } from "./context.ts";
import { tells } from "./disclosure.ts";
import type { Enforcement } from "./enforcement.ts";
import { asSpineError, SpineError } from "./errors.ts";
import type { Frame } from "./frame.ts";
import type { LinkId } from "./link.ts";
import type { Millis } from "./ports.ts";
import { BoundedMap } from "./quota.ts";
import { beginWithFingerprint, continueReconcile, ItemSet } from "./reconcile.ts";
import { writeRecord } from "./record.ts";
import type { Link } from "./state.ts";

type RevokedFrame = Extract<Frame, { type: "revoked" }>;

const MAX_ROUNDS = 32;
const MAX_CONVERSATIONS = 32;
/** Ranges wait for the end of the conversation, but not longer. */
const HOLD_MS: Millis = 120_000;
/** Handed over at once; what is beyond is found by the next comparison. */
const MAX_HANDED = 64;

interface Compared {
  readonly items: ItemSet;
  readonly facts: readonly StoredFact[];
}

export class RevocationExchange {
  readonly #ctx: Context;
  readonly #enforcement: Enforcement;
  /** The set of each conversation: both sides compare one state. */
  readonly #sets = new BoundedMap<LinkId, Compared>(MAX_CONVERSATIONS);

  constructor(ctx: Context, enforcement: Enforcement) {
    this.#ctx = ctx;
    this.#enforcement = enforcement;
  }

  /** A narrow link is ready. Both begin, since the peer may not know that it is narrow; an equal fingerprint is not answered. */
  greet(link: Link): void {
    link.holdUntil = this.#ctx.now + HOLD_MS;
    this.#withSet(link, ({ items }) => this.#say(link, 0, beginWithFingerprint(items)));
  }

  received(link: Link, { round, payload }: RevokedFrame): void {
    if (round >= MAX_ROUNDS) throw new SpineError("frame_unexpected", "too many rounds of revocations");
    if (round === 0) {
      // Both began: the conversation of the smaller key goes on, unless there is nothing to talk about.
      if (link.info.cost === "radio" && this.#ctx.own < (link.issuer ?? "")) return this.#settleEqual(link, payload);
      this.#sets.delete(link.id);
    }
    this.#withSet(link, ({ items, facts }) => {
      const { reply, peerLacks, lacking } = continueReconcile(items, payload);
      for (const i of peerLacks.slice(0, MAX_HANDED)) this.#hand(link, facts[i] as StoredFact);
      if (reply !== undefined) this.#say(link, round + 1, reply);
      // The peer pushes what was asked for, ahead of everything else it has for us.
      if (reply === undefined || lacking > 0) this.#over(link);
    });
  }
  /** The peer holds the same: it will not answer what this node began with. */
  #settleEqual(link: Link, payload: Uint8Array): void {
    this.#withSet(link, ({ items }) => {
      const { reply, peerLacks, lacking } = continueReconcile(items, payload);
      if (reply === undefined && peerLacks.length === 0 && lacking === 0) this.#over(link);
    });
  }
  #over(link: Link): void {
    this.#sets.delete(link.id);
    link.holdUntil = 0;
  }
  linkDown(link: LinkId): void {
    this.#sets.delete(link);
  }

  #say(link: Link, round: number, payload: Uint8Array): void {
    this.#ctx.send(link, { type: "revoked", round, payload }, 2);
  }

  /** Read from the store when asked: narrow links are few, and nodes with many revocations keep no copy of them for these. */
  #withSet(link: Link, then: (set: Compared) => void): void {
    const known = this.#sets.get(link.id);
    if (known !== undefined) return then(known);
    this.#ctx.rows(RowTable.authority, "", (rows) => {
      if (this.#ctx.links.get(link.id) !== link || link.closing) return;
      const facts = rows
        .map(({ key, value }) => readFactRow(key, value))
        .filter(({ fact }) => this.#enforcement.rightsOf(fact).length > 0);
      const items = facts.map(({ hash }) => ({ at: 0, id: fromHex(hash.slice(2), 32) }));
      const set: Compared = { items: new ItemSet(items, this.#ctx.sha256Hex, link.info.cost === "radio"), facts };
      this.#sets.set(link.id, set);
      this.#guarded(link, () => then(set));
    });
  }

  /** The store answered later: what the peer sent wrongly is still its fault. */
  #guarded(link: Link, work: () => void): void {
    try {
      work();
    } catch (caught) {
      const error = asSpineError(caught);
      if (error.code === "internal") throw error;
      this.#ctx.blame(link, error.code, error.message);
    }
  }

  #hand(link: Link, { fact, hash, record }: StoredFact): void {
    const { disclosure, sha256Hex } = this.#ctx;
    if (record !== null) {
      const told = disclosure?.mayTell(link.id, envelopeOfRecord(record, sha256Hex)) !== false;
      if (told) this.#ctx.hand(link, { hash, record }, 1);
      return;
    }
    const [issuer, seq] = [subjectOf(fact), chainSeqOf(fact)];
    if (seq === null || !tells(disclosure, link.id, issuer, seq)) return;
    this.#ctx.lookup(issuer, [seq], ([found]) => {
      if (found === undefined || found.hash !== hash || this.#ctx.links.get(link.id) !== link) return;
      this.#ctx.hand(link, { hash, record: writeRecord(found.signingBytes, found.signature) }, 1);
    });
  }
}
