/**
 * What recovery keys and next keys have said, judged by the genesis that commits to them (rules 7, 8): handovers, and
 * revocations in the name of an issuer. Statements may arrive before the genesis. Used by `authority.ts`.
 */
import { GENESIS_SEQ, type Genesis, type KeyCommitment } from "./genesis.ts";
import type { Issuer } from "./ports.ts";
import { BoundedMap } from "./quota.ts";
import type { Revocation } from "./revocation.ts";
import type { Handover } from "./succession.ts";

/** Statements about issuers whose genesis is not known yet. */
const MAX_WAITING = 1_024;
/** Statements of one issuer's rightful keys: the lowest in text order are kept, whatever came first. */
const MAX_STATEMENTS = 256;
/** Different genesis facts of one issuer that are remembered; two already make a contradiction. */
const MAX_GENESES = 4;

type Statement =
  | { readonly type: "handover"; readonly handover: Handover }
  | { readonly type: "revocation"; readonly revocation: Revocation };

interface Holder {
  readonly geneses: Genesis[];
  /** Made when first needed: most issuers never hand over, and there may be many. */
  statements: Map<string, Statement> | undefined;
}

/** Where an issuer's chain ends by its owner's word, and who continues it. */
export interface HandoverResult {
  /** First seq that the owner does not stand by. */
  readonly cut: number;
  /** Null when the recovery key named several. */
  readonly successor: Issuer | null;
}

function issuerOfStatement(statement: Statement): Issuer {
  return statement.type === "handover" ? statement.handover.old : statement.revocation.signer;
}

function rightOf(statement: Statement): KeyCommitment | null {
  return statement.type === "handover" ? statement.handover.right : statement.revocation.recovery;
}

export class Rights {
  readonly #holders = new Map<Issuer, Holder>();
  readonly #waiting = new BoundedMap<string, Statement>(MAX_WAITING);
  /** Who may have handed over to an issuer: those named here are asked whether it is so. */
  readonly #predecessors = new Map<Issuer, Set<Issuer>>();
  #pins: ReadonlyMap<Issuer, KeyCommitment> = new Map();

  /** Statements forgotten because too many waited for a genesis. */
  get dropped(): number {
    return this.#waiting.dropped;
  }

  setPins(pins: ReadonlyMap<Issuer, KeyCommitment>): void {
    this.#pins = pins;
    for (const issuer of pins.keys()) this.#settle(issuer);
  }

  #holder(issuer: Issuer): Holder {
    const known = this.#holders.get(issuer);
    if (known !== undefined) return known;
    const holder: Holder = { geneses: [], statements: undefined };
    this.#holders.set(issuer, holder);
    return holder;
  }

  /** True when it was not known. */
  addGenesis(genesis: Genesis): boolean {
    const { geneses } = this.#holder(genesis.issuer);
    if (geneses.some(({ recovery, next }) => recovery === genesis.recovery && next === genesis.next)) return false;
    geneses.push(genesis);
    geneses.sort((a, b) => (a.recovery + a.next < b.recovery + b.next ? -1 : 1));
    geneses.splice(MAX_GENESES);
    this.#settle(genesis.issuer);
    return true;
  }

  addHandover(handover: Handover): boolean {
    return this.#add({ type: "handover", handover });
  }
  /** `revocation.recovery` is not null. */
  addRevocation(revocation: Revocation): boolean {
    return this.#add({ type: "revocation", revocation });
  }

  #add(statement: Statement): boolean {
    const issuer = issuerOfStatement(statement);
    const key = JSON.stringify(statement);
    if (this.#keep(issuer, key, statement)) return true;
    if (this.#mayBecomeRightful(issuer, statement)) this.#waiting.set(key, statement);
    return false;
  }

  /**
   * Whether a genesis still to come could give the right. Where one is known, another would only contest it; where a
   * recovery key is pinned, only the next key is unknown until the genesis that agrees with the pin.
   */
  #mayBecomeRightful(issuer: Issuer, statement: Statement): boolean {
    const geneses = this.#holders.get(issuer)?.geneses ?? [];
    const pin = this.#pins.get(issuer);
    if (pin === undefined) return geneses.length === 0;
    const isRotation = statement.type === "handover" && statement.handover.kind === "rotation";
    return isRotation && !geneses.some(({ recovery }) => recovery === pin);
  }

  /** Whether a known genesis or a pin commits to the key behind it: what makes it worth keeping. */
  isRightful(issuer: Issuer, right: KeyCommitment | null): boolean {
    const geneses = this.#holders.get(issuer)?.geneses ?? [];
    return this.#pins.get(issuer) === right || geneses.some((one) => one.recovery === right || one.next === right);
  }

  /** Keeps what could be rightful: nobody but the holder of a committed key can make such a statement. */
  #keep(issuer: Issuer, key: string, statement: Statement): boolean {
    if (!this.isRightful(issuer, rightOf(statement))) return false;
    const holder = this.#holder(issuer);
    holder.statements ??= new Map();
    const { statements } = holder;
    if (statements.has(key)) return false;
    statements.set(key, statement);
    if (statement.type === "handover") {
      const { old, successor } = statement.handover;
      this.#predecessors.set(successor, (this.#predecessors.get(successor) ?? new Set()).add(old));
    }
    if (statements.size <= MAX_STATEMENTS) return true;
    const last = [...statements.keys()].sort().at(-1) as string;
    statements.delete(last);
    return last !== key;
  }

  #settle(issuer: Issuer): void {
    for (const [key, statement] of [...this.#waiting.entries()]) {
      if (issuerOfStatement(statement) !== issuer) continue;
      this.#waiting.delete(key);
      this.#add(statement);
    }
  }

  /**
   * The genesis that counts. With a pinned recovery key the one that agrees; otherwise the only one, unless the issuer
   * is frozen at or below it: then nobody can tell the owner's genesis from a thief's.
   */
  genesisOf(
    issuer: Issuer,
    frozenAt: number | undefined,
  ): { recovery: KeyCommitment; next: KeyCommitment | null } | null {
    const geneses = this.#holders.get(issuer)?.geneses ?? [];
    const pin = this.#pins.get(issuer);
    if (pin !== undefined) {
      const agreeing = geneses.filter(({ recovery }) => recovery === pin);
      return { recovery: pin, next: agreeing.length === 1 ? (agreeing[0] as Genesis).next : null };
    }
    const contested = frozenAt !== undefined && frozenAt <= GENESIS_SEQ;
    return geneses.length === 1 && !contested ? (geneses[0] as Genesis) : null;
  }

  /** The rightful handovers of an issuer together: the lowest cut, and the one successor if the owner named one only. */
  handoverOf(issuer: Issuer, frozenAt: number | undefined): HandoverResult | null {
    const rights = this.#rightful(issuer, frozenAt);
    const handovers = rights.flatMap((one) => (one.type === "handover" ? [one.handover] : []));
    if (handovers.length === 0) return null;
    const cut = Math.min(...handovers.map(({ lastSeq }) => lastSeq + 1));
    // The recovery key is kept apart from the others: where it has spoken, a rotation names nobody.
    const successions = handovers.filter(({ kind }) => kind === "succession");
    const heirs = new Set((successions.length > 0 ? successions : handovers).map(({ successor }) => successor));
    return { cut, successor: heirs.size === 1 ? ([...heirs][0] as Issuer) : null };
  }

  revocationsOf(issuer: Issuer, frozenAt: number | undefined): readonly Revocation[] {
    return this.#rightful(issuer, frozenAt).flatMap((one) => (one.type === "revocation" ? [one.revocation] : []));
  }

  #rightful(issuer: Issuer, frozenAt: number | undefined): readonly Statement[] {
    const statements = this.#holders.get(issuer)?.statements;
    if (statements === undefined) return [];
    const genesis = this.genesisOf(issuer, frozenAt);
    if (genesis === null) return [];
    return [...statements.values()].filter((statement) => {
      const isRotation = statement.type === "handover" && statement.handover.kind === "rotation";
      return rightOf(statement) === (isRotation ? genesis.next : genesis.recovery);
    });
  }

  predecessorsOf(issuer: Issuer): Iterable<Issuer> {
    return this.#predecessors.get(issuer) ?? [];
  }

  speaksOf(issuer: Issuer): boolean {
    return this.#holders.get(issuer)?.statements !== undefined;
  }
  /** Issuers about whom a rightful key may have said something. */
  *speakers(): IterableIterator<Issuer> {
    for (const [issuer, { statements }] of this.#holders) if (statements !== undefined) yield issuer;
  }
}
