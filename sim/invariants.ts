/**
 * What must hold at every moment of every run: looked at after each step, in proportion to what the step touched. A
 * violation throws and names the nodes involved; `run.ts` tells their last events and the step to repeat the run to.
 */
import {
  CHECKPOINT_INTERVAL_MS,
  type Commit,
  decodeFrame,
  type EnvelopeHash,
  type Frame,
  factKind,
  frameTypeOf,
  type Issuer,
  isQuietLeaf,
  openGossip,
  openSigningBytes,
  RowTable,
  SpineError,
  subtractSpans,
  type Tier,
  walkRecords,
} from "../spine/index.ts";
import type { AirLog } from "./networks/air-log.ts";
import type { SimPeer } from "./peer.ts";
import type { World } from "./world.ts";

const HOUR_MS = 3_600_000;

export class InvariantViolation extends Error {
  readonly invariant: string;
  readonly detail: string;
  /** Indexes of the nodes involved. */
  readonly nodes: readonly number[];
  constructor(invariant: string, detail: string, nodes: readonly number[], where: string) {
    super(`invariant "${invariant}" violated: ${detail} (${where})`);
    this.name = "InvariantViolation";
    this.invariant = invariant;
    this.detail = detail;
    this.nodes = nodes;
  }
}

export class Invariants {
  readonly #world: World;
  /** Own head per issuer and seq: exactly one, byte for byte. */
  readonly #heads = new Map<string, string>();
  /** Own envelope per issuer and seq, over every life of a node: exactly one. */
  readonly #signed = new Map<string, EnvelopeHash>();
  /** Nodes whose key is used by an attacker: only they may state two things. */
  readonly liars = new Set<Issuer>();
  /** Whose revocations act: they go before everything else. */
  readonly revokers = new Set<Issuer>();
  #touched: { peer: SimPeer; commit: Commit }[] = [];
  checks = 0;

  constructor(world: World) {
    this.#world = world;
  }
  fail(invariant: string, detail: string, ...nodes: readonly number[]): never {
    const { steps, traceHash } = this.#world;
    throw new InvariantViolation(invariant, detail, nodes, `step ${steps}, trace ${traceHash}`);
  }

  // ---- what is said ----

  /** Nothing is said of what is not on disk, and revocations go first. */
  sent(peer: SimPeer, bytes: Uint8Array, tier: Tier): void {
    const type = frameTypeOf(bytes);
    if (type === "inventory") this.#inventory(peer, bytes);
    else if (type === "push") this.#pushed(peer, bytes, tier);
    this.checks++;
  }
  /** The receiver need not decode it again. */
  #decode(bytes: Uint8Array): Frame {
    const frame = decodeFrame(bytes);
    this.#world.decoded.set(bytes, frame);
    return frame;
  }
  #inventory(peer: SimPeer, bytes: Uint8Array): void {
    const frame = this.#decode(bytes);
    if (frame.type !== "inventory") return;
    for (const { issuer, ranges, head } of frame.entries) {
      const held = peer.disk.record(issuer)?.ranges ?? [];
      if (subtractSpans(ranges, held).length > 0)
        this.fail("nothing sent before committed", `node ${peer.index} announced ${issuer}`, peer.index);
      if (head !== null && head.issuer === peer.issuer) this.#ownHead(peer, head.seq, head.hash + head.sentAt);
    }
  }
  #pushed(peer: SimPeer, bytes: Uint8Array, tier: Tier): void {
    const frame = this.#decode(bytes);
    if (frame.type !== "push") return;
    const { sha256Hex } = this.#world.ports;
    for (const record of frame.records) {
      for (const { signingBytes, signature } of walkRecords(record)) {
        const { issuer, seq, hash, factSchema } = openSigningBytes(signingBytes, signature, sha256Hex);
        this.#onDisk(peer, issuer, seq, hash);
        if (tier !== 1 && this.revokers.has(issuer) && factKind(factSchema)?.kind === "revocation")
          this.fail("revocations go first", `node ${peer.index} sends one as tier ${tier}`, peer.index);
      }
    }
  }
  broadcast(peer: SimPeer, data: Uint8Array): void {
    const message = openGossip(data, this.#world.ports.sha256Hex);
    const stated = message.type === "head" ? message.head : message.envelope;
    this.#onDisk(peer, stated.issuer, stated.seq, stated.hash);
    if (message.type === "head") this.#ownHead(peer, stated.seq, message.head.hash + message.head.sentAt);
    this.checks++;
  }
  /** A queue gave a frame to the wire while a more urgent revocation waited in it. */
  overtaken(peer: number, tier: Tier): void {
    this.fail("revocations go first", `node ${peer} sent tier ${tier} while a revocation waited`, peer);
  }
  #onDisk(peer: SimPeer, issuer: Issuer, seq: number, hash: EnvelopeHash): void {
    const isLoose = (): boolean => peer.disk.rows(RowTable.authority).some(({ key }) => key.endsWith(hash));
    if (peer.disk.at(issuer, seq)?.hash !== hash && !isLoose())
      this.fail("nothing sent before committed", `node ${peer.index} sent seq ${seq} of ${issuer}`, peer.index);
  }
  #ownHead(peer: SimPeer, seq: number, head: string): void {
    const key = `${peer.issuer}|${seq}`;
    const known = this.#heads.get(key);
    if (known !== undefined && known !== head && !this.liars.has(peer.issuer))
      this.fail("one head per seq", `node ${peer.index} signed two heads for seq ${seq}`, peer.index);
    this.#heads.set(key, head);
  }
  #ownEnvelope(peer: SimPeer, seq: number, hash: EnvelopeHash): void {
    const key = `${peer.issuer}|${seq}`;
    const known = this.#signed.get(key);
    if (known !== undefined && known !== hash && !this.liars.has(peer.issuer))
      this.fail("one envelope per seq", `node ${peer.index} signed two envelopes ${seq}`, peer.index);
    this.#signed.set(key, hash);
  }

  /** A log states a checkpoint because of real leaves only, and not too often (rules 9). */
  checkpointed(peer: SimPeer, leaves: readonly EnvelopeHash[], sinceMs: number): void {
    if (sinceMs < CHECKPOINT_INTERVAL_MS)
      this.fail("checkpoints keep their distance", `node ${peer.index}, ${Math.round(sinceMs)} ms`, peer.index);
    const isReal = leaves.some((hash) => !isQuietLeaf(this.#world.pool.find(hash)?.factSchema ?? ""));
    if (!isReal) this.fail("checkpoints need real leaves", `node ${peer.index}, ${leaves.length} leaves`, peer.index);
  }

  /** The device holds back what begins above its limit: one packet may reach beyond it. */
  onAir(peer: number, log: AirLog, duty: number, mostMs: number): void {
    if (duty >= 1 || log.hourMs <= duty * HOUR_MS + mostMs) return;
    this.fail("duty cycle is kept", `node ${peer}: ${Math.round(log.hourMs)} ms of an hour`, peer);
  }

  // ---- what is stored ----

  /** Checked before a commit reaches the disk: nothing stored is overwritten, nothing added to a frozen part. */
  committing(peer: SimPeer, commit: Commit): void {
    for (const run of commit.runs) {
      for (const [i, found] of this.#world.pool.openRun(run).entries()) {
        const [seq, claimed] = [run.from + i, run.hashes[i]];
        if (run.issuer === peer.issuer) this.#ownEnvelope(peer, seq, found.hash);
        if (found.issuer !== run.issuer || found.seq !== seq || found.hash !== claimed)
          this.fail("runs say what they hold", `node ${peer.index} seq ${seq}`, peer.index);
        if (peer.disk.at(run.issuer, seq) !== undefined)
          this.fail("nothing overwritten", `node ${peer.index} seq ${seq}`, peer.index);
        if (seq >= (peer.disk.record(run.issuer)?.frozenAt ?? Number.POSITIVE_INFINITY))
          this.fail("nothing new above a fork", `node ${peer.index} seq ${seq}`, peer.index);
      }
    }
    for (const { issuer, frozenAt } of commit.issuers) {
      const before = peer.disk.record(issuer)?.frozenAt ?? null;
      if (before !== null && (frozenAt === null || frozenAt > before))
        this.fail("a freeze only grows", `node ${peer.index}: ${before}, then ${frozenAt}`, peer.index);
    }
    if (commit.runs.length > 0 || commit.issuers.length > 0) this.#touched.push({ peer, commit });
  }

  /** Called after every step of virtual time: looks at everything the step touched. */
  afterStep(): void {
    if (this.#touched.length === 0) return;
    const touched = this.#touched;
    this.#touched = [];
    for (const { peer, commit } of touched) {
      if (!peer.running) continue;
      const issuers = new Set<Issuer>();
      for (const { issuer } of commit.issuers) issuers.add(issuer);
      for (const { issuer } of commit.runs) issuers.add(issuer);
      for (const issuer of issuers) this.#consecutive(peer, issuer);
    }
  }

  /** The edges of what is held agree with the stored envelopes. */
  #consecutive(peer: SimPeer, issuer: Issuer): void {
    this.checks++;
    const record = peer.disk.record(issuer);
    if (record === undefined) return this.fail("every stored issuer has a record", `node ${peer.index} ${issuer}`);
    let previous = -2;
    for (const range of record.ranges) {
      if (range.from <= previous + 1 || range.to < range.from)
        this.fail("ranges ascend and are disjoint", `node ${peer.index}`, peer.index);
      previous = range.to;
      const [first, last] = [peer.disk.at(issuer, range.from), peer.disk.at(issuer, range.to)];
      if (first === undefined || last?.hash !== range.last)
        this.fail("ranges are stored", `node ${peer.index} ${range.from}..${range.to}`, peer.index);
      if (first?.prev !== range.prev) this.fail("edges join", `node ${peer.index} seq ${range.from}`, peer.index);
    }
  }

  /** Walks every chain on every disk; for the end of a run. */
  wholeChains(): void {
    for (const peer of this.#world.peers) {
      const leaves = new Set(peer.acknowledged.length === 0 ? [] : peer.disk.leaves);
      for (const hash of peer.acknowledged) {
        if (!leaves.has(hash)) this.fail("nothing acknowledged is lost", `node ${peer.index} ${hash}`, peer.index);
      }
      for (const issuer of peer.disk.issuers()) this.#wholeChain(peer, issuer);
    }
  }
  #wholeChain(peer: SimPeer, issuer: Issuer): void {
    for (const { from, to } of peer.disk.record(issuer)?.ranges ?? []) {
      let prev: EnvelopeHash | null | undefined;
      for (let seq = from; seq <= to; seq++) {
        const row = peer.disk.at(issuer, seq);
        if (row === undefined) throw new SpineError("internal", `hole at ${seq}`);
        if (prev !== undefined && row.prev !== prev)
          this.fail("heads consecutive", `node ${peer.index} seq ${seq}`, peer.index);
        prev = row.hash;
      }
    }
  }
}
