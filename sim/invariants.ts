/**
 * What must hold at every moment of every run. A violation throws with the seed's trace position, so that the run can
 * be repeated to just before it.
 */
import {
  type Commit,
  decodeFrame,
  type EnvelopeHash,
  type Issuer,
  openGossip,
  openSigningBytes,
  RowTable,
  SpineError,
  subtractSpans,
  walkRecords,
} from "../spine/index.ts";
import type { SimPeer } from "./peer.ts";
import type { World } from "./world.ts";

export class InvariantViolation extends Error {
  readonly invariant: string;
  constructor(invariant: string, detail: string) {
    super(`invariant "${invariant}" violated: ${detail}`);
    this.name = "InvariantViolation";
    this.invariant = invariant;
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
  #touched: { peer: SimPeer; issuers: readonly Issuer[] }[] = [];
  checks = 0;

  constructor(world: World) {
    this.#world = world;
  }
  #fail(invariant: string, detail: string): never {
    const { steps } = this.#world;
    throw new InvariantViolation(invariant, `${detail} (step ${steps}, trace ${this.#world.traceHash})`);
  }

  /** Nothing is said of what is not on disk. */
  sent(peer: SimPeer, bytes: Uint8Array): void {
    const frame = decodeFrame(bytes);
    if (frame.type === "inventory") {
      for (const { issuer, ranges, head } of frame.entries) {
        const held = peer.disk.record(issuer)?.ranges ?? [];
        if (subtractSpans(ranges, held).length > 0)
          this.#fail("nothing sent before committed", `node ${peer.index} announced ${issuer}`);
        if (head !== null && head.issuer === peer.issuer) this.#ownHead(peer, `${head.seq}`, head.hash + head.sentAt);
      }
    } else if (frame.type === "push") {
      for (const record of frame.records) {
        for (const { signingBytes, signature } of walkRecords(record)) {
          const envelope = openSigningBytes(signingBytes, signature, this.#world.ports.sha256Hex);
          this.#onDisk(peer, envelope.issuer, envelope.seq, envelope.hash);
        }
      }
    }
    this.checks++;
  }
  broadcast(peer: SimPeer, data: Uint8Array): void {
    const message = openGossip(data, this.#world.ports.sha256Hex);
    const stated = message.type === "head" ? message.head : message.envelope;
    this.#onDisk(peer, stated.issuer, stated.seq, stated.hash);
    if (message.type === "head") this.#ownHead(peer, `${stated.seq}`, message.head.hash + message.head.sentAt);
    this.checks++;
  }
  #onDisk(peer: SimPeer, issuer: Issuer, seq: number, hash: EnvelopeHash): void {
    const isLoose = (): boolean => peer.disk.rows(RowTable.authority).some(({ key }) => key.endsWith(hash));
    if (peer.disk.at(issuer, seq)?.hash !== hash && !isLoose()) {
      this.#fail("nothing sent before committed", `node ${peer.index} sent seq ${seq} of ${issuer}`);
    }
  }
  #ownHead(peer: SimPeer, seq: string, head: string): void {
    const key = `${peer.issuer}|${seq}`;
    const known = this.#heads.get(key);
    if (known !== undefined && known !== head && !this.liars.has(peer.issuer)) {
      this.#fail("one head per seq", `node ${peer.index} signed two heads for seq ${seq}`);
    }
    this.#heads.set(key, head);
  }

  #ownEnvelope(peer: SimPeer, seq: number, hash: EnvelopeHash): void {
    const key = `${peer.issuer}|${seq}`;
    const known = this.#signed.get(key);
    if (known !== undefined && known !== hash && !this.liars.has(peer.issuer))
      this.#fail("one envelope per seq", `node ${peer.index} signed two envelopes ${seq}`);
    this.#signed.set(key, hash);
  }

  /** Checked before a commit reaches the disk: nothing stored is overwritten, nothing added to a frozen part. */
  committing(peer: SimPeer, commit: Commit): void {
    for (const run of commit.runs) {
      let seq = run.from;
      for (const { signingBytes, signature } of walkRecords(run.records)) {
        const envelope = openSigningBytes(signingBytes, signature, this.#world.ports.sha256Hex);
        const named =
          envelope.issuer === run.issuer && envelope.seq === seq && envelope.hash === run.hashes[seq - run.from];
        if (run.issuer === peer.issuer) this.#ownEnvelope(peer, seq, envelope.hash);
        if (!named) this.#fail("runs say what they hold", `node ${peer.index} seq ${seq}`);
        if (peer.disk.at(run.issuer, seq) !== undefined)
          this.#fail("nothing overwritten", `node ${peer.index} seq ${seq}`);
        if (seq >= (peer.disk.record(run.issuer)?.frozenAt ?? Number.POSITIVE_INFINITY))
          this.#fail("nothing new above a fork", `node ${peer.index} seq ${seq}`);
        seq++;
      }
    }
    this.#touched.push({
      peer,
      issuers: [
        ...new Set([...commit.issuers.map(({ issuer }) => issuer), ...commit.runs.map(({ issuer }) => issuer)]),
      ],
    });
  }

  /** Called after every step of virtual time: looks at everything the step touched. */
  afterStep(): void {
    for (const { peer, issuers } of this.#touched) for (const issuer of issuers) this.#consecutive(peer, issuer);
    this.#touched = [];
  }

  /** The edges of what is held agree with the stored envelopes. */
  #consecutive(peer: SimPeer, issuer: Issuer): void {
    this.checks++;
    const record = peer.disk.record(issuer);
    if (record === undefined) this.#fail("every stored issuer has a record", `node ${peer.index} ${issuer}`);
    let previous = -2;
    for (const range of record.ranges) {
      if (range.from <= previous + 1 || range.to < range.from)
        this.#fail("ranges ascend and are disjoint", `node ${peer.index}`);
      previous = range.to;
      const [first, last] = [peer.disk.at(issuer, range.from), peer.disk.at(issuer, range.to)];
      if (first === undefined || last?.hash !== range.last)
        this.#fail("ranges are stored", `node ${peer.index} ${range.from}..${range.to}`);
      const { prev } = openSigningBytes(first.signingBytes, first.signature, this.#world.ports.sha256Hex);
      if (prev !== range.prev) this.#fail("edges join", `node ${peer.index} seq ${range.from}`);
    }
  }

  /** Walks every chain on every disk; for the end of a run. */
  wholeChains(): void {
    for (const peer of this.#world.peers) {
      const leaves = new Set(peer.disk.leaves);
      for (const hash of peer.acknowledged) {
        if (!leaves.has(hash)) this.#fail("nothing acknowledged is lost", `node ${peer.index} ${hash}`);
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
        const envelope = openSigningBytes(row.signingBytes, row.signature, this.#world.ports.sha256Hex, row.hash);
        if (prev !== undefined && envelope.prev !== prev)
          this.#fail("heads consecutive", `node ${peer.index} seq ${seq}`);
        prev = envelope.hash;
      }
    }
  }
}
