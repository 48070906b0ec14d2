/** Takes a frame of a peer to the part of the core that it concerns, after the hello and within its rate (WIRE.md 3, 9). Called by `mesh.ts`. */
import type { Announcer } from "./announce.ts";
import type { Context } from "./context.ts";
import { SpineError } from "./errors.ts";
import type { FactExchange } from "./fact-exchange.ts";
import type { Forks } from "./forks.ts";
import { decodeFrame, type Frame, MAX_FRAME_BYTES } from "./frame.ts";
import type { Inbox } from "./inbox.ts";
import type { Peering } from "./peering.ts";
import type { Issuer } from "./ports.ts";
import type { RevocationExchange } from "./revocation-exchange.ts";
import type { Serving } from "./serving.ts";
import type { Link } from "./state.ts";
import type { Sync } from "./sync.ts";

/** `{`: no frame type, but how a message of the parent implementation begins. */
const PARENT_MESSAGE = 0x7b;

export interface Parts {
  readonly sync: Sync;
  readonly forks: Forks;
  readonly announcer: Announcer;
  readonly peering: Peering;
  readonly serving: Serving;
  readonly inbox: Inbox;
  readonly exchange: FactExchange;
  readonly revocations: RevocationExchange;
}

export class Router {
  readonly #ctx: Context;
  readonly #parts: Parts;
  constructor(ctx: Context, parts: Parts) {
    this.#ctx = ctx;
    this.#parts = parts;
  }

  /** Throws coded errors; whoever calls turns them into blame. */
  frame(link: Link, bytes: Uint8Array, before?: Frame): void {
    if (bytes.length > MAX_FRAME_BYTES) throw new SpineError("frame_size", `frame of ${bytes.length} bytes`);
    if (bytes[0] === PARENT_MESSAGE) {
      if (link.issuer === null) throw new SpineError("frame_unexpected", "a message before hello");
      this.#charge(link, "messages");
      return this.#parts.inbox.parentMessage(link, bytes);
    }
    const frame = before ?? decodeFrame(bytes);
    if (frame.type === "hello") return this.#parts.peering.hello(link, frame);
    if (frame.type === "bye") {
      this.#ctx.shut(link);
      return this.#ctx.emit({ type: "close", link: link.id, code: "link_unknown" });
    }
    if (link.issuer === null) throw new SpineError("frame_unexpected", `${frame.type} before hello`);
    this.#message(link, frame);
  }

  #charge(link: Link, what: string): void {
    if (!link.unsolicited.take(1, this.#ctx.now)) throw new SpineError("rate_limited", `${what} too often`);
  }

  #message(link: Link, frame: Frame): void {
    switch (frame.type) {
      case "segment":
      case "offer":
      case "end":
        // What answers no open request is dropped, and counted like everything unasked.
        if (!this.#parts.sync.answer(link, frame)) this.#charge(link, frame.type);
        return;
      case "want":
        return this.#parts.serving.want(link, frame);
      default:
        this.#charge(link, frame.type);
        return this.#unsolicited(link, frame);
    }
  }

  #unsolicited(link: Link, frame: Frame): void {
    switch (frame.type) {
      case "inventory":
        return this.#parts.announcer.inventory(link, frame.entries);
      case "ask-inventory":
        return this.#parts.announcer.answerInventory(link, frame.issuers);
      case "reconcile":
        if (!link.reconciles.take(1, this.#ctx.now)) throw new SpineError("rate_limited", "reconcile too often");
        return this.#parts.announcer.reconcile(link, frame);
      case "facts":
        if (!link.reconciles.take(1, this.#ctx.now)) throw new SpineError("rate_limited", "facts too often");
        return this.#parts.exchange.received(link, frame);
      case "revoked":
        if (!link.reconciles.take(1, this.#ctx.now)) throw new SpineError("rate_limited", "revoked too often");
        return this.#parts.revocations.received(link, frame);
      case "ask-hashes":
        return this.#parts.serving.askHashes(link, frame);
      case "hashes":
        return this.#parts.forks.hashes(link, frame.request, frame.hashes);
      case "fork":
        return this.#parts.forks.received(frame.proof, link);
      case "push":
        return this.#parts.inbox.pushed(link, frame.records);
      case "attest":
        if (!link.attests.take(1, this.#ctx.now)) throw new SpineError("rate_limited", "log messages too often");
        return this.#ctx.emit({ type: "attest", link: link.id, issuer: link.issuer as Issuer, body: frame.body });
      default:
        throw new SpineError("frame_unexpected", frame.type);
    }
  }
}
