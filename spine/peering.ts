/**
 * Links as such: one hello each way, a proof of the peer's issuer key bound to the transport, and the limits that hang
 * on it (rules 2, WIRE.md 4). Called by `mesh.ts`.
 */
import type { Announcer } from "./announce.ts";
import { equalBytes } from "./bytes.ts";
import { Admission } from "./commit.ts";
import type { Context } from "./context.ts";
import type { Enforcement } from "./enforcement.ts";
import { SpineError } from "./errors.ts";
import type { FactExchange } from "./fact-exchange.ts";
import { type Frame, MAX_FRAME_BYTES, PROTOCOL_VERSION } from "./frame.ts";
import { parseIssuer } from "./identity.ts";
import type { LinkId, LinkInfo } from "./link.ts";
import type { Millis } from "./ports.ts";
import { BoundedMap, TokenBucket } from "./quota.ts";
import type { RevocationExchange } from "./revocation-exchange.ts";
import type { Link } from "./state.ts";
import { helloMessage } from "./tags.ts";

/** Per link: how many per second, and how many at once. Requests are bounded by `servesPerLink` instead. */
export const LINK_RATES = {
  /** Inventories, questions and everything else nobody asked for. */
  messages: { perSecond: 200, burst: 2_000 },
  /** Envelopes nobody asked for. */
  pushes: { perSecond: 200, burst: 2_000 },
  /** Rounds of reconciliation. */
  reconciles: { perSecond: 1, burst: 64 },
  attests: { perSecond: 20, burst: 200 },
  /** Faults forgiven. */
  faults: { perSecond: 0.1, burst: 5 },
} as const;

/** Issuers with many ranges of which is remembered what a peer was told; of others everything is said again. */
const MAX_TOLD = 64;
/** Smallest frame limit that is believed: below it not even an inventory entry fits. */
const MIN_FRAME_BYTES = 2_048;

export class Peering {
  readonly #ctx: Context;
  readonly #announcer: Announcer;
  readonly #enforcement: Enforcement;
  readonly #exchange: FactExchange;
  readonly #revocations: RevocationExchange;
  /** Links without a valid hello. */
  readonly #unproved = new Set<Link>();
  constructor(
    ctx: Context,
    announcer: Announcer,
    enforcement: Enforcement,
    exchange: FactExchange,
    revocations: RevocationExchange,
  ) {
    this.#ctx = ctx;
    this.#revocations = revocations;
    this.#announcer = announcer;
    this.#enforcement = enforcement;
    this.#exchange = exchange;
  }

  linkUp(id: LinkId, info: LinkInfo): void {
    const { now, limits } = this.#ctx;
    const bucket = ({ perSecond, burst }: { perSecond: number; burst: number }): TokenBucket =>
      new TokenBucket(perSecond, burst, now);
    const link: Link = {
      id,
      info,
      issuer: null,
      greeted: false,
      // A hello waits for its turn on the air, and for the proofs of others.
      helloBy: now + limits.requestTimeoutMs * (info.cost === "radio" ? 10 : 1),
      closing: false,
      handed: [],
      maxFrameBytes: MAX_FRAME_BYTES,
      have: new Map(),
      told: new BoundedMap(MAX_TOLD),
      extraSpans: 0,
      requests: new Map(),
      serving: 0,
      doubts: new Set(),
      doubtsAt: Number.POSITIVE_INFINITY,
      informed: new Map(),
      compared: new Map(),
      dirty: new Set(),
      dirtyAt: now,
      comparedAt: now,
      holdUntil: 0,
      averageBytes: 700,
      faults: bucket(LINK_RATES.faults),
      unsolicited: bucket(LINK_RATES.messages),
      pushes: bucket(LINK_RATES.pushes),
      reconciles: bucket(LINK_RATES.reconciles),
      attests: bucket(LINK_RATES.attests),
    };
    this.#ctx.links.set(id, link);
    this.#unproved.add(link);
    this.#ctx.hasNarrow ||= info.cost === "radio";
    this.#ctx.sign(helloMessage(info.localBinding, info.remoteBinding), (proof) => {
      if (this.#ctx.links.get(id) !== link) return;
      this.#ctx.send(link, {
        type: "hello",
        minVersion: PROTOCOL_VERSION,
        maxVersion: PROTOCOL_VERSION,
        maxFrameBytes: MAX_FRAME_BYTES,
        issuer: this.#ctx.own,
        proof,
      });
    });
  }

  /** A valid proof names the peer; a configured peer thereby becomes an admitted issuer (rules 2, 3). */
  hello(link: Link, frame: Extract<Frame, { type: "hello" }>): void {
    if (link.greeted) throw new SpineError("frame_unexpected", "second hello");
    link.greeted = true;
    if (frame.minVersion > PROTOCOL_VERSION || frame.maxVersion < PROTOCOL_VERSION) {
      return this.#ctx.close(link, "hello_version", `this node speaks version ${PROTOCOL_VERSION}`);
    }
    const { localBinding, remoteBinding } = link.info;
    const message = helloMessage(remoteBinding, localBinding);
    const claim = { key: parseIssuer(frame.issuer), message, signature: frame.proof };
    this.#ctx.verify([claim], link.id, ([valid]) => {
      if (this.#ctx.links.get(link.id) !== link || link.closing) return;
      if (!valid) {
        this.#ctx.emit({ type: "penalise", link: link.id, code: "hello_proof" });
        return this.#ctx.close(link, "hello_proof", "the hello's proof does not verify");
      }
      if (frame.issuer === this.#ctx.own) return this.#ownKey(link);
      // Whoever announced the transport key is at its other end, or nobody is.
      if (link.info.issuer !== undefined && frame.issuer !== link.info.issuer) {
        this.#ctx.emit({ type: "penalise", link: link.id, code: "transport_key" });
        return this.#ctx.close(link, "transport_key", `this link belongs to ${link.info.issuer}`);
      }
      this.#ready(link, frame);
    });
  }

  #ready(link: Link, frame: Extract<Frame, { type: "hello" }>): void {
    link.issuer = frame.issuer;
    this.#unproved.delete(link);
    this.#ctx.linksChanged();
    link.maxFrameBytes = Math.min(Math.max(frame.maxFrameBytes, MIN_FRAME_BYTES), link.info.mtu, MAX_FRAME_BYTES);
    if (this.#enforcement.refusePeer(link.id)) return;
    const stranger = this.#ctx.admitted(frame.issuer) === undefined && !this.#ctx.isDenied(frame.issuer);
    if (link.info.configured && stranger) this.#ctx.admit(frame.issuer, Admission.proved);
    this.#ctx.emit({ type: "notify", event: { type: "ready", link: link.id, issuer: frame.issuer } });
    if (link.info.cost === "radio") this.#revocations.greet(link);
    this.#announcer.greet(link);
    this.#ctx.ownChain.askLink(link);
    this.#exchange.greet(link);
  }

  /** The peer holds our own key: a cloned image or a thief, unless we reached ourselves (rules 7). */
  #ownKey(link: Link): void {
    if (!equalBytes(link.info.localBinding, link.info.remoteBinding)) {
      this.#ctx.ownChain.conflict(Math.max(0, this.#ctx.ownChain.expected));
    }
    this.#ctx.close(link, "own_key_conflict", "this is the node's own key");
  }

  /** Closes links that never introduced themselves. */
  expire(): void {
    for (const link of this.#unproved) {
      if (link.helloBy <= this.#ctx.now) this.#ctx.close(link, "request_timeout", "no hello came in time");
    }
  }
  stepBack(ms: Millis): void {
    for (const link of this.#ctx.links.values()) link.helloBy -= ms;
  }
  /** When `expire` has something to do next. */
  nextDeadline(): Millis {
    let next = Number.POSITIVE_INFINITY;
    for (const link of this.#unproved) {
      if (link.closing || this.#ctx.links.get(link.id) !== link) this.#unproved.delete(link);
      else next = Math.min(next, link.helloBy);
    }
    return next;
  }
}
