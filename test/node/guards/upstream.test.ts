/** Raw upstream data: our documents of the built-in rulesets against theirs, policy events, and threat-intelligence policy. */
import assert from "node:assert/strict";
import { GuardEngine } from "../../../node/guards/engine.ts";
import { loadPolicy, loadRuleset } from "../../../node/guards/policy/load.ts";
import { RULESETS } from "../../../node/guards/policy/rulesets.ts";
import { parseEvent } from "../../../node/guards/policy-event.ts";
import { casePolicy, sharedLines } from "../../helpers/guard-cases.ts";
import { describeShared, sharedJson, sharedText } from "../../helpers/shared.ts";

const ROOT = "vectors/guards/upstream";

describeShared("upstream rulesets", [`${ROOT}/rulesets/default.yaml`], () => {
  for (const name of RULESETS) {
    it(`${name}: the same effective policy as the upstream file`, () => {
      const theirs = loadPolicy(sharedText(`${ROOT}/rulesets/${name}.yaml`), { dialect: "sdr-execution" });
      const ours = loadRuleset(name, { dialect: "sdr-execution" });
      assert.ok(theirs.policy && ours.policy, JSON.stringify([theirs.problems, ours.problems]));
      const plain = (policy: typeof ours.policy): unknown => {
        const { guards, settings } = policy.effective;
        return JSON.parse(JSON.stringify({ guards, settings }), (_, value: unknown) =>
          Array.isArray(value) ? value.toSorted((a, b) => (JSON.stringify(a) < JSON.stringify(b) ? -1 : 1)) : value,
        );
      };
      assert.deepEqual(plain(ours.policy), plain(theirs.policy));
    });
  }

  it("loads the compliance template, and says what it loosens", () => {
    const { policy, problems } = loadPolicy(sharedText(`${ROOT}/policy_hipaa-policy.yaml`));
    assert.ok(policy, JSON.stringify(problems));
    assert.ok(
      problems.some((problem) => problem.code === "loosens" && problem.path === "guards.patch_integrity.max_additions"),
    );
  });
});

interface ExpectedEvent {
  readonly eventId: string;
  readonly decision: {
    readonly allowed: boolean;
    readonly denied: boolean;
    readonly warn: boolean;
    readonly guard: string | null;
  };
}

describeShared("upstream policy events", [`${ROOT}/policy-events.jsonl`], () => {
  for (const dialect of ["sdr-execution", "spine"] as const) {
    const engine = new GuardEngine(casePolicy({ ruleset: "default" }, dialect));
    const events = new Map(
      sharedLines<{ eventId: string }>(`${ROOT}/policy-events.jsonl`).map((event) => [event.eventId, event]),
    );
    for (const expected of sharedJson<ExpectedEvent[]>(`${ROOT}/policy-events.default.decisions.json`)) {
      it(`${expected.eventId} as ${dialect}`, () => {
        const { action, caller } = parseEvent(events.get(expected.eventId));
        const got = engine.decide(action, caller);
        assert.equal(got.allowed, expected.decision.allowed, JSON.stringify(got.results));
        assert.equal(got.verdict === "warn", expected.decision.warn, JSON.stringify(got.results));
        if (expected.decision.guard !== null) assert.equal(got.guard, expected.decision.guard);
      });
    }
  }
});

describeShared("threat-intelligence policy", [`${ROOT}/threat_intel_policy.yaml`], () => {
  const yaml = (): string => sharedText(`${ROOT}/threat_intel_policy.yaml`);
  it("needs its environment, unless linted", () => {
    const strict = loadPolicy(yaml());
    assert.ok(strict.problems.some((problem) => problem.path === "guards.custom[0].config.api_key"));
    assert.equal(strict.policy, undefined);
    assert.ok(loadPolicy(yaml(), { lax: true }).policy);
  });

  it("denies everything where a package it names is missing", () => {
    const loaded = loadPolicy(yaml(), { lax: true }).policy;
    assert.ok(loaded);
    const engine = new GuardEngine(loaded);
    for (const event of sharedLines(`${ROOT}/threat_intel_events.jsonl`)) {
      const { action, caller } = parseEvent(event);
      assert.equal(engine.decide(action, caller).reason, "configuration_error");
    }
  });
});
