/** The shared parity cases under the rule book each names: verdict, guard, severity, guards that ran, and evidence. */
import assert from "node:assert/strict";
import type { Dialect } from "../../../node/guards/dialect.ts";
import type { Decision } from "../../../node/guards/engine.ts";
import { type CaseAction, type CasePolicy, runCase, sharedLines } from "../../helpers/guard-cases.ts";
import { describeShared } from "../../helpers/shared.ts";

interface ParityCase {
  readonly id: string;
  readonly upstream: Dialect;
  readonly policy: CasePolicy;
  readonly action: CaseAction;
  readonly why: string;
  readonly expect: {
    readonly verdict: string;
    readonly allowed?: boolean;
    readonly guard: string | null;
    readonly severity?: string;
    readonly guards_run?: readonly string[];
    readonly additions?: number;
    readonly deletions?: number;
    readonly forbidden?: number;
    readonly patterns?: readonly string[];
    readonly signals?: readonly string[];
    readonly level?: string;
    readonly score?: number;
    readonly risk_score?: number;
  };
}

describeShared("parity vectors", ["vectors/guards/parity.jsonl", "vectors/guards/computer-use.jsonl"], () => {
  for (const file of ["parity.jsonl", "computer-use.jsonl"]) {
    for (const found of sharedLines<ParityCase>(`vectors/guards/${file}`)) {
      it(`${found.id}: ${found.why}`, () => check(runCase(found.policy, found.action, found.upstream), found.expect));
    }
  }
});

function check(got: Decision, expected: ParityCase["expect"]): void {
  const summary = JSON.stringify(got.results);
  assert.equal(got.verdict, expected.verdict, summary);
  if (expected.allowed !== undefined) assert.equal(got.allowed, expected.allowed, summary);
  if (expected.guard !== null) assert.equal(got.guard, expected.guard, summary);
  if (expected.severity !== undefined) assert.equal(got.severity, expected.severity, summary);
  if (expected.guards_run !== undefined) {
    assert.deepEqual(
      got.results.map((result) => result.guard),
      expected.guards_run,
      summary,
    );
  }
  const details = (got.details ?? {}) as Readonly<Record<string, unknown>>;
  if (expected.additions !== undefined) assert.equal(details["additions"], expected.additions);
  if (expected.deletions !== undefined) assert.equal(details["deletions"], expected.deletions);
  if (expected.forbidden !== undefined) assert.equal(details["forbidden_matches"], expected.forbidden);
  if (expected.patterns !== undefined) {
    const matches = (details["matches"] ?? []) as readonly { readonly pattern: string }[];
    assert.deepEqual([...new Set(matches.map((match) => match.pattern))].sort(), [...expected.patterns].sort());
  }
  if (expected.signals !== undefined) assert.deepEqual(details["signals"], expected.signals);
  if (expected.level !== undefined) assert.equal(details["level"] ?? details["severity"], expected.level);
  if (expected.score !== undefined) assert.equal(details["score"], expected.score);
  if (expected.risk_score !== undefined) {
    // The reference emulates 32-bit rounding; it asks for a tolerance of 1.
    assert.ok(Math.abs((details["risk_score"] as number) - expected.risk_score) <= 1, summary);
  }
}
