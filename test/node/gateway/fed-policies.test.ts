/** What was passed under which policies: exact over changes, splits and restarts, and bounded. */
import assert from "node:assert/strict";
import fc from "fast-check";
import { FedPolicies } from "../../../node/nats/fed-policies.ts";
import type { DisclosurePolicy } from "../../../spine/index.ts";

const KINDS = ["incident", "run", "policy", "heartbeat"];
function policy(kinds: readonly string[]): DisclosurePolicy {
  return { allow: kinds.length === 0 ? [] : [{ from: "libp2p", to: "nats", kinds }], deny: [] };
}
const tells = (one: DisclosurePolicy, kind: string): boolean =>
  one.allow.some(({ kinds }) => kinds.some((pattern) => pattern === kind));

describe("policies that leaves were passed under", () => {
  it("calls for nothing after a policy that tightens, and for what was withheld after one that loosens", () => {
    const fed = new FedPolicies();
    assert.ok(fed.take(policy(["incident", "run"]), 0));
    assert.ok(!fed.take(policy(["incident", "run"]), 10));
    fed.take(policy(["incident"]), 10);
    assert.equal(fed.pending, null);
    fed.take(policy(["incident", "run"]), 15);
    assert.deepEqual(fed.pending, { from: 10, until: 15, policies: [policy(["incident"])] });
    fed.passedAgain(12);
    assert.deepEqual(fed.pending, { from: 12, until: 15, policies: [policy(["incident"])] });
    const read = FedPolicies.parse(fed.text());
    assert.deepEqual(read.pending, fed.pending);
    assert.ok(!read.take(policy(["incident", "run"]), 15));
    read.passedAgain(15);
    assert.equal(read.pending, null);
    read.forget(20);
    assert.deepEqual(read.pending, { from: 0, until: 20, policies: [] });
    read.clear();
    assert.equal(read.pending, null);
  });

  it("publishes each leaf once and none too few, whatever policies follow each other", () => {
    const step = fc.record({
      kinds: fc.subarray(KINDS),
      forward: fc.nat(12),
      again: fc.nat(12),
      restart: fc.boolean(),
    });
    fc.assert(
      fc.property(fc.array(step, { minLength: 1, maxLength: 12 }), (steps) => {
        let fed = new FedPolicies();
        let cursor = 0;
        const published = new Map<number, number>();
        const kindOf = (leaf: number): string => KINDS[(leaf * 7) % KINDS.length] as string;
        const publish = (leaf: number): void => void published.set(leaf, (published.get(leaf) ?? 0) + 1);
        const again = (now: DisclosurePolicy, most: number): boolean => {
          const { pending } = fed;
          if (pending === null) return false;
          const until = Math.min(pending.until, pending.from + most);
          for (let leaf = pending.from; leaf < until; leaf++) {
            const told = pending.policies.some((one) => tells(one, kindOf(leaf)));
            if (tells(now, kindOf(leaf)) && !told) publish(leaf);
          }
          fed.passedAgain(until);
          return true;
        };
        for (const { kinds, forward, again: most, restart } of steps) {
          const now = policy(kinds);
          fed.take(now, cursor);
          for (const end = cursor + forward; cursor < end; cursor++) if (tells(now, kindOf(cursor))) publish(cursor);
          again(now, most);
          if (restart) fed = FedPolicies.parse(fed.text());
        }
        const all = policy(KINDS);
        fed.take(all, cursor);
        while (again(all, 5)) {}
        assert.deepEqual(
          Array.from({ length: cursor }, (_, leaf) => published.get(leaf)),
          Array.from({ length: cursor }, () => 1),
        );
      }),
    );
  });

  it("stays small, and then rather tells twice than never", () => {
    const fed = new FedPolicies();
    for (let i = 0; i < 200; i++) fed.take(policy([`kind${i}`]), 10 * i);
    assert.ok(fed.text().length < 8_000, fed.text());
    const { pending } = fed;
    assert.equal(pending?.from, 0);
    assert.deepEqual(pending?.policies, [], "of the oldest nothing is known any more");
    const large = new FedPolicies();
    for (let i = 0; i < 20; i++)
      large.take(policy(Array.from({ length: 5_000 }, (_, kind) => `kind${i}_${kind}`)), 10 * i);
    assert.ok(large.text().length < 600_000, `${large.text().length} characters`);
  });
});
