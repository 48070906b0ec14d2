/**
 * Joins the store to the streams of a NATS cluster. Out: every stored envelope that may be told there, in the order of
 * storing, from a cursor that survives restarts, once it is acknowledged; after a loss on the cluster all over again. In:
 * what others published is checked, offered to the core, and acknowledged once it is on disk.
 */
import { type BatchHandler, type BusMessage, type Handled, type NatsBus, subjectMatches } from "../../planes/index.ts";
import {
  asSpineError,
  BoundedMap,
  claimOf,
  type Envelope,
  EnvelopeState,
  headText,
  holds,
  type Issuer,
  MAX_ENVELOPE_INPUT,
  type Outcome,
  openEnvelope,
  openSigningBytes,
  parseIssuer,
  RowTable,
  type Run,
  SpineError,
  TokenBucket,
  utf8,
  utf8Text,
} from "../../spine/index.ts";
import type { Store } from "../../storage/index.ts";
import type { Driver } from "../driver.ts";
import type { Gateway } from "../gateway/gateway.ts";
import { sha256Hex } from "../hash.ts";
import type { WorkerVerifier } from "../verifier.ts";
import { type Leaf, readLeaves } from "./leaves.ts";
import { pause } from "./pause.ts";
import { PublishWindow } from "./publish-window.ts";
import { RecentRuns } from "./recent-runs.ts";

export interface FeedOptions {
  readonly own: Issuer;
  /** The own log, whose checkpoints are this node's too. */
  readonly ownLog: Issuer;
  readonly store: Store;
  readonly driver: Driver;
  readonly verifier: WorkerVerifier;
  readonly gateway: Gateway | undefined;
  /** Without a gateway: everything stored, or only what this node signed. */
  readonly publishAll: boolean;
  /** Publishes under way at once. */
  readonly window: number;
  /** Envelopes per second of one sender on the streams, and at once. */
  readonly senderRate: { readonly perSecond: number; readonly burst: number };
  readonly now: () => number;
  /** Envelopes stored before the first that `stored` tells of. */
  readonly leaves: number;
}

/** Where messages of the streams come from, in the words of links. */
const VIA = "nats:bus";
const CURSOR_ROW = "nats/cursor";
const PAGE = 256;
const SAVE_EVERY = 1_000;
const RETRY_MS = 500;
/** How late a head may be said when nothing else happens. */
const HEAD_MS = 2_000;
/** Without news for so long the cursor is saved. */
const QUIET_MS = 200;
/** How long publishing waits for reading after a connection was made. */
const HEAR_MS = 30_000;
const MAX_HEARD = 50_000;
const MAX_SENDERS = 10_000;
const MAX_EXTRA = 4_096;

interface Cursor {
  /** Leaf index of the next envelope to look at. */
  readonly next: number;
  /** Released by rates after the cursor had passed them. */
  readonly extra: readonly (readonly [Issuer, number])[];
}

/** The first 128 bits of a hash in 8 characters: much less memory than its text. */
export function dedupeKey(hash: string): string {
  const word = (at: number): number => Number.parseInt(hash.slice(at, at + 4), 16);
  return String.fromCharCode(word(2), word(6), word(10), word(14), word(18), word(22), word(26), word(30));
}

export class NatsFeed {
  readonly #options: FeedOptions;
  #heard = new BoundedMap<string, true>(MAX_HEARD);
  readonly #recent: RecentRuns;
  readonly #senders = new BoundedMap<string, TokenBucket>(MAX_SENDERS);
  #cursor = 0;
  #saved = -1;
  #extra: [Issuer, number][] = [];
  #restart = false;
  #saidHead = -1;
  #hearUntil: number | null = null;
  /** A publish was not acknowledged: nothing more is begun before those behind it are published again. */
  #failing = false;
  #wake: (() => void) | null = null;
  /** Poked since it last looked. */
  #news = false;
  readonly #counts = {
    feed_published: 0,
    feed_suppressed: 0,
    feed_withheld: 0,
    feed_unsigned: 0,
    feed_retries: 0,
    feed_restarts: 0,
    feed_extra_dropped: 0,
    read_added: 0,
    read_known: 0,
    read_refused: 0,
    read_malformed: 0,
    read_oversized: 0,
    read_mismatched: 0,
    read_rate_limited: 0,
  };

  constructor(options: FeedOptions) {
    this.#options = options;
    this.#recent = new RecentRuns(options.leaves);
    const { gateway } = options;
    if (gateway === undefined) return;
    gateway.onReleased = (decisions) => {
      for (const { issuer, seq, to } of decisions) {
        if (to !== "nats") continue;
        if (this.#extra.length >= MAX_EXTRA) this.#counts.feed_extra_dropped++;
        else this.#extra.push([issuer, seq]);
      }
      this.poke();
    };
    gateway.onJudged = () => this.poke();
  }

  counters(): Readonly<Record<string, number>> {
    return { ...this.#counts, feed_cursor: this.#cursor, feed_extra: this.#extra.length };
  }

  /** On disk now; called for every run, in the order of leaves. */
  stored(run: Run): void {
    this.#recent.add(run);
    this.poke();
  }

  /** Something may be told now. */
  poke(): void {
    this.#news = true;
    this.#wake?.();
  }
  /** The cluster lost what it had acknowledged. */
  startOver(): void {
    this.#heard = new BoundedMap(MAX_HEARD);
    this.#restart = true;
    this.poke();
  }

  // ---- out ----

  /** Publishes until the signal. */
  async run(bus: NatsBus, signal: AbortSignal): Promise<void> {
    const row = await this.#options.store.row(RowTable.gateway, CURSOR_ROW);
    if (row !== undefined) {
      const { next, extra } = JSON.parse(utf8Text(row)) as Cursor;
      this.#cursor = next;
      this.#saved = next;
      this.#extra = extra.map(([issuer, seq]) => [issuer, seq]);
    }
    while (!signal.aborted) {
      if (this.#restart) {
        this.#restart = false;
        this.#counts.feed_restarts++;
        this.#cursor = 0;
      }
      const ready = bus.ready && this.#decides && this.#hasHeard(bus);
      const moved = ready && (await this.#round(bus, signal));
      if (ready) this.#sayHead(bus);
      if (!moved) {
        this.#save();
        await this.#idle(ready ? HEAD_MS : RETRY_MS, signal);
      }
    }
    this.#save();
  }

  /** Whether the gateway, if any, says now what may be told. */
  get #decides(): boolean {
    return this.#options.gateway?.decides ?? true;
  }

  /** What another gateway published meanwhile was heard, or there is so much of it that the rest may be doubled. */
  #hasHeard(bus: NatsBus): boolean {
    if (bus.caughtUp) {
      this.#hearUntil = null;
      return true;
    }
    this.#hearUntil ??= this.#options.now() + HEAR_MS;
    return this.#options.now() >= this.#hearUntil;
  }

  /** Publishes what waits; false if nothing waited or nothing can be published. */
  async #round(bus: NatsBus, signal: AbortSignal): Promise<boolean> {
    const { store } = this.#options;
    if (this.#extra.length > 0) {
      const extra = this.#extra.splice(0, PAGE);
      const found = await Promise.all(extra.map(([issuer, seq]) => store.at(issuer, seq)));
      const held = found.map((one, i) => (one === undefined ? { leafIndex: i } : { ...one, leafIndex: i }));
      const done = await this.#publishAll(bus, held, 0, () => {}, signal);
      this.#extra.unshift(...extra.slice(done));
      this.#saved = -1;
      if (this.#failing) return this.#failed(bus, signal);
      if (done < extra.length) return false;
    }
    const start = this.#cursor;
    await this.#publishAll(
      bus,
      this.#following(bus, start, signal),
      start,
      (next) => {
        this.#cursor = next;
        if (next - this.#saved >= SAVE_EVERY) this.#save();
      },
      signal,
    );
    if (this.#failing) return this.#failed(bus, signal);
    return this.#cursor > start;
  }

  /** What is stored from `next` on, and what comes after it, until something else is to be done first. */
  async *#following(bus: NatsBus, next: number, signal: AbortSignal): AsyncGenerator<Leaf> {
    const { store, gateway } = this.#options;
    const stops = (): boolean =>
      signal.aborted || this.#failing || this.#restart || this.#extra.length > 0 || !bus.ready || !this.#decides;
    // Looked up at first, and now and then when nothing is known to be new.
    let looks = true;
    while (!stops()) {
      const recent = this.#recent.page(next);
      const isBehind = looks || next < this.#recent.end;
      looks = false;
      const pages = recent === undefined ? (isBehind ? readLeaves(store, next) : []) : [recent];
      for await (const page of pages) {
        next += page.length;
        // What is told is with the operating system, as a decision, before it leaves.
        gateway?.flush();
        yield* await this.#checked(page);
        if (stops()) return;
      }
      if (this.#recent.page(next) !== undefined) continue;
      this.#sayHead(bus);
      if (await this.#idle(QUIET_MS, signal)) continue;
      this.#save();
      if (!stops()) looks = !(await this.#idle(HEAD_MS, signal));
    }
  }

  async #failed(bus: NatsBus, signal: AbortSignal): Promise<boolean> {
    this.#failing = false;
    this.#counts.feed_retries++;
    await bus.inspect().catch(() => {});
    await pause(RETRY_MS, signal);
    return !signal.aborted && bus.ready;
  }

  /**
   * Publishes in order, `window` at once, and tells how far everything is done with, without a gap. After a failure
   * nothing more is begun: those behind it are published again later.
   */
  async #publishAll(
    bus: NatsBus,
    leaves: Iterable<Leaf> | AsyncIterable<Leaf>,
    first: number,
    advance: (next: number) => void,
    signal: AbortSignal,
  ): Promise<number> {
    const window = new PublishWindow(this.#options.window, first, advance);
    this.#failing = false;
    this.#options.gateway?.flush();
    for await (const leaf of leaves) {
      // What is being judged anew may be told a moment later: the cursor must not pass it now.
      if (signal.aborted || this.#failing || this.#restart || !this.#decides) break;
      const found = this.#publishable(leaf);
      const envelope = found instanceof Promise ? await found : found;
      if (envelope === undefined) {
        window.done(leaf.leafIndex);
        continue;
      }
      window.begin();
      bus.publish(envelope).then(
        () => {
          this.#counts.feed_published++;
          window.done(leaf.leafIndex);
          window.end();
        },
        () => {
          this.#failing = true;
          window.end();
          this.poke();
        },
      );
      await window.room();
    }
    await window.drained();
    return window.next - first;
  }

  /** The envelope if it is to be published: allowed, not heard there, and with a signature that was checked. */
  #publishable(stored: Leaf): Envelope | undefined | Promise<Envelope | undefined> {
    const { own, gateway, publishAll } = this.#options;
    // Pruned meanwhile.
    if (!("hash" in stored)) return undefined;
    const { issuer, seq, hash } = stored;
    if (!this.#mayPublish(issuer, seq, own, gateway, publishAll)) {
      this.#counts.feed_withheld++;
      return undefined;
    }
    if (this.#heard.has(dedupeKey(hash))) {
      this.#counts.feed_suppressed++;
      return undefined;
    }
    const envelope = openSigningBytes(stored.signingBytes, stored.signature, sha256Hex, hash);
    return stored.state === EnvelopeState.signature ? envelope : this.#checkedAlone(envelope, stored.state);
  }

  async #checkedAlone(envelope: Envelope, state: EnvelopeState): Promise<Envelope | undefined> {
    const { verifier } = this.#options;
    const valid = state === EnvelopeState.chain && (await verifier.verify([claimOf(envelope)]))[0] === true;
    if (valid) return envelope;
    this.#counts.feed_unsigned++;
    return undefined;
  }

  /** Checks the signatures of a page's envelopes whose content alone is proven, in one batch, if they are to go out. */
  async #checked(page: readonly Leaf[]): Promise<readonly Leaf[]> {
    const { own, gateway, publishAll, verifier, driver } = this.#options;
    const open = page.flatMap((leaf) => {
      if (!("hash" in leaf) || leaf.state !== EnvelopeState.chain) return [];
      return this.#mayPublish(leaf.issuer, leaf.seq, own, gateway, publishAll) ? [leaf] : [];
    });
    if (open.length === 0) return page;
    const claims = open.map(({ issuer, signingBytes, signature }) => ({
      ...{ key: parseIssuer(issuer), message: signingBytes, signature },
    }));
    const verdicts = await verifier.verify(claims);
    const good = new Set(open.filter((_, i) => verdicts[i]).map(({ leafIndex }) => leafIndex));
    driver.commitStates(
      open
        .filter(({ leafIndex }) => good.has(leafIndex))
        .map(({ issuer, seq }) => ({ issuer, seq, state: EnvelopeState.signature })),
    );
    return page.map((leaf) => (good.has(leaf.leafIndex) ? { ...leaf, state: EnvelopeState.signature } : leaf));
  }

  #mayPublish(issuer: Issuer, seq: number, own: Issuer, gateway: Gateway | undefined, all: boolean): boolean {
    if (gateway === undefined) return all || issuer === own || issuer === this.#options.ownLog;
    const spans = gateway.index.spansOn("nats", issuer);
    // No crossing: it lives on NATS, and stands on the streams by its own doing.
    return spans !== undefined && holds(spans, seq);
  }

  #save(): void {
    if (this.#saved === this.#cursor) return;
    this.#saved = this.#cursor;
    const value = utf8(JSON.stringify({ next: this.#cursor, extra: this.#extra } satisfies Cursor));
    // A cursor that was not written costs a few publishes again.
    this.#options.driver.commitRows([{ table: RowTable.gateway, key: CURSOR_ROW, value }]).catch(() => {});
  }

  /** Until something was stored or failed, the signal, or the time is over; whether it was news. */
  #idle(ms: number, signal: AbortSignal): Promise<boolean> {
    if (signal.aborted) return Promise.resolve(false);
    if (this.#news) {
      this.#news = false;
      return Promise.resolve(true);
    }
    return new Promise((resolve) => {
      const done = (): void => {
        clearTimeout(timer);
        this.#wake = null;
        signal.removeEventListener("abort", done);
        resolve(this.#news);
        this.#news = false;
      };
      const timer = setTimeout(done, ms);
      this.#wake = done;
      signal.addEventListener("abort", done);
    });
  }

  // ---- in ----

  readonly batch: BatchHandler = async (batch) => {
    const results: Handled[] = batch.map((): Handled => "poison");
    const envelopes: Envelope[] = [];
    const places: number[] = [];
    for (const [i, message] of batch.entries()) {
      if (!this.#sender(message.sender)) {
        results[i] = "later";
        this.#counts.read_rate_limited++;
        continue;
      }
      const envelope = this.#open(message);
      if (envelope === undefined) continue;
      envelopes.push(envelope);
      places.push(i);
    }
    const outcomes = await this.#options.driver.offer(envelopes, VIA);
    for (const [at, outcome] of outcomes.entries()) {
      results[places[at] as number] = this.#outcome(
        envelopes[at] as Envelope,
        outcome,
        (batch[places[at] as number] as BusMessage).sender,
      );
    }
    return results;
  };

  #sender(sender: string): boolean {
    const { senderRate, now } = this.#options;
    let bucket = this.#senders.get(sender);
    if (bucket === undefined) {
      bucket = new TokenBucket(senderRate.perSecond, senderRate.burst, now());
      this.#senders.set(sender, bucket);
    }
    return bucket.take(1, now());
  }

  #open({ data, subject, sender }: BusMessage): Envelope | undefined {
    try {
      if (data.length > MAX_ENVELOPE_INPUT) throw new SpineError("envelope_size", `message of ${data.length} bytes`);
      const envelope = openEnvelope(data, sha256Hex);
      if (subjectMatches(subject, envelope)) return envelope;
      this.#counts.read_mismatched++;
      this.#refuse("subject_mismatch", { envelope_hash: envelope.hash, nats_subject: subject.slice(0, 256), sender });
    } catch (caught) {
      const { code } = asSpineError(caught);
      if (code === "envelope_size") this.#counts.read_oversized++;
      else this.#counts.read_malformed++;
      this.#refuse(code, { nats_subject: subject.slice(0, 256), sender });
    }
    return undefined;
  }

  #outcome(envelope: Envelope, outcome: Outcome, sender: string): Handled {
    if (outcome === "added" || outcome === "duplicate") {
      this.#heard.set(dedupeKey(envelope.hash), true);
      if (outcome === "added") this.#counts.read_added++;
      else this.#counts.read_known++;
      return "done";
    }
    // A clock will come to it.
    if (outcome === "issued_in_future") return "later";
    this.#counts.read_refused++;
    this.#refuse(outcome, { envelope_hash: envelope.hash, issuer: envelope.issuer, seq: envelope.seq, sender });
    return outcome === "signature_invalid" ? "poison" : "done";
  }

  #refuse(reason: string, fields: Readonly<Record<string, string | number>>): void {
    this.#options.gateway?.refused("nats", reason, { ...fields });
  }

  /** A head heard on the heads subject is judged by the core. */
  head(data: Uint8Array): void {
    this.#options.driver.feed({ type: "head", data });
  }

  /** Says the own head where everybody listens, once per head. */
  #sayHead(bus: NatsBus): void {
    const { driver, own, gateway } = this.#options;
    const head = driver.mesh.statedHead;
    if (head === null || head.seq <= this.#saidHead) return;
    const spans = gateway?.index.spansOn("nats", own);
    if (spans !== undefined && !holds(spans, head.seq)) return;
    this.#saidHead = head.seq;
    bus.publishHead(utf8(headText(head)));
  }
}
