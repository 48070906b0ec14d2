/** The shared hardening cases, where upstream is weak or over-strict, under our own rule book. */
import assert from "node:assert/strict";
import { type CaseAction, type CasePolicy, runCase, sharedLines } from "../../helpers/guard-cases.ts";
import { describeShared } from "../../helpers/shared.ts";

interface HardeningCase {
  readonly id: string;
  readonly policy: CasePolicy;
  readonly action: CaseAction;
  readonly why: string;
  readonly expect: { readonly verdict_in: readonly string[] };
}

/** Cases we answer otherwise on purpose: what we answer, and why. */
const DISAGREE: Readonly<Record<string, readonly [verdict: string, why: string]>> = {};

describeShared("hardening vectors", ["vectors/guards/hardening.jsonl"], () => {
  for (const found of sharedLines<HardeningCase>("vectors/guards/hardening.jsonl")) {
    const argued = DISAGREE[found.id];
    it(`${found.id}: ${argued?.[1] ?? found.why}`, () => {
      const got = runCase(found.policy, found.action, "spine");
      const wanted = argued === undefined ? found.expect.verdict_in : [argued[0]];
      assert.ok(
        wanted.includes(got.verdict),
        `${got.verdict}, expected ${wanted.join(" or ")}: ${JSON.stringify(got.results)}`,
      );
    });
  }
});
