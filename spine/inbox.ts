/**
 * Envelopes and heads that peers hand over unasked: push frames, broadcasts, and JSON messages of the parent
 * implementation. Decodes them, passes them to intake, and judges (rules 1). Called by `mesh.ts`.
 */
import type { Announcer } from "./announce.ts";
import type { Context } from "./context.ts";
import type { Outcome } from "./effect.ts";
import type { Enforcement } from "./enforcement.ts";
import type { Envelope } from "./envelope.ts";
import { asSpineError, SpineError } from "./errors.ts";
import { type GossipMessage, openGossip } from "./gossip.ts";
import type { Heads } from "./heads.ts";
import type { Intake } from "./intake.ts";
import type { LinkId } from "./link.ts";
import { isJsonObject, parseJson } from "./lossless.ts";
import { openEnvelopeValue, openSigningBytes } from "./open.ts";
import { decodeParentSync } from "./parent.ts";
import { recordOffsets, splitRecord } from "./record.ts";
import type { Link } from "./state.ts";

export class Inbox {
  readonly #ctx: Context;
  readonly #intake: Intake;
  readonly #announcer: Announcer;
  readonly #heads: Heads;
  readonly #enforcement: Enforcement;
  constructor(ctx: Context, intake: Intake, announcer: Announcer, heads: Heads, enforcement: Enforcement) {
    this.#enforcement = enforcement;
    this.#ctx = ctx;
    this.#intake = intake;
    this.#announcer = announcer;
    this.#heads = heads;
  }

  pushed(link: Link, records: readonly Uint8Array[]): void {
    this.#charge(link, records.length);
    const envelopes = records.map((record) => {
      recordOffsets(record, 1);
      const { signingBytes, signature } = splitRecord(record, 0, record.length);
      return openSigningBytes(signingBytes, signature, this.#ctx.sha256Hex);
    });
    this.#offer(link, envelopes);
  }

  #charge(link: Link, envelopes: number): void {
    if (!link.pushes.take(envelopes, this.#ctx.now)) throw new SpineError("rate_limited", "too many envelopes unasked");
  }

  #offer(link: Link, envelopes: readonly Envelope[]): void {
    this.#intake.offer(envelopes, link, (outcomes) => {
      if (outcomes.includes("signature_invalid")) {
        this.#ctx.blame(link, "signature_invalid", "a pushed envelope's signature is invalid");
      }
      this.passOnAdded(envelopes, outcomes, link.id);
    });
  }

  /** What came alone and is news goes on to the other peers, if it is urgent. */
  passOnAdded(envelopes: readonly Envelope[], outcomes: readonly Outcome[], from: LinkId | null): void {
    for (const [i, outcome] of outcomes.entries()) {
      const envelope = envelopes[i] as Envelope;
      // What travels on its own was handed on already.
      if (outcome === "added" && !this.#enforcement.loose.has(envelope.hash)) this.#announcer.passOn(envelope, from);
    }
  }

  /** Broadcast data: judged once, relayed by the plane only when accepted (rules 1). */
  gossip(id: LinkId, message: string, data: Uint8Array, before?: GossipMessage): void {
    const judge = (verdict: "accept" | "ignore" | "reject"): void =>
      this.#ctx.emit({ type: "judge", link: id, id: message, verdict });
    const link = this.#ctx.links.get(id);
    if (link === undefined || link.closing) return judge("ignore");
    try {
      const opened = before ?? openGossip(data, this.#ctx.sha256Hex);
      if (opened.type === "head") return this.#heads.gossip(link, opened.head, judge);
      const { envelope } = opened;
      this.#intake.offer([envelope], link, ([outcome]) => {
        judge(verdictOf(outcome));
        if (outcome === "added" && !this.#enforcement.loose.has(envelope.hash))
          this.#announcer.passOnToRadio(envelope, id);
      });
    } catch (caught) {
      const error = asSpineError(caught);
      if (error.code === "internal") throw error;
      judge(error.blame === "sender" ? "reject" : "ignore");
      this.#ctx.refused(id, error.code);
    }
  }

  /** A head heard on no link: nobody is to blame, and nobody answers for it. */
  head(data: Uint8Array): void {
    try {
      const opened = openGossip(data, this.#ctx.sha256Hex);
      if (opened.type !== "head") throw new SpineError("frame_unexpected", "no head");
      this.#heads.hear(opened.head, (valid) => {
        if (!valid) this.#ctx.refused(null, "head_invalid");
      });
    } catch (caught) {
      const error = asSpineError(caught);
      if (error.code === "internal") throw error;
      this.#ctx.refused(null, error.code);
    }
  }

  /** JSON messages of the parent implementation on a link (spec/spine.md 8.1). */
  parentMessage(link: Link, bytes: Uint8Array): void {
    const value = parseJson(bytes);
    const schema = isJsonObject(value) ? value["schema"] : undefined;
    if (typeof schema === "string" && schema.includes(".sync_")) {
      const message = decodeParentSync(bytes);
      if (message.type === "sync-request") {
        throw new SpineError("frame_unexpected", "JSON sync requests are not answered on links; send a want frame");
      }
      this.#charge(link, message.envelopes.length);
      return this.#offer(
        link,
        message.envelopes.map((one) => openEnvelopeValue(one, this.#ctx.sha256Hex)),
      );
    }
    this.#charge(link, 1);
    const opened = openGossip(bytes, this.#ctx.sha256Hex);
    if (opened.type === "envelope") return this.#offer(link, [opened.envelope]);
    const { head } = opened;
    if (this.#ctx.admitOrClaim(head.issuer, head.seq, link)) this.#heads.learn([head], link, () => {});
  }
}

function verdictOf(outcome: Outcome | undefined): "accept" | "ignore" | "reject" {
  if (outcome === "added") return "accept";
  return outcome === "signature_invalid" ? "reject" : "ignore";
}
