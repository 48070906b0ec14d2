/** Posture: the shared step sequences, time-outs, and what the engine does with sessions. */
import assert from "node:assert/strict";
import type { Dialect } from "../../../node/guards/dialect.ts";
import { GuardEngine } from "../../../node/guards/engine.ts";
import type { PosturePolicy } from "../../../node/guards/policy/effective.ts";
import { SessionPosture } from "../../../node/guards/posture.ts";
import { type CaseAction, type CasePolicy, caseAction, casePolicy, sharedLines } from "../../helpers/guard-cases.ts";
import { describeShared } from "../../helpers/shared.ts";

interface PostureCase {
  readonly id: string;
  readonly upstream: Dialect;
  readonly policy: CasePolicy;
  readonly why: string;
  readonly steps: readonly {
    readonly action?: CaseAction;
    readonly transition?: "user_approval" | "user_denial";
    readonly expect: {
      readonly verdict?: string;
      readonly guard?: string;
      readonly state_after: string;
      readonly used?: Readonly<Record<string, number>>;
    };
  }[];
}

describeShared("posture vectors", ["vectors/guards/posture.jsonl"], () => {
  for (const found of sharedLines<PostureCase>("vectors/guards/posture.jsonl")) {
    for (const dialect of new Set<Dialect>([found.upstream, "spine"])) {
      it(`${found.id} as ${dialect}: ${found.why}`, () => {
        const policy = casePolicy(found.policy, dialect);
        const engine = new GuardEngine(policy);
        const session = new SessionPosture(policy.effective.posture as PosturePolicy, 0);
        let nowMs = 0;
        for (const step of found.steps) {
          nowMs += 1000;
          if (step.transition !== undefined) session.trigger(step.transition, nowMs);
          if (step.action !== undefined) {
            const { action, caller } = caseAction(step.action);
            const got = engine.decide(action, caller, { session, nowMs });
            assert.equal(got.verdict, step.expect.verdict);
            assert.equal(got.guard, step.expect.guard);
          }
          const view = session.view();
          assert.equal(view.state, step.expect.state_after);
          for (const [budget, used] of Object.entries(step.expect.used ?? {})) {
            assert.equal(view.budgets[budget]?.used, used);
          }
        }
      });
    }
  }
});

const TIMED: PosturePolicy = {
  initial: "a",
  states: {
    a: { capabilities: ["file_access"], budgets: {} },
    b: { capabilities: [], budgets: {} },
  },
  transitions: [
    { from: "a", to: "b", on: "timeout", after: "10s" },
    { from: "b", to: "a", on: "timeout", after: "1m" },
  ],
};

describe("session posture", () => {
  it("moves when its time is due, not before", () => {
    const session = new SessionPosture(TIMED, 0);
    const action = { type: "file_access", path: "/x" } as const;
    assert.equal(session.before(action, 9_999), undefined);
    assert.equal(session.before(action, 10_000)?.guard, "posture");
    assert.equal(session.view().state, "b");
    assert.equal(session.before(action, 70_000), undefined);
    assert.equal(session.view().state, "a");
  });

  it("refuses at a budget of zero", () => {
    const policy: PosturePolicy = {
      initial: "a",
      states: { a: { capabilities: ["egress"], budgets: { egress_calls: 0 } } },
      transitions: [],
    };
    const session = new SessionPosture(policy, 0);
    assert.equal(session.before({ type: "egress", target: "x.example" }, 1)?.guard, "posture_budget");
  });

  it("denies when the policy has states and the request names no session", () => {
    const yaml = 'version: "1.2.0"\nposture: {initial: a, states: {a: {capabilities: [file_access]}}}\n';
    const engine = new GuardEngine(casePolicy({ yaml }, "spine"));
    const got = engine.decide({ type: "file_access", path: "/w/x" }, {});
    assert.equal(got.reason, "session_missing");
    assert.equal(got.allowed, false);
  });
});
