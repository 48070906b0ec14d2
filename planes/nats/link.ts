/**
 * One link: sealed messages to a peer's subject, with credit so that a slow reader holds the sender back, keep-alives,
 * and an end when anything was lost. Opened and owned by `links.ts`.
 */
import { type LinkId, SpineError, utf8, utf8Text } from "../../spine/index.ts";
import { SendLine } from "../send-line.ts";
import type { LinkSeal } from "./link-keys.ts";
import type { NatsLimits } from "./options.ts";

/** First byte of a message's content. */
const Kind = { ready: 0, frame: 1, credit: 2, ping: 3, close: 4, gossip: 5 } as const;
const MAX_WAITING_SENDS = 1_024;
const MAX_REASON_BYTES = 200;
const EMPTY = new Uint8Array(0);

export interface LinkHooks {
  readonly publish: (message: Uint8Array) => void;
  readonly ready: () => void;
  /** `taken` is to be called when the consumer has the frame. */
  readonly frame: (frame: Uint8Array, taken: () => void) => void;
  readonly gossip: (data: Uint8Array) => void;
  readonly forged: (what: "forged" | "replayed" | "syntax") => void;
  /** Called once. */
  readonly closed: (reason: string) => void;
}

export class NatsLink {
  readonly id: LinkId;
  readonly peer: string;
  /** Hex name of the session, by which this end's subject for it is known. */
  readonly session: string;
  readonly mtuBytes: number;
  readonly #seal: LinkSeal;
  readonly #limits: NatsLimits;
  readonly #hooks: LinkHooks;
  readonly #now: () => number;
  readonly #line = new SendLine(MAX_WAITING_SENDS);
  #inFlight = 0;
  /** Bytes consumed here that the peer was not yet told of. */
  #owed = 0;
  #lastSent: number;
  #lastReceived: number;
  #closed = false;
  up = false;

  constructor(
    names: Pick<NatsLink, "id" | "peer" | "session" | "mtuBytes">,
    seal: LinkSeal,
    limits: NatsLimits,
    now: () => number,
    hooks: LinkHooks,
  ) {
    this.id = names.id;
    this.peer = names.peer;
    this.session = names.session;
    this.mtuBytes = names.mtuBytes;
    this.#seal = seal;
    this.#limits = limits;
    this.#now = now;
    this.#hooks = hooks;
    this.#lastSent = now();
    this.#lastReceived = now();
  }

  get closed(): boolean {
    return this.#closed;
  }

  sayReady(): void {
    this.#publish(Kind.ready, EMPTY);
  }

  /** Resolves when taken; `held` says whether it had to wait. */
  async send(frame: Uint8Array, signal: AbortSignal): Promise<"at once" | "held"> {
    if (this.#closed) throw new SpineError("link_unknown", "the link is down");
    if (this.#line.length === 0 && this.#take(frame)) return "at once";
    await this.#line.wait(frame, signal);
    return "held";
  }

  gossip(data: Uint8Array): boolean {
    if (this.#closed) return false;
    this.#publish(Kind.gossip, data);
    return true;
  }

  receive(message: Uint8Array): void {
    if (this.#closed) return;
    const content = this.#seal.open(message);
    if (content === "lost") return this.end("messages were lost", false);
    if (!(content instanceof Uint8Array)) return this.#hooks.forged(content);
    this.#lastReceived = this.#now();
    const payload = content.subarray(1);
    switch (content[0]) {
      case Kind.ready:
        return this.#hooks.ready();
      case Kind.frame:
        if (payload.length < 1 || payload.length > this.#limits.mtuBytes) return this.#hooks.forged("syntax");
        return this.#hooks.frame(payload, () => this.#consumed(payload.length));
      case Kind.credit:
        if (payload.length !== 4) return this.#hooks.forged("syntax");
        this.#inFlight = Math.max(0, this.#inFlight - new DataView(payload.buffer, payload.byteOffset).getUint32(0));
        return this.#line.drain((frame) => this.#take(frame));
      case Kind.ping:
        return;
      case Kind.close:
        return this.end(`closed by the peer: ${reasonText(payload)}`, false);
      case Kind.gossip:
        if (payload.length < 1 || payload.length > this.#limits.maxGossipBytes) return this.#hooks.forged("syntax");
        return this.#hooks.gossip(payload);
      default:
        return this.#hooks.forged("syntax");
    }
  }

  /** Keep-alive and silence. Called about once a second. */
  tick(): void {
    if (this.#closed) return;
    const now = this.#now();
    if (now - this.#lastReceived >= this.#limits.idleMs) return this.end("idle", true);
    if (now - this.#lastSent >= this.#limits.keepaliveMs) this.#publish(Kind.ping, EMPTY);
  }

  /** Ends the link; `tell` says so to the peer. */
  end(reason: string, tell: boolean): void {
    if (this.#closed) return;
    if (tell) this.#publish(Kind.close, utf8(reason).slice(0, MAX_REASON_BYTES));
    this.#closed = true;
    this.#line.fail(new SpineError("link_unknown", `link ${this.id} went down: ${reason}`));
    this.#hooks.closed(reason);
  }

  #take(frame: Uint8Array): boolean {
    if (this.#closed) return false;
    if (this.#inFlight > 0 && this.#inFlight + frame.length > this.#limits.windowBytes) return false;
    this.#inFlight += frame.length;
    this.#publish(Kind.frame, frame);
    return true;
  }

  #consumed(bytes: number): void {
    this.#owed += bytes;
    if (this.#closed || this.#owed < this.#limits.windowBytes / 4) return;
    const credit = new Uint8Array(4);
    new DataView(credit.buffer).setUint32(0, this.#owed);
    this.#owed = 0;
    this.#publish(Kind.credit, credit);
  }

  #publish(kind: number, payload: Uint8Array): void {
    this.#lastSent = this.#now();
    this.#hooks.publish(this.#seal.seal(kind, payload));
  }
}

function reasonText(payload: Uint8Array): string {
  try {
    return utf8Text(payload.subarray(0, MAX_REASON_BYTES)).replace(/[^\x20-\x7e]/g, "?");
  } catch {
    return "no text";
  }
}
