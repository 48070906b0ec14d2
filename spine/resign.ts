/**
 * Envelopes whose content is proven from above but whose own signature does not verify: nobody's fault until a peer
 * supplies a valid one for the same hash. At most three refetches, then the state is `unsigned` (rules 5).
 */
import { EnvelopeState, type StateChange } from "./commit.ts";
import type { Context, Link } from "./context.ts";
import { claimOf, type Envelope } from "./envelope.ts";
import { holds } from "./have.ts";
import type { LinkId } from "./link.ts";
import type { EnvelopeHash, Issuer } from "./ports.ts";
import { BoundedMap } from "./quota.ts";
import type { Sync } from "./sync.ts";

const MAX_REFETCHES = 3;
const MAX_OPEN = 1_024;

interface Case {
  readonly issuer: Issuer;
  readonly seq: number;
  readonly hash: EnvelopeHash;
  readonly asked: Set<LinkId>;
  tries: number;
}

export class Resign {
  readonly #ctx: Context;
  readonly #sync: Sync;
  readonly #open = new BoundedMap<string, Case>(MAX_OPEN);
  constructor(ctx: Context, sync: Sync) {
    this.#ctx = ctx;
    this.#sync = sync;
  }

  /** The idle verifier found a stored signature that does not verify. */
  report(issuer: Issuer, seq: number, hash: EnvelopeHash): void {
    const key = `${issuer}|${seq}`;
    const open = this.#open.get(key) ?? { issuer, seq, hash, asked: new Set(), tries: 0 };
    this.#open.set(key, open);
    this.#ask(key, open);
  }

  #ask(key: string, open: Case): void {
    if (open.tries >= MAX_REFETCHES) {
      this.#open.delete(key);
      this.#settle({ issuer: open.issuer, seq: open.seq, state: EnvelopeState.unsigned });
      return;
    }
    for (const link of this.#ctx.peers()) if (this.#askOne(open, link)) return;
  }

  #askOne(open: Case, link: Link): boolean {
    if (link.issuer === null || open.asked.has(link.id)) return false;
    if (!holds(link.have.get(open.issuer)?.ranges ?? [], open.seq)) return false;
    open.asked.add(link.id);
    open.tries++;
    this.#sync.fetch(link, open.issuer, open.seq, "signature");
    return true;
  }

  /** A peer told what it holds: it may have a signature that nobody asked so far could give. */
  heard(link: Link): void {
    for (const [, open] of this.#open.entries()) if (open.tries < MAX_REFETCHES) this.#askOne(open, link);
  }

  /** The peer that was asked gave nothing: the next one is asked. */
  failed(issuer: Issuer, seq: number): void {
    const key = `${issuer}|${seq}`;
    const open = this.#open.get(key);
    if (open !== undefined) this.#ask(key, open);
  }

  /** A refetched envelope: its own signature decides. */
  answer(envelope: Envelope, link: Link): void {
    const key = `${envelope.issuer}|${envelope.seq}`;
    const open = this.#open.get(key);
    if (open === undefined) return;
    if (envelope.hash !== open.hash) return this.#ask(key, open);
    this.#ctx.verify([claimOf(envelope)], link.id, ([valid]) => {
      if (!valid) return this.#ask(key, open);
      this.#open.delete(key);
      const { issuer, seq, signature } = envelope;
      this.#settle({ issuer, seq, state: EnvelopeState.signature, signature });
    });
  }

  #settle(change: StateChange): void {
    this.#ctx.commit({ states: [change] });
  }
}
