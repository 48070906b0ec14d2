/**
 * The only loop that performs effects: joins the pure core to the store, the planes, the verifier and the clock.
 * Nothing that depends on a commit is sent before the commit is on disk; the core guarantees the order, this keeps it.
 */
import type { Plane, PlaneEvent } from "../planes/index.ts";
import {
  AnswerBuilder,
  type AuthorityLoader,
  asSpineError,
  type Claim,
  type Clock,
  type DisclosureIndex,
  type Effect,
  type Envelope,
  type ErrorCode,
  encodeFrame,
  type FoundRow,
  holds,
  type Input,
  type Issuer,
  type LinkId,
  type LinkInfo,
  Mesh,
  type MeshEvent,
  type MeshLimits,
  type Outcome,
  type OwnChainStart,
  openGossip,
  type Row,
  type ServeEffect,
  type Sha256Hex,
  type Signer,
  type Snapshot,
  SpineError,
  type StateChange,
  type Tier,
  type Verifier,
  viaOf,
} from "../spine/index.ts";
import type { Store } from "../storage/index.ts";
import { Committer } from "./committer.ts";
import { LinkWriter } from "./link-writer.ts";

/** A link is closed this long after its farewell was queued. */
const FAREWELL_MS = 100;
/** Where air is scarce the farewell waits for its turn. */
const RADIO_FAREWELL_MS = 60_000;

/** A verifier that can answer small batches at once: a hop to another thread costs more than the check. */
export interface BatchVerifier extends Verifier {
  /** Verdicts now, or undefined if the batch is better given to `verify`. */
  verifyInline(batch: readonly Claim[]): readonly boolean[] | undefined;
}

export interface DriverOptions {
  readonly store: Store;
  readonly snapshot: Snapshot;
  /** As the store's rows built it. */
  readonly authority: Pick<AuthorityLoader, "authority" | "looseFacts">;
  readonly signer: Signer;
  readonly verifier: BatchVerifier;
  readonly sha256Hex: Sha256Hex;
  readonly clock: Clock;
  readonly open: boolean;
  readonly limits?: Partial<MeshLimits>;
  /** What is known of the own chain besides the store. */
  readonly ownChain?: OwnChainStart;
  readonly commitDelayMs: number;
  /** What may be told on which plane; absent = everything. */
  readonly disclosure?: DisclosureIndex;
  readonly onEvent: (event: DriverEvent) => void;
  /** A peer's message to the log or the witness. */
  readonly onAttest?: (link: LinkId, issuer: Issuer, body: Uint8Array) => void;
}

export type DriverEvent =
  | MeshEvent
  | {
      readonly type: "link";
      readonly link: LinkId;
      readonly plane: string;
      readonly info: LinkInfo | null;
      readonly reason: string;
    }
  /** The node can no longer keep its promises and must stop. */
  | { readonly type: "fatal"; readonly error: SpineError };

interface Peer {
  readonly plane: Plane;
  readonly info: LinkInfo;
  readonly writer: LinkWriter;
  /** Range answers of one link are built one after the other. */
  serving: Promise<void>;
}

interface Waiter {
  readonly resolve: () => void;
  readonly reject: (error: unknown) => void;
}

export class Driver {
  readonly mesh: Mesh;
  readonly #options: DriverOptions;
  readonly #committer: Committer;
  readonly #peers = new Map<LinkId, Peer>();
  readonly #abort = new AbortController();
  readonly #planes: Plane[] = [];
  readonly #loops: Promise<void>[] = [];
  readonly #waiters = new Map<number, Waiter>();
  readonly #offers = new Map<number, (outcomes: readonly Outcome[]) => void>();
  /** Envelopes sent in answers, and bytes of frames read, since start. */
  servedEnvelopes = 0;
  receivedBytes = 0;
  readonly #inputs: Input[] = [];
  /** Verifications and look-ups under way; no further frame is read before their answers. */
  readonly #asked = new Set<Promise<void>>();
  #feeding = false;
  #cancelWake: (() => void) | undefined;
  #lastCommit = 0;
  #nextToken = 1;
  #fatal: SpineError | undefined;

  constructor(options: DriverOptions) {
    this.#options = options;
    const { signer, sha256Hex, snapshot, open, limits, ownChain, clock, store, commitDelayMs } = options;
    const { authority, looseFacts } = options.authority;
    const mesh = {
      ...(options.disclosure === undefined ? {} : { disclosure: options.disclosure }),
      ...{ issuer: signer.issuer, sha256Hex, snapshot, open, authority, looseFacts },
      ...(limits === undefined ? {} : { limits }),
      ...(ownChain === undefined ? {} : { ownChain }),
    };
    this.mesh = new Mesh(mesh, clock.now());
    this.#committer = new Committer({
      store,
      delayMs: commitDelayMs,
      onCommitted: (id) => this.#committed(id),
      onFatal: (error) => this.#stopWith(error),
    });
  }

  /** Begins to consume a plane that was started; ends when the plane stops. */
  attach(plane: Plane): void {
    this.#options.disclosure?.addPlane(plane.name);
    this.#planes.push(plane);
    this.#loops.push(this.#consume(plane).catch((error) => this.#stopWith(error)));
  }

  /** Hands own envelopes to the core; resolves when they are on disk. One caller: the publisher. */
  local(envelopes: readonly Envelope[]): Promise<void> {
    if (this.#fatal !== undefined) return Promise.reject(this.#fatal);
    const before = this.#lastCommit;
    this.feed({ type: "local", envelopes });
    if (this.#lastCommit === before) return Promise.reject(new SpineError("internal", "own envelopes made no commit"));
    return this.#whenCommitted(this.#lastCommit);
  }

  /** Offers envelopes of any issuers, heard `via` a plane or not; resolves with one outcome each once what was added is on disk. */
  offer(envelopes: readonly Envelope[], via?: LinkId): Promise<readonly Outcome[]> {
    return new Promise((resolve, reject) => {
      if (this.#fatal !== undefined) return reject(this.#fatal);
      const token = this.#nextToken++;
      this.#offers.set(token, resolve);
      this.feed({ type: "offer", token, envelopes, ...(via === undefined ? {} : { via }) });
    });
  }

  /** Feeds an input that makes one commit, such as an admission; resolves when it is on disk. */
  async change(input: Input): Promise<void> {
    const before = this.#lastCommit;
    this.feed(input);
    if (this.#lastCommit !== before) await this.#whenCommitted(this.#lastCommit);
  }

  /** Commits what did not come from the core: outcomes of idle verification. */
  commitStates(states: readonly StateChange[]): void {
    if (states.length > 0) this.#committer.add(0, { runs: [], heads: [], issuers: [], forks: [], states, rows: [] });
  }

  /** A fault of a peer that was found outside the core. */
  penalise(link: LinkId, code: ErrorCode): void {
    this.#peers.get(link)?.plane.penalise(link, code);
  }

  /** Makes rows of the node's parts durable; resolves when they are on disk, rejects when they cannot be. */
  async commitRows(rows: readonly Row[]): Promise<void> {
    if (this.#fatal !== undefined) throw this.#fatal;
    this.#committer.add(0, { runs: [], heads: [], issuers: [], forks: [], states: [], rows });
    await this.#committer.barrier();
    if (this.#fatal !== undefined) throw this.#fatal;
  }

  /** Inputs are handled one after the other, also when performing effects produces new ones. */
  feed(input: Input): void {
    this.#inputs.push(input);
    if (this.#feeding) return;
    this.#feeding = true;
    try {
      for (let next = this.#inputs.shift(); next !== undefined; next = this.#inputs.shift()) {
        for (const effect of this.mesh.handle(next, this.#options.clock.now())) this.#perform(effect);
      }
    } catch (error) {
      this.#inputs.length = 0;
      this.#stopWith(error);
    } finally {
      this.#feeding = false;
    }
  }

  get outbox(): { readonly bytes: number; readonly dropped: number; readonly sentBytes: number } {
    let [bytes, dropped, sentBytes] = [0, 0, 0];
    for (const { writer } of this.#peers.values()) {
      bytes += writer.waitingBytes;
      dropped += writer.dropped;
      sentBytes += writer.sentBytes;
    }
    return { bytes, dropped, sentBytes };
  }
  /** Resolves when everything accepted so far is on disk. */
  settled(): Promise<void> {
    return this.#committer.barrier();
  }
  get committer(): { readonly waitingBytes: number; readonly writes: number } {
    return this.#committer;
  }

  /** Waits for running answers and for everything accepted to be on disk. The planes' owner stops them first. */
  async stop(): Promise<void> {
    this.#abort.abort();
    this.#cancelWake?.();
    for (const { writer } of this.#peers.values()) writer.close();
    await Promise.all(this.#loops);
    await Promise.all([...this.#peers.values()].map(({ serving }) => serving));
    await this.#committer.barrier();
    const stopped = new SpineError("api_unavailable", "the node was stopped");
    for (const waiter of this.#waiters.values()) waiter.reject(stopped);
    this.#waiters.clear();
  }

  // ---- planes ----

  async #consume(plane: Plane): Promise<void> {
    for await (const event of plane.events()) {
      if (this.#abort.signal.aborted) continue;
      this.#planeEvent(plane, event);
      // Back-pressure: while the disk is behind, this plane is not read.
      if (event.type === "frame" || event.type === "stray") await this.#room();
    }
  }

  async #room(): Promise<void> {
    while (this.#asked.size > 0) await Promise.all(this.#asked);
    await this.#committer.room().catch(() => {});
  }
  #planeEvent(plane: Plane, event: PlaneEvent): void {
    switch (event.type) {
      case "up": {
        const writer = new LinkWriter(plane, event.link, event.info, this.#options.clock);
        this.#peers.set(event.link, { plane, info: event.info, writer, serving: Promise.resolve() });
        this.#options.disclosure?.linkUp(event.link, plane.name);
        this.#options.onEvent({ type: "link", link: event.link, plane: plane.name, info: event.info, reason: "" });
        return this.feed({ type: "link-up", link: event.link, info: event.info });
      }
      case "down":
        this.#peers.get(event.link)?.writer.close();
        this.#peers.delete(event.link);
        this.#options.onEvent({ type: "link", link: event.link, plane: plane.name, info: null, reason: event.reason });
        this.feed({ type: "link-down", link: event.link });
        return this.#options.disclosure?.linkDown(event.link);
      case "frame":
        this.receivedBytes += event.frame.length;
        return this.feed({ type: "frame", link: event.link, frame: event.frame });
      case "stray":
        return this.#stray(plane, event);
      case "compare": {
        const peer = { plane: plane.name, peer: event.peer };
        this.#options.disclosure?.linkUp(viaOf(peer), plane.name);
        return this.feed({ type: "compare", ...peer, statement: event.statement });
      }
      case "gossip":
        if (!this.#peers.has(event.link)) return plane.judge(event.id, "ignore");
        return this.feed({ type: "gossip", link: event.link, id: event.id, data: event.data });
    }
  }

  /** What was heard on no link is judged by its own signature; the plane passes on what was news. */
  #stray(plane: Plane, { via, id, data }: Extract<PlaneEvent, { type: "stray" }>): void {
    try {
      const opened = openGossip(data, this.#options.sha256Hex);
      if (opened.type === "head") {
        plane.judge(id, "ignore");
        return this.feed({ type: "head", data });
      }
      const judged = this.offer([opened.envelope], via).then(
        ([outcome]) => plane.judge(id, outcome === "added" ? "accept" : "ignore"),
        () => plane.judge(id, "ignore"),
      );
      this.#readNoFurther(judged);
    } catch (caught) {
      const { code } = asSpineError(caught);
      plane.judge(id, "reject");
      this.#options.onEvent({ type: "refused", link: null, code });
    }
  }

  // ---- effects ----

  #perform(effect: Effect): void {
    switch (effect.type) {
      case "verify":
        return this.#verify(effect);
      case "sign":
        return this.#sign(effect.job, effect.message);
      case "lookup":
        return this.#lookup(effect);
      case "rows":
        return this.#rows(effect);
      case "commit":
        this.#lastCommit = effect.id;
        return this.#committer.add(effect.id, effect.commit);
      case "send":
        this.#peers.get(effect.link)?.writer.push(effect.frame, effect.tier);
        return;
      case "broadcast":
        return this.#broadcast(effect);
      case "urgent":
        return this.#leave(effect.envelope, effect.tier);
      case "statement":
        return this.#planeNamed(effect.plane)?.state?.(effect.peer, effect.body);
      case "hand":
        return this.#planeNamed(effect.plane)?.hand?.(effect.peer, effect.envelope, effect.tier);
      case "judge":
        return this.#peers.get(effect.link)?.plane.judge(effect.id, effect.verdict);
      case "serve":
        return this.#queueAnswer(effect.link, (peer) => this.#serve(effect, peer));
      case "serve-hashes":
        return this.#queueAnswer(effect.link, (peer) => this.#serveHashes(effect, peer));
      case "attest":
        return this.#options.onAttest?.(effect.link, effect.issuer, effect.body);
      case "penalise":
        return this.#peers.get(effect.link)?.plane.penalise(effect.link, effect.code);
      case "close":
        return this.#close(effect.link, effect.code);
      case "offered":
        this.#offers.get(effect.token)?.(effect.outcomes);
        this.#offers.delete(effect.token);
        return;
      case "wake":
        this.#cancelWake?.();
        this.#cancelWake = this.#options.clock.schedule(effect.at, () => this.feed({ type: "wake" }));
        return;
      case "notify":
        return this.#options.onEvent(effect.event);
    }
  }

  #verify(effect: Extract<Effect, { type: "verify" }>): void {
    const done = (verdicts: readonly boolean[]): void => this.feed({ type: "verified", job: effect.job, verdicts });
    const inline = this.#options.verifier.verifyInline(effect.claims);
    if (inline !== undefined) return done(inline);
    const pending = this.#options.verifier.verify(effect.claims).then(done, (error) => this.#stopWith(error));
    this.#readNoFurther(pending);
  }

  #readNoFurther(pending: Promise<void>): void {
    this.#asked.add(pending);
    void pending.finally(() => this.#asked.delete(pending));
  }

  #sign(job: number, message: Uint8Array): void {
    const signature = this.#options.signer.sign(message);
    if (signature instanceof Uint8Array) return this.feed({ type: "signed", job, signature });
    signature.then(
      (bytes) => this.feed({ type: "signed", job, signature: bytes }),
      (error) => this.#stopWith(error),
    );
  }

  #lookup(effect: Extract<Effect, { type: "lookup" }>): void {
    const { store } = this.#options;
    // What is asked for may still be on its way to the disk.
    const read = this.#committer
      .barrier()
      .then(() => Promise.all(effect.seqs.map((seq) => store.at(effect.issuer, seq))));
    const pending = read.then(
      (envelopes) => this.feed({ type: "found", job: effect.job, envelopes }),
      (error) => this.#stopWith(error),
    );
    this.#readNoFurther(pending);
  }

  #rows({ job, table, prefix }: Extract<Effect, { type: "rows" }>): void {
    const read = async (): Promise<void> => {
      await this.#committer.barrier();
      const rows: FoundRow[] = [];
      for await (const row of this.#options.store.rows(table, prefix)) rows.push(row);
      this.feed({ type: "rows-found", job, rows });
    };
    this.#readNoFurther(read().catch((error: unknown) => this.#stopWith(error)));
  }

  #leave(envelope: Envelope, tier: Tier): void {
    for (const plane of this.#planes) {
      if (plane.leave === undefined || !plane.traits.storeAndForward) continue;
      const spans = this.#options.disclosure?.spansOn(plane.name, envelope.issuer);
      if (spans === undefined || holds(spans, envelope.seq)) plane.leave(envelope, tier);
    }
  }

  #planeNamed(name: string): Plane | undefined {
    return this.#planes.find((plane) => plane.name === name);
  }

  #broadcast({ data, issuer, seq, tier }: Extract<Effect, { type: "broadcast" }>): void {
    const { signal } = this.#abort;
    for (const plane of this.#planes) {
      // A broadcast that could not be sent is no loss: heads and inventories on links say the same.
      if (!plane.traits.broadcast || signal.aborted) continue;
      const spans = this.#options.disclosure?.spansOn(plane.name, issuer);
      if (spans === undefined || holds(spans, seq)) plane.broadcast(data, { signal, tier }).catch(() => {});
    }
  }

  #queueAnswer(link: LinkId, answer: (peer: Peer) => Promise<void>): void {
    const peer = this.#peers.get(link);
    if (peer === undefined) return;
    const run = async (): Promise<void> => {
      if (await peer.writer.room()) await answer(peer);
      if (this.#peers.get(link) === peer) this.feed({ type: "served", link });
    };
    peer.serving = peer.serving.then(run).catch((error) => this.#stopWith(error));
  }

  async #serve(effect: ServeEffect, peer: Peer): Promise<void> {
    const { store, verifier } = this.#options;
    const builder = new AnswerBuilder(effect, (claim) => verifier.verifyInline([claim])?.[0] ?? false);
    for await (const piece of store.records(effect.issuer, effect.from, effect.to)) if (!builder.add(piece)) break;
    const { frames, changes, count } = builder.finish();
    this.commitStates(changes);
    this.servedEnvelopes += count;
    // On the air an answer is worth what ordinary facts are: heartbeats are not carried everywhere.
    const tier: Tier = peer.info.cost === "radio" ? 5 : 7;
    for (const frame of frames) {
      if (!(await peer.writer.room())) return;
      peer.writer.push(frame, tier);
    }
  }

  async #serveHashes(effect: Extract<Effect, { type: "serve-hashes" }>, peer: Peer): Promise<void> {
    const { store } = this.#options;
    const hashes = await Promise.all(
      effect.seqs.map(async (seq) => (await store.at(effect.issuer, seq))?.hash ?? null),
    );
    peer.writer.push(encodeFrame({ type: "hashes", request: effect.request, hashes }), 2);
  }

  #close(link: LinkId, code: string): void {
    const peer = this.#peers.get(link);
    // The farewell frame that was queued just before goes out first, if the peer reads at all.
    const { clock } = this.#options;
    const waitMs = peer?.info.cost === "radio" ? RADIO_FAREWELL_MS : FAREWELL_MS;
    clock.schedule(clock.now() + waitMs, () => peer?.plane.disconnect(link, code));
  }

  // ---- commits ----

  #whenCommitted(id: number): Promise<void> {
    return new Promise((resolve, reject) => this.#waiters.set(id, { resolve, reject }));
  }

  #committed(id: number): void {
    if (id === 0) return;
    this.feed({ type: "committed", id });
    const waiter = this.#waiters.get(id);
    this.#waiters.delete(id);
    waiter?.resolve();
  }

  #stopWith(error: unknown): void {
    if (this.#fatal !== undefined) return;
    this.#fatal = asSpineError(error, "internal");
    for (const waiter of this.#waiters.values()) waiter.reject(this.#fatal);
    this.#waiters.clear();
    this.#options.onEvent({ type: "fatal", error: this.#fatal });
  }
}
