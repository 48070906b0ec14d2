/**
 * One simulated node: the daemon's core around a simulated disk, performing effects in virtual time. The second
 * driver beside `node/driver.ts`; it holds no protocol rule of its own.
 */
import {
  Admission,
  AnswerBuilder,
  AuthorityLoader,
  type AuthorityTrust,
  type ChainPoint,
  type Commit,
  compareHighWater,
  draftEnvelope,
  type Effect,
  type Envelope,
  encodeFrame,
  formatTime,
  holds,
  type Input,
  type Issuer,
  type JsonObject,
  type LinkId,
  type LinkInfo,
  Mesh,
  type MeshEvent,
  type Millis,
  NO_TRUST,
  NOTHING_SIGNED,
  type Outcome,
  type OwnChainStart,
  type Row,
  RowTable,
  SpineError,
  sealEnvelope,
  type Tier,
  viaOf,
} from "../spine/index.ts";
import { PeerDisclosure } from "./disclosure.ts";
import { SimDisk } from "./disk.ts";
import { EventRing } from "./event-ring.ts";
import type { LinkSender } from "./link-sender.ts";
import type { SimNetwork } from "./networks/network.ts";
import type { SimKey, World } from "./world.ts";

interface SimLink {
  readonly sender: LinkSender;
  readonly network: SimNetwork;
}

export interface PeerOptions {
  readonly open: boolean;
  /** From commit effect to durable, milliseconds. */
  readonly diskMs: number;
  /** How wrong its clock is. */
  readonly skewMs: number;
  /** The default disclosure decides what crosses from plane to plane; else everything does. */
  readonly discloses: boolean;
  /** Keeps `events`. */
  readonly keepsEvents: boolean;
}

type Kept = (envelope: Envelope) => void;

export interface OfferOptions {
  /** Where they were heard, if on a plane. */
  readonly via?: LinkId;
  readonly answered?: (outcomes: readonly Outcome[]) => void;
}

interface Offer {
  readonly envelopes: readonly Envelope[];
  readonly kept: Kept;
  readonly answered: OfferOptions["answered"];
}

/** How long after a commit the mark is written. */
const HIGH_WATER_MS = 400;
const MAX_EVENTS = 10_000;
/** A farewell goes out before its link is closed, as in the daemon. */
const FAREWELL_MS = 100;
const RADIO_FAREWELL_MS = 60_000;

export class SimPeer {
  readonly index: number;
  readonly key: SimKey;
  readonly options: PeerOptions;
  readonly events: MeshEvent[] = [];
  /** What it did last, for reports of violations. */
  readonly recent = new EventRing();
  disk: SimDisk;
  mesh: Mesh | undefined;
  /** What was added to the options' skew since. */
  skewMs: Millis;
  onEvent: ((event: MeshEvent) => void) | undefined;
  /** Told of messages to this node's log, witness or follower. */
  onAttest: ((link: LinkId, body: Uint8Array) => void) | undefined;
  /** Told after each commit that reached the disk. */
  onCommitted: ((commit: Commit) => void) | undefined;
  readonly #world: World;
  readonly #links = new Map<LinkId, SimLink>();
  readonly #inputs: Input[] = [];
  #feeding = false;
  /** Counts lives: tasks of an earlier life do nothing. */
  #life = 0;
  #cancelWake: (() => void) | undefined;
  #diskBusyUntil = 0;
  #lastIssuedAt = 0;
  #trust: AuthorityTrust = NO_TRUST;
  #disclosure: PeerDisclosure | undefined;
  readonly #acknowledged: string[] = [];
  /** Envelopes handed in, and whom to tell what became of them. */
  readonly #offers = new Map<number, Offer>();
  #offered = 0;
  /** The mark outside the disk; undefined = lost with the machine. */
  highWater: ChainPoint | undefined = NOTHING_SIGNED;

  constructor(world: World, index: number, key: SimKey, options: PeerOptions) {
    this.#world = world;
    this.index = index;
    this.key = key;
    this.options = options;
    this.skewMs = options.skewMs;
    this.disk = new SimDisk(world.pool);
  }
  get issuer(): Issuer {
    return this.key.issuer;
  }
  /** Own envelopes the writer was told are durable. */
  get acknowledged(): readonly string[] {
    return this.#acknowledged;
  }
  get running(): boolean {
    return this.mesh !== undefined;
  }
  /** Time as this node's clock has it. */
  now(): Millis {
    return this.#world.now() + this.skewMs;
  }
  /** Bytes that wait on its links and before its radios, and frames that found no room. */
  get queued(): { readonly bytes: number; readonly dropped: number } {
    let [bytes, dropped] = [0, 0];
    for (const { sender } of this.#links.values()) {
      bytes += sender.waitingBytes;
      dropped += sender.dropped;
    }
    for (const network of this.#world.networks.values()) bytes += network.waitingBytes?.(this.index) ?? 0;
    return { bytes, dropped };
  }

  trustBeforeStart(trust: AuthorityTrust): void {
    this.#trust = trust;
  }
  start(): void {
    this.#life++;
    const { sha256Hex } = this.#world.ports;
    const loader = new AuthorityLoader(this.#trust);
    for (const { key, value } of this.disk.rows(RowTable.authority)) loader.add(key, value);
    const { authority, looseFacts } = loader;
    const { open, discloses } = this.options;
    const snapshot = this.disk.load();
    const ownChain = this.#judgeOwnChain();
    this.#disclosure = discloses ? this.#disclose() : undefined;
    const disclosure = this.#disclosure === undefined ? {} : { disclosure: this.#disclosure.index };
    const options = { issuer: this.issuer, sha256Hex, snapshot, open, authority, looseFacts, ownChain, ...disclosure };
    this.mesh = new Mesh(options, this.now());
    this.#diskBusyUntil = 0;
    this.#world.onPeerStart?.(this);
    this.feed({ type: "trust", trust: this.#trust });
  }

  get #networks(): SimNetwork[] {
    return [...this.#world.networks.values()].filter(({ members }) => members.includes(this.index));
  }
  /** Whether what it stored may be published to a stream: all that may cross to there, else its own. */
  mayTell(plane: string, issuer: Issuer, seq: number): boolean {
    if (this.#disclosure === undefined) return issuer === this.issuer || this.#networks.length > 1;
    const spans = this.#disclosure.index.spansOn(plane, issuer);
    return spans !== undefined && holds(spans, seq);
  }
  #disclose(): PeerDisclosure {
    const networks = this.#networks;
    const planes = networks.map(({ plane }) => plane);
    return new PeerDisclosure(this, planes, this.#world.ports.sha256Hex, {
      later: (ms, task) => this.#later(ms, task),
      changed: (issuers) => this.feed({ type: "disclose", issuers }),
    });
  }

  /** As the daemon does at its start (rules 7). */
  #judgeOwnChain(): OwnChainStart {
    const range = this.disk.record(this.issuer)?.ranges.at(-1);
    const top = range === undefined ? undefined : { seq: range.to, hash: range.last };
    const isWhole = compareHighWater(top, this.highWater) === "at-or-above";
    const mark = this.highWater;
    return {
      highWater: mark === undefined || mark.seq === 0 ? null : mark,
      begin: isWhole ? "sign" : "ask",
      acceptForkRisk: false,
    };
  }
  /** Whether the own chain may be continued now. */
  get signs(): boolean {
    return this.mesh?.ownPhase === "signing";
  }

  /** The machine is lost, another one starts from a backup of its disk, without the mark. */
  restore(backup: SimDisk): void {
    this.crash(false);
    this.disk = backup;
    this.highWater = undefined;
  }

  /** Everything not yet durable is gone; without the disk everything is. */
  crash(keepDisk: boolean): void {
    this.#world.trace(`crash ${this.index} ${keepDisk}`);
    this.recent.add(this.#world.elapsedMs, keepDisk ? "crash" : "crash and loss of the disk");
    this.mesh = undefined;
    this.#life++;
    this.#cancelWake?.();
    for (const { sender } of this.#links.values()) sender.close();
    this.#links.clear();
    this.#inputs.length = 0;
    this.#offers.clear();
    if (!keepDisk) {
      this.disk = new SimDisk(this.#world.pool);
      this.#acknowledged.length = 0;
    }
    this.#world.dropLinksOf(this.index);
  }

  /** The operator's trust; survives a crash, as its file does. */
  trust(trust: AuthorityTrust): void {
    this.#trust = trust;
    this.feed({ type: "trust", trust });
  }
  get trusted(): AuthorityTrust {
    return this.#trust;
  }

  allow(issuer: Issuer): void {
    this.feed({ type: "admit", issuer, admission: Admission.allowed });
  }

  /** Hands envelopes in as an import does; `kept` is called with each that the node says is on its disk. */
  offer(envelopes: readonly Envelope[], kept: Kept, more: OfferOptions = {}): void {
    this.#offered++;
    const { via, answered } = more;
    this.#offers.set(this.#offered, { envelopes, kept, answered });
    this.feed({ type: "offer", token: this.#offered, envelopes, ...(via === undefined ? {} : { via }) });
  }

  #answered({ token, outcomes }: Extract<Effect, { type: "offered" }>): void {
    const offer = this.#offers.get(token);
    this.#offers.delete(token);
    offer?.answered?.(outcomes);
    for (const [i, outcome] of outcomes.entries()) {
      const envelope = offer?.envelopes[i];
      if (envelope !== undefined && (outcome === "added" || outcome === "duplicate")) offer?.kept(envelope);
    }
  }

  /** Drafts, signs and hands in facts as the daemon's publisher does. */
  publish(facts: readonly JsonObject[]): Envelope[] {
    const envelopes: Envelope[] = [];
    let head = this.mesh?.ownHead;
    for (const fact of facts) {
      const envelope = this.sign(fact, head?.seq ?? 0, head?.hash ?? null);
      envelopes.push(envelope);
      head = envelope;
    }
    this.feed({ type: "local", envelopes });
    return envelopes;
  }

  /** Signs any statement, also a lie: attackers of scenarios use it directly. */
  sign(fact: JsonObject, afterSeq: number, prev: string | null): Envelope {
    this.#lastIssuedAt = Math.max(this.#lastIssuedAt, Math.floor(this.now() / 1000));
    const issuedAt = formatTime(this.#lastIssuedAt);
    const draft = draftEnvelope(
      { issuer: this.issuer, seq: afterSeq + 1, prev, issuedAt, fact },
      this.#world.ports.sha256Hex,
    );
    return sealEnvelope(draft, this.key.sign(draft.signingBytes));
  }

  linkUp(link: LinkId, info: LinkInfo, network: SimNetwork, sender: LinkSender): void {
    this.#links.set(link, { network, sender });
    this.#disclosure?.index.linkUp(link, network.plane);
    this.feed({ type: "link-up", link, info });
  }
  linkDown(link: LinkId): void {
    const entry = this.#links.get(link);
    if (entry === undefined) return;
    entry.sender.close();
    this.#links.delete(link);
    this.feed({ type: "link-down", link });
    this.#disclosure?.index.linkDown(link);
  }

  feed(input: Input): void {
    this.#inputs.push(input);
    if (this.#feeding) return;
    this.#feeding = true;
    try {
      for (let next = this.#inputs.shift(); next !== undefined; next = this.#inputs.shift()) {
        this.recent.input(this.#world.elapsedMs, next);
        for (const effect of this.mesh?.handle(next, this.now()) ?? []) this.#perform(effect);
      }
    } finally {
      this.#feeding = false;
    }
  }

  #later(delayMs: number, task: () => void): () => void {
    const life = this.#life;
    return this.#world.clock.schedule(this.#world.now() + delayMs, () => {
      if (life === this.#life) task();
    });
  }

  #perform(effect: Effect): void {
    const { ports } = this.#world;
    switch (effect.type) {
      case "verify":
        return this.feed({
          type: "verified",
          job: effect.job,
          verdicts: effect.claims.map((claim) => ports.verify(claim)),
        });
      case "sign":
        return this.feed({ type: "signed", job: effect.job, signature: this.key.sign(effect.message) });
      case "lookup":
        return this.#lookup(effect);
      case "rows":
        return this.#rows(effect);
      case "commit":
        return this.#commit(effect.id, effect.commit);
      case "send":
        this.#world.invariants.sent(this, effect.frame, effect.tier);
        return this.#send(effect.link, effect.frame, effect.tier);
      case "broadcast":
        return this.#broadcast(effect);
      case "urgent":
        return this.#leave(effect.envelope, effect.tier);
      case "statement":
        return this.#planeNamed(effect.plane)?.state?.(this.index, effect.peer, effect.body);
      case "hand":
        return this.#planeNamed(effect.plane)?.hand?.(this.index, effect.peer, effect.envelope, effect.tier);
      case "judge":
        return this.#links.get(effect.link)?.network.judged(this.index, effect.link, effect.id, effect.verdict);
      case "serve": {
        const builder = new AnswerBuilder(effect, (claim) => ports.verify(claim));
        for (const piece of this.disk.pieces(effect.issuer, effect.from, effect.to)) if (!builder.add(piece)) break;
        for (const frame of builder.finish().frames) this.#send(effect.link, frame, 7);
        return this.feed({ type: "served", link: effect.link });
      }
      case "serve-hashes": {
        const hashes = effect.seqs.map((seq) => this.disk.at(effect.issuer, seq)?.hash ?? null);
        this.#send(effect.link, encodeFrame({ type: "hashes", request: effect.request, hashes }), 2);
        return this.feed({ type: "served", link: effect.link });
      }
      case "close": {
        const isRadio = this.#links.get(effect.link)?.network.type === "radio";
        const hangUp = (): void => this.#links.get(effect.link)?.network.hangUp(this.index, effect.link);
        this.#later(isRadio ? RADIO_FAREWELL_MS : FAREWELL_MS, hangUp);
        return;
      }
      case "wake":
        this.#cancelWake?.();
        this.#cancelWake = this.#later(Math.max(0, effect.at - this.now()), () => this.feed({ type: "wake" }));
        return;
      case "notify":
        return this.#notify(effect.event);
      case "penalise":
        this.#links.get(effect.link)?.network.penalise(this.index, effect.link, effect.code);
        return this.#world.trace(`penalise ${this.index} ${effect.link} ${effect.code}`);
      case "offered":
        return this.#answered(effect);
      case "attest":
        return this.onAttest?.(effect.link, effect.body);
    }
  }

  #planeNamed(plane: string): SimNetwork | undefined {
    return this.#networks.find((network) => network.plane === plane);
  }
  /** A peer on a wire without links is to be compared with, or said what it holds. */
  compare(plane: string, peer: string, statement: Uint8Array | null): void {
    this.#disclosure?.index.linkUp(viaOf({ plane, peer }), plane);
    this.feed({ type: "compare", plane, peer, statement });
  }

  #notify(event: MeshEvent): void {
    if (this.options.keepsEvents) {
      this.events.push(event);
      if (this.events.length > MAX_EVENTS) this.events.splice(0, MAX_EVENTS / 2);
    }
    this.onEvent?.(event);
  }

  #broadcast({ data, issuer, seq, tier }: Extract<Effect, { type: "broadcast" }>): void {
    this.#world.invariants.broadcast(this, data);
    for (const network of this.#world.networks.values()) {
      const spans = this.#disclosure?.index.spansOn(network.plane, issuer);
      if (spans === undefined || holds(spans, seq)) network.broadcast(this.index, data, tier);
    }
  }

  #leave(envelope: Envelope, tier: Tier): void {
    for (const network of this.#world.networks.values()) {
      if (network.leave === undefined) continue;
      const spans = this.#disclosure?.index.spansOn(network.plane, envelope.issuer);
      if (spans === undefined || holds(spans, envelope.seq)) network.leave(this.index, envelope, tier);
    }
  }

  /** Reads see what earlier commits will have written: they wait for the disk like in the daemon. */
  #lookup(effect: Extract<Effect, { type: "lookup" }>): void {
    this.#afterDisk(() => {
      const envelopes = effect.seqs.map((seq) => this.disk.at(effect.issuer, seq));
      this.feed({ type: "found", job: effect.job, envelopes });
    });
  }
  #rows({ job, table, prefix }: Extract<Effect, { type: "rows" }>): void {
    this.#afterDisk(() => this.feed({ type: "rows-found", job, rows: this.disk.rows(table, prefix) }));
  }
  #afterDisk(task: () => void): void {
    this.#later(Math.max(0, this.#diskBusyUntil - this.#world.now()), task);
  }

  /** Rows of the node's parts, as the daemon's driver commits them. */
  commitRows(rows: readonly Row[]): void {
    this.#commit(null, { runs: [], heads: [], issuers: [], forks: [], states: [], rows });
  }
  #commit(id: number | null, commit: Commit): void {
    const world = this.#world;
    this.#diskBusyUntil = Math.max(this.#diskBusyUntil, world.now()) + this.options.diskMs;
    this.#later(this.#diskBusyUntil - world.now(), () => {
      world.invariants.committing(this, commit);
      this.disk.apply(commit);
      if (commit.runs.length > 0) {
        const runs = commit.runs.map(({ from, hashes }) => `${from}+${hashes.length}`).join();
        world.trace(`commit ${this.index} ${runs}`);
      }
      this.#acknowledge(commit);
      this.onCommitted?.(commit);
      if (id !== null) this.feed({ type: "committed", id });
    });
  }
  #acknowledge(commit: Commit): void {
    for (const run of commit.runs) {
      if (run.issuer !== this.issuer) continue;
      this.#acknowledged.push(...run.hashes);
      const point = { seq: run.from + run.hashes.length - 1, hash: run.hashes.at(-1) as string };
      this.#later(HIGH_WATER_MS, () => {
        if (point.seq > (this.highWater?.seq ?? -1)) this.highWater = point;
      });
    }
  }

  /** Says something on every link, true or not: for attackers. */
  sayToAll(frame: Uint8Array, tier: Tier): void {
    for (const link of this.#links.keys()) this.#send(link, frame, tier);
  }

  #send(link: LinkId, frame: Uint8Array, tier: Tier): void {
    const entry = this.#links.get(link);
    if (entry === undefined) return;
    const { meter, elapsedMs } = this.#world;
    this.recent.sent(elapsedMs, link, frame, tier);
    meter?.queued(this.index, frame.length, tier);
    entry.sender.push(frame, tier);
    if (entry.sender.waitingBytes > 0) meter?.waits(this.index, this.queued.bytes);
  }

  assertRunning(): Mesh {
    if (this.mesh === undefined) throw new SpineError("internal", `node ${this.index} is down`);
    return this.mesh;
  }
}
