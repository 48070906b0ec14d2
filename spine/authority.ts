/**
 * Who may still speak, and who may revoke what (rules 6, 7, 8). A pure function of the set of facts handed in: freezes,
 * genesis facts, handovers and revocations, in any order and any number of times. Whoever hands a fact in has verified
 * its signatures; whether it counts is judged here, by local trust and by seq, never by arrival.
 *
 * An issuer's word over itself, a curator's over its bundles and a token issuer's over its tokens always stand, frozen
 * or revoked. A configured revoker's word over others stands below the seq at which the revoker was frozen, revoked
 * itself, was handed over, or was revoked by fellow revokers (`revoker-cuts.ts`).
 */
import { type Attestation, Attestations } from "./attestation.ts";
import { type AuthorityTrust, checkAuthorityTrust } from "./authority-trust.ts";
import type { Genesis } from "./genesis.ts";
import type { Issuer } from "./ports.ts";
import type { Revocation, RevocationScope, RevocationTarget } from "./revocation.ts";
import { type Entry, RevocationTable, reachOf } from "./revocation-table.ts";
import { quorumCut, revokerCuts, type Vote, type Word } from "./revoker-cuts.ts";
import { type HandoverResult, Rights } from "./rights.ts";
import type { Handover } from "./succession.ts";

export type Decision = "allowed" | "revoked" | "frozen";

/** What became of an issuer. Envelopes below every seq named here stay valid. */
export interface Standing {
  /** Nothing at or above it counts any more; null when nothing was revoked. */
  readonly revokedFrom: number | null;
  readonly frozenAt: number | null;
  /** Who continues in its place, by the word of its recovery key or its committed next key. Trust is not handed on. */
  readonly successor: Issuer | null;
}

/** A revocation in force, for lists and for the root of a revocation set. */
export interface RevokedItem {
  readonly scope: "issuer" | "token" | "bundle";
  readonly value: string;
  readonly fromSeq: number;
  /** The curator or token issuer on whose own bundle or token alone it acts; null when it acts on the value as such. */
  readonly owner: Issuer | null;
}

/** By what right a revocation may count. */
export type Right = "self" | "recovery" | "revoker" | "curator" | "token-issuer";

const MAX_REVOCATIONS = 1_000_000;
const NEVER = Number.POSITIVE_INFINITY;
const ISSUER_SCOPES: readonly RevocationScope[] = ["node", "key"];

interface SelfRevocation {
  from: number;
  /** Where its own word over others ends. A statement at seq s cannot undo what the issuer revoked before s. */
  wordFrom: number;
}

/** What an issuer's rightful keys said about itself. */
interface OwnersWord {
  readonly handover: HandoverResult | null;
  /** From which seq its recovery key revoked it. */
  readonly revokedFrom: number;
}

const NO_WORD: OwnersWord = { handover: null, revokedFrom: NEVER };

/** Derived from what bears on revokers; rebuilt when that changes. */
interface Resolved {
  /** Seq from which a revoker's word over others no longer stands. */
  readonly wordCuts: ReadonlyMap<Issuer, number>;
  /** Cuts of revokers by their fellows. */
  readonly fellowCuts: ReadonlyMap<Issuer, number>;
  /** Standing words of recovery keys of revokers over others, by scope and value. */
  readonly recoveryWords: ReadonlyMap<string, readonly Word[]>;
}

function isOverSelf(issuer: Issuer, scope: RevocationScope, value: string): boolean {
  return value === issuer && (scope === "node" || scope === "key");
}

export class Authority {
  #trust: AuthorityTrust;
  readonly #table = new RevocationTable(MAX_REVOCATIONS);
  readonly #self = new Map<Issuer, SelfRevocation>();
  readonly #frozen = new Map<Issuer, number>();
  readonly #rights = new Rights();
  readonly #ownersWords = new Map<Issuer, OwnersWord>();
  readonly #attestations = new Attestations();
  #resolved: Resolved | undefined;
  #version: number = 0;

  /** Throws `config_invalid`. */
  constructor(trust: AuthorityTrust) {
    this.#trust = checkAuthorityTrust(trust);
    this.#rights.setPins(trust.recoveryPins);
  }

  /** Grows with whatever may change an answer: roots and other derived things are kept as long as it stands still. */
  get version(): number {
    return this.#version;
  }
  get trust(): AuthorityTrust {
    return this.#trust;
  }
  /** Facts forgotten because a table was full. */
  get dropped(): number {
    return this.#table.dropped + this.#rights.dropped + this.#attestations.dropped;
  }

  /**
   * Judges everything anew by another trust. Returns the issuers that gained a role or a pin: their stored revocations
   * and handovers were ignored until now and must be handed in again. Throws `config_invalid`, changing nothing.
   */
  setTrust(trust: AuthorityTrust): Issuer[] {
    const old = this.#trust;
    this.#trust = checkAuthorityTrust(trust);
    this.#rights.setPins(trust.recoveryPins);
    this.#resolved = undefined;
    this.#ownersWords.clear();
    this.#version++;
    const gained = new Set<Issuer>();
    for (const [issuer, { scopes }] of trust.revokers) {
      const before = old.revokers.get(issuer)?.scopes;
      for (const scope of scopes) if (before?.has(scope) !== true) gained.add(issuer);
    }
    for (const issuer of trust.curators) if (!old.curators.has(issuer)) gained.add(issuer);
    for (const issuer of trust.tokenIssuers) if (!old.tokenIssuers.has(issuer)) gained.add(issuer);
    for (const issuer of trust.attesters) if (!old.attesters.has(issuer)) gained.add(issuer);
    for (const [issuer, pin] of trust.recoveryPins) if (old.recoveryPins.get(issuer) !== pin) gained.add(issuer);
    return [...gained];
  }

  /** A proven fork: the lowest seq counts. */
  addFreeze(issuer: Issuer, seq: number): void {
    if (seq >= (this.#frozen.get(issuer) ?? NEVER)) return;
    this.#frozen.set(issuer, seq);
    this.#changed(issuer);
  }
  addGenesis(genesis: Genesis): void {
    if (this.#rights.addGenesis(genesis)) this.#changed(genesis.issuer);
  }
  /** Both signatures were verified. */
  addHandover(handover: Handover): void {
    if (this.#rights.addHandover(handover)) this.#changed(handover.old);
  }

  /** Counts only while the trust lets its issuer attest others. */
  addAttestation(attestation: Attestation): void {
    if (this.#trust.attesters.has(attestation.attester) && this.#attestations.add(attestation)) this.#version++;
  }
  /** Who attests an issuer now: a grant, so nothing that a frozen or revoked attester signed at or above its cut. */
  attestersOf(issuer: Issuer): Issuer[] {
    const counts = ({ attester, seq }: Attestation): boolean =>
      this.#trust.attesters.has(attester) && this.decide(attester, seq) === "allowed";
    return this.#attestations
      .of(issuer)
      .filter(counts)
      .map(({ attester }) => attester);
  }

  /** Issuers whose word it is now that this one continues them. */
  predecessorsOf(issuer: Issuer): Issuer[] {
    return [...this.#rights.predecessorsOf(issuer)].filter((old) => this.standing(old).successor === issuer);
  }

  /** Whether the key behind a handover or a recovery key's revocation is one that the issuer committed to. */
  isRightful(statement: Handover | Revocation): boolean {
    return "old" in statement
      ? this.#rights.isRightful(statement.old, statement.right)
      : this.#rights.isRightful(statement.signer, statement.recovery);
  }

  #changed(issuer: Issuer): void {
    this.#ownersWords.delete(issuer);
    this.#version++;
    if (this.#trust.revokers.has(issuer)) this.#resolved = undefined;
  }

  /**
   * The envelope's signature and, in the recovery form, the recovery key's were verified. Returns the rights by which
   * it may count, now or when other facts arrive: with none it is an ordinary fact of the lowest tier, which is not
   * remembered here and never sent to radio (rules 8).
   */
  addRevocation(revocation: Revocation): readonly Right[] {
    const rights = this.rightsOf(revocation);
    if (revocation.seq === null) {
      if (this.#rights.addRevocation(revocation)) this.#changed(revocation.signer);
      return rights;
    }
    for (const target of revocation.targets) {
      const right = this.#rightOver(revocation, target);
      if (right === "self") this.#addSelf(revocation.signer, revocation.seq, target.fromSeq);
      else if (right !== undefined && this.#table.add(revocation.signer, revocation.seq, target)) {
        this.#version++;
        if (this.#trust.revokers.has(target.value)) this.#resolved = undefined;
      }
    }
    return rights;
  }

  #addSelf(issuer: Issuer, seq: number, from: number): void {
    const known = this.#self.get(issuer) ?? { from: NEVER, wordFrom: NEVER };
    const merged = { from: Math.min(known.from, from), wordFrom: Math.min(known.wordFrom, Math.max(from, seq)) };
    if (merged.from === known.from && merged.wordFrom === known.wordFrom) return;
    this.#self.set(issuer, merged);
    this.#changed(issuer);
  }

  /** Each right that some target of this revocation rests on. */
  rightsOf(revocation: Revocation): readonly Right[] {
    const rights = revocation.targets.map((target) => this.#rightOver(revocation, target));
    return [...new Set(rights.filter((right) => right !== undefined))];
  }

  #rightOver({ signer, seq }: Revocation, { scope, value }: RevocationTarget): Right | undefined {
    const overSelf = isOverSelf(signer, scope, value);
    if (seq === null) {
      const speaks = overSelf || this.#trust.revokers.get(signer)?.scopes.has(scope) === true;
      return speaks && this.#rights.genesisOf(signer, this.#frozen.get(signer)) !== null ? "recovery" : undefined;
    }
    if (overSelf) return "self";
    if (this.#trust.revokers.get(signer)?.scopes.has(scope) === true) return "revoker";
    if (scope === "bundle" && this.#trust.curators.has(signer)) return "curator";
    return scope === "token" && this.#trust.tokenIssuers.has(signer) ? "token-issuer" : undefined;
  }

  /** Who may revoke a node, key, token or bundle on this node, besides an issuer itself and its recovery key. */
  revokersOf(scope: RevocationScope): readonly { readonly issuer: Issuer; readonly quorum: number }[] {
    return [...this.#trust.revokers].flatMap(([issuer, { scopes, quorum }]) =>
      scopes.has(scope) ? [{ issuer, quorum }] : [],
    );
  }

  /** Constant time: this is asked of every envelope. */
  standing(issuer: Issuer): Standing {
    const from = this.#revokedFrom(issuer);
    return {
      revokedFrom: from === NEVER ? null : from,
      frozenAt: this.#frozen.get(issuer) ?? null,
      successor: this.#ownersWord(issuer).handover?.successor ?? null,
    };
  }

  /** Whether what an issuer signed at `seq` is admitted and grants anything. Evidence is kept all the same. */
  decide(issuer: Issuer, seq: number): Decision {
    if (seq >= this.#revokedFrom(issuer)) return "revoked";
    return seq >= (this.#frozen.get(issuer) ?? NEVER) ? "frozen" : "allowed";
  }

  /** The first seq of an issuer at which nothing is admitted any more; Infinity when all is. */
  cutOf(issuer: Issuer): number {
    return Math.min(this.#revokedFrom(issuer), this.#frozen.get(issuer) ?? NEVER);
  }

  /** Whether a node's or agent's key was revoked from any seq on: its sessions are denied, its links closed. */
  isRevoked(issuer: Issuer): boolean {
    return this.#revokedFrom(issuer) !== NEVER;
  }

  /** Where in chains the words of revokers stand by which an issuer is revoked, in no particular order. */
  wordsOver(issuer: Issuer): readonly { readonly signer: Issuer; readonly seq: number }[] {
    const { wordCuts } = this.#resolve();
    const isFellow = this.#trust.revokers.has(issuer);
    const words: { signer: Issuer; seq: number }[] = [];
    for (const scope of ISSUER_SCOPES)
      for (let entry = this.#table.get(scope, issuer); entry !== undefined; entry = entry.next) {
        const { signer, firstSeq, widestSeq } = entry;
        // Words over fellows are weighed against each other: whoever hears them weighs them again.
        const cut = isFellow ? NEVER : (wordCuts.get(signer) ?? NEVER);
        if (this.#trust.revokers.get(signer)?.scopes.has(scope) !== true || reachOf(entry, cut) === NEVER) continue;
        words.push({ signer, seq: widestSeq < cut ? widestSeq : firstSeq });
      }
    return words;
  }

  /** `issuer` is the token's own. Tokens have no seq: those of an issuer revoked or frozen at all cannot be dated and fall. */
  isTokenRevoked(tokenId: string, issuer: Issuer | undefined): boolean {
    if (issuer !== undefined && this.#trust.tokenIssuers.has(issuer) && this.#hasWord("token", tokenId, issuer))
      return true;
    return this.#cutByRevokers("token", tokenId) !== NEVER;
  }
  /** The predicate of the token rules: whether no token of this issuer counts any more. */
  isTokenIssuerRevoked(issuer: Issuer): boolean {
    return this.isRevoked(issuer) || this.#frozen.has(issuer);
  }
  /** A bundle as published by `curator` in the envelope at `seq`: its own word acts on its own bundles alone. */
  isBundleRevoked(bundleHash: string, curator: Issuer, seq: number): boolean {
    if (this.decide(curator, seq) !== "allowed") return true;
    if (this.#trust.curators.has(curator) && this.#hasWord("bundle", bundleHash, curator)) return true;
    return this.#cutByRevokers("bundle", bundleHash) !== NEVER;
  }

  /** Everything in force, in no particular order. Facts may be added between two items: each value comes once. */
  *revoked(): IterableIterator<RevokedItem> {
    const isListed = (issuer: Issuer): boolean => ISSUER_SCOPES.some((scope) => this.#table.get(scope, issuer));
    for (const [scope, value, entry] of this.#table.entries()) {
      if (scope === "key" && this.#table.get("node", value) !== undefined) continue;
      if (scope === "node" || scope === "key") {
        yield* this.#revokedIssuer(value);
        continue;
      }
      const owners = scope === "token" ? this.#trust.tokenIssuers : this.#trust.curators;
      for (let one: Entry | undefined = entry; one !== undefined; one = one.next)
        if (owners.has(one.signer)) yield { scope, value, fromSeq: 0, owner: one.signer };
      if (this.#cutByRevokers(scope, value) !== NEVER) yield { scope, value, fromSeq: 0, owner: null };
    }
    for (const issuer of this.#self.keys()) if (!isListed(issuer)) yield* this.#revokedIssuer(issuer);
    for (const issuer of this.#rights.speakers())
      if (!isListed(issuer) && !this.#self.has(issuer)) yield* this.#revokedIssuer(issuer);
    yield* this.#revokedByRecoveryAlone(isListed);
  }

  *#revokedIssuer(issuer: Issuer): IterableIterator<RevokedItem> {
    const fromSeq = this.#revokedFrom(issuer);
    if (fromSeq !== NEVER) yield { scope: "issuer", value: issuer, fromSeq, owner: null };
  }

  /** What only recovery keys of revokers named. */
  *#revokedByRecoveryAlone(isListed: (issuer: Issuer) => boolean): IterableIterator<RevokedItem> {
    const issuers = new Set<Issuer>();
    for (const key of this.#resolve().recoveryWords.keys()) {
      const [scope, value] = [key.slice(0, key.indexOf("|")) as RevocationScope, key.slice(key.indexOf("|") + 1)];
      if (scope === "node" || scope === "key") issuers.add(value);
      else if (this.#table.get(scope, value) === undefined && this.#cutByRevokers(scope, value) !== NEVER)
        yield { scope, value, fromSeq: 0, owner: null };
    }
    for (const issuer of issuers)
      if (!isListed(issuer) && !this.#self.has(issuer) && !this.#rights.speaksOf(issuer))
        yield* this.#revokedIssuer(issuer);
  }

  #hasWord(scope: RevocationScope, value: string, signer: Issuer): boolean {
    for (let entry = this.#table.get(scope, value); entry !== undefined; entry = entry.next)
      if (entry.signer === signer) return true;
    return false;
  }

  #revokedFrom(issuer: Issuer): number {
    const word = this.#ownersWord(issuer);
    const from = Math.min(this.#self.get(issuer)?.from ?? NEVER, word.revokedFrom, word.handover?.cut ?? NEVER);
    if (this.#trust.revokers.has(issuer)) return Math.min(from, this.#resolve().fellowCuts.get(issuer) ?? NEVER);
    return Math.min(from, this.#cutByRevokers("node", issuer), this.#cutByRevokers("key", issuer));
  }

  #ownersWord(issuer: Issuer): OwnersWord {
    if (!this.#rights.speaksOf(issuer)) return NO_WORD;
    const known = this.#ownersWords.get(issuer);
    if (known !== undefined) return known;
    const frozenAt = this.#frozen.get(issuer);
    let revokedFrom = NEVER;
    for (const { targets } of this.#rights.revocationsOf(issuer, frozenAt))
      for (const { scope, value, fromSeq } of targets)
        if (isOverSelf(issuer, scope, value)) revokedFrom = Math.min(revokedFrom, fromSeq);
    const word = { handover: this.#rights.handoverOf(issuer, frozenAt), revokedFrom };
    this.#ownersWords.set(issuer, word);
    return word;
  }

  /** The seq from which configured revokers revoked a target that is not one of them. */
  #cutByRevokers(scope: RevocationScope, value: string): number {
    const { wordCuts, recoveryWords } = this.#resolve();
    const signed = recoveryWords.size === 0 ? undefined : recoveryWords.get(`${scope}|${value}`);
    const first = this.#table.get(scope, value);
    if (first === undefined && signed === undefined) return NEVER;
    const words: Word[] = [...(signed ?? [])];
    for (let entry = first; entry !== undefined; entry = entry.next) {
      const trust = this.#trust.revokers.get(entry.signer);
      if (trust?.scopes.has(scope) !== true) continue;
      const fromSeq = reachOf(entry, wordCuts.get(entry.signer) ?? NEVER);
      if (fromSeq !== NEVER) words.push({ signer: entry.signer, fromSeq, quorum: trust.quorum });
    }
    return quorumCut(words);
  }

  #resolve(): Resolved {
    this.#resolved ??= this.#derive();
    return this.#resolved;
  }

  #derive(): Resolved {
    const recoveryTargets: { signer: Issuer; target: RevocationTarget }[] = [];
    const baseCuts = new Map<Issuer, number>();
    for (const [issuer, { scopes }] of this.#trust.revokers) {
      const frozenAt = this.#frozen.get(issuer);
      const { handover, revokedFrom } = this.#ownersWord(issuer);
      const self = this.#self.get(issuer)?.wordFrom ?? NEVER;
      baseCuts.set(issuer, Math.min(frozenAt ?? NEVER, self, handover?.cut ?? NEVER, revokedFrom));
      for (const { targets } of this.#rights.revocationsOf(issuer, frozenAt))
        for (const target of targets)
          if (scopes.has(target.scope) && !isOverSelf(issuer, target.scope, target.value))
            recoveryTargets.push({ signer: issuer, target });
    }
    const fellowCuts = revokerCuts(this.#votes(baseCuts, recoveryTargets), (signer) => this.#quorumOf(signer));
    const wordCuts = new Map<Issuer, number>();
    for (const [issuer, base] of baseCuts) {
      const cut = Math.min(base, fellowCuts.get(issuer) ?? NEVER);
      if (cut !== NEVER) wordCuts.set(issuer, cut);
    }
    const recoveryWords = new Map<string, Word[]>();
    for (const { signer, target } of recoveryTargets) {
      // It has no seq: it falls only when the revoker as a whole was revoked by its fellows.
      if ((fellowCuts.get(signer) ?? NEVER) <= 0) continue;
      const key = `${target.scope}|${target.value}`;
      const word: Word = { signer, fromSeq: target.fromSeq, quorum: this.#quorumOf(signer) };
      const words = recoveryWords.get(key);
      if (words === undefined) recoveryWords.set(key, [word]);
      else words.push(word);
    }
    return { wordCuts, fellowCuts, recoveryWords };
  }

  #quorumOf(signer: Issuer): number {
    return this.#trust.revokers.get(signer)?.quorum ?? NEVER;
  }

  /** What revokers said about each other, as far as their own freeze, self-revocation and handover let it stand. */
  #votes(
    baseCuts: ReadonlyMap<Issuer, number>,
    recoveryTargets: readonly { readonly signer: Issuer; readonly target: RevocationTarget }[],
  ): Vote[] {
    const votes: Vote[] = [];
    for (const target of this.#trust.revokers.keys())
      for (const scope of ISSUER_SCOPES)
        for (let entry = this.#table.get(scope, target); entry !== undefined; entry = entry.next) {
          const { signer, firstSeq, firstFrom, widestSeq, widestFrom } = entry;
          if (this.#trust.revokers.get(signer)?.scopes.has(scope) !== true) continue;
          const base = baseCuts.get(signer) ?? NEVER;
          if (firstSeq < base) votes.push({ signer, target, scope, seq: firstSeq, fromSeq: firstFrom });
          if (widestSeq < base && widestSeq !== firstSeq)
            votes.push({ signer, target, scope, seq: widestSeq, fromSeq: widestFrom });
        }
    for (const { signer, target } of recoveryTargets)
      if (this.#trust.revokers.has(target.value) && (target.scope === "node" || target.scope === "key"))
        votes.push({ signer, target: target.value, scope: target.scope, seq: 0, fromSeq: target.fromSeq });
    return votes;
  }
}
