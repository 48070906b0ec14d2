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
  type Input,
  type Issuer,
  type JsonObject,
  type LinkId,
  type LinkInfo,
  Mesh,
  type MeshEvent,
  NO_TRUST,
  NOTHING_SIGNED,
  Outbox,
  type OwnChainStart,
  RowTable,
  SpineError,
  sealEnvelope,
} from "../spine/index.ts";
import { SimDisk } from "./disk.ts";
import type { SimKey, World } from "./world.ts";

interface SimLink {
  readonly outbox: Outbox;
  busy: boolean;
}

export interface PeerOptions {
  readonly open: boolean;
  /** From commit effect to durable, milliseconds. */
  readonly diskMs: number;
}

type Kept = (envelope: Envelope) => void;

/** How long after a commit the mark is written. */
const HIGH_WATER_MS = 400;

export class SimPeer {
  readonly index: number;
  readonly key: SimKey;
  readonly events: MeshEvent[] = [];
  disk: SimDisk = new SimDisk();
  mesh: Mesh | undefined;
  readonly #world: World;
  readonly #options: PeerOptions;
  readonly #links = new Map<LinkId, SimLink>();
  readonly #inputs: Input[] = [];
  #feeding = false;
  /** Counts lives: tasks of an earlier life do nothing. */
  #life = 0;
  #cancelWake: (() => void) | undefined;
  #diskBusyUntil = 0;
  #lastIssuedAt = 0;
  #trust: AuthorityTrust = NO_TRUST;
  readonly #acknowledged: string[] = [];
  /** Envelopes handed in, and whom to tell what became of them. */
  readonly #offers = new Map<number, { readonly envelopes: readonly Envelope[]; readonly kept: Kept }>();
  #offered = 0;
  /** The mark outside the disk; undefined = lost with the machine. */
  highWater: ChainPoint | undefined = NOTHING_SIGNED;

  constructor(world: World, index: number, key: SimKey, options: PeerOptions) {
    this.#world = world;
    this.index = index;
    this.key = key;
    this.#options = options;
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

  start(): void {
    this.#life++;
    const { sha256Hex } = this.#world.ports;
    const loader = new AuthorityLoader(this.#trust);
    for (const { key, value } of this.disk.rows(RowTable.authority)) loader.add(key, value);
    const { authority, looseFacts } = loader;
    const { open } = this.#options;
    const snapshot = this.disk.load();
    const ownChain = this.#judgeOwnChain();
    const options = { issuer: this.issuer, sha256Hex, snapshot, open, authority, looseFacts, ownChain };
    this.mesh = new Mesh(options, this.#world.now());
    this.feed({ type: "trust", trust: this.#trust });
    this.#diskBusyUntil = 0;
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
    this.mesh = undefined;
    this.#life++;
    this.#cancelWake?.();
    this.#links.clear();
    this.#inputs.length = 0;
    this.#offers.clear();
    if (!keepDisk) {
      this.disk = new SimDisk();
      this.#acknowledged.length = 0;
    }
    this.#world.dropLinksOf(this.index);
  }

  /** The operator's trust; survives a crash, as its file does. */
  trust(trust: AuthorityTrust): void {
    this.#trust = trust;
    this.feed({ type: "trust", trust });
  }

  allow(issuer: Issuer): void {
    this.feed({ type: "admit", issuer, admission: Admission.allowed });
  }

  /** Hands envelopes in as an import does; `kept` is called with each that the node says is on its disk. */
  offer(envelopes: readonly Envelope[], kept: Kept): void {
    this.#offered++;
    this.#offers.set(this.#offered, { envelopes, kept });
    this.feed({ type: "offer", token: this.#offered, envelopes });
  }

  #answered({ token, outcomes }: Extract<Effect, { type: "offered" }>): void {
    const offer = this.#offers.get(token);
    this.#offers.delete(token);
    for (const [i, outcome] of outcomes.entries()) {
      const envelope = offer?.envelopes[i];
      if (envelope !== undefined && (outcome === "added" || outcome === "duplicate")) offer?.kept(envelope);
    }
  }

  /** Drafts, signs and hands in facts as the daemon's publisher does. */
  publish(facts: readonly JsonObject[]): void {
    const envelopes: Envelope[] = [];
    let head = this.mesh?.ownHead;
    for (const fact of facts) {
      const envelope = this.sign(fact, head?.seq ?? 0, head?.hash ?? null);
      envelopes.push(envelope);
      head = envelope;
    }
    this.feed({ type: "local", envelopes });
  }

  /** Signs any statement, also a lie: attackers of scenarios use it directly. */
  sign(fact: JsonObject, afterSeq: number, prev: string | null): Envelope {
    this.#lastIssuedAt = Math.max(this.#lastIssuedAt, Math.floor(this.#world.now() / 1000));
    const issuedAt = formatTime(this.#lastIssuedAt);
    const draft = draftEnvelope(
      { issuer: this.issuer, seq: afterSeq + 1, prev, issuedAt, fact },
      this.#world.ports.sha256Hex,
    );
    return sealEnvelope(draft, this.key.sign(draft.signingBytes));
  }

  linkUp(link: LinkId, info: LinkInfo): void {
    this.#links.set(link, {
      outbox: new Outbox({ maxBytes: 4_194_304, bitrate: info.bitrate }, this.#world.now()),
      busy: false,
    });
    this.feed({ type: "link-up", link, info });
  }
  linkDown(link: LinkId): void {
    if (this.#links.delete(link)) this.feed({ type: "link-down", link });
  }

  feed(input: Input): void {
    this.#inputs.push(input);
    if (this.#feeding) return;
    this.#feeding = true;
    try {
      for (let next = this.#inputs.shift(); next !== undefined; next = this.#inputs.shift()) {
        for (const effect of this.mesh?.handle(next, this.#world.now()) ?? []) this.#perform(effect);
      }
    } finally {
      this.#feeding = false;
    }
  }

  #later(delayMs: number, task: () => void): () => void {
    return this.#at(this.#world.now() + delayMs, task);
  }
  #at(at: number, task: () => void): () => void {
    const life = this.#life;
    return this.#world.clock.schedule(at, () => {
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
        this.#world.invariants.sent(this, effect.frame);
        return this.#send(effect.link, effect.frame, effect.tier);
      case "broadcast":
        this.#world.invariants.broadcast(this, effect.data);
        return this.#world.gossip(this.index, effect.data, null);
      case "urgent":
        return;
      case "judge":
        return this.#world.judged(this.index, effect.link, effect.id, effect.verdict);
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
      case "close":
        return this.#world.closed(this.index, effect.link);
      case "wake":
        this.#cancelWake?.();
        this.#cancelWake = this.#at(effect.at, () => this.feed({ type: "wake" }));
        return;
      case "notify":
        this.events.push(effect.event);
        if (this.events.length > 10_000) this.events.splice(0, 5_000);
        return;
      case "penalise":
        return this.#world.trace(`penalise ${this.index} ${effect.link} ${effect.code}`);
      case "offered":
        return this.#answered(effect);
      case "attest":
        return;
    }
  }

  /** Reads see what earlier commits will have written: they wait for the disk like in the daemon. */
  #lookup(effect: Extract<Effect, { type: "lookup" }>): void {
    this.#later(Math.max(0, this.#diskBusyUntil - this.#world.now()), () => {
      const envelopes = effect.seqs.map((seq) => this.disk.at(effect.issuer, seq));
      this.feed({ type: "found", job: effect.job, envelopes });
    });
  }

  #rows({ job, table, prefix }: Extract<Effect, { type: "rows" }>): void {
    this.#later(Math.max(0, this.#diskBusyUntil - this.#world.now()), () => {
      this.feed({ type: "rows-found", job, rows: this.disk.rows(table, prefix) });
    });
  }

  #commit(id: number, commit: Commit): void {
    this.#diskBusyUntil = Math.max(this.#diskBusyUntil, this.#world.now()) + this.#options.diskMs;
    this.#later(this.#diskBusyUntil - this.#world.now(), () => {
      this.#world.invariants.committing(this, commit);
      this.disk.apply(commit);
      this.#world.trace(
        `commit ${this.index} ${commit.runs.map(({ from, hashes }) => `${from}+${hashes.length}`).join()}`,
      );
      for (const run of commit.runs) {
        if (run.issuer !== this.issuer) continue;
        this.#acknowledged.push(...run.hashes);
        const point = { seq: run.from + run.hashes.length - 1, hash: run.hashes.at(-1) as string };
        this.#later(HIGH_WATER_MS, () => {
          if (point.seq > (this.highWater?.seq ?? -1)) this.highWater = point;
        });
      }
      this.feed({ type: "committed", id });
    });
  }

  #send(link: LinkId, frame: Uint8Array, tier: 1 | 2 | 3 | 4 | 5 | 6 | 7): void {
    const entry = this.#links.get(link);
    if (entry === undefined) return;
    entry.outbox.push(frame, tier);
    this.#pump(link, entry);
  }

  /** One frame at a time occupies the link for as long as its bits take. */
  #pump(link: LinkId, entry: SimLink): void {
    if (entry.busy || this.#links.get(link) !== entry) return;
    const frame = entry.outbox.take(this.#world.now());
    const again = (): void => {
      entry.busy = false;
      this.#pump(link, entry);
    };
    if (frame !== undefined) {
      entry.busy = true;
      this.#later(this.#world.transmit(this.index, link, frame), again);
      return;
    }
    const at = entry.outbox.readyAt(this.#world.now());
    if (at === undefined) return;
    entry.busy = true;
    this.#later(Math.max(1, at - this.#world.now()), again);
  }

  assertRunning(): Mesh {
    if (this.mesh === undefined) throw new SpineError("internal", `node ${this.index} is down`);
    return this.mesh;
  }
}
