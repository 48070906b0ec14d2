/** A simulated disk: what survives a crash. Commits become durable after a delay, in order; a crash drops the rest. */
import {
  type Commit,
  type ForkRecord,
  type FoundRow,
  type Head,
  type Issuer,
  type IssuerRecord,
  nobleSha256Hex,
  type RowTable,
  type Snapshot,
  SpineError,
  type StoredPiece,
  writeRecord,
} from "../spine/index.ts";
import { EnvelopePool, type Pooled } from "./pool.ts";

export class SimDisk {
  readonly #pool: EnvelopePool;
  /** By the pool's number of issuer and seq. */
  #rows: (Pooled | undefined)[] = [];
  readonly #issuers = new Map<Issuer, IssuerRecord>();
  readonly #heads = new Map<Issuer, Head>();
  readonly #forks = new Map<Issuer, ForkRecord>();
  readonly #table = new Map<string, Uint8Array>();
  /** Envelope hashes in commit order. */
  readonly leaves: string[] = [];

  /** Disks of one world share a pool. */
  constructor(pool: EnvelopePool = new EnvelopePool(nobleSha256Hex)) {
    this.#pool = pool;
  }

  /** Refuses to overwrite, like every store. */
  apply(commit: Commit): void {
    for (const run of commit.runs) {
      for (const [i, row] of this.#pool.openRun(run).entries()) {
        const [seq, hash] = [run.from + i, run.hashes[i] as string];
        const place = this.#pool.placeOf(run.issuer, seq);
        if (this.#rows[place] !== undefined)
          throw new SpineError("store_failed", `envelope ${seq} would be overwritten`);
        this.#rows[place] = row.hash === hash ? row : { ...row, hash };
        this.leaves.push(hash);
      }
    }
    for (const record of commit.issuers) this.#issuers.set(record.issuer, record);
    for (const head of commit.heads) this.#heads.set(head.issuer, head);
    for (const fork of commit.forks) this.#forks.set(fork.issuer, fork);
    for (const { table, key, value } of commit.rows) {
      if (value === null) this.#table.delete(`${table}|${key}`);
      else this.#table.set(`${table}|${key}`, value);
    }
    for (const { issuer, seq, state, signature } of commit.states) {
      const place = this.#pool.placeOf(issuer, seq);
      const row = this.#rows[place];
      if (row === undefined) continue;
      const record = signature === undefined ? row.record : writeRecord(row.signingBytes, signature);
      this.#rows[place] = this.#pool.open(row.hash, record, state);
    }
  }
  /** What a backup taken now would hold. */
  copy(): SimDisk {
    const copy = new SimDisk(this.#pool);
    copy.#rows = [...this.#rows];
    for (const [issuer, record] of this.#issuers) copy.#issuers.set(issuer, record);
    for (const [issuer, head] of this.#heads) copy.#heads.set(issuer, head);
    for (const [issuer, fork] of this.#forks) copy.#forks.set(issuer, fork);
    copy.leaves.push(...this.leaves);
    for (const [key, value] of this.#table) copy.#table.set(key, value);
    return copy;
  }
  load(): Snapshot {
    return {
      issuers: [...this.#issuers.values()],
      heads: [...this.#heads.values()],
      forks: [...this.#forks.values()],
      logSize: this.leaves.length,
    };
  }
  at(issuer: Issuer, seq: number): Pooled | undefined {
    const place = this.#pool.knownPlaceOf(issuer, seq);
    return place === undefined ? undefined : this.#rows[place];
  }
  /** Of one table, in the order of their keys. */
  rows(table: RowTable, prefix = ""): FoundRow[] {
    const start = `${table}|`;
    return [...this.#table]
      .filter(([name]) => name.startsWith(start + prefix))
      .map(([name, value]) => ({ key: name.slice(start.length), value }))
      .sort((a, b) => (a.key < b.key ? -1 : 1));
  }
  record(issuer: Issuer): IssuerRecord | undefined {
    return this.#issuers.get(issuer);
  }
  issuers(): Issuer[] {
    const issuers = new Set<Issuer>();
    for (const row of this.#rows) if (row !== undefined) issuers.add(row.issuer);
    return [...issuers];
  }
  /** Issuers whose keys are frozen, with the seq. */
  *frozen(): IterableIterator<readonly [Issuer, number]> {
    for (const { issuer, frozenAt } of this.#issuers.values()) if (frozenAt !== null) yield [issuer, frozenAt];
  }
  /** One envelope per piece: speed does not matter here. */
  *pieces(issuer: Issuer, from: number, to: number): IterableIterator<StoredPiece> {
    const top = this.#issuers.get(issuer)?.ranges.at(-1)?.to ?? -1;
    for (let seq = from; seq <= Math.min(to, top); seq++) {
      const row = this.at(issuer, seq);
      if (row !== undefined) yield { from: seq, count: 1, records: row.record, states: Uint8Array.of(row.state) };
    }
  }
}
