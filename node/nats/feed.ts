/**
 * Joins the store to the streams of a NATS cluster. Out: every stored envelope that may be told there, in the order of
 * storing, from a cursor that survives restarts, until it is acknowledged; after a loss on the cluster all over again,
 * and after a looser policy what it lets through. In: `stream-intake.ts`.
 */
import type { BatchHandler, NatsBus } from "../../planes/index.ts";
import {
  asSpineError,
  BoundedMap,
  type DisclosurePolicy,
  type Envelope,
  EnvelopeState,
  headText,
  holds,
  type Issuer,
  openSigningBytes,
  RowTable,
  type Run,
  utf8,
  utf8Text,
} from "../../spine/index.ts";
import type { Store } from "../../storage/index.ts";
import { sha256Hex } from "../hash.ts";
import type { WorkerVerifier } from "../verifier.ts";
import { FedPolicies } from "./fed-policies.ts";
import { LeafSignatures } from "./leaf-signatures.ts";
import { type Leaf, readLeaves, readPage } from "./leaves.ts";
import { Owed, type OwedSpan } from "./owed.ts";
import { pause } from "./pause.ts";
import { PublishWindow } from "./publish-window.ts";
import { RecentRuns } from "./recent-runs.ts";
import { StreamIntake, type StreamIntakeOptions } from "./stream-intake.ts";

export interface FeedOptions extends StreamIntakeOptions {
  readonly own: Issuer;
  /** The own log, whose checkpoints are this node's too. */
  readonly ownLog: Issuer;
  readonly store: Store;
  readonly verifier: WorkerVerifier;
  /** Without a gateway: everything stored, or only what this node signed. */
  readonly publishAll: boolean;
  /** Publishes under way at once. */
  readonly window: number;
  /** Envelopes stored before the first that `stored` tells of. */
  readonly leaves: number;
}

const CURSOR_ROW = "nats/cursor";
const POLICIES_ROW = "nats/policies";
const PAGE = 256;
const SAVE_EVERY = 1_000;
const CHECKED_AHEAD = 2;
const RETRY_MS = 500;
/** How late a head may be said when nothing else happens. */
const HEAD_MS = 2_000;
/** Without news for so long the cursor is saved. */
const QUIET_MS = 200;
/** How long publishing waits for reading after a connection was made. */
const HEAR_MS = 30_000;
const MAX_HEARD = 50_000;
/** Until rates let more of an old envelope's kind or issuer pass. */
const RATE_MS = 100;

interface Cursor {
  /** Leaf index of the next envelope to look at. */
  readonly next: number;
  /** To be published though the cursor has passed it. */
  readonly extra: readonly OwedSpan[];
  /** Passed, and held back by rates or the cluster's limits. */
  readonly held?: readonly OwedSpan[];
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
  #cursor = 0;
  #saved = -1;
  /** Leaves looked at again since. */
  #unsaved = 0;
  #savedPolicies = "";
  #owed = new Owed();
  readonly #held = new Owed();
  #fed = new FedPolicies();
  #policy: DisclosurePolicy | null = null;
  readonly #intake: StreamIntake;
  readonly #signatures: LeafSignatures;
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
    feed_looked_again: 0,
    feed_oversized: 0,
    feed_owed_forgotten: 0,
  };

  constructor(options: FeedOptions) {
    this.#options = options;
    this.#recent = new RecentRuns(options.leaves);
    this.#signatures = new LeafSignatures(options.verifier, options.driver);
    this.#intake = new StreamIntake(options, (hash) => this.#heard.set(dedupeKey(hash), true));
    const { gateway } = options;
    if (gateway === undefined) return;
    gateway.onDeferred = ({ issuer, seq, to }) => {
      if (to === "nats") this.#owe(this.#held, issuer, seq);
    };
    gateway.onReleased = (decisions) => {
      for (const { issuer, seq, to } of decisions) {
        if (to !== "nats") continue;
        this.#held.remove(issuer, seq);
        this.#owe(this.#owed, issuer, seq);
      }
      this.poke();
    };
    gateway.onJudged = () => this.poke();
  }

  counters(): Readonly<Record<string, number>> {
    return { ...this.#counts, ...this.#intake.counts, feed_cursor: this.#cursor, feed_owed: this.#owed.size };
  }

  /** Batches of what others published. */
  get batch(): BatchHandler {
    return this.#intake.batch;
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
    await this.#load();
    while (!signal.aborted) {
      if (this.#restart) {
        this.#restart = false;
        this.#counts.feed_restarts++;
        this.#cursor = 0;
        this.#fed.clear();
        this.#owed.clear();
      }
      this.#followPolicy();
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

  /** Whether the gateway, if any, says now what may be told, by the policy that is noted for what is passed. */
  get #decides(): boolean {
    const { gateway } = this.#options;
    return gateway === undefined || (gateway.decides && gateway.policy === this.#policy);
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
    if (!this.#owed.isEmpty) {
      const owed = this.#owed.first(PAGE);
      const found = await Promise.all(owed.map(([issuer, seq]) => store.at(issuer, seq)));
      const held = found.map((one, i) => (one === undefined ? { leafIndex: i } : { ...one, leafIndex: i }));
      const done = await this.#publishAll(bus, [held], 0, () => {}, signal);
      for (const [issuer, seq] of owed.slice(0, done)) this.#owed.remove(issuer, seq);
      this.#saved = -1;
      if (this.#failing) return this.#failed(bus, signal);
      if (done < owed.length) return false;
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
    return (await this.#again(bus, signal)) || this.#cursor > start;
  }

  /** A page of what a looser policy calls for; whether there was one. What is new goes first. */
  async #again(bus: NatsBus, signal: AbortSignal): Promise<boolean> {
    const { pending } = this.#fed;
    if (pending === null || signal.aborted || !this.#decides) return false;
    const { from, until, policies } = pending;
    const page = (await readPage(this.#options.store, from)).slice(0, until - from);
    const leaves = await this.#signatures.checked(page, this.#mayPublish);
    const done = await this.#publishAll(bus, [leaves], from, () => {}, signal, policies);
    this.#counts.feed_looked_again += done;
    // The policy may be another one by now, and of what an earlier one let through nothing is known then.
    if (this.#fed.pending === pending) this.#fed.passedAgain(page.length === 0 ? until : from + done);
    this.#unsaved += done;
    if (this.#unsaved >= SAVE_EVERY || this.#fed.pending === null) this.#save();
    if (this.#failing) return this.#failed(bus, signal);
    if (done < page.length) await pause(RATE_MS, signal);
    return true;
  }

  /** What is stored from `next` on, and what comes after it, until something else is to be done first. */
  async *#following(bus: NatsBus, next: number, signal: AbortSignal): AsyncGenerator<readonly Leaf[]> {
    const { store, gateway } = this.#options;
    const stops = (): boolean =>
      signal.aborted || this.#failing || this.#restart || !this.#owed.isEmpty || !bus.ready || !this.#decides;
    // Looked up at first, and now and then when nothing is known to be new.
    let looks = true;
    // The next pages are checked while one is published.
    const ahead: Promise<readonly Leaf[]>[] = [];
    while (!stops()) {
      for (let page = this.#recent.page(next); page !== undefined && ahead.length < CHECKED_AHEAD; ) {
        const checked = this.#signatures.checked(page, this.#mayPublish);
        checked.catch(() => {});
        ahead.push(checked);
        next += page.length;
        page = this.#recent.page(next);
      }
      const first = ahead.shift();
      if (first !== undefined) {
        const page = await first;
        // What is told is with the operating system, as a decision, before it leaves.
        gateway?.flush();
        yield page;
        continue;
      }
      if (looks || next < this.#recent.end) {
        looks = false;
        for await (const page of readLeaves(store, next)) {
          next += page.length;
          const checked = await this.#signatures.checked(page, this.#mayPublish);
          gateway?.flush();
          yield checked;
          if (stops()) return;
        }
      }
      if (this.#recent.page(next) !== undefined) continue;
      if (this.#fed.pending !== null) return;
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
   * nothing more is begun: those behind it are published again later. `before`: policies under which they were passed.
   */
  async #publishAll(
    bus: NatsBus,
    pages: Iterable<readonly Leaf[]> | AsyncIterable<readonly Leaf[]>,
    first: number,
    advance: (next: number) => void,
    signal: AbortSignal,
    before: readonly DisclosurePolicy[] | null = null,
  ): Promise<number> {
    const window = new PublishWindow(this.#options.window, first, advance);
    this.#failing = false;
    this.#options.gateway?.flush();
    for await (const page of pages) {
      let passed = 0;
      for (const leaf of page) {
        // What is being judged anew may be told a moment later: the cursor must not pass it now.
        if (signal.aborted || this.#failing || this.#restart || !this.#decides) break;
        const found = this.#publishable(leaf);
        const envelope = found instanceof Promise ? await found : found;
        const verdict = envelope && before && this.#options.gateway?.index.reconsider(envelope, "nats", before);
        if (verdict === "wait") break;
        if (verdict === "forward") this.#options.gateway?.flush();
        passed++;
        if (envelope === undefined || verdict === "told") window.done(leaf.leafIndex);
        else this.#begin(bus, envelope, leaf.leafIndex, window);
        // Without waiting where it need not: what is written in one turn leaves with one call of the system.
        if (window.isFull) await window.room();
      }
      if (passed < page.length) break;
    }
    await window.drained();
    return window.next - first;
  }

  #begin(bus: NatsBus, envelope: Envelope, leafIndex: number, window: PublishWindow): void {
    window.begin();
    bus.publish(envelope).then(
      () => {
        this.#counts.feed_published++;
        window.done(leafIndex);
        window.end();
      },
      (error: unknown) => {
        if (asSpineError(error).code === "envelope_size") {
          // Those behind it must not wait for other limits of the cluster; it is tried again at the next start.
          this.#counts.feed_oversized++;
          this.#owe(this.#held, envelope.issuer, envelope.seq);
          window.done(leafIndex);
        } else this.#failing = true;
        window.end();
        this.poke();
      },
    );
  }

  /** The envelope if it is to be published: allowed, not heard there, and with a signature that was checked. */
  #publishable(stored: Leaf): Envelope | undefined | Promise<Envelope | undefined> {
    // Pruned meanwhile.
    if (!("hash" in stored)) return undefined;
    const { issuer, seq, hash } = stored;
    if (!this.#mayPublish(issuer, seq)) {
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
    if (await this.#signatures.isValid(envelope, state)) return envelope;
    this.#counts.feed_unsigned++;
    return undefined;
  }

  readonly #mayPublish = (issuer: Issuer, seq: number): boolean => {
    const { own, ownLog, gateway, publishAll } = this.#options;
    if (gateway === undefined) return publishAll || issuer === own || issuer === ownLog;
    const spans = gateway.index.spansOn("nats", issuer);
    // No crossing: it lives on NATS, and stands on the streams by its own doing.
    return spans !== undefined && holds(spans, seq);
  };

  /** Another policy holds from the cursor on. */
  #followPolicy(): void {
    const { gateway } = this.#options;
    if (gateway === undefined || !gateway.decides || gateway.policy === this.#policy) return;
    this.#policy = gateway.policy;
    if (!this.#fed.take(gateway.policy, this.#cursor)) return;
    this.#saved = -1;
    this.#save();
  }

  /** Keeps what is not to be forgotten; without room for it everything is looked at again one day. */
  #owe(list: Owed, issuer: Issuer, seq: number): void {
    this.#saved = -1;
    if (list.add(issuer, seq)) return;
    this.#counts.feed_owed_forgotten++;
    this.#fed.forget(this.#cursor);
  }

  async #load(): Promise<void> {
    const { store } = this.#options;
    const row = await store.row(RowTable.gateway, CURSOR_ROW);
    if (row === undefined) return;
    const { next, extra, held = [] } = JSON.parse(utf8Text(row)) as Cursor;
    this.#cursor = next;
    this.#saved = next;
    // After a restart rates hold nothing back that was stored before it.
    this.#owed = Owed.of([...extra, ...held]);
    const policies = await store.row(RowTable.gateway, POLICIES_ROW);
    if (policies !== undefined) this.#fed = FedPolicies.parse(utf8Text(policies));
  }

  #save(): void {
    this.#signatures.note();
    if (this.#saved === this.#cursor && this.#unsaved === 0) return;
    this.#saved = this.#cursor;
    this.#unsaved = 0;
    const table = RowTable.gateway;
    const cursor = { next: this.#cursor, extra: this.#owed.list(), held: this.#held.list() } satisfies Cursor;
    const rows = [{ table, key: CURSOR_ROW, value: utf8(JSON.stringify(cursor)) }];
    const policies = this.#fed.text();
    if (policies !== this.#savedPolicies) {
      this.#savedPolicies = policies;
      rows.push({ table, key: POLICIES_ROW, value: utf8(policies) });
    }
    // A cursor that was not written costs a few publishes again.
    this.#options.driver.commitRows(rows).catch(() => {});
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
