/** Random commands against a store and the simple model, compared after each. */
import assert from "node:assert/strict";
import fc from "fast-check";
import { type Commit, type EnvelopeState, type Run, SpineError, sliceRun } from "../../spine/index.ts";
import type { Store } from "../../storage/index.ts";
import { SyntheticIssuer } from "../helpers/synthetic.ts";
import type { StoreFixture } from "./store.ts";
import { compareRange, compareStore, NOTHING, plain, StoreModel } from "./store-model.ts";

interface Real {
  store: Store;
  again(): Promise<Store>;
}
type Command = fc.AsyncCommand<StoreModel, Real>;

const CHAIN = 220;
const issuers = ["x", "y", "z"].map((name) => new SyntheticIssuer(name));
const chains: Run[] = [];
const KEPT = [
  { from: 1, to: 1 },
  { from: 17, to: 18 },
  { from: 64, to: 66 },
  { from: 130, to: 130 },
];
const names = issuers.map(({ issuer }) => issuer);

/** Envelopes `from` to `from + count − 1` of one chain, in the given state. */
function pick(who: number, from: number, count: number, state: EnvelopeState): Run {
  const run = sliceRun(chains[who] as Run, from, Math.min(from + count - 1, CHAIN)) as Run;
  return { ...run, states: new Uint8Array(run.hashes.length).fill(state) };
}

function command(text: string, run: (model: StoreModel, real: Real) => Promise<void>): Command {
  return { check: () => true, run, toString: () => text };
}

async function tryCommit(model: StoreModel, real: Real, commits: readonly Commit[]): Promise<void> {
  const expected = commits.map((commit) => model.commit(commit));
  // A refusal ends commits until the store is reopened: no commit is expected to pass behind one.
  const outcomes = await Promise.allSettled(commits.map((commit) => real.store.commit(commit)));
  for (const [i, outcome] of outcomes.entries()) {
    if (expected[i] === true) assert.equal(outcome.status, "fulfilled");
    else assert.ok(outcome.status === "rejected" && outcome.reason instanceof SpineError);
  }
  if (expected.includes(false)) real.store = await real.again();
}

const who = fc.nat(2);
const seq = fc.integer({ min: 1, max: CHAIN });
const state = fc.constantFrom<EnvelopeState>(0, 1, 2);
const run = fc.record({ who, from: seq, count: fc.integer({ min: 1, max: 90 }), state }, { noNullPrototype: true });
const change = fc.record({ who, seq, state, sign: fc.boolean() }, { noNullPrototype: true });

const commands: fc.Arbitrary<Command>[] = [
  fc.array(run, { minLength: 1, maxLength: 2 }).map((picks) =>
    command(`commit ${JSON.stringify(picks)}`, async (model, real) => {
      const runs = picks.map((one) => pick(one.who, one.from, one.count, one.state));
      const heads = picks.map((one) => (issuers[one.who] as SyntheticIssuer).head(one.from));
      await tryCommit(model, real, [{ ...NOTHING, runs, heads }]);
    }),
  ),
  fc
    .tuple(who, state, fc.array(fc.integer({ min: 1, max: 4 }), { minLength: 1, maxLength: 12 }))
    .map(([one, s, counts]) =>
      command(`append ${one} ${counts}`, async (model, real) => {
        let next = Math.max(model.prunedBelow.get(names[one] as string) ?? 0, 1);
        for (const stored of model.within(names[one] as string, 1, CHAIN)) next = Math.max(next, stored.seq + 1);
        const commits: Commit[] = [];
        for (const count of counts) {
          if (next + count > CHAIN) break;
          commits.push({
            ...NOTHING,
            runs: [pick(one, next, count, s)],
            issuers: [(issuers[one] as SyntheticIssuer).record([1, next])],
          });
          next += count;
        }
        await tryCommit(model, real, commits);
      }),
    ),
  fc.array(change, { maxLength: 20 }).map((changes) =>
    command(`states ${JSON.stringify(changes)}`, async (model, real) => {
      const states = changes.map((one) => ({
        issuer: names[one.who] as string,
        seq: one.seq,
        state: one.state,
        ...(one.sign ? { signature: new Uint8Array(64).fill(one.seq) } : {}),
      }));
      await tryCommit(model, real, [{ ...NOTHING, states }]);
    }),
  ),
  fc.tuple(who, seq, fc.nat(60)).map(([one, below, limit]) =>
    command(`prune ${one} below ${below}, ${limit}`, async (model, real) => {
      const issuer = names[one] as string;
      // One of the issuers has facts that stay.
      const kept = one === 2 ? KEPT : [];
      assert.equal(await real.store.prune(issuer, below, limit, kept), model.prune(issuer, below, limit, kept));
    }),
  ),
  fc.tuple(who, seq, seq).map(([one, from, to]) =>
    command(`read ${one} ${from}..${to}`, async (model, real) => {
      const issuer = names[one] as string;
      await compareRange(real.store, model, issuer, from, to);
      assert.deepEqual(plain(await real.store.at(issuer, from)), plain(model.at(issuer, from)));
    }),
  ),
  fc.constant(
    command("reopen", async (_, real) => {
      real.store = await real.again();
    }),
  ),
];

export function storeModelTest(fixture: StoreFixture): void {
  it("behaves like the simple model under random commands", async function () {
    this.timeout(60_000);
    if (chains.length === 0) chains.push(...issuers.map((one) => one.next(CHAIN, { signed: false, fillerBytes: 0 })));
    const long = process.env["SPINE_LONG"] === "1";
    await fc.assert(
      fc.asyncProperty(fc.commands(commands, { maxCommands: 25 }), async (list) => {
        const subject = await fixture();
        await subject.store.open();
        const model = new StoreModel();
        const real: Real = { store: subject.store, again: () => subject.again() };
        try {
          await fc.asyncModelRun(() => ({ model, real }), list);
          await compareStore(real.store, model, names);
          await compareStore(await subject.again(), model, names);
        } finally {
          await subject.dispose();
        }
      }),
      { numRuns: long ? 1000 : 25 },
    );
  });
}
