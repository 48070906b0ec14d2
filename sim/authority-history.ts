/**
 * One random history of facts that act on who may speak: several keys with their thieves, forks, revocations of each
 * other, handovers and attestations, handed to the nodes of a mesh that is cut, healed and crashed meanwhile. All nodes
 * must end with the same issuers, frozen seqs, revoked set and effects, and with what the facts say by themselves (rules 6, 8).
 */
import {
  Authority,
  type AuthorityTrust,
  commitToKey,
  draftEnvelope,
  draftHead,
  draftRotation,
  draftSuccession,
  type Envelope,
  feedAuthority,
  formatTime,
  genesisFact,
  type Head,
  headText,
  type Issuer,
  type JsonObject,
  NO_TRUST,
  type RevocationScope,
  type RevocationTarget,
  readActing,
  recoveryRevocationFact,
  recoverySigningBytes,
  revocationFact,
  revokedItemText,
  sealEnvelope,
  sealHandover,
  sealHead,
  sealRecoveryRevocation,
  utf8,
} from "../spine/index.ts";
import type { SimPeer } from "./peer.ts";
import { EPOCH_MS, LAN, type SimKey, type SimPorts, World } from "./world.ts";

const NODES = 3;
const ACTORS = 6;
const STEPS = 12;
/** Long enough for a doubted peer to be asked again. */
const SETTLE_MS = 240_000;
const NOW_SECONDS = EPOCH_MS / 1000;

/** A key, the keys it committed to, and one or two histories signed with it. */
interface Actor {
  readonly key: SimKey;
  readonly recovery: SimKey;
  readonly next: SimKey;
  readonly branches: Envelope[][];
}

export interface HistoryResult {
  /** What differs between nodes, or from the facts themselves; empty when all is well. */
  readonly differences: readonly string[];
  readonly revoked: number;
  readonly frozen: number;
}

class History {
  readonly #world: World;
  readonly #actors: Actor[] = [];
  readonly #peers: SimPeer[] = [];
  readonly #trust: AuthorityTrust;
  /** Whom attestations name. */
  readonly #subjects: readonly Issuer[];
  readonly #delivered = new Set<Envelope>();
  /** Acknowledged: on some node's disk. */
  readonly #kept = new Set<Envelope>();
  readonly #heads: Head[] = [];
  #facts = 0;

  constructor(seed: number, ports: SimPorts) {
    this.#world = new World(seed, ports);
    const key = (): SimKey => ports.keyFromSeed(this.#world.rng.bytes(32));
    for (let i = 0; i < ACTORS; i++) this.#actors.push({ key: key(), recovery: key(), next: key(), branches: [] });
    this.#subjects = [1, 2, 3].map((fill) => ports.keyFromSeed(new Uint8Array(32).fill(fill)).issuer);
    this.#trust = this.#makeTrust();
    for (let i = 0; i < NODES; i++) this.#peers.push(this.#world.add());
    for (const actor of this.#actors) this.#sign(actor);
  }

  #makeTrust(): AuthorityTrust {
    const { rng, ports } = this.#world;
    const ids = this.#actors.map(({ key }) => key.issuer);
    const scopes: readonly RevocationScope[] = ["node", "key", "token", "bundle"];
    const some = (): Set<Issuer> => new Set(ids.filter(() => rng.float() < 0.4));
    return {
      ...NO_TRUST,
      revokers: new Map(
        ids.slice(0, 3).map((id) => [
          id,
          {
            scopes: new Set(scopes.filter((scope) => scope === "node" || rng.float() < 0.6)),
            quorum: rng.integer(1, 3),
          },
        ]),
      ),
      curators: some(),
      tokenIssuers: some(),
      attesters: some(),
      named: new Set(ids),
      recoveryPins: new Map(
        this.#actors
          .filter(() => rng.float() < 0.2)
          .map(({ key, recovery }) => [key.issuer, commitToKey(recovery.publicKey, ports.sha256Hex)]),
      ),
    };
  }

  // ---- signing ----

  #envelope(key: SimKey, after: Envelope | undefined, fact: JsonObject): Envelope {
    const { sha256Hex } = this.#world.ports;
    const seq = (after?.seq ?? 0) + 1;
    const draft = draftEnvelope(
      { issuer: key.issuer, seq, prev: after?.hash ?? null, issuedAt: formatTime(NOW_SECONDS), fact },
      sha256Hex,
    );
    return sealEnvelope(draft, key.sign(draft.signingBytes));
  }

  #target(): RevocationTarget {
    const { rng } = this.#world;
    const scope = rng.pick<RevocationScope>(["node", "node", "key", "token", "bundle"]);
    if (scope === "token") return { scope, value: rng.pick(["x", "y"]), fromSeq: 0 };
    if (scope === "bundle") return { scope, value: `0x${rng.pick(["a", "b"]).repeat(64)}`, fromSeq: 0 };
    return { scope, value: rng.pick(this.#actors).key.issuer, fromSeq: rng.integer(0, 9) };
  }

  /** What an actor, or whoever holds its key, says next. */
  #fact(actor: Actor, chain: readonly Envelope[]): JsonObject {
    const { rng } = this.#world;
    const factId = `f_${this.#facts++}`;
    const dice = rng.float();
    const revocation = { factId, targets: [this.#target()], reason: "test", issuedAt: NOW_SECONDS };
    if (dice < 0.45) return revocationFact(revocation);
    if (dice < 0.55) {
      const own = {
        ...revocation,
        targets: [{ scope: "key" as const, value: actor.key.issuer, fromSeq: rng.integer(0, 9) }],
      };
      return revocationFact(own);
    }
    // Any envelope may carry what another's recovery key says, or what somebody made up.
    const of = rng.pick(this.#actors);
    const signer = rng.float() < 0.7 ? of.recovery : of.next;
    if (dice < 0.65) {
      const draft = recoveryRevocationFact(revocation, of.key.issuer, signer.publicKey);
      return sealRecoveryRevocation(draft, signer.sign(recoverySigningBytes(draft)));
    }
    if (dice < 0.75) {
      const last = of === actor ? chain.at(-1) : undefined;
      const successor = rng.float() < 0.5 ? of.next : rng.pick(this.#actors).next;
      const input = { factId, old: of.key.issuer, lastSeq: last?.seq ?? 0, lastHash: last?.hash ?? null };
      const named = { ...input, successor: successor.issuer, issuedAt: NOW_SECONDS };
      const isRotation = rng.float() < 0.4;
      const draft = isRotation ? draftRotation(named) : draftSuccession(named, signer.publicKey);
      const first = isRotation ? of.key : signer;
      return sealHandover(draft, first.sign(draft.signingBytes), successor.sign(draft.signingBytes));
    }
    if (dice < 0.85) {
      const node_id = rng.pick(this.#subjects);
      return {
        schema: "clawdstrike.spine.fact.node_attestation.v1",
        ...{ fact_id: factId, node_id, issued_at: formatTime(NOW_SECONDS), system_attestation: {} },
      };
    }
    return { schema: "aegis.spine.fact.heartbeat.v1", fact_id: factId };
  }

  #sign(actor: Actor): void {
    const { rng } = this.#world;
    const trunk: Envelope[] = [];
    const extend = (chain: Envelope[], count: number): void => {
      for (let i = 0; i < count; i++) {
        const fact = chain.length === 0 && rng.float() < 0.9 ? this.#genesis(actor) : this.#fact(actor, chain);
        chain.push(this.#envelope(actor.key, chain.at(-1), fact));
      }
    };
    extend(trunk, rng.integer(1, 6));
    actor.branches.push(trunk);
    if (rng.float() > 0.35) return;
    // A thief, or the owner himself, begins a second history somewhere, maybe with a second genesis.
    const branch = trunk.slice(0, rng.integer(0, trunk.length));
    extend(branch, rng.integer(1, 5));
    actor.branches.push(branch);
  }

  #genesis(actor: Actor): JsonObject {
    const { rng, ports } = this.#world;
    const recovery = rng.float() < 0.85 ? actor.recovery : rng.pick(this.#actors).next;
    const keys = { recoveryKey: recovery.publicKey, nextKey: actor.next.publicKey };
    if (recovery === actor.next) return this.#genesis(actor);
    const init = { issuer: actor.key.issuer, ...keys, createdAt: NOW_SECONDS, factId: `g_${this.#facts++}` };
    return genesisFact(init, ports.sha256Hex);
  }

  // ---- what happens ----

  run(): HistoryResult {
    const { rng } = this.#world;
    for (const peer of this.#peers) peer.trust(this.#trust);
    for (let i = 1; i < NODES; i++) this.#world.connect(i - 1, i, LAN);
    const pieces = this.#pieces();
    for (let step = 0; step < STEPS; step++) {
      const dice = rng.float();
      if (dice < 0.25) this.#world.partition(new Set([rng.integer(0, NODES)]));
      else if (dice < 0.45) this.#world.heal();
      else if (dice < 0.55) this.#crash(rng.integer(0, NODES));
      for (const piece of pieces.splice(0, Math.ceil(pieces.length / (STEPS - step))))
        this.#deliver(rng.pick(this.#peers), piece);
      this.#world.runFor(rng.integer(0, 3_000));
    }
    for (const peer of this.#peers) if (!peer.running) this.#world.restart(peer.index);
    this.#world.heal();
    this.#world.runFor(5_000);
    // Whoever holds a key states its newest head again and again.
    for (const peer of this.#peers) for (const head of this.#heads) this.#deliver(peer, head);
    this.#world.runUntil(() => this.#differences().length === 0, SETTLE_MS, 2_000);
    this.#world.invariants.wholeChains();
    const [first] = this.#peers as [SimPeer];
    const { authority } = first.assertRunning();
    return {
      differences: this.#differences(),
      revoked: [...authority.revoked()].length,
      frozen: this.#actors.filter(({ key }) => authority.standing(key.issuer).frozenAt !== null).length,
    };
  }

  /** Every branch in parts that keep their order, its head last; those of different branches in any order. */
  #pieces(): (readonly Envelope[] | Head)[] {
    const { rng } = this.#world;
    const queues = this.#actors.flatMap(({ key, branches }) =>
      branches.map((branch) => {
        const pieces: (readonly Envelope[] | Head)[] = [];
        for (let at = 0; at < branch.length; ) {
          const size = rng.integer(1, 4);
          pieces.push(branch.slice(at, at + size));
          at += size;
        }
        const { seq, hash } = branch.at(-1) as Envelope;
        const draft = draftHead({ issuer: key.issuer, seq, hash, sentAt: NOW_SECONDS });
        const head = sealHead(draft, key.sign(draft.signingBytes));
        this.#heads.push(head);
        return [...pieces, head];
      }),
    );
    const out: (readonly Envelope[] | Head)[] = [];
    while (queues.some((queue) => queue.length > 0)) {
      const piece = rng.pick(queues).shift();
      if (piece !== undefined) out.push(piece);
    }
    return out;
  }

  #crash(index: number): void {
    const peer = this.#peers[index] as SimPeer;
    if (!peer.running) return this.#world.restart(index);
    // What was handed over a moment ago reaches the disk first: else it was never delivered.
    this.#world.runFor(100);
    peer.crash(true);
  }

  #deliver(peer: SimPeer, piece: readonly Envelope[] | Head): void {
    const to = peer.running ? peer : (this.#peers.find(({ running }) => running) as SimPeer);
    if (to === undefined) return;
    if ("sentAt" in piece) {
      const link = "actor";
      const info = { mtu: 1e6, bitrate: Number.POSITIVE_INFINITY, cost: "free" as const, configured: false };
      to.feed({
        ...{ type: "link-up", link },
        info: { ...info, localBinding: new Uint8Array(1), remoteBinding: new Uint8Array(1), address: "actor" },
      });
      to.feed({ type: "gossip", link, id: piece.hash, data: utf8(headText(piece)) });
      return to.feed({ type: "link-down", link });
    }
    for (const envelope of piece) this.#delivered.add(envelope);
    to.offer(piece, (envelope) => this.#kept.add(envelope));
    this.#world.runFor(20);
  }

  // ---- what must be the same ----

  #differences(): string[] {
    const outcomes = this.#peers.map((peer) => this.#outcome(peer.assertRunning().authority));
    const frozen = this.#peers.map((peer) =>
      JSON.stringify(this.#actors.map(({ key }) => peer.disk.record(key.issuer)?.frozenAt ?? null)),
    );
    const [first] = this.#peers as [SimPeer];
    const alone = new Authority(this.#trust);
    for (const { key } of this.#actors) {
      const frozenAt = first.disk.record(key.issuer)?.frozenAt ?? null;
      if (frozenAt !== null) alone.addFreeze(key.issuer, frozenAt);
    }
    for (const envelope of this.#delivered) {
      const acting = readActing(envelope, this.#world.ports.sha256Hex);
      // Restrictions act wherever they are handed in; a grant is refused while its issuer is cut, and so never seen again here.
      if (acting?.fact.type === "attestation" && !this.#kept.has(envelope)) continue;
      if (acting?.claims.every((claim) => this.#world.ports.verify(claim))) feedAuthority(alone, acting.fact);
    }
    const expected = this.#outcome(alone);
    return [
      ...frozen.flatMap((one, i) => (one === frozen[0] ? [] : [`node ${i} froze ${one}, node 0 ${frozen[0]}`])),
      ...outcomes.flatMap((one, i) => differing(one, expected).map((what) => `node ${i}: ${what}`)),
    ];
  }

  #outcome(authority: Authority): Outcome {
    const ids = [...this.#actors.map(({ key }) => key.issuer), ...this.#actors.map(({ next }) => next.issuer)];
    return {
      standings: ids.map((id) => authority.standing(id)),
      decisions: ids.map((id) => [1, 2, 4, 8].map((seq) => authority.decide(id, seq))),
      tokens: ["x", "y"].map((token) => ids.map((id) => authority.isTokenRevoked(token, id))),
      bundles: ["a", "b"].map((bundle) => ids.map((id) => authority.isBundleRevoked(`0x${bundle.repeat(64)}`, id, 2))),
      revoked: [...authority.revoked()].map(revokedItemText).sort(),
      attested: this.#subjects.map((id) => authority.attestersOf(id).sort()),
    };
  }
}

type Outcome = Readonly<Record<string, readonly unknown[]>>;

/** Where a node's judgement is not what the facts say. */
function differing(judged: Outcome, expected: Outcome): string[] {
  return Object.keys(expected).flatMap((what) => {
    const [one, other] = [judged[what] ?? [], expected[what] ?? []];
    if (JSON.stringify(one) === JSON.stringify(other)) return [];
    const at = other.findIndex((item, i) => JSON.stringify(item) !== JSON.stringify(one[i]));
    return [`${what}[${at}] is ${JSON.stringify(one[at])}, the facts say ${JSON.stringify(other[at])}`];
  });
}

export function runAuthorityHistory(seed: number, ports: SimPorts): HistoryResult {
  return new History(seed, ports).run();
}
