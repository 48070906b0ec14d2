/**
 * The last words to a peer whose key was revoked: the revocations themselves. All its neighbours may hear of them before
 * it does and hang up, and its operator would never learn why. They are signed, so whoever gets them need not believe us
 * (rules 8, WIRE.md 6). Used by `enforcement.ts`.
 */
import { envelopeOfRecord, readActing } from "./acting.ts";
import type { Context, Handed } from "./context.ts";
import { tells } from "./disclosure.ts";
import type { Found } from "./effect.ts";
import { isOver, type LooseFacts } from "./loose-facts.ts";
import { openSigningBytes } from "./open.ts";
import type { Issuer } from "./ports.ts";
import { writeRecord } from "./record.ts";
import type { Link } from "./state.ts";

/** Told on one link; where air is scarce one says enough. */
const MAX_REASONS = 4;

export class Farewell {
  readonly #ctx: Context;
  readonly #loose: LooseFacts;
  constructor(ctx: Context, loose: LooseFacts) {
    this.#ctx = ctx;
    this.#loose = loose;
  }

  /** From now on nothing else is heard or said on the link; it is closed once the reasons were read from the store. */
  say(link: Link, issuer: Issuer): void {
    if (link.closing) return;
    this.#ctx.shut(link);
    const reasons: Handed[] = [...this.#onTheirOwn(link, issuer)];
    const words = this.#ctx.authority
      .wordsOver(issuer)
      .filter(({ signer, seq }) => tells(this.#ctx.disclosure, link.id, signer, seq))
      .slice(0, MAX_REASONS);
    let open = words.length;
    if (open === 0) return this.#close(link, reasons);
    for (const { signer, seq } of words)
      this.#ctx.lookup(signer, [seq], ([found]) => {
        if (found !== undefined && this.#isOver(found, issuer)) reasons.push(handed(found));
        if (--open === 0) this.#close(link, reasons);
      });
  }

  /** What is stored at that seq may be of another branch than the word was. */
  #isOver({ signingBytes, signature }: Found, issuer: Issuer): boolean {
    const { sha256Hex } = this.#ctx;
    const acting = readActing(openSigningBytes(signingBytes, signature, sha256Hex), sha256Hex);
    return acting !== undefined && isOver(acting.fact, issuer);
  }
  *#onTheirOwn(link: Link, issuer: Issuer): Iterable<Handed> {
    const { disclosure, sha256Hex } = this.#ctx;
    for (const loose of this.#loose.over(issuer)) {
      if (disclosure?.mayTell(link.id, envelopeOfRecord(loose.record, sha256Hex)) !== false) yield loose;
    }
  }

  #close(link: Link, reasons: readonly Handed[]): void {
    if (this.#ctx.links.get(link.id) !== link) return;
    const most = link.info.cost === "radio" ? 1 : MAX_REASONS;
    const different = new Map(reasons.map((one) => [one.hash, one]));
    const chosen = [...different.values()].slice(0, most).filter(({ hash }) => !link.handed.includes(hash));
    this.#ctx.farewell(link, "issuer_revoked", "this key was revoked or has handed over", chosen);
  }
}

function handed({ hash, signingBytes, signature }: Found): Handed {
  return { hash, record: writeRecord(signingBytes, signature) };
}
