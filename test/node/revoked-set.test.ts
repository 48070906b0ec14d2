/** The revoked set of a node with very many revocations: worked out beside other work, exact once settled (rules 8). */
import assert from "node:assert/strict";
import { RevokedSet } from "../../node/authority/revoked-set.ts";
import { Authority, NO_TRUST, revocationSetRoot } from "../../spine/index.ts";
import { hasher } from "../helpers/crypto.ts";

const BOSS = `aegis:ed25519:${"b".repeat(64)}`;
const MANY = 30_000;

function issuer(number: number): string {
  return `aegis:ed25519:${((number * 2_654_435_761) % 2 ** 32).toString(16).padStart(64, "0")}`;
}
function revoke(authority: Authority, from: number, to: number): void {
  for (let i = from; i < to; i++)
    authority.addRevocation({
      ...{ signer: BOSS, seq: i + 1, recovery: null },
      targets: [{ scope: i % 3 === 0 ? "key" : "node", value: issuer(i), fromSeq: i % 7 }],
    });
}
function trusting(): Authority {
  const scopes = new Set(["node", "key"] as const);
  return new Authority({ ...NO_TRUST, revokers: new Map([[BOSS, { scopes, quorum: 1 }]]) });
}

describe("the revoked set", () => {
  it("of few is up to date at once", () => {
    const authority = trusting();
    const set = new RevokedSet(authority);
    revoke(authority, 0, 100);
    assert.deepEqual(set.newest, revocationSetRoot(authority.revoked(), hasher));
    assert.equal(set.isCurrent, true);
  });

  it("of very many leaves the event loop to others, and ends with the very same root", async () => {
    const authority = trusting();
    const set = new RevokedSet(authority);
    revoke(authority, 0, MANY);
    assert.deepEqual(set.newest, { count: 0, root: "" }, "not known yet");
    let turns = 0;
    const timer = setInterval(() => turns++, 1);
    const settled = await set.settled();
    clearInterval(timer);
    assert.ok(turns >= 3, `${turns} turns of the event loop`);
    assert.deepEqual(settled, revocationSetRoot(authority.revoked(), hasher));
    assert.equal(settled.count, MANY);
  });

  it("that changed while it was worked out is no mixture: the old one stands until the new one is known", async () => {
    const authority = trusting();
    const set = new RevokedSet(authority);
    revoke(authority, 0, MANY);
    const before = await set.settled();
    revoke(authority, MANY, MANY + 1);
    const pass = set.settled();
    revoke(authority, MANY + 1, MANY + 2);
    assert.deepEqual([await pass, set.isCurrent], [before, false]);
    const whole = revocationSetRoot(authority.revoked(), hasher);
    const until = performance.now() + 15_000;
    while (!set.isCurrent && performance.now() < until) {
      await set.settled();
      await new Promise((resolve) => setTimeout(resolve, 20));
    }
    assert.deepEqual(set.newest, whole);
  }).timeout(20_000);
});
