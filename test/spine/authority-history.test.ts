/**
 * One set of facts leads to one outcome, over any history of partitions, orders, repetitions and questions in between:
 * same issuer, frozen seq, revoked set and effects on every healthy node (rules 6, 8). `SPINE_LONG=1` runs 10,000 histories.
 */
import assert from "node:assert/strict";
import fc from "fast-check";
import {
  Authority,
  type AuthorityTrust,
  type Genesis,
  type Handover,
  quorumCut,
  type Revocation,
  type RevocationScope,
  revocationSetRoot,
  revokedItemText,
  revokerCuts,
  type Vote,
} from "../../spine/index.ts";
import { hasher } from "../helpers/crypto.ts";

const HISTORIES = process.env["SPINE_LONG"] === "1" ? 10_000 : 400;
const SCOPES: readonly RevocationScope[] = ["node", "key", "token", "bundle"];
const idOf = (n: number): string => `aegis:ed25519:${n.toString(16).padStart(64, "0")}`;
const ISSUERS = Array.from({ length: 8 }, (_, n) => idOf(n + 1));
const REVOKERS = ISSUERS.slice(0, 4);
const NODES = 3;

type Fact =
  | { readonly type: "freeze"; readonly issuer: string; readonly seq: number }
  | { readonly type: "genesis"; readonly genesis: Genesis }
  | { readonly type: "handover"; readonly handover: Handover }
  | { readonly type: "revocation"; readonly revocation: Revocation };

const issuer = fc.constantFrom(...ISSUERS);
const seq = fc.nat({ max: 6 });
const recovery = fc.constantFrom("real", "thief");
const target = fc.oneof(
  fc.record(
    { scope: fc.constantFrom<RevocationScope>("node", "key"), value: issuer, fromSeq: seq },
    { noNullPrototype: true },
  ),
  fc.record(
    {
      scope: fc.constantFrom<RevocationScope>("token", "bundle"),
      value: fc.constantFrom("x", "y"),
      fromSeq: fc.constant(0),
    },
    { noNullPrototype: true },
  ),
);
/** Revokers revoke each other far more often than in life: that is where order could matter. */
const signer = fc.oneof({ weight: 3, arbitrary: fc.constantFrom(...REVOKERS) }, { weight: 1, arbitrary: issuer });
const targets = fc.array(target, { minLength: 1, maxLength: 3 });

const fact: fc.Arbitrary<Fact> = fc.oneof(
  { weight: 1, arbitrary: fc.record({ type: fc.constant("freeze" as const), issuer, seq }) },
  {
    weight: 2,
    arbitrary: fc.tuple(issuer, fc.oneof({ weight: 4, arbitrary: fc.constant("real") }, recovery)).map(
      ([of, key]): Fact => ({
        type: "genesis",
        genesis: { issuer: of, recovery: `${of}|${key}`, next: `${of}|next`, createdAtMs: 0 },
      }),
    ),
  },
  {
    weight: 2,
    arbitrary: fc.tuple(issuer, issuer, seq, recovery, fc.boolean()).map(
      ([old, successor, lastSeq, key, rotates]): Fact => ({
        type: "handover",
        handover: {
          kind: rotates ? "rotation" : "succession",
          old,
          lastSeq,
          lastHash: null,
          successor,
          right: rotates ? `${old}|next` : `${old}|${key}`,
        },
      }),
    ),
  },
  {
    weight: 2,
    arbitrary: fc.tuple(signer, recovery, targets).map(
      ([of, key, named]): Fact => ({
        type: "revocation",
        revocation: { signer: of, seq: null, recovery: `${of}|${key}`, targets: named },
      }),
    ),
  },
  {
    weight: 12,
    arbitrary: fc.tuple(signer, fc.nat({ max: 8 }), targets).map(
      ([of, at, named]): Fact => ({
        type: "revocation",
        revocation: { signer: of, seq: at, recovery: null, targets: named },
      }),
    ),
  },
);

const trust: fc.Arbitrary<AuthorityTrust> = fc
  .tuple(
    fc.array(fc.tuple(fc.subarray([...SCOPES]), fc.integer({ min: 1, max: 3 })), { minLength: 4, maxLength: 4 }),
    fc.subarray(ISSUERS),
    fc.subarray(ISSUERS),
    fc.subarray(ISSUERS, { maxLength: 2 }),
  )
  .map(([revokers, curators, tokenIssuers, pinned]) => ({
    revokers: new Map(
      revokers.map(([scopes, quorum], i) => [
        REVOKERS[i] as string,
        { scopes: new Set(["node" as const, ...scopes]), quorum },
      ]),
    ),
    curators: new Set(curators),
    tokenIssuers: new Set(tokenIssuers),
    recoveryPins: new Map(pinned.map((one) => [one, `${one}|real`])),
    attesters: new Set(),
    named: new Set(),
  }));

function hand(authority: Authority, one: Fact): void {
  if (one.type === "freeze") authority.addFreeze(one.issuer, one.seq);
  else if (one.type === "genesis") authority.addGenesis(one.genesis);
  else if (one.type === "handover") authority.addHandover(one.handover);
  else authority.addRevocation(one.revocation);
}

/** The list of what is revoked says each thing once, and the same as the questions are answered. */
function checkListed(authority: Authority): void {
  const items = [...authority.revoked()];
  assert.equal(new Set(items.map(({ scope, value, owner }) => `${scope}|${value}|${owner}`)).size, items.length);
  const revoked = ISSUERS.filter((one) => authority.isRevoked(one)).sort();
  const listed = items.filter(({ scope, value }) => scope === "issuer" && ISSUERS.includes(value));
  assert.deepEqual(listed.map(({ value }) => value).sort(), revoked);
  for (const { value, fromSeq } of listed) assert.equal(fromSeq, authority.standing(value).revokedFrom);
  for (const value of ["x", "y"]) {
    const tokens = items.filter((item) => item.scope === "token" && item.value === value).map(({ owner }) => owner);
    assert.equal(tokens.includes(null), authority.isTokenRevoked(value, undefined));
    for (const one of ISSUERS)
      assert.equal(tokens.includes(one) || tokens.includes(null), authority.isTokenRevoked(value, one));
  }
}

/** Everything a node could be asked. */
function outcomeOf(authority: Authority): unknown {
  checkListed(authority);
  return {
    standings: ISSUERS.map((one) => authority.standing(one)),
    decisions: ISSUERS.map((one) => [0, 1, 3, 5, 9].map((at) => authority.decide(one, at))),
    tokens: ["x", "y"].map((value) => ISSUERS.map((one) => authority.isTokenRevoked(value, one))),
    bundles: ["x", "y"].map((value) => ISSUERS.map((one) => authority.isBundleRevoked(value, one, 2))),
    issuers: ISSUERS.map((one) => [authority.isRevoked(one), authority.isTokenIssuerRevoked(one)]),
    revoked: [...authority.revoked()].map(revokedItemText).sort(),
    root: revocationSetRoot(authority.revoked(), hasher),
  };
}

describe("authority over any history", () => {
  it("ends the same on every node", () => {
    const meeting = fc.tuple(fc.nat({ max: NODES - 1 }), fc.nat({ max: NODES - 1 }), fc.nat());
    let outcomes = 0;
    fc.assert(
      fc.property(
        trust,
        fc.array(fc.tuple(fact, fc.nat({ max: NODES - 1 })), { minLength: 1, maxLength: 30 }),
        fc.array(meeting, { maxLength: 12 }),
        fc.array(fc.nat(), { minLength: NODES, maxLength: NODES }),
        (trusted, born, meetings, orders) => {
          const nodes = Array.from({ length: NODES }, () => ({
            authority: new Authority(trusted),
            known: [] as Fact[],
          }));
          /** Rotated by chance: each node hears the others' facts in an order of its own, known ones again. */
          const tell = (to: number, facts: readonly Fact[], chance: number): void => {
            const node = nodes[to] as (typeof nodes)[number];
            const start = facts.length === 0 ? 0 : chance % facts.length;
            const turned = [...facts.slice(start), ...facts.slice(0, start)];
            for (const one of chance % 2 === 0 ? turned : turned.reverse()) {
              hand(node.authority, one);
              if (!node.known.includes(one)) node.known.push(one);
            }
          };
          const step = Math.ceil(born.length / (meetings.length + 1));
          for (let i = 0; i * step < born.length || i < meetings.length; i++) {
            for (const [one, at] of born.slice(i * step, (i + 1) * step)) tell(at, [one], 0);
            const [from, to, chance] = meetings[i] ?? [0, 0, 0];
            tell(to, (nodes[from] as (typeof nodes)[number]).known, chance);
            outcomeOf((nodes[to] as (typeof nodes)[number]).authority);
          }
          const all = born.map(([one]) => one);
          for (const [to, chance] of orders.entries()) tell(to, all, chance);
          const [first, ...others] = nodes.map(({ authority }) => outcomeOf(authority));
          for (const other of others) assert.deepEqual(other, first);
          const late = new Authority({ ...trusted, revokers: new Map(), curators: new Set(), tokenIssuers: new Set() });
          for (const one of all) hand(late, one);
          late.setTrust(trusted);
          for (const one of all) hand(late, one);
          assert.deepEqual(outcomeOf(late), first, "trust given later");
          if ([...(nodes[0] as (typeof nodes)[number]).authority.revoked()].length > 0) outcomes++;
        },
      ),
      { numRuns: HISTORIES },
    );
    assert.ok(outcomes > HISTORIES / 4, `${outcomes} histories revoked something`);
  }).timeout(600_000);

  it("never grants less freedom than the words that stand, and takes more only in circles", () => {
    const vote: fc.Arbitrary<Vote> = fc
      .record(
        {
          signer: fc.nat({ max: 3 }),
          target: fc.nat({ max: 2 }),
          scope: fc.constant<RevocationScope>("node"),
          seq: fc.nat({ max: 5 }),
          fromSeq: fc.nat({ max: 5 }),
        },
        { noNullPrototype: true },
      )
      .map((one) => ({ ...one, signer: idOf(one.signer), target: idOf((one.target + one.signer + 1) % 4) }));
    fc.assert(
      fc.property(fc.array(vote, { maxLength: 10 }), fc.integer({ min: 1, max: 2 }), (votes, quorum) => {
        const cuts = revokerCuts(votes, () => quorum);
        const cutOf = (of: string): number => cuts.get(of) ?? Number.POSITIVE_INFINITY;
        const standing = votes.filter((one) => one.seq < cutOf(one.signer));
        const byWords = (of: string): number =>
          quorumCut(standing.filter((one) => one.target === of).map((one) => ({ ...one, quorum })));
        // A vote falls another one only downwards in this order when there are no circles at all.
        const isAcyclic = votes.every((one) => one.signer < one.target);
        for (const of of [0, 1, 2, 3].map(idOf)) {
          assert.ok(cutOf(of) <= byWords(of), "a word that stands counts");
          if (isAcyclic) assert.equal(cutOf(of), byWords(of), "without circles nothing else counts");
        }
      }),
      { numRuns: HISTORIES * 3 },
    );
  }).timeout(600_000);
});
