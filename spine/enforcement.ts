/**
 * What the core does by the word of `authority.ts`: feeds it the facts that act, keeps them as rows, cuts chains, admits
 * who is vouched for, and sends revoked peers away (rules 3, 6, 7, 8). Called by intake, segments, forks and `mesh.ts`.
 */
import {
  type Acting,
  type ActingFact,
  actingKind,
  chainSeqOf,
  checkpointRow,
  factRow,
  factRowKey,
  feedAuthority,
  readActing,
  readCheckpointRow,
  readFactRow,
  type StoredFact,
  subjectOf,
} from "./acting.ts";
import type { Authority, Right } from "./authority.ts";
import type { AuthorityTrust } from "./authority-trust.ts";
import { Admission, type IssuerRecord, type Row, RowTable } from "./commit.ts";
import type { Context } from "./context.ts";
import type { MeshEvent } from "./effect.ts";
import { claimOf, type Envelope } from "./envelope.ts";
import { factTier, type Tier } from "./fact.ts";
import { Farewell } from "./farewell.ts";
import type { LinkId } from "./link.ts";
import { type LooseFact, LooseFacts, outlivesCut } from "./loose-facts.ts";
import { openSigningBytes } from "./open.ts";
import type { EnvelopeHash, Issuer } from "./ports.ts";
import { BoundedMap } from "./quota.ts";
import { writeRecord } from "./record.ts";
import { newIssuerState } from "./state.ts";

/** Statements of recovery and next keys whose genesis is not known yet. */
const MAX_WAITING = 256;
const MAX_LOGS = 4_096;
const MAX_WAITING_BYTES = 8_192;
/** Facts of one cut chain that are looked up to travel on their own. */
const MAX_PROMOTED = 256;
/** Issuers whose chains are looked through after a start. */
const MAX_CUT_AT_START = 1_000;
const UNAUTHORISED_TIER: Tier = 7;
/** Revocations older than this are history: peers who were away fetch them. */
const URGENT_MS = 7 * 86_400_000;

/** Facts to be stored with a commit, and what to say once it is on disk. */
export interface Acted {
  readonly rows: Row[];
  readonly events: MeshEvent[];
  /** Facts that every peer must get, whatever it holds of their chains. */
  readonly loose: LooseFact[];
  /** Revocations that act, for peers who are away. */
  readonly urgent: Envelope[];
}

export function nothingActed(): Acted {
  return { rows: [], events: [], loose: [], urgent: [] };
}

export interface EnforcementCalls {
  /** What may be fetched of an issuer changed. */
  readonly reconsider: (issuer: Issuer) => void;
  /** Issuers were admitted: peers are asked what they hold of them. */
  readonly admitted: (issuers: readonly Issuer[]) => void;
  /** A fact must reach every peer, whatever they hold of its chain. */
  readonly spread: (fact: LooseFact, except: LinkId | null) => void;
  /** What peers offered before may count now. */
  readonly compareFacts: () => void;
}

export class Enforcement {
  readonly #ctx: Context;
  readonly #calls: EnforcementCalls;
  readonly loose: LooseFacts = new LooseFacts();
  readonly #waiting = new BoundedMap<EnvelopeHash, LooseFact>(MAX_WAITING);
  readonly #farewell: Farewell;
  readonly #cuts = new Map<Issuer, number>();
  /** Where the newest checkpoint of each log stands. */
  readonly #checkpoints = new BoundedMap<Issuer, number>(MAX_LOGS);
  readonly #touched = new Set<Issuer>();
  #sweep = false;
  #closeRevoked = false;
  #version: number;

  constructor(ctx: Context, loose: Iterable<LooseFact>, calls: EnforcementCalls) {
    this.#ctx = ctx;
    this.#calls = calls;
    this.#farewell = new Farewell(ctx, this.loose);
    for (const fact of loose) {
      if (!this.#isRightful(fact.fact)) this.#waiting.set(fact.hash, fact);
      else if (this.loose.add(fact)) this.loose.committed(fact.hash);
    }
    this.#version = this.#authority.version;
  }
  get #authority(): Authority {
    return this.#ctx.authority;
  }

  /** Once after the issuers were restored: notes the cuts, and takes up again what a crash may have kept from being promoted. */
  start(): void {
    this.#ctx.rows(RowTable.checkpoints, "", (rows) => {
      for (const { key, value } of rows) {
        const seq = readCheckpointRow(value);
        if ((this.#checkpoints.get(key) ?? -1) < seq) this.#checkpoints.set(key, seq);
      }
    });
    for (const issuer of this.#ctx.issuers.keys()) {
      const cut = this.#authority.cutOf(issuer);
      if (cut === Number.POSITIVE_INFINITY) continue;
      this.#cuts.set(issuer, cut);
      if (this.#cuts.size <= MAX_CUT_AT_START) this.#promote(issuer, cut);
    }
  }

  // ---- reading ----

  read(envelope: Envelope): Acting | undefined {
    return actingKind(envelope.factSchema) === undefined ? undefined : readActing(envelope, this.#ctx.sha256Hex);
  }

  /** By what right a revocation acts; empty for other facts. */
  rightsOf(fact: ActingFact | undefined): readonly Right[] {
    return fact?.type === "revocation" ? this.#authority.rightsOf(fact.revocation) : [];
  }

  /** How urgent an envelope is: a revocation by anybody who may not is the least of all (rules 8). */
  tierOf(envelope: Envelope): Tier {
    const tier = factTier(envelope.factSchema);
    if (tier !== 1) return tier;
    return this.rightsOf(this.read(envelope)?.fact).length > 0 ? 1 : UNAUTHORISED_TIER;
  }

  /** Whether the clock rule lets an envelope in now: no clock may silence a revocation that counts (rules 3). */
  isDue(envelope: Envelope, acting: Acting | undefined): boolean {
    const { now, limits } = this.#ctx;
    return envelope.issuedAtMs <= now + limits.futureMs || this.rightsOf(acting?.fact).length > 0;
  }

  /**
   * Whether an envelope that no chain takes in is worth its signature checks as evidence: of an issuer whose chain is cut
   * or, for what a recovery or next key signed, of anybody.
   */
  isEvidence(acting: Acting | undefined, hash: EnvelopeHash): boolean {
    if (acting === undefined || this.loose.has(hash) || this.#waiting.has(hash)) return false;
    const { fact } = acting;
    if (fact.type === "attestation" || fact.type === "set" || fact.type === "checkpoint") return false;
    if (this.#ctx.admitted(subjectOf(fact)) === undefined) return false;
    return chainSeqOf(fact) === null || this.#mayAct(fact);
  }

  /** Whether a word from above the cut may act: a revoker's over others can come to stand again when who revoked it falls. */
  #mayAct(fact: ActingFact): boolean {
    return fact.type !== "revocation" || this.rightsOf(fact).length > 0;
  }

  /**
   * A revoker's word over a fellow: travels on its own wherever it stands. Two that revoke each other while the network is
   * cut would else never meet, as each keeps the other's chain from being fetched.
   */
  #isVote(fact: ActingFact): boolean {
    if (fact.type !== "revocation" || fact.revocation.seq === null) return false;
    const { revokers } = this.#authority.trust;
    const { signer, targets } = fact.revocation;
    const scopes = revokers.get(signer)?.scopes;
    if (scopes === undefined) return false;
    return targets.some(({ scope, value }) => value !== signer && scopes.has(scope) && revokers.has(value));
  }

  // ---- facts ----

  #feed(fact: ActingFact): boolean {
    const authority = this.#authority;
    const before = authority.version;
    feedAuthority(authority, fact);
    if (authority.version === before) return false;
    const touched = [subjectOf(fact)];
    if (fact.type === "handover") touched.push(fact.handover.successor);
    if (fact.type === "attestation") touched.push(fact.attestation.subject);
    if (fact.type === "revocation") touched.push(...fact.revocation.targets.map(({ value }) => value));
    for (const issuer of touched) {
      this.#touched.add(issuer);
      this.#sweep ||= authority.trust.revokers.has(issuer);
    }
    if (fact.type === "genesis") this.#retry(fact.genesis.issuer);
    return true;
  }

  /** Statements that waited for this genesis or pin. */
  #retry(issuer: Issuer | null): void {
    for (const [hash, waiting] of [...this.#waiting.entries()]) {
      if (issuer !== null && subjectOf(waiting.fact) !== issuer) continue;
      this.#waiting.delete(hash);
      this.#commitAlone((acted) => this.#keepLoose(waiting, acted));
    }
  }

  #commitAlone(act: (acted: Acted) => void): void {
    const acted = nothingActed();
    act(acted);
    if (acted.rows.length > 0) this.#ctx.commit({ rows: acted.rows }, () => this.tell(acted, null));
  }

  /** Whether it is signed by a key that its issuer committed to; true for what needs no such key. */
  #isRightful(fact: ActingFact): boolean {
    if (chainSeqOf(fact) !== null) return true;
    if (fact.type === "handover") return this.#authority.isRightful(fact.handover);
    return fact.type === "revocation" && this.#authority.isRightful(fact.revocation);
  }

  /**
   * A fact of an envelope that is about to be stored in its chain; every signature was verified. It acts at once, its row
   * goes into the same commit.
   */
  take(acting: Acting, envelope: Envelope, acted: Acted): void {
    const { fact } = acting;
    if (fact.type === "set") {
      acted.events.push({ type: "revocation-set", issuer: fact.issuer, ...fact.set });
      return;
    }
    if (fact.type === "checkpoint") {
      if ((this.#checkpoints.get(fact.issuer) ?? -1) >= fact.seq) return;
      this.#checkpoints.set(fact.issuer, fact.seq);
      acted.rows.push(checkpointRow(fact.issuer, fact.seq));
      return;
    }
    const signed = chainSeqOf(fact) === null;
    const loose = signed || this.#isVote(fact) ? looseOf(fact, envelope) : null;
    const travels = loose !== null && this.#isRightful(fact) && this.loose.add(loose);
    if (travels) acted.loose.push(loose);
    const record = loose !== null && this.loose.has(loose.hash) ? loose.record : null;
    if (signed && record === null) this.#wait(loose as LooseFact, acted);
    else acted.rows.push(factRow(fact, envelope.hash, record));
    const news = this.#feed(fact);
    if (!news) return;
    acted.events.push(this.#eventOf(fact, envelope.hash));
    const fresh = envelope.issuedAtMs > this.#ctx.now - URGENT_MS;
    if (fresh && this.rightsOf(fact).length > 0) acted.urgent.push(envelope);
  }

  /**
   * A fact of an envelope that its chain does not take in: kept beside the chain if it acts. True when it is news that
   * others should hear of. Every signature was verified.
   */
  evidence(acting: Acting, envelope: Envelope, acted: Acted): boolean {
    if (!this.isEvidence(acting, envelope.hash) || !this.isDue(envelope, acting)) return false;
    if (!this.#keepLoose(looseOf(acting.fact, envelope), acted)) return false;
    if (this.rightsOf(acting.fact).length > 0) acted.urgent.push(envelope);
    return true;
  }

  /** Kept, durably, until a genesis or a pin says whether its key has the right; when too many wait, the oldest goes. */
  #wait(loose: LooseFact, acted: Acted): void {
    if (loose.record.length > MAX_WAITING_BYTES || this.#waiting.has(loose.hash)) return;
    if (this.#waiting.size >= MAX_WAITING) {
      const [hash, oldest] = this.#waiting.entries().next().value as [EnvelopeHash, LooseFact];
      this.#waiting.delete(hash);
      acted.rows.push({ table: RowTable.authority, key: factRowKey(oldest.fact, hash), value: null });
    }
    this.#waiting.set(loose.hash, loose);
    acted.rows.push(factRow(loose.fact, loose.hash, loose.record));
  }

  #keepLoose(loose: LooseFact, acted: Acted): boolean {
    const { fact, hash } = loose;
    if (fact.type === "set" || fact.type === "checkpoint") return false;
    if (!this.#isRightful(fact)) {
      this.#wait(loose, acted);
      return false;
    }
    const news = this.#feed(fact);
    if (!news && chainSeqOf(fact) !== null) return false;
    if (!this.loose.add(loose)) return false;
    acted.rows.push(factRow(fact, hash, loose.record));
    acted.events.push(this.#eventOf(fact, hash));
    acted.loose.push(loose);
    return true;
  }

  /** Verifies what is not verified yet of an envelope whose own signature is good, and keeps it as evidence for all peers. */
  consider(envelope: Envelope): void {
    const acting = this.read(envelope);
    if (acting === undefined || !this.isEvidence(acting, envelope.hash)) return;
    const keep = (): void => this.#commitAlone((acted) => this.evidence(acting, envelope, acted));
    if (acting.claims.length === 0) return keep();
    this.#ctx.verify(acting.claims, null, (verdicts) => {
      if (verdicts.every(Boolean)) keep();
    });
  }

  /** A proven fork. */
  freeze(issuer: Issuer, seq: number): void {
    const before = this.#authority.version;
    this.#authority.addFreeze(issuer, seq);
    if (this.#authority.version === before) return;
    this.#touched.add(issuer);
    this.#sweep ||= this.#authority.trust.revokers.has(issuer);
  }

  #eventOf(fact: Exclude<ActingFact, { type: "set" | "checkpoint" }>, hash: EnvelopeHash): MeshEvent {
    const rights = this.rightsOf(fact);
    const revocation =
      fact.type === "revocation" && rights.length > 0 ? { rights, targets: fact.revocation.targets } : undefined;
    const { version } = this.#authority;
    const event = { type: "authority", version, cause: fact.type, issuer: subjectOf(fact), hash } as const;
    return revocation === undefined ? event : { ...event, revocation };
  }

  /** Whether a verified fact will act when it is fed together with the others. */
  willAct({ fact }: Acting, others: readonly Acting[]): boolean {
    if (this.#isRightful(fact)) return true;
    const right =
      fact.type === "handover" ? fact.handover.right : fact.type === "revocation" && fact.revocation.recovery;
    return others.some(
      (other) =>
        other.fact.type === "genesis" &&
        other.fact.genesis.issuer === subjectOf(fact) &&
        (other.fact.genesis.recovery === right || other.fact.genesis.next === right),
    );
  }

  /** What was fed is on disk: tells of it, hands it to every peer but the one it came from, and lets it act on links. */
  tell(acted: Acted, from: LinkId | null): void {
    for (const event of acted.events) this.#ctx.emit({ type: "notify", event });
    for (const envelope of acted.urgent) this.#ctx.emit({ type: "urgent", envelope, tier: 1 });
    for (const loose of acted.loose) {
      this.loose.committed(loose.hash);
      this.#calls.spread(loose, from);
    }
    if (acted.events.length > 0) this.#closeRevoked = true;
  }

  // ---- trust ----

  /** Throws `config_invalid`, changing nothing. */
  setTrust(trust: AuthorityTrust): void {
    const gained = this.#authority.setTrust(trust);
    this.#sweep = true;
    this.#closeRevoked = true;
    this.#admitNamed(trust);
    for (const issuer of gained) this.#replay(issuer);
    // What was an ordinary word may be one over a fellow now.
    if (gained.some((issuer) => trust.revokers.has(issuer)))
      for (const issuer of trust.revokers.keys()) this.#promote(issuer, this.#authority.cutOf(issuer));
    this.#retry(null);
    if (gained.length > 0) this.#calls.compareFacts();
    const { version } = this.#authority;
    this.#ctx.emit({ type: "notify", event: { type: "authority", version, cause: "trust", issuer: null, hash: null } });
  }

  /** Whoever the operator names is admitted by that; what the operator said of an issuer itself stands. */
  #admitNamed(trust: AuthorityTrust): void {
    const records: IssuerRecord[] = [];
    for (const issuer of trust.named) {
      if (this.#ctx.issuers.has(issuer)) continue;
      const record = { issuer, admission: Admission.named, ranges: [], prunedBelow: 0, frozenAt: null };
      this.#ctx.issuers.set(issuer, newIssuerState(record));
      this.#ctx.claims.delete(issuer);
      records.push(record);
    }
    if (records.length === 0) return;
    this.#ctx.commit({ issuers: records }, () => this.#calls.admitted(records.map(({ issuer }) => issuer)));
  }

  /** Stored facts of an issuer that gained a role were ignored until now. */
  #replay(issuer: Issuer): void {
    this.#ctx.rows(RowTable.authority, `${issuer}|`, (rows) => {
      for (const { key, value } of rows) this.#feed(readFactRow(key, value).fact);
      this.#closeRevoked = true;
    });
  }

  // ---- consequences ----

  /** At the end of every `handle`: acts on what changed. */
  settle(): void {
    if (this.#version !== this.#authority.version) {
      this.#version = this.#authority.version;
      const issuers = this.#sweep ? [...this.#ctx.issuers.keys(), ...this.#touched] : [...this.#touched];
      this.#sweep = false;
      this.#touched.clear();
      for (const issuer of issuers) this.#look(issuer);
    }
    if (!this.#closeRevoked) return;
    this.#closeRevoked = false;
    for (const link of this.#ctx.peers()) this.refusePeer(link.id);
  }

  #look(issuer: Issuer): void {
    const authority = this.#authority;
    const cut = authority.cutOf(issuer);
    const known = this.#cuts.get(issuer) ?? Number.POSITIVE_INFINITY;
    if (cut !== known) {
      if (cut === Number.POSITIVE_INFINITY) this.#cuts.delete(issuer);
      else this.#cuts.set(issuer, cut);
      if (cut < known) this.#promote(issuer, cut);
      this.#calls.reconsider(issuer);
    }
    const { successor } = authority.standing(issuer);
    if (successor !== null && !this.#ctx.issuers.has(successor) && this.#ctx.admitted(issuer) !== undefined)
      this.#admit(successor, Admission.successor);
    if (!this.#ctx.issuers.has(issuer) && authority.attestersOf(issuer).length > 0)
      this.#admit(issuer, Admission.attested);
  }

  #admit(issuer: Issuer, admission: Admission): void {
    if (this.#ctx.issuers.size >= this.#ctx.limits.issuers) return this.#ctx.refused(null, "quota_exceeded");
    this.#ctx.admit(issuer, admission);
    this.#calls.admitted([issuer]);
  }

  /** Closes the link of a peer whose key was revoked, after telling it why; false if it may stay (rules 8). */
  refusePeer(id: string): boolean {
    const link = this.#ctx.links.get(id);
    if (link === undefined || link.issuer === null || !this.#authority.isRevoked(link.issuer)) return false;
    this.#ctx.emit({ type: "notify", event: { type: "peer-revoked", link: id, issuer: link.issuer } });
    this.#farewell.say(link, link.issuer);
    return true;
  }

  /**
   * Facts of a chain at or above its new cut act for ever but are fetched by nobody: from now on they travel on their own,
   * as words over fellow revokers do from the beginning.
   */
  #promote(issuer: Issuer, cut: number): void {
    this.#ctx.rows(RowTable.authority, `${issuer}|`, (rows) => {
      const stored = rows.map(({ key, value }) => readFactRow(key, value));
      const cutOff = stored.filter(
        (one) =>
          one.record === null &&
          outlivesCut(one) &&
          ((chainSeqOf(one.fact) ?? 0) >= cut || this.#isVote(one.fact)) &&
          this.#mayAct(one.fact),
      );
      const chosen = cutOff.filter(({ hash }) => !this.loose.has(hash)).slice(0, MAX_PROMOTED);
      if (chosen.length > 0) this.#lookUp(issuer, chosen);
    });
  }

  #lookUp(issuer: Issuer, facts: readonly StoredFact[]): void {
    this.#ctx.lookup(
      issuer,
      facts.map(({ fact }) => chainSeqOf(fact) as number),
      (found) => {
        for (const [i, { fact, hash }] of facts.entries()) {
          const stored = found[i];
          if (stored === undefined || stored.hash !== hash) continue;
          const envelope = openSigningBytes(stored.signingBytes, stored.signature, this.#ctx.sha256Hex);
          // Rows are written for verified envelopes only; a disk that says otherwise must not make others blame us.
          this.#ctx.verify([claimOf(envelope)], null, ([valid]) => {
            const loose = looseOf(fact, envelope);
            if (!valid || !this.loose.add(loose)) return;
            const acted: Acted = { ...nothingActed(), rows: [factRow(fact, hash, loose.record)], loose: [loose] };
            this.#ctx.commit({ rows: acted.rows }, () => this.tell(acted, null));
          });
        }
      },
    );
  }
}

function looseOf(fact: ActingFact, envelope: Envelope): LooseFact {
  return { fact, hash: envelope.hash, record: writeRecord(envelope.signingBytes, envelope.signature) };
}
