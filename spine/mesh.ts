/**
 * The protocol as a state machine: `handle(input, now) → effects`. Delegates to intake, sync, forks and announcements
 * and owns no algorithm. The daemon and the simulator drive the same class (design: house, "Shape of the core").
 */
import { Announcer } from "./announce.ts";
import { Admission, type IssuerRecord, type Snapshot } from "./commit.ts";
import { Context, DEFAULT_LIMITS, type Link, type MeshLimits } from "./context.ts";
import type { Effect, Input } from "./effect.ts";
import type { Envelope } from "./envelope.ts";
import { asSpineError, SpineError } from "./errors.ts";
import { Forks } from "./forks.ts";
import { decodeFrame, type Frame, MAX_FRAME_BYTES, PROTOCOL_VERSION } from "./frame.ts";
import { openGossip } from "./gossip.ts";
import { joinRange } from "./have.ts";
import type { Head } from "./head.ts";
import { parseIssuer } from "./identity.ts";
import { Intake, runOf } from "./intake.ts";
import type { LinkInfo } from "./link.ts";
import { isJsonObject, parseJson } from "./lossless.ts";
import { openEnvelopeValue, openSigningBytes } from "./open.ts";
import { decodeParentSync } from "./parent.ts";
import type { Issuer, Millis, Sha256Hex } from "./ports.ts";
import { TokenBucket } from "./quota.ts";
import { walkRecords } from "./record.ts";
import { Resign } from "./resign.ts";
import { Sync } from "./sync.ts";
import { helloMessage } from "./tags.ts";

export interface MeshOptions {
  /** The node's own issuer id. */
  readonly issuer: Issuer;
  readonly sha256Hex: Sha256Hex;
  /** What the store held at start. */
  readonly snapshot: Snapshot;
  /** Lab mode: strangers are admitted, at the introducing link's expense. */
  readonly open: boolean;
  readonly limits?: Partial<MeshLimits>;
}

/** Unsolicited messages of one link: per second, and at once. */
const UNSOLICITED_RATE = 200;
const UNSOLICITED_BURST = 2_000;
/** Faults forgiven per link: one per ten seconds, five at once. */
const FAULT_RATE = 0.1;
const FAULT_BURST = 5;

export class Mesh {
  readonly #ctx: Context;
  readonly #sync: Sync;
  readonly #forks: Forks;
  readonly #intake: Intake;
  readonly #announcer: Announcer;
  readonly #resign: Resign;
  #wakeAt: Millis = Number.POSITIVE_INFINITY;

  constructor(options: MeshOptions, now: Millis) {
    const limits: MeshLimits = { ...DEFAULT_LIMITS, ...options.limits };
    this.#ctx = new Context(options.issuer, options.open, limits, options.sha256Hex);
    this.#ctx.now = now;
    this.#sync = new Sync(this.#ctx);
    this.#forks = new Forks(this.#ctx, options.snapshot.forks, (link, issuer, seq) =>
      this.#sync.fetch(link, issuer, seq, "evidence"),
    );
    this.#resign = new Resign(this.#ctx, this.#sync);
    this.#sync.bind(this.#forks, this.#resign);
    this.#intake = new Intake(this.#ctx, this.#forks);
    this.#announcer = new Announcer(this.#ctx, this.#sync, this.#forks, now);
    this.#restore(options.snapshot);
  }

  #restore(snapshot: Snapshot): void {
    const add = (record: IssuerRecord): void => {
      const state = { record, durable: record, head: null, heldSeq: Number.POSITIVE_INFINITY, heldUntil: 0 };
      this.#ctx.issuers.set(record.issuer, state);
    };
    for (const record of snapshot.issuers) add(record);
    const own = this.#ctx.own;
    if (!this.#ctx.issuers.has(own)) {
      add({ issuer: own, admission: Admission.own, ranges: [], prunedBelow: 0, frozenAt: null });
    }
    for (const head of snapshot.heads) {
      const state = this.#ctx.issuers.get(head.issuer);
      if (state !== undefined) state.head = head;
    }
  }

  /** Feeds one input. Throws only `internal` (a defect of the driver or the core); bad input of peers becomes effects. */
  handle(input: Input, now: Millis): Effect[] {
    this.#ctx.now = now;
    this.#dispatch(input);
    this.#sync.plan();
    this.#schedule(this.#announcer.flush(), input.type === "wake");
    return this.#ctx.drain();
  }

  #schedule(flushAt: Millis, woken: boolean): void {
    if (woken) this.#wakeAt = Number.POSITIVE_INFINITY;
    const { now } = this.#ctx;
    // Deadlines are coarse: while requests are open, once a second is enough.
    const requests = this.#sync.openRequests > 0 ? now + 1_000 : Number.POSITIVE_INFINITY;
    const at = Math.min(flushAt, requests, this.#sync.heldUntil());
    if (at < this.#wakeAt || this.#wakeAt <= now) {
      this.#wakeAt = at;
      if (Number.isFinite(at)) this.#ctx.emit({ type: "wake", at: Math.max(at, now) });
    }
  }

  #dispatch(input: Input): void {
    const ctx = this.#ctx;
    switch (input.type) {
      case "local":
        return this.#local(input.envelopes);
      case "offer":
        return this.#intake.offer(input.envelopes, null, (outcomes) =>
          ctx.emit({ type: "offered", token: input.token, outcomes }),
        );
      case "link-up":
        return this.#linkUp(input.link, input.info);
      case "link-down":
        return this.#linkDown(input.link);
      case "frame":
        return this.#guarded(input.link, (link) => this.#frame(link, input.frame));
      case "gossip":
        return this.#gossip(input.link, input.id, input.data);
      case "verified":
        return ctx.finishVerify(input.job, input.verdicts);
      case "signed":
        return ctx.finishSign(input.job, input.signature);
      case "found":
        return ctx.finishLookup(input.job, input.envelopes);
      case "committed":
        return ctx.finishCommit(input.id);
      case "served": {
        const link = ctx.links.get(input.link);
        if (link !== undefined) link.serving--;
        return;
      }
      case "admit":
        ctx.admit(input.issuer, input.admission);
        this.#askAround([input.issuer]);
        return;
      case "unsigned":
        return this.#resign.report(input.issuer, input.seq, input.hash);
      case "refresh":
        return this.#askAround([...ctx.issuers.keys()].slice(0, 256));
      case "wake":
        this.#sync.expire();
        return;
    }
  }

  /** Own envelopes from the single writer. A gap or a wrong link is a defect of the writer. */
  #local(envelopes: readonly Envelope[]): void {
    const state = this.#ctx.issuers.get(this.#ctx.own);
    const [first, last] = [envelopes[0], envelopes.at(-1)];
    if (state === undefined || first === undefined || last === undefined) return;
    const joined = joinRange(state.record.ranges, { from: first.seq, to: last.seq, prev: first.prev, last: last.hash });
    if (joined.type !== "joined" || joined.ranges.length > 1) {
      throw new SpineError("internal", `own envelope ${first.seq} does not continue the own chain`);
    }
    state.record = { ...state.record, ranges: joined.ranges };
    const run = runOf(envelopes);
    this.#ctx.commit({ runs: [run], issuers: [state.record] }, () => {
      this.#ctx.stored(run, null);
      this.#announcer.published(envelopes);
    });
  }

  #askAround(issuers: readonly Issuer[]): void {
    for (const link of this.#ctx.links.values()) {
      if (link.issuer !== null) this.#ctx.send(link, { type: "ask-inventory", issuers });
    }
  }

  #linkUp(id: string, info: LinkInfo): void {
    const { now } = this.#ctx;
    const link: Link = {
      id,
      info,
      issuer: null,
      maxFrameBytes: MAX_FRAME_BYTES,
      have: new Map(),
      requests: new Map(),
      serving: 0,
      introduced: 0,
      dirty: new Set(),
      averageBytes: 700,
      faults: new TokenBucket(FAULT_RATE, FAULT_BURST, now),
      unsolicited: new TokenBucket(UNSOLICITED_RATE, UNSOLICITED_BURST, now),
    };
    this.#ctx.links.set(id, link);
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

  #linkDown(id: string): void {
    const link = this.#ctx.links.get(id);
    if (link === undefined) return;
    this.#ctx.links.delete(id);
    this.#sync.linkDown(link);
    this.#forks.linkDown(id);
    this.#announcer.linkDown(id);
  }

  /** Runs what a peer caused; coded errors become blame instead of exceptions. */
  #guarded(id: string, work: (link: Link) => void): void {
    const link = this.#ctx.links.get(id);
    if (link === undefined) return;
    try {
      work(link);
    } catch (caught) {
      const error = asSpineError(caught);
      if (error.code === "internal") throw error;
      if (error.blame === "sender") this.#ctx.blame(link, error.code, error.message);
      else this.#ctx.emit({ type: "notify", event: { type: "refused", link: id, code: error.code } });
    }
  }

  #frame(link: Link, bytes: Uint8Array): void {
    if (bytes.length > MAX_FRAME_BYTES) throw new SpineError("frame_size", `frame of ${bytes.length} bytes`);
    if (bytes[0] === 0x7b) return this.#parentMessage(link, bytes);
    const frame = decodeFrame(bytes);
    if (frame.type === "hello") return this.#hello(link, frame);
    if (frame.type === "bye") return this.#ctx.emit({ type: "close", link: link.id, code: "link_unknown" });
    if (link.issuer === null) throw new SpineError("frame_unexpected", `${frame.type} before hello`);
    this.#message(link, frame);
  }

  #message(link: Link, frame: Frame): void {
    switch (frame.type) {
      case "segment":
        return this.#sync.segment(link, frame);
      case "offer":
        return this.#sync.offered(link, frame);
      case "end":
        return this.#sync.ended(link, frame);
      case "hashes":
        return this.#forks.hashes(link, frame.request, frame.hashes);
      default:
        // Everything else costs us work we did not ask for.
        if (!link.unsolicited.take(1, this.#ctx.now)) throw new SpineError("rate_limited", `${frame.type} too often`);
        return this.#unsolicited(link, frame);
    }
  }

  #unsolicited(link: Link, frame: Frame): void {
    switch (frame.type) {
      case "inventory":
        return this.#announcer.inventory(link, frame.entries);
      case "ask-inventory":
        return this.#announcer.sendInventory(link, frame.issuers);
      case "reconcile":
        return this.#announcer.reconcile(link, frame);
      case "want":
        return this.#serve(link, frame);
      case "ask-hashes":
        return this.#serveHashes(link, frame);
      case "fork":
        return this.#forks.received(frame.proof, link);
      case "push":
        return this.#pushed(link, frame.records);
      default:
        throw new SpineError("frame_unexpected", frame.type);
    }
  }

  /** A valid proof names the peer; a configured peer thereby becomes an admitted issuer (rules 2, 3). */
  #hello(link: Link, frame: Extract<Frame, { type: "hello" }>): void {
    if (link.issuer !== null) throw new SpineError("frame_unexpected", "second hello");
    if (frame.minVersion > PROTOCOL_VERSION || frame.maxVersion < PROTOCOL_VERSION) {
      return this.#ctx.close(link, "hello_version", `this node speaks version ${PROTOCOL_VERSION}`);
    }
    const { localBinding, remoteBinding } = link.info;
    const message = helloMessage(remoteBinding, localBinding);
    const claim = { key: parseIssuer(frame.issuer), message, signature: frame.proof };
    this.#ctx.verify([claim], link.id, ([valid]) => {
      if (this.#ctx.links.get(link.id) !== link) return;
      if (!valid) {
        this.#ctx.emit({ type: "penalise", link: link.id, code: "hello_proof" });
        return this.#ctx.close(link, "hello_proof", "the hello's proof does not verify");
      }
      link.issuer = frame.issuer;
      link.maxFrameBytes = Math.min(frame.maxFrameBytes, link.info.mtu, MAX_FRAME_BYTES);
      if (link.info.configured && !this.#ctx.issuers.has(frame.issuer)) this.#ctx.admit(frame.issuer, Admission.proved);
      this.#ctx.emit({ type: "notify", event: { type: "ready", link: link.id, issuer: frame.issuer } });
      this.#announcer.greet(link);
    });
  }

  #serve(link: Link, frame: Extract<Frame, { type: "want" }>): void {
    const state = this.#ctx.admitted(frame.issuer);
    if (frame.maxItems === 0 || frame.maxBytes === 0) throw new SpineError("range_invalid", "a budget of nothing");
    if (state === undefined || link.serving >= this.#ctx.limits.servesPerLink) {
      const reason = state === undefined ? "none" : "busy";
      return this.#ctx.send(link, { type: "end", request: frame.request, reason });
    }
    link.serving++;
    const { request, issuer, from, to, maxItems, maxBytes } = frame;
    this.#ctx.emit({ type: "serve", link: link.id, request, issuer, from, to, maxItems, maxBytes });
  }

  #serveHashes(link: Link, frame: Extract<Frame, { type: "ask-hashes" }>): void {
    if (link.serving >= this.#ctx.limits.servesPerLink) throw new SpineError("rate_limited", "too many open questions");
    link.serving++;
    this.#ctx.emit({
      type: "serve-hashes",
      link: link.id,
      request: frame.request,
      issuer: frame.issuer,
      seqs: frame.seqs,
    });
  }

  #pushed(link: Link, records: readonly Uint8Array[]): void {
    const envelopes: Envelope[] = [];
    for (const record of records) {
      for (const { signingBytes, signature } of walkRecords(record)) {
        envelopes.push(openSigningBytes(signingBytes, signature, this.#ctx.sha256Hex));
      }
    }
    this.#offerFrom(link, envelopes);
  }

  #offerFrom(link: Link, envelopes: readonly Envelope[]): void {
    this.#intake.offer(envelopes, link, (outcomes) => {
      for (const [i, outcome] of outcomes.entries()) {
        if (outcome === "signature_invalid") this.#ctx.blame(link, outcome, "a pushed envelope's signature is invalid");
        if (outcome === "added") this.#announcer.passOn(envelopes[i] as Envelope, link.id);
      }
    });
  }

  /** Broadcast data: judged once, relayed by the plane only when accepted (rules 1). */
  #gossip(id: string, message: string, data: Uint8Array): void {
    const judge = (verdict: "accept" | "ignore" | "reject"): void =>
      this.#ctx.emit({ type: "judge", link: id, id: message, verdict });
    const link = this.#ctx.links.get(id);
    if (link === undefined) return judge("ignore");
    try {
      const opened = openGossip(data, this.#ctx.sha256Hex);
      if (opened.type === "head") return this.#announcer.gossipHead(link, message, opened.head);
      this.#intake.offer([opened.envelope], link, ([outcome]) => {
        judge(outcome === "added" ? "accept" : outcome === "signature_invalid" ? "reject" : "ignore");
      });
    } catch (caught) {
      const error = asSpineError(caught);
      if (error.code === "internal") throw error;
      judge(error.blame === "sender" ? "reject" : "ignore");
      this.#ctx.emit({ type: "notify", event: { type: "refused", link: id, code: error.code } });
    }
  }

  /** JSON messages of the parent implementation on a link (spec/spine.md 8.1). */
  #parentMessage(link: Link, bytes: Uint8Array): void {
    if (!link.unsolicited.take(1, this.#ctx.now)) throw new SpineError("rate_limited", "messages too often");
    const value = parseJson(bytes);
    const schema = isJsonObject(value) ? value["schema"] : undefined;
    if (typeof schema === "string" && schema.includes(".sync_")) {
      const message = decodeParentSync(bytes);
      if (message.type === "sync-request") {
        throw new SpineError("frame_unexpected", "JSON sync requests are not answered on links; send a want frame");
      }
      return this.#offerFrom(
        link,
        message.envelopes.map((one) => openEnvelopeValue(one, this.#ctx.sha256Hex)),
      );
    }
    const opened = openGossip(bytes, this.#ctx.sha256Hex);
    if (opened.type === "envelope") return this.#offerFrom(link, [opened.envelope]);
    const { head } = opened;
    if (this.#ctx.admitOrClaim(head.issuer, head.seq, link)) this.#announcer.learn([head], link, () => {});
  }

  // ---- for the driver ----

  /** Bytes and items at work, for metrics and back-pressure. */
  get load(): {
    readonly commits: number;
    readonly requests: number;
    readonly waiting: number;
    readonly claims: number;
  } {
    const { pendingCommits, claims } = this.#ctx;
    return {
      commits: pendingCommits,
      requests: this.#sync.openRequests,
      waiting: this.#sync.waitingIssuers,
      claims: claims.size,
    };
  }
  /** Newest own (seq, hash) handed in, committed or not; undefined before the first. */
  get ownHead(): { readonly seq: number; readonly hash: string } | undefined {
    const top = this.#ctx.issuers.get(this.#ctx.own)?.record.ranges.at(-1);
    return top === undefined ? undefined : { seq: top.to, hash: top.last };
  }
  /** Everything on disk about issuers, with their newest heads. */
  *issuers(): IterableIterator<{ readonly record: IssuerRecord; readonly head: Head | null }> {
    for (const state of this.#ctx.issuers.values()) yield { record: state.durable, head: state.head };
  }
  issuer(issuer: Issuer): IssuerRecord | undefined {
    return this.#ctx.issuers.get(issuer)?.durable;
  }
  /** How many envelopes a peer holds that are neither held nor refused here; of one issuer if given. */
  lacking(link: string, issuer?: Issuer): number {
    const peer = this.#ctx.links.get(link);
    if (peer === undefined) return 0;
    let count = 0;
    for (const name of issuer === undefined ? peer.have.keys() : [issuer]) count += this.#sync.lacking(peer, name);
    return count;
  }
  /** Links with the issuer each proved. */
  links(): {
    readonly id: string;
    readonly info: LinkInfo;
    readonly issuer: Issuer | null;
    readonly requests: number;
  }[] {
    return [...this.#ctx.links.values()].map(({ id, info, issuer, requests }) => ({
      id,
      info,
      issuer,
      requests: requests.size,
    }));
  }
}
