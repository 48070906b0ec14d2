/** The service: recorded before it answers, and a denial with a reason whenever policy, disk, key or time fail. */
import assert from "node:assert/strict";
import { randomBytes } from "node:crypto";
import type { Action } from "../../../node/guards/action.ts";
import { PolicyHolder } from "../../../node/guards/policy/holder.ts";
import { loadPolicy } from "../../../node/guards/policy/load.ts";
import { GuardService, type GuardServiceOptions, type GuardServicePorts } from "../../../node/guards/service.ts";
import type { Json } from "../../../spine/index.ts";

const FINE: Action = { type: "file_access", path: "/w/x" };
const FORBIDDEN: Action = { type: "file_access", path: "/etc/shadow" };
const PLAIN = 'version: "1.3.0"\n';
const STATES = [
  'version: "1.3.0"',
  "posture:",
  "  initial: work",
  "  states: {work: {capabilities: [file_access]}, quarantine: {capabilities: []}}",
  "  transitions: [{from: work, to: quarantine, on: critical_violation}, {from: quarantine, to: work, on: user_approval}]",
  "",
].join("\n");

function make(yaml: string, ports: Partial<GuardServicePorts> = {}, options: Partial<GuardServiceOptions> = {}) {
  const log: string[] = [];
  const facts: Json[] = [];
  const source = { yaml };
  const holder = new PolicyHolder(() => loadPolicy(source.yaml), { report: () => undefined });
  holder.reload();
  const service = new GuardService(
    holder,
    {
      sign: () => new Uint8Array(64),
      random: randomBytes,
      now: () => 0,
      publish: async (fact) => {
        facts.push(fact);
        log.push("publish");
        return `0x${"1".repeat(64)}`;
      },
      keepOpening: async () => void log.push("opening"),
      revoked: () => undefined,
      ...ports,
    },
    { mode: "enforce", ...options },
  );
  return { service, holder, source, log, facts };
}

describe("guard service", () => {
  it("records, then answers, then tells listeners", async () => {
    const { service, log, facts } = make(PLAIN);
    service.onAnswer(() => log.push("heard"));
    const answer = await service.answer({ action: FINE, caller: { agent: "a" } });
    log.push("answered");
    assert.deepEqual(log, ["publish", "opening", "heard", "answered"]);
    assert.equal(answer.allowed, true);
    assert.match(answer.envelopeHash ?? "", /^0x1+$/);
    const fact = facts[0] as {
      readonly tier: string;
      readonly policy_state: string;
      readonly action: { target_commitment: string };
    };
    assert.equal(fact.tier, "best_effort");
    assert.equal(fact.policy_state, "active");
    assert.equal(fact.action.target_commitment, `0x${answer.commitment}`);
  });

  const broken: Readonly<Record<string, Partial<GuardServicePorts>>> = {
    "the disk is full": { publish: () => Promise.reject(new Error("no space left")) },
    "the key is gone": { sign: () => assert.fail("no key") },
    "the signature is short": { sign: () => new Uint8Array(1) },
    "the opening cannot be kept": { keepOpening: () => Promise.reject(new Error("read-only")) },
    "the disk never answers": { publish: () => new Promise(() => undefined) },
  };
  for (const [name, ports] of Object.entries(broken)) {
    it(`denies with a reason when ${name}`, async () => {
      const { service } = make(PLAIN, ports, { deadlineMs: 30 });
      const answer = await service.answer({ action: FINE, caller: {} });
      assert.equal(answer.allowed, false);
      assert.equal(answer.decision.reason, "not_recorded");
      assert.ok(answer.decision.message.length > 40);
      assert.equal(service.counters.unrecorded, 1);
    });
  }

  it("denies everything without a usable policy, and records that", async () => {
    const { service, facts } = make("garbage: [");
    const answer = await service.answer({ action: FINE, caller: {} });
    assert.equal(answer.decision.reason, "policy_missing");
    assert.equal(answer.policyState, "none");
    assert.equal(facts.length, 1);
  });

  it("keeps deciding by the last good policy, and says it is stale", async () => {
    const { service, holder, source } = make(PLAIN);
    source.yaml = "garbage: [";
    holder.reload();
    const answer = await service.answer({ action: FINE, caller: {} });
    assert.equal(answer.allowed, true);
    assert.equal(answer.policyState, "stale");
  });

  it("takes up a new policy at once", async () => {
    const { service, holder, source } = make(PLAIN);
    const before = await service.answer({ action: FINE, caller: {} });
    source.yaml = `${PLAIN}guards: {forbidden_path: {additional_patterns: ["/w/**"]}}\n`;
    holder.reload();
    const after = await service.answer({ action: FINE, caller: {} });
    assert.deepEqual([before.allowed, after.allowed], [true, false]);
    assert.notEqual(before.decision.policyHash, after.decision.policyHash);
  });

  it("denies the revoked", async () => {
    const { service } = make(PLAIN, {
      revoked: ({ caller }) => (caller.agent === "bad" ? { reason: "revoked", message: "Key is revoked" } : undefined),
    });
    assert.equal((await service.answer({ action: FINE, caller: { agent: "bad" } })).decision.reason, "revoked");
    assert.equal((await service.answer({ action: FINE, caller: { agent: "good" } })).allowed, true);
  });

  it("only watches in observe mode, also when it cannot record", async () => {
    const watching = make(PLAIN, {}, { mode: "observe" });
    const answer = await watching.service.answer({ action: FORBIDDEN, caller: {} });
    assert.equal(answer.allowed, true);
    assert.equal(answer.decision.verdict, "deny");
    assert.equal((watching.facts[0] as { readonly mode: string }).mode, "observe");
    const failing = make(PLAIN, { publish: () => Promise.reject(new Error("x")) }, { mode: "observe" });
    assert.equal((await failing.service.answer({ action: FINE, caller: {} })).allowed, true);
  });

  it("turns away more than it can hold", async () => {
    let release = (_: string): void => undefined;
    const { service } = make(
      PLAIN,
      { publish: () => new Promise((resolve) => (release = resolve)) },
      { maxInFlight: 1 },
    );
    const first = service.answer({ action: FINE, caller: {} });
    const second = await service.answer({ action: FINE, caller: {} });
    assert.equal(second.decision.reason, "overloaded");
    await new Promise((resolve) => setImmediate(resolve));
    release("0x0");
    assert.equal((await first).allowed, true);
    assert.equal(service.counters.overloaded, 1);
  });

  it("holds a session to its state, through reloads, until a person approves", async () => {
    const { service, holder, source } = make(STATES);
    const caller = { session: "s" };
    const state = async (action: Action): Promise<readonly [boolean, string | undefined]> => {
      const answer = await service.answer({ action, caller });
      return [answer.allowed, answer.posture?.state];
    };
    assert.deepEqual(await state(FINE), [true, "work"]);
    assert.deepEqual(await state(FORBIDDEN), [false, "quarantine"]);
    source.yaml = `${STATES}name: renamed\n`;
    holder.reload();
    assert.deepEqual(await state(FINE), [false, "quarantine"]);
    assert.equal(service.approve("s", "user_approval"), true);
    assert.deepEqual(await state(FINE), [true, "work"]);
    const unnamed = await service.answer({ action: FINE, caller: {} });
    assert.equal(unnamed.decision.reason, "session_missing");
  });
});
