/** A store so simple that it is plainly right, and the comparison of a real store with it. Used by the contract suite. */
import assert from "node:assert/strict";
import {
  type Commit,
  concatBytes,
  type EnvelopeHash,
  EnvelopeState,
  type ForkRecord,
  type Head,
  type Issuer,
  type IssuerRecord,
  type Run,
  type Span,
  walkRecords,
  writeRecord,
} from "../../spine/index.ts";
import type { Store, StoredEnvelope } from "../../storage/index.ts";

export const NOTHING: Commit = { runs: [], heads: [], issuers: [], forks: [], states: [], rows: [] };

/** One map entry per envelope; nothing packed, nothing clever. */
export class StoreModel {
  readonly envelopes = new Map<Issuer, Map<number, StoredEnvelope>>();
  readonly leaves: { hash: EnvelopeHash; issuer: Issuer; seq: number }[] = [];
  readonly records = new Map<Issuer, IssuerRecord>();
  readonly heads = new Map<Issuer, Head>();
  readonly forks = new Map<Issuer, ForkRecord>();
  readonly prunedBelow = new Map<Issuer, number>();

  /** False, and no change, if the commit would overwrite. */
  commit(commit: Commit): boolean {
    const added: StoredEnvelope[] = [];
    for (const run of commit.runs) {
      let seq = run.from;
      for (const { signingBytes, signature } of walkRecords(run.records)) {
        const index = seq - run.from;
        const hash = run.hashes[index] as string;
        const state = run.states[index] as EnvelopeState;
        const leafIndex = this.leaves.length + added.length;
        const taken = this.at(run.issuer, seq) ?? added.find((one) => one.issuer === run.issuer && one.seq === seq);
        if (taken !== undefined || seq < (this.prunedBelow.get(run.issuer) ?? 0)) return false;
        added.push({ issuer: run.issuer, seq, leafIndex, hash, signingBytes, signature, state });
        seq++;
      }
    }
    for (const one of added) {
      const chain = this.envelopes.get(one.issuer) ?? new Map<number, StoredEnvelope>();
      this.envelopes.set(one.issuer, chain.set(one.seq, one));
      this.leaves.push({ hash: one.hash, issuer: one.issuer, seq: one.seq });
    }
    for (const record of commit.issuers) this.records.set(record.issuer, record);
    for (const head of commit.heads) this.heads.set(head.issuer, head);
    for (const fork of commit.forks) this.forks.set(fork.issuer, fork);
    for (const { issuer, seq, state, signature } of commit.states) {
      const old = this.at(issuer, seq);
      if (old !== undefined) {
        this.envelopes.get(issuer)?.set(seq, { ...old, state, signature: signature ?? old.signature });
      }
    }
    return true;
  }

  at(issuer: Issuer, seq: number): StoredEnvelope | undefined {
    return this.envelopes.get(issuer)?.get(seq);
  }

  within(issuer: Issuer, from: number, to: number): readonly StoredEnvelope[] {
    const found = [...(this.envelopes.get(issuer)?.values() ?? [])].filter(({ seq }) => from <= seq && seq <= to);
    return found.sort((a, b) => a.seq - b.seq);
  }

  unverified(limit: number): readonly StoredEnvelope[] {
    const all = [...this.envelopes.values()].flatMap((chain) => [...chain.values()]);
    const held = all.filter(({ state }) => state === EnvelopeState.chain);
    return held.sort((a, b) => a.leafIndex - b.leafIndex).slice(0, limit);
  }

  /** `kept` of an issuer must be the same in every call. */
  prune(issuer: Issuer, below: number, limit: number, kept: readonly Span[] = []): number {
    const stays = (seq: number): boolean => kept.some(({ from, to }) => from <= seq && seq <= to);
    const old = this.within(issuer, this.prunedBelow.get(issuer) ?? 0, below - 1);
    const gone = old.filter(({ seq }) => !stays(seq)).slice(0, limit);
    for (const { seq } of gone) {
      this.envelopes.get(issuer)?.delete(seq);
      this.prunedBelow.set(issuer, seq + 1);
    }
    return gone.length;
  }

  get size(): number {
    let size = 0;
    for (const chain of this.envelopes.values()) size += chain.size;
    return size;
  }
}

/** Compares everything a store says with the model. */
export async function compareStore(store: Store, model: StoreModel, issuers: readonly Issuer[]): Promise<void> {
  const snapshot = await store.load();
  assert.equal(snapshot.logSize, model.leaves.length);
  assert.deepEqual(byIssuer(snapshot.issuers), byIssuer([...model.records.values()]));
  assert.deepEqual(byIssuer(snapshot.heads), byIssuer([...model.heads.values()]));
  assert.deepEqual(byIssuer(snapshot.forks), byIssuer([...model.forks.values()]));
  assert.deepEqual(byIssuer(await store.forks()), byIssuer(snapshot.forks));
  assert.equal((await store.usage()).envelopes, model.size);
  assert.deepEqual(
    await store.leaves(0, model.leaves.length + 1),
    model.leaves.map(({ hash }) => hash),
  );
  for (const [leafIndex, { hash, issuer, seq }] of model.leaves.entries()) {
    assert.deepEqual(await store.locate(hash), { issuer, seq, leafIndex });
  }
  for (const issuer of issuers) {
    assert.deepEqual(await store.head(issuer), model.heads.get(issuer));
    await compareRange(store, model, issuer, 0, Number.MAX_SAFE_INTEGER);
  }
  await compareUnverified(store, model, 50);
}

export async function compareRange(store: Store, model: StoreModel, issuer: Issuer, from: number, to: number) {
  const expected = model.within(issuer, from, to);
  const runs: Run[] = [];
  for await (const run of store.runs(issuer, from, to)) runs.push(run);
  assert.deepEqual(unpack(runs), expected.map(withoutLeaf));
  const records: Uint8Array[] = [];
  const seqs: number[] = [];
  for await (const piece of store.records(issuer, from, to)) {
    records.push(piece.records);
    for (let i = 0; i < piece.count; i++) seqs.push(piece.from + i);
  }
  assert.deepEqual(
    seqs,
    expected.map(({ seq }) => seq),
  );
  const wanted = expected.map(({ signingBytes, signature }) => writeRecord(signingBytes, signature));
  assert.ok(Buffer.from(concatBytes(...records)).equals(concatBytes(...wanted)));
}

export async function compareUnverified(store: Store, model: StoreModel, limit: number): Promise<void> {
  assert.deepEqual(unpack(await store.unverified(limit)), model.unverified(limit).map(withoutLeaf));
}

/** Plain comparable form of a stored envelope; buffers of any kind become hex. */
export function plain(stored: StoredEnvelope | undefined): object | undefined {
  if (stored === undefined) return undefined;
  return { ...withoutLeaf(stored), leafIndex: stored.leafIndex };
}

function withoutLeaf({ issuer, seq, hash, signingBytes, signature, state }: StoredEnvelope) {
  return { issuer, seq, hash, state, signingBytes: hexOf(signingBytes), signature: hexOf(signature) };
}

function unpack(runs: readonly Run[]) {
  return runs.flatMap((run) =>
    [...walkRecords(run.records)].map(({ signingBytes, signature }, index) => ({
      issuer: run.issuer,
      seq: run.from + index,
      hash: run.hashes[index],
      state: run.states[index],
      signingBytes: hexOf(signingBytes),
      signature: hexOf(signature),
    })),
  );
}

function byIssuer<T extends { issuer: Issuer }>(items: readonly T[]): readonly object[] {
  const sorted = [...items].sort((a, b) => (a.issuer < b.issuer ? -1 : 1));
  return sorted.map((item) =>
    Object.fromEntries(
      Object.entries(item).map(([name, v]: [string, unknown]) => [name, v instanceof Uint8Array ? hexOf(v) : v]),
    ),
  );
}

function hexOf(bytes: Uint8Array): string {
  return Buffer.from(bytes).toString("hex");
}
